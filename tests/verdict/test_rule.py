"""The rule: reference values, error rates in simulation, and invariances."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from palate.errors import InputError, ListError
from palate.verdict.boundary import BUDGETS, PRIORS, SHARES, _tables, critical
from palate.verdict.compare import compare
from palate.verdict.history import Noise
from palate.verdict.outlook import _futures, look_ahead
from palate.verdict.pairs import make_pairs
from palate.verdict.rule import (
    Failures,
    Terms,
    beyond_budget,
    classify,
    estimate_spread,
    judge,
    sequence_half_width,
    shrink,
    shrink_within,
)
from palate.verdict.simulate import boundaries

VALUES = st.lists(st.integers(0, 1000), min_size=2, max_size=12)
FLIPPED = {"better": "worse", "worse": "better", "better_small": "worse_small", "worse_small": "better_small"}


@st.composite
def two_lists(draw):
    n = draw(st.integers(2, 12))
    return [[draw(st.integers(0, 1000)) / 1000 for _ in range(n)] for _ in range(2)]


def test_the_cold_spread_is_shrunk_towards_the_unpaired_variance():
    # by hand: a = 1, 3; b = 2, 6; d = 1, 3; SS = 2; s_p^2 = (2 + 8) / 2 = 5; s~^2 = (2 * 5 + 2) / 2 = 6
    assert estimate_spread(make_pairs([1.0, 3.0], [2.0, 6.0], resolution=1e-9)) == pytest.approx(math.sqrt(6))


def test_the_spread_with_a_noise_prior_is_smyths():
    # by hand: (d0 s0^2 + SS) / (d0 + n - 1) = (4 * 2 + 2) / 5
    pairs = make_pairs([1.0, 3.0], [2.0, 6.0], resolution=1e-9)
    assert estimate_spread(pairs, Noise(d0=4, variance=2.0)) == pytest.approx(math.sqrt(2))


def test_the_spread_never_falls_below_the_metrics_resolution():
    assert estimate_spread(make_pairs([0.1, 0.1, 0.2], [0.2, 0.2, 0.3], resolution=0.5)) == 0.5


def test_an_effect_is_shrunk_towards_zero():
    assert shrink(1.0, spread=1.0, n=1, effect_sd=1.0) == pytest.approx(0.5)  # prior variance 1, noise variance 1
    assert shrink(1.0, spread=1.0, n=10_000, effect_sd=1.0) == pytest.approx(1.0, abs=1e-3)


def test_the_e_value_is_the_mixture_t_test_by_hand():
    # n = 4, dbar = 2, SS = 2, g = 1, no prior: 5^-1/2 * (18 / 5.2)^2
    pairs = make_pairs([0, 0, 0, 0], [1, 2, 3, 2], resolution=1e-9)
    assert beyond_budget(pairs) == pytest.approx(5**-0.5 * (18 / 5.2) ** 2)


@pytest.mark.parametrize("n", [12, 40])
def test_beyond_the_budget_the_interval_ends_where_the_e_value_is_200(n):
    rng = np.random.default_rng(4)
    differences = rng.normal(0, 1, n)
    spread = float(np.std(differences, ddof=1))
    shift = sequence_half_width(n, spread) - float(differences.mean())
    assert beyond_budget(make_pairs([0.0] * n, (differences + shift).tolist())) == pytest.approx(200, rel=1e-6)


def test_the_interval_beyond_the_budget_has_no_end_where_no_effect_reaches_its_evidence():
    # of an effect without end, E_n is (1 + n g)^((n - 1) / 2): 3 for n = 2 and g = 4, and more with one pair more
    assert sequence_half_width(2, 1.0, g=4.0, evidence=3.0) == math.inf
    assert sequence_half_width(2, 1.0, g=4.0, evidence=3.01) == math.inf
    assert 20 < sequence_half_width(2, 1.0, g=4.0, evidence=2.99) < math.inf
    assert sequence_half_width(3, 1.0, g=4.0, evidence=3.0) < math.inf
    assert beyond_budget(make_pairs([0.0, 0.0], [1.0, 1.0], resolution=1e-9), g=4.0) == pytest.approx(3.0)


def test_the_e_value_with_a_noise_prior_is_that_by_hand_and_of_no_difference_at_all_it_is_1():
    # n = 4, dbar = 2, SS = 2, d0 = 2 of variance 3, g = 2: 9^-1/2 * (24 / (8 + 16 / 9))^3
    pairs = make_pairs([0, 0, 0, 0], [1, 2, 3, 2], resolution=1e-9)
    assert beyond_budget(pairs, Noise(d0=2, variance=3.0), g=2.0) == pytest.approx((24 / (8 + 16 / 9)) ** 3 / 3)
    assert beyond_budget(make_pairs([0.1, 0.2], [0.1, 0.2], resolution=0.0)) == 1.0


def test_a_verdict_beyond_the_budget_takes_an_e_value_of_200():
    """The interval ends where the e-value is 200 (see above): a mean that is a little further from 0 is a verdict."""
    differences = np.random.default_rng(4).normal(0, 1, 12)
    differences -= differences.mean()
    half = sequence_half_width(12, float(np.std(differences, ddof=1)))
    base = np.random.default_rng(5).normal(0, 1, 12)
    for share, kind in ((0.999, "unclear"), (1.001, "better"), (-0.999, "unclear"), (-1.001, "worse")):
        pairs = make_pairs(base, base + differences + share * half, resolution=1e-9)
        assert judge(pairs, Terms(budget=5)).kind == kind


@pytest.mark.parametrize(
    ("mean", "half", "equal_half", "kind"),
    [(1.0, 1.0, 0.8, "unclear"), (1.01, 1.0, 0.8, "better"), (-1.0, 1.0, 0.8, "unclear"), (-1.01, 1.0, 0.8, "worse"),
     (0.25, 0.5, 0.25, "unclear"), (0.24, 0.5, 0.25, "same"), (-0.25, 0.5, 0.25, "unclear"), (-0.24, 0.5, 0.25, "same"),
     (0.25, 0.2, 0.25, "better"), (0.24, 0.2, 0.25, "better_small"), (-0.25, 0.2, 0.25, "worse"),
     (-0.24, 0.2, 0.25, "worse_small"), (0.0, 0.0, 0.0, "same")],
)  # fmt: skip
def test_what_lies_on_a_border_is_neither_beyond_nor_within_it(mean, half, equal_half, kind):
    assert classify(mean, half, equal_half, 0.5) == kind


@pytest.mark.parametrize(("n", "reason"), [(4, ""), (5, "budget"), (6, "past_budget")])
def test_an_open_verdict_says_when_the_budget_is_used_up_and_when_it_is_passed(n, reason):
    pairs = make_pairs([0.1, 0.5, 0.3, 0.2, 0.4, 0.3][:n], [0.3, 0.2, 0.4, 0.5, 0.1, 0.2][:n])
    judged = judge(pairs, Terms(budget=5, margin=1e-6))
    assert (judged.kind, judged.reason) == ("unclear", reason)


@pytest.mark.parametrize(("n", "spread"), [(2, 3.0), (5, 3.0), (6, None)])
def test_disagreement_is_the_least_spread_of_up_to_five_pairs(n, spread):
    pairs = make_pairs([0.1, 0.5, 0.3, 0.2, 0.4, 0.3][:n], [0.3, 0.2, 0.4, 0.5, 0.1, 0.2][:n])
    assert judge(pairs, disagreement=9.0).spread == pytest.approx(spread or estimate_spread(pairs))


def test_where_no_effects_are_known_their_sd_is_two_seed_sds():
    # by hand: mean 2, s_p^2 = 5, s~^2 = 6: prior variance 2^2 * 5 = 20, of the mean 6 / 2 = 3; with an sd of 1, 1 and 3
    pairs = make_pairs([1.0, 3.0], [2.0, 6.0], resolution=1e-9)
    assert judge(pairs).effect == pytest.approx(2 * 20 / 23)
    assert judge(pairs, Terms(effect_sd=1.0)).effect == pytest.approx(2 * 1 / 4)
    assert judge(pairs).variance == pytest.approx(2.0)
    assert judge(pairs).standard_error == pytest.approx(math.sqrt(3))


@pytest.mark.parametrize("effect_sd", [1e-3, 0.005, 0.1, 1.0, 100.0])
def test_an_effect_lies_inside_its_interval_however_small_past_effects_were(effect_sd):
    base = np.linspace(0, 1, 12)
    for gap in (0.002, 0.02, 5.0):
        treatment = base + gap + 0.01 * (-1.0) ** np.arange(12)
        for sign in (1, -1):
            verdict = judge(
                make_pairs(sign * base, sign * treatment, resolution=1e-9), Terms(effect_sd=effect_sd, margin=1e-6)
            )
            room = 1e-3 * (verdict.high - verdict.low)
            assert verdict.low + room < verdict.effect < verdict.high - room
            assert abs(verdict.effect) <= abs(verdict.raw)


@pytest.mark.parametrize(("mean", "tau", "half"), [(2.0, 1.0, 1.5), (2.5, 0.3, 2.3), (-1.0, 0.2, 0.8), (0.0, 1.0, 1.0)])
def test_the_effect_is_the_posterior_mean_between_the_ends_of_the_interval(mean, tau, half):
    from scipy.stats import truncnorm

    prior, noise = tau**2, 1.0
    centre, sd = mean * prior / (prior + noise), math.sqrt(prior * noise / (prior + noise))
    cut = truncnorm((mean - half - centre) / sd, (mean + half - centre) / sd, loc=centre, scale=sd)
    assert shrink_within(mean, 2.0, 4, tau, half) == pytest.approx(float(cut.mean()), abs=1e-9)


def test_past_effects_have_no_say_where_an_effect_is_far_larger_than_they_explain():
    # 10 is more than 3 * sqrt(.01 + 1): the prior variance is 100 - 1, so the effect is 10 * 99 / 100
    assert shrink_within(10.0, 2.0, 4, 0.1, 5.0) == pytest.approx(9.9, abs=1e-4)
    assert shrink_within(-10.0, 2.0, 4, 0.1, 5.0) == pytest.approx(-9.9, abs=1e-4)


def test_without_a_margin_the_least_that_matters_is_a_seed_sd_or_a_step_of_the_metric():
    lists = [1.0, 3.0], [2.0, 6.0]  # s_p^2 = 5, by hand as above
    assert judge(make_pairs(*lists, resolution=1.0)).margin == pytest.approx(math.sqrt(5))
    assert judge(make_pairs(*lists, resolution=4.0)).margin == 4.0
    assert judge(make_pairs(*lists, resolution=4.0), Terms(margin=0.5)).margin == 0.5


@pytest.mark.parametrize(
    ("counts", "kind"),
    [((0, 1, 2, 1), "unclear"), ((0, 2, 2, 2), "failed"), ((0, 2, 2, 3), "unclear"), ((1, 0, 1, 2), "unclear"),
     ((2, 0, 2, 2), "failed"), ((2, 0, 3, 2), "unclear"), ((0, 0, 0, 0), "unclear")],
)  # fmt: skip
def test_an_arm_has_failed_where_two_runs_failed_and_none_finished(counts, kind):
    baseline, treatment, baseline_runs, treatment_runs = counts
    failures = Failures(
        baseline=baseline, treatment=treatment, baseline_runs=baseline_runs, treatment_runs=treatment_runs
    )
    verdict = judge(None, failures=failures)
    assert (verdict.kind, verdict.reason) == (kind, "" if kind == "failed" else "no_pairs")


@pytest.mark.parametrize(
    ("n", "curves", "kind", "reason"),
    [(1, None, "unclear", "one_pair"), (1, True, "unclear", "one_pair"), (1, False, "unclear", "one_pair"),
     (2, None, "unclear", "ties"), (2, True, "nothing", ""), (2, False, "unclear", "ties_differ"),
     (20, None, "unclear", "ties")],
)  # fmt: skip
def test_a_change_did_nothing_where_whole_curves_agree_and_never_by_equal_values_alone(n, curves, kind, reason):
    values = [0.1 + i % 3 / 16 for i in range(n)]
    told = judge(make_pairs(values, values), Terms(margin=1e-9), bit_identical=curves)
    assert (told.kind, told.reason) == (kind, reason)


def test_equal_values_of_seeds_that_do_nothing_are_no_frozen_seeds_where_the_curves_differ():
    told = judge(make_pairs([0.5] * 3, [0.5] * 3), bit_identical=False)
    assert (told.kind, told.reason) == ("unclear", "ties_differ")


@pytest.mark.parametrize("n", [1, 2, 3])
def test_the_seed_sd_is_that_of_the_pairs_and_of_one_pair_that_of_the_prior(n):
    noise = Noise(d0=6, variance=0.5)
    baseline, treatment = [0.1, 0.3, 0.4][:n], [5.2, 5.6, 5.6][:n]
    pairs = make_pairs(baseline, treatment)
    wanted = math.sqrt(0.25) if n == 1 else pairs.seed_sd
    assert judge(pairs, Terms(noise=noise)).seed_sd == pytest.approx(wanted)


@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize("budget", BUDGETS)
def test_boundaries_fall_with_every_look_and_that_of_equivalence_comes_late(prior, budget):
    # from the third look on: error that the first look with a strong prior does not spend lowers the second boundary
    looks = [critical(n, budget, prior=prior) for n in range(3, budget + 1)]
    assert all(late <= early + 0.02 for early, late in pairwise(looks))
    equal = [critical(n, budget, level=0.1, prior=prior) for n in range(1, budget + 1)]
    assert all(late < early or early == math.inf for early, late in pairwise(equal[2:]))
    assert equal[-1] < critical(budget, budget, prior=prior)


def test_a_budget_between_two_tables_uses_the_conservative_one():
    assert critical(7, 15) == critical(7, 20)
    assert critical(16, 15) == math.inf
    assert critical(5, 20, prior=5.9) == critical(5, 20, prior=4)
    with pytest.raises(InputError, match="no boundary"):
        critical(1, 101)


def test_the_shipped_tables_are_those_of_the_shares_that_are_looked_up():
    told = {key.split("/")[1] for key in _tables()["0"]}
    assert told == {str(share) for share in SHARES}
    for share in range(1, 28):
        assert critical(6, 20, share=share) <= critical(6, 20, share=share + 1)
    assert critical(6, 20, share=7) == critical(6, 20, share=8)
    assert critical(6, 20, share=3) < critical(6, 20, share=4) < critical(6, 20, share=5)


def test_the_simulation_reproduces_the_shipped_tables():
    made = boundaries(0, (5, 20), paths=100_000, rng=np.random.default_rng(1))["0.05/1/20"]
    assert made[1:] == pytest.approx([critical(n, 20) for n in range(2, 21)], rel=0.06)


@given(two_lists())
@settings(deadline=None)
def test_relabelled_arms_flip_the_sign_and_nothing_else(lists):
    one, other = compare(*lists).verdict, compare(*lists[::-1]).verdict
    assert other.kind == FLIPPED.get(one.kind, one.kind)
    if one.low is not None:
        assert (other.effect, other.low, other.high) == pytest.approx((-one.effect, -one.high, -one.low))


@given(two_lists(), st.randoms())
@settings(deadline=None)
def test_the_order_within_a_look_does_not_matter(lists, random):
    order = list(range(len(lists[0])))
    random.shuffle(order)
    one = compare(*lists).verdict
    other = compare(*([values[i] for i in order] for values in lists)).verdict
    assert other.kind == one.kind
    assert other.spread == pytest.approx(one.spread) if one.spread else other.spread == one.spread


@given(two_lists(), st.integers(-5, 5), st.sampled_from([1e-3, 100.0, 3.0]))
@settings(deadline=None)
def test_a_constant_added_or_a_unit_changed_changes_only_the_units(lists, constant, unit):
    one = compare(*lists).verdict
    other = compare(*([constant * unit + unit * value for value in values] for values in lists)).verdict
    assert other.kind == one.kind
    if one.low is not None:
        assert (other.low, other.high) == pytest.approx((unit * one.low, unit * one.high), rel=1e-6, abs=1e-9 * unit)


@given(st.integers(2, 20), st.floats(0.001, 1))
def test_equal_values_and_seeds_without_effect_give_no_gain(n, gap):
    tied = compare([0.5] * n, [0.5] * n)
    assert (tied.verdict.kind, tied.verdict.reason) == ("unclear", "ties")
    assert "did nothing" not in str(tied).lower() and "not known from values alone" in str(tied)
    frozen = compare([0.5] * n, [0.5 + gap] * n).verdict
    assert frozen.kind == "unclear"
    assert frozen.reason == "frozen_seeds"


@given(st.integers(2, 4), st.integers(1, 50))
def test_few_tied_differences_give_no_verdict(n, gap):
    baseline = [i / 1000 for i in range(n)]
    verdict = compare(baseline, [value + gap / 1000 for value in baseline], resolution=gap / 1000).verdict
    assume(verdict.kind != "same")
    assert verdict.kind == "unclear"


def test_one_pair_is_never_a_verdict():
    assert judge(make_pairs([0.1], [0.9])).kind == "unclear"
    assert judge(make_pairs([0.5], [0.5])).kind == "unclear"


def test_why_there_is_no_verdict_is_said_of_one_pair_without_a_prior_alone():
    assert judge(make_pairs([0.1], [0.2]), Terms()).reason == "one_pair"
    assert judge(make_pairs([0.1], [0.2]), Terms(noise=Noise(d0=6, variance=0.5))).reason == ""
    assert judge(make_pairs([0.1, 0.3], [0.2, 0.5]), Terms()).reason == ""


def test_the_e_value_of_tied_differences_rests_on_the_metrics_resolution():
    pairs = make_pairs([0.0, 0.5, 0.2], [0.3, 0.8, 0.5], resolution=0.1)
    within, signal = 2 * 0.1**2, 3 * 0.3**2
    by_hand = (1 + 3) ** -0.5 * ((within + signal) / (within + signal / (1 + 3))) ** (3 / 2)
    assert beyond_budget(pairs) == pytest.approx(by_hand)


def test_futures_have_the_means_and_spreads_of_the_pairs_that_would_be_there():
    pairs, noise = make_pairs([0.0, 0.4, 0.1], [0.5, 0.6, 0.9]), Noise(d0=6, variance=0.05)
    means, spreads = _futures(pairs, 0.3, 4, np.random.default_rng(3), noise)
    n = 3 + np.arange(1, 5)
    totals = means[0] * n
    drawn = np.diff(totals, prepend=3 * pairs.mean)
    for more in range(1, 5):
        later = make_pairs([0.0] * (3 + more), [*pairs.differences.tolist(), *drawn[:more].tolist()])
        assert later.mean == pytest.approx(means[0, more - 1])
        assert estimate_spread(later, noise) == pytest.approx(spreads[0, more - 1])


def test_an_arm_that_always_fails_is_failed_and_one_failure_is_not():
    both = Failures(treatment=2, treatment_runs=2, baseline_runs=2)
    assert judge(None, failures=both).kind == "failed"
    assert judge(None, failures=Failures(treatment=1, treatment_runs=1, baseline_runs=1)).kind == "unclear"


def test_with_unequal_failures_better_is_qualified():
    pairs = make_pairs([0.1, 0.11, 0.12, 0.1, 0.11, 0.12], [0.9, 0.91, 0.92, 0.9, 0.91, 0.93])
    from palate.verdict.words import headline
    from palate.vocabulary import name_metric

    failures = Failures(treatment=2, treatment_runs=8, baseline_runs=8)
    sentence = headline(judge(pairs, failures=failures), name_metric("acc"))
    assert sentence.startswith("2 of 8 runs with the change failed, 0 of 8 without. Better among runs that finished: ")


def test_a_small_effect_is_the_same_and_a_significant_small_one_is_better_small():
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.01, 20)
    assert judge(make_pairs(noise, noise + rng.normal(0, 0.005, 20)), Terms(margin=0.05)).kind == "same"
    assert judge(make_pairs(noise, noise + 0.01 + rng.normal(0, 0.001, 20)), Terms(margin=0.05)).kind == "better_small"


def test_beyond_the_budget_only_a_large_e_value_gives_a_verdict():
    rng = np.random.default_rng(0)
    base = rng.normal(0, 1, 40)
    weak, strong = (base + rng.normal(shift, 0.5, 40) for shift in (0.2, 2.0))
    assert judge(make_pairs(base, weak), Terms(budget=20)).reason == "past_budget"
    assert judge(make_pairs(base, strong), Terms(budget=20)).kind == "better"


@pytest.mark.parametrize("margin", [0, -1, math.nan, math.inf])
def test_a_margin_that_is_not_a_positive_number_is_refused(margin):
    with pytest.raises(InputError, match="margin"):
        Terms(margin=margin)


@pytest.mark.parametrize(
    ("baseline", "treatment", "reason"),
    [
        ([], [], "is empty"),
        ([1.0], [], "is empty"),
        ([1.0, 2.0], [1.0], "cannot be paired"),
        ([1.0, math.nan], [1.0, 2.0], "something other than a number as value 2"),
        ([1.0, 2.0], [math.inf, 2.0], "something other than a number as value 1"),
        (["a"], [1.0], "not a list of numbers"),
        ([[1.0], [2.0]], [1.0, 2.0], "one number a run"),
    ],
)
def test_lists_that_cannot_be_compared_are_refused_with_the_reason(baseline, treatment, reason):
    with pytest.raises(ListError, match=reason):
        compare(baseline, treatment)


def test_mappings_are_paired_by_seed():
    by_seed = compare({1: 0.1, 2: 0.2, 3: 0.3}, {3: 0.5, 2: 0.4, 9: 0.0, 1: 0.3})
    assert by_seed.verdict.n == 3
    assert by_seed.verdict.raw == pytest.approx(0.2)
    with pytest.raises(ListError, match="no seed in common"):
        compare({1: 0.1}, {2: 0.1})
    with pytest.raises(ListError, match="One side has seeds"):
        compare({1: 0.1}, [0.1])


def first_verdicts(paths, *, shift, rng, rho=0.0, budget=20):
    """Kinds at the first settled look of simulated experiments."""
    kinds = []
    for _ in range(paths):
        shared = rng.normal(0, math.sqrt(rho), budget)
        arms = [shared + rng.normal(0, math.sqrt(1 - rho), budget) for _ in range(2)]
        kind = "unclear"
        for n in range(2, budget + 1):
            kind = judge(
                make_pairs(arms[0][:n], arms[1][:n] + shift, resolution=1e-6), Terms(budget=budget, margin=1.0)
            ).kind
            if kind != "unclear":
                break
        kinds.append(kind)
    return kinds


@pytest.mark.slow
@pytest.mark.parametrize("rho", [0.0, 0.6])
def test_with_a_look_after_each_pair_false_verdicts_stay_under_five_percent(rho):
    kinds = first_verdicts(1500, shift=0.0, rng=np.random.default_rng(7), rho=rho)
    false = np.mean([kind.startswith(("better", "worse")) for kind in kinds])
    assert false <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 1500)


@pytest.mark.slow
def test_a_large_effect_is_found_and_never_called_the_wrong_way():
    kinds = first_verdicts(300, shift=2.0, rng=np.random.default_rng(8))
    assert kinds.count("better") >= 297


def test_the_outlook_names_a_range_inside_the_budget():
    rng = np.random.default_rng(3)
    base = rng.normal(0, 1, 4)
    pairs = make_pairs(base, base + rng.normal(1.2, 0.8, 4))
    verdict = judge(pairs, Terms(margin=0.5))
    assert verdict.kind == "unclear"
    ahead = look_ahead(pairs, verdict, rng=np.random.default_rng(0))
    assert 0 < ahead.chance <= 1
    assert 1 <= ahead.low <= ahead.high <= 16
    assert ahead == look_ahead(pairs, verdict, rng=np.random.default_rng(0))


@given(st.integers(0, 10_000), st.floats(0.05, 2.0))
@settings(deadline=None, max_examples=60)
def test_with_classical_bounds_the_same_means_what_statsmodels_ttost_says(seed, margin):
    from scipy.stats import t as t_distribution
    from statsmodels.stats.weightstats import ttost_paired

    rng = np.random.default_rng(seed)
    base, other = rng.normal(0, 1, 10), rng.normal(0.1, 1, 10)
    p = ttost_paired(other, base, -margin, margin)[0]
    half = t_distribution.ppf(0.95, 9) * np.std(other - base, ddof=1) / math.sqrt(10)
    kind = classify(float(np.mean(other - base)), math.inf, half, margin)
    assert (kind == "same") == (p < 0.05)


def test_a_comparison_says_where_higher_was_taken_as_better():
    words = " (Higher was taken as better.)"
    assert str(compare([0.1, 0.2, 0.3], [0.4, 0.5, 0.7])).endswith(words)
    assert words not in str(compare([0.1, 0.2, 0.3], [0.4, 0.5, 0.7], goal="max"))


def test_a_comparison_is_shown_in_points_where_that_is_asked_for():
    lists = [0.61, 0.62, 0.6, 0.61], [0.71, 0.74, 0.7, 0.72]
    assert " points " in str(compare(*lists, goal="max", points=True))
    assert " points " not in str(compare(*lists, metric="val_acc", points=False))
    assert " points " in str(compare(*lists, metric="val_acc"))
