"""What a person says will happen: an answer and how sure in two keys, with a size, or three quantiles; light to import.

Whatever is said is one of two things: a `Forecast` (an answer, a confidence, perhaps a size) or a `Spread` (three
quantiles of the difference). Both are read from the same text, and both from JSON.
"""

import math
import unicodedata
from dataclasses import dataclass
from typing import Literal, get_args

from palate.bounded import parse_json
from palate.errors import ForecastTextError, InputError

Answer = Literal["worse", "same", "better", "crash"]
ANSWERS: tuple[Answer, ...] = get_args(Answer)
Size = Literal["<1", "1-2", "2-4", ">4"]
SIZES: tuple[Size, ...] = get_args(Size)
"""How large an effect is, in seed standard deviations."""

LEAST, MOST = 34, 97
"""Below 34 % another answer would be the likelier one; above 97 % one miss costs more than can be won back."""

DIGITS = {"5": 50, "6": 60, "7": 70, "8": 80, "9": 90, "0": 97}
LONGEST_WHY = 2000
LARGEST = 1e100
"""A metric that is larger has diverged."""

_WHOLE = f"A confidence is a whole number of percent, {LEAST} to {MOST}, as in better:80."


@dataclass(frozen=True, slots=True)
class Forecast:
    """An answer and its probability in percent: `Forecast("better", 80)`.

    Attributes:
        answer: worse, same, better or crash.
        confidence: 34 to 97.
        size: how large a better or worse will be, in seed standard deviations; None where it is not said.
        why: a few words, kept and never scored.
    """

    answer: Answer
    confidence: int
    size: Size | None = None
    why: str = ""

    def __post_init__(self) -> None:
        if self.answer not in ANSWERS:
            raise _refuse(f"{self.answer!r} is not an answer.", f"It is one of {', '.join(ANSWERS)}.")
        if type(self.confidence) is not int:
            raise _refuse(f"{self.confidence!r} is not a confidence.", _WHOLE)
        if not LEAST <= self.confidence <= MOST:
            raise _refuse(f"{self.confidence} % cannot be a confidence here.", _why_not(self.confidence))
        if self.size is not None and self.size not in SIZES:
            raise _refuse(f"{self.size!r} is not a size.", f"It is one of {', '.join(SIZES)} (in seed sds).")
        if self.size is not None and self.answer not in ("worse", "better"):
            raise _refuse(f"{self.answer} has no size.", "A size goes with better or worse.")
        _check_why(self.why)

    def __str__(self) -> str:
        return f"{self.answer}:{self.confidence}" + (f":{self.size}" if self.size else "")

    @property
    def words(self) -> str:
        """The forecast as a person says it."""
        size = f" by {self.size} seed sd" if self.size else ""
        return f"{self.answer}{size}, {self.confidence} %"


@dataclass(frozen=True, slots=True)
class Spread:
    """Three quantiles of the difference, treatment - baseline, in the metric's unit: `Spread(-0.01, 0.02, 0.05)`.

    Attributes:
        low, middle, high: the 10 %, 50 % and 90 % quantiles; the difference is below `low` one time in ten.
        why: a few words, kept and never scored.
    """

    low: float
    middle: float
    high: float
    why: str = ""

    def __post_init__(self) -> None:
        quantiles = (self.low, self.middle, self.high)
        if not all(math.isfinite(value) and abs(value) <= LARGEST for value in quantiles):
            raise _refuse(
                f"{quantiles} are not three numbers.", f"Quantiles are finite, and no larger than {LARGEST:g}."
            )
        if not self.low < self.middle < self.high:
            raise _refuse(f"{quantiles} do not rise.", "They are the 10 %, 50 % and 90 % quantiles of the difference.")
        _check_why(self.why)

    def __str__(self) -> str:
        return f"{self.low:g}/{self.middle:g}/{self.high:g}"

    @property
    def words(self) -> str:
        """The forecast as a person says it, in the metric's own unit."""
        return self.words_in(1.0, "")

    def words_in(self, scale: float, unit: str) -> str:
        """Say it as the metric's values are shown: times a scale, with a unit."""
        low, middle, high = (f"{value * scale:+g}" for value in (self.low, self.middle, self.high))
        return f"{middle}{unit}, between {low} and {high} (80 %)"


