"""Probabilities of the four outcomes of a question, and the reference forecast as it is sealed; light to import."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from palate.errors import InputError

CLASSES = ("worse", "same", "better")
OUTCOMES = (*CLASSES, "crash")
Member = Literal["guess", "base rate", "settings", "like changes", "persistence", "neighbours", "power law", "features"]
"""The forecasters that the reference is or was mixed of; the last two are in older records alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chances:
    """Probabilities of the four outcomes; they sum to 1."""

    worse: float
    same: float
    better: float
    crash: float

    def __post_init__(self) -> None:
        by_name = self.by_name
        if min(by_name.values()) < 0 or not math.isclose(sum(by_name.values()), 1, abs_tol=1e-9):
            raise InputError(f"chances must be probabilities that sum to 1, got {by_name}.")

    @property
    def by_name(self) -> dict[str, float]:
        """The four of them by name."""
        return {"worse": self.worse, "same": self.same, "better": self.better, "crash": self.crash}

    def of(self, outcome: str) -> float:
        """Return the probability of one outcome."""
        return float(getattr(self, outcome))

    def __str__(self) -> str:
        return "  ".join(f"{name} {chance:.0%}" for name, chance in self.by_name.items())


def normalised(weights: Mapping[str, float]) -> Chances:
    """Return chances by weights.

    >>> normalised({"worse": 1, "same": 2, "better": 1, "crash": 0}).same
    0.5
    """
    total = sum(weights.values())
    return Chances(**{name: weights[name] / total for name in OUTCOMES})


def guess_of(chances: Chances) -> Chances:
    """Return a guess: a third each of what is no crash, and the same chance of a crash."""
    alive = dict.fromkeys(CLASSES, (1 - chances.crash) / len(CLASSES))
    return Chances(**alive, crash=chances.crash)


def mixed(parts: Iterable[tuple[float, Chances]]) -> Chances:
    """Mix chances by weights."""
    listed = list(parts)
    return normalised({name: sum(weight * chances.of(name) for weight, chances in listed) for name in OUTCOMES})


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A reference forecast, as it is sealed.

    Attributes:
        chances: of R0, the mixture.
        unit: how wide effects are in this project, against the shape that effects have elsewhere.
        members: each member's chances.
        weights: how far each is believed.
        nearest: the past experiments most like it, nearest first, settled ones only.
        outcomes: how many past outcomes it knows.
    """

    chances: Chances
    unit: float = 1.0
    members: Mapping[Member, Chances] = field(default_factory=dict)
    weights: Mapping[Member, float] = field(default_factory=dict)
    nearest: tuple[str, ...] = ()
    outcomes: int = 0
