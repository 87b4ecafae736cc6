"""`palate recipe chunks`: the person's own words for chunks, proposed from their history, theirs to take or refuse."""

import click

from palate.cli.common import here, json_option, put_out
from palate.errors import InputError, NotFoundError
from palate.loop.recipes import find_recipe
from palate.recipe.names import Named, written_lines
from palate.recipe.proposals import Proposal, content, propose
from palate.recipe.tree import SEVEN, Chunk
from palate.recipe.words import chunk_words
from palate.store.recipes import Recipes, Words, renamed, with_named


@click.command("chunks")
@click.argument("files", nargs=-1)
@click.option("--accept", multiple=True, metavar="NAME[=OWN]", help="Take a proposal, under a name of your own.")
@click.option("--refuse", multiple=True, metavar="NAME", help="Never propose it again.")
@click.option("--rename", nargs=2, metavar="OLD NEW", help="Rename a word of yours.")
@click.option("--all", "everything", is_flag=True, help="List every proposal, not only the first seven.")
@json_option
def chunks_command(
    files: tuple[str, ...],
    accept: tuple[str, ...],
    refuse: tuple[str, ...],
    rename: tuple[str, str] | None,
    everything: bool,
    as_json: bool,
) -> None:
    """Propose chunks worth a name, from this project's recipes and from FILES; take, rename or refuse them.

    \b
    palate recipe chunks configs/*.yaml
    palate recipe chunks configs/*.yaml --accept adamw-lr0.0003=usual-adamw
    """
    recipes_kept = Recipes(here().home)
    words = recipes_kept.words()
    if rename:
        words = renamed(words, *rename)
    recipes = [recipe.root for _, recipe in recipes_kept.all()] + [find_recipe(file, here()).root for file in files]
    proposals = propose(recipes, known=words.named, refused=words.refused) if recipes else []
    words = _decided(words, proposals, accept, refuse)
    if accept or refuse or rename:
        recipes_kept.put_words(words)
        proposals = propose(recipes, known=words.named, refused=words.refused) if recipes else []
    shown = proposals if everything else proposals[:SEVEN]
    lines, settings = _cost(recipes, words.named)
    document = {
        "schema": "palate.recipe-chunks/1",
        "named": [{"name": n.name, "chunk": n.role, "is": chunk_words(n.base)} for n in words.named],
        "proposals": [_document(proposal) for proposal in shown],
        "recipes": len(recipes),
        "lines": lines,
        "settings": settings,
    }
    put_out(document, _lines(words, shown, len(proposals), len(recipes), (lines, settings)), as_json=as_json)


def _cost(recipes: list[Chunk], named: tuple[Named, ...]) -> tuple[int, int]:
    pairs = [written_lines(recipe, named) for recipe in recipes]
    return sum(lines for lines, _ in pairs), sum(settings for _, settings in pairs)


def _decided(words: Words, proposals: list[Proposal], accept: tuple[str, ...], refuse: tuple[str, ...]) -> Words:
    by_name = {proposal.named.name: proposal for proposal in proposals}
    wanted = [text.partition("=") for text in accept]
    unknown = [name for name in (*(name for name, _, _ in wanted), *refuse) if name not in by_name]
    if unknown:
        raise NotFoundError(
            f"{', '.join(unknown)}: not proposed.",
            why=f"Proposed are: {', '.join(by_name) or 'none'}.",
            todo="Give the same FILES that it was proposed from.",
        )
    taken = []
    for name, equals, own in wanted:
        if equals and not own:
            raise InputError(f"--accept {name}=: the name is missing.", todo=f"--accept {name}=my-name")
        base = by_name[name].named
        taken.append(Named(name=own or name, role=base.role, slot=base.slot, base=base.base))
    refused = (*words.refused, *(content(by_name[name].named.base) for name in refuse))
    return with_named(Words(words.named, refused), taken)


def _document(proposal: Proposal) -> dict[str, object]:
    named = proposal.named
    return {
        "name": named.name,
        "chunk": named.role,
        "is": chunk_words(named.base),
        "uses": proposal.uses,
        "lines_saved": proposal.saved,
        "lines_saved_held_out": proposal.held_out,
    }


def _lines(words: Words, shown: list[Proposal], proposals: int, recipes: int, cost: tuple[int, int]) -> list[str]:
    lines = [f"{n.name:<32} {n.role:<10} {chunk_words(n.base)}" for n in words.named]
    if not recipes:
        return [*lines, "No recipes yet: run something, or give configuration files."]
    share = cost[0] / cost[1] if cost[1] else 0.0
    lines.append(f"{recipes} recipes, {cost[1]} settings, written in {cost[0]} lines with your words ({share:.0%}).")
    if not shown:
        return [*lines, "No chunk recurs often enough to be worth a name."]
    lines.append("Worth a name:")
    for proposal in shown:
        named = proposal.named
        lines.append(
            f"  {named.name:<40} {named.role:<10} {proposal.uses:>4} uses, saves {proposal.saved} lines   "
            f"{chunk_words(named.base)}"
        )
    if proposals > len(shown):
        lines.append(f"  ... and {proposals - len(shown)} more: --all")
    return [*lines, "Take one: --accept NAME, or --accept NAME=YOUR-NAME; never again: --refuse NAME"]
