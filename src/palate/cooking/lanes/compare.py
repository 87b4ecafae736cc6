"""Whether what a run has come to is what its lane has: rows that were logged, and variables; pure."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

EARLY, NEAR_EARLY = 20, 1e-2
"""Rows that are held against each other one by one, and how far apart they may be, of their size."""

NEAR_ROWS, WITHIN = 1e-3, 0.25
"""How far apart a metric may be over all rows: of its size, and of the spread between the lanes."""

Rows = Sequence[tuple[int | None, Mapping[str, float]]]


def numbers_of(rows: Iterable[tuple[int | None, Mapping[str, Any]]]) -> Rows:
    """Return logged rows as plain numbers."""
    return [(step, {name: float(value) for name, value in row.items()}) for step, row in rows]


def apart_words(mine: Rows, lane: Rows, spread: Sequence[Mapping[str, float]]) -> str:
    """Return in what a run's rows are not those of its lane; "" where they are.

    At first they are equal. Later rounding grows: then the differences of a metric, over all its rows, are held against
    how far the lanes are apart.

    >>> apart_words([(0, {"loss": 1.0})], [(0, {"loss": 1.1})], [{"loss": 0.2}])
    'at step 0 loss is 1, and 1.1 in its lane'
    """
    if len(mine) != len(lane):
        return f"{len(mine)} rows were logged, and {len(lane)} by its lane"
    for number, ((step, own), (at, theirs)) in enumerate(zip(mine, lane, strict=True)):
        if at != step or own.keys() != theirs.keys():
            return f"at step {step} its lane logged {', '.join(theirs)} and not {', '.join(own)}"
        for name, value in own.items():
            if not _is_near(value, theirs[name], early=number < EARLY):
                return f"at step {step} {name} is {value:.6g}, and {theirs[name]:.6g} in its lane"
    names = {name for _, own in mine for name in own}
    return next(filter(None, (_apart_over_all(name, mine, lane, spread) for name in sorted(names))), "")


def _is_near(mine: float, lane: float, *, early: bool) -> bool:
    if not (math.isfinite(mine) and math.isfinite(lane)):
        return mine == lane or (math.isnan(mine) and math.isnan(lane))
    return not early or abs(mine - lane) <= NEAR_EARLY * abs(mine) + 1e-6


def _apart_over_all(name: str, mine: Rows, lane: Rows, spread: Sequence[Mapping[str, float]]) -> str:
    places = [number for number, (_, own) in enumerate(mine) if name in own and math.isfinite(own[name])]
    off = _root_mean_square(mine[number][1][name] - lane[number][1][name] for number in places)
    size = _root_mean_square(mine[number][1][name] for number in places)
    between = _root_mean_square(spread[number].get(name, 0.0) for number in places)
    if off <= max(NEAR_ROWS * size, WITHIN * between, 1e-9):
        return ""
    return f"{name} is {off:.3g} from its lane, where seeds are {between:.3g} apart"


def _root_mean_square(values: Iterable[float]) -> float:
    squares = [value * value for value in values]
    return math.sqrt(sum(squares) / len(squares)) if squares else 0.0


def are_alike_in_kind(mine: Any, lane: Any) -> bool:
    """Return whether a variable is of the kind and the length that it has in its lane; whole numbers are equal."""
    if isinstance(mine, bool | int | float) and isinstance(lane, bool | int | float):
        return isinstance(mine, float) or mine == lane
    if hasattr(mine, "untyped_storage") and hasattr(lane, "untyped_storage"):
        return bool(mine.shape == lane.shape)
    if type(mine) is not type(lane):
        return False
    if isinstance(mine, list | tuple):
        return len(mine) == len(lane) and all(map(are_alike_in_kind, mine, lane))
    if isinstance(mine, dict):
        return mine.keys() == lane.keys() and all(are_alike_in_kind(mine[name], lane[name]) for name in mine)
    return True
