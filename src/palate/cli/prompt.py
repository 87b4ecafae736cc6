"""Ask for a forecast on a terminal: an arrow, a digit, Enter."""

import click

from palate.cli.common import at_terminal, say
from palate.errors import InputError
from palate.forecast.answer import DIGITS, Answer, Forecast, parse_forecast
from palate.loop.question import Question
from palate.verdict.words import size_words

KEYS: dict[str, Answer] = {
    "\x1b[D": "worse",
    "\x1b[B": "same",
    "\x1b[C": "better",
    "\x1bOD": "worse",
    "\x1bOB": "same",
    "\x1bOC": "better",
    "h": "worse",
    "j": "same",
    "l": "better",
    "x": "crash",
}
ENTER = ("\r", "\n")
SKIP = "s"
STOP = ("\x03", "\x04", "q")


def choose_forecast(said: str | None, *, no_forecast: bool, as_json: bool) -> "Choice":
    """Settle how a forecast is come by: from a flag, by asking, or not at all.

    Raises:
        ForecastTextError: the flag cannot be read.
        InputError: both flags are given, or nobody can be asked and no flag says what to do.
    """
    if said is not None and no_forecast:
        raise InputError("--forecast and --no-forecast contradict each other.", todo="Give one of them.")
    if said is not None:
        return Choice(forecast=parse_forecast(said))
    return Choice(forecast=None, ask=not no_forecast, can_ask=at_terminal() and not as_json)


class Choice:
    """How a forecast is come by; call it with the question to get one, None being a skip."""

    def __init__(self, *, forecast: Forecast | None, ask: bool = False, can_ask: bool = False) -> None:
        self.forecast = forecast
        self._ask = ask
        self._can_ask = can_ask

    def __call__(self, question: Question) -> Forecast | None:
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
        return ask_forecast(question)


def ask_forecast(question: Question) -> Forecast | None:
    """Ask at the terminal: two keys and Enter; None where it is skipped."""
    same = (
        f"within {size_words(question.margin, question.metric, question.margin)}"
        if question.margin
        else "within one seed sd"
    )
    keys = f"\u2190 worse   \u2193 same ({same})   \u2192 better   x crash   s skip"
    say(f"{question.metric.name}?   {keys}      then how sure, 5-9 (0 = 97 %), Enter")
    answer: Answer | None = None
    confidence: int | None = None
    while True:
        key = click.getchar()
        if key in STOP:
            raise KeyboardInterrupt
        if key == SKIP and answer is None:
            say("skipped: not scored, and counted as skipped")
            return None
        if key in KEYS:
            answer = KEYS[key]
        elif key in DIGITS and answer:
            confidence = DIGITS[key]
        elif key in ENTER and answer and confidence:
            say()
            return Forecast(answer=answer, confidence=confidence)
        _show(answer, confidence)


def _show(answer: Answer | None, confidence: int | None) -> None:
    told = answer or "an arrow first"
    sure = f", {confidence} %  (Enter seals)" if confidence else ", how sure? 5-9" if answer else ""
    click.echo(f"\r\x1b[K           {told}{sure}", err=True, nl=False)
