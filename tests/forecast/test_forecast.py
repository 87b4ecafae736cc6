"""Forecasts are read strictly, scored properly, and bounded."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm

from palate.errors import ForecastTextError, InputError
from palate.forecast.answer import ANSWERS, Forecast, parse_forecast
from palate.forecast.score import (
    SHAPE,
    Chances,
    Observed,
    base_rate,
    chances_of,
    class_densities,
    score,
)

FORECASTS = st.builds(Forecast, answer=st.sampled_from(ANSWERS), confidence=st.integers(34, 97))


@pytest.mark.parametrize("text", ["better:80", "better 80 %", "b:80", "BETTER:80%"])
def test_the_ways_of_typing_a_forecast(text):
    assert parse_forecast(text) == Forecast(answer="better", confidence=80)


@pytest.mark.parametrize(
    "text", ["better:120", "better:33", "better:-5", "better", "better:", "80", "", "maybe:80", ":80"]
)
def test_a_forecast_that_says_nothing_is_refused_with_an_example(text):
    with pytest.raises(ForecastTextError) as caught:
        parse_forecast(text)
    assert "--forecast better:80" in str(caught.value)


@given(FORECASTS)
def test_chances_sum_to_one_and_keep_what_was_said(forecast):
    chances = chances_of(forecast, base_rate({}))
    assert getattr(chances, forecast.answer) == pytest.approx(forecast.confidence / 100)


def test_chances_that_are_none_are_refused():
    with pytest.raises(InputError):
        Chances(worse=0.5, same=0.5, better=0.5, crash=0.0)


def test_the_base_rate_learns_from_the_projects_verdicts():
    assert base_rate({"better": 100}).better > 0.9
    assert base_rate({}).better == pytest.approx(0.31)


def seen(difference, error, settled=None):
    return Observed(difference=difference, standard_error=error, margin=1.0, seed_sd=1.0, settled=settled)


@pytest.mark.parametrize(("difference", "error"), [(0.3, 0.5), (-2.0, 0.8), (5.0, 1.0)])
def test_class_densities_are_the_integrals_they_stand_for(difference, error):
    def prior(effect):
        return sum(weight * norm.pdf(effect, 0, 2 * width) for weight, width in SHAPE)

    edges = [-80, -1, 1, 80]
    wanted = []
    for low, high in pairwise(edges):
        points = [x for x in (difference,) if low < x < high] or None
        joint = quad(lambda e: prior(e) * norm.pdf(difference, e, error), low, high, points=points, limit=300)[0]
        wanted.append(joint / quad(prior, low, high, limit=300)[0])
    got = np.array(class_densities(seen(difference, error)))
    assert got / got.sum() == pytest.approx(np.array(wanted) / sum(wanted), rel=1e-4, abs=1e-8)


def test_without_noise_the_score_is_the_log_of_the_chances():
    reference = base_rate({})
    mine = chances_of(Forecast(answer="better", confidence=80), reference)
    got = score(mine, reference, seen(3.0, 1e-6, "better"))
    assert got.bits == pytest.approx(math.log2(0.8 / reference.better))
    assert got.brier == pytest.approx((0.2**2) + sum(c**2 for c in (mine.worse, mine.same, mine.crash)))


def test_a_crash_is_scored_as_its_own_outcome():
    reference = base_rate({})
    mine = chances_of(Forecast(answer="crash", confidence=70), reference)
    failed = Observed(difference=None, standard_error=0, margin=1, seed_sd=1, settled="crash")
    assert score(mine, reference, failed).bits == pytest.approx(math.log2(0.7 / reference.crash))


@given(FORECASTS, st.floats(-30, 30), st.floats(0.05, 5))
def test_scores_are_bounded_whatever_is_observed(forecast, difference, error):
    reference = base_rate({})
    bits = score(chances_of(forecast, reference), reference, seen(difference, error)).bits
    assert math.log2(0.03 / 0.93) - 0.1 <= bits <= math.log2(0.97 / 0.07) + 0.1


@pytest.mark.parametrize("seeds", [1, 3, 5])
def test_the_score_is_proper_no_other_entry_of_the_menu_expects_more(seeds):
    """Draw effects from each menu entry's own density: its own expected score is the highest."""
    reference = base_rate({})
    error = math.sqrt(2 / seeds)
    grid = np.linspace(-60, 60, 4001)
    outcomes = np.array([[*class_densities(seen(x, error)), 0.0] for x in grid])  # density of x given the class
    outcomes *= (grid[1] - grid[0]) / math.sqrt(2 * math.pi)
    outcomes = np.vstack([outcomes, [0, 0, 0, 1]])  # and the crash, which shows nothing else
    menu = np.array(
        [
            [getattr(chances_of(Forecast(answer=answer, confidence=sure), reference), name) for name in ANSWERS]
            for answer in ANSWERS
            for sure in (40, 50, 60, 70, 80, 90, 97)
        ]
    )
    logs = np.log(menu @ outcomes.T)
    assert (menu @ outcomes.T).sum(axis=1) == pytest.approx(1, abs=2e-3)
    for own, chances in enumerate(menu):
        expected = logs @ (chances @ outcomes.T)
        assert expected[own] >= expected.max() - 1e-9
