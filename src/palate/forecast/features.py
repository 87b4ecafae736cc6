"""What a change looks like to a forecaster: its family, and features by name; light to import."""

import math
from collections.abc import Mapping, Sequence

from palate.recipe.lexicon import normal_path, role_of_path
from palate.recipe.settings import Change, show_value

Features = Mapping[str, float]

MOST_HALVINGS = 4.0
"""A change by more than 2^4 is no larger than that to a forecaster."""


def family_of(changes: Sequence[Change]) -> str:
    """Name the family of a change: the settings it changes, and which way where they are numbers.

    >>> family_of([Change(path="optimizer.lr", before=1e-3, after=3e-3)])
    'lr up'
    """
    return " + ".join(sorted(" ".join(part for part in (_leaf(c), _way(c)) if part) for c in changes))


def features_of(changes: Sequence[Change]) -> dict[str, float]:
    """Give what may decide how a change goes: settings, chunks, directions, how far, how many at once.

    >>> features_of([Change(path="lr", before=1e-3, after=4e-3)])
    {'lr': 1.0, 'optimiser': 1.0, 'lr up': 1.0, 'lr far': 0.5}
    """
    found: dict[str, float] = {}
    for change in changes:
        leaf, way = _leaf(change), _way(change)
        found[leaf] = 1.0
        found[role_of_path(tuple(change.path.split(".")))] = 1.0
        if way:
            found[f"{leaf} {way}"] = 1.0
            found[f"{leaf} far"] = round(min(_halvings(change), MOST_HALVINGS) / MOST_HALVINGS, 6)
        else:
            found[f"{leaf} = {show_value(change.after)}"] = 1.0
    if len(changes) > 1:
        found["several"] = 1.0
    return found


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
    """Say by how many factors of two a number changes; from or to 0, and across it, as far as can be."""
    one, other = float(change.before), float(change.after)
    return abs(math.log2(other / one)) if one * other > 0 else MOST_HALVINGS
