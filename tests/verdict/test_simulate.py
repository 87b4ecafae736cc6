"""How boundaries are made: paths and their statistic by hand, what crosses them, and the tables that are shipped."""

import json
import math
from importlib import resources

import numpy as np
import pytest

from palate.verdict.boundary import BANK, BUDGETS, PRIORS, RUNS, critical
from palate.verdict.history import RunNoise
from palate.verdict.pairs import make_pairs
from palate.verdict.rule import classify, estimate_spread
from palate.verdict.simulate import PATHS, SEED, Paths, _Spender, boundaries


class Drawn:
    """A source of draws that gives these normal numbers in turn, and one variance."""

    def __init__(self, *normals, chisquare=1.0):
        self.normals, self.variance, self.df = list(normals), chisquare, None

    def standard_normal(self, size):
        return np.array(self.normals.pop(0), dtype=float).reshape(size)

    def chisquare(self, df, size):
        self.df = df
        return np.full(size, self.variance)


def test_a_cold_path_has_the_statistic_of_the_rule_at_every_look():
    # by hand: a = 1, 3; b = 2, 6; d = 1, 3; s~^2 = (2 * 5 + 2) / 2 = 6; mean 2: 2 * sqrt(2) / sqrt(6)
    path = Paths(0, Drawn([1, 2], [3, 6], [2, 1]), 1)
    assert path.look() == [0.0]
    assert path.look() == pytest.approx([2 * math.sqrt(2) / math.sqrt(6)])
    pairs = make_pairs([1.0, 3.0, 2.0], [2.0, 6.0, 1.0], resolution=1e-9)
    assert path.look() == pytest.approx([abs(pairs.mean) * math.sqrt(3) / estimate_spread(pairs)])


def test_a_path_with_a_prior_has_its_own_noise_and_smyths_spread():
    # by hand: d0 = 4, chi^2 = 1/4: sigma = 4; d = 4, 12; first 4 / sqrt(4 / 4); then SS = 32: s~^2 = (4 + 32) / 5
    drawn = Drawn([1], [3], chisquare=0.25)
    path = Paths(4, drawn, 1)
    assert drawn.df == 4
    assert path.look() == pytest.approx([4.0])
    assert path.look() == pytest.approx([8 * math.sqrt(2) / math.sqrt(36 / 5)])


def test_a_path_with_known_noise_has_the_z_value():
    path = Paths(math.inf, Drawn([1], [2]), 1)
    assert path.look() == pytest.approx([1.0])
    assert path.look() == pytest.approx([3 / math.sqrt(2)])


def test_a_path_with_a_known_noise_of_one_run_has_the_statistic_of_the_rule():
    # chi^2 = 1: sigma = 2; a = 2, 6; b = 4, -4; d = 2, -10; SS = 72; seen 8 + 32 = 40 > 2: s~^2 = (40 + 72) / 2 = 56
    path = Paths(RUNS, Drawn([1, 2], [3, -2], chisquare=1.0), 1)
    assert path.look() == [0.0]
    assert path.look() == pytest.approx([4 * math.sqrt(2) / math.sqrt(56)])
    pairs = make_pairs([2.0, 6.0], [4.0, -4.0], resolution=1e-9)
    assert estimate_spread(pairs, RunNoise(run_variance=1.0)) == pytest.approx(math.sqrt(56))
    quiet = make_pairs([0.2, 0.6], [0.4, -0.4], resolution=1e-9)  # seen .4 < 2: (2 + .72) / 2
    assert estimate_spread(quiet, RunNoise(run_variance=1.0)) == pytest.approx(math.sqrt(1.36))


def test_a_level_that_is_spent_late_gives_the_first_looks_the_cube_of_their_share():
    spender, statistic = _Spender(0.5, 1, 4, 1, 640, 3.0), np.arange(640.0)
    gone = []
    for n in range(1, 5):
        spender.take(n, statistic, 0.0)
        gone.append(640 - int(spender.alive.sum()))
    assert all(abs(made - due) <= 1 for made, due in zip(gone, (5, 40, 135, 320), strict=True))


