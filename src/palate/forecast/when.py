"""Forecasts of when an event happens: in which tenth of a run; pure.

The planned length of a run is divided into ten tenths. The answer is one of them, or "never" where the event may not
happen at all. The rest of the probability is divided as in the reference, with less weight for tenths that are farther
away.
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
"""Index of the answer "never", after those of the tenths."""

LEAST, MOST = 15, 97
"""Limits of a confidence, in percent."""

NEAR = 0.7
"""Factor of the weight for each tenth of distance from the answer."""

IMAGINED = 2.0
"""Pseudo-counts of the uniform prior."""

SPILL = 0.25
"""Count that a past run adds to each neighbouring tenth: smoothing."""

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """An event in a run's metric.

    Attributes:
        metric: its name, as it is logged.
        goal: which way is better.
        reach: the value to reach; None where the event is the best value of the run.
    """

    metric: str
    goal: Goal
    reach: float | None = None

    def __post_init__(self) -> None:
        if self.reach is not None and not math.isfinite(self.reach):
            raise InputError(f"{self.reach} is not a value that can be reached.", todo="--reach 0.95")

    @property
    def words(self) -> str:
        """The event in words."""
        return f"{self.metric} is best" if self.reach is None else f"{self.metric} reaches {self.reach:g}"

    def place(self, values: FloatArray) -> int | None:
        """Return the index in (n,) values at which the event happens; None where it does not."""
        oriented = np.where(np.isfinite(values), values, math.nan) * (1 if self.goal == "max" else -1)
        if self.reach is None:
            return None if np.isnan(oriented).all() else int(np.nanargmax(oriented))
        reached = np.flatnonzero(oriented >= self.reach * (1 if self.goal == "max" else -1))
        return int(reached[0]) if len(reached) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class When:
    """A tenth (0 to 9, or NEVER) and its probability in percent."""

    tenth: int
    confidence: int

    def __post_init__(self) -> None:
        if not 0 <= self.tenth <= NEVER:
            raise _refuse(f"{self.tenth + 1} is not a tenth.")
        if not LEAST <= self.confidence <= MOST:
            raise _refuse(f"{self.confidence} % cannot be a confidence here: it is {LEAST} to {MOST}.")

    def __str__(self) -> str:
        return f"{'never' if self.tenth == NEVER else self.tenth + 1}:{self.confidence}"

    @property
    def words(self) -> str:
        """The forecast in words."""
        where = "never" if self.tenth == NEVER else f"in tenth {self.tenth + 1} of 10"
        return f"{where}, {self.confidence} %"


@dataclass(frozen=True, slots=True, kw_only=True)
class WhenScore:
    """Bits over the reference with their bounds, and the ranked probability scores of both (0 best)."""

    bits: float
    least: float
    most: float
    rps: float
    rps_reference: float


def parse_when(text: str) -> When:
    """Read `4:70` (the fourth tenth, 70 %) or `never:80`; 0 is the tenth tenth, as the key of that name is.

    Raises:
        ForecastTextError: anything else.

    >>> parse_when("4:70").words
    'in tenth 4 of 10, 70 %'
    """
    tenth, _, confidence = text.strip().lower().replace("%", "").replace(" ", ":").partition(":")
    try:
        number, sure = NEVER if tenth == "never" else (int(tenth) or TENTHS) - 1, int(confidence.strip(":"))
    except ValueError as error:
        raise _refuse(f"{text!r} is not a when-forecast.") from error
    if tenth != "never" and not 0 <= number < TENTHS:
        raise _refuse(f"{tenth} is not a tenth: they are 1 to {TENTHS} (0 is the tenth too).")
    return When(tenth=number, confidence=sure)


def tenth_of(step: float, total: float) -> int:
    """Return the tenth of a run of a planned length that a step lies in; later steps count for the last tenth."""
    return min(int(TENTHS * step / total), TENTHS - 1)


def possible(event: Event, *, seen: float, best: int | None) -> tuple[bool, ...]:
    """Return for each answer whether it can still come true.

    Args:
        event: the event.
        seen: observed share of the planned length, 0 to 1.
        best: the tenth of the best value so far; None where nothing is observed.
    """
    first = tenth_of(seen, 1.0) if seen else 0
    later = tuple(tenth >= first or (event.reach is None and tenth == best) for tenth in range(TENTHS))
    return (*later, event.reach is not None)


def strip_rate(past: Sequence[int], open_: Sequence[bool]) -> FloatArray:
    """Return the reference: smoothed frequencies of the answers in past runs, over those that are still possible.

    Args:
        past: the answer that was right in each past run (0 to 9, or NEVER).
        open_: (11,) whether each answer can still come true.

    Raises:
        InputError: none can.
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
    chances: FloatArray = counts / counts.sum()
    return chances


def strip_of(when: When, reference: FloatArray) -> FloatArray:
    """Return an answer as (11,) probabilities.

    Raises:
        ForecastTextError: the answer cannot come true any more.
    """
    if reference[when.tenth] == 0:
        never = "it happens in every run: there is a best value somewhere"
        raise _refuse(f"{when.words}: {never if when.tenth == NEVER else 'that is past, and it was not there'}.")
    away = np.abs(np.arange(TENTHS + 1) - when.tenth).astype(float)
    weights = reference * np.where((np.arange(TENTHS + 1) == NEVER) | (when.tenth == NEVER), 1.0, NEAR**away)
    weights[when.tenth] = 0.0
    left = 1 - when.confidence / 100 if weights.any() else 0.0
    chances: FloatArray = weights * left / max(weights.sum(), 1e-300)
    chances[when.tenth] = 1 - left
    return chances


def score_when(when: When, reference: FloatArray, happened: int) -> WhenScore:
    """Return the log2 ratio of the answer's to the reference's probability of the outcome, with ranked scores."""
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
    """Return the ranked probability score: sum over tenths of (P(by then) - [happened by then])^2 (Epstein 1969)."""
    upto = np.cumsum(chances)[:-1]
    return float(((upto - (np.arange(len(upto)) >= happened)) ** 2).sum())


def _refuse(what: str) -> ForecastTextError:
    return ForecastTextError(
        what,
        why="A when-forecast is a tenth of the run, 1 to 10, and how sure you are.",
        todo="Write it as: 4:70   (the fourth tenth, 70 %), or never:80 where it may not happen",
    )
