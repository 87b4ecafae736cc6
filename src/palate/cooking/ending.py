"""The end of a stage: its condition and that of its cycle, held against what is counted and logged."""

import math
import time
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from palate.cooking.quiet import RESTLESS, Quiet, quiet_of
from palate.cooking.stage import Cycle
from palate.cooking.until import Condition, refuse_never
from palate.cooking.watch import Fired, Moment, Watch

UNHEARD_STEPS = 1_000
"""Steps of a stage after which it is said that a condition's metric was never logged."""

Counts = tuple[int, int, int]
"""Steps, examples and epochs of a run."""

_now = time.monotonic


class Ending:
    """What ends the stage that goes on.

    Attributes:
        condition: of the stage, or of the loop in it.
        fresh: what was logged since the last look.
        tags: those that a person gave since the stage began.
        began_unix_s: when it began.
        in_cycle: whether the stage is one of a cycle.
    """

    def __init__(self) -> None:
        self.condition: Condition | None = None
        self.fresh: dict[str, float] = {}
        self.tags: frozenset[str] = frozenset()
        self.began_unix_s = time.time()
        self.in_cycle = False
        self._round = 0
        self._began = (0, 0, _now(), 0)
        self._watch: Watch | None = None
        self._cycle_watch: Watch | None = None

    def enter(self, at: Counts, *, in_round: int | None) -> None:
        """Begin a stage: of a cycle's round, where that is given."""
        self.count_from(at)
        self.began_unix_s, self.tags = time.time(), frozenset()
        self.in_cycle, self._round = in_round is not None, in_round or 0

    def count_from(self, at: Counts) -> None:
        """Count steps, examples, time and epochs from here."""
        self._began = (at[0], at[1], _now(), at[2])

    def begin(self, condition: Condition | None) -> None:
        """Begin a loop that ends on a condition.

        Raises:
            InputError: it can never hold.
        """
        if condition is not None:
            refuse_never(condition, cycles=self.in_cycle)
        self.condition = condition
        self._watch = None if condition is None else condition.watch()

    @property
    def has_condition(self) -> bool:
        """Whether it ends by a condition, and not with the pass over its loader."""
        return self._watch is not None

    def look(self, at: Counts) -> Fired | None:
        """Hold the conditions against what was logged; return why the stage has ended, where it has."""
        watch, fresh = self._watch, self.fresh
        self.fresh = {}
        if watch is None and self._cycle_watch is None:
            return None
        moment = self._moment(at, fresh)
        if self._cycle_watch is not None and fresh:
            self._cycle_watch.saw(moment)
        return watch.saw(moment) if watch is not None else None

    def end_round(self, item: Cycle, at: Counts) -> Fired | None:
        """Return why a cycle has ended behind the last stage of a round, where it has."""
        watch = self._cycle_watch or item.until.watch()
        self._cycle_watch, fresh, self.fresh = watch, self.fresh, {}
        watch.saw(self._moment(at, fresh))
        fired = watch.saw(self._moment(at, {}, rounds=1))
        if fired is not None:
            self._cycle_watch = None
        return fired

    def never(self, step: int) -> Iterator[str]:
        """Yield what is to be said of metrics that a condition waits for and that are never logged."""
        if self._watch is not None and step - self._began[0] >= UNHEARD_STEPS:
            yield from self._watch.never()

    def rests(self, epoch: int, terms: Collection[str]) -> Quiet:
        """Return up to when it cannot come while no metric but the loss's own terms is logged."""
        if self._cycle_watch is not None:
            return RESTLESS
        if self._watch is None:
            return Quiet(math.inf, math.inf, math.inf, epoch)
        return quiet_of(self._watch, self._began, epoch, terms)

    def _moment(self, at: Counts, fresh: Mapping[str, float], *, rounds: int = 0) -> Moment:
        step, samples, began_s, epoch = self._began
        return Moment(
            step=at[0] - step,
            samples=at[1] - samples,
            epoch=at[2] - epoch,
            elapsed_s=_now() - began_s,
            cycle=self._round + 1 + rounds if self.in_cycle else 0,
            metrics=fresh,
            tags=self.tags,
        )

    # ---- what a capsule holds of it

    def state(self, at: Counts) -> dict[str, Any]:
        """Return all that decides when it comes, as plain data."""
        step, samples, began_s, epoch = self._began
        return {
            "stage_began": [at[0] - step, at[1] - samples, _now() - began_s, at[2] - epoch],
            "watch": None if self._watch is None else self._watch.state(),
            "cycle_watch": None if self._cycle_watch is None else self._cycle_watch.state(),
            "fresh": dict(self.fresh),
        }

    def restore(self, state: Mapping[str, Any], at: Counts) -> None:
        """Undo `state`, but for the watch of a cycle."""
        steps, samples, seconds, epochs = state["stage_began"]
        self._began = (at[0] - steps, at[1] - samples, _now() - seconds, at[2] - epochs)
        if self.condition is not None and state["watch"] is not None:
            self._watch = self.condition.watch(state["watch"])
        self.fresh = dict(state["fresh"])

    def restore_cycle(self, item: object, state: Mapping[str, Any]) -> None:
        """Go on with the watch of the cycle that the stage is one of."""
        self._cycle_watch = item.until.watch(state["cycle_watch"]) if isinstance(item, Cycle) else None
