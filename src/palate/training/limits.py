"""Until when runs are started: hours, or until somebody asks for no more; standard library only."""

import time
from collections.abc import Callable, Sequence

from palate.vocabulary import Arm

GRACE_SHARE, MOST_GRACE_S = 0.1, 900.0
"""What goes when the hours are over has a tenth of them more to end by itself, a quarter of an hour at most."""


def hours_words(hours: float) -> str:
    """Return hours as they are said.

    >>> hours_words(8.0), hours_words(0.5), hours_words(1.25), hours_words(0.001)
    ('8 h', '30 min', '1.25 h', '3.6 s')
    """
    if hours >= 1:
        return f"{hours:g} h"
    return f"{hours * 60:.3g} min" if hours * 60 >= 1 else f"{hours * 3600:.2g} s"


def clock_s() -> float:
    """Return seconds that go on while the machine sleeps, and that nobody sets: hours are those of the wall."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class Limits:
    """When no more runs are started, and when those that go are ended.

    No pair is started that would end too late if its runs took as long as the longest of their arms so far.

    Args:
        hours: from now on; None for any number.
        asked: tells whether somebody asked for no more runs.
        now_s: the time.

    Attributes:
        stopped: why runs that are missing were not started, in words; "" where none was held back.
    """

    def __init__(
        self,
        hours: float | None = None,
        *,
        asked: Callable[[], bool] = lambda: False,
        now_s: Callable[[], float] = clock_s,
    ) -> None:
        self._hours, self._asked, self._now_s = hours, asked, now_s
        self._until_s = float("inf") if hours is None else now_s() + hours * 3600
        self._longest: dict[Arm, float] = {}
        self.stopped = ""

    def are_over(self) -> bool:
        """Return whether the hours are over, and the grace for what went then: that is ended now."""
        if self._hours is None or self._now_s() < self._until_s + min(self._hours * 3600 * GRACE_SHARE, MOST_GRACE_S):
            return False
        self.stopped = f"after {hours_words(self._hours)}"
        return True

    def learn(self, arm: Arm, *took_s: float) -> None:
        """Learn how long runs of an arm took."""
        self._longest[arm] = max((self._longest.get(arm, 0.0), *took_s))

    def allow(self, arms: Sequence[Arm], workers: int) -> bool:
        """Return whether the runs that a seed lacks may be started now.

        Args:
            arms: whose runs they are; those that go are none of them.
            workers: runs at a time.
        """
        if self._asked():
            self.stopped = "as was asked"
            return False
        longest = max(self._longest.values(), default=0.0)
        need_s = [self._longest.get(arm, longest) for arm in arms]
        took_s = sum(need_s) if workers < 2 else max(need_s, default=0.0)
        now_s = self._now_s()
        if self._hours is not None and now_s + took_s > self._until_s:
            early = now_s < self._until_s
            words = hours_words(self._hours)
            self.stopped = f"within {words}, as the next pair would end later" if early else f"after {words}"
            return False
        return True
