"""What commands share: options, where the project is, how results are put out."""

import functools
import json
import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

import click

from palate.cli.plain import shown
from palate.errors import InputError
from palate.ledger.records import Author
from palate.loop.author import author_of
from palate.question.started import MODULE
from palate.store.config import read_config
from palate.store.project import Project, find_project
from palate.vocabulary import Goal

if TYPE_CHECKING:
    from palate.loop.metric import AskGoal
    from palate.loop.sittings import Held
    from palate.loop.terms import AskMargin, ProjectNoise
    from palate.question.question import Question

LABEL = 11
"""Columns that a label in front of a line takes."""

Command = TypeVar("Command", bound=Callable[..., Any])


def json_option(command: Command) -> Command:
    """Add `--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document and nothing else.")(command)


def module_option(command: Command) -> Command:
    """Add `-m`; the command gets it as `as_module`."""
    return click.option("-m", "--module", "as_module", is_flag=True, help="TARGET is a module, as for python -m.")(
        command
    )


def pointed_at(target: str, *, as_module: bool) -> str:
    """Return the text that a target is found by."""
    return f"{MODULE}{target}" if as_module else target


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """What a command that runs a question takes besides the question; None where it is not given.

    Attributes:
        said, why, no_forecast: the forecast.
        pairs: seed pairs that it may cost at most.
        workers, per_gpu, threads, timeout_s: what runs are carried out with.
        author, agent: who forecasts.
        hours: that runs are started for at most.
        detach: go on in a process of its own.
        sitting: the one that this process was started for.
        decided: options that a person was asked for, as they are typed.
    """

    said: str | None
    why: str
    no_forecast: bool
    pairs: int | None
    workers: int | None
    per_gpu: int | None
    threads: int | None
    timeout_s: float | None
    author: str | None
    agent: bool | None
    hours: float | None = None
    detach: bool = False
    sitting: "Held | None" = None
    decided: tuple[str, ...] = ()

    @property
    def detaches(self) -> bool:
        """Whether what is asked here goes on elsewhere."""
        return self.detach and self.sitting is None


class MarginType(click.ParamType):  # type: ignore[type-arg]  # of newer stubs only
    """A margin on the command line: .003, or .3pt."""

    name = "margin"

    def convert(self, value: Any, _: Any, __: Any) -> Any:
        """Read it; what is no margin is refused as everything else is."""
        from palate.loop.terms import read_margin

        return read_margin(value) if isinstance(value, str) else value


MARGIN = MarginType()


def margin_asker(options: RunOptions, *, as_json: bool) -> "AskMargin | None":
    """Return what asks for the smallest difference that matters; None where nobody is asked for a forecast either."""
    asks = options.said is None and not options.no_forecast and options.sitting is None
    return _ask_margin if asks and not as_json and at_terminal() else None


def _ask_margin(question: "Question", noise: "ProjectNoise | None", ends: tuple[float, ...]) -> float | None:
    """Ask until a number is plausible, or Enter leaves it to what is measured."""
    from palate.loop.terms import refuse_implausible
    from palate.verdict.boundary import check_margin
    from palate.verdict.words import size_words

    metric = question.shown
    unit = metric.unit.strip() or f"as {metric.name} is logged"
    known = f"another seed alone: {size_words(noise.sd, metric, noise.sd)}" if noise else "Enter: measured first"
    enter = "   Enter: that" if noise else ""
    while True:
        text = click.prompt(
            f"Smallest difference of {shown(metric.name)} that matters, {unit}?   ({known}{enter})",
            default="",
            show_default=False,
            err=True,
        ).strip()
        if not text:
            return None
        try:
            margin = float(text.lower().removesuffix("points").removesuffix("pt").removesuffix("%")) / metric.scale
            check_margin(margin)
            refuse_implausible(metric, margin, noise)
            if ends and noise is None and margin > max(ends[-1] - ends[0], abs(ends[-1])):
                raise InputError(f"{text} is more than {metric.name} ever was ({ends[-1] * metric.scale:g}).")
        except ValueError:
            say(f"{text!r} is no number: .3, for example.")
        except InputError as refused:
            say(refused.what)
        else:
            return margin


def judged_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add what says by which metric arms are judged: `metric`, `goal` and `margin`."""
    for option in (
        click.option(
            "--margin", type=MARGIN, help="Smallest difference that matters: 0.003 as it is logged, or 0.3pt."
        ),
        click.option(
            "--goal", type=click.Choice(["max", "min"]), help="Which way is better; told by the metric's name if clear."
        ),
        click.option("--metric", help="The metric that is judged, as it is logged."),
    ):
        command = option(command)
    return command


_detach_option = click.option(
    "--detach", is_flag=True, help="Ask and seal here, then go on in a process of its own: palate watch."
)


