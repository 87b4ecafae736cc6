"""The law of the mixture: it never loses more to a point than that point's prior allows, whatever happens."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palate.forecast.chances import OUTCOMES, Chances, mixed, normalised
from palate.forecast.mixing import Point, bits_over_guess, probability_of, weigh
from palate.forecast.reference import BOLD, SAFE, blind_points, sure_of

ONE = Chances(worse=0.8, same=0.1, better=0.05, crash=0.05)
OTHER = Chances(worse=0.1, same=0.8, better=0.05, crash=0.05)
MEMBERS = ("guess", "base rate", "settings", "like changes")
SHARES = st.lists(st.floats(0.001, 1), min_size=4, max_size=4).map(
    lambda weights: normalised(dict(zip(OUTCOMES, weights, strict=True)))
)
QUESTIONS = st.lists(
    st.tuples(st.fixed_dictionaries(dict.fromkeys(MEMBERS, SHARES)), st.sampled_from(OUTCOMES)), max_size=12
)


def played(points, questions):
    """Give the total bits of the mixture and of each point, each question forecast from those before it."""
    record, total, alone = [], 0.0, [0.0] * len(points)
    for chances, outcome in questions:
        weights = weigh(points, record)
        total += math.log2(mixed((weights[name], chances[name]) for name in weights).of(outcome))
        for place, point in enumerate(points):
            alone[place] += math.log2(mixed((w, chances[name]) for name, w in point.mixture.items()).of(outcome))
        record.append((chances, sure_of(outcome)))
    return total, alone


@given(QUESTIONS)
def test_r0_never_loses_more_to_a_point_than_its_prior_allows(questions):
    points = blind_points()
    total, alone = played(points, questions)
    for point, bits in zip(points, alone, strict=True):
        assert total >= bits - math.log2(1 / point.prior) - 1e-9


def test_the_bounds_that_are_told():
    assert sum(SAFE.values()) + sum(prior for *_, prior in BOLD) == pytest.approx(1)
    assert math.log2(1 / SAFE["base rate"]) < 1.3
    assert math.log2(1 / SAFE["guess"]) < 2.4


@given(QUESTIONS, st.permutations(range(12)))
def test_the_order_of_the_past_does_not_matter(questions, order):
    record = [(chances, sure_of(outcome)) for chances, outcome in questions]
    shuffled = [record[place] for place in order if place < len(record)]
    assert weigh(blind_points(), shuffled) == pytest.approx(weigh(blind_points(), record), abs=1e-9)


def test_weights_are_those_of_bayes_rule():
    points = [Point(0.5, {"base rate": 1.0}), Point(0.5, {"settings": 1.0})]
    record = [({"base rate": ONE, "settings": OTHER}, sure_of(outcome)) for outcome in ["worse"] * 3 + ["same"] * 2]
    assert weigh(points, record) == pytest.approx({"base rate": 8 / 9, "settings": 1 / 9})


def test_a_member_that_did_not_predict_sleeps():
    points = [Point(0.5, {"base rate": 1.0}), Point(0.25, {"settings": 1.0}), Point(0.25, {"like changes": 1.0})]
    weights = weigh(points, [({"base rate": ONE, "settings": OTHER}, sure_of("worse"))])
    assert weights["like changes"] == pytest.approx(0.25)
    assert weights["base rate"] / weights["settings"] == pytest.approx(2 * 8)
    assert weigh(points, [({"features": ONE}, sure_of("worse"))])["settings"] == 0.25


def test_open_outcomes_count_by_their_likelihood():
    assert probability_of(ONE, (0.5, 1.0, 0.0, 0.0)) == pytest.approx(0.5)
    points = [Point(0.5, {"base rate": 1.0}), Point(0.5, {"settings": 1.0})]
    told = weigh(points, [({"base rate": ONE, "settings": OTHER}, (0.5, 1.0, 0.0, 0.0))])
    assert told["settings"] == pytest.approx(0.85 / (0.85 + 0.5))


def test_extreme_records_keep_finite_weights():
    sure = Chances(worse=1.0, same=0.0, better=0.0, crash=0.0)
    record = [(dict.fromkeys(MEMBERS, OTHER) | {"settings": sure}, sure_of("same"))] * 2000
    weights = weigh(blind_points(), record)
    assert np.isfinite(list(weights.values())).all()
    assert sum(weights.values()) == pytest.approx(1)
    assert weights["settings"] < 1e-6


def test_a_guess_is_no_bits_over_a_guess_and_a_crash_says_nothing_of_it():
    guess = normalised({"worse": 1, "same": 1, "better": 1, "crash": 0.2})
    assert bits_over_guess(guess, (0.3, 1.0, 0.2, 0.0)) == pytest.approx(0)
    assert bits_over_guess(ONE, sure_of("crash")) == pytest.approx(0)
    assert bits_over_guess(ONE, sure_of("worse")) == pytest.approx(math.log2(0.8 / (0.95 / 3)))
