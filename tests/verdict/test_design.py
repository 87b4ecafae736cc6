"""Designs against the published ones: their resolution, their aliases, and the rows of the screening design."""

import itertools

import numpy as np
import pytest

from palate.verdict.design import make_design

FRACTIONS = {
    4: "AB=CD AC=BD AD=BC",
    6: "AB=CE AC=BE AD=EF AE=BC=DF AF=DE BD=CF BF=CD",
    7: "AB=CE=FG AC=BE=DG AD=CG=EF AE=BC=DF AF=BG=DE AG=BF=CD BD=CF=EG",
}
"""Aliases of the fractions of Box, Hunter & Hunter (2005, ch. 6; NIST/SEMATECH e-Handbook 5.3.3.4.7), by hand from
their defining words: I = ABCD; I = ABCE = BCDF = ADEF; I = ABCE = BCDF = ACDG = ADEF = BDEG = ABFG = CEFG."""

SCREEN = "++-+++---+-"
"""First row of 12 runs (Plackett & Burman 1946)."""


def factors(word):
    return tuple("ABCDEFG".index(letter) for letter in word)


def words(design):
    """All products of columns that are constant: the defining relation."""
    k = design.levels.shape[1]
    some = itertools.chain.from_iterable(itertools.combinations(range(k), size) for size in range(1, k + 1))
    return [word for word in some if len(set(design.signs(word))) == 1]


@pytest.mark.parametrize("k", FRACTIONS)
def test_a_fraction_has_the_aliases_that_are_published(k):
    design = make_design(k)
    made = {frozenset([e, *rest]) for e, rest in zip(design.effects, design.aliases, strict=True) if len(e) == 2}
    assert made == {frozenset(factors(word) for word in group.split("=")) for group in FRACTIONS[k].split()}


@pytest.mark.parametrize(
    ("k", "defining"),
    [(2, []), (3, []), (4, ["ABCD"]), (5, ["ABCDE"]), (6, ["ABCE", "ADEF", "BCDF"]),
     (7, ["ABCE", "ABFG", "ACDG", "ADEF", "BCDF", "BDEG", "CEFG"])],
)  # fmt: skip
def test_a_design_has_the_resolution_that_it_claims(k, defining):
    assert words(make_design(k)) == [factors(word) for word in defining]


def test_a_design_of_five_changes_tells_all_their_interactions_of_two_apart():
    design = make_design(5)
    assert design.effects == (*((i,) for i in range(5)), *itertools.combinations(range(5), 2))
    assert set(design.aliases) == {()}


@pytest.mark.parametrize("k", [8, 11])
def test_a_screen_is_the_published_row_turned_under_a_row_of_the_baseline(k):
    design = make_design(k)
    rows = ["".join("+" if level > 0 else "-" for level in row) for row in design.levels]
    turned = [(SCREEN[-shift:] + SCREEN[:-shift])[:k] for shift in range(1, 11)]
    assert rows == ["-" * k, SCREEN[:k], *turned]
    assert design.effects == tuple((i,) for i in range(k))


def test_an_interaction_of_two_reaches_every_other_main_effect_of_a_screen_by_a_third():
    """Of the design in 12 runs (Hamada & Wu 1992): partial aliases of 1/3 of either sign."""
    levels = make_design(11).levels
    for i, j in itertools.combinations(range(11), 2):
        reached = levels.T @ (levels[:, i] * levels[:, j])
        assert {abs(int(reached[other])) for other in range(11) if other not in (i, j)} == {4}
        assert not reached[i] and not reached[j]


@pytest.mark.parametrize("k", range(2, 8))
def test_the_cells_of_a_design_are_named_by_the_factors_that_are_changed(k):
    design = make_design(k)
    for cell, row in zip(design.cells, design.levels, strict=True):
        assert np.array_equal(row, [1 if i in cell else -1 for i in range(k)])
