"""What to do with a change: laws of the odds, and simulated worlds in which they have to come true."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palate.verdict.adopt import (
    DEFAULT_HARM,
    DEFAULT_HELP,
    SCALES,
    Level,
    Measured,
    PastEffect,
    Prior,
    add_up,
    calibration,
    fit_prior,
    measure,
    meet,
    odds_words,
    pool_noise,
    weigh,
)
from palate.verdict.pairs import make_pairs

means = st.floats(-5, 5)
errors = st.floats(0.05, 3)


def told(mean, error=1.0, df=20.0, unit=1.0, prior=None):
    return weigh(Measured(mean=mean * unit, variance=2 * (error * unit) ** 2, df=df, n=2, unit=unit), prior)


def test_the_default_prior_is_a_distribution():
    assert sum(DEFAULT_HELP) + sum(DEFAULT_HARM) == pytest.approx(1)
    assert len(DEFAULT_HELP) == len(DEFAULT_HARM) == len(SCALES)


@given(means, errors, st.floats(1e-4, 1e4))
def test_the_unit_of_the_metric_changes_nothing_but_the_unit(mean, error, unit):
    one, other = told(mean, error), told(mean, error, unit=unit)
    assert other.helps == pytest.approx(one.helps, abs=1e-9)
    assert other.gain / unit == pytest.approx(one.gain, abs=1e-6)
    assert other.advice == one.advice


@given(means, errors)
def test_a_symmetric_prior_makes_odds_of_the_opposite_the_opposite(mean, error):
    even = Prior(help=(0.1,) * 5, harm=(0.1,) * 5)
    one, other = told(mean, error, prior=even), told(-mean, error, prior=even)
    assert one.helps + other.helps == pytest.approx(1, abs=1e-6)
    assert one.gain == pytest.approx(-other.gain, abs=1e-6)
    assert (one.low, one.high) == (pytest.approx(-other.high, abs=0.02), pytest.approx(-other.low, abs=0.02))


@given(means, means, errors)
def test_a_larger_difference_never_makes_a_change_less_likely_to_help(a, b, error):
    low, high = sorted((a, b))
    assert told(low, error, df=1e6).helps <= told(high, error, df=1e6).helps + 1e-6


@given(means, errors)
def test_the_numbers_hold_together(mean, error):
    odds = told(mean, error)
    assert 0 <= odds.helps <= 1
    assert odds.loss >= 0
    assert odds.worth >= 0
    assert odds.low <= odds.high
    assert abs(odds.gain) <= max(abs(mean), 0.2) + 1e-6  # shrunk, but for what the prior leans to
    if odds.advice == "keep":
        assert odds.gain > 0


def test_an_effect_far_outside_the_prior_is_believed_once_the_runs_are_sure():
    assert told(800.0, 1.0, df=4.0).gain == pytest.approx(800, rel=0.02)
    assert told(-800.0, 1.0, df=4.0).helps < 0.05


def test_much_data_overrules_any_prior():
    gloomy = Prior(help=(0.01,) * 5, harm=(0.19,) * 5)
    odds = weigh(Measured(mean=1.0, variance=1.0, df=400, n=400, unit=1.0), gloomy)
    assert odds.helps > 0.999
    assert odds.gain == pytest.approx(1.0, abs=0.01)
    assert odds.advice == "keep"


def test_the_posterior_is_that_of_numerical_integration():
    """A prior of one half-normal each side, held against Simpson's rule on a fine grid."""
    from scipy import integrate, stats

    prior, mean, error, df = Prior(help=(0, 0, 0, 0.6, 0), harm=(0, 0, 0.4, 0, 0)), 0.7, 0.8, 9.0
    x = np.linspace(-20, 20, 400_001)
    before = np.where(x > 0, 0.6 * 2 * stats.norm.pdf(x, 0, 1.0), 0.4 * 2 * stats.norm.pdf(x, 0, 0.4))
    after = before * stats.t.pdf((mean - x) / error, df)
    total = integrate.simpson(after, x=x)
    odds = told(mean, error, df, prior=prior)
    assert odds.helps == pytest.approx(integrate.simpson(after * (x > 0), x=x) / total, abs=2e-3)
    assert odds.gain == pytest.approx(integrate.simpson(after * x, x=x) / total, abs=5e-3)


def worlds(rng, n):
    """Draw effects of the default prior."""
    weights = np.array([*DEFAULT_HELP, *DEFAULT_HARM])
    which = rng.choice(10, size=n, p=weights / weights.sum())
    sizes = np.where(which % 5 == 4, np.abs(rng.standard_cauchy(n)), np.abs(rng.standard_normal(n)))
    return np.where(which < 5, 1, -1) * np.array([*SCALES, *SCALES])[which] * sizes


def test_in_a_world_like_the_prior_odds_of_80_percent_hold_in_80():
    rng = np.random.default_rng(1)
    grid = np.linspace(-12, 12, 241)
    chances = [told(mean, 1.0, df=11.0).helps for mean in grid]
    effects = worlds(rng, 200_000)
    said = np.interp(effects + rng.standard_t(11, len(effects)), grid, chances)
    near = (said > 0.75) & (said < 0.85)
    assert near.sum() > 500
    assert (effects[near] > 0).mean() == pytest.approx(0.80, abs=0.05)
    for low in np.arange(0.1, 0.9, 0.1):
        band = (said >= low) & (said < low + 0.1)
        if band.sum() > 500:
            assert (effects[band] > 0).mean() == pytest.approx(said[band].mean(), abs=0.04)


