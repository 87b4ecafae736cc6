"""Skill: mean bits over the reference, with a bound that stays valid however often it is looked at; pure.

Somebody who bets on "the mean is above m" at fixed stakes makes money only if it is; a gain of twenty to one is luck at
most once in twenty, at whatever forecast one looks (Ville's inequality; Waudby-Smith and Ramdas 2024, JRSS B 86; Choe
and Ramdas 2023 compare forecasters so). Stakes are so much a bit and never rise, so that it is the average over all
forecasts so far that is judged, easy and hard ones alike; they fall where the worst score, known when a forecast was
sealed, could ruin the bettor. No bell curve is assumed: a person who says 97 % loses rarely and much, and an asymptotic
bound calls every third of such people skilled who are not.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
import numpy.typing as npt

from palate.errors import InputError

State = Literal["behind", "can't tell yet", "ahead"]
Trend = Literal["falling", "can't tell yet", "improving"]
FloatArray = npt.NDArray[np.float64]

ALPHA = 0.05
STAKES = np.array([0.15, 0.3])
"""Shares of the money that are staked a bit, half of it on each: about best for means of .2 to .6 bits, which is what
skilled people get."""

TREND_STAKES = np.array([0.3, 0.6, 1.0])
"""Likewise where a trend is judged: a beginning is short, and rises are large or not to be seen."""

MOST_STAKED = 0.95
"""Share of the money that the worst score so far could cost."""
HALVINGS = 40
FARTHEST = 5000
SPLITS = tuple(20 * 2**k for k in range(7))
"""Where a beginning may end, in forecasts; half the money is on the first, a quarter on the second, and so on."""

MEANS, REFINED, CLOSE = 17, 40, 0.1
"""Means tried as the one that never changed, how often the one that decides is looked at more closely, and until when
(in the logarithm of the money)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """A score in bits over the reference, and the least and the most that it could have been."""

    bits: float
    least: float
    most: float

    def __post_init__(self) -> None:
        if not self.least - 1e-9 <= self.bits or not self.least <= 0 <= self.most:
            raise InputError(f"a score of {self.bits} bits does not lie between {self.least} <= 0 <= {self.most}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Skill:
    """What may be said of a forecaster.

    Attributes:
        n: scored forecasts.
        mean: mean bits over the reference; 0 without any.
        low: the true mean is above this (95 %, at every look at once).
        high: and below this (likewise).
        state: behind, can't tell yet, or ahead; each of the two is said falsely of at most one person in twenty, ever.
        more: about how many more forecasts would settle it if they went on like this; None where it is settled, or
            where nothing points either way.
        trend: whether they get better, as far as can be told.
    """

    n: int
    mean: float
    low: float
    high: float
    state: State
    more: int | None
    trend: Trend = "can't tell yet"


def skill_of(scores: Sequence[Scored], *, alpha: float = ALPHA) -> Skill:
    """Judge a forecaster by their scores, in the order in which the forecasts were made.

    Args:
        scores: bits over the reference with their bounds.
        alpha: how often "ahead" may be said falsely, ever; and "behind".

    >>> good = [Scored(bits=b, least=-1.5, most=0.9) for b in (0.9, 0.9, -1.5, 0.9, 0.9) * 20]
    >>> skill_of(good).state, skill_of(good[:10]).state
    ('ahead', "can't tell yet")
    """
    n = len(scores)
    if not n:
        return Skill(n=0, mean=0.0, low=-math.inf, high=math.inf, state="can't tell yet", more=None)
    bits, least, most = _columns(scores)
    goal = math.log(1 / alpha)
    low, high = bounds_of(scores, alpha=alpha)
    state: State = "ahead" if low > 0 else "behind" if high < 0 else "can't tell yet"
    more = _more(bits, least, most, goal) if state == "can't tell yet" else None
    return Skill(
        n=n, mean=float(bits.mean()), low=low, high=high, state=state, more=more, trend=trend_of(scores, alpha=alpha)
    )


def bounds_of(scores: Sequence[Scored], *, alpha: float = ALPHA) -> tuple[float, float]:
    """Give what the mean is above, and what it is below, each falsely of at most a share alpha of people, ever.

    Args:
        scores: at least one.
        alpha: of each bound.
    """
    bits, least, most = _columns(scores)
    goal = math.log(1 / alpha)
    return _bound(bits, least, goal), -_bound(-np.minimum(bits, most), -most, goal)


def trend_of(scores: Sequence[Scored], *, alpha: float = ALPHA) -> Trend:
    """Say whether scores rise or fall over time, by a test that may be looked at after every forecast.

    If scores do not rise, then for every beginning there is a mean that it does not lie below and that the rest does
    not lie above. Betting on a lower beginning and a higher rest makes money at every such mean only if they do rise;
    the mean that is hardest to beat decides. Beginnings end at fixed places, so that nobody looks for the luckiest one.
    """
    if len(scores) <= SPLITS[0]:
        return "can't tell yet"
    bits, least, most = _columns(scores)
    goal = math.log(1 / alpha)
    bits = np.minimum(bits, most)
    if _rise(bits, least, most) >= goal:
        return "improving"
    return "falling" if _rise(-bits, -most, -least) >= goal else "can't tell yet"


def _rise(bits: FloatArray, least: FloatArray, most: FloatArray) -> float:
    """Give the log of the money made by betting on a low beginning and a high rest, at the means hardest to beat."""
    places = [place for place in SPLITS if place < len(bits)]
    shares = -math.log(2) * np.arange(1, len(places) + 1)
    return float(np.logaddexp.reduce(shares + [_rise_after(place, bits, least, most) for place in places]))


def _rise_after(place: int, bits: FloatArray, least: FloatArray, most: FloatArray) -> float:
    """Bet both ways, half of the money left in the pocket, and bound the result at the mean that is hardest to beat.

    A bet on a low beginning wins more the higher the mean, one on a high rest the less. Between two means, what is made
    is therefore no less than the first bet at the lower one and the second at the higher one: a bound that holds
    however coarse the grid, and that is made finer where it decides.
    """

    def low(mean: float) -> float:
        return float(np.logaddexp(0, log_wealth(-bits[:place], -most[:place], -mean, TREND_STAKES)) - math.log(2))

    def high(mean: float) -> float:
        return float(np.logaddexp(0, log_wealth(bits[place:], least[place:], mean, TREND_STAKES)) - math.log(2))

    means = np.linspace(float(least.min()), float(most.max()), MEANS)
    cells = [(low(a) + high(b), a, b) for a, b in pairwise(means.tolist())]
    for _ in range(REFINED):
        bound, a, b = min(cells)
        middle = (a + b) / 2
        if low(middle) + high(middle) - bound < CLOSE:
            break
        cells.remove((bound, a, b))
        cells += [(low(a) + high(middle), a, middle), (low(middle) + high(b), middle, b)]
    return min(cells)[0]


def log_wealth(bits: FloatArray, least: FloatArray, mean: float = 0.0, stakes: FloatArray = STAKES) -> float:
    """Give the log of what betting on "the mean is above `mean`" has made of one coin.

    If the mean of what was to be expected so far never was above `mean`, the money is never more than that of a fair
    game, since stakes do not rise (summation by parts): it reaches 1 / alpha with probability alpha at most.

    Args:
        bits: (n,) scores in their order.
        least: (n,) the least that each could have been.
        mean: in bits.
        stakes: shares of the money a bit.
    """
    room = np.maximum.accumulate(np.maximum(mean - least, 1e-9))
    gains = np.log1p(np.minimum(stakes[:, None], MOST_STAKED / room) * (bits - mean)).sum(axis=1)
    return float(np.logaddexp.reduce(gains) - math.log(len(stakes)))


def _columns(scores: Sequence[Scored]) -> tuple[FloatArray, FloatArray, FloatArray]:
    bits, least, most = (np.array([getattr(s, name) for s in scores]) for name in ("bits", "least", "most"))
    return bits, least, most


def _bound(bits: FloatArray, least: FloatArray, goal: float) -> float:
    """Find the largest mean that the bets rule out from below: wealth falls as the mean grows."""
    low, high = float(least.min()), float(bits.mean())
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if log_wealth(bits, least, middle) >= goal else (low, middle)
    return low


def _more(bits: FloatArray, least: FloatArray, most: FloatArray, goal: float) -> int | None:
    """Extrapolate: the wealth of the better side grows evenly."""
    n = len(bits)
    best = max(log_wealth(bits, least), log_wealth(-np.minimum(bits, most), -most))
    if best <= 0 or n < 2:
        return None
    more = math.ceil(n * (goal / best - 1))
    return more if 0 < more < FARTHEST else None
