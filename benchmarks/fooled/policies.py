"""Ways of reading results, each as a rule on (draws, budget) values of two arms at the same seeds; + is better.

A policy gives, a draw each: a claim (+1 better, -1 worse, 0 the same, 9 no claim) and the pairs it used. All are told
the smallest difference that matters.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import chi2
from scipy.stats import f as f_distribution
from scipy.stats import t as t_distribution

from palate.verdict.boundary import RUNS, RUNS_FIRST_LOOK, critical
from palate.verdict.history import GUARD_QUANTILE, RUN_GUARD_QUANTILE, Noise, RunNoise

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
NO_CLAIM = 9
BUDGET = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Draws:
    """What users see: values (draws, 20) of both arms, the metric's step, the margin, and the past's noise."""

    baseline: FloatArray
    treatment: FloatArray
    step: float
    margin: float
    noise: Noise | RunNoise | None = None


Claims = tuple[IntArray, IntArray]
Policy = Callable[[Draws], Claims]


def larger_of_means(runs: int) -> Policy:
    """The better mean of so many runs each wins; a tie is no claim."""

    def policy(draws: Draws) -> Claims:
        gap = draws.treatment[:, :runs].mean(1) - draws.baseline[:, :runs].mean(1)
        claim = np.where(np.abs(gap) < draws.step / 1e3, NO_CLAIM, np.sign(gap)).astype(np.int64)
        return claim, np.full(len(gap), runs)

    return policy


def std_bars(runs: int) -> Policy:
    """A winner where the bars of one standard deviation do not touch; else "no difference"."""

    def policy(draws: Draws) -> Claims:
        a, b = draws.baseline[:, :runs], draws.treatment[:, :runs]
        gap = b.mean(1) - a.mean(1)
        apart = np.abs(gap) > a.std(1, ddof=1) + b.std(1, ddof=1)
        return np.where(apart, np.sign(gap), 0).astype(np.int64), np.full(len(gap), runs)

    return policy


def peeking_t_test(draws: Draws) -> Claims:
    """A paired t-test at 5 % after each seed, stopping when it says yes."""
    return _sequential(draws, lambda n: _t_width(draws, n))


def confidence_sequence(draws: Draws) -> Claims:
    """An asymptotic confidence sequence at 5 %, tuned for 10 pairs, as A/B platforms use (Waudby-Smith et al. 2021)."""
    rho2 = (-2 * math.log(0.05) + math.log(-2 * math.log(0.05)) + 1) / 10

    def width(n: int) -> FloatArray:
        gaps = draws.treatment[:, :n] - draws.baseline[:, :n]
        scaled = n * rho2 + 1
        return gaps.std(1, ddof=1) * math.sqrt(2 * scaled / (n**2 * rho2) * math.log(math.sqrt(scaled) / 0.05))

    return _sequential(draws, width)


def palate(draws: Draws) -> Claims:
    """Palate's rule, with the draws' noise history if they have one; also claims "no difference that matters"."""
    claim, used = np.full(len(draws.baseline), NO_CLAIM), np.full(len(draws.baseline), BUDGET)
    for n in range(2, BUDGET + 1):
        a, b = draws.baseline[:, :n], draws.treatment[:, :n]
        gap = (b - a).mean(1)
        wide, narrow = palate_widths(draws, n)
        small = np.abs(gap) + narrow < draws.margin
        apart = np.abs(gap) > wide
        said = np.where(apart & ~small, np.sign(gap), np.where(small, 0, NO_CLAIM)).astype(np.int64)
        said = np.where((a == b).all(1), 0, said)
        fresh = (claim == NO_CLAIM) & (said != NO_CLAIM)
        claim[fresh], used[fresh] = said[fresh], n
    return claim, used


def palate_widths(draws: Draws, n: int, budget: int = BUDGET) -> tuple[FloatArray, FloatArray]:
    """Give half the widths of the interval and of the one for equivalence, at look n."""
    a, b = draws.baseline[:, :n], draws.treatment[:, :n]
    within = (b - a).var(1) * n
    lent = a.var(1, ddof=1) + b.var(1, ddof=1)
    cold = np.maximum(np.sqrt((lent + within) / n), draws.step) / math.sqrt(n)
    wide, narrow = cold * critical(n, budget), cold * critical(n, budget, level=0.10)
    noise = draws.noise
    if noise is None or (isinstance(noise, RunNoise) and budget < RUNS_FIRST_LOOK):
        return wide, narrow
    if isinstance(noise, RunNoise):
        if n < RUNS_FIRST_LOOK:
            return np.full_like(wide, np.inf), np.full_like(narrow, np.inf)
        lent = np.maximum(2 * noise.run_variance, lent) * noise.share
        known = np.maximum(np.sqrt((lent + within) / n), draws.step) / math.sqrt(n)
        seen = np.maximum(a.var(1, ddof=1), b.var(1, ddof=1))
        conflict = seen / noise.run_variance > chi2.ppf(RUN_GUARD_QUANTILE, n - 1) / (n - 1)
        bounds = critical(n, budget, prior=RUNS), critical(n, budget, level=0.10, prior=RUNS)
        return np.where(conflict, wide, known * bounds[0]), np.where(conflict, narrow, known * bounds[1])
    known = np.sqrt((noise.d0 * noise.variance + within) / (noise.d0 + n - 1))
    known = np.maximum(known, draws.step) / math.sqrt(n)
    conflict = within / (n - 1) / noise.variance > f_distribution.ppf(GUARD_QUANTILE, n - 1, noise.d0)
    return (
        np.where(conflict, wide, known * critical(n, budget, prior=noise.d0)),
        np.where(conflict, narrow, known * critical(n, budget, level=0.10, prior=noise.d0)),
    )


def _t_width(draws: Draws, n: int) -> FloatArray:
    gaps = draws.treatment[:, :n] - draws.baseline[:, :n]
    return np.asarray(gaps.std(1, ddof=1) / math.sqrt(n) * t_distribution.ppf(0.975, n - 1))


def _sequential(draws: Draws, width: Callable[[int], FloatArray]) -> Claims:
    claim, used = np.full(len(draws.baseline), NO_CLAIM), np.full(len(draws.baseline), BUDGET)
    for n in range(2, BUDGET + 1):
        gap = (draws.treatment[:, :n] - draws.baseline[:, :n]).mean(1)
        fresh = (claim == NO_CLAIM) & (np.abs(gap) > width(n)) & (gap != 0)
        claim[fresh], used[fresh] = np.sign(gap[fresh]).astype(np.int64), n
    return claim, used


POLICIES: dict[str, Policy] = {
    "larger of one run each": larger_of_means(1),
    "larger mean of 3": larger_of_means(3),
    "std bars of 3": std_bars(3),
    "t-test after each seed": peeking_t_test,
    "asymptotic confidence sequence": confidence_sequence,
    "palate": palate,
}