def run_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add what decides how runs are carried out and who forecasts; the command gets it as `options`."""

    @functools.wraps(command)
    def with_options(**given: Any) -> Any:
        options = RunOptions(**{one.name: given.pop(one.name) for one in fields(RunOptions) if one.name in given})
        return in_sitting(lambda held: command(options=replace(options, sitting=held), **given))

    for option in (
        _detach_option,
        click.option(
            "--hours",
            type=click.FloatRange(min=0, min_open=True, max=10_000),
            help="Start no pair that would end later, by how long runs took so far.",
        ),
        click.option(
            "--timeout", "timeout_s", type=click.FloatRange(min=0, min_open=True), help="Seconds a run may take."
        ),
        click.option(
            "--threads", type=click.IntRange(min=1), help="CPU threads a run; OMP_NUM_THREADS counts if not given."
        ),
        click.option("--per-gpu", type=click.IntRange(min=0), help="Runs a GPU; 0 hides the GPUs."),
        click.option(
            "--workers",
            type=click.IntRange(min=1),
            help="Runs at a time; one a GPU, or as many as there are cores, if not given.",
        ),
        click.option("--pairs", type=click.IntRange(2, 100), help="Seed pairs it may cost at most; 20 if not given."),
        click.option("--no-forecast", is_flag=True, help="Explore without a forecast (not scored)."),
        click.option("--why", default="", help="A few words of why, kept with the forecast."),
        click.option(
            "--forecast",
            "said",
            metavar="FORECAST",
            help="What you think will happen: better:80, better:80:2-4 (seed sds), -0.01/0.02/0.05, or JSON.",
        ),
    ):
        with_options = option(with_options)
    return author_options(with_options)


def in_sitting(command: "Callable[[Held | None], Any]") -> Any:
    """Call a command; where this process was started for a sitting, with it, and its runs know nothing of that."""
    if "PALATE_SITTING" not in os.environ:
        return command(None)
    from palate.loop.attended import ending_kept
    from palate.loop.sittings import SITTING, inherited

    held = inherited(os.environ)
    del os.environ[SITTING]
    if held is None:
        return command(None)
    with ending_kept(held):
        return command(held)


def detachable(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--detach`; the command gets whether it is to go on elsewhere, and the sitting that it was started for."""

    @functools.wraps(command)
    def with_sitting(*, detach: bool, **given: Any) -> Any:
        return in_sitting(lambda held: command(detach=detach and held is None, sitting=held, **given))

    return _detach_option(with_sitting)


def author_options(command: Command) -> Command:
    """Add who forecasts."""
    command = click.option("--agent/--person", default=None, help="Whether an agent forecasts; as configured.")(command)
    return click.option("--author", help="Who forecasts; as configured, else the login name.")(command)


def here() -> Project:
    """Find the project that the command was called in; where its seal turns out to be broken, the exit status says so.

    What is whole is read and shown all the same.
    """
    project = find_project(Path.cwd(), os.environ)
    context = click.get_current_context(silent=True)
    if context is not None:
        context.call_on_close(lambda: _exit_broken(project))
    return project


def _exit_broken(project: Project) -> None:
    if project.chain.broken is not None and sys.exc_info()[0] is None:
        raise click.exceptions.Exit(project.chain.broken.exit_code)


def put_out(document: Mapping[str, Any], lines: Iterable[str], *, as_json: bool) -> None:
    """Print a result: one JSON document, or lines for people, on a terminal with no word cut at its edge.

    What a terminal would obey is shown as an escape: lines hold names and output that anybody may have written.
    """
    if as_json:
        click.echo(json.dumps(document, allow_nan=False))
    else:
        for line in lines:
            click.echo(_fitted(shown(line), sys.stdout))


def say(text: str = "") -> None:
    """Say something that is not a result, on standard error; on a terminal no word is cut at its edge."""
    click.echo(_fitted(shown(text), sys.stderr), err=True)


def _fitted(text: str, stream: TextIO | None) -> str:
    at_edge = stream is not None and stream.isatty()  # there is none where it was closed
    return folded(text, shutil.get_terminal_size().columns) if at_edge else text


def folded(text: str, columns: int) -> str:
    r"""Break a line between words where it is wider than a terminal; what goes on stands under what a label names.

    >>> folded("Question   lr 0.1 -> 0.2, all else equal: val_acc?", 32)
    'Question   lr 0.1 -> 0.2, all\n           else equal: val_acc?'
    """
    if len(text) <= columns or "\n" in text:
        return text
    labelled = text[LABEL - 2 : LABEL] == "  " and text[LABEL : LABEL + 1].strip()
    indent = " " * (LABEL if labelled else 2)
    wide = max(columns, 3 * LABEL)
    return textwrap.fill(text, wide, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def at_terminal() -> bool:
    """Whether a person can be asked."""
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stderr))


def goal_asker(*, as_json: bool) -> "AskGoal | None":
    """Return what asks which way a metric is better; None where there is nobody to ask."""
    return None if as_json or not at_terminal() else _ask_goal


def _ask_goal(metric: str) -> Goal:
    ways = click.Choice(["higher", "lower"], case_sensitive=False)
    return (
        "max"
        if click.prompt(f"{shown(metric)}: is higher better, or lower?", type=ways, err=True) == "higher"
        else "min"
    )


def budget_of(pairs: int | None) -> int:
    """Return the budget in seed pairs: the flag, else the preference."""
    return pairs or int(read_config(Path.cwd(), os.environ)["pairs"].value)


def whoami(name: str | None = None, agent: bool | None = None) -> Author:
    """Return who asks: the flags, else as configured, else the login name."""
    return author_of(read_config(Path.cwd(), os.environ), name, agent)
