"""Predict the final value of a running curve from its beginning and from past runs; pure.

Base rate: the median end of past runs. Persistence: the last value. Neighbours: the last value plus the median further
gain of the most similar past runs. R0: the mixture of these members, with the weights that maximise the likelihood of
the ends of past runs (stacking: Yao, Vehtari, Simpson and Gelman 2018, Bayesian Analysis 13). The density of a member
is Student's t around its prediction, scaled by its errors on past runs at the same share of the budget. The range of R0
is calibrated so that it contained 80 % of the ends of past runs.

Medians and ranks alone decide: a run that ends absurdly far away is left out (`curves.believable`), and one that ends
badly moves each by one place at most.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from palate.forecast.chances import Member
from palate.forecast.curves import FloatArray, PastCurve, believable
from palate.verdict.lazy import special

MEMBERS: tuple[Member, ...] = ("base rate", "persistence", "neighbours")
FamilyArray = npt.NDArray[np.str_]

NEAREST = 7
"""Past runs that count as neighbours."""

LEAST_POINTS = 2
"""Observed points below which a curve is not used."""

FEWEST = 3
"""Past runs below which nothing is fitted."""

FEW, ODD = 30, 10.0
"""Past runs up to which one that ends oddly does not count for the range, and what is odd: so many times the median
distance of the others from their median, and three times less often their largest."""

TRIED = 600
"""Past runs, evenly chosen, on which the members' errors and weights are estimated."""

STACKING = 60
"""Iterations of expectation-maximisation for the weights."""

FLOOR = 1e-3
"""Least weight of a member, before the weights are normalised."""

TAIL = 3.0
"""Degrees of freedom of each member's error: heavy tails, so that one outlying run does not decide the weights."""

REACH, HALVINGS = 60.0, 200
"""Scales around each member's prediction within which a quantile is searched, and steps of the search at most."""

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
    """

    now: FloatArray
    shapes: FloatArray
    ends: FloatArray
    families: FamilyArray
    units: tuple[float, float]


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

    Runs that end absurdly far from the others are left out.

    Errors are those of leave-one-family-out predictions, because other seeds of the same change would predict a run
    too well.
    """
    parts = [(curve.until(share), curve) for curve in believable(curves)]
    known = [(part, float(whole.values[-1])) for part, whole in parts if len(part.values) >= LEAST_POINTS]
    if len(known) < FEWEST:
        return None
    past = _past([part for part, _ in known], np.array([end for _, end in known]))
    known = _without_odd_one(known)
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


def _without_odd_one(known: list[tuple[PastCurve, float]]) -> list[tuple[PastCurve, float]]:
    """Return few runs without the one that ends far from all others, if there is one, so that it sets no range.

    It stays a neighbour of runs that go as it did. Of many runs, one moves a quantile by a rank at most.
    """
    if not FEWEST < len(known) <= FEW:
        return known
    ends = np.array([end for _, end in known])
    odd = int(np.argmax(np.abs(ends - np.median(ends))))
    rest = np.delete(ends, odd)
    apart = np.abs(rest - np.median(rest))
    far = abs(ends[odd] - np.median(rest)) > ODD * max(float(np.median(apart)), float(apart.max()) / 3)
    return [one for place, one in enumerate(known) if place != odd] if far else known


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
        return dict.fromkeys(MEMBERS, here)
    return {
        "base rate": float(np.median(past.ends[usable])),
        "persistence": here,
        "neighbours": here + _neighbours_gain(past, here, shape, usable),
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
    return PastCurves(now=now, shapes=shapes, ends=ends, families=families, units=(_unit(shapes), _unit(now)))


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
    """Find a quantile of the mixture by bisection, to the last digit: members may be far apart."""
    low = min(guesses[m] - REACH * endings.scales[m] for m in MEMBERS)
    high = max(guesses[m] + REACH * endings.scales[m] for m in MEMBERS)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if not low < middle < high:
            break
        low, high = (
            (middle, high) if _below(endings.weights, endings.scales, guesses, middle) < share else (low, middle)
        )
    return (low + high) / 2
