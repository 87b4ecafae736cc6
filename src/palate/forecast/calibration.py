"""Calibration: how often forecasts of a given confidence come true; pure.

Below 20 forecasts only their number is shown. From 20 on: the mean confidence less the share that came true, with a
90 % band. From 50 on also the reliability curve by isotonic regression (CORP: Dimitriadis, Gneiting and Jordan 2021,
PNAS 118). Both bands are those of a perfectly calibrated forecaster at the same confidences. The expected calibration
error is never shown without such a band: at 20 forecasts, a perfectly calibrated forecaster has one of .17.

The gap compares confidence with the share of right answers. The curve is over the probability of "better" from 0 to 1,
so that overconfidence in gains and overconfidence in losses show at different ends.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from palate.errors import InputError

NUMBER_FROM, CURVE_FROM = 20, 50
DRAWS = 2000
CURVE_DRAWS = 500
BAND = (5.0, 95.0)
FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One forecast with its outcome.

    Attributes:
        confidence: probability of the answer that was given.
        hit: whether that answer came true.
        better: probability that was given to "better".
        was_better: whether the outcome was "better".
        name: of the experiment.
    """

    confidence: float
    hit: bool
    better: float
    was_better: bool
    name: str = ""

    def __post_init__(self) -> None:
        if not (0 <= self.confidence <= 1 and 0 <= self.better <= 1):
            raise InputError(f"{self.confidence} and {self.better} are not both probabilities between 0 and 1.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One point of the reliability curve.

    Attributes:
        said: probability of "better" that was stated.
        came_true: share of these forecasts that came true, by isotonic regression.
        low, high: 90 % band of that share for a perfectly calibrated forecaster.
        names: the experiments.
    """

    said: float
    came_true: float
    low: float
    high: float
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """Confidence against the share of right answers.

    Attributes:
        n: forecasts with an outcome.
        said: mean confidence.
        came_true: share that came true.
        gap: mean confidence - share that came true: above 0 is overconfident; None below 20 forecasts.
        low, high: 90 % band of the gap for a perfectly calibrated forecaster at these confidences.
        curve: the reliability curve of "better", by rising probability; empty below 50 forecasts.
    """

    n: int
    said: float
    came_true: float
    gap: float | None
    low: float | None
    high: float | None
    curve: tuple[Point, ...]

    @property
    def words(self) -> str:
        """The gap in words, with what chance alone would explain."""
        if self.gap is None or self.low is None or self.high is None:
            return f"{NUMBER_FROM - self.n} more until calibration can be shown."
        if self.low <= self.gap <= self.high:
            return f"Well calibrated, as far as {self.n} forecasts can tell ({self.gap:+.0%})."
        word, chance = ("sure", self.high) if self.gap > 0 else ("unsure", -self.low)
        return f"Too {word} by {abs(self.gap):.0%} (chance alone: up to {chance:.0%})."


def calibration_of(claims: Sequence[Claim], *, rng: np.random.Generator, curve: bool = True) -> Calibration:
    """Compare confidences with what came true.

    Args:
        claims: forecasts with their outcomes.
        rng: draws the bands.
        curve: whether to fit the curve: false where the forecasts give no probability of "better".
    """
    n = len(claims)
    said, true = np.array([c.confidence for c in claims]), np.array([c.hit for c in claims], bool)
    mean, rate = (float(said.mean()), float(true.mean())) if n else (0.0, 0.0)
    if n < NUMBER_FROM:
        return Calibration(n=n, said=mean, came_true=rate, gap=None, low=None, high=None, curve=())
    low, high = np.percentile(mean - _drawn_rates(said, rng), BAND)
    points = _curve(claims, rng) if curve and n >= CURVE_FROM else ()
    return Calibration(n=n, said=mean, came_true=rate, gap=mean - rate, low=float(low), high=float(high), curve=points)


def _drawn_rates(said: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Draw (DRAWS,) shares that come true for a perfectly calibrated forecaster, with confidences in whole percents."""
    values, counts = np.unique(np.round(said, 2), return_counts=True)
    rates: FloatArray = rng.binomial(counts, values, size=(DRAWS, len(values))).sum(axis=1) / len(said)
    return rates


def _curve(claims: Sequence[Claim], rng: np.random.Generator) -> tuple[Point, ...]:
    """Fit the curve over the probability of "better", rounded to whole percents."""
    said = np.round([c.better for c in claims], 2)
    true = np.array([c.was_better for c in claims], bool)
    values, inverse, counts = np.unique(said, return_inverse=True, return_counts=True)
    rates = _isotonic(inverse, counts, true)
    draws = np.array([_isotonic(inverse, counts, rng.random(len(said)) < said) for _ in range(CURVE_DRAWS)])
    low, high = np.percentile(draws, BAND, axis=0)
    names: list[list[str]] = [[] for _ in values]
    for place, claim in zip(inverse, claims, strict=True):
        names[place].append(claim.name)
    return tuple(
        Point(said=float(v), came_true=float(r), low=float(a), high=float(b), names=tuple(c))
        for v, r, a, b, c in zip(values, rates, low, high, names, strict=True)
    )


def _isotonic(inverse: npt.NDArray[np.intp], counts: npt.NDArray[np.intp], true: npt.NDArray[np.bool_]) -> FloatArray:
    """Return the non-decreasing rates that fit best (pool adjacent violators), one for each stated probability."""
    from scipy.optimize import isotonic_regression  # takes .3 s to import; needed from 50 forecasts on

    rates = np.bincount(inverse, weights=true, minlength=len(counts)) / counts
    fitted: FloatArray = isotonic_regression(rates, weights=counts).x
    return fitted
