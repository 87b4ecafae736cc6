"""The rule that turns paired results into a verdict, look by look; pure.

The statistic, its floors and its boundaries stay valid however often one looks, up to the budget.
Past the budget only an e-value counts (see `beyond_budget`).
"""

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from palate.verdict.boundary import EQUIVALENCE_LEVEL, VERDICT_LEVEL, check_margin, critical
from palate.verdict.history import Noise, conflicts
from palate.verdict.pairs import Pairs

Kind = Literal["better", "worse", "same", "better_small", "worse_small", "unclear", "nothing", "failed"]
"""better, worse, no difference that matters, better (worse) but too small, cannot tell yet, did nothing, failed."""

NoiseUsed = Literal["cold", "history", "conflict"]
"""Where the spread came from: these pairs alone, history too, or these alone because history contradicts them."""

DISAGREEMENT_PAIRS = 5
"""Pairs up to which the disagreement of per-example predictions is a floor of the spread."""

Reason = Literal["", "one_pair", "frozen_seeds", "no_pairs", "budget", "past_budget"]

SETTLED: frozenset[Kind] = frozenset({"better", "worse", "same", "better_small", "worse_small", "nothing", "failed"})

COLD_DF = 1
"""Degrees of freedom lent by the unpaired view when there is no history (nu0)."""

PRIOR_EFFECT_SDS = 2.0
"""Standard deviation of effects expected before any are known, in seed standard deviations (tau)."""

PAST_BUDGET_EVIDENCE = 200.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Failures:
    """Runs that failed, of how many that ended, by arm."""

    baseline: int = 0
    treatment: int = 0
    baseline_runs: int = 0
    treatment_runs: int = 0

    @property
    def unequal(self) -> bool:
        """Whether one arm failed more often than the other."""
        return self.baseline != self.treatment


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What may be believed, and the numbers behind it. Differences are in the metric's unit, + is better.

    Attributes:
        kind: the verdict.
        n: pairs that it rests on.
        budget: pairs that may be run at most.
        effect: best estimate, drawn towards zero as early winners must be, though never out of the interval.
        raw: mean difference as measured.
        low, high: interval that holds the effect in 19 of 20 experiments, however often one looked.
        margin: smallest difference that matters.
        seed_sd: how much one run varies over seeds.
        spread: s~, the estimated standard deviation of a difference.
        correlation: of both arms over seeds; None where it cannot be told.
        variance: of the differences over seeds, these pairs alone.
        noise: where the spread came from.
        failures: runs that failed, by arm.
        reason: why nothing can be told, where it is not simply too early.
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
    reason: Reason = ""

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
    """On what terms pairs are judged; fixed before the first of them.

    Attributes:
        budget: pairs that may be run at most, 2 to 100.
        margin: smallest difference that matters, in the metric's unit; None for one seed standard deviation.
        noise: what history says of the noise; None when cold.
        effect_sd: how large effects are in this project; None for 2 seed standard deviations.
    """

    budget: int = 20
    margin: float | None = None
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
    """Judge the pairs that are there.

    Args:
        pairs: values at the same seeds, + is better; None where no pair finished.
        terms: margin, budget and history; the defaults if None.
        failures: failed runs by arm.
        bit_identical: whether the arms' whole curves are equal; None where only final values are known.
        disagreement: mean over pairs of (n01 + n10) / n_test^2, from per-example predictions (McNemar); a floor of
            the spread's square up to 5 pairs.
        share: claims made at once, among which the level is shared.

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
    told: NoiseUsed = "conflict" if conflict else "history" if used.noise else "cold"
    return replace(judged, failures=counted, noise=told)


def _without_statistics(
    pairs: Pairs | None, terms: Terms, failures: Failures, bit_identical: bool | None
) -> Verdict | None:
    """Settle what needs no statistics: an arm that always fails, a change without effect, seeds without effect."""
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
    noise, budget = terms.noise, terms.budget
    spread = max(estimate_spread(pairs, noise), floor)
    seed_sd = pairs.seed_sd if pairs.n > 1 or noise is None else math.sqrt(noise.variance / 2)
    least = terms.margin if terms.margin is not None else max(seed_sd, pairs.step)
    half = half_width(pairs.n, budget, spread, noise, VERDICT_LEVEL, share)
    equal_half = half_width(pairs.n, budget, spread, noise, EQUIVALENCE_LEVEL, share)
    shrunk = shrink(pairs.mean, spread, pairs.n, terms.effect_sd or PRIOR_EFFECT_SDS * seed_sd)
    past = pairs.n > budget
    kind = _past_budget_kind(pairs, noise) if past else classify(pairs.mean, half, equal_half, least)
    reason: Reason = "" if kind in SETTLED or pairs.n < budget else "past_budget" if past else "budget"
    return Verdict(
        kind=kind,
        n=pairs.n,
        budget=budget,
        effect=min(max(shrunk, pairs.mean - half), pairs.mean + half),
        raw=pairs.mean,
        low=pairs.mean - half,
        high=pairs.mean + half,
        margin=least,
        seed_sd=seed_sd,
        spread=spread,
        correlation=pairs.correlation,
        variance=pairs.sum_of_squares / (pairs.n - 1) if pairs.n > 1 else None,
        reason=reason,
    )


def classify(mean: float, half: float, equal_half: float, margin: float) -> Kind:
    """Name what a mean difference says, given half the widths of its interval and of the one for equivalence (TOST)."""
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

    Cold: s~^2 = (2 s_p^2 + SS) / n, half from the unpaired view, so that two lucky ties make no certainty.
    With history: s~^2 = (d0 s0^2 + SS) / (d0 + n - 1) (Smyth 2004). Never below the metric's resolution.
    """
    if noise is None:
        lent, weight = COLD_DF * 2 * pairs.arm_variance, float(COLD_DF)
    else:
        lent, weight = noise.d0 * noise.variance, noise.d0
    variance = (lent + pairs.sum_of_squares) / (weight + pairs.n - 1)
    return max(math.sqrt(variance), pairs.step)


