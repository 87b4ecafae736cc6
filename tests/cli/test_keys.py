"""A forecast by keys: three of them, and what else may be added; nothing else does anything."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palate.cli.common import folded
from palate.cli.terminal.keys import ARROWS, Screen, Stopped, press, split_keys
from palate.forecast.answer import DIGITS, Forecast, Spread
from palate.vocabulary import Metric

LOSS = Metric(name="val_loss", goal="min")
ACC = Metric(name="val_acc", goal="max", points=True)
LEFT, DOWN, RIGHT = "\x1b[D", "\x1b[B", "\x1b[C"


def typed(*keys):
    screen = Screen(metric=LOSS)
    for key in keys:
        screen = press(screen, key)
    return screen


def test_three_keys_make_a_forecast():
    for arrow, answer in ((LEFT, "worse"), (DOWN, "same"), (RIGHT, "better"), ("x", "crash")):
        for digit, confidence in DIGITS.items():
            assert typed(arrow, digit, "\r").done == Forecast(answer=answer, confidence=confidence)


def test_a_slip_is_mended_before_enter():
    assert typed(LEFT, "8", RIGHT, "6", "\r").done == Forecast(answer="better", confidence=60)


def test_enter_wants_a_digit_and_a_digit_an_arrow():
    assert typed(RIGHT, "\r").done is None
    assert "how sure?" in typed(RIGHT, "\r").words
    assert typed("8").confidence is None
    assert "arrow first" in typed("\r").words
    assert press(Screen(metric=LOSS, again=True), "\r").kept
    assert not press(Screen(metric=LOSS, again=True), "s").skipped
    assert typed("s").skipped
    assert not typed(RIGHT, "s").skipped


def test_a_size_goes_round_and_goes_only_with_a_direction():
    assert typed(RIGHT, "8", "+", "+", "\r").done == Forecast(answer="better", confidence=80, size="1-2")
    assert typed(RIGHT, *"+" * 5, "8", "\r").done.size is None
    assert typed(RIGHT, "+", DOWN, "8", "\r").done == Forecast(answer="same", confidence=80)
    assert typed(DOWN, "+").size is None


def test_a_why_is_typed_and_its_letters_are_no_keys():
    said = typed(RIGHT, "8", "w", *"less x, qq", "\x7f", "\r", "\r").done
    assert said == Forecast(answer="better", confidence=80, why="less x, q")


def test_three_quantiles_take_the_place_of_an_answer_and_bad_ones_are_told():
    assert typed("w", *"why", "\r", "d", *"-0.01 0.02  0.05", "\r", "\r").done == Spread(
        low=-0.01, middle=0.02, high=0.05, why="why"
    )
    wrong = typed("d", *"3/2/1", "\r")
    assert wrong.done is None
    assert "do not rise" in wrong.words
    assert typed("d", "\r").typing == ""


def test_quantiles_are_read_in_the_unit_that_is_shown_and_read_back_before_they_are_sealed():
    screen = Screen(metric=ACC)
    for key in ("d", *"0 1 2"):
        screen = press(screen, key)
    assert "in points (hundredths)" in screen.words
    screen = press(screen, "\r")
    assert screen.done is None
    assert "val_acc changes by +1 points, between +0 and +2 (80 %)" in screen.words
    assert press(screen, "\r").done == Spread(low=0.0, middle=0.01, high=0.02)
    assert press(press(screen, "\x7f"), "\r").read == screen.read
    assert press(screen, "5").read is None
    assert press(screen, "\x1b").typing == ""
    assert "in its unit" in typed("d").words
    assert "changes by +1, between +0 and +2" in typed("d", *"0 1 2", "\r").words


def test_an_answer_is_no_three_quantiles():
    assert "is not three numbers" in typed("d", *"better:80", "\r").words


def test_out_is_out():
    for key in ("\x03", "\x04"):
        with pytest.raises(Stopped):
            typed(RIGHT, key)
    with pytest.raises(Stopped):
        typed("w", "q", "\x03")
    assert typed(RIGHT, "8", "w", "x", "\x1b").typing == ""


def test_keys_that_come_together_are_taken_apart():
    assert split_keys(RIGHT + "8\r") == [RIGHT, "8", "\r"]
    assert split_keys("") == []


@pytest.mark.parametrize("key", ["\x1b[1;5C", "\x1b[15~", "\x1b[20~", "\x1b[200~", "\x1bOP", "\x1b"])
def test_what_is_no_key_here_does_nothing(key):
    assert split_keys(f"{key}8" if key != "\x1b" else key)[0] == key
    assert typed(RIGHT, "8", *split_keys(key)) == typed(RIGHT, "8")


@given(
    st.lists(
        st.one_of(st.sampled_from([*ARROWS, *DIGITS, "+", "w", "d", "s", "\r", "\x7f"]), st.characters()), max_size=12
    )
)
def test_no_keys_do_harm(keys):
    try:
        screen = typed(*keys)
    except Stopped:
        return
    assert isinstance(screen.words, str)


@given(st.lists(st.text("abc-", min_size=1, max_size=20), min_size=1), st.integers(20, 120))
def test_folding_loses_no_word_and_fits(words, columns):
    text = "Question   " + " ".join(words)
    lines = folded(text, columns)
    assert lines.split() == text.split()
    assert all(len(line) <= max(columns, 33) for line in lines.splitlines())


def test_quantiles_that_cannot_come_true_are_not_sealed_and_far_ones_only_after_a_yes():
    def screen(text, seed_sd=None, metric=ACC):
        entered = Screen(metric=metric, seed_sd=seed_sd)
        for key in ("d", *text, "\r"):
            entered = press(entered, key)
        return entered

    impossible = screen("0 100 200")
    assert "no share can change by 2" in impossible.words
    assert press(impossible, "\r").done is press(impossible, "y").done is None
    far = screen("0 10 30", seed_sd=0.01)
    assert "30 times what another seed does" in far.words
    assert press(far, "\r").done is None
    assert press(far, "y").done == Spread(low=0.0, middle=0.1, high=0.3)
    assert press(press(far, "\x7f"), "\r").read == far.read  # typed again, it is asked back again
    tiny = screen("0 0.001 0.002", seed_sd=0.01)
    assert "within a hundredth" in tiny.words
    assert press(tiny, "\r").done is None
    near = screen("0 1 2", seed_sd=0.01)
    assert near.doubt is None
    assert press(near, "\r").done == Spread(low=0.0, middle=0.01, high=0.02)
    assert screen("0 100 200", metric=LOSS).doubt is None  # nothing is known of it


@given(st.floats(-3, 3), st.floats(0.001, 3), st.floats(0.001, 3), st.floats(0.001, 1))
def test_what_is_sealed_without_a_yes_is_within_reach_of_the_noise(low, more, most, seed_sd):
    screen = Screen(metric=LOSS, seed_sd=seed_sd)
    for key in ("d", *f"{low} {low + more} {low + more + most}", "\r", "\r"):
        screen = press(screen, key)
    assert (screen.done is None) == (screen.doubt is not None)
    if screen.done is not None:
        assert 0.01 * seed_sd <= max(abs(screen.done.low), abs(screen.done.high)) <= 20 * seed_sd
