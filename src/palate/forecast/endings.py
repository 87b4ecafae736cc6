"""How a running curve will end, told from its beginning and from past runs; pure.

R1 base rate: it ends where past runs ended. R2 persistence: it ends where it is. R3 neighbours: it still gains what the
past runs most like it gained from there. R4 power law: y = floor + a step^-b through what is seen. R5 features: ridge
regression of what past runs still gained on where they were and how they got there. R0: their mixture, weighted so
that it finds the ends of past runs most probable (stacking: Yao, Vehtari, Simpson and Gelman 2018, Bayesian Analysis
13). Every member is a density: its own guess with the errors that it makes on past runs at the same share of the
budget. R0's range is widened or narrowed until it held what it promises on past runs.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from palate.forecast.chances import Member
from palate.forecast.curves import GRID, Curve, FloatArray, power_law_end
from palate.verdict.special import stdtr

MEMBERS: tuple[Member, ...] = ("base rate", "persistence", "neighbours", "power law", "features")
FamilyArray = npt.NDArray[np.str_]

NEAREST = 7
LEAST_POINTS = 2
FEWEST = 3
FOLDS = 10
"""Parts into which families fall; what foretells a family is fitted on the other parts."""

TRIED = 600
"""Past runs, evenly chosen, on which members are tried to learn their errors and weights."""

PENALTY = 1.0
STACKING = 60
FLOOR = 1e-3
"""Nobody is believed less than this."""

TAIL = 3.0
"""Degrees of freedom of each member's error: heavy tails, so that one odd run does not ruin it."""

RANGE = (0.1, 0.9)
CLIP = (0.005, 0.995)
"""Probabilities of the mixture that its range goes to at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a curve will end.

    Attributes:
        value: the best single guess.
        low, high: between these with 80 %.
        guesses: each member's own guess.
        weights: how much each member is believed.
    """

    value: float
    low: float
    high: float
    guesses: dict[Member, float]
    weights: dict[Member, float]

    @property
    def scale(self) -> float:
        """About one standard deviation of the guess: a normal's 80 % range is 2.56 wide."""
        return (self.high - self.low) / 2.56


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """Past runs as they were at one share of the budget: n rows.

    Attributes:
        now: (n,) value at the share.
        shapes: (n, GRID) the way it took there.
        ends: (n,) where it ended.
        families: (n,) which runs must not vouch for each other.
        units: how far past runs lie apart in shape, and in value: what distances are measured in.
        fits: (FOLDS + 1, GRID + 2) weights of features, fitted without each fold of families, and on all.
    """

    now: FloatArray
    shapes: FloatArray
    ends: FloatArray
    families: FamilyArray
    units: tuple[float, float]
    fits: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Endings:
    """The references as fitted on past runs, at one share of the budget.

    Attributes:
        share: of the budget that is seen.
        past: the past runs there.
        scales: of each member, the spread of its errors.
        weights: of each member.
        levels: the mixture's probabilities between which 80 % of past ends lay.
    """

    share: float
    past: Past
    scales: dict[Member, float]
    weights: dict[Member, float]
    levels: tuple[float, float] = RANGE


def fit_endings(curves: Sequence[Curve], share: float) -> Endings | None:
    """Fit the references on finished runs; None where fewer than three reach that far.

    Each past run is foretold by the runs of other families alone, so that seeds of one change do not vouch for it.
    """
    seen = [(curve.until(share), curve) for curve in curves]
    known = [(part, float(whole.values[-1])) for part, whole in seen if len(part.values) >= LEAST_POINTS]
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


def guesses_of(past: Past, part: Curve, *, without: str | None = None) -> dict[Member, float]:
    """Give each member's guess of where a curve ends.

    Args:
        past: what past runs did from there.
        part: what is seen.
        without: a family whose past runs are not looked at.
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


def foretell(endings: Endings, part: Curve, *, without: str | None = None) -> Ending:
    """Say how a curve will end: the mixture's median, and the range that holds 80 %."""
    guesses = guesses_of(endings.past, part, without=without)
    value, low, high = (_quantile(endings, guesses, share) for share in (0.5, *endings.levels))
    return Ending(value=value, low=low, high=high, guesses=guesses, weights=dict(endings.weights))


def log_densities(endings: Endings, guesses: dict[Member, float], end: float) -> dict[str, float]:
    """Give the log density (nats) that each member, and the mixture as "R0", put on where a curve really ended."""
    told: dict[str, float] = {
        member: float(_log_student(end - guesses[member], endings.scales[member])) for member in MEMBERS
    }
    parts = [np.log(endings.weights[member]) + told[member] for member in MEMBERS]
    return {**told, "R0": float(np.logaddexp.reduce(parts))}


