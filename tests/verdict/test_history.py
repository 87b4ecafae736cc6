"""Priors from past comparisons: reference values of the fit, limits, conflicts, and verdicts that use them."""

import math
from dataclasses import replace

import numpy as np
import pytest
from benchmarks.history import arms as draw_arms
from benchmarks.history import past_of as drawn_past
from benchmarks.history import settle

from palate.errors import InputError
from palate.verdict.boundary import critical
from palate.verdict.history import LEAST_SHARE, Noise, Past, RunNoise, conflicts, effect_sd, fit_noise, noise_of
from palate.verdict.outlook import look_ahead, smallest_confirmable
from palate.verdict.pairs import make_pairs
from palate.verdict.rule import Failures, Terms, judge
from palate.verdict.simulate import Paths
from palate.verdict.words import fails_differently, failure_words, headline
from palate.vocabulary import name_metric

LIMMA_SIGMA = [1.3425032, 0.4647155, 1.1993444, 0.9428569, 0.9421509]


def test_the_fit_is_limmas_squeezevar():
    """The eBayes example of limma: df.prior 9.306153, s2.prior 0.923179."""
    fitted = fit_noise([s * s for s in LIMMA_SIGMA], [6, 6, 6, 6, 4])
    assert fitted.d0 == pytest.approx(9.306153, rel=1e-5)
    assert fitted.variance == pytest.approx(0.923179, rel=1e-5)


def test_the_fit_finds_a_planted_prior():
    rng = np.random.default_rng(0)
    sigma2 = 4 * 2.0 / rng.chisquare(4, 4000)
    fitted = fit_noise(sigma2 * rng.chisquare(7, 4000) / 7, [7] * 4000)
    assert fitted.d0 == pytest.approx(4, rel=0.15)
    assert fitted.variance == pytest.approx(2.0, rel=0.1)


def test_variances_that_differ_by_chance_alone_have_an_infinite_prior():
    assert math.isinf(fit_noise([1.0] * 8, [5] * 8).d0)
    told = noise_of([past_of(run=4.0) for _ in range(8)])
    assert (told.run_variance, told.share, told.family, told.comparisons) == (pytest.approx(4.0, rel=0.1), 1.0, "", 8)


def past_of(run=1.0, share=1.0, family="", df=7):
    return Past(variance=2 * run * share, run_variance=run, df=df, family=family)


def test_too_few_or_too_different_comparisons_tell_nothing():
    assert noise_of([past_of()] * 4) is None
    assert noise_of([Past(variance=1.0, df=7)] * 8) is None  # sealed before the noise of one run was kept
    assert noise_of([past_of(df=0)] * 8) is None
    wild = [past_of(run=10.0**k, df=30) for k in range(-6, 7)]
    assert noise_of(wild) is None
    with pytest.raises(InputError):
        fit_noise([1.0, 0.0], [3, 3])


def test_the_worth_of_pairing_is_borrowed_within_a_family_alone_and_never_in_full():
    alike = [past_of(share=0.1, family="lr up")] * 5
    others = [past_of(run=2.0, share=1.0, family="width up")] * 5
    mine, new = noise_of([*alike, *others], "lr up"), noise_of([*alike, *others], "depth up")
    assert (mine.share, mine.family, mine.comparisons) == (LEAST_SHARE, "lr up", 5)
    assert (new.share, new.family, new.comparisons) == (1.0, "", 10)
    assert noise_of([*alike[:4], *others], "lr up").family == ""
    unlike = [past_of(share=share, family="lr up") for share in (0.1, 0.4, 1.0, 0.1, 0.4, 1.0)]
    mean, sd = np.mean([0.1, 0.4, 1.0]), np.std([0.1, 0.4, 1.0] * 2, ddof=1)
    assert noise_of(unlike, "lr up").share == pytest.approx(mean + sd)


def test_an_arm_that_is_noisier_than_is_known_conflicts_and_the_verdict_is_the_cold_one():
    rng = np.random.default_rng(3)
    base = rng.normal(0, 1, 6)
    pairs = make_pairs(base, rng.normal(0, 4, 6))
    noise = RunNoise(run_variance=1.0, comparisons=8)
    assert conflicts(pairs, noise)
    judged = judge(pairs, Terms(noise=noise))
    assert (judged.noise, judged.noise_comparisons) == ("conflict", 0)
    assert replace(judged, noise="cold") == judge(pairs)
    assert not conflicts(pairs.first(1), noise)
    known = RunNoise(run_variance=100.0, family="lr up", comparisons=8)
    judged = judge(pairs, Terms(noise=known))
    assert (judged.noise, judged.noise_family, judged.noise_comparisons) == ("history", "lr up", 8)
    assert judged.spread > judge(pairs).spread


