"""What a change is like: its family, its features, and how much another change says of it, as it is or mirrored; pure.

A change of one setting says something of other changes of the same setting: of one the same way, that it may go alike,
and of one the other way, that it may go the opposite way. "64 -> 16 was better" is a reason to expect of 64 -> 256 that
it is worse, though a weaker one: where 64 is the best value, both are worse.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from palate.recipe.lexicon import normal_path, role_of_path
from palate.recipe.settings import Change, show_value

Features = Mapping[str, float]
"""Features by name; a name that is absent is 0."""

MOST_HALVINGS = 4.0
"""Size of a change in factors of two, at most: larger changes count as this."""

FAR = 2.0
"""A number that changes by so many factors of two or more changes far."""

MIRRORED = 0.75
"""What a change the other way says, against 1 for one the same way; 1 where it is the very change, undone."""

OTHER_SIZE = 0.75
"""What a change the same way says that is `MOST_HALVINGS` factors of two larger or smaller."""

SAME_END, SAME_SETTING = 0.5, 0.25
"""What a change of words or switches says that shares one end with another, and one that shares only its setting."""


@dataclass(frozen=True, slots=True)
class Move:
    """One setting that moves.

    Attributes:
        setting: its name.
        before, after: its values as they are shown.
        halvings: by how many factors of two a number changes, above 0 where it grows; None where it is no number.
    """

    setting: str
    before: str
    after: str
    halvings: float | None


def moves_of(changes: Sequence[Change]) -> tuple[Move, ...]:
    """Return what moves in a change.

    >>> [move.halvings for move in moves_of([Change(path="optimizer.lr", before=1e-3, after=4e-3)])]
    [2.0]
    """
    return tuple(
        Move(_leaf(one), show_value(one.before), show_value(one.after), _halvings(one) if _way(one) else None)
        for one in changes
    )


def family_of(changes: Sequence[Change]) -> str:
    """Name the family of a change: the settings it changes, with the direction where they are numbers.

    >>> family_of([Change(path="optimizer.lr", before=1e-3, after=3e-3)])
    'lr up'
    """
    return " + ".join(sorted(" ".join(part for part in (_leaf(c), _way(c)) if part) for c in changes))


def features_of(changes: Sequence[Change]) -> dict[str, float]:
    """Return the features of a change: settings, their roles, directions, sizes, and whether there are several.

    >>> features_of([Change(path="lr", before=1e-3, after=4e-3)])
    {'lr': 1.0, 'optimiser': 1.0, 'lr up': 1.0, 'lr far': 0.5}
    """
    features: dict[str, float] = {}
    for change in changes:
        leaf, way = _leaf(change), _way(change)
        features[leaf] = 1.0
        features[role_of_path(tuple(change.path.split(".")))] = 1.0
        if way:
            features[f"{leaf} {way}"] = 1.0
            features[f"{leaf} far"] = round(abs(_halvings(change)) / MOST_HALVINGS, 6)
        else:
            features[f"{leaf} = {show_value(change.after)}"] = 1.0
    if len(changes) > 1:
        features["several"] = 1.0
    return features


def likeness(one: Features, other: Features) -> float:
    """Return the weighted Jaccard index of two changes: features in both, divided by features in either.

    >>> round(likeness({"lr": 1, "lr up": 1}, {"lr": 1, "lr down": 1}), 2)
    0.33
    """
    both = sum(min(value, other[name]) for name, value in one.items() if name in other)
    either = sum(one.values()) + sum(other.values()) - both
    return both / either if either else 0.0


def speaks_of(one: Iterable[Move], mine: Sequence[Move]) -> tuple[float, float]:
    """Return how much a change says of mine: as it went, and mirrored; 1 is as much as my own change would.

    >>> wider, narrower = (moves_of([Change(path="width", before=64, after=after)]) for after in (256, 16))
    >>> speaks_of(wider, wider), speaks_of(narrower, wider)
    ((1.0, 0.0), (0.0, 0.75))
    """
    theirs = {move.setting: move for move in one}
    plain = mirrored = 0.0
    shared = 0
    for move in mine:
        if move.setting in theirs:
            shared += 1
            weight = _says(theirs[move.setting], move)
            plain, mirrored = plain + max(weight, 0.0), mirrored + max(-weight, 0.0)
    either = len(theirs) + len(mine) - shared
    return (plain / either, mirrored / either) if shared else (0.0, 0.0)


def _says(one: Move, mine: Move) -> float:
    """Return how much one move of a setting says of another; below 0 where what it says is mirrored."""
    if (one.before, one.after) == (mine.after, mine.before):
        return -1.0
    if one.halvings is not None and mine.halvings is not None:
        if one.halvings * mine.halvings < 0:
            return -MIRRORED
        return 1 - (1 - OTHER_SIZE) * min(abs(one.halvings - mine.halvings), MOST_HALVINGS) / MOST_HALVINGS
    if one.after == mine.after:
        return 1.0 if one.before == mine.before else SAME_END
    return -SAME_END if one.before == mine.after or one.after == mine.before else SAME_SETTING


def _leaf(change: Change) -> str:
    return normal_path(change.path.split(".")).rpartition(".")[2] or change.path


def _way(change: Change) -> str:
    one, other = change.before, change.after
    if not (_is_number(one) and _is_number(other)):
        return ""
    return "up" if other > one else "down"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _halvings(change: Change) -> float:
    """Return by how many factors of two a number changes, at most MOST_HALVINGS; so many where 0 or its sign is passed.

    It is below 0 where the number falls.
    """
    one, other = float(change.before), float(change.after)
    size = min(abs(math.log2(other / one)), MOST_HALVINGS) if one * other > 0 else MOST_HALVINGS
    return size if other > one else -size
