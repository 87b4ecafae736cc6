"""Ask for a forecast on a terminal: an arrow, a digit, Enter; light to import."""

from palate.cli.common import at_terminal, say
from palate.cli.terminal.keys import Screen, Stopped, press, split_keys
from palate.cli.terminal.screen import Line, keys
from palate.errors import InputError
from palate.forecast.answer import Said, parse_forecast, said_words
from palate.question.question import Question
from palate.verdict.words import size_words


def choose_forecast(said: str | None, *, no_forecast: bool, as_json: bool, why: str = "") -> "Choice":
    """Settle how a forecast is come by: from a flag, by asking, or not at all.

    Raises:
        ForecastTextError: the flag cannot be read.
        InputError: both flags are given, or nobody can be asked and no flag says what to do.
    """
    if said is not None and no_forecast:
        raise InputError("--forecast and --no-forecast contradict each other.", todo="Give one of them.")
    if said is not None:
        return Choice(said=parse_forecast(said, why))
    if why:
        raise InputError("--why goes with --forecast.", todo='--forecast better:80 --why "less overfitting"')
    return Choice(said=None, ask=not no_forecast, can_ask=at_terminal() and not as_json)


class Choice:
    """How a forecast is come by; call it with the question to get one, None being a skip."""

    def __init__(self, *, said: Said | None, ask: bool = False, can_ask: bool = False) -> None:
        self.said = said
        self._ask = ask
        self._can_ask = can_ask

    def __call__(self, question: Question) -> Said | None:
        """Ask; only called where no forecast is sealed and no outcome can be seen.

        Raises:
            InputError: there is nobody to ask.
        """
        if not self._ask:
            return None
        if not self._can_ask:
            raise InputError(
                "A forecast is missing, and there is no terminal to ask at.",
                why=question.text,
                todo=(
                    "Say what you think will happen:  --forecast better:80   (worse, same, better or crash; 34 to 97)",
                    "Or explore without one:          --no-forecast",
                ),
            )
        return ask_gut(question)


def ask_gut(question: Question) -> Said | None:
    """Ask for the gut answer: two keys and Enter; None where it is skipped. Nothing is shown that could anchor it."""
    say(f"{question.metric.name}?   {keys_line(question)}   x crash   s skip")
    say("           then how sure, 5-9 (0 = 97 %), Enter   + size  w why  d quantiles")
    return read_screen().done


def ask_revision(question: Question, gut: Said) -> Said | None:
    """Ask for the one revision; None where Enter alone keeps the gut answer."""
    told = said_words(gut, question.metric.scale, question.metric.unit)
    say(f"Keep it?   Enter keeps {told}, or revise it once:   {keys_line(question)}   x crash")
    return read_screen(again=True).done


def keys_line(question: Question) -> str:
    """Show what the arrows mean, and what "same" is."""
    return f"\u2190 worse   \u2193 same ({same_words(question)})   \u2192 better"


def same_words(question: Question) -> str:
    """Say what "same" is: within the margin."""
    margin = question.margin
    return f"within {size_words(margin, question.metric, margin)}" if margin else "within one seed sd"


def read_screen(*, again: bool = False) -> Screen:
    """Take keys until what is entered is finished.

    Args:
        again: whether something was said before, which Enter alone keeps.

    Raises:
        KeyboardInterrupt: the person wants out.
    """
    screen, line = Screen(again=again), Line()
    with keys() as read:
        while not (screen.done or screen.skipped or screen.kept):
            screen = _after(screen, split_keys(read()))
            line.show(f"           {screen.words}")
    say()
    return screen


def _after(screen: Screen, pressed: list[str]) -> Screen:
    """Press keys that came together; what follows the end of typed text is the rest of a paste, and no key."""
    for key in pressed:
        typing = screen.typing
        try:
            screen = press(screen, key)
        except Stopped as stopped:
            raise KeyboardInterrupt from stopped
        if screen.done or screen.skipped or screen.kept or (typing and not screen.typing):
            break
    return screen
