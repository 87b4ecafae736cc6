"""Forecasts of every form, made at random: what property tests draw from."""

from hypothesis import strategies as st

from palate.forecast.answer import ANSWERS, SIZES, Forecast, Spread

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
