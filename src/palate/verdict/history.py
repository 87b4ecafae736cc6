"""What past comparisons tell: how noisy one run is, how far pairing may be trusted, how large effects are; pure.

The noise of one run hardly depends on what is changed, so it is taken from all of a project's comparisons, or from
those of the same family of changes where there are enough. How far two arms move together over seeds depends on the
change, so it is only borrowed within a family, and never in full: a change that breaks the correlation looks, at a few
pairs, like one that does not. Where the arms are seen to be noisier than is known, nothing is borrowed.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from palate.errors import InputError
from palate.verdict.lazy import special
from palate.verdict.pairs import Pairs

LEAST_COMPARISONS = 5
"""Past comparisons below which there is no prior."""

LEAST_DF = 4.0
"""Degrees of freedom below which arms differ too much in noise for one to tell of another; the tables rest on it."""

GUARD_QUANTILE = 0.90
"""Quantile of the F distribution above which the pairs contradict a prior for the variance of differences."""

RUN_GUARD_QUANTILE = 0.55
"""Quantile of a variance above which an arm contradicts the known noise of one run. It is low: of two or three runs
that are twice as noisy as is known, most look as if they were not."""

LEAST_SHARE = 0.65
"""Least share of the variance of unpaired differences that is expected of paired ones, however well pairing worked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """The noise prior: variance s0^2 of a difference, with d0 degrees of freedom."""

    d0: float
    variance: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RunNoise:
    """The noise of one run, as past comparisons tell it.

    Attributes:
        run_variance: variance of one run over seeds.
        share: of the variance of unpaired differences that is expected of paired ones, 0.65 to 1: 1 where the family of
            the change is new.
        family: of changes whose past comparisons told it; "" where it is all of the project's.
        comparisons: how many told it.
    """

    run_variance: float
    share: float = 1.0
    family: str = ""
    comparisons: int = 0

    @property
    def variance(self) -> float:
        """Variance of a difference that is expected."""
        return 2 * self.run_variance * self.share


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """One past comparison of the same project, metric and evaluation set.

    Attributes:
        variance: of the differences over seeds.
        df: its degrees of freedom, pairs - 1.
        effect: the mean difference.
        standard_error: of the effect.
        run_variance: of one run over seeds, the mean of both arms; None where it was not recorded.
        family: of its change.
    """

    variance: float
    df: int
    effect: float = 0.0
    standard_error: float = 0.0
    run_variance: float | None = None
    family: str = ""


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


def noise_of(past: Sequence[Past], family: str = "") -> RunNoise | None:
    """Return the noise of one run; None (cold) with fewer than 5 comparisons, or where they differ too much in it.

    Args:
        past: earlier comparisons of the same project, metric and evaluation set.
        family: of the change that is asked about. Where 5 comparisons or more are of it, they alone tell the noise, and
            how much pairing is worth: the mean share of the variance that it leaves, and one standard deviation more.

    >>> told = noise_of([Past(variance=0.8, run_variance=1.0, df=7, family="lr up")] * 8, "lr up")
    >>> told.share, told.comparisons
    (0.65, 8)
    """
    usable = [one for one in past if one.df >= 1 and one.run_variance]
    own = [one for one in usable if family and one.family == family]
    told = own if len(own) >= LEAST_COMPARISONS else usable
    if len(told) < LEAST_COMPARISONS:
        return None
    fitted = fit_noise([one.run_variance or 0.0 for one in told], [2 * one.df for one in told])
    if fitted.d0 < LEAST_DF:
        return None
    share = _share_of(told) if told is own else 1.0
    used = family if told is own else ""
    return RunNoise(run_variance=fitted.variance, share=share, family=used, comparisons=len(told))


def _share_of(past: Sequence[Past]) -> float:
    """Return the share of the variance of unpaired differences that pairing may be expected to leave."""
    shares = np.array([one.variance / (2 * (one.run_variance or math.inf)) for one in past])
    return float(np.clip(shares.mean() + shares.std(ddof=1), LEAST_SHARE, 1.0))


def conflicts(pairs: Pairs, noise: Noise | RunNoise) -> bool:
    """Return whether the pairs are noisier than is known, from 2 pairs on.

    With a prior for differences: s^2 / s0^2 above the .90 quantile of F. With the noise of one run: the variance of
    either arm above the .55 quantile of what it would be.
    """
    if pairs.n < 2:
        return False
    df = pairs.n - 1
    if isinstance(noise, RunNoise):
        seen = max(float(np.var(pairs.baseline, ddof=1)), float(np.var(pairs.treatment, ddof=1)))
        return seen / noise.run_variance > 2 * float(special.gammaincinv(df / 2, RUN_GUARD_QUANTILE)) / df
    return pairs.sum_of_squares / df / noise.variance > float(special.fdtri(df, noise.d0, GUARD_QUANTILE))


def history_words(family: str, comparisons: int) -> str:
    """Say in a sentence where the noise was known from.

    >>> history_words("lr up", 6)
    'The noise of a run was known from 6 past comparisons of changes like this (lr up).'
    """
    like = f" of changes like this ({family})" if family else " of this project"
    return f"The noise of a run was known from {comparisons} past comparisons{like}."


def effect_sd(past: Sequence[Past]) -> float | None:
    """Return the prior standard deviation of effects (tau), from mean square less noise; None below 5 comparisons."""
    if len(past) < LEAST_COMPARISONS:
        return None
    spread = np.mean([one.effect**2 - one.standard_error**2 for one in past])
    least = np.mean([one.standard_error**2 for one in past]) / 10
    return float(math.sqrt(max(spread, least)))
