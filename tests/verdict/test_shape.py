"""What a verdict assumes of the noise: each limit holds in normal noise, each shape is found where it is plain."""

import itertools
import json
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palate.verdict.pairs import Pairs, make_pairs
from palate.verdict.rule import Failures, Terms, Verdict, judge
from palate.verdict.shape import PLAIN, Shape, look_at_shape, shape_of, sign_boundary, still_could
from palate.verdict.words import effect_words, headline, kind_words, pairing_words, shape_words
from palate.vocabulary import Metric

SCORE = Metric(name="score", goal="max")
BUDGET = 20
TERMS = Terms(budget=BUDGET, margin=1e-9)


def normal(seed, n=12, shift=0.0):
    rng = np.random.default_rng(seed)
    return rng.normal(0, 1, n), rng.normal(shift, 1, n)


def first_verdict(baseline, treatment, terms=TERMS):
    for n in range(1, len(baseline) + 1):
        verdict = judge(Pairs(baseline=baseline[:n], treatment=treatment[:n], resolution=1e-9), terms)
        if verdict.settled:
            break
    return verdict


@pytest.mark.parametrize("budget", [6, 8, 20])
def test_the_sign_boundary_spends_no_more_than_its_level_by_all_sequences_of_signs(budget):
    """Exact, by counting: of all 2^n sequences of signs, the share that ever reaches the boundary."""
    bounds = sign_boundary(budget)
    looks = min(budget, 12)
    crossed = 0
    for signs in itertools.product((0, 1), repeat=looks):
        ups = np.cumsum(signs)
        n = np.arange(1, looks + 1)
        crossed += bool(np.any(np.maximum(ups, n - ups) >= np.array(bounds[:looks])))
    assert 0 < crossed / 2**looks <= 0.05 * looks / budget


def test_a_budget_of_five_is_too_small_for_signs():
    assert sign_boundary(5) == (2, 3, 4, 5, 6)


def test_bad_seeds_of_one_arm_turn_the_verdict_to_the_typical_run():
    baseline, treatment = normal(1, 16, 2.5)
    treatment[[3, 9]] = -30.0
    verdict = judge(make_pairs(baseline, treatment), Terms(budget=BUDGET, margin=0.1))
    assert verdict.shape.low == (0, 2)
    assert (verdict.kind, verdict.about) == ("better", "typical")
    assert verdict.low <= 2.5 <= verdict.high
    said = headline(verdict, SCORE)
    assert said.startswith("Better in the typical run: ")
    assert "2 of 16 runs with the change ended far worse than the rest: this is about the typical run" in said


@given(st.integers(0, 10_000), st.sampled_from([0.01, 1.0, 100.0]), st.floats(-5, 5))
@settings(deadline=None, max_examples=50)
def test_a_shape_does_not_depend_on_the_unit_and_turns_with_the_arms(seed, unit, constant):
    baseline, treatment = normal(seed)
    treatment[:2] -= 20
    shape = look_at_shape(make_pairs(baseline, treatment))
    scaled = look_at_shape(make_pairs(unit * (baseline + constant), unit * (treatment + constant)))
    assert (scaled.low, scaled.high, scaled.groups) == (shape.low, shape.high, shape.groups)
    turned = look_at_shape(make_pairs(treatment, baseline))
    assert (turned.low, turned.high) == (shape.low[::-1], shape.high[::-1])


def test_equally_bad_seeds_in_both_arms_and_heavy_tails_in_both_leave_the_mean():
    baseline, treatment = normal(1, 16, 2.5)
    for arm in (baseline, treatment):
        arm[[3, 9]] = -30.0
    shape = look_at_shape(make_pairs(baseline, treatment))
    assert (shape.low, shape.uneven) == ((2, 2), False)


def test_two_groups_are_counted_by_arm_and_said():
    baseline = np.array([0.1, 0.9, 0.11, 0.91, 0.12, 0.92, 0.1, 0.9])
    treatment = np.array([0.9, 0.91, 0.1, 0.92, 0.93, 0.11, 0.9, 0.9])
    verdict = judge(make_pairs(baseline, treatment))
    assert verdict.shape.groups == (4, 4, 2, 6)
    assert "two groups, worse and better (4 and 4 without the change, 2 and 6 with it)" in headline(verdict, SCORE)


@pytest.mark.parametrize(("ratio", "arm"), [(10, "with"), (0.1, "without")])
def test_arms_that_scatter_very_differently_are_named(ratio, arm):
    baseline, treatment = normal(3)
    verdict = judge(make_pairs(baseline, ratio * treatment))
    assert max(verdict.shape.spread_ratio, 1 / verdict.shape.spread_ratio) > 4
    assert f"uns {arm} the change scatter" in shape_words(verdict)


def test_a_long_tail_in_one_arm_is_named_and_in_both_it_is_not():
    rng = np.random.default_rng(7)
    tail = np.exp(1.2 * rng.normal(0, 1, 20)) / 6
    shape = look_at_shape(make_pairs(rng.normal(0, 1, 20), tail))
    assert shape.uneven and not look_at_shape(make_pairs(tail, tail[::-1] + 0.01 * rng.normal(0, 1, 20))).skewed


