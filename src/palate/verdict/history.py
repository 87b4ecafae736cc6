"""Priors from past comparisons: for the noise of differences, and for the size of effects; pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from palate.errors import InputError
from palate.verdict.lazy import special
from palate.verdict.pairs import Pairs

LEAST_COMPARISONS = 5
"""Past comparisons below which there is no prior."""

LEAST_D0, MOST_D0 = 2.0, 6.0
"""Degrees of freedom of the noise prior: below the least it is not used, and it is capped at the most."""

GUARD_QUANTILE = 0.90
"""Quantile of the F distribution above which the pairs contradict the prior."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """The noise prior: variance s0^2 of a difference, with d0 degrees of freedom."""

    d0: float
    variance: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """One past comparison of the same project, metric and evaluation set.

    Attributes:
        variance: of the differences over seeds.
        df: its degrees of freedom, pairs - 1.
        effect: the mean difference.
        standard_error: of the effect.
    """

    variance: float
    df: int
    effect: float = 0.0
    standard_error: float = 0.0


def fit_noise(variances: Sequence[float], dfs: Sequence[float]) -> Noise:
    """Fit a scaled inverse chi-squared prior to sample variances by moments of their logarithms (Smyth 2004).

    e_j = log s_j^2 - psi(df_j / 2) + log(df_j / 2); trigamma(d0 / 2) = var(e) - mean trigamma(df_j / 2);
    s0^2 = exp(mean e + psi(d0 / 2) - log(d0 / 2)). d0 is infinite where the variances differ by no more than chance.

    Args:
        variances: (k,) sample variances, positive.
        dfs: (k,) their degrees of freedom.

    Raises:
        InputError: fewer than two variances, or one that is not positive.

    >>> sigma = [1.3425032, .4647155, 1.1993444, .9428569, .9421509]      # limma's eBayes gives 9.306153, .923179
    >>> fitted = fit_noise([s * s for s in sigma], [6, 6, 6, 6, 4])
    >>> round(fitted.d0, 4), round(fitted.variance, 4)
    (9.3062, 0.9232)
    """
    s2, df = np.asarray(variances, dtype=float), np.asarray(dfs, dtype=float)
    if len(s2) < 2 or not np.all(s2 > 0):
        raise InputError("a noise history needs two variances or more, all of them positive.")
    e = np.log(s2) - special.digamma(df / 2) + np.log(df / 2)
    excess = float(np.var(e, ddof=1) - np.mean(special.polygamma(1, df / 2)))
    if excess <= 0:
        return Noise(d0=math.inf, variance=float(np.exp(np.mean(e))))
    half = inverse_trigamma(excess)
    return Noise(d0=2 * half, variance=float(np.exp(np.mean(e) + special.digamma(half) - math.log(half))))


def inverse_trigamma(value: float) -> float:
    """Find x with trigamma(x) = value > 0, by Newton steps on 1 / trigamma, which is nearly linear (Smyth 2004).

    >>> round(float(special.polygamma(1, inverse_trigamma(0.37))), 12)
    0.37
    """
    x = 0.5 + 1 / value
    for _ in range(50):
        trigamma = float(special.polygamma(1, x))
        step = trigamma * (1 - trigamma / value) / float(special.polygamma(2, x))
        x += step
        if -step / x < 1e-14:
            break
    return x


def noise_of(past: Sequence[Past]) -> Noise | None:
    """Return the noise prior, d0 capped at 6; None (cold) with fewer than 5 comparisons or d0 below 2."""
    usable = [one for one in past if one.df >= 1 and one.variance > 0]
    if len(usable) < LEAST_COMPARISONS:
        return None
    fitted = fit_noise([one.variance for one in usable], [one.df for one in usable])
    if fitted.d0 < LEAST_D0:
        return None
    return Noise(d0=min(fitted.d0, MOST_D0), variance=fitted.variance)


def conflicts(pairs: Pairs, noise: Noise) -> bool:
    """Return whether the pairs are noisier than the prior: s^2 / s0^2 above the .90 quantile of F; from 2 pairs on."""
    if pairs.n < 2:
        return False
    ratio = pairs.sum_of_squares / (pairs.n - 1) / noise.variance
    return ratio > float(special.fdtri(pairs.n - 1, noise.d0, GUARD_QUANTILE))


def effect_sd(past: Sequence[Past]) -> float | None:
    """Return the prior standard deviation of effects (tau), from mean square less noise; None below 5 comparisons."""
    if len(past) < LEAST_COMPARISONS:
        return None
    spread = np.mean([one.effect**2 - one.standard_error**2 for one in past])
    least = np.mean([one.standard_error**2 for one in past]) / 10
    return float(math.sqrt(max(spread, least)))
