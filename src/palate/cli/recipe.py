"""`palate recipe`: what a training is made of, in seven chunks that open; what differs between two, and why."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click

from palate.cli.common import here, json_option, put_out, say
from palate.cli.recipe_chunks import chunks_command
from palate.errors import InputError
from palate.loop.recipes import Reading, arms_of, course_of_subject, find_recipe
from palate.recipe.codec import encode
from palate.recipe.difference import Difference, difference_lines, explain, lines_of, unseen_of
from palate.recipe.document import dumps, to_document
from palate.recipe.nearest import Family
from palate.recipe.recipe import Recipe
from palate.recipe.roles import LENSES
from palate.recipe.tree import Chunk, Setting, path_text
from palate.recipe.view import lines, open_at, page, to_html
from palate.recipe.why import chain_of
from palate.recipe.words import edit_words
from palate.store.recipes import Recipes

SUBJECT = "config.yaml, model.py:build, train.py, a run, an experiment (3f9c:baseline)"


@click.group("recipe")
def command() -> None:
    """See what a training is made of: seven chunks that open, what differs between two recipes, and why."""


def reading_options(function: Any) -> Any:
    """Add how a subject is read."""
    for option in (
        click.option("--meta", is_flag=True, help="Build models without memory for their weights."),
        click.option(
            "--loader",
            type=click.Choice(["auto", "yaml", "omegaconf"]),
            default="auto",
            help="How YAML is read; told by what stands in the file.",
        ),
    ):
        function = option(function)
    return function


@command.command("show")
@click.argument("subject")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.option("--open", "path", default="", metavar="PATH", help="Open one line, as optimiser or model.layers.")
@click.option("--depth", type=click.IntRange(0), help="Levels to open; 1, or all of a model's layers.")
@click.option("--full", is_flag=True, help="Open everything, settings included.")
@click.option("--lens", type=click.Choice(LENSES), help="Regroup the same settings.")
@click.option("--parent", is_flag=True, help="Write it as its nearest earlier recipe and the difference.")
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), help="Write a page with a tree that opens.")
@reading_options
@json_option
def show(
    subject: str,
    arguments: tuple[str, ...],
    path: str,
    depth: int | None,
    full: bool,
    lens: str | None,
    parent: bool,
    html: Path | None,
    meta: bool,
    loader: str,
    as_json: bool,
) -> None:
    """Show a recipe as seven lines, each of which opens.

    SUBJECT is a configuration file, a function that builds a model (model.py:build), a script (run up to its first
    optimizer step), a run or an experiment.

    \b
    palate recipe show config.yaml
    palate recipe show model.py:build --depth 2
    palate recipe show train.py --open optimiser -- --lr 3e-4
    """
    recipe = find_recipe(subject, here(), Reading(loader=loader, meta=meta, arguments=arguments))
    if parent:
        show_parent(recipe, as_json=as_json)
        return
    words = Recipes(here().home).words()
    node = recipe.view(vocabulary=words.named, lens=lens or "")
    opened = open_at(node, path)
    if opened is None:
        raise InputError(f"There is no {path}.", why=f"There are: {', '.join(item.label for item in node.items)}.")
    notes = tuple(note.words for note in recipe.notes)
    if html is not None:
        _write(html, page(to_html(opened, notes=notes, depth=depth or 1), str(recipe.root.name)))
        say(f"Wrote {html}.")
    is_model = recipe.root.kind == "module" and not lens
    deep = 99 if full else depth if depth is not None else (99 if is_model and not path else 1)
    shown = lines(opened, depth=deep, details=full or not is_model or bool(path))
    course = course_of_subject(here(), subject)
    document = {"schema": "palate.recipe-view/1", "id": recipe.id, "view": asdict(opened), "notes": list(notes)}
    put_out(
        {**document, **({"course": course} if course else {})},
        [*shown, *(f"! {note}" for note in notes), *course],
        as_json=as_json,
    )


def show_parent(recipe: Recipe, *, as_json: bool) -> None:
    """Show a recipe as its nearest earlier one of the project and the difference."""
    earlier = [(key, known) for key, known in Recipes(here().home).all() if known.id != recipe.id]
    descent = Family([known.root for _, known in earlier]).descent(recipe.root)
    name = None if descent.parent is None else earlier[descent.parent][0]
    told_ = [f"{name}   {descent.lines} lines for {descent.settings} settings", *map(edit_words, descent.edits)]
    if name is None:
        told_ = [f"No earlier recipe of this project is near: it stands for itself, {descent.settings} settings."]
    document = {
        "schema": "palate.recipe-parent/1",
        "parent": name,
        "lines": descent.lines,
        "settings": descent.settings,
    }
    put_out({**document, "edits": [edit_words(edit) for edit in descent.edits]}, told_, as_json=as_json)


@command.command("diff")
@click.argument("before")
@click.argument("after", required=False)
@click.option("--declare", "declared", multiple=True, metavar="CHUNK", help="What was meant to change: model, lr ...")
@click.option("--full", is_flag=True, help="A line for every change.")
@reading_options
@json_option
def diff_(
    before: str, after: str | None, declared: tuple[str, ...], full: bool, meta: bool, loader: str, as_json: bool
) -> None:
    """Show what differs between two recipes, chunk by chunk, each change with its reason.

    BEFORE and AFTER are what `palate recipe show` takes; an experiment alone stands for its two arms.

    \b
    palate recipe diff 8B_full.yaml 8B_lora.yaml --declare model
    palate recipe diff last
    """
    difference = difference_of(before, after, declared, Reading(loader=loader, meta=meta))
    put_out(difference_document(difference), difference_lines(difference, full=full), as_json=as_json)


def difference_of(before: str, after: str | None, declared: tuple[str, ...], reading: Reading) -> Difference:
    """Compare what two texts point at, or the two arms of one experiment."""
    if after is None:
        one, other, meant = arms_of(here(), before)
        return explain(one, other, declared=[*meant, *declared], entailed=other)
    return explain(find_recipe(before, here(), reading), find_recipe(after, here(), reading), declared=declared)


def difference_document(difference: Difference) -> dict[str, Any]:
    """Return a difference as plain JSON data."""
    changes = [
        {
            "path": path_text(c.edit.path),
            "chunk": c.role,
            "reason": c.reason,
            "comparable": c.edit.comparable,
            "settings": c.settings,
            "before": _side(c.edit.before),
            "after": _side(c.edit.after),
        }
        for c in difference.changes
    ]
    confounded = difference.confounders
    return {
        "schema": "palate.recipe-diff/1",
        "changes": changes,
        "chunks": [asdict(line) for line in lines_of(difference)],
        "same": dict(difference.same),
        "unknown": [path_text(change.edit.path) for change in difference.unknown],
        **({"unseen": list(difference.unseen)} if difference.unseen else {}),
        "confounders": sum(change.settings for change in confounded),
        "words": difference_lines(difference),
    }


def _side(item: Any) -> Any:
    if item is None:
        return None
    if isinstance(item, Setting):
        return {"value": encode(item.value), "origin": item.origin.value, "source": item.source}
    return {"settings": [_side(part) for part in item.items]} if isinstance(item, Chunk) else None


@command.command("why")
@click.argument("path")
@click.argument("subject", default="last")
@reading_options
@json_option
def why(path: str, subject: str, meta: bool, loader: str, as_json: bool) -> None:
    """Say why a setting is what it is: its value, who set it, what overrode it, since when.

    \b
    palate recipe why optimiser.lr train.py
    palate recipe why lr config.yaml
    """
    recipe = find_recipe(subject, here(), Reading(loader=loader, meta=meta))
    chain = chain_of(recipe, path, Recipes(here().home).all())
    put_out({"schema": "palate.recipe-why/1", "path": path, "chain": chain}, chain, as_json=as_json)


@command.command("check")
@click.argument("subject")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@reading_options
@json_option
def check(subject: str, arguments: tuple[str, ...], meta: bool, loader: str, as_json: bool) -> None:
    """Name what is not as it looks: dead and rewritten settings, forgotten parameters, ties, the incomparable."""
    recipe = find_recipe(subject, here(), Reading(loader=loader, meta=meta, arguments=arguments))
    notes = [*((note.kind, note.path, note.words) for note in recipe.notes), *_unknown(recipe)]
    unseen = unseen_of([replace(recipe, notes=())])
    shown = [f"{kind:<11} {words}" for kind, _, words in notes]
    if not shown:
        shown.append(f"Nothing that is not as it looks{', of what was read' if unseen else ''}.")
    shown += [f"not seen    {words}" for words in unseen]
    document = {
        "schema": "palate.recipe-check/1",
        "notes": [dict(zip(("kind", "path", "words"), note, strict=True)) for note in notes],
        **({"unseen": list(unseen)} if unseen else {}),
    }
    put_out(document, shown, as_json=as_json)


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}.") from error


def _unknown(recipe: Recipe) -> list[tuple[str, str, str]]:
    from palate.recipe.numbering import holds_unknown
    from palate.recipe.tree import leaves
    from palate.recipe.words import value_words

    return [
        (
            "unknown",
            path_text(path),
            f"{path_text(path)} is {value_words(setting.value)}: it can be compared with nothing",
        )
        for path, setting in leaves(recipe.root)
        if holds_unknown(setting.value)
    ]


@command.command("export")
@click.argument("subject")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="A file; else standard output.")
@reading_options
@json_option
def export(subject: str, output: Path | None, meta: bool, loader: str, as_json: bool) -> None:
    """Write a recipe as one JSON document, exactly: every value with its type, who decided it, where."""
    recipe = find_recipe(subject, here(), Reading(loader=loader, meta=meta))
    if output is not None:
        _write(output, dumps(recipe))
        put_out({"schema": "palate.recipe-export/1", "file": str(output)}, [f"Wrote {output}."], as_json=as_json)
        return
    click.echo(json.dumps(to_document(recipe)))


command.add_command(chunks_command)
