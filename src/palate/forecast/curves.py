"""Learning curves of one metric, complete or partly observed, and the power law fitted to a single one; pure."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from palate.errors import InputError

FloatArray = npt.NDArray[np.float64]

EXPONENTS = np.linspace(0.05, 2.0, 40)
"""Candidates for the exponent b of a power law."""

GRID = 20
"""Points, even over the later half of the observed part, at which the shapes of curves are compared."""


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


def power_law_end(part: PastCurve) -> float:
    """Extrapolate y = floor + a step^-b, fitted by least squares to the last nine tenths of the observed steps.

    With fewer than three points there, or where the fit is not finite, the last value is returned (persistence).
    """
    late = part.steps > max(0.0, 0.1 * part.steps[-1])
    steps, values = part.steps[late], part.values[late]
    if len(steps) < 3:
        return float(part.values[-1])
    powers = (steps[None, :] / part.total) ** -EXPONENTS[:, None]
    centred = powers - powers.mean(axis=1, keepdims=True)
    offset = values - values.mean()
    slopes = (centred @ offset) / np.maximum((centred**2).sum(axis=1), 1e-300)
    residuals = ((offset[None, :] - slopes[:, None] * centred) ** 2).sum(axis=1)
    best = int(np.argmin(residuals))
    end = float(values.mean() + slopes[best] * (1.0 - powers[best].mean()))
    return end if np.isfinite(end) else float(part.values[-1])
