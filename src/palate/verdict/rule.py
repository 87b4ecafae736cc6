"""The rule that turns paired results into a verdict, look by look; pure.

It is a group-sequential test: error probabilities hold for all looks together, up to the budget. Beyond the budget only
an e-value counts (see `beyond_budget`).
"""

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from palate.verdict.bank import FIRST_LOOK as BANK_FIRST_LOOK
from palate.verdict.bank import disagree, weigh
from palate.verdict.boundary import (
    BANK,
    EQUIVALENCE_LEVEL,
    RUNS,
    RUNS_FIRST_LOOK,
    VERDICT_LEVEL,
    Prior,
    check_margin,
    critical,
    raised_critical,
)
from palate.verdict.history import Noise, RunNoise, conflicts
from palate.verdict.lazy import special
from palate.verdict.pairs import Pairs
from palate.verdict.shape import PLAIN, About, Shape, check_assumptions, shape_of

Kind = Literal["better", "worse", "same", "better_small", "worse_small", "unclear", "nothing", "failed"]
"""In this order: better, worse, no difference that matters, better (worse) by less than the margin, cannot tell yet,
did nothing, failed."""

NoiseUsed = Literal["cold", "history", "conflict", "bank_conflict"]
"""Source of the spread: these pairs alone; these and what the past knew; these alone, as they contradict the past, or
as the baseline's runs in the pairs and in the bank do not agree."""

DISAGREEMENT_PAIRS = 5
"""Most pairs for which the disagreement of per-example predictions is a lower bound of the spread."""

OpenReason = Literal[
    "", "one_pair", "frozen_seeds", "no_pairs", "budget", "past_budget", "ties", "ties_alike", "ties_differ"
]

SETTLED: frozenset[Kind] = frozenset({"better", "worse", "same", "better_small", "worse_small", "nothing", "failed"})

COLD_DF = 1
"""Degrees of freedom (nu0) of the prior when cold: the paired variance is shrunk towards the unpaired one."""

PRIOR_EFFECT_SDS = 2.0
"""Prior standard deviation of effects (tau) where none are known, in seed standard deviations."""

SURPRISE = 3.0
"""Standard deviations of past effects and noise together beyond which an effect is unlike those of the past."""

