"""Paired results and the statistics that a verdict needs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from palate.errors import ListError

FloatArray = npt.NDArray[np.float64]

TIE = 1e-12
"""Values that differ by at most this share of the largest one are equal: rounding, as in 0.1 + 0.2 - 0.3."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """Both arms' values at the same seeds, in the order of the seeds, oriented so that + is better.

    Attributes:
        baseline: (n,) values of the baseline.
        treatment: (n,) values of the treatment.
        resolution: smallest step of the metric, or None to take it from the values.
    """

    baseline: FloatArray
    treatment: FloatArray
    resolution: float | None = None

    def __post_init__(self) -> None:
        check_lists(self.baseline, self.treatment)

    @property
    def n(self) -> int:
        """Number of pairs."""
        return len(self.baseline)

    @property
    def differences(self) -> FloatArray:
        """(n,) treatment - baseline; exactly 0 where only rounding differs."""
        gaps = self.treatment - self.baseline
        return np.where(np.abs(gaps) <= TIE * self._largest, 0.0, gaps)

    @property
    def mean(self) -> float:
        """Mean difference, + is better."""
        return float(np.mean(self.differences))

    @property
    def sum_of_squares(self) -> float:
        """Sum of squared deviations of the differences from their mean."""
        return float(np.sum((self.differences - self.mean) ** 2))

    @property
    def arm_variance(self) -> float:
        """Variance of one run over seeds, pooled over the two arms; NaN for a single pair."""
        if self.n < 2:
            return math.nan
        return float((np.var(self.baseline, ddof=1) + np.var(self.treatment, ddof=1)) / 2)

    @property
    def seed_sd(self) -> float:
        """Standard deviation of one run over seeds; NaN for a single pair."""
        return math.sqrt(self.arm_variance)

    @property
    def step(self) -> float:
        """The metric's resolution: as given, else the smallest gap between two values (0 where all are equal)."""
        return self.resolution if self.resolution is not None else smallest_gap(self)

    @property
    def identical(self) -> bool:
        """Whether both arms have the same value at every seed."""
        return not np.any(self.differences)

    @property
    def frozen_seeds(self) -> bool:
        """Whether the seed has no effect in either arm: n runs are then copies of one run."""
        return self.n > 1 and bool(np.ptp(self.baseline) == 0 and np.ptp(self.treatment) == 0)

    @property
    def correlation(self) -> float | None:
        """Correlation of the two arms over seeds: how much pairing helps; None below 3 pairs or without variance."""
        if self.n < 3 or np.ptp(self.baseline) == 0 or np.ptp(self.treatment) == 0:
            return None
        return float(np.corrcoef(self.baseline, self.treatment)[0, 1])

    @property
    def _largest(self) -> float:
        return float(max(np.max(np.abs(self.baseline)), np.max(np.abs(self.treatment))))

    def first(self, n: int) -> "Pairs":
        """Return the first n pairs."""
        return Pairs(baseline=self.baseline[:n], treatment=self.treatment[:n], resolution=self.resolution)


def smallest_gap(pairs: Pairs) -> float:
    """Return the smallest difference between two distinct values of both arms, 0 where there is none."""
    values = np.sort(np.concatenate([pairs.baseline, pairs.treatment]))
    gaps = np.diff(values)
    gaps = gaps[gaps > TIE * max(abs(values[0]), abs(values[-1]))]
    return float(np.min(gaps)) if len(gaps) else 0.0


def make_pairs(
    baseline: Sequence[float], treatment: Sequence[float], *, sign: int = 1, resolution: float | None = None
) -> Pairs:
    """Pair two lists of values by position, oriented so that + is better.

    Raises:
        ListError: lists that are empty, unequal in length, not numbers or not finite.
    """
    return Pairs(
        baseline=sign * _numbers("baseline", baseline),
        treatment=sign * _numbers("treatment", treatment),
        resolution=resolution,
    )


def _numbers(name: str, values: Sequence[float]) -> FloatArray:
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ListError(f"The {name} is not a list of numbers: {str(values)[:80]}.") from error
    if array.ndim != 1:
        raise ListError(f"The {name} has the shape {array.shape}; one number a run is needed.")
    return array


def check_lists(baseline: FloatArray, treatment: FloatArray) -> None:
    """Refuse lists that cannot be judged, all faults at once.

    Raises:
        ListError: lists that are empty, unequal in length or not finite.
    """
    faults = []
    for name, values in (("baseline", baseline), ("treatment", treatment)):
        if not len(values):
            faults.append(f"The {name} is empty.")
        bad = np.flatnonzero(~np.isfinite(values))
        if len(bad):
            faults.append(f"The {name} has something other than a number as value {int(bad[0]) + 1}: {values[bad[0]]}.")
    if not faults and len(baseline) != len(treatment):
        faults.append(f"{len(baseline)} baseline values and {len(treatment)} treatment values cannot be paired.")
    if faults:
        raise ListError(
            "These lists cannot be compared.",
            why=faults,
            todo=(
                "Give one value a run, the same seeds in the same order in both lists.",
                "A run that failed is an outcome: leave its pair out and say so, or let `palate run` count it.",
            ),
        )
