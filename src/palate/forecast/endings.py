"""Predict the final value of a running curve from its beginning and from past runs; pure.

R1 base rate: the median end of past runs. R2 persistence: the last value. R3 neighbours: the last value plus the median
further gain of the most similar past runs. R4 power law: y = floor + a step^-b, fitted to the observed part. R5
features: the last value plus the further gain by ridge regression on the last value and the shape of the curve. R0: the
mixture of these members, with the weights that maximise the likelihood of the ends of past runs (stacking: Yao,
Vehtari, Simpson and Gelman 2018, Bayesian Analysis 13). The density of a member is Student's t around its prediction,
scaled by its errors on past runs at the same share of the budget. The range of R0 is calibrated so that it contained
80 % of the ends of past runs.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from palate.forecast.chances import Member
from palate.forecast.curves import GRID, FloatArray, PastCurve, power_law_end
from palate.verdict.lazy import special

MEMBERS: tuple[Member, ...] = ("base rate", "persistence", "neighbours", "power law", "features")
FamilyArray = npt.NDArray[np.str_]

NEAREST = 7
"""Past runs that count as neighbours."""

LEAST_POINTS = 2
"""Observed points below which a curve is not used."""

FEWEST = 3
"""Past runs below which nothing is fitted."""

FOLDS = 10
"""Folds of cross-validation: the regression that predicts a family is fitted on the other folds."""

TRIED = 600
"""Past runs, evenly chosen, on which the members' errors and weights are estimated."""

PENALTY = 1.0
"""Ridge penalty of the regression."""

STACKING = 60
"""Iterations of expectation-maximisation for the weights."""

FLOOR = 1e-3
"""Least weight of a member, before the weights are normalised."""

TAIL = 3.0
"""Degrees of freedom of each member's error: heavy tails, so that one outlying run does not decide the weights."""

RANGE = (0.1, 0.9)
"""Quantiles of the 80 % range."""

CLIP = (0.005, 0.995)
"""Widest quantiles of the mixture that calibration may choose for the range."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictedEnd:
    """A prediction of the final value of a curve.

    Attributes:
        value: the median.
        low, high: 80 % range.
        guesses: prediction of each member.
        weights: weight of each member in the mixture.
    """

    value: float
    low: float
    high: float
    guesses: dict[Member, float]
    weights: dict[Member, float]

    @property
    def scale(self) -> float:
        """About one standard deviation: the 80 % range of a normal distribution is 2.56 of them wide."""
        return (self.high - self.low) / 2.56


@dataclass(frozen=True, slots=True, kw_only=True)
class PastCurves:
    """Past runs as they were at one share of the budget: n rows.

    Attributes:
        now: (n,) value at the share.
        shapes: (n, GRID) shape of the curve before it (`PastCurve.shape`).
        ends: (n,) final value.
        families: (n,) group of related runs; none is predicted from its own group in evaluation.
        units: median absolute deviations of shapes and of values: the units of distances.
        fits: (FOLDS + 1, GRID + 2) regression weights, fitted without each fold of families, and last on all.
    """

    now: FloatArray
    shapes: FloatArray
    ends: FloatArray
    families: FamilyArray
    units: tuple[float, float]
    fits: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Endings:
    """The members and their mixture as fitted on past runs, at one share of the budget.

    Attributes:
        share: observed share of the budget.
        past: the past runs at that share.
        scales: scale of each member's errors.
        weights: weight of each member in the mixture.
        levels: quantile levels of the mixture between which 80 % of past ends lay.
    """

    share: float
    past: PastCurves
    scales: dict[Member, float]
    weights: dict[Member, float]
    levels: tuple[float, float] = RANGE


def fit_endings(curves: Sequence[PastCurve], share: float) -> Endings | None:
    """Fit the members on finished runs; None where fewer than three are observed at that share.

    Errors are those of leave-one-family-out predictions, because other seeds of the same change would predict a run
    too well.
    """
    parts = [(curve.until(share), curve) for curve in curves]
    known = [(part, float(whole.values[-1])) for part, whole in parts if len(part.values) >= LEAST_POINTS]
    if len(known) < FEWEST:
        return None
    past = _past([part for part, _ in known], np.array([end for _, end in known]))
    tried = known[:: max(1, len(known) // TRIED)]
    guesses = [guesses_of(past, part, without=part.family) for part, _ in tried]
    ends = np.array([end for _, end in tried])
    errors = {member: np.array([guess[member] for guess in guesses]) - ends for member in MEMBERS}
    scales = {member: _scale(error) for member, error in errors.items()}
    weights = _weights(errors, scales)
    reached = [
        _below(weights, _scales_without(errors, place), guess, float(end))
        for place, (guess, end) in enumerate(zip(guesses, ends, strict=True))
    ]
    return Endings(share=share, past=past, scales=scales, weights=weights, levels=_levels(reached))


def guesses_of(past: PastCurves, part: PastCurve, *, without: str | None = None) -> dict[Member, float]:
    """Return each member's prediction of the final value of a curve.

    Args:
        past: past runs at the same share.
        part: the observed part of the curve.
        without: a family whose past runs are left out.
    """
    here, shape = float(part.values[-1]), part.shape
    usable = past.families != without if without is not None else np.ones(len(past.now), bool)
    if not usable.any():
        return {**dict.fromkeys(MEMBERS, here), "power law": power_law_end(part)}
    fit = past.fits[FOLDS if without is None else _fold(without)]
    return {
        "base rate": float(np.median(past.ends[usable])),
        "persistence": here,
        "neighbours": here + _neighbours_gain(past, here, shape, usable),
        "power law": power_law_end(part),
        "features": here + float(_row(past, np.array([here]), shape[None, :])[0] @ fit),
    }


def foretell(endings: Endings, part: PastCurve, *, without: str | None = None) -> PredictedEnd:
    """Return the predicted final value of a curve: the mixture's median and its calibrated 80 % range."""
    guesses = guesses_of(endings.past, part, without=without)
    value, low, high = (_quantile(endings, guesses, share) for share in (0.5, *endings.levels))
    return PredictedEnd(value=value, low=low, high=high, guesses=guesses, weights=dict(endings.weights))


