"""Forecasts are parsed strictly, from words and from JSON, and what is written can be parsed again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.forecast.forecasts import PLAIN, SIZED

from palate.errors import ForecastTextError
from palate.forecast.answer import (
    LONGEST_WHY,
    Forecast,
    Spread,
    parse_forecast,
    said_words,
)


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
def test_what_is_not_a_forecast_is_refused_with_an_example(text):
    with pytest.raises(ForecastTextError) as caught:
        parse_forecast(text)
    assert "--forecast better:80" in str(caught.value)


def test_a_why_is_a_few_words():
    assert parse_forecast("better:80", " two\n  lines\t").why == "two lines"
    for why in ("a\x1f", "\ud800"):
        with pytest.raises(ForecastTextError, match="line of text"):
            Forecast(answer="better", confidence=80, why=why)
    with pytest.raises(ForecastTextError, match="not a confidence"):
        Forecast(answer="better", confidence=70.5)
    with pytest.raises(ForecastTextError, match="characters"):
        parse_forecast("better:80", "x" * (LONGEST_WHY + 1))


@given(st.one_of(PLAIN, SIZED))
def test_what_is_shown_can_be_typed(said):
    assert parse_forecast(str(said), said.why) == said


def test_quantiles_are_shown_in_the_metrics_unit():
    assert said_words(Spread(low=-0.01, middle=0.02, high=0.05), 100, " points") == (
        "+2 points, between -1 and +5 (80 %)"
    )


def test_positional_arguments_have_the_order_of_the_text():
    assert Forecast("better", 80) == parse_forecast("better:80")
    assert Spread(-0.01, 0.02, 0.05) == parse_forecast("-0.01/0.02/0.05")
