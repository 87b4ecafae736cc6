"""Factorial designs: their contrasts and aliases, and verdicts on simulated effects."""

import itertools

import numpy as np
import pytest

from palate.errors import InputError
from palate.verdict.design import make_design
from palate.verdict.rule import Terms
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


@pytest.mark.parametrize("k", [0, 1, 12])
def test_what_cannot_be_split_is_refused(k):
    with pytest.raises(InputError, match="cannot be split"):
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


@pytest.mark.slow
def test_without_effects_any_claim_at_all_has_5_percent_at_most():
    rng, design, wrong = np.random.default_rng(2), make_design(2), 0
    for _ in range(400):
        values = planted(design, {}, {}, seeds=12, sd=1.0, rng=rng)
        verdicts = judge_effects(design, values, Terms(budget=12, margin=1e-6), 1e-9)
        wrong += any(e.verdict.kind.startswith(("better", "worse")) for e in verdicts)
    assert wrong / 400 <= 0.05 + 3 * (0.05 * 0.95 / 400) ** 0.5