def half_width(n: int, budget: int, spread: float, noise: Noise | None, level: float, share: int = 1) -> float:
    """Give half the width of the interval at look n; past the budget, that of the e-value's confidence sequence."""
    if n <= budget:
        prior = noise.d0 if noise else 0.0
        return critical(n, budget, level=level, prior=prior, share=share) * spread / math.sqrt(n)
    return sequence_half_width(n, spread)


def sequence_half_width(n: int, spread: float, *, g: float = 1.0, evidence: float = PAST_BUDGET_EVIDENCE) -> float:
    """Invert the e-value at a threshold: half the width of a t confidence sequence, infinite where n is too small.

    Args:
        n: pairs.
        spread: standard deviation of a difference, n - 1 degrees of freedom.
        g: variance of the effects it is tuned for, in units of the spread's square.
        evidence: the e-value that the edge of the interval has; 1 / level.

    >>> round(sequence_half_width(12, 2.0, g=0.4**2, evidence=20), 6)      # safestats: 2.769707
    2.769707
    """
    grown = (evidence * math.sqrt(1 + n * g)) ** (2 / n)
    inside = 1 - grown / (1 + n * g)
    return spread * math.sqrt((grown - 1) / inside * (n - 1) / n) if inside > 0 else math.inf


def beyond_budget(pairs: Pairs, noise: Noise | None = None, *, g: float = 1.0) -> float:
    """Give the e-value E_n, which may be looked at for ever: >= 200 means less than 1 in 200 by luck.

    E_n = (1 + n g)^(-1/2) [(d0 s0^2 + SS + n dbar^2) / (d0 s0^2 + SS + n dbar^2 / (1 + n g))]^((d0 + n) / 2),
    a t-test against effects of about sqrt(g) standard deviations (a mixture sequential test).
    """
    d0, lent = (noise.d0, noise.d0 * noise.variance) if noise else (0.0, 0.0)
    n, within = pairs.n, lent + max(pairs.sum_of_squares, (pairs.n - 1) * pairs.step**2)
    signal = n * pairs.mean**2
    if within + signal == 0:
        return 1.0
    log_ratio = math.log(within + signal) - math.log(within + signal / (1 + n * g))
    return float(np.exp(min(-0.5 * math.log(1 + n * g) + (d0 + n) / 2 * log_ratio, 700.0)))


def shrink(mean: float, spread: float, n: int, effect_sd: float) -> float:
    """Draw a mean difference towards zero by what it owes to luck: prior N(0, effect_sd^2), noise s~^2 / n."""
    prior, noise = effect_sd**2, spread**2 / n
    return mean * prior / (prior + noise) if prior + noise > 0 else mean