Said = Forecast | Spread

MOST_SDS, LEAST_SDS = 20.0, 0.01
"""Quantiles farther out than so many seed standard deviations, or all nearer to nought, are asked back."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """Why quantiles may not be what was meant: in words, and whether they cannot come true at all."""

    words: str
    impossible: bool = False


def doubt_about(said: Said | None, *, share: bool, seed_sd: float | None) -> Doubt | None:
    """Return why a forecast may be a slip; None where it is plausible. Only quantiles are looked at.

    Args:
        said: the forecast, its quantiles in the unit that is logged.
        share: whether the metric is a share of 1, so that no two values differ by more than 1.
        seed_sd: what another seed alone does, one standard deviation; None where it is not known.

    >>> doubt_about(Spread(0.0, 1.0, 2.0), share=True, seed_sd=None).words
    'no share can change by 2: from 0 to 1 is all there is'
    >>> doubt_about(Spread(0.0, 1.0, 2.0), share=False, seed_sd=0.01).words
    'that is up to 200 times what another seed does (0.01)'
    """
    if not isinstance(said, Spread):
        return None
    farthest = max(abs(said.low), abs(said.high))
    if share and farthest > 1:
        return Doubt(f"no share can change by {farthest:g}: from 0 to 1 is all there is", impossible=True)
    if not seed_sd:
        return None
    if farthest > MOST_SDS * seed_sd:
        return Doubt(f"that is up to {farthest / seed_sd:.0f} times what another seed does ({seed_sd:g})")
    if farthest < LEAST_SDS * seed_sd:
        return Doubt(f"that is all within a hundredth of what another seed does ({seed_sd:g})")
    return None


def refuse_impossible(said: Said | None, *, share: bool) -> None:
    """Refuse quantiles of a share that no two shares can differ by: they were meant in points.

    Raises:
        ForecastTextError: they are.
    """
    doubt = doubt_about(said, share=share, seed_sd=None)
    if isinstance(said, Spread) and doubt is not None:
        points = "/".join(f"{value / 100:g}" for value in (said.low, said.middle, said.high))
        raise ForecastTextError(
            f"The quantiles {said} are not sealed: {doubt.words}.",
            why="On a command line they are in the unit that is logged.",
            todo=f"For {said} points: --forecast={points}",
        )


LONGEST_TEXT = 10_000
"""The most characters of a forecast as it is typed."""


def is_line(text: str) -> bool:
    """Whether a text stands in one line of a listing and can be written down: no control characters, no line breaks."""
    return not any(unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") for letter in text)


def said_words(said: Said, scale: float = 1.0, unit: str = "") -> str:
    """Say a forecast as a person does; quantiles as the metric's values are shown, times a scale, with a unit."""
    return said.words_in(scale, unit) if isinstance(said, Spread) else said.words


def said_typed(said: Said) -> str:
    """Write a forecast as an argument that can be typed: what starts with a dash needs two before it."""
    text = str(said)
    return f"-- {text}" if text.startswith("-") else text


