"""`palate try`."""

import importlib.util
from dataclasses import dataclass, replace
from typing import Any

import click

from palate.cli.ask import answer
from palate.cli.common import RunOptions, budget_of, here, json_option, run_options, say
from palate.errors import NotFoundError
from palate.ledger.ledger import Ledger
from palate.loop.ask import question_about
from palate.question.question import Question
from palate.question.target import find_target
from palate.store.project import Project


@dataclass(frozen=True, slots=True, kw_only=True)
class TryTask:
    """A training to try the loop on: what it needs, the smallest difference that matters, changes to ask about."""

    target: str
    needs: tuple[str, ...]
    margin: float
    changes: tuple[tuple[str, Any], ...]


TASKS = {
    "mnist1d": TryTask(
        target="palate.examples.mnist1d_cnn:train",
        needs=("torch", "mnist1d"),
        margin=0.01,
        changes=(("label_smoothing", 0.1), ("width", 24), ("lr", 3e-3), ("batch_size", 200), ("epochs", 10)),
    ),
    "digits": TryTask(
        target="palate.examples.digits_mlp:train",
        needs=("sklearn",),
        margin=0.005,
        changes=(("hidden", 16), ("lr", 3e-3), ("l2", 1e-1), ("epochs", 10)),
    ),
}


@click.command("try")
@click.option("--task", type=click.Choice(list(TASKS)), help="mnist1d: a small CNN (torch); digits: without torch.")
@run_options
@json_option
def command(task: str | None, options: RunOptions, as_json: bool) -> None:
    """See the whole loop on a real training: a forecast, paired seeds until settled, a verdict, a score.

    Each time another question is asked, with the baseline's runs used again; one that was interrupted goes on.
    """
    chosen = task or next((name for name in TASKS if not missing(name)), "mnist1d")
    if missing(chosen):
        raise NotFoundError(
            f"The task {chosen} needs packages that are not installed: {', '.join(missing(chosen))}.",
            todo=('Install them:  pip install "palate[try]"', "Or try the other task:  palate try --task digits"),
        )
    if task is None and chosen != "mnist1d":
        say("torch is not installed, so this tries the task without it (digits).")
    project = here()
    question = next_question(project, TASKS[chosen], budget_of(options.pairs))
    more = (f"palate run {TASKS[chosen].target} -c lr=3e-3", "palate try")
    answer(project, question, options, as_json=as_json, schema="palate.try/1", more=more)


def next_question(project: Project, task: TryTask, budget: int) -> Question:
    """Build the first question that has no verdict yet; the first one of all where each has one."""
    target = replace(find_target(task.target), label=task.target.partition(":")[0])
    questions = [
        question_about(project, target, dict([change]), margin=task.margin, budget=budget) for change in task.changes
    ]
    settled = Ledger.of(project.chain).having("verdict")
    return next((question for question in questions if question.experiment not in settled), questions[0])


def missing(task: str) -> list[str]:
    """Name the packages that a task needs and that are not there."""
    return [package for package in TASKS[task].needs if importlib.util.find_spec(package) is None]
