"""Calibration: how often what was said with some confidence came true; pure.

Below 20 forecasts a count, from 20 one number with its band, from 50 the reliability curve by isotonic regression
(CORP: Dimitriadis, Gneiting and Jordan 2021, PNAS 118) with the band of a perfectly calibrated person at the same
confidences. Never a bare expected calibration error: a perfectly calibrated person shows .17 of it at 20 forecasts.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import isotonic_regression

from palate.errors import InputError

NUMBER_FROM, CURVE_FROM = 20, 50
DRAWS = 2000
BAND = (5.0, 95.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One confidence of the curve: what was said, what came true, and the band of a perfectly calibrated person."""

    said: float
    came_true: float
    low: float
    high: float
    forecasts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """How sure somebody was, against how often they were right.

    Attributes:
        n: forecasts with an outcome.
        said: mean confidence.
        came_true: share that came true.
        gap: mean confidence - share that came true: above 0 is too sure; None below 20 forecasts.
        low, high: where the gap of a perfectly calibrated person at these confidences lies (90 %).
        curve: the reliability curve; empty below 50 forecasts.
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
        """What may be said of it."""
        if self.gap is None or self.low is None or self.high is None:
            return f"{NUMBER_FROM - self.n} more until calibration can be shown."
        if self.low <= self.gap <= self.high:
            return f"As sure as you are right, as far as {self.n} forecasts tell ({self.gap:+.0%})."
        return (
            f"Too {'sure' if self.gap > 0 else 'unsure'} by {abs(self.gap):.0%} (chance alone: up to {self.high:.0%})."
        )


def calibration_of(confidences: Sequence[float], hits: Sequence[bool], *, rng: np.random.Generator) -> Calibration:
    """Hold confidences against what came true.

    Args:
        confidences: probabilities, in [0, 1].
        hits: whether each came true.
        rng: draws the band.

    Raises:
        InputError: unequal lengths, or confidences that are no probabilities.
    """
    said, true = np.asarray(confidences, float), np.asarray(hits, bool)
    if said.shape != true.shape or not np.all((said >= 0) & (said <= 1)):
        raise InputError("calibration needs as many outcomes as probabilities between 0 and 1.")
    n = len(said)
    mean, rate = (float(said.mean()), float(true.mean())) if n else (0.0, 0.0)
    if n < NUMBER_FROM:
        return Calibration(n=n, said=mean, came_true=rate, gap=None, low=None, high=None, curve=())
    drawn = rng.random((DRAWS, n)) < said
    low, high = np.percentile(mean - drawn.mean(axis=1), BAND)
    curve = _curve(said, true, drawn) if n >= CURVE_FROM else ()
    return Calibration(n=n, said=mean, came_true=rate, gap=mean - rate, low=float(low), high=float(high), curve=curve)


def _curve(said: np.ndarray, true: np.ndarray, drawn: np.ndarray) -> tuple[Point, ...]:
    values, inverse, counts = np.unique(said, return_inverse=True, return_counts=True)
    rates = _isotonic(inverse, counts, true)
    draws = np.array([_isotonic(inverse, counts, draw) for draw in drawn[: DRAWS // 4]])
    low, high = np.percentile(draws, BAND, axis=0)
    return tuple(
        Point(said=float(v), came_true=float(r), low=float(a), high=float(b), forecasts=int(c))
        for v, r, a, b, c in zip(values, rates, low, high, counts, strict=True)
    )


def _isotonic(inverse: np.ndarray, counts: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Give the rising step function that fits best (pool adjacent violators), one value a confidence."""
    rates = np.bincount(inverse, weights=true, minlength=len(counts)) / counts
    fitted: np.ndarray = isotonic_regression(rates, weights=counts).x
    return fitted
