"""Factorial designs: their contrasts and aliases, and verdicts on simulated effects."""

import itertools

import numpy as np
import pytest

from palate.errors import InputError
from palate.verdict.boundary import critical
from palate.verdict.design import make_design
from palate.verdict.history import Noise
from palate.verdict.rule import Terms, judge
from palate.verdict.split import contrast_pairs, judge_effects


@pytest.mark.parametrize("k", range(2, 12))
def test_a_design_contains_the_baseline_once_and_its_main_effects_are_orthogonal(k):
    design = make_design(k)
    assert design.cells.count(()) == 1
    assert len(set(design.cells)) == len(design.cells)
    assert (design.levels.T @ design.levels == len(design.levels) * np.eye(k, dtype=int)).all()
    assert [effect for effect in design.effects if len(effect) == 1] == [(i,) for i in range(k)]


@pytest.mark.parametrize(
    ("k", "cells", "alone"), [(2, 4, 1), (3, 8, 3), (4, 8, 0), (5, 16, 10), (6, 16, 0), (7, 16, 0)]
)
def test_no_main_effect_is_aliased_with_a_main_effect_or_an_interaction_of_two(k, cells, alone):
    design = make_design(k)
    assert len(design.cells) == cells
    aliases = dict(zip(design.effects, design.aliases, strict=True))
    assert all(aliases[(i,)] == () for i in range(k))
    pairs = set(itertools.combinations(range(k), 2))
    assert {e for e in aliases if len(e) == 2} | {a for e in aliases for a in aliases[e]} == pairs
    assert sum(len(e) == 2 and not aliases[e] for e in aliases) == alone


@pytest.mark.parametrize(("k", "said"), [(0, "^0 changes"), (1, "^1 change"), (12, "^12 changes")])
def test_what_cannot_be_split_is_refused(k, said):
    with pytest.raises(InputError, match=f"{said} cannot be split"):
        make_design(k)


def planted(design, mains, pairs, *, seeds, sd, rng):
    block = rng.normal(0, 1, seeds)
    return {
        cell: block
        + sum(mains.get(i, 0.0) for i in cell)
        + sum(gain for pair, gain in pairs.items() if set(pair) <= set(cell))
        + rng.normal(0, sd, seeds)
        for cell in design.cells
    }


def test_contrasts_are_the_effects_that_were_planted():
    design = make_design(3)
    values = planted(design, {0: 1.0, 1: -2.0}, {(0, 1): 0.5}, seeds=4, sd=0.0, rng=np.random.default_rng(0))
    means = {effect: contrast_pairs(design, effect, values, None).mean for effect in design.effects}
    assert means[(0,)] == pytest.approx(1.0 + 0.25)  # averaged over whether the other change is made
    assert means[(1,)] == pytest.approx(-2.0 + 0.25)
    assert means[(0, 1)] == pytest.approx(0.5)
    assert means[(2,)] == pytest.approx(0.0)


def test_a_main_effect_and_an_interaction_are_both_detected():
    design = make_design(2)
    values = planted(design, {0: 2.0}, {(0, 1): 3.0}, seeds=20, sd=0.5, rng=np.random.default_rng(1))
    kinds = {e.effect: e.verdict.kind for e in judge_effects(design, values, Terms(margin=0.5), 1e-6)}
    assert kinds[(0,)] == "better"
    assert kinds[(0, 1)] == "better"


def test_identical_cells_are_never_called_a_change_that_did_nothing():
    """Cells may agree to the last bit by chance of their metric; only whole curves could show that nothing arrived."""
    design = make_design(2)
    values = {cell: np.zeros(6) for cell in design.cells}
    assert {e.verdict.kind for e in judge_effects(design, values, Terms(margin=0.5), 1e-6)}.isdisjoint({"nothing"})