def test_successive_seeds_that_resemble_each_other_count_as_fewer_runs():
    slow = np.repeat([0.2, 2.0, 0.4, 1.6, 0.3], 4)
    rng = np.random.default_rng(2)
    pairs = make_pairs(0.1 * rng.normal(0, 1, 20), slow + 0.1 * rng.normal(0, 1, 20))
    checked, unchecked = judge(pairs, TERMS), judge(pairs, Terms(budget=BUDGET, margin=1e-9, assumptions=False))
    assert checked.shape.dependence > 0.4
    assert checked.high - checked.low > 1.3 * (unchecked.high - unchecked.low)
    assert "successive seeds resemble each other" in shape_words(checked).lower()


def test_a_few_pairs_that_lie_far_apart_wait_for_four_and_say_why():
    baseline, treatment = [1.00, 1.01, 0.99, 1.0], [2.0, 2.01, 1.99, 2.0]
    kinds = [judge(make_pairs(baseline[:n], treatment[:n], resolution=1e-9), TERMS) for n in (2, 3, 4)]
    assert [(one.kind, one.shape.waits) for one in kinds] == [("unclear", True), ("unclear", True), ("better", False)]
    assert "2 more pairs would tell." in headline(kinds[0], SCORE)
    small = judge(make_pairs(baseline[:2], treatment[:2], resolution=1e-9), Terms(budget=2, margin=1e-9))
    assert small.kind == "better"  # a budget of 2 has no later look


def test_a_shape_is_read_from_its_record_and_from_one_that_has_none():
    shape = Shape(low=(0, 2), groups=(1, 2, 3, 4), dependence=0.5)
    assert shape_of({**json.loads(json.dumps(asdict(shape))), "later": 1}) == shape
    assert Verdict(kind="better", n=4, budget=20).shape == PLAIN


@pytest.mark.slow
@pytest.mark.parametrize("n", [4, 6, 10, 20])
def test_of_normal_noise_few_looks_are_called_anything(n):
    found = [look_at_shape(make_pairs(*normal(seed, n))) for seed in range(1000)]
    assert np.mean([not one.plain for one in found]) <= 0.06
    assert np.mean([one.uneven for one in found]) <= 0.04


@pytest.mark.slow
def test_runs_in_two_groups_fool_fewer_than_6_percent_where_14_were_fooled():
    rng = np.random.default_rng(11)
    wrong = 0
    for _ in range(800):
        arms = np.where(rng.random((2, BUDGET)) < 0.5, -1, 1) + 0.1 * rng.normal(0, 1, (2, BUDGET))
        wrong += first_verdict(*arms).kind in ("better", "worse")
    assert wrong / 800 <= 0.06 + 2 * 0.008


def test_how_many_runs_could_still_go_bad_is_the_bound_of_none_of_n():
    assert still_could(4) == pytest.approx(0.5271, abs=1e-4)
    told = judge(make_pairs([0.0, 0.1, 0.2, 0.1], [1.0, 1.2, 1.1, 1.3]), TERMS)
    assert headline(told, SCORE).endswith("0 of 4 with the change went bad; up to 53 % still could.")


def test_no_effect_that_is_one_is_shown_as_zero():
    tiny = Verdict(kind="worse", n=8, budget=20, effect=-0.004, raw=-1.0, low=-2.1, high=-0.003)
    assert effect_words(tiny, SCORE) == "-0.004 (between -2.100 and -0.003; -1.000 as measured)"
    none = Verdict(kind="unclear", n=8, budget=20, effect=-0.001, raw=-0.001, low=-2.1, high=2.0)
    assert effect_words(none, SCORE).startswith("0.0 (")


@pytest.mark.parametrize(
    ("correlation", "n", "words"),
    [
        (None, 8, ""),
        (0.5, 4, ""),
        (0.5, 8, "not known yet"),
        (-0.9, 8, "buys nothing"),
        (0.57, 20, "saved about 27 runs"),
    ],
)
def test_what_pairing_saved_is_said_with_its_range(correlation, n, words):
    said = pairing_words(correlation, n)
    assert words in said and bool(said) == bool(words)
    if "saved" in words:
        assert "(between 4 and 84" in said


def test_a_verdict_in_a_list_shows_what_failed_and_what_it_is_on():
    failures = asdict(Failures(treatment=4, baseline_runs=10, treatment_runs=10))
    assert kind_words("same", failures) == "same among finished, 4 of 10 failed"
    assert kind_words("better", asdict(Failures()), "typical") == "better in the typical run"
    assert kind_words("failed", failures) == "failed"
    both = asdict(Failures(baseline=1, treatment=2, baseline_runs=9, treatment_runs=9))
    assert kind_words("better", both) == "better among finished, 2 of 9 failed, 1 of 9 without the change failed"
