"""Progress of a question: a bar for the seed pairs, a bar for each run that goes; plain lines without a terminal."""

import sys
import time
from collections.abc import Mapping
from typing import Any, Self

from palate.cli.common import say
from palate.errors import StoreError
from palate.forecast.answer import said_words
from palate.ledger.records import Sealed
from palate.loop.report import failure_reason
from palate.loop.results import RunResult
from palate.loop.runner import Watcher
from palate.question.question import Question
from palate.question.target import Order
from palate.store.reader import read_journal
from palate.verdict.rule import Verdict
from palate.verdict.words import effect_words
from palate.vocabulary import Arm

LENGTH_NAMES = ("epochs", "num_epochs", "n_epochs", "max_epochs", "num_train_epochs", "steps", "max_steps", "max_iters",
                "num_steps", "iterations", "iters")  # fmt: skip
REFRESH_S = 0.4


class Lines:
    """Progress as one line a pair, for logs."""

    def __init__(self, question: Question) -> None:
        self._question = question
        self._told = 0

    def sealed(self, sealed: Sealed) -> None:
        """Tell of the seal."""
        metric = self._question.metric
        say(f"{said_words(sealed.said, metric.scale, metric.unit)}   sealed {sealed.hash[:12]}")

    def started(self, arm: Arm, seed: int, order: Order) -> None:
        """Say nothing: the pair's line tells."""

    def tick(self, running: tuple[str, ...]) -> None:
        """Say nothing."""

    def ended(self, arm: Arm, result: RunResult) -> None:
        """Tell of a failure at once."""
        if result.outcome.failed:
            say(f"{result.id} ({arm}) failed: {failure_reason(result)}")

    def looked(self, verdict: Verdict) -> None:
        """Tell of each new pair."""
        if verdict.n > self._told:
            self._told = verdict.n
            say(f"seed pairs {verdict.n}/{verdict.budget}  {effect_words(verdict, self._question.metric)}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None


class Bars(Lines):
    """Progress as bars on a terminal, drawn by rich."""

    def __init__(self, question: Question) -> None:
        super().__init__(question)
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[told]}"),
            console=Console(stderr=True),
            transient=True,
        )
        self._pairs = self._progress.add_task("seed pairs", total=question.budget, told="")
        self._bars: dict[str, tuple[Any, Order]] = {}
        self._length: int | None = None
        self._refreshed_s = 0.0

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def started(self, arm: Arm, seed: int, order: Order) -> None:
        """Add a bar for the run; the first one starts the display (nothing is drawn over the prompt)."""
        self._progress.start()
        bar = self._progress.add_task(f"  seed {seed} {arm}", total=_length(self._question.settings(arm)), told="")
        self._bars[order.id] = (bar, order)

    def tick(self, running: tuple[str, ...]) -> None:
        """Move the bars of the runs that go."""
        if time.monotonic() - self._refreshed_s < REFRESH_S:
            return
        self._refreshed_s = time.monotonic()
        for run_id in running:
            if run_id in self._bars:
                self._move(*self._bars[run_id])

    def ended(self, arm: Arm, result: RunResult) -> None:
        """Take the run's bar away."""
        bar, _ = self._bars.pop(result.id, (None, None))
        if bar is not None:
            self._progress.remove_task(bar)
        if result.outcome.failed:
            self._progress.console.print(f"{result.id} ({arm}) failed: {failure_reason(result)}", markup=False)

    def looked(self, verdict: Verdict) -> None:
        """Move the bar of the pairs, with the effect so far."""
        told = effect_words(verdict, self._question.metric)
        self._progress.update(self._pairs, completed=verdict.n, told=told)

    def _move(self, bar: Any, order: Order) -> None:
        try:
            curves = read_journal(order.folder / "journal").curves.values()
        except (StoreError, OSError):
            return
        last = max((int(curve.steps[-1]) for curve in curves if len(curve)), default=0)
        self._length = max(self._length or 0, last)
        known = self._progress.tasks[self._progress.task_ids.index(bar)].total
        self._progress.update(bar, completed=last, total=known if known and known >= last else None)


def _length(settings: Mapping[str, Any]) -> int | None:
    return next((settings[name] for name in LENGTH_NAMES if isinstance(settings.get(name), int)), None)


def watch(question: Question, *, as_json: bool) -> "Lines":
    """Choose the display: bars on a terminal, lines elsewhere, nothing beside `--json`."""
    if as_json:
        return Quiet(question)
    return Bars(question) if sys.stderr.isatty() else Lines(question)


class Quiet(Lines):
    """No progress: beside one JSON document."""

    def sealed(self, sealed: Sealed) -> None:
        """Say nothing."""

    def ended(self, arm: Arm, result: RunResult) -> None:
        """Say nothing."""

    def looked(self, verdict: Verdict) -> None:
        """Say nothing."""


_: type[Watcher] = Lines
