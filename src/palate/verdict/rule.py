"""The rule that turns paired results into a verdict, look by look; pure.

It is a group-sequential test: error probabilities hold for all looks together, up to the budget. Beyond the budget only
an e-value counts (see `beyond_budget`).
"""

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from palate.verdict.boundary import EQUIVALENCE_LEVEL, VERDICT_LEVEL, check_margin, critical, raised_critical
from palate.verdict.history import Noise, conflicts
from palate.verdict.pairs import Pairs

Kind = Literal["better", "worse", "same", "better_small", "worse_small", "unclear", "nothing", "failed"]
"""In this order: better, worse, no difference that matters, better (worse) by less than the margin, cannot tell yet,
did nothing, failed."""

NoiseUsed = Literal["cold", "history", "conflict"]
"""Source of the spread: these pairs alone; these and the noise prior; these alone, as they contradict the prior."""

DISAGREEMENT_PAIRS = 5
"""Most pairs for which the disagreement of per-example predictions is a lower bound of the spread."""

OpenReason = Literal["", "one_pair", "frozen_seeds", "no_pairs", "budget", "past_budget"]

SETTLED: frozenset[Kind] = frozenset({"better", "worse", "same", "better_small", "worse_small", "nothing", "failed"})

COLD_DF = 1
"""Degrees of freedom (nu0) of the prior when cold: the paired variance is shrunk towards the unpaired one."""

PRIOR_EFFECT_SDS = 2.0
"""Prior standard deviation of effects (tau) where none are known, in seed standard deviations."""

PAST_BUDGET_EVIDENCE = 200.0
"""E-value from which there is a verdict beyond the budget."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failures:
    """Failed runs and ended runs of each arm."""

    baseline: int = 0
    treatment: int = 0
    baseline_runs: int = 0
    treatment_runs: int = 0

    @property
    def unequal(self) -> bool:
        """Whether the arms have different numbers of failed runs."""
        return self.baseline != self.treatment


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A verdict and its numbers. Differences are in the metric's unit, + is better.

    Attributes:
        kind: the verdict.
        n: number of pairs.
        budget: pairs that may be run at most.
        effect: posterior mean of the effect: shrunk towards zero, but not outside the interval.
        raw: mean difference as measured.
        low, high: 95 % confidence interval of the effect, valid at every look.
        margin: smallest difference that matters.
        seed_sd: standard deviation of one run over seeds.
        spread: s~, the estimated standard deviation of a difference.
        correlation: of both arms over seeds; None where it cannot be estimated.
        variance: of the differences over seeds, from these pairs alone.
        noise: source of the spread.
        failures: failed runs by arm.
        reason: why there is no verdict, where more pairs within the budget would not give one.
    """

    kind: Kind
    n: int
    budget: int
    effect: float | None = None
    raw: float | None = None
    low: float | None = None
    high: float | None = None
    margin: float | None = None
    seed_sd: float | None = None
    spread: float | None = None
    correlation: float | None = None
    variance: float | None = None
    noise: NoiseUsed = "cold"
    failures: Failures = Failures()
    reason: OpenReason = ""

    @property
    def settled(self) -> bool:
        """Whether no more runs are needed."""
        return self.kind in SETTLED

    @property
    def standard_error(self) -> float | None:
        """Standard error of `raw`."""
        return None if self.spread is None else self.spread / math.sqrt(self.n)


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """The parameters of the rule, fixed before the first pair.

    Attributes:
        budget: pairs that may be run at most, 2 to 100.
        margin: smallest difference that matters, in the metric's unit; None for one seed standard deviation.
        spent: budgets of earlier questions about the same runs that were looked at, smallest first. Up to the first of
            them its boundary holds, up to the next (or `budget`) that of a raised budget, behind that the e-value.
        noise: the noise prior; None when cold.
        effect_sd: prior standard deviation of effects in this project; None for 2 seed standard deviations.
    """

    budget: int = 20
    margin: float | None = None
    spent: tuple[int, ...] = ()
    noise: Noise | None = None
    effect_sd: float | None = None

    def __post_init__(self) -> None:
        check_margin(self.margin)


