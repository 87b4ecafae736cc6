"""Ask for a forecast on a terminal: an arrow, a digit, Enter; light to import."""

from collections.abc import Callable
from dataclasses import replace

from palate.cli.common import say
from palate.cli.terminal.keys import Screen, Stopped, press, split_keys
from palate.cli.terminal.screen import ScreenLine, keys
from palate.forecast.answer import Said, said_words
from palate.question.question import Question
from palate.verdict.words import size_words

SeedSd = Callable[[], float | None]
"""Tells what another seed alone does, one standard deviation in the unit that is logged; None where nobody knows."""


def ask_first(
    question: Question, meanwhile: Callable[[], None] = lambda: None, seed_sd: SeedSd = lambda: None
) -> Said | None:
    """Ask for the first answer: two keys and Enter; None where it is skipped. Nothing is shown that could anchor it.

    `meanwhile` is called once the prompt is on the screen, and returns at once; `seed_sd` where quantiles were typed.
    """
    say(f"{question.metric.name}?   {keys_line(question)}   x crash   s skip")
    say("           then how sure, 5-9 (0 = 97 %), Enter   + size  w why  d quantiles")
    meanwhile()
    return read_screen(Screen(metric=question.shown), seed_sd).done


def ask_revision(question: Question, first: Said, seed_sd: SeedSd = lambda: None) -> Said | None:
    """Ask for the one revision; None where Enter alone keeps the first answer."""
    words = said_words(first, question.shown.scale, question.shown.unit)
    say(f"Keep it?   Enter keeps {words}, or revise it once:   {keys_line(question)}   x crash")
    return read_screen(Screen(metric=question.shown, again=True), seed_sd).done


def keys_line(question: Question) -> str:
    """Show what the arrows mean, and what "same" is."""
    return f"\u2190 worse   \u2193 same ({same_words(question)})   \u2192 better"


def same_words(question: Question) -> str:
    """Say what "same" is: within the margin."""
    margin = question.margin
    return f"within {size_words(margin, question.shown, margin)}" if margin else "within 1 seed sd, measured first"


def read_screen(screen: Screen, seed_sd: SeedSd = lambda: None) -> Screen:
    """Take keys until what is entered on a screen is finished.

    Args:
        screen: as it is at first.
        seed_sd: tells what another seed alone does, once that is to be known.

    Raises:
        KeyboardInterrupt: the person wants out.
    """
    line = ScreenLine()
    with keys() as read:
        while not (screen.done or screen.skipped or screen.kept):
            screen = _after(screen, split_keys(read()))
            if screen.read is not None and screen.seed_sd is None:
                screen = replace(screen, seed_sd=seed_sd())
            line.show(f"           {screen.words}")
    say()
    return screen


def _after(screen: Screen, pressed: list[str]) -> Screen:
    """Press keys that came together; what follows the end of typed text is the rest of a paste, and no key."""
    for key in pressed:
        typing, unread = screen.typing, screen.read is None
        try:
            screen = press(screen, key)
        except Stopped as stopped:
            raise KeyboardInterrupt from stopped
        if screen.done or screen.skipped or screen.kept or (typing and not screen.typing) or (unread and screen.read):
            break
    return screen
