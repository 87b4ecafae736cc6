"""The outlook: its futures by hand, and the borders from which it names a remedy."""

import math

import numpy as np
import pytest

from palate.verdict.boundary import critical
from palate.verdict.history import Noise
from palate.verdict.outlook import _crossings, _futures, _remedies, look_ahead, smallest_confirmable
from palate.verdict.pairs import make_pairs
from palate.verdict.rule import Terms, Verdict, judge
from palate.verdict.simulate import Paths

# by hand: d = 1, 3; mean 2; SS = 2; s_p^2 = (2 + 8) / 2 = 5; s~^2 = (2 * 5 + 2) / 2 = 6
PAIRS = make_pairs([1.0, 3.0], [2.0, 6.0], resolution=1e-9)


class Middle:
    """A source of draws without scatter, of twice the noise that was estimated, which notes its parameters."""

    def chisquare(self, df, size):
        self.df = df
        return np.full(size, df / 4)

    def normal(self, mean, sd):
        self.mean, self.sd = mean[0], sd[0]
        return mean

    def standard_normal(self, size):
        return np.zeros(size)


def test_futures_are_drawn_from_the_posterior_of_effect_and_noise():
    # by hand: prior variance of the effect 2^2 * 5 = 20, of the mean 4 * 6 / 2 = 12: weight 20 / 32
    middle = Middle()
    means, _ = _futures(PAIRS, math.sqrt(6), 2, middle, None)
    assert middle.df == 2  # n - 1 and one of the prior
    assert middle.mean == pytest.approx(2 * 20 / 32)
    assert middle.sd == pytest.approx(math.sqrt(12 * 20 / 32))
    assert means[0] == pytest.approx([(4 + 1.25) / 3, (4 + 2.5) / 4])


def test_the_noise_of_futures_has_the_priors_degrees_of_freedom_where_one_is_known():
    middle = Middle()
    _futures(PAIRS, 1.0, 1, middle, Noise(d0=6, variance=2.0))
    assert middle.df == 7


def test_without_a_prior_the_spread_of_futures_is_shrunk_towards_the_unpaired_variance_so_far():
    means, spreads = _futures(PAIRS, math.sqrt(6), 3, np.random.default_rng(3), None)
    drawn = np.diff(means[0] * [3, 4, 5], prepend=4.0)
    for more in (1, 2, 3):
        differences = [1.0, 3.0, *drawn[:more]]
        within = np.var(differences, ddof=1) * (len(differences) - 1)
        assert spreads[0, more - 1] ** 2 == pytest.approx((2 * 5 + within) / (2 + more))


def test_the_spread_of_futures_never_falls_below_the_metrics_resolution():
    coarse = make_pairs([1.0, 3.0], [2.0, 6.0], resolution=50.0)
    assert (_futures(coarse, 50.0, 2, Middle(), None)[1] == 50.0).all()


def test_a_future_gives_a_verdict_beyond_its_boundary_or_within_the_margin():
    # the first of two looks left, at 19 pairs of 20, with a spread that makes the boundaries the critical values
    apart, equal = critical(19, 20), critical(19, 20, level=0.10)
    spreads = np.full((5, 2), math.sqrt(19))
    means = np.array([[apart - 0.01], [apart + 0.01], [-apart - 0.01], [0.1], [-0.3]]) * np.ones((1, 2))
    crossed = _crossings(means, spreads, 18, 20, equal + 0.2, 0.0)
    assert crossed.shape == (5, 2)
    assert crossed[:, 0].tolist() == [False, True, True, True, False]
    none = np.zeros((1, 2))
    assert not _crossings(none, none, 18, 20, 0.0, 0.0).any()  # on a border, as in the rule, there is none


def open_verdict(**more):
    numbers = {"n": 2, "budget": 16, "margin": 2.3, "spread": 4.0, "correlation": 0.1}
    return Verdict(kind="unclear", **{**numbers, **more})


def test_a_larger_margin_is_named_where_the_margin_is_less_than_what_the_budget_confirms_half_the_time():
    level = make_pairs([1.0, 3.0], [1.0, 3.0], resolution=1e-9)
    assert smallest_confirmable(4.0, 16) == pytest.approx((2.3, 3.9))
    assert _remedies(level, open_verdict(margin=2.3)) == ()
    assert _remedies(level, open_verdict(margin=2.2999)) == ("a larger margin",)


def test_a_bigger_budget_is_named_from_half_the_margin_on_and_says_how_big():
    # 2 is measured: (2.3 * 4 / 2)^2 = 21.16; with a spread of 1 fewer than the budget's 16 would do, which did not
    assert _remedies(PAIRS, open_verdict(margin=4.0)) == ()
    assert _remedies(PAIRS, open_verdict(margin=3.99)) == ("a bigger budget (about 22 pairs)",)
    assert _remedies(PAIRS, open_verdict(margin=3.99, spread=1.0)) == ("a bigger budget (about 17 pairs)",)


def test_finer_steps_are_named_where_a_step_is_more_than_half_the_spread():
    for step, named in ((2.0, ()), (2.01, ("a metric with finer steps",))):
        pairs = make_pairs([1.0, 3.0], [1.0, 3.0], resolution=step)
        assert _remedies(pairs, open_verdict(margin=3.0)) == named


@pytest.mark.parametrize(("correlation", "named"), [(0.1, 0), (0.099, 1), (None, 1), (-0.5, 1)])
def test_a_split_drawn_by_the_seed_is_named_where_pairing_does_not_help(correlation, named):
    level = make_pairs([1.0, 3.0], [1.0, 3.0], resolution=1e-9)
    assert len(_remedies(level, open_verdict(margin=3.0, correlation=correlation))) == named


def test_there_is_no_outlook_at_the_end_of_the_budget_and_there_is_one_pair_before():
    rng = np.random.default_rng(0)
    for budget, named in ((2, False), (3, True)):
        ahead = look_ahead(PAIRS, judge(PAIRS, Terms(budget=budget, margin=0.1)), rng=rng)
        assert bool(ahead.remedies or ahead.chance) == named


def test_a_verdict_that_is_sure_at_the_next_look_is_expected_after_one_pair():
    base = np.linspace(0.0, 1.0, 8)
    pairs = make_pairs(base, base + 3.0 + 0.1 * (-1.0) ** np.arange(8), resolution=1e-9)
    ahead = look_ahead(pairs, judge(pairs, Terms(margin=0.5)), rng=np.random.default_rng(0))
    assert (ahead.chance, ahead.low, ahead.high, ahead.remedies) == (1.0, 1, 1, ())


@pytest.mark.parametrize("budget", [20, 30])
def test_a_budget_confirms_its_smallest_effects_with_about_the_chance_that_is_claimed(budget):
    chances = []
    for effect in smallest_confirmable(math.sqrt(2), budget):
        paths = Paths(0, Shifted(effect, np.random.default_rng(budget)), 4000)
        crossed = np.zeros(4000, dtype=bool)
        for n in range(1, budget + 1):
            crossed |= paths.look() > critical(n, budget)
        chances.append(crossed.mean())
    assert chances == pytest.approx([0.5, 0.95], abs=0.05)


class Shifted:
    """Two arms of unit noise, the second one better by an effect."""

    def __init__(self, effect, rng):
        self.effect, self.rng = effect, rng

    def standard_normal(self, size):
        arms = self.rng.standard_normal(size)
        arms[1] += self.effect
        return arms
