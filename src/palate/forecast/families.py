"""What a forecaster is good and bad at, by family of changes, in words; pure.

A family is what was changed, whichever way: "lr", "batch_size". From five forecasts of a family on it is said how many
came true, and whether they were too sure, too timid, or expected a gain too often. Each is said only where somebody
whose chances are right would be as far off one time in ten at most (the exact distribution of a count of unlike coins).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace  # noqa: F401  replace: in a doctest
from statistics import fmean

FROM = 5
"""Forecasts of a family from which on something is said of it."""

CHANCE = 0.1
"""How often a forecaster with the right chances may be as far off by luck, for it to be said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One forecast of a family with its outcome.

    Attributes:
        family: what was changed.
        confidence: probability of the answer that was given.
        hit: whether it came true.
        better: probability that was given to "better".
        was_better: whether it got better.
        bits: against the project's own odds.
    """

    family: str
    confidence: float
    hit: bool
    better: float
    was_better: bool
    bits: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """How somebody does in one family.

    Attributes:
        name: what is changed.
        n: forecasts with an outcome.
        hits: of these, how many came true.
        said: mean confidence.
        bits: mean bits against the project's own odds.
        faults: "too sure", "too timid", "expects better too often", "expects better too rarely"; empty where the
            chances that were given fit what came.
    """

    name: str
    n: int
    hits: int
    said: float
    bits: float
    faults: tuple[str, ...]

    @property
    def words(self) -> str:
        """Say it in a line."""
        how = " and ".join(self.faults) or "no fault that so few can show"
        return f"{self.name}: {self.hits} of {self.n} right at {self.said:.0%} sure on average: {how}"


def families_of(told: Iterable[Told], fewest: int = FROM) -> list[Family]:
    """Return how somebody does in each family with enough forecasts, the worst against the project's odds first.

    >>> one = Told(family="lr", confidence=0.9, hit=True, better=0.9, was_better=True, bits=0.5)
    >>> families_of([one] * 3 + [replace(one, hit=False, was_better=False)] * 2)[0].words
    'lr: 3 of 5 right at 90% sure on average: too sure and expects better too often'
    """
    groups: dict[str, list[Told]] = {}
    for one in told:
        groups.setdefault(one.family, []).append(one)
    found = [_family(name, group) for name, group in groups.items() if len(group) >= fewest]
    return sorted(found, key=lambda family: (family.bits, family.name))


def _family(name: str, told: Sequence[Told]) -> Family:
    return Family(
        name=name,
        n=len(told),
        hits=sum(one.hit for one in told),
        said=fmean(one.confidence for one in told),
        bits=fmean(one.bits for one in told),
        faults=tuple(_faults(told)),
    )


def _faults(told: Sequence[Told]) -> Iterable[str]:
    hits, gains = sum(one.hit for one in told), sum(one.was_better for one in told)
    yield from _off(hits, count_chances([one.confidence for one in told]), "too sure", "too timid")
    better = count_chances([one.better for one in told])
    yield from _off(gains, better, "expects better too often", "expects better too rarely")


def _off(count: int, chances: Sequence[float], fewer: str, more: str) -> Iterable[str]:
    """Say which way a count is off, where chance would seldom have it so far out."""
    if sum(chances[: count + 1]) <= CHANCE:
        yield fewer
    elif sum(chances[count:]) <= CHANCE:
        yield more


def count_chances(probabilities: Sequence[float]) -> list[float]:
    """Return the probability of each number of successes of independent trials with these probabilities.

    >>> [round(chance, 3) for chance in count_chances([0.5, 0.5])]
    [0.25, 0.5, 0.25]
    """
    chances = [1.0]
    for p in probabilities:
        chances = [one * (1 - p) + other * p for one, other in zip([*chances, 0.0], [0.0, *chances], strict=True)]
    return chances