ONE_PAIR_SPREADS = 1.96
"""Half the width of the range that one run each allows, in standard deviations of unpaired differences: 95 %."""

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
        effect: posterior mean of the effect, given that the interval holds it: see `shrink_within`.
        raw: mean difference as measured.
        low, high: 95 % confidence interval of the effect, valid at every look.
        margin: smallest difference that matters.
        seed_sd: standard deviation of one run over seeds.
        spread: s~, the estimated standard deviation of a difference.
        correlation: of both arms over seeds; None where it cannot be estimated.
        variance: of the differences over seeds, from these pairs alone.
        noise: source of the spread.
        noise_family: of the changes whose past comparisons told the noise; "" where it is all of the project's.
        noise_comparisons: how many past comparisons told it; 0 where none was used.
        bank: how many baseline runs stood beside the pairs; None where there is no bank. With one, `raw` is
            the estimate from both.
        failures: failed runs by arm.
        reason: why there is no verdict, where more pairs within the budget would not give one; "ties": all values
            are equal and nothing else is known; "ties_alike": the curves are too, but say too little; "ties_differ":
            the curves differ.
        about: whether effect, interval and kind are on the mean or on the typical run (the median difference).
        shape: what was found in the noise (see `palate.verdict.shape`).
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
    noise_family: str = ""
    noise_comparisons: int = 0
    bank: int | None = None
    failures: Failures = Failures()
    reason: OpenReason = ""
    about: About = "mean"
    shape: Shape = PLAIN

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", shape_of(self.shape))  # of a record, it is a mapping

    @property
    def settled(self) -> bool:
        """Whether no more runs are needed."""
        return self.kind in SETTLED

    @property
    def equal_curves(self) -> bool:
        """Whether all that both arms logged is equal: the change did nothing, or nothing that was logged shows it."""
        return self.kind == "nothing" or self.reason == "ties_alike"

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
        bank: values of baseline runs at other seeds than the pairs, + is better; none may be left of a bank. None where
            there is no bank.
        assumptions: whether the shape of the noise is checked, and equal values alone say nothing; not so for verdicts
            that were sealed before that.
    """

    budget: int = 20
    margin: float | None = None
    spent: tuple[int, ...] = ()
    noise: Noise | RunNoise | None = None
    effect_sd: float | None = None
    bank: tuple[float, ...] | None = None
    assumptions: bool = True

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
        bit_identical: whether the arms' runs are, by whole curves; None where that is not known: equal values alone
            never say so.
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
    if pairs.n == 1 and isinstance(asked.noise, RunNoise):
        return replace(_one_pair(pairs, asked, asked.noise), failures=counted)
    banked = asked.bank is not None and share == 1 and BANK_FIRST_LOOK <= pairs.n <= asked.budget
    apart = banked and disagree(pairs, np.asarray(asked.bank, dtype=np.float64))
    banked = banked and not apart
    first_look = BANK_FIRST_LOOK if asked.bank is not None else RUNS_FIRST_LOOK
    waits = (asked.bank is not None or isinstance(asked.noise, RunNoise)) and pairs.n < first_look <= asked.budget
    known = asked.noise if asked.bank is None and _reaches(asked, pairs.n) else None
    conflict = known is not None and conflicts(pairs, known)
    used = replace(asked, noise=None if conflict else known, bank=asked.bank if banked else None)
    floor = math.sqrt(disagreement) if pairs.n <= DISAGREEMENT_PAIRS else 0.0
    judged = _judge_by_statistics(pairs, used, floor, share)
    source: NoiseUsed = "conflict" if conflict else "bank_conflict" if apart else "history" if used.noise else "cold"
    if waits:  # no look is due yet: the interval is the cold one, and nothing is concluded from it
        return replace(judged, kind="unclear", failures=counted)
    if isinstance(used.noise, RunNoise):
        told = used.noise
        judged = replace(judged, noise_family=told.family, noise_comparisons=told.comparisons)
    if asked.assumptions:
        judged = check_assumptions(judged, pairs, noise_known=used.noise is not None, share=share)
    if asked.assumptions and judged.kind == "unclear" and pairs.identical:
        judged = replace(judged, reason="ties_differ")
    return replace(judged, failures=counted, noise=source)


def _reaches(terms: Terms, n: int) -> bool:
    """Whether what the past knew has a say at so many pairs: one run's noise from look 3 to the budget's end."""
    return not isinstance(terms.noise, RunNoise) or RUNS_FIRST_LOOK <= n <= terms.budget


def _one_pair(pairs: Pairs, terms: Terms, noise: RunNoise) -> Verdict:
    """Return what one run each says where the noise of one run is known: a range, and never more than that.

    The range holds the effect in 95 % of such pairs, as far as the change makes runs no noisier than those before.
    """
    spread, mean = math.sqrt(noise.variance), pairs.mean
    half = ONE_PAIR_SPREADS * math.sqrt(2 * noise.run_variance)
    seed_sd = math.sqrt(noise.run_variance)
    return Verdict(
        kind="unclear",
        n=1,
        budget=terms.budget,
        effect=shrink_within(mean, spread, 1, terms.effect_sd or PRIOR_EFFECT_SDS * seed_sd, half),
        raw=mean,
        low=mean - half,
        high=mean + half,
        margin=terms.margin if terms.margin is not None else max(seed_sd, pairs.step),
        seed_sd=seed_sd,
        spread=spread,
        noise="history",
        noise_family=noise.family,
        noise_comparisons=noise.comparisons,
        reason="one_pair",
    )


def _without_statistics(
    pairs: Pairs | None, terms: Terms, failures: Failures, bit_identical: bool | None
) -> Verdict | None:
    """Return the verdict where no test is needed: an arm that always fails, a change or seeds without any effect."""
    all_failed = 2 <= failures.treatment == failures.treatment_runs or 2 <= failures.baseline == failures.baseline_runs
    common: dict[str, Any] = {"budget": terms.budget, "failures": failures}
    if pairs is None:
        return Verdict(kind="failed", n=0, **common) if all_failed else None
    if pairs.identical:
        tied = _tied(pairs, terms, bit_identical, common)
        if tied is not None:
            return tied
    if pairs.frozen_seeds:
        return Verdict(kind="unclear", n=pairs.n, raw=pairs.mean, reason="frozen_seeds", **common)
    if pairs.n == 1 and terms.noise is None:
        return Verdict(kind="unclear", n=1, raw=pairs.mean, reason="one_pair", **common)
    return None


def _tied(pairs: Pairs, terms: Terms, bit_identical: bool | None, common: dict[str, Any]) -> Verdict | None:
    """Return the verdict on pairs that are all equal; None where the statistics, or the seeds, have a say."""
    if not terms.assumptions:
        nothing = bit_identical if bit_identical is not None else pairs.n > 1
        return Verdict(kind="nothing", n=pairs.n, effect=0.0, raw=0.0, **common) if nothing else None
    if pairs.n == 1:
        return Verdict(kind="unclear", n=1, effect=0.0, raw=0.0, reason="one_pair", **common)
    if bit_identical:
        return Verdict(kind="nothing", n=pairs.n, effect=0.0, raw=0.0, **common)
    if bit_identical is None or pairs.frozen_seeds:
        reason: OpenReason = "ties" if bit_identical is None else "ties_differ"
        return Verdict(kind="unclear", n=pairs.n, effect=0.0, raw=0.0, reason=reason, **common)
    return None


def _judge_by_statistics(pairs: Pairs, terms: Terms, floor: float, share: int) -> Verdict:
    noise, budget, n, mean = terms.noise, terms.budget, pairs.n, pairs.mean
    spread = max(estimate_spread(pairs, noise), floor)
    if terms.bank is not None:
        beside = weigh(pairs, np.asarray(terms.bank, dtype=np.float64))
        mean, spread = beside.effect, max(beside.error * math.sqrt(n), floor)
    seed_sd = pairs.seed_sd if n > 1 or noise is None else math.sqrt(noise.variance / 2)
    least = terms.margin if terms.margin is not None else max(seed_sd, pairs.step)
    half = _half_width(terms, n, spread, VERDICT_LEVEL, share)
    equal_half = _half_width(terms, n, spread, EQUIVALENCE_LEVEL, share)
    effect = shrink_within(mean, spread, n, terms.effect_sd or PRIOR_EFFECT_SDS * seed_sd, half)
    past = n > (terms.spent[1] if len(terms.spent) > 1 else budget)
    kind = _past_budget_kind(pairs, noise) if past else classify(mean, half, equal_half, least)
    reason: OpenReason = "" if kind in SETTLED or n < budget else "past_budget" if past else "budget"
    return Verdict(
        kind=kind,
        n=n,
        budget=budget,
        effect=effect,
        raw=mean,
        low=mean - half,
        high=mean + half,
        margin=least,
        seed_sd=seed_sd,
        spread=spread,
        correlation=pairs.correlation,
        variance=pairs.sum_of_squares / (n - 1) if n > 1 else None,
        bank=None if terms.bank is None else len(terms.bank),
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


def _past_budget_kind(pairs: Pairs, noise: Noise | RunNoise | None) -> Kind:
    if beyond_budget(pairs, noise) < PAST_BUDGET_EVIDENCE:
        return "unclear"
    return "better" if pairs.mean > 0 else "worse"


def estimate_spread(pairs: Pairs, noise: Noise | RunNoise | None = None) -> float:
    """Estimate s~, the standard deviation of a difference.

    Cold: s~^2 = (2 s_p^2 + SS) / n. The variance of unpaired differences, 2 s_p^2, acts as a prior with one degree of
    freedom, so that a few differences that are equal by chance do not give a variance near 0.
    With a noise prior: s~^2 = (d0 s0^2 + SS) / (d0 + n - 1) (Smyth 2004). Where the noise of one run is known, the rule
    is the cold one, with at least the known variance in the place of s_p^2, times the share that pairing may leave.
    Never below the metric's resolution.
    """
    prior_squares, prior_df = prior_spread(pairs, noise)
    variance = (prior_squares + pairs.sum_of_squares) / (prior_df + pairs.n - 1)
    return max(math.sqrt(variance), pairs.step)


def prior_spread(pairs: Pairs, noise: Noise | RunNoise | None) -> tuple[float, float]:
    """Return the sum of squares, and its degrees of freedom, that the spread is shrunk towards."""
    if isinstance(noise, Noise):
        return noise.d0 * noise.variance, noise.d0
    if noise is None:
        return COLD_DF * 2 * pairs.arm_variance, float(COLD_DF)
    seen = pairs.arm_variance if pairs.n > 1 else 0.0
    return COLD_DF * 2 * noise.share * max(noise.run_variance, seen), float(COLD_DF)


def table_of(noise: Noise | RunNoise | None) -> Prior:
    """Return which tables hold where this is known of the noise."""
    return noise.d0 if isinstance(noise, Noise) else RUNS if noise is not None else 0.0


def half_width(
    n: int, budget: int, spread: float, noise: Noise | RunNoise | None, level: float, share: int = 1
) -> float:
    """Return half the width of the interval at look n; beyond the budget, that of the e-value's confidence sequence."""
    if n <= budget:
        return critical(n, budget, level=level, prior=table_of(noise), share=share) * spread / math.sqrt(n)
    return sequence_half_width(n, spread)


