"""A bank of baseline runs: what it tells beside pairs, and that verdicts stay as seldom wrong as they say."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palate.verdict import simulate
from palate.verdict.bank import FIRST_LOOK, LEAST_RUNS, disagree, usable, weigh
from palate.verdict.boundary import BANK, critical
from palate.verdict.pairs import make_pairs
from palate.verdict.rule import Terms, judge

values = st.lists(st.floats(-5, 5).map(lambda x: round(x, 3)), min_size=3, max_size=12)


@given(values, values, st.floats(-3, 3), st.floats(0.1, 10))
def test_it_moves_with_the_values_and_scales_with_their_unit(before, further, shift, scale):
    after = [value + 0.1 * (-1) ** place for place, value in enumerate(before)]
    one = weigh(make_pairs(before, after, resolution=1e-6), np.array(further))
    moved = weigh(make_pairs(before, [v + shift for v in after], resolution=1e-6), np.array(further))
    assert moved.effect == pytest.approx(one.effect + shift, abs=1e-6)
    assert moved.error == pytest.approx(one.error, rel=1e-6, abs=1e-6)
    scaled = weigh(
        make_pairs([scale * v for v in before], [scale * v for v in after], resolution=1e-6 * scale),
        scale * np.array(further),
    )
    assert scaled.effect == pytest.approx(scale * one.effect, rel=1e-6, abs=1e-6)
    assert 0 <= one.slope <= 1


def test_arms_that_move_together_are_judged_by_their_pairs_and_others_by_all_runs():
    rng = np.random.default_rng(1)
    before, further = rng.standard_normal(200), rng.standard_normal(2_000)
    together = weigh(make_pairs(before, before + 1 + 0.01 * rng.standard_normal(200)), further)
    assert together.slope > 0.95
    assert together.effect == pytest.approx(1, abs=0.01)
    apart = weigh(make_pairs(before, 1 + rng.standard_normal(200)), further)
    assert apart.slope < 0.2
    assert apart.error == pytest.approx(math.sqrt(1 / 200 + 1 / 2_200), rel=0.1)


def test_few_runs_and_few_pairs_have_no_bank():
    assert usable(range(LEAST_RUNS), FIRST_LOOK)
    assert not usable(range(LEAST_RUNS - 1), 20)
    assert not usable(range(50), FIRST_LOOK - 1)


def test_nothing_is_concluded_before_three_pairs_and_beyond_the_budget_the_pairs_alone_count():
    before, after = [0.0, 0.1, -0.1, 0.05, -0.05, 0.02], [50.0, 50.1, 49.9, 50.02, 49.98, 50.0]
    bank = tuple(0.1 * math.sin(x) for x in range(12))
    kinds = [judge(make_pairs(before, after).first(n), Terms(budget=5, margin=0.1, bank=bank)).kind for n in (2, 4)]
    assert kinds == ["unclear", "better"]
    beyond = judge(make_pairs(before, after), Terms(budget=5, margin=0.1, bank=bank))
    assert beyond.bank is None
    inside = judge(make_pairs(before, after).first(4), Terms(budget=5, margin=0.1, bank=bank))
    assert inside.bank == 12
    assert inside.raw == pytest.approx(weigh(make_pairs(before, after).first(4), np.array(bank)).effect)


def test_a_bank_that_does_not_agree_with_the_pairs_is_not_used_and_that_is_said():
    rng = np.random.default_rng(4)
    before, after = rng.standard_normal(6), rng.standard_normal(6)
    drifted = tuple(rng.standard_normal(14) + 5)
    pairs = make_pairs(before, after)
    assert disagree(pairs, np.array(drifted))
    told = judge(pairs, Terms(budget=20, margin=0.1, bank=drifted))
    assert (told.noise, told.bank, told.raw) == ("bank_conflict", None, pytest.approx(pairs.mean))
    assert not disagree(pairs, rng.standard_normal(14))
    assert judge(pairs, Terms(budget=20, margin=0.1, bank=tuple(rng.standard_normal(14))), share=2).bank is None


def test_the_tables_are_what_the_generator_makes():
    made = simulate.boundaries(BANK, (5, 20), paths=60_000, rng=np.random.default_rng(5))
    for n in range(FIRST_LOOK, 21):
        assert critical(n, 20, prior=BANK) == pytest.approx(made["0.05/1/20"][n - 1], rel=0.06)
    assert critical(2, 20, prior=BANK) == math.inf


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ratio", "correlation", "runs"), [(2.0, 0.0, 20), (0.5, 0.0, 20), (1.0, 0.6, 20), (2.0, 0.0, 8), (1.0, 0.0, 40)]
)
def test_equal_arms_are_seldom_told_apart(ratio, correlation, runs):
    """6 % and the Monte-Carlo error of 600 users at most; the bank's first runs are halves of pairs in their turn."""
    rng = np.random.default_rng([int(10 * ratio), int(10 * correlation), runs])
    wrong = 0
    for _ in range(600):
        bank, before = rng.standard_normal(runs), rng.standard_normal(20)
        before[: min(runs, 20)] = bank[:20]
        own = rng.standard_normal(20)
        after = ratio * (correlation * before + math.sqrt(1 - correlation**2) * own)
        for n in range(FIRST_LOOK, 21):
            told = judge(make_pairs(before[:n], after[:n]), Terms(budget=20, margin=1e-9, bank=tuple(bank[n:])))
            if told.kind in ("better", "worse"):
                wrong += 1
                break
    assert wrong / 600 < 0.06 + 2.5 * math.sqrt(0.06 * 0.94 / 600)