def test_one_run_each_with_known_noise_says_a_range_and_no_verdict():
    noise = RunNoise(run_variance=0.25, comparisons=6)
    told = judge(make_pairs([0.0], [50.0]), Terms(noise=noise))
    assert (told.kind, told.reason, told.raw) == ("unclear", "one_pair", 50.0)
    assert (told.low, told.high) == pytest.approx((50 - 1.96 * math.sqrt(0.5), 50 + 1.96 * math.sqrt(0.5)))
    said = headline(told, name_metric("loss", "max"))
    assert said.startswith("Cannot tell yet: one run each: +50") and "the noise allows +48.6 to +51.4" in said


def test_two_pairs_settle_nothing_by_what_the_past_knew():
    pairs, noise = make_pairs([0.0, 0.1], [90.0, 90.2]), RunNoise(run_variance=1.0, comparisons=6)
    assert judge(pairs, Terms(noise=noise)).kind == "unclear"
    assert judge(pairs, Terms(noise=noise)).low == judge(pairs).low > 0  # right, but no look was due
    assert judge(pairs, Terms(noise=noise, budget=2)).noise == "cold"


@pytest.mark.slow
@pytest.mark.parametrize(("rho", "new", "ratio"), [(0.9, 0.0, 1.0), (0.6, 0.0, 1.0), (0.0, 0.0, 2.0)])
def test_history_that_does_not_fit_does_not_make_verdicts_false(rho, new, ratio):
    rng, users = np.random.default_rng(11), 120
    false = []
    for _ in range(60):
        noise = noise_of(drawn_past(rng, (rho,) * 8), "lr up")
        one, other = draw_arms(rng, (users, 20), new, ratio=ratio)
        false.append(np.mean(settle(one, other, noise=noise)[0] == 1))
    assert np.mean(false) <= 0.06 + 3 * np.std(false) / math.sqrt(60)


def test_the_prior_of_effects_is_their_mean_square_less_noise():
    past = [Past(variance=1, df=5, effect=e, standard_error=0.1) for e in (1, -1, 2, -2, 0.0)]
    assert effect_sd(past) == pytest.approx(math.sqrt(2 - 0.01))
    assert effect_sd(past[:3]) is None
    quiet = [Past(variance=1, df=5, effect=0.0, standard_error=0.1) for _ in range(5)]
    assert effect_sd(quiet) == pytest.approx(math.sqrt(0.01 / 10))  # never nothing: a tenth of the noise at least


def test_pairs_far_noisier_than_the_prior_drop_it_and_the_verdict_records_it():
    noisy = make_pairs([0, 0.1, 0.2, 0.1], [5, -4, 6, -5.0])
    noise = Noise(d0=6, variance=0.01)
    assert conflicts(noisy, noise)
    judged = judge(noisy, Terms(noise=noise))
    assert judged.noise == "conflict"
    assert judged.spread == judge(noisy).spread


def test_with_a_prior_one_pair_can_settle_a_very_large_effect():
    noise = Noise(d0=6, variance=0.01)
    assert critical(1, 20, prior=6) >= 5
    assert judge(make_pairs([0.0], [0.52], resolution=0.01), Terms(noise=noise)).kind == "better"
    assert judge(make_pairs([0.0], [0.45], resolution=0.01), Terms(noise=noise)).kind == "unclear"


def test_disagreement_is_a_lower_bound_of_the_spread_for_few_pairs_only():
    rng = np.random.default_rng(0)
    base = rng.normal(0, 0.01, 8)
    few, many = make_pairs(base[:4], base[:4] + 0.02), make_pairs(base, base + 0.02 + rng.normal(0, 0.001, 8))
    assert judge(few, disagreement=0.04).spread == pytest.approx(0.2)
    assert judge(many, disagreement=0.04).spread < 0.2


