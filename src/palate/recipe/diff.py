"""The difference of two trees, as edits: what turns one into the other, with nothing lost.

Dictionaries are compared name by name. The members of lists and modules are aligned first, by their class and content
and not by their index, so that one transform inserted at the front is one edit, not a change of all that follow.
"""

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from palate.recipe.numbering import Numbering, holds_unknown
from palate.recipe.tree import Chunk, Item, Key, Path, Setting, chunk_id, is_ordered, name_key

EXACT, ALIKE = 3, 1
"""The scores of a pair with the same content, and of a pair with the same label."""

MOST = 250_000
"""The most cells of the alignment table; longer sequences are paired by index alone."""

_IDENTIFYING = ("class", "type", "_component_", "_target_", "class_path", "name")
"""Settings that say what a chunk is, when its own name is only a number."""

Pair = tuple[int | None, int | None]
"""The places of a member on both sides; None on the side that does not have it."""

NameSteps = tuple[tuple[Key, Key], ...]
"""The path of an edit, with each name before and after."""


class Sign(enum.Enum):
    """Two names that no setting has: `ABSENT` for an item that one side lacks, `KIND` for the kind of a chunk."""

    ABSENT = "not set"
    KIND = "type of object"

    def __str__(self) -> str:
        return self.value


ABSENT, KIND = Sign.ABSENT, Sign.KIND


@dataclass(frozen=True, slots=True)
class Edit:
    """One difference.

    Attributes:
        steps: the path to it: (name before, name after) for each level; the last has `ABSENT` for a missing side.
        before: the setting or the whole chunk before; None if there was none.
        after: the setting or the whole chunk after; None if there is none.
        places: the indices among its siblings, before and after, of an item that only one side has, if order counts;
            else -1.
    """

    steps: NameSteps
    before: Item | None
    after: Item | None
    places: tuple[int, int] = (-1, -1)

    @property
    def path(self) -> Path:
        """Return the path: the names after the edit, or before it if there are none after."""
        return tuple(before if after is ABSENT else after for before, after in self.steps)

    @property
    def comparable(self) -> bool:
        """Return whether the two sides can be compared; an object without a fingerprint cannot."""
        return not any(isinstance(side, Setting) and holds_unknown(side.value) for side in (self.before, self.after))


Edits = tuple[Edit, ...]


@dataclass(frozen=True, slots=True)
class Mark:
    """What `align` knows of one member.

    Attributes:
        number: equal for two members with the same content.
        label: members with different labels are never paired.
        text: returns the member's content; decides ties, so that the order of the two sides does not matter.
    """

    number: int
    label: Any
    text: Callable[[], str]


def diff(before: Chunk, after: Chunk) -> Edits:
    """Return the edits that turn one exact tree into another; who decided a value does not count."""
    numbering = Numbering(strict=False)
    numbering.add(before)
    numbering.add(after)
    if is_ordered(before.kind) != is_ordered(after.kind):
        return (Edit((), before, after),)
    return tuple(_Comparing(numbering).chunks(before, after, ()))


class _Comparing:
    def __init__(self, numbering: Numbering) -> None:
        self._numbers = numbering

    def _same(self, one: Item, other: Item) -> bool:
        exact = self._numbers.exact
        return exact[id(one)] == exact[id(other)] and id(one) not in self._numbers.unknown

    def chunks(self, a: Chunk, b: Chunk, steps: NameSteps) -> list[Edit]:
        if self._same(a, b):
            return []
        kinds = []
        if a.kind != b.kind:
            sides = Setting(KIND, a.kind), Setting(KIND, b.kind)
            kinds = [Edit((*steps, (KIND, KIND)), *sides)]
        return kinds + (self._in_order(a, b, steps) if is_ordered(a.kind) else self._by_name(a, b, steps))

    def _by_name(self, a: Chunk, b: Chunk, steps: NameSteps) -> list[Edit]:
        ours = {name_key(item.name): item for item in a.items}  # type: ignore[union-attr]
        theirs = {name_key(item.name): item for item in b.items}  # type: ignore[union-attr]
        edits: list[Edit] = []
        for key in sorted({**ours, **theirs}, key=_order):
            edits += self._pair(ours.get(key), theirs.get(key), steps, (-1, -1))
        return edits

    def _in_order(self, a: Chunk, b: Chunk, steps: NameSteps) -> list[Edit]:
        edits: list[Edit] = []
        for i, j in align(self._marks(a), self._marks(b)):
            one = None if i is None else a.items[i]
            other = None if j is None else b.items[j]
            places = (-1, -1) if one and other else (-1 if i is None else i, -1 if j is None else j)
            edits += self._pair(one, other, steps, places)
        return edits

    def _marks(self, chunk: Chunk) -> list[Mark]:
        exact = self._numbers.exact
        return [Mark(exact[id(item)], _label(item), partial(chunk_id, item)) for item in chunk.items]

    def _pair(self, one: Item | None, other: Item | None, steps: NameSteps, places: tuple[int, int]) -> list[Edit]:
        if one is not None and other is not None:
            if self._same(one, other):
                return []
            if isinstance(one, Chunk) and isinstance(other, Chunk) and is_ordered(one.kind) == is_ordered(other.kind):
                return self.chunks(one, other, (*steps, (one.name, other.name)))
        names = (ABSENT if one is None else one.name, ABSENT if other is None else other.name)  # type: ignore[union-attr]
        return [Edit((*steps, names), one, other, places)]


def _label(item: Item) -> Any:
    """Return what aligned items must share: their name, or what they are if the name is only a number."""
    name = item.name  # type: ignore[union-attr]
    if type(name) is not int:
        return name_key(name)
    if isinstance(item, Setting):
        return "setting"
    identifying = (s for s in item.items if isinstance(s, Setting) and s.name in _IDENTIFYING)  # type: ignore[union-attr]
    identity = next((name_key(s.value) for s in identifying), None)
    return f"chunk {identity!r} {is_ordered(item.kind)}"  # type: ignore[union-attr]


def _order(key: Any) -> str:
    return key if type(key) is str else repr(key)


def align(ours: Sequence[Mark], theirs: Sequence[Mark]) -> list[Pair]:
    """Pair the members of two sequences, in order.

    Args:
        ours: the marks of one side's members.
        theirs: the marks of the other side's members.

    Returns:
        the pairs, in order; a member that only one side has is paired with None. If the two sequences change places,
        the two sides of each pair change places and nothing else.
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
    """Find the pairing with the highest total score (the longest common subsequence, weighted)."""
    rows, columns = len(ours), len(theirs)
    best = [[0] * (columns + 1) for _ in range(rows + 1)]
    for i in range(rows - 1, -1, -1):
        for j in range(columns - 1, -1, -1):
            paired = best[i + 1][j + 1] + score if (score := _score(ours[i], theirs[j])) else 0
            best[i][j] = max(paired, best[i + 1][j], best[i][j + 1])
    pairs = []
    i = j = 0
    while i < rows and j < columns:
        score = _score(ours[i], theirs[j])
        if score and best[i][j] == best[i + 1][j + 1] + score:
            pairs.append((i, j))
            i, j = i + 1, j + 1
        elif best[i][j] == best[i + 1][j]:
            i += 1
        else:
            j += 1
    return pairs


def _score(one: Mark, other: Mark) -> int:
    if one.label != other.label:
        return 0
    return EXACT if one.number == other.number else ALIKE
