"""Predicted ends of curves: the members on curves with a known end, and the mixture against its best member."""

import numpy as np
import pytest

from palate.errors import InputError
from palate.forecast.curves import PastCurve, believable
from palate.forecast.early import gaps_of
from palate.forecast.endings import MEMBERS, fit_endings, foretell, guesses_of, log_densities

STEPS = np.arange(1, 101, dtype=float)


def curve(values, family="a"):
    return PastCurve(steps=STEPS, values=np.asarray(values, float), total=100.0, family=family)


def world(rng, n=60):
    """Runs that follow different power laws, in families of five, with noise."""
    return [
        curve(1 + rng.uniform(0, 0.5) + 2 * STEPS ** -rng.uniform(0.3, 1.0) + rng.normal(0, 0.01, 100), str(k // 5))
        for k in range(n)
    ]


def test_the_mixture_is_hardly_worse_than_its_best_member_on_new_families():
    past, unseen = world(np.random.default_rng(0), 150), world(np.random.default_rng(1), 150)
    for share in (0.1, 0.25, 0.5, 0.9):
        fitted = fit_endings(past, share)
        logs = [log_densities(fitted, guesses_of(fitted.past, c.until(share)), c.values[-1]) for c in unseen]
        mean = {name: np.mean([row[name] for row in logs]) / np.log(2) for name in (*MEMBERS, "R0")}
        assert mean["R0"] >= max(mean[member] for member in MEMBERS) - 0.02


@pytest.mark.parametrize(("share", "times"), [(0.25, 0.3), pytest.param(0.7, 0.5, marks=pytest.mark.slow)])
def test_the_range_contains_80_percent_and_the_median_is_better_than_persistence(share, times):
    past, unseen = world(np.random.default_rng(2), 150), world(np.random.default_rng(3), 300)
    fitted = fit_endings(past, share)
    predictions = [(foretell(fitted, c.until(share)), c.values[-1]) for c in unseen]
    assert 0.72 <= np.mean([ending.low <= end <= ending.high for ending, end in predictions]) <= 0.88
    errors = [abs(ending.value - end) for ending, end in predictions]
    stay = [abs(ending.guesses["persistence"] - end) for ending, end in predictions]
    assert np.median(errors) < times * np.median(stay)


def test_a_family_is_not_used_to_predict_itself():
    same = [curve(np.linspace(2, 1, 100), "mine") for _ in range(5)]
    other = [curve(np.linspace(2, 2.5, 100), f"other {k}") for k in range(5)]
    past = fit_endings(same + other, 0.5).past
    part = same[0].until(0.5)
    assert guesses_of(past, part)["neighbours"] == pytest.approx(1.0, abs=0.02)
    left_out = guesses_of(past, part, without="mine")
    assert left_out["neighbours"] > part.values[-1]
    assert left_out["base rate"] == pytest.approx(2.5)


def test_without_other_families_a_run_is_predicted_by_its_last_value():
    alone = [curve(1 + STEPS**-0.5, "mine") for _ in range(4)]
    guesses = guesses_of(fit_endings(alone, 0.5).past, alone[0].until(0.5), without="mine")
    assert guesses["base rate"] == guesses["persistence"] == alone[0].until(0.5).values[-1]


def test_too_few_runs_give_no_prediction_and_an_invalid_curve_is_refused():
    assert fit_endings(world(np.random.default_rng(4), 2), 0.5) is None
    with pytest.raises(InputError):
        PastCurve(steps=np.array([1.0, 1.0]), values=np.array([1.0, 2.0]), total=2.0)


def settings_of_a_training(runs, rng):
    """Curves that rise to different ends, with noise at each point."""
    return [
        PastCurve(
            steps=STEPS,
            values=0.8 + gain * (1 - 0.95**STEPS) + rng.normal(0, 0.002, len(STEPS)),
            total=STEPS[-1],
            family=str(place),
        )
        for place, gain in enumerate(rng.uniform(0.01, 0.03, runs))
    ]


def share_inside(runs, worlds, holds):
    """Return how often `holds` is true of a new run and its end, predicted from `runs` past runs."""
    rng = np.random.default_rng(3)
    trainings = (settings_of_a_training(runs + 1, rng) for _ in range(worlds))
    return np.mean([holds(fit_endings(past, 0.5), past, new.until(0.5), new.values[-1]) for new, *past in trainings])


@pytest.mark.parametrize("runs", [4, pytest.param(10, marks=pytest.mark.slow)])
def test_the_range_is_calibrated_with_few_past_runs_too(runs):
    """It contains 80 % of 200 ends, each predicted from few other runs; without the correction it contained half."""

    def holds(endings, _, part, end):
        ending = foretell(endings, part)
        return ending.low <= end <= ending.high

    assert 0.70 <= share_inside(runs, 200, holds) <= 0.90


@pytest.mark.parametrize("runs", [3, pytest.param(6, marks=pytest.mark.slow)])
def test_the_error_of_a_predicted_effect_is_calibrated_with_few_past_runs_too(runs):
    """80 % of effects lie within 1.28 errors; with the uncorrected median absolute deviation, half of 150 did."""

    def holds(endings, past, part, end):
        gap = gaps_of(endings, part, past[:2], 1)["persistence"]
        effect = end - np.mean([curve.values[-1] for curve in past[:2]])
        return abs(gap.difference - effect) < 1.2816 * gap.error

    assert 0.6 <= share_inside(runs, 150, holds) <= 0.9


@pytest.mark.parametrize("runs", [6, 20])
@pytest.mark.parametrize("end", [100.0, 1e18, -1e18, 1e26, 1e300])
def test_one_absurd_run_moves_no_quantile_by_more_than_a_seed_sd(runs, end):
    """It ended at 1e18 among 20 good ones: "between .1458 and .1458"; at 1e26: "will end at -500,739"."""
    rng = np.random.default_rng(5)
    new, *past = settings_of_a_training(runs + 1, rng)
    absurd = curve(np.append(past[0].values[:-1], end), "absurd")
    seed_sd = np.std([one.values[-1] for one in past], ddof=1)
    part = new.until(0.5)
    before, after = (foretell(fit_endings(some, 0.5), part) for some in (past, [*past, absurd]))
    for name in ("low", "value", "high"):
        assert abs(getattr(after, name) - getattr(before, name)) <= seed_sd
    assert after.low < after.value < after.high


def test_a_run_that_trained_badly_is_believed_and_one_that_diverged_is_not():
    good = [curve(2.3 - 2.1 * (1 - 0.95**STEPS) + 0.01 * k, str(k)) for k in range(5)]
    chance, diverged = curve(np.full(100, 2.3), "chance"), curve(np.append(good[0].values[:-1], 1e6), "diverged")
    assert believable([*good, chance, diverged]) == [*good, chance]
    assert believable([diverged], among=good) == []
    assert believable([]) == []
    constant = [curve(np.full(100, 2.0)), curve(np.full(100, 2.0)), curve(np.full(100, 3.0))]
    assert believable(constant) == constant


def test_of_few_runs_one_that_ends_oddly_does_not_widen_the_range():
    rng = np.random.default_rng(6)
    new, *past = settings_of_a_training(9, rng)
    odd = curve(np.append(past[0].values[:50], np.linspace(past[0].values[50], 0.3, 50)), "odd")
    before, after = (foretell(fit_endings(some, 0.5), new.until(0.5)) for some in (past, [*past, odd]))
    assert after.high - after.low < 2 * (before.high - before.low)
