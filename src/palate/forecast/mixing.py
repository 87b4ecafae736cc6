"""How far each member of the reference forecast is believed: by Bayes' rule over a few mixtures of them; pure.

A point is a mixture of members with a prior weight. The reference forecast is the mean of the points, weighted by how
probable each made what happened so far. So in total it loses at most log2(1 / prior) bits to any single point, whatever
happens (Vovk 1990; Cover 1991 for mixtures). A point that holds most of the safe member and a little of a bold one is
what shrinks the bold one, and the record says how much.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from palate.forecast.chances import OUTCOMES, Chances, Member, guess_of

FloatArray = npt.NDArray[np.float64]

PastPrediction = tuple[Mapping[Member, Chances], Sequence[float]]
"""What the members predicted for a change, and the likelihood of its outcomes, up to a factor."""


LEAST = 1e-300
"""Below this, probabilities and weights are taken to be this."""


@dataclass(frozen=True, slots=True)
class Point:
    """A mixture of members and its prior weight, above 0; of one that is used, the weights of members sum to 1."""

    prior: float
    mixture: Mapping[Member, float]


def weigh(points: Sequence[Point], record: Iterable[PastPrediction]) -> dict[Member, float]:
    """Return the weight of each member: the mean of the points' mixtures by their posterior.

    A point whose members did not all predict a change sleeps (Freund, Schapire, Singer and Warmuth 1997): it is taken
    to have predicted what the points that were awake did together, so that it neither gains nor loses. Records of
    before a member was there are read so, and members that are no longer there do not count.

    Args:
        points: at least one.
        record: predictions of past changes with what came of them, oldest first.
    """
    members = tuple(dict.fromkeys(name for point in points for name in point.mixture))
    mixtures = np.array([[point.mixture.get(name, 0.0) for name in members] for point in points])
    weights = np.array([point.prior for point in points])
    weights = _believed(weights / weights.sum(), mixtures, _table(members, record))
    return dict(zip(members, (weights @ mixtures).tolist(), strict=True))


def probability_of(chances: Chances, likelihood: Sequence[float]) -> float:
    """Return how probable what was seen is under some chances, up to the factor of the likelihood."""
    return sum(chances.of(name) * seen for name, seen in zip(OUTCOMES, likelihood, strict=True))


def bits_over_guess(chances: Chances, likelihood: Sequence[float]) -> float:
    """Return the bits of some chances over a guess: a third each of what is no crash, and the same chance of a crash.

    >>> round(bits_over_guess(Chances(worse=0.2, same=0.2, better=0.6, crash=0.0), (0, 0, 1, 0)), 2)
    0.85
    """
    told, by_guess = (max(probability_of(one, likelihood), LEAST) for one in (chances, guess_of(chances)))
    return math.log2(told / by_guess)


def _table(members: Sequence[Member], record: Iterable[PastPrediction]) -> FloatArray:
    """Return (n, members) probabilities of what was seen; NaN where a member did not predict it."""
    rows = [
        [np.nan if (told := _told(chances, name)) is None else probability_of(told, seen) for name in members]
        for chances, seen in record
    ]
    return np.array(rows, dtype=np.float64).reshape(-1, len(members))


def _told(chances: Mapping[Member, Chances], name: Member) -> Chances | None:
    """Return what a member predicted; a guess is the same whether it was sealed or not."""
    if name == "guess" and name not in chances and "base rate" in chances:
        return guess_of(chances["base rate"])
    return chances.get(name)


def _believed(weights: FloatArray, mixtures: FloatArray, table: FloatArray) -> FloatArray:
    """Return the (points,) posterior weights.

    Rows that one set of members predicted are taken together: the points that are awake are weighed against each
    other, and keep what they had in total.
    """
    needed = mixtures > 0
    for rows in _alike(table):
        awake = ~(needed & np.isnan(rows[0])).any(axis=1)
        if awake.any():
            told = np.nan_to_num(rows) @ mixtures[awake].T
            logs = np.log(weights[awake]) + np.log(np.maximum(told, LEAST)).sum(axis=0)
            raised = np.maximum(np.exp(logs - logs.max()), LEAST)
            weights[awake] = weights[awake].sum() * raised / raised.sum()
    believed: FloatArray = weights / weights.sum()
    return believed


def _alike(table: FloatArray) -> list[FloatArray]:
    """Cut (n, members) rows where another set of members predicts."""
    missing = np.isnan(table)
    cuts = np.flatnonzero((missing[1:] != missing[:-1]).any(axis=1)) + 1
    return np.split(table, cuts) if len(table) else []