def log_densities(endings: Endings, guesses: dict[Member, float], end: float) -> dict[str, float]:
    """Return the log density (nats) of each member, and of the mixture as "R0", at the end that was observed."""
    logs: dict[str, float] = {
        member: float(_log_student(end - guesses[member], endings.scales[member])) for member in MEMBERS
    }
    parts = [np.log(endings.weights[member]) + logs[member] for member in MEMBERS]
    return {**logs, "R0": float(np.logaddexp.reduce(parts))}


def _past(parts: Sequence[PastCurve], ends: FloatArray) -> PastCurves:
    now = np.array([part.values[-1] for part in parts])
    shapes = np.array([part.shape for part in parts])
    families = np.array([part.family for part in parts])
    bare = PastCurves(
        now=now, shapes=shapes, ends=ends, families=families, units=(_unit(shapes), _unit(now)), fits=np.empty(0)
    )
    rows = _row(bare, now, shapes)
    folds = np.array([_fold(family) for family in families])
    fits = np.array([_ridge(rows[folds != fold], (ends - now)[folds != fold]) for fold in range(FOLDS + 1)])
    return PastCurves(now=now, shapes=shapes, ends=ends, families=families, units=bare.units, fits=fits)


def _fold(family: str) -> int:
    return zlib.crc32(family.encode()) % FOLDS


def _row(past: PastCurves, now: FloatArray, shapes: FloatArray) -> FloatArray:
    """Return (n, GRID + 2) features: 1, the last value and the shape, standardised by `PastCurves.units`."""
    where = (now - np.median(past.now)) / past.units[1]
    return np.column_stack([np.ones(len(now)), np.clip(where, -9, 9), np.clip(shapes / past.units[0], -9, 9)])