@pytest.mark.slow
@pytest.mark.parametrize("d0", [2, 4, 6])
def test_with_a_correct_prior_the_error_rate_of_verdicts_is_kept(d0):
    rng = np.random.default_rng(d0)
    wrong = 0
    for _ in range(1200):
        sd = math.sqrt(d0 / rng.chisquare(d0))
        difference = rng.normal(0, sd, 20)
        zeros = rng.normal(0, 1, 20)
        noise = Noise(d0=d0, variance=1.0)
        for n in range(1, 21):
            kind = judge(
                make_pairs(zeros[:n], zeros[:n] + difference[:n], resolution=1e-9), Terms(noise=noise, margin=1e-6)
            ).kind
            if kind != "unclear":
                wrong += 1
                break
    assert wrong / 1200 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 1200)


def test_failure_rates_are_compared_by_boschloos_test():
    from scipy.stats import boschloo_exact

    failures = Failures(treatment=7, treatment_runs=20, baseline=0, baseline_runs=20)
    assert fails_differently(failures) == pytest.approx(boschloo_exact([[7, 0], [13, 20]]).pvalue)
    assert failure_words(failures, at_end=True).endswith("the change makes runs fail more often.")
    assert failure_words(Failures(treatment=1, treatment_runs=9, baseline_runs=9), at_end=True).endswith(
        "tell the rates apart."
    )
    assert failure_words(Failures(treatment_runs=9, baseline_runs=9), at_end=True) == ""


def test_the_statistic_of_a_single_look_is_the_paired_t():
    from scipy.stats import ttest_rel

    rng = np.random.default_rng(1)
    base, other = rng.normal(0, 1, 12), rng.normal(0.3, 1, 12)
    judged = judge(make_pairs(base, other))
    t = judged.raw / math.sqrt(judged.variance / 12)
    assert t == pytest.approx(ttest_rel(other, base).statistic)


def test_a_budget_that_is_too_small_names_remedies():
    rng = np.random.default_rng(5)
    base = rng.normal(0, 1, 6)
    pairs = make_pairs(base, rng.normal(0.05, 1, 6))
    judged = judge(pairs, Terms(margin=0.05))
    ahead = look_ahead(pairs, judged, rng=np.random.default_rng(0))
    assert ahead.chance < 0.5
    assert "a larger margin" in ahead.remedies
    assert "a metric with finer steps" not in ahead.remedies
    coarse = make_pairs([0, 1, 0, 1, 0, 1.0], [1, 0, 1, 1, 0, 1.0], resolution=1.0)
    ahead = look_ahead(coarse, judge(coarse, Terms(margin=0.05)), rng=np.random.default_rng(0))
    assert "a metric with finer steps" in ahead.remedies


def test_the_smallest_confirmable_effect_falls_with_the_root_of_the_budget():
    half, sure = smallest_confirmable(1.0, 16)
    assert (half, sure) == pytest.approx((2.3 / 4, 3.9 / 4))


@pytest.mark.parametrize(
    ("looks", "pocock", "obrien_fleming"), [(5, 2.413, 2.040), (10, 2.555, 2.087), (20, 2.672, 2.126)]
)
def test_simulated_paths_cross_classical_boundaries_with_5_percent(looks, pocock, obrien_fleming):
    """Pocock's and O'Brien-Fleming's constants at 5 % (Jennison & Turnbull 2000, tables 2.1 and 2.3)."""
    paths = Paths(math.inf, np.random.default_rng(looks), 100_000)
    statistics = np.array([paths.look() for _ in range(looks)])
    late = np.sqrt(looks / np.arange(1, looks + 1))[:, None]
    for bounds in (pocock, obrien_fleming * late):
        assert (statistics > bounds).any(axis=0).mean() == pytest.approx(0.05, abs=3 * (0.05 * 0.95 / 100_000) ** 0.5)


@pytest.mark.slow
def test_the_range_of_the_outlook_is_calibrated():
    """Effects with standard deviation 2, predicted after 4 pairs; the 80 % range against the pairs needed."""
    rng, inside, total = np.random.default_rng(9), 0, 0
    for _ in range(250):
        shift = rng.normal(0, 2.0)
        base, other = rng.normal(0, 1, 20), rng.normal(0, 1, 20) + shift
        terms = Terms(margin=1.0)
        pairs = make_pairs(base, other)
        now = judge(pairs.first(4), terms)
        if now.kind != "unclear":
            continue
        took = next((n - 4 for n in range(5, 21) if judge(pairs.first(n), terms).settled), None)
        ahead = look_ahead(pairs.first(4), now, rng=rng)
        if took is None or ahead.low is None:
            continue
        total += 1
        inside += ahead.low <= took <= ahead.high
    assert 0.70 <= inside / total <= 0.97
