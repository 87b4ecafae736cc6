"""Curves of one metric, whole or as far as they are seen, and what can be said of one from itself alone; pure."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from palate.errors import InputError

FloatArray = npt.NDArray[np.float64]

EXPONENTS = np.linspace(0.05, 2.0, 40)
GRID = 20
"""Places of a curve, evenly over the later half of what is seen, by which curves are compared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """A finished or running curve of one metric.

    Attributes:
        steps: where it was measured, rising.
        values: what was measured.
        total: the step at which it ends.
        family: runs that must not foretell each other in tests (one change, its seeds and variants).
    """

    steps: FloatArray
    values: FloatArray
    total: float
    family: str = ""

    def __post_init__(self) -> None:
        if len(self.steps) != len(self.values) or np.any(np.diff(self.steps) <= 0) or self.total <= 0:
            raise InputError("a curve needs as many values as steps, rising steps, and an end above 0.")

    def until(self, share: float) -> "Curve":
        """Give what is seen of it after a share of its budget."""
        seen = self.steps <= share * self.total
        return Curve(steps=self.steps[seen], values=self.values[seen], total=self.total, family=self.family)

    @property
    def share(self) -> float:
        """How much of the budget is seen."""
        return float(self.steps[-1] / self.total) if len(self.steps) else 0.0

    @property
    def shape(self) -> FloatArray:
        """The way it took over the later half of what is seen, (GRID,), relative to where it is."""
        grid = np.linspace(self.steps[-1] / 2, self.steps[-1], GRID)
        told: FloatArray = np.interp(grid, self.steps, self.values) - self.values[-1]
        return told


def power_law_end(part: Curve) -> float:
    """Extrapolate y = floor + a step^-b, fitted by least squares to the later nine tenths of what is seen.

    Where it fits nothing that falls or rises evenly, it is persistence.
    """
    late = part.steps > max(0.0, 0.1 * part.steps[-1])
    steps, values = part.steps[late], part.values[late]
    if len(steps) < 3:
        return float(part.values[-1])
    powers = (steps[None, :] / part.total) ** -EXPONENTS[:, None]
    centred = powers - powers.mean(axis=1, keepdims=True)
    offset = values - values.mean()
    slopes = (centred @ offset) / np.maximum((centred**2).sum(axis=1), 1e-300)
    left = ((offset[None, :] - slopes[:, None] * centred) ** 2).sum(axis=1)
    best = int(np.argmin(left))
    end = float(values.mean() + slopes[best] * (1.0 - powers[best].mean()))
    return end if np.isfinite(end) else float(part.values[-1])
