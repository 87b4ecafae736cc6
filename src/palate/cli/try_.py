"""`palate try`."""

import importlib.util
from dataclasses import replace
from typing import Any

import click

from palate.cli.ask import answer
from palate.cli.common import cooking_options, json_option, say
from palate.cli.settings import budget_of
from palate.errors import NotFoundError
from palate.loop.ask import question_of
from palate.training.target import find_target

TASKS: dict[str, tuple[str, dict[str, Any], tuple[str, ...]]] = {
    "mnist1d": ("palate.examples.mnist1d_cnn:train", {"label_smoothing": 0.1}, ("torch", "mnist1d")),
    "digits": ("palate.examples.digits_mlp:train", {"hidden": 16}, ("sklearn",)),
}
MARGINS = {"mnist1d": 0.01, "digits": 0.005}


@click.command("try")
@click.option("--task", type=click.Choice(list(TASKS)), help="mnist1d: a small CNN (torch); digits: without torch.")
@cooking_options
@json_option
def command(task: str | None, pairs: int | None, **options: object) -> None:
    """See the whole loop on a real training: a forecast, paired seeds until settled, a verdict, a score."""
    chosen = task or next((name for name in TASKS if not missing(name)), "mnist1d")
    if missing(chosen):
        raise NotFoundError(
            f"The task {chosen} needs packages that are not installed: {', '.join(missing(chosen))}.",
            todo=('Install them:  pip install "palate[try]"', "Or try the other task:  palate try --task digits"),
        )
    if task is None and chosen != "mnist1d":
        say("torch is not installed, so this tries the task without it (digits).")
    name, changes, _ = TASKS[chosen]
    target = find_target(name)
    question = question_of(
        replace(target, label=name.partition(":")[0]), changes, margin=MARGINS[chosen], budget=budget_of(pairs)
    )
    answer(question, schema="palate.try/1", more=(f"palate run {name} -c lr=3e-3",), **options)  # type: ignore[arg-type]


def missing(task: str) -> list[str]:
    """Name the packages that a task needs and that are not there."""
    return [package for package in TASKS[task][2] if importlib.util.find_spec(package) is None]
