"""How a running curve will end, told from its beginning and from past runs: the references for mid-run forecasts; pure.

R2 persistence: it ends where it is. R3 neighbours: it still gains what the past runs most like it gained from there.
R4 power law: y = floor + a step^-b through what is seen. R0: their mixture, weighted so that it finds the ends of
past runs most probable (stacking: Yao, Vehtari, Simpson and Gelman 2018, Bayesian Analysis 13). Every
member is a density: its own guess with the errors that it makes on past runs at the same share of the budget.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from palate.errors import InputError

Member = Literal["persistence", "neighbours", "power law"]
MEMBERS: tuple[Member, ...] = ("persistence", "neighbours", "power law")
FloatArray = np.ndarray[tuple[int, ...], np.dtype[np.float64]]
FamilyArray = np.ndarray[tuple[int, ...], np.dtype[np.str_]]

NEAREST = 7
EXPONENTS = np.linspace(0.05, 2.0, 40)
LEAST_POINTS = 2
GRID = 20
"""Places of a curve, evenly over what is seen, by which curves are compared."""

STACKING = 60
FLOOR = 1e-3
"""Nobody is believed less than this."""

TAIL = 3.0
"""Degrees of freedom of each member's error: heavy tails, so that one odd run does not ruin it."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class References:
    """The references as fitted on past runs, at one share of the budget.

    Attributes:
        share: of the budget that is seen.
        now: of each past run, its value at the share.
        shapes: and the way it took there, relative to that value, on a grid.
        gains: and what it still gained.
        families: and its family.
        units: how far past runs lie apart in shape, and in value: what distances are measured in.
        scales: of each member, the spread of its errors.
        weights: of each member.
    """

    share: float
    now: FloatArray
    shapes: FloatArray
    gains: FloatArray
    families: FamilyArray
    units: tuple[float, float]
    scales: dict[Member, float]
    weights: dict[Member, float]


def fit_references(past: Sequence[Curve], share: float) -> References | None:
    """Fit the references on finished runs; None where fewer than three reach that far.

    Each past run is foretold by the runs of other families alone, so that seeds of one change do not vouch for it.
    """
    seen = [(curve.until(share), curve) for curve in past]
    known = [(part, float(whole.values[-1]), whole.family) for part, whole in seen if len(part.values) >= LEAST_POINTS]
    if len(known) < 3:
        return None
    now = np.array([part.values[-1] for part, _, _ in known])
    shapes = np.array([_shape(part) for part, _, _ in known])
    ends = np.array([end for _, end, _ in known])
    families = np.array([family for _, _, family in known])
    units = (_unit(shapes), _unit(now))
    bare = References(
        share=share, now=now, shapes=shapes, gains=ends - now, families=families, units=units, scales={}, weights={}
    )
    errors: dict[Member, FloatArray] = {member: np.empty(len(known)) for member in MEMBERS}
    for place, (part, end, family) in enumerate(known):
        for member, guess in guesses_of(bare, part, without=family).items():
            errors[member][place] = guess - end
    scales = {member: _scale(error) for member, error in errors.items()}
    return References(
        share=share, now=now, shapes=shapes, gains=ends - now, families=families, units=units, scales=scales,
        weights=_weights(errors, scales),
    )  # fmt: skip


def guesses_of(references: References, part: Curve, *, without: str | None = None) -> dict[Member, float]:
    """Give each member's guess of where a curve ends.

    Args:
        references: what past runs did from there.
        part: what is seen.
        without: a family whose past runs are not looked at.
    """
    here = float(part.values[-1])
    return {
        "persistence": here,
        "neighbours": here + _neighbours_gain(references, part, without),
        "power law": power_law_end(part),
    }


def foretell(references: References, part: Curve, *, without: str | None = None) -> Ending:
    """Say how a curve will end: the mixture's median, and the range that holds 80 %."""
    guesses = guesses_of(references, part, without=without)
    value, low, high = (_quantile(references, guesses, share) for share in (0.5, 0.1, 0.9))
    return Ending(value=value, low=low, high=high, guesses=guesses, weights=dict(references.weights))


def log_densities(references: References, guesses: dict[Member, float], end: float) -> dict[str, float]:
    """Give the log density (nats) that each member, and the mixture as "R0", put on where a curve really ended."""
    told: dict[str, float] = {
        member: float(_log_student(end - guesses[member], references.scales[member])) for member in MEMBERS
    }
    parts = np.array([np.log(references.weights[member]) + told[member] for member in MEMBERS])
    top = parts.max()
    return {**told, "R0": float(top + np.log(np.exp(parts - top).sum()))}


def _neighbours_gain(references: References, part: Curve, without: str | None) -> float:
    usable = references.families != without
    if not usable.any():
        return 0.0
    apart = np.abs(references.shapes - _shape(part)).mean(axis=1) / references.units[0]
    apart = np.where(usable, apart + np.abs(references.now - part.values[-1]) / references.units[1], np.inf)
    near = min(NEAREST, int(usable.sum()))
    nearest = np.argpartition(apart, near - 1)[:near]
    return float(np.median(references.gains[nearest]))


def _unit(values: FloatArray) -> float:
    return float(np.median(np.abs(values - np.median(values, axis=0)))) or 1.0


def _shape(part: Curve) -> FloatArray:
    """Give the way a curve took, relative to where it is, at even places of its later half."""
    grid = np.linspace(part.steps[-1] / 2, part.steps[-1], GRID)
    told: FloatArray = np.interp(grid, part.steps, part.values) - part.values[-1]
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


def _quantile(references: References, guesses: dict[Member, float], share: float) -> float:
    """Find a quantile of the mixture by halving."""
    from scipy.special import stdtr

    widest = max(references.scales.values())
    low, high = min(guesses.values()) - 60 * widest, max(guesses.values()) + 60 * widest
    for _ in range(60):
        middle = (low + high) / 2
        below = sum(
            references.weights[m] * float(stdtr(TAIL, (middle - guesses[m]) / references.scales[m])) for m in MEMBERS
        )
        low, high = (middle, high) if below < share else (low, middle)
    return (low + high) / 2
