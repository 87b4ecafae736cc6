"""`palate dry`: a training up to its first optimizer step, and what is in force there."""

import os
from dataclasses import replace
from pathlib import Path

import click

from palate.cli.common import here, json_option, module_option, pointed_at, put_out, say
from palate.cli.recipe import difference_document
from palate.errors import RunsFailedError
from palate.loop.ask import resources_of
from palate.question.target import find_target
from palate.recipe.difference import difference_lines, explain
from palate.recipe.document import to_document
from palate.recipe.settings import parse_assignments
from palate.recipe.tree import path_text
from palate.recipe.view import lines
from palate.store.config import read_config
from palate.store.recipes import Recipes
from palate.training.dry import capture_arms
from palate.training.launch import Engines
from palate.vocabulary import BASELINE, TREATMENT


@click.command("dry")
@click.argument("target")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@module_option
@click.option("-c", "--change", "changes", multiple=True, metavar="NAME=VALUE", help="Hold a change against it too.")
@click.option("--full", is_flag=True, help="A line for every change.")
@click.option("--timeout", "timeout_s", type=click.FloatRange(min=0, min_open=True), help="Seconds it may take.")
@json_option
def command(
    target: str,
    arguments: tuple[str, ...],
    as_module: bool,
    changes: tuple[str, ...],
    full: bool,
    timeout_s: float | None,
    as_json: bool,
) -> None:
    """Run TARGET up to its first optimizer step and show what is in force; nothing is trained.

    \b
    palate dry train.py
    palate dry train.py -c lr=3e-3 -- --epochs 5
    """
    trained = find_target(pointed_at(target, as_module=as_module), arguments)
    declared = trained.changes(parse_assignments(changes))
    arms = {BASELINE: (), **({TREATMENT: declared} if declared else {})}
    resources = replace(resources_of(here(), read_config(Path.cwd(), os.environ), target=trained), workers=len(arms))
    with Engines(resources) as engines:
        engines.say = say
        recipes = capture_arms(trained, arms, engines=engines, home=here().home, within_s=timeout_s)
    if len(recipes) < len(arms):
        raise RunsFailedError(
            f"{target} did not reach its first optimizer step within {timeout_s:g} s, or failed before it.",
            todo=f"palate dry {target}   waits, and says why",
        )
    recipe = recipes[BASELINE]
    document = {"schema": "palate.dry/1", "recipe": to_document(recipe), "notes": [n.words for n in recipe.notes]}
    words = Recipes(here().home).words()
    shown = [*lines(recipe.view(vocabulary=words.named)), *(f"! {note.words}" for note in recipe.notes)]
    if declared:
        names = [path_text(("settings", change.path)) for change in declared]
        difference = explain(recipe, recipes[TREATMENT], declared=names, entailed=recipes[TREATMENT])
        document["difference"] = difference_document(difference)
        shown += ["", *difference_lines(difference, full=full)]
    put_out(document, shown, as_json=as_json)
