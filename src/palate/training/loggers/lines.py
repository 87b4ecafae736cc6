"""What printed lines say: metrics with their names and the step, in the forms that trainings print; a pure reader."""

import functools
import re
from dataclasses import dataclass, field

from palate.vocabulary import goal_of_name

LONGEST = 2000
"""Longer lines are not read."""

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|[-+]?(?:nan|inf)"
_WORD = r"(?<![\w./])[A-Za-z_][\w@-]*(?:[/.][A-Za-z][\w@-]*)?(?![/\w])"
"""A word of a name; paths have more than one slash."""

_PAIR = re.compile(
    rf"(?P<name>{_WORD}(?:[ ]{_WORD}){{0,3}})['\"]?[ ]?(?P<sep>[:=]|\s|\()\s*(?:tensor\(|np\.float\d+\()?"
    rf"(?P<value>{_NUMBER})(?![\w:]|\.\d|-\d)(?:\s*/\s*(?P<of>\d+)(?![\w.]))?",
    re.IGNORECASE,
)
_STEP = re.compile(
    r"\b(?:epochs?|global[_ ]step|steps?|iter(?:ation)?s?|updates?|it|batch)['\"]?\s*[:=#]?\s*[\[(]?\s*(?P<at>\d+)"
    r"(?![\w.]*\.\d)(?:\s*/\s*\d+)?[\])]?",
    re.IGNORECASE,
)
_SPLIT = re.compile(r"(?<![A-Za-z])(train|test|val|eval|dev)(?:ing|id|idation|uation)?(?![A-Za-z])", re.IGNORECASE)
_PLACES = ("cuda", "cpu", "gpu", "mps", "localhost", "port", "line", "pid")
"""Words before a number that say where something is: `cuda:0`."""

_BAR = re.compile(r"\d+%\||(?:it/s|s/it|B/s)\b|[━█▏▎▍▌▋▊▉]|\[=+>?\.*\]|\d+[mu]?s/step")
"""What shows that a line is a bar of progress, which is printed again and again."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a line says: metrics by name, the step, and what a person's own pattern found in it."""

    numbers: dict[str, float] = field(default_factory=dict)
    step: int | None = None
    told: float | None = None


class Reader:
    """Reads printed lines.

    Args:
        told: `NAME=PATTERN`, the first group of which is the value; "" where only the common forms are read.

    Attributes:
        told: the name; "" where there is none.
    """

    def __init__(self, told: str = "") -> None:
        self.told, _, pattern = told.partition("=")
        self._pattern = re.compile(pattern) if pattern else None

    def read(self, text: str) -> Found | None:
        """Return what a line says; None where it says nothing of a metric.

        >>> Reader().read("epoch 3 loss 0.52 acc: 0.91")
        Found(numbers={'loss': 0.52, 'acc': 0.91}, step=3, told=None)
        """
        text = text.rpartition("\r")[2]
        if len(text) > LONGEST:
            return None
        told = self._find(text)
        is_bar = _BAR.search(text) is not None
        step, rest = (None, "") if is_bar else _take_step(text)
        numbers = _pairs(rest)
        return Found(numbers, step, told) if numbers or told is not None else None

    def _find(self, text: str) -> float | None:
        match = self._pattern.search(text) if self._pattern is not None else None
        if match is None:
            return None
        try:
            return float(match.group(1 if match.re.groups else 0))
        except (TypeError, ValueError):
            return None


def _take_step(text: str) -> tuple[int | None, str]:
    """Return the step that a line names, and the line without it; None where it names none, or an epoch and a step."""
    found = list(_STEP.finditer(text))
    rest = _STEP.sub(" | ", text)
    return (int(found[0]["at"]) if len(found) == 1 else None), rest


def _pairs(text: str) -> dict[str, float]:
    numbers: dict[str, float] = {}
    split = ""
    for match in _PAIR.finditer(text):
        if not numbers and not split:
            before = _SPLIT.findall(text[: match.start()])
            split = before[-1].lower() if before else ""
        name = _named(match["name"].rstrip("."), match["sep"])
        value = float(match["value"])
        if not name or (match["of"] and (not _is_known(name) or not float(match["of"]))):
            continue
        own = _SPLIT.search(name.replace("_", " "))
        split = own[1].lower() if own else split
        name = name if own or not split else f"{split}_{name}"
        numbers.setdefault(name, value / float(match["of"]) if match["of"] else value)
    return numbers


@functools.lru_cache(maxsize=4096)
def _named(text: str, separator: str) -> str:
    """Return the name of a metric that stands before a number: the longest end of the words that is a well-known one.

    >>> _named("Average loss", ":"), _named("and then Accuracy", "="), _named("saved", " ")
    ('average_loss', 'accuracy', '')
    """
    words = text.lower().split()
    for start in range(len(words)):
        name = "_".join(words[start:])
        if _is_known(name):
            return name
    return "_".join(words) if separator in ":=" and words[-1] not in _PLACES else ""


@functools.lru_cache(maxsize=4096)
def _is_known(name: str) -> bool:
    return goal_of_name(name) is not None
