"""Align two sequences by what their members are: the longest common row, the same whichever side comes first."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

Pair = tuple[int | None, int | None]


@dataclass(frozen=True, slots=True)
class Mark:
    """What members are aligned by.

    Attributes:
        number: equal where two members say the same.
        label: members with unequal labels are never paired.
        text: gives the member's content, to break a tie the same way whichever side comes first.
    """

    number: int
    label: Any
    text: Callable[[], str]


EXACT, ALIKE = 3, 1
MOST = 250_000
"""Cells of the table beyond which members align by their place alone."""


def align(ours: Sequence[Mark], theirs: Sequence[Mark]) -> list[Pair]:
    """Pair the members of two sequences in order.

    Args:
        ours: the marks of one side's members.
        theirs: those of the other's.

    Returns:
        (place, place) for a pair, None on one side for a member that only the other has; in order. Swapping the
        sequences swaps the pairs.
    """
    start = 0
    while start < min(len(ours), len(theirs)) and _equal(ours[start], theirs[start]):
        start += 1
    end = 0
    while end < min(len(ours), len(theirs)) - start and _equal(ours[-1 - end], theirs[-1 - end]):
        end += 1
    middle = _align_middle(ours[start : len(ours) - end], theirs[start : len(theirs) - end])
    pairs: list[Pair] = [(place, place) for place in range(start)]
    pairs += [(None if i is None else i + start, None if j is None else j + start) for i, j in middle]
    return pairs + [(len(ours) - k, len(theirs) - k) for k in range(end, 0, -1)]


def _equal(one: Mark, other: Mark) -> bool:
    return one.number == other.number and one.label == other.label


def _align_middle(ours: Sequence[Mark], theirs: Sequence[Mark]) -> list[Pair]:
    if _key(theirs) < _key(ours):
        return [(i, j) for j, i in _align_middle(theirs, ours)]
    matched = _by_place(ours, theirs) if len(ours) * len(theirs) > MOST else _longest(ours, theirs)
    pairs: list[Pair] = []
    i = j = 0
    for left, right in [*matched, (len(ours), len(theirs))]:
        pairs += [(k, None) for k in range(i, left)] + [(None, k) for k in range(j, right)]
        if left < len(ours):
            pairs.append((left, right))
        i, j = left + 1, right + 1
    return pairs


def _key(marks: Sequence[Mark]) -> tuple[int, list[str], list[str]]:
    return len(marks), [repr(mark.label) for mark in marks], [mark.text() for mark in marks]


def _by_place(ours: Sequence[Mark], theirs: Sequence[Mark]) -> list[tuple[int, int]]:
    return [(k, k) for k, (one, other) in enumerate(zip(ours, theirs, strict=False)) if one.label == other.label]


def _longest(ours: Sequence[Mark], theirs: Sequence[Mark]) -> list[tuple[int, int]]:
    """Find the pairing with the highest score: equal members count most, alike ones a little."""
    rows, columns = len(ours), len(theirs)
    best = [[0] * (columns + 1) for _ in range(rows + 1)]
    for i in range(rows - 1, -1, -1):
        for j in range(columns - 1, -1, -1):
            paired = best[i + 1][j + 1] + score if (score := _score(ours[i], theirs[j])) else 0
            best[i][j] = max(paired, best[i + 1][j], best[i][j + 1])
    found = []
    i = j = 0
    while i < rows and j < columns:
        score = _score(ours[i], theirs[j])
        if score and best[i][j] == best[i + 1][j + 1] + score:
            found.append((i, j))
            i, j = i + 1, j + 1
        elif best[i][j] == best[i + 1][j]:
            i += 1
        else:
            j += 1
    return found


def _score(one: Mark, other: Mark) -> int:
    if one.label != other.label:
        return 0
    return EXACT if one.number == other.number else ALIKE
