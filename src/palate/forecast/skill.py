"""Skill: mean bits over the reference, with a bound that stays valid however often it is looked at; pure.

Each score lies between two bounds that are known when the forecast is sealed. Betting against "the mean is no more than
m" with stakes inside of these bounds makes money only if it is more; a gain of 20 to 1 is luck at most once in 20, at
whatever forecast one looks (Ville's inequality; Waudby-Smith and Ramdas 2024, JRSS B 86, of which this is the mixture
over constant shares; Choe and Ramdas 2023 compare forecasters so). No bell curve is assumed: a person who says 97 %
loses rarely and much, and an asymptotic bound calls every third of such people skilled who are not.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from palate.errors import InputError

State = Literal["behind", "can't tell yet", "ahead"]
FloatArray = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

ALPHA = 0.05
SHARES = np.array([0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.65, 0.8])
"""Shares of what could be lost at most that are staked, a tenth of the money on each."""

HALVINGS = 40
FARTHEST = 5000


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """A score in bits over the reference, and the least and the most that it could have been."""

    bits: float
    least: float
    most: float

    def __post_init__(self) -> None:
        if not self.least - 1e-9 <= self.bits <= self.most + 1e-9 or not self.least <= 0 <= self.most:
            raise InputError(f"a score of {self.bits} bits does not lie between {self.least} <= 0 <= {self.most}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Skill:
    """What may be said of a forecaster.

    Attributes:
        n: scored forecasts.
        mean: mean bits over the reference; 0 without any.
        low: the true mean is above this (97.5 %, at every look at once).
        high: and below this.
        state: behind, can't tell yet, or ahead.
        more: about how many more forecasts would settle it if they went on like this; None where it is settled, or
            where nothing points either way.
    """

    n: int
    mean: float
    low: float
    high: float
    state: State
    more: int | None


def skill_of(scores: Sequence[Scored], *, alpha: float = ALPHA) -> Skill:
    """Judge a forecaster by their scores, in the order in which the forecasts were made.

    Args:
        scores: bits over the reference with their bounds.
        alpha: how often "ahead" or "behind" may be said falsely, ever.

    >>> good = [Scored(bits=b, least=-1.5, most=0.9) for b in (0.9, 0.9, -1.5, 0.9, 0.9) * 20]
    >>> skill_of(good).state, skill_of(good[:10]).state
    ('ahead', "can't tell yet")
    """
    n = len(scores)
    if not n:
        return Skill(n=0, mean=0.0, low=-math.inf, high=math.inf, state="can't tell yet", more=None)
    bits, least, most = (np.array([getattr(s, name) for s in scores]) for name in ("bits", "least", "most"))
    goal = math.log(2 / alpha)
    low = _bound(bits, least, goal)
    high = -_bound(-bits, -most, goal)
    state: State = "ahead" if low > 0 else "behind" if high < 0 else "can't tell yet"
    mean = float(bits.mean())
    more = _more(bits, least, most, goal) if state == "can't tell yet" else None
    return Skill(n=n, mean=mean, low=low, high=high, state=state, more=more)


def log_wealth(bits: FloatArray, least: FloatArray, mean: float = 0.0) -> float:
    """Give the log of what betting against "the mean is no more than `mean`" has made of one coin.

    Scores that could not have been below `mean` are no bet and are left out.
    """
    room = mean - least
    open_ = room > 1e-9
    if not open_.any():
        return 0.0
    gains = np.log1p(SHARES[:, None] * ((bits - mean)[open_] / room[open_])[None, :]).sum(axis=1)
    top = gains.max()
    return float(top + math.log(np.exp(gains - top).mean()))


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
    best = max(log_wealth(bits, least), log_wealth(-bits, -most))
    if best <= 0 or n < 2:
        return None
    more = math.ceil(n * (goal / best - 1))
    return more if 0 < more < FARTHEST else None