def test_the_prior_learns_of_a_project_whose_changes_mostly_harm_and_a_family_that_helps():
    rng = np.random.default_rng(2)
    harm = [PastEffect(mean=rng.normal(-1, 0.4), error=0.3, df=9, family="model") for _ in range(40)]
    good = [PastEffect(mean=rng.normal(1, 0.4), error=0.3, df=9, family="optimiser") for _ in range(15)]
    model, optimiser, other = (fit_prior(harm + good, name) for name in ("model", "optimiser", "data"))
    assert sum(model.help) < sum(other.help) < sum(optimiser.help)
    assert (model.source, optimiser.source, other.source) == ("family", "family", "project")
    assert (optimiser.past, optimiser.alike, other.alike) == (55, 15, 0)
    for prior in (model, optimiser, other):
        assert sum(prior.help) + sum(prior.harm) == pytest.approx(1)


def test_few_past_changes_move_the_prior_little_and_none_leave_the_default():
    assert fit_prior([]) == Prior()
    one = fit_prior([PastEffect(mean=3.0, error=0.3, df=9)])
    assert one.source == "default"
    assert sum(one.help) == pytest.approx(sum(DEFAULT_HELP), abs=0.1)


def test_noise_is_pooled_from_the_first_past_comparison_on():
    assert pool_noise([], []) is None
    assert pool_noise([0.0], [3]) is None
    assert pool_noise([2.0], [1]).d0 == 1
    rng = np.random.default_rng(3)
    many = pool_noise([float(rng.chisquare(5) / 5 * 4) for _ in range(40)], [5] * 40)
    assert many.variance == pytest.approx(4, rel=0.25)
    assert many.d0 == 10


def test_one_pair_is_measured_with_the_projects_noise_and_not_without():
    pair = make_pairs([0.5], [0.7], resolution=1e-6)
    assert measure(pair) is None
    measured = measure(pair, pool_noise([0.01, 0.012], [5, 5]))
    assert measured.variance == pytest.approx(0.011, rel=0.3)
    assert measured.n == 1
    assert weigh(measured).helps > 0.5


def test_pairs_that_are_far_noisier_than_the_past_count_alone():
    wild = make_pairs([0.0, 1.0, -1.0], [1.0, -1.0, 1.5], resolution=1e-6)
    noise = pool_noise([1e-4, 1e-4], [9, 9])
    assert measure(wild, noise).variance == measure(wild).variance


def test_an_adopted_arm_is_believed_at_less_than_its_lucky_runs_and_dropped_ones_tell_of_it():
    base = Level(mean=0.0, variance=0.25)
    met = meet(base, 1.5, 2, noise=1.0, df=20, unit=1.0, prior=Prior())
    assert 0 < met.treatment.mean < 1.5
    after = met.treatment
    for _ in range(10):  # ten changes that do nothing, at the arm's true level of 0
        after = meet(after, 0.0, 2, noise=1.0, df=20, unit=1.0, prior=Prior()).baseline
    assert abs(after.mean) < met.treatment.mean
    assert after.variance < met.treatment.variance


@pytest.mark.slow
def test_agents_that_adopt_by_odds_gain_more_than_greedy_ones_and_claim_what_is_true():
    from benchmarks import adopt

    greedy = [adopt.greedy(np.random.default_rng([1, i])) for i in range(12)]
    odds = [adopt.by_odds(np.random.default_rng([1, i])) for i in range(12)]
    gain, claimed = (float(np.mean([getattr(one, name) for one in odds])) for name in ("gain", "claimed"))
    assert gain >= 1.4 * np.mean([one.gain for one in greedy])
    assert claimed == pytest.approx(gain, rel=0.06)


def test_gains_are_added_up_with_their_errors_and_measured_ones_are_kept_apart():
    odds = [told(2.0, 0.5), told(1.0, 0.5)]
    total = add_up(odds, [2.0, 1.0])
    assert total.gain == pytest.approx(odds[0].gain + odds[1].gain)
    assert total.raw == 3.0 > total.gain
    assert total.high - total.gain == pytest.approx(1.2816 * math.hypot(odds[0].sd, odds[1].sd))


def test_calibration_counts_by_bands_and_leaves_out_empty_ones():
    bands = calibration([(0.8, True)] * 4 + [(0.8, False), (0.2, False)])
    assert [(band.count, band.better, round(band.told, 2)) for band in bands] == [(1, 0, 0.2), (5, 4, 0.8)]
    assert calibration([]) == []


@given(st.floats(0, 1))
def test_odds_are_said_of_the_right_side(chance):
    words = odds_words(chance)
    if chance > 0.6:
        assert words.startswith(tuple("23456789")) or "over" in words or words[0].isdigit()
        assert not words.startswith("1 to")
    if chance < 0.4:
        assert words.startswith(("1 to", "2 to 3", "under"))
