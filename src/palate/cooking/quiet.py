"""Quiet: up to when a step of a training is only to be counted, because nothing else can be due before.

Ten questions behind each step (is a capsule due, does the condition hold, was something asked for, is this where the
fork begins ...) cost 20 us and more; one comparison of what was foreseen costs one.
"""

import math
from collections.abc import Collection, Iterable
from typing import NamedTuple

from palate.cooking.watch import Watch


class Quiet(NamedTuple):
    """What has to be reached before anything is due.

    Attributes:
        step: steps of the run.
        samples: examples of the run.
        until_s: a time, on the clock of `time.monotonic`.
        epoch: the epoch for which all this holds.
    """

    step: float
    samples: float
    until_s: float
    epoch: int


RESTLESS = Quiet(-math.inf, math.inf, math.inf, -1)
"""Each step is looked at."""


def quiet_of(watch: Watch, began: tuple[int, int, float, int], epoch: int, terms: Collection[str]) -> Quiet:
    """Return up to when a condition cannot begin to hold while no metric but the loss's own terms is logged.

    Args:
        watch: follows the condition.
        began: the step, the examples, the time and the epoch at which its stage did.
        epoch: the present one.
        terms: names of the loss's terms.
    """
    counts = watch.rests()
    if counts is None or watch.hears(terms):
        return RESTLESS
    step, samples, began_s, _ = began
    return Quiet(
        step + counts.get("step", math.inf),
        samples + counts.get("samples", math.inf),
        began_s + counts.get("elapsed_s", math.inf),
        epoch,
    )


def next_of(marks: Iterable[int | None], step: int) -> float:
    """Return the first of some steps that comes behind this one."""
    return min((one for one in marks if one is not None and one > step), default=math.inf)