@pytest.mark.parametrize("k", range(2, 8))
def test_the_smallest_step_of_one_cell_is_the_smallest_step_of_every_effect(k):
    design, step = make_design(k), 0.125
    values = {cell: np.full(3, 0.5) for cell in design.cells}
    raised = {**values, design.cells[-1]: np.full(3, 0.5 + step)}
    for effect in design.effects:
        pairs = contrast_pairs(design, effect, raised, step)
        moved = pairs.mean - contrast_pairs(design, effect, values, step).mean
        assert pairs.step == pytest.approx(abs(moved))
    assert contrast_pairs(design, (0,), raised, None).resolution is None


def test_the_steps_of_the_effects_of_two_changes_are_those_by_hand():
    # a mean of two cells has half the step; an interaction, the difference of two differences, has the whole one
    design = make_design(2)
    values = {cell: np.zeros(2) for cell in design.cells}
    assert contrast_pairs(design, (0,), values, 0.5).step == 0.25
    assert contrast_pairs(design, (0, 1), values, 0.5).step == 0.5


@pytest.mark.parametrize(("seeds", "reason"), [(4, ""), (5, "budget"), (6, "budget")])
def test_an_effect_that_is_open_says_from_the_end_of_the_budget_on_that_it_was_too_small(seeds, reason):
    design = make_design(2)
    values = planted(design, {}, {}, seeds=seeds, sd=1.0, rng=np.random.default_rng(0))
    verdicts = [e.verdict for e in judge_effects(design, values, Terms(budget=5, margin=1e-6), 1e-9)]
    assert [(v.kind, v.reason, v.n) for v in verdicts] == [("unclear", reason, seeds)] * 3


def share_of(verdict):
    """Among how many claims the level was divided, from the width of the interval."""
    used = (verdict.high - verdict.low) / 2 / verdict.spread * verdict.n**0.5
    return [k for k in (1, 2, 3) if critical(verdict.n, verdict.budget, share=k) == pytest.approx(used)]


def test_an_effect_that_is_settled_leaves_its_part_of_the_level_to_the_others():
    design = make_design(2)
    values = planted(design, {0: 40.0, 1: 2.0}, {}, seeds=20, sd=1.0, rng=np.random.default_rng(3))
    first, second, open_one = (e.verdict for e in judge_effects(design, values, Terms(margin=1e-6), 1e-9))
    assert first.n < second.n < open_one.n == 20
    assert (first.kind, second.kind, open_one.kind) == ("better", "better", "unclear")
    assert (share_of(first), share_of(second)) == ([3], [2])


def test_an_effect_that_would_be_settled_alone_stays_open_among_others():
    design = make_design(2)
    for seed in range(200):
        values = planted(design, {0: 0.8}, {}, seeds=12, sd=1.0, rng=np.random.default_rng(seed))
        effect = judge_effects(design, values, Terms(budget=12, margin=1e-6), 1e-9)[0].verdict
        alone = judge(contrast_pairs(design, (0,), values, 1e-9), Terms(budget=12, margin=1e-6))
        if alone.kind == "better" and not effect.settled:
            assert (effect.kind, effect.reason, effect.raw) == ("unclear", "budget", alone.raw)
            return
    pytest.fail("no effect was settled alone only")


def test_what_is_known_of_single_runs_is_no_prior_for_contrasts():
    design = make_design(2)
    values = planted(design, {0: 2.0}, {}, seeds=6, sd=1.0, rng=np.random.default_rng(3))
    known = Terms(margin=0.5, noise=Noise(d0=10, variance=1e-4), effect_sd=1e-3)
    assert judge_effects(design, values, known, 1e-6) == judge_effects(design, values, Terms(margin=0.5), 1e-6)


@pytest.mark.slow
def test_without_effects_any_claim_at_all_has_5_percent_at_most():
    rng, design, wrong = np.random.default_rng(2), make_design(2), 0
    for _ in range(400):
        values = planted(design, {}, {}, seeds=12, sd=1.0, rng=rng)
        verdicts = judge_effects(design, values, Terms(budget=12, margin=1e-6), 1e-9)
        wrong += any(e.verdict.kind.startswith(("better", "worse")) for e in verdicts)
    assert wrong / 400 <= 0.05 + 3 * (0.05 * 0.95 / 400) ** 0.5
