"""`palate run`."""

import shlex
from dataclasses import replace

import click

from palate.cli.ask import answer, answer_split
from palate.cli.common import (
    MARGIN,
    RunOptions,
    budget_of,
    goal_asker,
    here,
    json_option,
    margin_asker,
    module_option,
    pointed_at,
    run_options,
    say,
)
from palate.cli.metric import ask_metric, pattern_for
from palate.errors import InputError
from palate.loop.ask import question_about
from palate.loop.incumbent import adopted_named, begin_from
from palate.question.edit import Edit, edit_between
from palate.question.launched import starts_others
from palate.question.question import real_changes
from palate.question.target import Target, find_target
from palate.recipe.settings import parse_assignments
from palate.store.project import Project
from palate.vocabulary import Goal


class _Run(click.Command):
    """Takes a command apart from palate's own options."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the command line; where it has an option of a command that stands in it, say where that belongs."""
        typed = list(args)
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            place = next((n for n, word in enumerate(typed) if starts_others(word)), None)
            if place is None or "--" in typed:
                raise
            before, command = shlex.join(typed[:place]), shlex.join(typed[place:])
            raise InputError(
                f"{error.option_name} is no option of palate run.",
                why="A command with options of its own stands behind --, and palate's options in front.",
                todo=f"palate run {before or '-c name=value'} -- {command}",
            ) from error


@click.command("run", cls=_Run, context_settings={"ignore_unknown_options": False})
@click.argument("target")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@module_option
@click.option(
    "-c", "--change", "changes", multiple=True, metavar="NAME=VALUE", help="What the treatment has different."
)
@click.option("--against", default="", metavar="REV|FOLDER", help="The baseline's code; the change is your edit of it.")
@click.option("--try", "tried", default="", metavar="REV", help="The change's code; the baseline is your working tree.")
@click.option("--metric", help="The metric that is judged, as it is logged.")
@click.option(
    "--metric-from",
    metavar="PATTERN",
    help="How the metric stands in what is printed, where palate does not find it: 'acc[=: ]+([0-9.]+)'.",
)
@click.option(
    "--goal", type=click.Choice(["max", "min"]), help="Which way is better; told by the metric's name if clear."
)
@click.option("--take", type=click.Choice(["last", "best"]), default="last", help="Which value of the curve counts.")
@click.option(
    "--margin",
    type=MARGIN,
    help="Smallest difference that matters: 0.003 as it is logged, or 0.3pt; as kept for the metric, else 1 seed sd.",
)
@click.option("--data", multiple=True, type=click.Path(), help="Files or folders whose content is part of a run.")
@click.option("--split", is_flag=True, help="Run the cells that tell whose gain it is, of several changes.")
@click.option("--declare", "declared", multiple=True, metavar="CHUNK", help="What else is meant to change, as model.")
@click.option("--strict", is_flag=True, help="Refuse arms that differ in more than was declared.")
@click.option("--from-start", is_flag=True, help="Leave out what was adopted: the baseline is your files as they are.")
@click.option("--first", type=click.IntRange(1, 100), help="Stop after so many pairs for now, settled or not.")
@click.option(
    "--ask",
    "ask_only",
    is_flag=True,
    help="Seal the question and your forecast; run only what measures the noise, where no margin is known.",
)
@run_options
@json_option
def command(
    target: str,
    arguments: tuple[str, ...],
    as_module: bool,
    changes: tuple[str, ...],
    against: str,
    tried: str,
    metric: str | None,
    metric_from: str | None,
    goal: Goal | None,
    take: str,
    margin: float | None,
    data: tuple[str, ...],
    split: bool,
    declared: tuple[str, ...],
    strict: bool,
    from_start: bool,
    first: int | None,
    ask_only: bool,
    options: RunOptions,
    as_json: bool,
) -> None:
    """Ask what a change does to TARGET, and run both arms in paired seeds until it is settled.

    TARGET is a Python file with an @palate.experiment function (train.py, or train.py:name), a script, a notebook,
    a function in a module (package.module:name), or, behind --, the command that starts it; with -m, a module as
    python -m starts it. What it logs to its own tracker, tables or screen is heard; so is
    palate.log(step, val_acc=...). ARGUMENTS behind -- go to both arms' scripts.

    \b
    palate run train.py -c lr=3e-3 --metric val_acc --forecast better:70
    palate run train.py -c label_smoothing=0.1 -- --epochs 5
    palate run -m package.train -c lr=3e-3 -- --epochs 5
    palate run -c lr=3e-3 --metric val_acc -- torchrun --nproc-per-node 2 train.py --epochs 5
    palate run train.py -c lr=3e-3 -c width=64 --split --no-forecast
    palate run train.py --against HEAD --metric val_acc
    """
    project, pointed = here(), pointed_at(target, as_module=as_module)
    trained, edit = _arms(project, pointed, arguments, against=against, tried=tried)
    if not from_start:
        trained, edit = _on_incumbent(project, trained, edit, pointed, arguments, as_json=as_json)
    assigned = parse_assignments(changes)
    with adopted_named(trained):
        real_changes(trained, assigned, edited=edit is not None)  # refused before anything is run
    if not (metric or trained.metric):
        metric = ask_metric(project, trained, changes, data, as_json=as_json)
        options = replace(options, decided=("--metric", metric) if metric else ())
    metric = metric or trained.metric
    if metric_from is not None and metric is not None:
        project.remember_pattern(*pattern_for(metric, metric_from))
    question = question_about(
        project,
        trained,
        assigned,
        data=data,
        metric=metric,
        goal=goal,
        ask=goal_asker(as_json=as_json),
        take=take,
        margin=margin,
        ask_margin=margin_asker(options, as_json=as_json),
        edit=edit,
        budget=budget_of(options.pairs),
    )
    if split:
        if ask_only:
            raise InputError("--ask does not go with --split.", why="A split is never forecast, so nothing is asked.")
        answer_split(project, question, options, as_json=as_json)
        return
    answer(
        project, question, options, as_json=as_json, declared=declared, strict=strict, ask_only=ask_only, first=first
    )


def _arms(
    project: Project, pointed: str, arguments: tuple[str, ...], *, against: str, tried: str
) -> tuple[Target, Edit | None]:
    """Find what is trained, and the edit that is asked about."""
    if not against and not tried:
        return find_target(pointed, arguments), None
    project.make()
    return edit_between(pointed, arguments, home=project.home, against=against, tried=tried)


def _on_incumbent(
    project: Project, trained: Target, edit: Edit | None, pointed: str, arguments: tuple[str, ...], *, as_json: bool
) -> tuple[Target, Edit | None]:
    """Put what was adopted into both arms, and say so."""
    begins = begin_from(project, trained, edit, text=pointed, arguments=arguments)
    for words in () if as_json else begins.words:
        say(f"Adopted    {words}")
    return begins.target, begins.edit
