"""When-forecasts: in which tenth of a run something happens; pure.

A run's planned length is cut into ten tenths. The answer is one of them, or "never" where the event may not happen at
all. What an answer leaves goes to the other tenths as the reference has it, more readily to near ones.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from palate.errors import ForecastTextError, InputError
from palate.vocabulary import Goal

TENTHS = 10
NEVER = TENTHS
"""The answer behind the tenths."""

LEAST, MOST = 15, 97
NEAR = 0.7
"""What a tenth further away from the answer is worth."""

IMAGINED = 2.0
"""Imagined past runs, spread evenly."""

SPILL = 0.25
"""How much of a past run counts for each neighbouring tenth."""

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What is awaited of a run's metric.

    Attributes:
        metric: its name, as it is logged.
        goal: which way is better.
        reach: the value that it is to reach; None for its best value, the last good checkpoint by this metric.
    """

    metric: str
    goal: Goal
    reach: float | None = None

    def __post_init__(self) -> None:
        if self.reach is not None and not math.isfinite(self.reach):
            raise InputError(f"{self.reach} is no value that can be reached.", todo="--reach 0.95")

    @property
    def words(self) -> str:
        """The event as a person says it."""
        return f"{self.metric} is best" if self.reach is None else f"{self.metric} reaches {self.reach:g}"

    def place(self, values: FloatArray) -> int | None:
        """Give the index at which it happens in (n,) values; None where it does not."""
        oriented = np.where(np.isfinite(values), values, math.nan) * (1 if self.goal == "max" else -1)
        if self.reach is None:
            return None if np.isnan(oriented).all() else int(np.nanargmax(oriented))
        there = np.flatnonzero(oriented >= self.reach * (1 if self.goal == "max" else -1))
        return int(there[0]) if len(there) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class When:
    """A tenth (0 to 9, or NEVER) and its probability in percent."""

    tenth: int
    confidence: int

    def __post_init__(self) -> None:
        if not 0 <= self.tenth <= NEVER:
            raise _refuse(f"{self.tenth + 1} is no tenth.")
        if not LEAST <= self.confidence <= MOST:
            raise _refuse(f"{self.confidence} % cannot be a confidence here: it is {LEAST} to {MOST}.")

    def __str__(self) -> str:
        return f"{'never' if self.tenth == NEVER else self.tenth + 1}:{self.confidence}"

    @property
    def words(self) -> str:
        """The forecast as a person says it."""
        where = "never" if self.tenth == NEVER else f"in tenth {self.tenth + 1} of 10"
        return f"{where}, {self.confidence} %"


@dataclass(frozen=True, slots=True, kw_only=True)
class WhenScore:
    """Bits over the reference with their bounds, and the ranked probability score beside it (0 best)."""

    bits: float
    least: float
    most: float
    rps: float
    rps_reference: float


def parse_when(text: str) -> When:
    """Read `4:70` (the fourth tenth, 70 %) or `never:80`.

    Raises:
        ForecastTextError: anything else.

    >>> parse_when("4:70").words
    'in tenth 4 of 10, 70 %'
    """
    tenth, _, confidence = text.strip().lower().replace("%", "").replace(" ", ":").partition(":")
    try:
        number, sure = NEVER if tenth == "never" else int(tenth) - 1, int(confidence.strip(":"))
    except ValueError as error:
        raise _refuse(f"{text!r} is no when-forecast.") from error
    if tenth != "never" and not 0 <= number < TENTHS:
        raise _refuse(f"{tenth} is no tenth: they are 1 to {TENTHS}.")
    return When(tenth=number, confidence=sure)


def tenth_of(step: float, total: float) -> int:
    """Give the tenth of a run of a planned length that a step lies in; what comes later counts for the last."""
    return min(int(TENTHS * step / total), TENTHS - 1)


def possible(event: Event, *, seen: float, best: int | None) -> tuple[bool, ...]:
    """Say which answers are still open once a share of the run is seen.

    Args:
        event: what is awaited.
        seen: share of the planned length, 0 to 1.
        best: the tenth of the best value so far; None where nothing is seen.
    """
    first = tenth_of(seen, 1.0) if seen else 0
    later = tuple(tenth >= first or (event.reach is None and tenth == best) for tenth in range(TENTHS))
    return (*later, event.reach is not None)


def strip_rate(past: Sequence[int], open_: Sequence[bool]) -> FloatArray:
    """Give the reference: where it happened in past runs, smoothed, over the answers that are still open.

    Args:
        past: answers that past runs gave (0 to 9, or NEVER).
        open_: (11,) whether each answer is still open.

    Raises:
        InputError: none is.
    """
    counts = np.full(TENTHS + 1, IMAGINED / (TENTHS + 1))
    for tenth in past:
        counts[tenth] += 1.0
        if tenth != NEVER:
            for near in (tenth - 1, tenth + 1):
                counts[min(max(near, 0), TENTHS - 1)] += SPILL
    counts = np.where(np.asarray(open_, bool), counts, 0.0)
    if not counts.any():
        raise InputError("no answer is open any more.")
    told: FloatArray = counts / counts.sum()
    return told


def strip_of(when: When, reference: FloatArray) -> FloatArray:
    """Give an answer as (11,) probabilities.

    Raises:
        ForecastTextError: the answer is not open any more.
    """
    if reference[when.tenth] == 0:
        never = "it happens in every run: there is a best value somewhere"
        raise _refuse(f"{when.words}: {never if when.tenth == NEVER else 'that is past, and it was not there'}.")
    away = np.abs(np.arange(TENTHS + 1) - when.tenth).astype(float)
    weights = reference * np.where((np.arange(TENTHS + 1) == NEVER) | (when.tenth == NEVER), 1.0, NEAR**away)
    weights[when.tenth] = 0.0
    left = 1 - when.confidence / 100 if weights.any() else 0.0
    told: FloatArray = weights * left / max(weights.sum(), 1e-300)
    told[when.tenth] = 1 - left
    return told


def score_when(when: When, reference: FloatArray, happened: int) -> WhenScore:
    """Score an answer by the log of what it gave to the tenth in which it happened, over the reference's."""
    mine = strip_of(when, reference)
    open_ = reference > 0
    ratios = np.log2(mine[open_] / reference[open_])
    bits = math.log2(mine[happened] / reference[happened]) if open_[happened] else 0.0
    return WhenScore(
        bits=bits,
        least=min(0.0, float(ratios.min())),
        most=max(0.0, float(ratios.max())),
        rps=ranked_score(mine, happened),
        rps_reference=ranked_score(reference, happened),
    )


def ranked_score(chances: FloatArray, happened: int) -> float:
    """Give the sum over tenths of (probability up to there - whether it had happened)^2 (Epstein 1969)."""
    upto = np.cumsum(chances)[:-1]
    return float(((upto - (np.arange(len(upto)) >= happened)) ** 2).sum())


def _refuse(what: str) -> ForecastTextError:
    return ForecastTextError(
        what,
        why="A when-forecast is a tenth of the run, 1 to 10, and how sure you are.",
        todo="Write it as: 4:70   (the fourth tenth, 70 %), or never:80 where it may not happen",
    )
