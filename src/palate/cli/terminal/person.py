"""The person at a command: asked by keys, told on standard error; light to import."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Self

import click

from palate.cli.common import at_terminal, say
from palate.cli.terminal.ahead import Ahead
from palate.cli.terminal.prompt import ask_first, ask_revision
from palate.errors import InputError
from palate.forecast.answer import Said, parse_forecast
from palate.forecast.chances import Reference
from palate.ledger.records import SealedForecast
from palate.loop.ask import ArmsRead, Shown, WatchEvent
from palate.question.question import Question

if TYPE_CHECKING:
    from palate.cli.terminal.progress import Display


class AtCommand:
    """Whoever typed a command. Use it as a context: leaving it takes the progress display away.

    Args:
        question: what the command is about; for the progress display.
        as_json: say nothing, and ask nobody: one document is all that is printed.
        said: the forecast, given as a flag.
        asks: whether the person is asked for a forecast where one is missing.
        strict: refuse arms that differ in more than was declared, instead of asking.
        ahead: gets ready what follows the answer, while the person thinks.
        before_runs: what else is told once the forecast is done with, before runs start.
    """

    def __init__(
        self,
        question: Question,
        *,
        as_json: bool,
        said: Said | None = None,
        asks: bool = False,
        strict: bool = False,
        ahead: Ahead | None = None,
        before_runs: Callable[[Question], None] | None = None,
    ) -> None:
        self.said = said
        self._question = question
        self._as_json = as_json
        self._asks = asks
        self._strict = strict
        self._ahead = ahead
        self._before_runs = before_runs
        self._display: Display | None = None
        self._sealed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._display is not None:
            self._display.close()

    def ask(self, question: Question) -> Said | None:
        """Ask for the first answer; None is a skip.

        Raises:
            InputError: there is nobody to ask.
        """
        if not self._asks:
            return None
        if self._as_json or not at_terminal():
            raise InputError(
                "A forecast is missing, and there is no terminal to ask at.",
                why=question.text,
                todo=(
                    "Say what you think will happen:  --forecast better:80   (worse, same, better or crash; 34 to 97)",
                    "Or explore without one:          --no-forecast",
                ),
            )
        said = ask_first(question, lambda: self._get_ahead(question), self._seed_sd)
        if self._ahead is not None:
            self._ahead.wait()
        return said

    def _seed_sd(self) -> float | None:
        return None if self._ahead is None else self._ahead.seed_sd()

    def _get_ahead(self, question: Question) -> None:
        if self._ahead is not None:
            self._ahead.start(question)

    def inform(self, question: Question, inside: ArmsRead) -> None:
        """Tell what differs between the arms; ask before arms run that differ in more than was declared.

        Raises:
            ConfoundedError: they do, and that was refused.
        """
        from palate.loop.confounders import refuse_confounded, refuse_unread

        if self._strict:
            refuse_confounded(inside.difference, sealed=self._sealed)
            if question.target.learns and not inside.read:
                refuse_unread(question)
        if self._as_json:
            return
        if self._before_runs is not None:
            self._before_runs(question)
        for line in _difference_lines(question, inside):
            say(line)
        self._confirm_confounded(inside)

    def _confirm_confounded(self, inside: ArmsRead) -> None:
        from palate.loop.confounders import refuse_confounded
        from palate.recipe.difference import difference_lines

        if inside.difference.confounders:
            for line in difference_lines(inside.difference):
                say(f"           {line}")
            if at_terminal() and not click.confirm("Run it all the same?", default=False, err=True):
                refuse_confounded(inside.difference, sealed=self._sealed)

    def revise(self, question: Question, shown: Shown) -> Said | None:
        """Show the reference and the nearest past cases, and ask for the one revision; nothing without a past."""
        if self._as_json or self.said is not None or not shown.cases:
            return None
        for line in reference_lines(shown.first.reference, shown.cases):
            say(line)
        return ask_revision(question, shown.first.said, self._seed_sd)

    def watch(self, event: WatchEvent) -> None:
        """Show progress: bars on a terminal, lines elsewhere, nothing beside `--json`."""
        if self._display is None:
            from palate.cli.terminal.progress import display_for  # numpy

            self._display = display_for(self._question, as_json=self._as_json)
        self._sealed = self._sealed or isinstance(event, SealedForecast)
        self._display.show(event)


def choose_forecast(text: str | None, *, no_forecast: bool, why: str = "") -> Said | None:
    """Read the forecast that flags give; None where they give none.

    Raises:
        ForecastTextError: the flag cannot be read.
        InputError: flags that contradict each other.
    """
    if text is not None and no_forecast:
        raise InputError("--forecast and --no-forecast contradict each other.", todo="Give one of them.")
    if text is not None:
        return parse_forecast(text, why)
    if why:
        raise InputError("--why goes with --forecast.", todo='--forecast better:80 --why "less overfitting"')
    return None


def reference_lines(reference: Reference, cases: tuple[str, ...]) -> list[str]:
    """Say what the reference forecasts, by whom, and what came of the nearest past changes."""
    members = ", ".join(
        f"{name} {weight:.0%}" for name, weight in sorted(reference.weights.items(), key=lambda pair: -pair[1])[:3]
    )
    plural = "s" if reference.outcomes != 1 else ""
    lines = [f"Reference  {reference.chances}   ({members}; {reference.outcomes} past outcome{plural})"]
    return [*lines, *(f"{'Like it' if not place else '':<10} {case}" for place, case in enumerate(cases))]


def _difference_lines(question: Question, inside: ArmsRead) -> list[str]:
    """Say what follows from the change, what is hidden, and what nobody looked at."""
    from palate.recipe.difference import words_of

    if question.target.fork is not None:
        return ["Hidden     nothing: both arms leave one capsule, and a control of the same kind is beside each"]
    follows = inside.difference.of("entailed")
    lines = [f"Dead       {words}" for words in inside.dead]
    if follows:
        count = sum(change.settings for change in follows)
        lines.append(f"Follows    {words_of(follows)}   ({count} setting{'s' if count != 1 else ''})")
    if inside.difference.confounders:
        lines.append(f"Hidden     {len(inside.difference.confounders)} changes that were not declared:")
    elif inside.read:
        unseen = "; ".join(inside.difference.unseen)
        lines.append(f"Hidden     nothing up to the first optimizer step (0 hidden){unseen and f'; {unseen}'}")
    elif question.target.learns:
        lines.append("Hidden     not known: the arms could not be read before they run (palate dry tells why)")
    return lines
