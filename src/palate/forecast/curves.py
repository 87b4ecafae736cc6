"""Learning curves of one metric, complete or partly observed, and which of them end like no others; pure."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from palate.errors import InputError

FloatArray = npt.NDArray[np.float64]

GRID = 20
"""Points, even over the later half of the observed part, at which the shapes of curves are compared."""

ABSURD = 20.0
"""A run that ends this many times farther from the others' median end than a run of theirs moves is absurd."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PastCurve:
    """A curve of one metric of a finished or a running run.

    Attributes:
        steps: where it was measured, rising.
        values: what was measured.
        total: the step at which it ends.
        family: name of a group of related runs (a change with its seeds and variants); none of the group is
            predicted from the others when predictions are evaluated.
    """

    steps: FloatArray
    values: FloatArray
    total: float
    family: str = ""

    def __post_init__(self) -> None:
        if len(self.steps) != len(self.values) or np.any(np.diff(self.steps) <= 0) or self.total <= 0:
            raise InputError("a curve needs as many values as steps, rising steps, and an end above 0.")

    def until(self, share: float) -> "PastCurve":
        """Return the part of it that is observed after a share of its budget."""
        observed = self.steps <= share * self.total
        return PastCurve(steps=self.steps[observed], values=self.values[observed], total=self.total, family=self.family)

    @property
    def share(self) -> float:
        """Share of the budget that is observed."""
        return float(self.steps[-1] / self.total) if len(self.steps) else 0.0

    @property
    def shape(self) -> FloatArray:
        """The later half of the observed part at (GRID,) points, relative to the last value."""
        grid = np.linspace(self.steps[-1] / 2, self.steps[-1], GRID)
        values: FloatArray = np.interp(grid, self.steps, self.values) - self.values[-1]
        return values


def believable(curves: Sequence[PastCurve], among: Sequence[PastCurve] = ()) -> list[PastCurve]:
    """Return the curves without those that end absurdly far away: finite, but of a run that has diverged.

    How far a run moves is the larger of two medians, so that one run cannot change it by much: how far the ends lie
    from their median, and how far a run comes from its first value to its last. A run that trained badly stays: it
    tells of others that do.

    Args:
        curves: which are looked at.
        among: others that they are compared with, besides themselves.
    """
    if not curves:
        return []
    ends, firsts = np.array([(curve.values[-1], curve.values[0]) for curve in (*curves, *among)]).T
    away = _apart(ends, np.median(ends))
    unit = max(float(np.median(away)), float(np.median(_apart(ends, firsts)))) or abs(float(np.median(ends))) or 1.0
    return [curve for curve, distance in zip(curves, away.tolist(), strict=False) if distance <= ABSURD * unit]


def _apart(values: FloatArray, others: FloatArray | np.float64) -> FloatArray:
    with np.errstate(over="ignore"):
        return np.asarray(np.abs(values - others), dtype=np.float64)
