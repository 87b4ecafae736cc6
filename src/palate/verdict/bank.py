"""A bank: baseline runs that were there before a question was asked, and what they tell beside its pairs; pure.

Pairs tell the difference of the arms at their own seeds. Where the arms do not move together over seeds, the baseline's
half of each pair only adds noise, and its mean is better known from all its runs. The estimate takes from both what is
due (the regression estimate of a mean from further values of a covariate, Cochran 1977, ch. 7):

    effect = mean B - beta (mean A of the pairs - mean A of all) - mean A of all,

beta being the slope of B on A over the pairs, shrunk to 0 by two runs' worth of the bank's variance, and kept within 0
and 1. At beta = 1 that is the mean difference of the pairs; at beta = 0 the pairs are not used as pairs.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from palate.verdict.lazy import special
from palate.verdict.pairs import FloatArray, Pairs

FIRST_LOOK = 3
"""The first look beside a bank: fewer runs cannot show that a change makes runs noisier."""

LEAST_RUNS = 8
"""Baseline runs, those of the first three pairs among them, below which there is no bank."""

SLOPE_PRIOR = 2.0
"""How many runs' worth of variance the slope is shrunk to 0 by."""


DISAGREE = 0.001
"""Level at which the baseline's runs in the pairs and those beside them are told apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """What pairs say beside a bank.

    Attributes:
        effect: the estimate.
        error: its standard error.
        slope: beta, how far the arms move together.
    """

    effect: float
    error: float
    slope: float


def weigh(pairs: Pairs, further: FloatArray) -> Beside:
    """Estimate the effect from pairs and further baseline runs.

    The spread of the treatment is that of its own runs, shrunk by one degree of freedom to the baseline's or its own,
    whichever is larger: a change that makes runs noisier must not borrow the baseline's calm.

    Args:
        pairs: two or more, + is better.
        further: (k,) values of the baseline at other seeds, + is better.
    """
    before, after, n = pairs.baseline, pairs.treatment, pairs.n
    every = np.concatenate([before, further])
    variance = float(np.var(every, ddof=1))
    off = before - before.mean()
    squares = float(off @ off) + SLOPE_PRIOR * variance
    slope = min(max(float(off @ (after - after.mean())) / squares, 0.0), 1.0) if squares else 0.0
    rest = after - slope * before
    within = float(np.sum((rest - rest.mean()) ** 2))
    prior = max(variance, within / (n - 1))
    known = (1 - slope) ** 2 * variance / len(every)
    error = math.sqrt((prior + within) / n / n + known)
    effect = float(after.mean() - slope * (before.mean() - every.mean()) - every.mean())
    return Beside(effect=effect, error=max(error, pairs.step / math.sqrt(n)), slope=slope)


def disagree(pairs: Pairs, further: FloatArray) -> bool:
    """Return whether the baseline's runs in the pairs and those beside them are not of one kind.

    They are the same training at other seeds. Where their means lie further apart than in 1 of 1,000 cases, something
    else changed between them (a machine, a file that was not seen), and only the pairs can be trusted.
    """
    n, k = pairs.n, len(further)
    if n < FIRST_LOOK or k < FIRST_LOOK:
        return False
    squares = float(np.sum((pairs.baseline - pairs.baseline.mean()) ** 2) + np.sum((further - further.mean()) ** 2))
    error = math.sqrt(squares / (n + k - 2) * (1 / n + 1 / k))
    gap = abs(float(pairs.baseline.mean() - further.mean()))
    return gap > max(float(special.stdtrit(n + k - 2, 1 - DISAGREE / 2)) * error, pairs.step)


def usable(seeds: Sequence[int], budget: int) -> bool:
    """Return whether baseline runs at these seeds are a bank for a question of this budget."""
    return len(seeds) >= LEAST_RUNS and budget >= FIRST_LOOK
