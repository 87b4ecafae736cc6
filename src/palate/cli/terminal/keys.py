"""A forecast by keys: what each press does to what is on the screen; pure.

An arrow, a digit, Enter. `+` adds a size, `w` a few words of why, `d` takes three quantiles in the place of an answer.
"""

import re
from dataclasses import dataclass, replace
from typing import Literal

from palate.errors import ForecastTextError
from palate.forecast.answer import (
    DIGITS,
    SIZES,
    Answer,
    Doubt,
    Forecast,
    Said,
    Size,
    Spread,
    doubt_about,
    parse_forecast,
    said_words,
)
from palate.vocabulary import Metric

ARROWS: dict[str, Answer] = {
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
BACK = ("\x7f", "\x08")
SIZE, WHY, SPREAD, SKIP, YES = "+", "w", "d", "s", "y"
STOP = ("\x03", "\x04")
ESCAPE = "\x1b"
Typing = Literal["", "why", "quantiles"]


class Stopped(Exception):
    """The person wants out: Ctrl-C or Ctrl-D."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Screen:
    """What is entered so far.

    Attributes:
        answer, confidence, size, why: as entered.
        typing: what letters are typed into now; "" where keys are keys.
        text: what is typed.
        fault: why the last thing was not taken.
        done: the forecast, once Enter seals it.
        skipped: whether `s` was pressed.
        kept: whether Enter was pressed with nothing entered: keeps what was said before.
        again: whether something was said before, which can be kept, and not be skipped.
        metric: what quantiles are of, as it is shown: they are read in its unit.
        read: the quantiles that were read from the text, to be sealed by another Enter.
        seed_sd: what another seed alone does, where it is known: what is far from it is asked back.
    """

    metric: Metric
    answer: Answer | None = None
    confidence: int | None = None
    size: Size | None = None
    why: str = ""
    typing: Typing = ""
    text: str = ""
    fault: str = ""
    done: Said | None = None
    skipped: bool = False
    kept: bool = False
    again: bool = False
    read: Spread | None = None
    seed_sd: float | None = None

    @property
    def doubt(self) -> Doubt | None:
        """Why the quantiles that were read may not be what was meant; None where they are plausible."""
        if self.read is None:
            return None
        return doubt_about(self.read, share=self.metric.points, seed_sd=self.seed_sd)

    @property
    def words(self) -> str:
        """The line that shows it."""
        if self.skipped:
            return "skipped: not scored, and counted as skipped"
        if self.kept:
            return "kept"
        if self.typing == "why":
            return f"why? {self.text}"
        if self.typing == "quantiles":
            return self._quantiles()
        size = f" by {self.size} seed sd" if self.size else ""
        answer = f"{self.answer}{size}" if self.answer else "an arrow first"
        sure = f", {self.confidence} %  (Enter seals)" if self.confidence else ", how sure? 5-9" if self.answer else ""
        why = f'  "{self.why}"' if self.why else ""
        return f"{answer}{sure}{why}{self._fault()}"

    def _quantiles(self) -> str:
        if self.read is not None:
            understood = said_words(self.read, self.metric.scale, self.metric.unit)
            how, doubt = "Enter seals, Backspace changes it", self.doubt
            if doubt is not None:
                how = "Backspace changes it" if doubt.impossible else "y seals it all the same, Backspace changes it"
            why = "" if doubt is None else f": {doubt.words}"
            return f"{self.metric.name} changes by {understood}{why}   ({how})"
        example = "in points (hundredths), as -1/2/5" if self.metric.points else "in its unit, as -0.01/0.02/0.05"
        return f"10/50/90 % of the change of {self.metric.name} {example}: {self.text}{self._fault()}"

    def _fault(self) -> str:
        return f"   {self.fault}" if self.fault else ""


def press(screen: Screen, key: str) -> Screen:
    """Return the screen after a key.

    Raises:
        Stopped: the person wants out.
    """
    if key in STOP:
        raise Stopped
    screen = replace(screen, fault="")
    return _typed(screen, key) if screen.typing else _pressed(screen, key)


def split_keys(chunk: str) -> list[str]:
    r"""Split what a terminal handed over at once into keys: quick fingers and pasted text come together.

    A key without a meaning here (function keys, arrows with Ctrl, the marks around pasted text) is one key too.

    >>> split_keys("\x1b[C8\x1b[1;5C\x1b[20~")
    ['\x1b[C', '8', '\x1b[1;5C', '\x1b[20~']
    """
    return _KEY.findall(chunk)


_ANSWER = r"\x1b[_P\]][^\x1b\x07]*(?:\x1b\\|\x07)"  # what a terminal says of itself, as of its pictures
_KEY = re.compile(rf"{_ANSWER}|\x1b\[[0-?]*[ -/]*[@-~]|\x1bO.|\x1b|[^\x1b]", re.DOTALL)


def _pressed(screen: Screen, key: str) -> Screen:
    if key in ARROWS:
        answer = ARROWS[key]
        return replace(screen, answer=answer, size=screen.size if answer in ("worse", "better") else None)
    if key in DIGITS and screen.answer:
        return replace(screen, confidence=DIGITS[key])
    if key == SIZE and screen.answer in ("worse", "better"):
        return replace(screen, size=_next_size(screen.size))
    if key == WHY:
        return replace(screen, typing="why", text=screen.why)
    if key == SPREAD:
        return replace(screen, typing="quantiles", text="")
    if key == SKIP and screen.answer is None and not screen.again:
        return replace(screen, skipped=True)
    return _entered(screen) if key in ENTER else screen


def _entered(screen: Screen) -> Screen:
    if screen.answer is None:
        return replace(screen, kept=True) if screen.again else replace(screen, fault="an arrow first, or s to skip")
    if screen.confidence is None:
        return replace(screen, fault="a digit first: how sure?")
    said = Forecast(answer=screen.answer, confidence=screen.confidence, size=screen.size, why=screen.why)
    return replace(screen, done=said)


def _typed(screen: Screen, key: str) -> Screen:
    if key == ESCAPE:
        return replace(screen, typing="", text="", read=None)
    if key in BACK:
        return replace(screen, text=screen.text if screen.read else screen.text[:-1], read=None)
    if key == YES and screen.doubt is not None and not screen.doubt.impossible:
        return replace(screen, done=screen.read)
    if key in ENTER:
        return _typed_to_its_end(screen)
    return replace(screen, text=screen.text + key, read=None) if key.isprintable() else screen


def _typed_to_its_end(screen: Screen) -> Screen:
    if screen.typing == "why":
        return replace(screen, typing="", why=screen.text.strip(), text="")
    if not screen.text.strip():
        return replace(screen, typing="")
    if screen.read is not None:
        return screen if screen.doubt is not None else replace(screen, done=screen.read)
    try:
        return replace(screen, read=_quantiles_of(screen))
    except ForecastTextError as error:
        return replace(screen, fault=error.what)


def _quantiles_of(screen: Screen) -> Spread:
    """Read three quantiles as they are typed, in the unit that is shown.

    Raises:
        ForecastTextError: they are not three numbers that rise.
    """
    typed = parse_forecast("/".join(re.split(r"[\s/]+", screen.text.strip())), screen.why)
    if not isinstance(typed, Spread):
        raise ForecastTextError(f"{screen.text.strip()!r} is not three numbers")
    low, middle, high = (value / screen.metric.scale for value in (typed.low, typed.middle, typed.high))
    return Spread(low=low, middle=middle, high=high, why=typed.why)


def _next_size(size: Size | None) -> Size | None:
    """Go through the sizes and back to none."""
    order: tuple[Size | None, ...] = (None, *SIZES)
    return order[(order.index(size) + 1) % len(order)]
