"""What follows the gut answer: both arms are read, the reference is shown, the runs go, the report is printed."""

import math
from dataclasses import dataclass

import click

from palate.cli.common import at_terminal, here, put_out, say
from palate.cli.terminal.progress import watch
from palate.cli.terminal.prompt import ask_revision
from palate.forecast.answer import Said
from palate.forecast.chances import Reference
from palate.loop.ask import Opening
from palate.loop.confounders import Inside, refuse_confounded, refuse_unread
from palate.loop.judge import terms_of
from palate.loop.report import Report
from palate.loop.run import Shown, keep, run_question
from palate.loop.split import run_split
from palate.question.question import Question
from palate.recipe.difference import difference_lines, words_of
from palate.training.launch import Kitchen
from palate.verdict.outlook import smallest_confirmable
from palate.verdict.words import size_words


def answer_opened(
    opened: Opening,
    *,
    kitchen: Kitchen,
    as_json: bool,
    declared: tuple[str, ...],
    strict: bool,
    ask_only: bool,
    schema: str,
    more: tuple[str, ...],
) -> None:
    """Run a question that is open, and print the report."""
    if not as_json:
        _say_budget(opened.question)
    display = watch(opened.question, as_json=as_json)
    with display:
        report = run_question(
            here(),
            opened,
            kitchen=kitchen,
            watcher=display,
            declared=declared,
            inform=Told(strict=strict, as_json=as_json),
            revise=keep if as_json else show_reference,
            run=not ask_only,
        )
    document = {**report.document(), "schema": schema, "next": [*more, *report.next_commands()]}
    put_out(document, told(report, more), as_json=as_json)


def run_cells(question: Question, kitchen: Kitchen, *, as_json: bool) -> None:
    """Run the cells of a split, and print whose gain it is."""
    with watch(question, as_json=as_json) as display:
        report = run_split(here(), question, kitchen, display)
    put_out(report.document(), report.lines(), as_json=as_json)


def show_reference(question: Question, shown: Shown) -> Said | None:
    """Show the reference and the nearest past cases, and ask for the one revision; nothing where the past is empty."""
    if not shown.cases:
        return None
    for line in reference_lines(shown.gut.reference, shown.cases):
        say(line)
    return ask_revision(question, shown.gut.said)


def reference_lines(reference: Reference, cases: tuple[str, ...]) -> list[str]:
    """Say what the reference forecasts, by whom, and what came of the nearest past changes."""
    believed = ", ".join(
        f"{name} {weight:.0%}" for name, weight in sorted(reference.weights.items(), key=lambda pair: -pair[1])[:3]
    )
    plural = "s" if reference.outcomes != 1 else ""
    lines = [f"Reference  {reference.chances}   ({believed}; {reference.outcomes} past outcome{plural})"]
    return [*lines, *(f"{'Like it' if not place else '':<10} {case}" for place, case in enumerate(cases))]


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
            for line in difference_lines(difference):
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


def _say_budget(question: Question) -> None:
    """Say what the budget can confirm, where the project knows its noise."""
    noise = terms_of(here().chain, question).noise
    if noise is not None:
        spread = math.sqrt(noise.variance)
        half, sure = (size_words(x, question.metric, spread) for x in smallest_confirmable(spread, question.budget))
        say(f"Budget     {question.budget} pairs confirm {half} with even chance, {sure} nearly always")


def told(report: Report, more: tuple[str, ...] = ()) -> list[str]:
    """Give the report's lines, with what to type next."""
    commands = [*more, *report.next_commands()][:4]
    return [*report.lines(), "Next: " + " | ".join(commands)]
