"""What practice says of a change before a project knows better: odds of its outcomes, from `practice.json`; pure.

Each row of that file names its source, what the source found, and what is judged from it. The odds are judgements: no
source counts them for trainings in general. So a row is worth less than one outcome of the project's own.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Literal

from palate.forecast.chances import OUTCOMES, Chances, normalised
from palate.forecast.features import FAR, Move

Way = Literal["up", "down", "any"]
Size = Literal["far", "any"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Practice:
    """A row of `practice.json`.

    Attributes:
        settings: the names of the settings that it is about; none where it is about any change.
        way: whether the number grows or falls; any also for what is no number.
        size: whether it is only about a change by `features.FAR` factors of two or more.
        chances: of the outcomes.
        worth: in pseudo-outcomes.
        source: a public paper or guide.
        found: what the source found.
        judgement: what is judged from it.
    """

    settings: frozenset[str] = frozenset()
    way: Way = "any"
    size: Size = "any"
    chances: Chances
    worth: float
    source: str
    found: str
    judgement: str

    def is_about(self, move: Move) -> bool:
        """Tell whether a move is of this row."""
        if move.setting.lower() not in self.settings:
            return False
        if self.way == "any" and self.size == "any":
            return True
        if move.halvings is None:
            return False
        along = self.way == "any" or (move.halvings > 0) == (self.way == "up")
        return along and (self.size == "any" or abs(move.halvings) >= FAR)


@cache
def any_change() -> Practice:
    """Return what practice says of any change."""
    return _read()[0]


@cache
def known_families() -> tuple[Practice, ...]:
    """Return what practice says of changes of certain settings."""
    return tuple(_read()[1:])


def pseudo_outcomes(moves: Iterable[Move]) -> dict[str, float]:
    """Return the pseudo-outcomes that practice adds for a change: of each setting that moves, those of its first row.

    Several settings share the worth of one, as each of them is less sure to decide the outcome.

    >>> from palate.forecast.features import moves_of
    >>> from palate.recipe.settings import Change
    >>> told = pseudo_outcomes(moves_of([Change(path="lr", before=0.1, after=0.4)]))
    >>> round(told["worse"], 2), round(told["crash"], 3)
    (0.45, 0.075)
    """
    listed = list(moves)
    found = [row for move in listed for row in [_first(move)] if row is not None]
    return {name: sum(row.worth * row.chances.of(name) for row in found) / max(1, len(listed)) for name in OUTCOMES}


def _first(move: Move) -> Practice | None:
    return next((row for row in known_families() if row.is_about(move)), None)


@cache
def _read() -> Sequence[Practice]:
    told = json.loads((resources.files("palate.forecast") / "practice.json").read_text(encoding="utf-8"))
    return [_row(row) for row in (told["any"], *told["families"])]


def _row(told: Mapping[str, Any]) -> Practice:
    odds = normalised(dict(zip(OUTCOMES, told["odds"], strict=True)))
    rest = {name: told[name] for name in ("way", "size", "worth", "source", "found", "judgement") if name in told}
    return Practice(chances=odds, settings=frozenset(told.get("settings", ())), **rest)