def judge(
    pairs: Pairs | None,
    terms: Terms | None = None,
    *,
    failures: Failures | None = None,
    bit_identical: bool | None = None,
    disagreement: float = 0.0,
    share: int = 1,
) -> Verdict:
    """Return the verdict on the pairs so far.

    Args:
        pairs: values at the same seeds, + is better; None where no pair finished.
        terms: margin, budget and priors; the defaults if None.
        failures: failed runs by arm.
        bit_identical: whether the arms' whole curves are equal; None where only final values are known.
        disagreement: mean over pairs of (n01 + n10) / n_test^2, from per-example predictions (McNemar): up to 5 pairs
            a lower bound of the squared spread.
        share: claims made at once, among which the level is divided.

    Raises:
        InputError: a budget without a boundary.

    >>> from palate.verdict.pairs import make_pairs
    >>> judge(make_pairs([.912, .915, .910, .913, .911], [.921, .919, .924, .922, .920])).kind
    'better'
    """
    asked, counted = terms or Terms(), failures or Failures()
    settled = _without_statistics(pairs, asked, counted, bit_identical)
    if settled is not None or pairs is None:
        return settled or Verdict(kind="unclear", n=0, budget=asked.budget, failures=counted, reason="no_pairs")
    conflict = asked.noise is not None and conflicts(pairs, asked.noise)
    used = replace(asked, noise=None) if conflict else asked
    floor = math.sqrt(disagreement) if pairs.n <= DISAGREEMENT_PAIRS else 0.0
    judged = _judge_by_statistics(pairs, used, floor, share)
    source: NoiseUsed = "conflict" if conflict else "history" if used.noise else "cold"
    return replace(judged, failures=counted, noise=source)


def _without_statistics(
    pairs: Pairs | None, terms: Terms, failures: Failures, bit_identical: bool | None
) -> Verdict | None:
    """Return the verdict where no test is needed: an arm that always fails, a change or seeds without any effect."""
    all_failed = 2 <= failures.treatment == failures.treatment_runs or 2 <= failures.baseline == failures.baseline_runs
    common: dict[str, Any] = {"budget": terms.budget, "failures": failures}
    if pairs is None:
        return Verdict(kind="failed", n=0, **common) if all_failed else None
    if pairs.identical and (bit_identical if bit_identical is not None else pairs.n > 1):
        return Verdict(kind="nothing", n=pairs.n, effect=0.0, raw=0.0, **common)
    if pairs.frozen_seeds:
        return Verdict(kind="unclear", n=pairs.n, raw=pairs.mean, reason="frozen_seeds", **common)
    if pairs.n == 1 and terms.noise is None:
        return Verdict(kind="unclear", n=1, raw=pairs.mean, reason="one_pair", **common)
    return None


def _judge_by_statistics(pairs: Pairs, terms: Terms, floor: float, share: int) -> Verdict:
    noise, budget, n, mean = terms.noise, terms.budget, pairs.n, pairs.mean
    spread = max(estimate_spread(pairs, noise), floor)
    seed_sd = pairs.seed_sd if n > 1 or noise is None else math.sqrt(noise.variance / 2)
    least = terms.margin if terms.margin is not None else max(seed_sd, pairs.step)
    half = _half_width(terms, n, spread, VERDICT_LEVEL, share)
    equal_half = _half_width(terms, n, spread, EQUIVALENCE_LEVEL, share)
    shrunk = shrink(mean, spread, n, terms.effect_sd or PRIOR_EFFECT_SDS * seed_sd)
    past = n > (terms.spent[1] if len(terms.spent) > 1 else budget)
    kind = _past_budget_kind(pairs, noise) if past else classify(mean, half, equal_half, least)
    reason: OpenReason = "" if kind in SETTLED or n < budget else "past_budget" if past else "budget"
    return Verdict(
        kind=kind,
        n=n,
        budget=budget,
        effect=min(max(shrunk, mean - half), mean + half),
        raw=mean,
        low=mean - half,
        high=mean + half,
        margin=least,
        seed_sd=seed_sd,
        spread=spread,
        correlation=pairs.correlation,
        variance=pairs.sum_of_squares / (n - 1) if n > 1 else None,
        reason=reason,
    )


def classify(mean: float, half: float, equal_half: float, margin: float) -> Kind:
    """Return the verdict on a mean difference, from the half-widths of its interval and of that of the TOST."""
    small = abs(mean) + equal_half < margin
    if abs(mean) > half:
        if mean > 0:
            return "better_small" if small else "better"
        return "worse_small" if small else "worse"
    return "same" if small else "unclear"