def _ridge(rows: FloatArray, wanted: FloatArray) -> FloatArray:
    """Return the weights of a ridge regression whose first column, the intercept, is nearly free of the penalty."""
    if not len(rows):
        return np.zeros(GRID + 2)
    penalty = PENALTY * np.eye(rows.shape[1])
    penalty[0, 0] = 1e-6
    return np.asarray(np.linalg.solve(rows.T @ rows + penalty, rows.T @ wanted), dtype=np.float64)


def _neighbours_gain(past: PastCurves, here: float, shape: FloatArray, usable: npt.NDArray[np.bool_]) -> float:
    apart = np.abs(past.shapes - shape).mean(axis=1) / past.units[0] + np.abs(past.now - here) / past.units[1]
    apart = np.where(usable, apart, np.inf)
    near = min(NEAREST, int(usable.sum()))
    nearest = np.argpartition(apart, near - 1)[:near]
    return float(np.median((past.ends - past.now)[nearest]))


def _unit(values: FloatArray) -> float:
    return float(np.median(np.abs(values - np.median(values, axis=0)))) or 1.0


def _scale(errors: FloatArray) -> float:
    """Return the scale of Student's t with 3 degrees of freedom that has the median absolute error of these errors."""
    return max(float(np.median(np.abs(errors))) / 0.765, 1e-9)  # .765: the third quartile of t with 3 degrees


def _weights(errors: dict[Member, FloatArray], scales: dict[Member, float]) -> dict[Member, float]:
    """Return the weights that maximise the likelihood of past ends (stacking, by expectation-maximisation).

    Exponentially weighted averaging would put nearly all weight on the best member so far; a mixture predicts better
    where two members are close.
    """
    densities = np.exp(np.array([_log_student(errors[member], scales[member]) for member in MEMBERS]))
    weights = np.full(len(MEMBERS), 1 / len(MEMBERS))
    for _ in range(STACKING):
        parts = weights[:, None] * densities
        weights = (parts / np.maximum(parts.sum(axis=0), 1e-300)).mean(axis=1)
    weights = (weights + FLOOR) / (1 + FLOOR * len(MEMBERS))
    return {member: float(weight) for member, weight in zip(MEMBERS, weights, strict=True)}


def _log_student(error: FloatArray | float, scale: float) -> FloatArray:
    """Return the log density of Student's t with TAIL = 3 degrees of freedom, whose constant is 2 / (pi sqrt 3)."""
    logs: FloatArray = (
        np.log(2 / (np.pi * np.sqrt(TAIL))) - np.log(scale) - 2 * np.log1p((np.asarray(error) / scale) ** 2 / TAIL)
    )
    return logs


def _levels(reached: Sequence[float]) -> tuple[float, float]:
    """Return the quantile levels of the mixture between which a new end lies with 80 %.

    `reached` holds the mixture's distribution function at each past end. A new value lies below the k-th smallest of n
    with probability k / (n + 1); beyond the smallest and the largest, levels are interpolated to `CLIP`.
    """
    padded = [CLIP[0], *sorted(reached), CLIP[1]]
    low, high = np.interp([share * (len(reached) + 1) for share in RANGE], np.arange(len(padded)), padded)
    return float(np.clip(low, CLIP[0], 0.3)), float(np.clip(high, 0.7, CLIP[1]))


def _scales_without(errors: dict[Member, FloatArray], place: int) -> dict[Member, float]:
    """Return the scales of the members' errors, estimated without one run, so that it is not used to predict itself."""
    return {member: _scale(np.delete(error, place)) for member, error in errors.items()}


def _below(
    weights: dict[Member, float], scales: dict[Member, float], guesses: dict[Member, float], value: float
) -> float:
    """Return the mixture's distribution function at a value."""
    return sum(weights[m] * float(special.stdtr(TAIL, (value - guesses[m]) / scales[m])) for m in MEMBERS)


def _quantile(endings: Endings, guesses: dict[Member, float], share: float) -> float:
    """Find a quantile of the mixture by bisection."""
    widest = max(endings.scales.values())
    low, high = min(guesses.values()) - 60 * widest, max(guesses.values()) + 60 * widest
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (
            (middle, high) if _below(endings.weights, endings.scales, guesses, middle) < share else (low, middle)
        )
    return (low + high) / 2
