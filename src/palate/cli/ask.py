"""Put one question through the loop, from the command line."""

import math
import os
from dataclasses import dataclass
from pathlib import Path

import click

from palate.cli.common import at_terminal, here, put_out, say
from palate.cli.progress import watch
from palate.cli.prompt import choose_forecast
from palate.errors import InputError
from palate.loop.ask import author_of, kitchen_of
from palate.loop.hidden import Inside, refuse_confounded, refuse_unread
from palate.loop.ledger import terms_of
from palate.loop.question import Question
from palate.loop.report import Report
from palate.loop.run import run_question
from palate.loop.split import run_split
from palate.recipe.report import told as told_lines
from palate.recipe.report import words_of
from palate.recipe.settings import show_value
from palate.store.config import read_config
from palate.verdict.outlook import smallest_confirmable
from palate.verdict.rule import Terms
from palate.verdict.words import size_words


def answer(
    question: Question,
    *,
    said: str | None,
    no_forecast: bool,
    as_json: bool,
    workers: int | None,
    threads: int | None,
    timeout_s: float | None,
    declared: tuple[str, ...] = (),
    strict: bool = False,
    schema: str = "palate.report/1",
    more: tuple[str, ...] = (),
) -> Report:
    """Show the question, get the forecast, run, and print the report."""
    config = read_config(Path.cwd(), os.environ)
    choice = choose_forecast(said, no_forecast=no_forecast, as_json=as_json)
    if not as_json:
        introduce(question, terms_of(here().chain, question))
    display = watch(question, as_json=as_json)
    with display:
        report = run_question(
            here(),
            question,
            kitchen=kitchen_of(config, workers=workers, threads=threads, timeout_s=timeout_s),
            watcher=display,
            author=author_of(config),
            ask=choice,
            forecast=choice.forecast,
            declared=declared,
            inform=Told(strict=strict, as_json=as_json),
        )
    put_out(
        {**report.document(), "schema": schema, "next": [*more, *report.next_commands()]},
        told(report, more),
        as_json=as_json,
    )
    return report


@dataclass(frozen=True, slots=True)
class Told:
    """Tells what differs between the arms; asks before arms run that differ in more than was declared.

    Attributes:
        strict: refuse such arms instead.
        as_json: say nothing, and ask nobody.
    """

    strict: bool
    as_json: bool

    def __call__(self, question: Question, inside: Inside) -> None:
        """Tell, ask, or refuse."""
        difference = inside.difference
        if self.strict:
            refuse_confounded(difference)
            if question.target.learns and not inside.read:
                refuse_unread(question)
        if self.as_json:
            return
        for line in _inside_lines(question, inside):
            say(line)
        if difference.confounders:
            for line in told_lines(difference):
                say(f"           {line}")
            if at_terminal() and not click.confirm("Run it all the same?", default=False, err=True):
                refuse_confounded(difference)


def _inside_lines(question: Question, inside: Inside) -> list[str]:
    """Say what follows from the change, what is hidden, and what nobody looked at."""
    follows = inside.difference.of("entailed")
    lines = [f"Dead       {words}" for words in inside.dead]
    if follows:
        count = sum(change.settings for change in follows)
        lines.append(f"Follows    {words_of(follows)}   ({count} setting{'s' if count != 1 else ''})")
    if inside.difference.confounders:
        lines.append(f"Hidden     {len(inside.difference.confounders)} changes that were not declared:")
    elif inside.read:
        lines.append("Hidden     nothing up to the first optimizer step (0 hidden)")
    elif question.target.learns:
        lines.append("Hidden     not known: the arms could not be read before they run (palate dry tells why)")
    return lines


def answer_split(
    question: Question,
    *,
    said: str | None,
    no_forecast: bool,  # noqa: ARG001  a split is never forecast
    as_json: bool,
    workers: int | None,
    threads: int | None,
    timeout_s: float | None,
) -> None:
    """Run the cells of a split, and print whose gain it is."""
    if said is not None:
        raise InputError(
            "--forecast does not go with --split.",
            why="A forecast answers one question; a split asks one for each change and each pair of them.",
            todo="Leave it out, or ask about one change at a time.",
        )
    if not as_json:
        introduce(question)
    kitchen = kitchen_of(read_config(Path.cwd(), os.environ), workers=workers, threads=threads, timeout_s=timeout_s)
    with watch(question, as_json=as_json) as display:
        report = run_split(here(), question, kitchen, display)
    put_out(report.document(), report.lines(), as_json=as_json)


def introduce(question: Question, terms: Terms | None = None) -> None:
    """Show what is about to be asked, and what the budget can confirm where the project knows its noise."""
    settings = "  ".join(f"{name} {show_value(value)}" for name, value in question.target.settings.items())
    changed = ", ".join(str(change) for change in question.changes)
    say(f"Baseline   {question.target.label}   {settings}")
    say(f"Change     {changed}   ({len(question.changes)} declared)")
    say(f"Question   {question.text}   at most {question.budget} seed pairs")
    if terms is not None and terms.noise is not None:
        spread = math.sqrt(terms.noise.variance)
        half, sure = (size_words(x, question.metric, spread) for x in smallest_confirmable(spread, question.budget))
        say(f"Budget     {question.budget} pairs confirm {half} with even chance, {sure} nearly always")


def told(report: Report, more: tuple[str, ...] = ()) -> list[str]:
    """Give the report's lines, with what to type next."""
    commands = [*more, *report.next_commands()][:4]
    return [*report.lines(), "Next: " + " | ".join(commands)]
