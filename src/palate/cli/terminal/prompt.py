"""Ask for a forecast on a terminal: an arrow, a digit, Enter; light to import."""

from palate.cli.common import say
from palate.cli.terminal.keys import Screen, Stopped, press, split_keys
from palate.cli.terminal.screen import ScreenLine, keys
from palate.forecast.answer import Said, said_words
from palate.question.question import Question
from palate.verdict.words import size_words


def ask_first(question: Question) -> Said | None:
    """Ask for the first answer: two keys and Enter; None where it is skipped. Nothing is shown that could anchor it."""
    say(f"{question.metric.name}?   {keys_line(question)}   x crash   s skip")
    say("           then how sure, 5-9 (0 = 97 %), Enter   + size  w why  d quantiles")
    return read_screen(Screen(metric=question.shown)).done


def ask_revision(question: Question, first: Said) -> Said | None:
    """Ask for the one revision; None where Enter alone keeps the first answer."""
    words = said_words(first, question.shown.scale, question.shown.unit)
    say(f"Keep it?   Enter keeps {words}, or revise it once:   {keys_line(question)}   x crash")
    return read_screen(Screen(metric=question.shown, again=True)).done


def keys_line(question: Question) -> str:
    """Show what the arrows mean, and what "same" is."""
    return f"\u2190 worse   \u2193 same ({same_words(question)})   \u2192 better"


def same_words(question: Question) -> str:
    """Say what "same" is: within the margin."""
    margin = question.margin
    return f"within {size_words(margin, question.shown, margin)}" if margin else "within 1 seed sd, measured first"


def read_screen(screen: Screen) -> Screen:
    """Take keys until what is entered on a screen is finished.

    Raises:
        KeyboardInterrupt: the person wants out.
    """
    line = ScreenLine()
    with keys() as read:
        while not (screen.done or screen.skipped or screen.kept):
            screen = _after(screen, split_keys(read()))
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