def _past(parts: Sequence[Curve], ends: FloatArray) -> Past:
    now = np.array([part.values[-1] for part in parts])
    shapes = np.array([part.shape for part in parts])
    families = np.array([part.family for part in parts])
    bare = Past(
        now=now, shapes=shapes, ends=ends, families=families, units=(_unit(shapes), _unit(now)), fits=np.empty(0)
    )
    rows = _row(bare, now, shapes)
    folds = np.array([_fold(family) for family in families])
    fits = np.array([_ridge(rows[folds != fold], (ends - now)[folds != fold]) for fold in range(FOLDS + 1)])
    return Past(now=now, shapes=shapes, ends=ends, families=families, units=bare.units, fits=fits)


def _fold(family: str) -> int:
    return zlib.crc32(family.encode()) % FOLDS


def _row(past: Past, now: FloatArray, shapes: FloatArray) -> FloatArray:
    """Give (n, GRID + 2) features: 1, where it is, the way it took; in units of how far past runs lie apart."""
    where = (now - np.median(past.now)) / past.units[1]
    return np.column_stack([np.ones(len(now)), np.clip(where, -9, 9), np.clip(shapes / past.units[0], -9, 9)])


def _ridge(rows: FloatArray, wanted: FloatArray) -> FloatArray:
    if not len(rows):
        return np.zeros(GRID + 2)
    penalty = PENALTY * np.eye(rows.shape[1])
    penalty[0, 0] = 1e-6
    return np.asarray(np.linalg.solve(rows.T @ rows + penalty, rows.T @ wanted), dtype=np.float64)


def _neighbours_gain(past: Past, here: float, shape: FloatArray, usable: npt.NDArray[np.bool_]) -> float:
    apart = np.abs(past.shapes - shape).mean(axis=1) / past.units[0] + np.abs(past.now - here) / past.units[1]
    apart = np.where(usable, apart, np.inf)
    near = min(NEAREST, int(usable.sum()))
    nearest = np.argpartition(apart, near - 1)[:near]
    return float(np.median((past.ends - past.now)[nearest]))


def _unit(values: FloatArray) -> float:
    return float(np.median(np.abs(values - np.median(values, axis=0)))) or 1.0


def _scale(errors: FloatArray) -> float:
    """Give the scale of a heavy-tailed error whose middle half is as wide as what was seen."""
    return max(float(np.median(np.abs(errors))) / 0.765, 1e-9)  # .765: the third quartile of Student's t with 3 degrees


def _weights(errors: dict[Member, FloatArray], scales: dict[Member, float]) -> dict[Member, float]:
    """Weigh the members so that their mixture finds past ends most probable (stacking, by expectation-maximisation).

    Exponentially weighted averaging puts nearly all on the one that was best so far, and loses where two are close.
    """
    densities = np.exp(np.array([_log_student(errors[member], scales[member]) for member in MEMBERS]))
    weights = np.full(len(MEMBERS), 1 / len(MEMBERS))
    for _ in range(STACKING):
        parts = weights[:, None] * densities
        weights = (parts / np.maximum(parts.sum(axis=0), 1e-300)).mean(axis=1)
    weights = (weights + FLOOR) / (1 + FLOOR * len(MEMBERS))
    return {member: float(weight) for member, weight in zip(MEMBERS, weights, strict=True)}


def _log_student(error: FloatArray | float, scale: float) -> FloatArray:
    # log density of Student's t with TAIL = 3 degrees of freedom, whose constant is 2 / (pi sqrt 3)
    told: FloatArray = (
        np.log(2 / (np.pi * np.sqrt(TAIL))) - np.log(scale) - 2 * np.log1p((np.asarray(error) / scale) ** 2 / TAIL)
    )
    return told


def _levels(reached: Sequence[float]) -> tuple[float, float]:
    """Give the mixture's probabilities between which one more end lies with 80 %, by where past ends lay.

    Of n ends the k-th smallest has a share k / (n + 1) of what comes below it; what lies outside of all of them, which
    nobody has seen, reaches to the clip.
    """
    padded = [CLIP[0], *sorted(reached), CLIP[1]]
    low, high = np.interp([share * (len(reached) + 1) for share in RANGE], np.arange(len(padded)), padded)
    return float(np.clip(low, CLIP[0], 0.3)), float(np.clip(high, 0.7, CLIP[1]))


def _scales_without(errors: dict[Member, FloatArray], place: int) -> dict[Member, float]:
    """Give the spreads of the members' errors as they are without one run: it must not vouch for itself."""
    return {member: _scale(np.delete(error, place)) for member, error in errors.items()}


def _below(
    weights: dict[Member, float], scales: dict[Member, float], guesses: dict[Member, float], value: float
) -> float:
    """Give the mixture's probability of an end below a value."""
    return sum(weights[m] * float(stdtr(TAIL, (value - guesses[m]) / scales[m])) for m in MEMBERS)


def _quantile(endings: Endings, guesses: dict[Member, float], share: float) -> float:
    """Find a quantile of the mixture by halving."""
    widest = max(endings.scales.values())
    low, high = min(guesses.values()) - 60 * widest, max(guesses.values()) + 60 * widest
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (
            (middle, high) if _below(endings.weights, endings.scales, guesses, middle) < share else (low, middle)
        )
    return (low + high) / 2