def _past_budget_kind(pairs: Pairs, noise: Noise | None) -> Kind:
    if beyond_budget(pairs, noise) < PAST_BUDGET_EVIDENCE:
        return "unclear"
    return "better" if pairs.mean > 0 else "worse"


def estimate_spread(pairs: Pairs, noise: Noise | None = None) -> float:
    """Estimate s~, the standard deviation of a difference.

    Cold: s~^2 = (2 s_p^2 + SS) / n. The variance of unpaired differences, 2 s_p^2, acts as a prior with one degree of
    freedom, so that a few differences that are equal by chance do not give a variance near 0.
    With a noise prior: s~^2 = (d0 s0^2 + SS) / (d0 + n - 1) (Smyth 2004). Never below the metric's resolution.
    """
    if noise is None:
        prior_squares, prior_df = COLD_DF * 2 * pairs.arm_variance, float(COLD_DF)
    else:
        prior_squares, prior_df = noise.d0 * noise.variance, noise.d0
    variance = (prior_squares + pairs.sum_of_squares) / (prior_df + pairs.n - 1)
    return max(math.sqrt(variance), pairs.step)


def half_width(n: int, budget: int, spread: float, noise: Noise | None, level: float, share: int = 1) -> float:
    """Return half the width of the interval at look n; beyond the budget, that of the e-value's confidence sequence."""
    if n <= budget:
        prior = noise.d0 if noise else 0.0
        return critical(n, budget, level=level, prior=prior, share=share) * spread / math.sqrt(n)
    return sequence_half_width(n, spread)


def _half_width(terms: Terms, n: int, spread: float, level: float, share: int) -> float:
    """Return half the width of the interval on these terms: where earlier budgets are spent, that of what is left."""
    if not terms.spent:
        return half_width(n, terms.budget, spread, terms.noise, level, share)
    first = terms.spent[0]
    if n <= first:
        return half_width(n, first, spread, terms.noise, level, share)
    raised = terms.spent[1] if len(terms.spent) > 1 else max(terms.budget, first)
    if n <= raised:
        return raised_critical(n, raised) * spread / math.sqrt(n)
    return sequence_half_width(n, spread)


def sequence_half_width(n: int, spread: float, *, g: float = 1.0, evidence: float = PAST_BUDGET_EVIDENCE) -> float:
    """Return half the width of a t confidence sequence: the e-value inverted; infinite where n is too small.

    Args:
        n: pairs.
        spread: standard deviation of a difference, n - 1 degrees of freedom.
        g: prior variance of the effect, in units of the squared spread.
        evidence: e-value at the limits of the interval: 1 / level.

    >>> round(sequence_half_width(12, 2.0, g=0.4**2, evidence=20), 6)      # safestats: 2.769707
    2.769707
    """
    grown = (evidence * math.sqrt(1 + n * g)) ** (2 / n)
    inside = 1 - grown / (1 + n * g)
    return spread * math.sqrt((grown - 1) / inside * (n - 1) / n) if inside > 0 else math.inf


def beyond_budget(pairs: Pairs, noise: Noise | None = None, *, g: float = 1.0) -> float:
    """Return the e-value E_n, valid at every look: under the null, E_n ever reaches 200 with probability 1/200 at most.

    E_n = (1 + n g)^(-1/2) [(d0 s0^2 + SS + n dbar^2) / (d0 s0^2 + SS + n dbar^2 / (1 + n g))]^((d0 + n) / 2),
    the mixture sequential t-test whose effects have a variance of g in units of the noise variance.
    """
    d0, prior_squares = (noise.d0, noise.d0 * noise.variance) if noise else (0.0, 0.0)
    n, within = pairs.n, prior_squares + max(pairs.sum_of_squares, (pairs.n - 1) * pairs.step**2)
    signal = n * pairs.mean**2
    if within + signal == 0:
        return 1.0
    log_ratio = math.log(within + signal) - math.log(within + signal / (1 + n * g))
    return float(np.exp(min(-0.5 * math.log(1 + n * g) + (d0 + n) / 2 * log_ratio, 700.0)))


def shrink(mean: float, spread: float, n: int, effect_sd: float) -> float:
    """Return the posterior mean of the effect (shrinkage): prior N(0, effect_sd^2), noise variance s~^2 / n."""
    prior, noise = effect_sd**2, spread**2 / n
    return mean * prior / (prior + noise) if prior + noise > 0 else mean
