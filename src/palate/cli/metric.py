"""`palate metric`; and which metric is judged, where nobody says it: a person is offered what a training logs."""

import os
import re
from pathlib import Path

import click

from palate.cli.common import MARGIN, at_terminal, here, json_option, put_out, say
from palate.errors import InputError
from palate.loop.metric import WORDS
from palate.loop.terms import in_logged_unit
from palate.question.target import Target
from palate.store.config import read_config
from palate.store.peek import widest
from palate.store.project import Project
from palate.verdict.words import size_words
from palate.vocabulary import goal_of_name, name_metric


@click.command("metric")
@click.argument("name")
@click.option("--margin", type=MARGIN, help="Smallest difference that matters: 0.003 as it is logged, or 0.3pt.")
@json_option
def command(name: str, margin: float | None, as_json: bool) -> None:
    """Show what this project keeps of the metric NAME, or keep its margin for questions that are asked from now on.

    Questions that are sealed keep the margin that they were sealed with.

    \b
    palate metric val_acc
    palate metric val_acc --margin 0.3pt
    """
    project = here()
    ends = widest(project.catalog, name)
    goal = project.goals.get(name) or goal_of_name(name) or "max"
    metric = name_metric(name, goal)
    if margin is not None:
        project.keep_margin(name, in_logged_unit(metric, margin, ends) or margin)
    kept, shown = project.margins.get(name), metric.shown_for(ends)
    known_goal = project.goals.get(name) or goal_of_name(name)
    document = {"schema": "palate.metric/1", "metric": name, "goal": known_goal, "margin": kept, "ends": list(ends)}
    words = (
        size_words(kept, shown, kept) if kept is not None else "none is kept; 1 seed sd is measured for each question"
    )
    better = WORDS[known_goal] if known_goal else "not known which way is better"
    put_out(document, [f"{name}: {better}.", f"Smallest difference that matters: {words}."], as_json=as_json)


def ask_metric(
    project: Project, target: Target, changes: tuple[str, ...], data: tuple[str, ...], *, as_json: bool
) -> str | None:
    """Ask which of the metrics is judged that the training logs; it is run once where that is not known yet.

    Returns:
        the name; None where the script calls palate itself, and so says its names in its own code.

    Raises:
        InputError: there is nobody to ask; the commands that can be typed are named.
    """
    if _calls_palate(target):
        return None
    from palate.loop.first import first_run  # slow, and rarely needed here
    from palate.loop.logged import which_metric

    say(f"{target.label}: no metric is named, so its baseline is run once to hear what it logs.")
    logged = first_run(project, target, read_config(Path.cwd(), os.environ), data)
    refused = which_metric(target, logged, [f"-c {one}" for one in changes])
    if as_json or not at_terminal() or not logged.names:
        raise refused
    for line in (refused.what, *refused.why):
        say(line)
    name: str = click.prompt("Which one is judged?", type=click.Choice(list(logged.names)), err=True)
    return name


def pattern_for(metric: str | None, text: str) -> tuple[str, str]:
    """Return a metric, and the pattern that finds it in printed lines.

    Raises:
        InputError: no metric is named, or it is no pattern.
    """
    if metric is None:
        raise InputError("--metric-from is given without a metric.", todo="Name it: --metric acc --metric-from ...")
    return metric, _pattern(text)


def _pattern(text: str) -> str:
    try:
        groups = re.compile(text).groups
    except re.error as error:
        raise InputError(f"--metric-from {text!r} is no pattern: {error}.", todo=_EXAMPLE) from error
    if groups != 1:
        raise InputError(
            f"--metric-from {text!r} has {groups} groups.",
            why="The one group, in round brackets, is where the number stands.",
            todo=_EXAMPLE,
        )
    return text


_EXAMPLE = "For example: --metric-from 'acc[=: ]+([0-9.]+)'"


def _calls_palate(target: Target) -> bool:
    if target.task.kind not in ("script", "command") or not target.task.file:
        return True
    return "palate" in Path(target.task.file).read_text(encoding="utf-8", errors="replace")
