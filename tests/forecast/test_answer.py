"""Forecasts are read strictly, from words and from JSON, and are written so that they read back."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palate.errors import ForecastTextError
from palate.forecast.answer import (
    ANSWERS,
    LONGEST_WHY,
    SIZES,
    Forecast,
    Spread,
    parse_forecast,
    said_body,
    said_of,
    said_words,
)

LINES = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), max_size=30).map(
    lambda text: " ".join(text.split())
)
PLAIN = st.builds(Forecast, answer=st.sampled_from(ANSWERS), confidence=st.integers(34, 97), why=LINES)
SIZED = st.builds(
    Forecast,
    answer=st.sampled_from(["worse", "better"]),
    confidence=st.integers(34, 97),
    size=st.sampled_from(SIZES),
)
NUMBERS = st.lists(st.floats(-1e6, 1e6, allow_nan=False), min_size=3, max_size=3, unique=True).map(sorted)
SPREADS = st.builds(lambda three, why: Spread(low=three[0], middle=three[1], high=three[2], why=why), NUMBERS, LINES)


@pytest.mark.parametrize("text", ["better:80", "better 80 %", "b:80", "BETTER:80%"])
def test_the_ways_of_typing_a_forecast(text):
    assert parse_forecast(text) == Forecast(answer="better", confidence=80)


def test_a_size_and_quantiles_and_json():
    assert parse_forecast("better:80:2-4") == Forecast(answer="better", confidence=80, size="2-4")
    assert parse_forecast("worse 60 >4", "too hot") == Forecast(answer="worse", confidence=60, size=">4", why="too hot")
    assert parse_forecast("-0.01/0.02/0.05") == Spread(low=-0.01, middle=0.02, high=0.05)
    assert parse_forecast('{"answer": "same", "confidence": 70, "why": "w"}') == Forecast(
        answer="same", confidence=70, why="w"
    )
    assert parse_forecast('{"quantiles": [1, 2, 3]}', "w") == Spread(low=1, middle=2, high=3, why="w")


@pytest.mark.parametrize(
    "text",
    [
        "better:120", "better:33", "better:-5", "better", "better:", "80", "", "maybe:80", ":80", "better:80:huge",
        "same:80:1-2", "crash:60:>4", "better:80:1-2:3", "1/2", "1/1/2", "3/2/1", "1/nan/2", "1/two/3", "1/2/inf",
        '{"answer": "better"}', '{"answer": "better", "confidence": "80"}', '{"answer": "better", "confidence": true}',
        '{"answer": "up", "confidence": 80}', '{"quantiles": [1, 2]}', '{"quantiles": [1, 2, true]}', "{broken",
        '{"answer": "better", "confidence": 80, "why": 5}', "-1e300/0/1e300",
        '{"quantiles": [1, 2, 3], "answer": "better"}', '{"answer": "better", "confidence": 80, "sure": 1}',
    ],
)  # fmt: skip
def test_a_forecast_that_says_nothing_is_refused_with_an_example(text):
    with pytest.raises(ForecastTextError) as caught:
        parse_forecast(text)
    assert "--forecast better:80" in str(caught.value)


def test_a_why_is_a_few_words():
    assert parse_forecast("better:80", " two\n  lines\t").why == "two lines"
    for why in ("a\x1f", "\ud800"):
        with pytest.raises(ForecastTextError, match="line of text"):
            Forecast(answer="better", confidence=80, why=why)
    with pytest.raises(ForecastTextError, match="no confidence"):
        Forecast(answer="better", confidence=70.5)
    with pytest.raises(ForecastTextError, match="characters"):
        parse_forecast("better:80", "x" * (LONGEST_WHY + 1))


@given(st.one_of(PLAIN, SIZED, SPREADS))
def test_what_is_sealed_reads_back(said):
    assert said_of(json.loads(json.dumps(said_body(said)))) == said


@given(st.one_of(PLAIN, SIZED))
def test_what_is_shown_can_be_typed(said):
    assert parse_forecast(str(said), said.why) == said


def test_quantiles_are_said_in_the_metrics_unit():
    assert said_words(Spread(low=-0.01, middle=0.02, high=0.05), 100, " points") == (
        "+2 points, between -1 and +5 (80 %)"
    )


def test_python_says_it_in_order_as_people_do():
    assert Forecast("better", 80) == parse_forecast("better:80")
    assert Spread(-0.01, 0.02, 0.05) == parse_forecast("-0.01/0.02/0.05")