def test_paths_cross_as_often_as_is_due_and_one_on_the_boundary_does_not_cross():
    # of 40 paths, level 1/2 over 4 looks: 5 are due by each look, 20 in all; the quantile itself stays
    rng, spender = np.random.default_rng(5), _Spender(0.5, 1, 4, 1, 40)
    before = spender.alive.copy()
    for n in range(1, 5):
        statistic = rng.permutation(40).astype(float)
        spender.take(n, statistic, 0.0)
        gone = before & ~spender.alive
        assert spender.crossed == 40 - spender.alive.sum()
        assert 5 * n - 1 <= spender.crossed <= 5 * n
        assert (gone == (before & (statistic > spender.bounds[-1]))).all()
        assert spender.bounds[-1] in statistic[spender.alive]
        before = spender.alive.copy()
    assert classify(1.0, 1.0, 1.0, 0.5) == "unclear"  # nor does the rule call a mean on its boundary


def test_a_level_is_divided_and_a_look_before_the_first_spends_nothing():
    # of 40 paths, half the level of 1/2 over 4 looks: nothing before look 2, then 5, 7 or 8 and 10 (2.5 a look)
    spender, statistic = _Spender(0.5, 2, 4, 2, 40), np.arange(40.0)
    gone = []
    for n in range(1, 5):
        spender.take(n, statistic, 0.0)
        gone.append(40 - int(spender.alive.sum()))
    assert spender.bounds[0] == 0.0 and gone[0] == 0
    assert all(abs(made - due) <= 1 for made, due in zip(gone[1:], (5, 7.5, 10), strict=True))


def test_a_look_at_which_one_path_is_due_has_a_boundary_and_one_at_which_none_is_has_not():
    # 1 path is due at the first look of two, and no other than that one until the fourth
    spender = _Spender(0.25, 1, 4, 1, 8)
    spender.take(1, np.arange(8.0), 0.0)
    assert spender.bounds == [0.0]  # half a path is due, rounded to even
    spender.take(2, np.arange(8.0), 0.0)
    assert spender.bounds == [0.0, 7.0]


def test_a_boundary_is_never_lower_than_the_least_one():
    spender = _Spender(0.5, 1, 1, 1, 40)
    spender.take(1, np.arange(40.0), 38.5)
    assert spender.bounds == [38.5]
    assert 40 - spender.alive.sum() == 1


@pytest.mark.parametrize(
    ("budget", "prior", "quantile"),
    [(5, 2, 9.925), (50, 2, 31.599), (50, 4, 8.610), (50, 6, 5.959), (5, 4, 5.0), (5, 10, 5.0), (50, 10, 5.0)],
)
def test_the_first_boundary_with_a_prior_is_the_t_quantile_of_its_share_or_5(budget, prior, quantile):
    """Tables of Student's t, two-sided, at .05 / budget: .01 for 5 pairs and .001 for 50."""
    assert critical(1, budget, prior=prior) == pytest.approx(quantile, rel=0.05)
    assert critical(1, budget, prior=prior) >= 5


def test_the_shipped_tables_are_those_that_would_be_made():
    shipped = json.loads((resources.files("palate.verdict") / "boundaries.json").read_text())
    assert (shipped["seed"], shipped["paths"]) == (SEED, PATHS)
    assert list(shipped["tables"]) == [str(prior) for prior in (*PRIORS, RUNS, BANK)]
    for prior in (*PRIORS, RUNS, BANK):
        made = boundaries(prior, BUDGETS, paths=400, rng=np.random.default_rng(0))
        table = shipped["tables"][str(prior)]
        assert {key: len(bounds) for key, bounds in made.items()} == {key: len(table[key]) for key in table}
        assert {"0.05/1/20", "0.1/1/20"} <= set(made)
        assert ("0.05/2/30" in made) == (prior == 0)
        assert "0.05/2/50" not in made
        told = {key: bounds for key, bounds in table.items() if key.startswith("0.05/")}
        assert all((bounds[0] == 0.0) == (prior in (0, RUNS, BANK)) for bounds in told.values())
        assert all((bounds[1] == 0.0) == (prior in (RUNS, BANK)) for bounds in told.values())


def test_the_first_look_is_at_one_pair_with_a_prior_and_at_two_without():
    for prior, first in ((0, 0.0), (10, 5.0)):  # 4 of 400 paths are due at the first look: 3.2 with 10 df, less than 5
        made = boundaries(prior, (5,), paths=400, rng=np.random.default_rng(0))["0.05/1/5"]
        assert made[0] == first
        assert all(0 < bound < 10 for bound in made[1:])
