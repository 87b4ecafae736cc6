"""Forecasts of when: parsed strictly, possible answers only, ranked scores equal to those of scoringrules."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palate.errors import ForecastTextError, InputError
from palate.forecast.when import (
    NEVER,
    TENTHS,
    Event,
    When,
    parse_when,
    possible,
    ranked_score,
    score_when,
    strip_of,
    strip_rate,
    tenth_of,
)

BEST = Event(metric="val_loss", goal="min")
REACH = Event(metric="val_acc", goal="max", reach=0.9)
ALL = (True,) * (TENTHS + 1)


def test_how_a_when_forecast_is_typed():
    assert parse_when("4:70") == When(tenth=3, confidence=70)
    assert parse_when("10 97 %") == When(tenth=9, confidence=97)
    assert parse_when("0:50") == When(tenth=9, confidence=50)  # as the key 0 is
    assert parse_when("never:80").tenth == NEVER
    assert parse_when(str(When(tenth=3, confidence=70))) == When(tenth=3, confidence=70)
    for text in ("", "-1:70", "12:70", "4", "4:5", "4:99", "soon:80"):
        with pytest.raises(ForecastTextError):
            parse_when(text)


def test_the_place_and_the_tenth_of_an_event():
    assert BEST.place(np.array([3.0, 1.0, np.nan, 1.0, 2.0])) == 1
    assert BEST.place(np.array([np.nan])) is None
    assert REACH.place(np.array([0.5, 0.91, 0.95])) == 1
    assert REACH.place(np.array([0.5, 0.6])) is None
    assert [tenth_of(step, 100) for step in (0, 9, 10, 99, 100, 250)] == [0, 0, 1, 9, 9, 9]


def test_a_past_tenth_is_not_possible_unless_it_has_the_best_value_so_far():
    open_ = possible(BEST, seen=0.55, best=2)
    assert [tenth for tenth in range(TENTHS) if open_[tenth]] == [2, 5, 6, 7, 8, 9]
    assert not open_[NEVER]
    assert possible(REACH, seen=0.35, best=None) == (*[False] * 3, *[True] * 8)
    with pytest.raises(ForecastTextError, match="past"):
        strip_of(When(tenth=3, confidence=60), strip_rate([], open_))
    with pytest.raises(InputError):
        strip_rate([], (False,) * 11)


def test_the_reference_learns_where_it_happened_before():
    chances = strip_rate([7] * 20, ALL)
    assert chances.sum() == pytest.approx(1)
    assert int(np.argmax(chances)) == 7
    assert chances[6] > chances[2]


@given(st.integers(0, NEVER), st.integers(15, 97), st.lists(st.integers(0, NEVER), max_size=20), st.integers(0, NEVER))
def test_scores_are_bounded_and_chances_are_kept(tenth, confidence, past, happened):
    when, reference = When(tenth=tenth, confidence=confidence), strip_rate(past, ALL)
    strip = strip_of(when, reference)
    assert strip.sum() == pytest.approx(1)
    assert strip[tenth] == pytest.approx(confidence / 100)
    scored = score_when(when, reference, happened)
    assert scored.bits == pytest.approx(math.log2(strip[happened] / reference[happened]))
    assert scored.least - 1e-9 <= scored.bits <= scored.most + 1e-9


def test_the_only_possible_answer_has_probability_1():
    only = possible(BEST, seen=1.0, best=9)
    assert strip_of(When(tenth=9, confidence=60), strip_rate([], only))[9] == 1.0


def test_a_near_miss_scores_better_than_a_far_one_and_ranked_scores_equal_scoringrules():
    import scoringrules

    reference = strip_rate([], ALL)
    near, far = (score_when(When(tenth=4, confidence=70), reference, happened) for happened in (5, 9))
    assert near.bits > far.bits
    chances = strip_of(When(tenth=4, confidence=70), reference)
    for happened in (0, 5, NEVER):
        wanted = float(scoringrules.rps_score(happened + 1, chances))
        assert ranked_score(chances, happened) == pytest.approx(wanted)
