"""When to do what costs time, so that it costs no more than a share of it."""

import time
from collections.abc import Callable
from statistics import median

GAP = 2
"""Fewest steps from one time to the next."""


class Pace:
    """Says at which steps something is done.

    Args:
        share: of the time that it may cost.
        first: step at which it is done first.
        clock: gives the time in seconds.
    """

    def __init__(self, share: float, first: int, clock: Callable[[], float] = time.perf_counter) -> None:
        self._share, self.next, self._clock = share, first, clock
        self._begun_s, self.spent_s = clock(), 0.0
        self._counted_s, self._costs_s, self._times = 0.0, list[float](), 0

    def choose(self, steps: int) -> None:
        """Choose the next step, after it was done at this one and the time for that was added to `spent_s`.

        Each time counts as the median one: the first pays for what is loaded, and any may have waited for other
        processes.
        """
        elapsed_s = self._clock() - self._begun_s
        self._costs_s = [*self._costs_s[-8:], self.spent_s - self._counted_s]
        self._counted_s = self.spent_s
        self._times += 1
        step_s = max(elapsed_s - self.spent_s, 1e-9) / max(1, steps)
        owed_s = max(0.0, median(self._costs_s) * (self._times + 1) - self._share * elapsed_s)
        self.next = steps + max(GAP, int(owed_s / (self._share * step_s)) + 1)
