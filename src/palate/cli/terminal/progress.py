"""Progress of a question: a bar for the seed pairs, a bar for each run that goes; plain lines without a terminal."""

import sys
import time
from pathlib import Path
from typing import Any, Protocol

from palate.cli.common import say
from palate.cli.plain import shown
from palate.errors import StoreError
from palate.forecast.answer import said_words
from palate.ledger.records import SealedForecast
from palate.loop.ask import Looked, Nobody, Noticed, RunEnded, RunsGoing, RunStarted, WatchEvent
from palate.loop.attended import length_of
from palate.loop.report import failure_reason
from palate.question.question import Question
from palate.store.reader import read_journal
from palate.verdict.words import effect_words

REFRESH_S = 0.4


class Display(Protocol):
    """Shows progress."""

    def show(self, event: WatchEvent) -> None:
        """Show what happened."""

    def close(self) -> None:
        """Take away what is not to stay on the screen."""


def display_for(question: Question, *, as_json: bool) -> Display:
    """Choose the display: bars on a terminal, lines elsewhere, nothing beside one JSON document."""
    if as_json:
        return Quiet()
    return Bars(question) if sys.stderr.isatty() else Lines(question)


class Quiet:
    """No progress; but what is waited for in vain is said, on standard error."""

    def show(self, event: WatchEvent) -> None:
        """Say what is waited for, and nothing else."""
        if isinstance(event, Noticed) and event.waits:
            say(event.words)

    def close(self) -> None:
        """Do nothing."""


class TellsWaits(Nobody):
    """A program that asks, whose person is told at least what is waited for in vain."""

    def watch(self, event: WatchEvent) -> None:
        """Say what is waited for, and nothing else."""
        Quiet().show(event)


class Lines:
    """Progress as one line a pair, for logs."""

    def __init__(self, question: Question) -> None:
        self._question = question
        self._pairs_shown = 0

    def show(self, event: WatchEvent) -> None:
        """Say the seal, each failure and what was noticed at once, and each new pair."""
        self._learn(event)
        if isinstance(event, SealedForecast):
            self._sealed(event)
        elif isinstance(event, Noticed):
            say(event.words)
        elif isinstance(event, RunEnded) and event.result.outcome.failed:
            say(_failure(event))
        elif isinstance(event, Looked) and event.verdict.n > self._pairs_shown:
            verdict = event.verdict
            self._pairs_shown = verdict.n
            say(f"seed pairs {verdict.n}/{verdict.budget}  {effect_words(verdict, self._question.shown)}")

    def close(self) -> None:
        """Do nothing: lines stay."""

    def _learn(self, event: WatchEvent) -> None:
        """Learn from a run how its metric is shown."""
        if isinstance(event, RunEnded):
            self._question = self._question.shown_for([event.result.outcome.value])

    def _sealed(self, sealed: SealedForecast) -> None:
        metric = self._question.shown
        say(f"{said_words(sealed.said, metric.scale, metric.unit)}   sealed {sealed.hash[:12]}")


class Bars(Lines):
    """Progress as bars on a terminal, drawn by rich."""

    def __init__(self, question: Question) -> None:
        super().__init__(question)
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[effect]}", markup=False),
            console=Console(stderr=True),
            transient=True,
        )
        self._pairs = self._progress.add_task("seed pairs", total=question.budget, effect="")
        self._bars: dict[str, tuple[Any, Path]] = {}
        self._refreshed_s = 0.0

    def show(self, event: WatchEvent) -> None:
        """Move the bars."""
        self._learn(event)
        match event:
            case RunStarted():
                self._started(event)
            case RunsGoing(ids, _):
                self._going(ids)
            case RunEnded():
                self._ended(event)
            case Looked(verdict):
                effect = effect_words(verdict, self._question.shown)
                self._progress.update(self._pairs, completed=verdict.n, effect=effect)
            case Noticed(words):
                self._progress.console.print(shown(words), markup=False, highlight=False)
            case _:
                self._sealed(event)

    def close(self) -> None:
        """Take the bars away."""
        self._progress.stop()

    def _started(self, run: RunStarted) -> None:
        """Add a bar for the run; the first one starts the display (nothing is drawn over the prompt)."""
        self._progress.start()
        bar = self._progress.add_task(shown(f"  seed {run.seed} {run.arm}"), total=length_of(run.settings), effect="")
        self._bars[run.order.id] = (bar, run.order.folder / "journal")

    def _going(self, ids: tuple[str, ...]) -> None:
        if time.monotonic() - self._refreshed_s < REFRESH_S:
            return
        self._refreshed_s = time.monotonic()
        for run_id in self._bars.keys() - ids:  # set aside: it is made again under another name
            self._take_away(run_id)
        for run_id in ids:
            if run_id in self._bars:
                self._move(*self._bars[run_id])

    def _ended(self, run: RunEnded) -> None:
        """Take the run's bar away; say its failure above the bars."""
        self._take_away(run.result.id)
        if run.result.outcome.failed:
            self._progress.console.print(shown(_failure(run)), markup=False)

    def _take_away(self, run_id: str) -> None:
        bar, _ = self._bars.pop(run_id, (None, None))
        if bar is not None:
            self._progress.remove_task(bar)

    def _move(self, bar: Any, journal: Path) -> None:
        try:
            curves = read_journal(journal).curves.values()
        except (StoreError, OSError):
            return
        last = max((int(curve.steps[curve.end]) for curve in curves if len(curve)), default=0)
        known = self._progress.tasks[self._progress.task_ids.index(bar)].total
        self._progress.update(bar, completed=last, total=known if known and known >= last else None)


def _failure(run: RunEnded) -> str:
    return f"{run.result.id} ({run.arm}) failed: {failure_reason(run.result)}"