def parse_forecast(text: str, why: str = "") -> Said:
    """Read `better:80` (also `better 80 %`), `better:80:2-4` with a size, `-0.01/0.02/0.05` as quantiles, or JSON.

    JSON is `{"answer": "better", "confidence": 80, "size": "2-4", "why": "..."}` or `{"quantiles": [a, b, c]}`.

    Args:
        text: what was typed.
        why: a few words to keep beside it.

    Raises:
        ForecastTextError: anything else.

    >>> parse_forecast("better:80")
    Forecast(answer='better', confidence=80, size=None, why='')
    >>> print(parse_forecast('{"quantiles": [-0.01, 0.02, 0.05]}'))
    -0.01/0.02/0.05
    """
    why = " ".join(why.split())
    if len(text) > LONGEST_TEXT:
        raise _refuse(f"The forecast has {len(text)} characters.", f"At most {LONGEST_TEXT} are read.")
    if text.strip().startswith("{"):
        return _from_json(text, why)
    if text.count("/") == 2:
        return _spread([_number(part, text) for part in text.split("/")], why)
    return _from_words(text, why)


def _from_words(text: str, why: str) -> Forecast:
    plain = text.strip().lower().replace("%", " ").replace(":", " ").split()
    answer, confidence, size = (*plain, "", "", "")[:3]
    matches = [known for known in ANSWERS if answer and known.startswith(answer)]
    if not matches or len(plain) > 3:
        raise _refuse(f"{text!r} is not a forecast.", f"The answer is one of {', '.join(ANSWERS)}.")
    try:
        percent = int(confidence)
    except ValueError as error:
        raise _refuse(f"{text!r} does not say how sure you are.", _WHOLE) from error
    return Forecast(answer=matches[0], confidence=percent, size=size or None, why=why)  # type: ignore[arg-type]


def _from_json(text: str, why: str) -> Said:
    try:
        typed = parse_json(text, "The forecast")
    except InputError as error:
        raise _refuse(error.what, "It starts like JSON.") from error
    known = {"answer", "confidence", "size", "quantiles", "why"}
    if strange := sorted(set(typed) - known):
        raise _refuse(f"{', '.join(strange)}: a forecast has no such field.", f"It has {', '.join(sorted(known))}.")
    if not isinstance(typed.get("why") or "", str):
        raise _refuse(f"{typed['why']!r} is not text.", "The why is a few words.")
    reason = " ".join((typed.get("why") or why).split())
    if "quantiles" in typed:
        values = typed["quantiles"]
        if not isinstance(values, list) or len(values) != 3 or "answer" in typed:
            raise _refuse("quantiles are three numbers, and stand alone.", "The 10 %, 50 % and 90 % quantiles.")
        return _spread([_number(value, text) for value in values], reason)
    lacking = [field for field in ("answer", "confidence") if field not in typed]
    if lacking:
        raise _refuse(f"{text!r} lacks {' and '.join(lacking)}.", 'As in {"answer": "better", "confidence": 80}.')
    return Forecast(answer=typed["answer"], confidence=typed["confidence"], size=typed.get("size"), why=reason)


def _spread(values: list[float], why: str) -> Spread:
    low, middle, high = values
    return Spread(low=low, middle=middle, high=high, why=why)


def _number(value: object, text: str) -> float:
    try:
        if isinstance(value, bool):
            raise TypeError
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError) as error:
        raise _refuse(f"{text!r} holds no number at {value!r}.", "Quantiles are three numbers.") from error


def _check_why(why: str) -> None:
    if not is_line(why):
        raise _refuse(f"The why {why!r} is not one line of text.", "It stands in a line: leave line breaks out.")
    if len(why) > LONGEST_WHY:
        raise _refuse(f"The why has {len(why)} characters.", f"A few words are enough: {LONGEST_WHY} at most.")


def _why_not(confidence: int) -> str:
    if confidence > MOST:
        return f"More than {MOST} % leaves no room for a surprise: one miss would cost more than you can win back."
    return f"Below {LEAST} % another answer is the likelier one: choose that."


def _refuse(what: str, why: str) -> ForecastTextError:
    return ForecastTextError(
        what,
        why=why,
        todo=(
            "Write it as: --forecast better:80   (34 to 97)",
            "Or as 10/50/90 % quantiles of the difference, in the metric's unit: --forecast=-0.01/0.02/0.05",
        ),
    )