def _half_width(terms: Terms, n: int, spread: float, level: float, share: int) -> float:
    """Return half the width of the interval on these terms: where earlier budgets are spent, that of what is left."""
    if terms.bank is not None and n <= terms.budget:
        return critical(n, terms.budget, level=level, prior=BANK, share=share) * spread / math.sqrt(n)
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


def beyond_budget(pairs: Pairs, noise: Noise | RunNoise | None = None, *, g: float = 1.0) -> float:
    """Return the e-value E_n, valid at every look: under the null, E_n ever reaches 200 with probability 1/200 at most.

    E_n = (1 + n g)^(-1/2) [(d0 s0^2 + SS + n dbar^2) / (d0 s0^2 + SS + n dbar^2 / (1 + n g))]^((d0 + n) / 2),
    the mixture sequential t-test whose effects have a variance of g in units of the noise variance.
    """
    d0, prior_squares = (noise.d0, noise.d0 * noise.variance) if isinstance(noise, Noise) else (0.0, 0.0)
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


def shrink_within(mean: float, spread: float, n: int, effect_sd: float, half: float) -> float:
    """Return the posterior mean of the effect, given that it lies within `half` of the measured mean.

    The posterior is the normal one of `shrink`, cut at the interval's ends, so that its mean is inside. Where the
    measured mean is more than 3 standard deviations of what past effects and noise explain, past effects tell nothing
    of this one: their variance is then replaced by the one that this effect suggests, mean^2 - s~^2 / n.

    >>> round(shrink_within(2.0, 2.0, 4, 1.0, 1.5), 3), round(shrink_within(2.0, 1.0, 4, 0.1, 1.5), 3)
    (1.288, 1.878)
    """
    if mean**2 > SURPRISE**2 * (effect_sd**2 + spread**2 / n):
        effect_sd = math.sqrt(mean**2 - spread**2 / n)
    centre = shrink(mean, spread, n, effect_sd)
    prior, noise = effect_sd**2, spread**2 / n
    sd = math.sqrt(prior * noise / (prior + noise)) if prior + noise > 0 else 0.0
    if sd == 0 or math.isinf(half):
        return centre
    sign = 1.0 if centre <= mean else -1.0  # by symmetry: the posterior's centre is on the left of the interval's
    low, high = (sign * (mean - centre) - half) / sd, (sign * (mean - centre) + half) / sd
    return min(max(centre + sign * sd * _mean_between(low, high), mean - half), mean + half)


def _mean_between(low: float, high: float) -> float:
    """Return the mean of a standard normal between two limits, low <= high and -low <= high, however far out."""
    if high - low < 1e-6:
        return (low + high) / 2
    root = math.sqrt(math.pi / 2)
    if low < 0:
        inside = float(special.ndtr(high) - special.ndtr(low))
        return (math.exp(-(low**2) / 2) - math.exp(-(high**2) / 2)) / math.sqrt(2 * math.pi) / inside
    fallen = math.exp(-(high - low) * (high + low) / 2)
    tails = [root * float(special.erfcx(limit / math.sqrt(2))) for limit in (low, high)]
    return (1 - fallen) / (tails[0] - fallen * tails[1])
