"""What a person says will happen: an answer and how sure, in two keys."""

from dataclasses import dataclass
from typing import Literal, get_args

from palate.errors import ForecastTextError

Answer = Literal["worse", "same", "better", "crash"]
ANSWERS: tuple[Answer, ...] = get_args(Answer)

LEAST, MOST = 34, 97
"""Below 34 % another answer would be the likelier one; above 97 % one miss costs more than can be won back."""

DIGITS = {"5": 50, "6": 60, "7": 70, "8": 80, "9": 90, "0": 97}


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """An answer and its probability in percent."""

    answer: Answer
    confidence: int

    def __post_init__(self) -> None:
        if self.answer not in ANSWERS:
            raise _refuse(f"{self.answer!r} is no answer.", f"It is one of {', '.join(ANSWERS)}.")
        if not LEAST <= self.confidence <= MOST:
            raise _refuse(f"{self.confidence} % cannot be a confidence here.", _why_not(self.confidence))

    def __str__(self) -> str:
        return f"{self.answer}:{self.confidence}"


def parse_forecast(text: str) -> Forecast:
    """Read `better:80` (also `better 80 %`).

    Raises:
        ForecastTextError: anything else.

    >>> parse_forecast("better:80")
    Forecast(answer='better', confidence=80)
    """
    answer, _, confidence = text.strip().lower().replace("%", "").replace(" ", ":").partition(":")
    matches = [known for known in ANSWERS if answer and known.startswith(answer)]
    if not matches:
        raise _refuse(f"{text!r} is no forecast.", f"The answer is one of {', '.join(ANSWERS)}.")
    try:
        percent = int(confidence.strip(":"))
    except ValueError as error:
        raise _refuse(
            f"{text!r} does not say how sure you are.", "A confidence is a whole number of percent."
        ) from error
    return Forecast(answer=matches[0], confidence=percent)


def _why_not(confidence: int) -> str:
    if confidence > MOST:
        return f"More than {MOST} % leaves no room for a surprise: one miss would cost more than you can win back."
    return f"Below {LEAST} % another answer is the likelier one: choose that."


def _refuse(what: str, why: str) -> ForecastTextError:
    return ForecastTextError(what, why=why, todo="Write it as: --forecast better:80   (34 to 97)")
