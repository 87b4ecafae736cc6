"""Skill: the mean score in bits over the reference, with a confidence sequence: valid at every look; pure.

The test is a betting martingale (Waudby-Smith and Ramdas 2024, JRSS B 86; Choe and Ramdas 2023 compare forecasters in
this way). The bets gain wealth if the mean score is above m. If it is not, the wealth exceeds 20 times the start with
probability .05 at most, whatever the number of looks (Ville's inequality). A bet is a fixed share of the wealth for
each bit and never grows, so that the test is about the average over all forecasts so far, easy and hard ones alike. It
is reduced where the least possible score, known when a forecast was sealed, could cost nearly all of the wealth. Scores
need not be normal: a forecaster who always says 97 % loses rarely and then much, and an asymptotic bound would wrongly
call a third of such forecasters without skill "ahead" (docs/design/007).
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
"""Error probability of each claim, over all looks together."""

BET_SIZES, BET_PARTS = np.array([0.1, 0.3]), np.array([0.1, 0.9])
"""Shares of the wealth that are bet for each bit, and the part of the wealth that each begins with. The large one is
near the best for means of .2 to .6 bits on either side, which skilled forecasters reach and guessers lose; the small
one tells means of .05 bits in the long run."""

TREND_BETS = np.array([0.3, 0.6, 1.0]), np.full(3, 1 / 3)
"""The same for trends: early parts are short, so only large changes can be detected."""

LARGEST_LOSS = 0.95
"""Share of the wealth that the least possible score so far may cost."""

HALVINGS = 40
"""Steps of bisection for a bound."""

FARTHEST = 5000
"""More further forecasts than this are not announced."""

SPLITS = tuple(20 * 2**k for k in range(7))
"""Lengths of the early part of a trend, in forecasts; their weights are 1/2, 1/4, 1/8 and so on."""

MEANS, REFINED, CLOSE = 17, 40, 0.1
"""Grid of the constant mean under "no trend": points at first, most refinements, and the accuracy in log wealth."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """A score in bits over the reference, with its least and greatest possible value."""

    bits: float
    least: float
    most: float

    def __post_init__(self) -> None:
        if not self.least - 1e-9 <= self.bits or not self.least <= 0 <= self.most:
            raise InputError(f"a score of {self.bits} bits does not lie between {self.least} <= 0 <= {self.most}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Skill:
    """The skill of a forecaster.

    Attributes:
        n: scored forecasts.
        mean: mean bits over the reference; 0 without any.
        low: lower 95 % bound of the true mean, valid at every look.
        high: upper 95 % bound, likewise.
        state: behind, can't tell yet, or ahead; each claim is wrong with probability .05 at most, over all looks.
        more: about how many further forecasts would settle it at the present rate; None where it is settled, or where
            the wealth of neither side grows.
        trend: whether the scores improve.
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
        alpha: error probability of "ahead", over all looks; and of "behind".

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
    """Return the lower and the upper bound of the true mean.

    Args:
        scores: at least one.
        alpha: error probability of each bound, over all looks.
    """
    bits, least, most = _columns(scores)
    goal = math.log(1 / alpha)
    return _bound(bits, least, goal), -_bound(-np.minimum(bits, most), -most, goal)


def trend_of(scores: Sequence[Scored], *, alpha: float = ALPHA) -> Trend:
    """Return whether scores rise or fall over time, by a test that is valid at every look.

    Under "no rise", there is a constant c such that the mean of the early part is at least c and the mean of the later
    part at most c. The test bets on an early mean below c and a later mean above c; the wealth that counts is the least
    over all c. Early parts end after fixed numbers of forecasts, so that the best split is not chosen from the data.
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
    """Return the log wealth of betting on a rise: the weighted sum over the splits."""
    places = [place for place in SPLITS if place < len(bits)]
    shares = -math.log(2) * np.arange(1, len(places) + 1)
    return float(np.logaddexp.reduce(shares + [_rise_after(place, bits, least, most) for place in places]))


def _rise_after(place: int, bits: FloatArray, least: FloatArray, most: FloatArray) -> float:
    """Return a lower bound of the log wealth of betting on a rise at one split, over all constants c.

    Of each bet, half of the wealth is not used. The wealth of the bet on a low early part rises with c, that of the bet
    on a high later part falls. Between two grid points, their product is therefore at least the first at the lower
    point times the second at the higher point. The bound holds for any grid; the interval that decides is refined.
    """

    def low(mean: float) -> float:
        return float(np.logaddexp(0, log_wealth(-bits[:place], -most[:place], -mean, *TREND_BETS)) - math.log(2))

    def high(mean: float) -> float:
        return float(np.logaddexp(0, log_wealth(bits[place:], least[place:], mean, *TREND_BETS)) - math.log(2))

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


def log_wealth(
    bits: FloatArray,
    least: FloatArray,
    mean: float = 0.0,
    bet_sizes: FloatArray = BET_SIZES,
    parts: FloatArray = BET_PARTS,
) -> float:
    """Return the log wealth of betting on "the mean is above `mean`", from a wealth of 1.

    Suppose the running mean of the conditional expectations was never above `mean`. Since bets do not grow, the wealth
    is then at most that of a supermartingale (summation by parts): it reaches 1 / alpha with probability alpha at most.

    Args:
        bits: (n,) scores in their order.
        least: (n,) least possible value of each score.
        mean: in bits.
        bet_sizes: shares of the wealth for each bit.
        parts: of the wealth that each bet size begins with; they add up to 1.
    """
    room = np.maximum.accumulate(np.maximum(mean - least, 1e-9))
    gains = np.log1p(np.minimum(bet_sizes[:, None], LARGEST_LOSS / room) * (bits - mean)).sum(axis=1)
    return float(np.logaddexp.reduce(gains + np.log(parts)))


def _columns(scores: Sequence[Scored]) -> tuple[FloatArray, FloatArray, FloatArray]:
    bits, least, most = (np.array([getattr(s, name) for s in scores]) for name in ("bits", "least", "most"))
    return bits, least, most


def _bound(bits: FloatArray, least: FloatArray, goal: float) -> float:
    """Find the lower bound by bisection: the largest mean that the bets reject; wealth falls as the mean grows."""
    low, high = float(least.min()), float(bits.mean())
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if log_wealth(bits, least, middle) >= goal else (low, middle)
    return low


def _more(bits: FloatArray, least: FloatArray, most: FloatArray, goal: float) -> int | None:
    """Return the further forecasts needed if the log wealth of the better side goes on growing at the same rate."""
    n = len(bits)
    best = max(log_wealth(bits, least), log_wealth(-np.minimum(bits, most), -most))
    if best <= 0 or n < 2:
        return None
    more = math.ceil(n * (goal / best - 1))
    return more if 0 < more < FARTHEST else None
