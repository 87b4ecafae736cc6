"""The difference of two recipes, setting by setting; it can be applied, turned round, and loses nothing.

Lists and layers align by what they are (their class, their content), not by their place: one transform put in front
is one line, not a changed tail.
"""

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from palate.recipe.numbering import Numbering, holds_unknown
from palate.recipe.tree import Chunk, Item, Key, Path, Setting, chunk_id, is_ordered, name_key

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


class Sign(enum.Enum):
    """Names that no setting has: of what one side lacks, and of what type of object a chunk is."""

    ABSENT = "not set"
    KIND = "type of object"

    def __str__(self) -> str:
        return self.value


ABSENT, KIND = Sign.ABSENT, Sign.KIND


@dataclass(frozen=True, slots=True)
class Edit:
    """One difference.

    Attributes:
        steps: the way to it: (name before, name after) a level; `ABSENT` at its end where one side has nothing.
        before, after: the setting or the whole chunk on either side; None where there is none.
        places: where it stands among its siblings before and after, where order counts; else -1.
    """

    steps: tuple[tuple[Key, Key], ...]
    before: Item | None
    after: Item | None
    places: tuple[int, int] = (-1, -1)

    @property
    def path(self) -> Path:
        """The way to it, by the names after where there are any."""
        return tuple(before if after is ABSENT else after for before, after in self.steps)

    @property
    def comparable(self) -> bool:
        """Whether the two sides could be compared: an object without a fingerprint is never called the same."""
        return not any(isinstance(side, Setting) and holds_unknown(side.value) for side in (self.before, self.after))

    def invert(self) -> "Edit":
        """Give the edit that undoes this one."""
        steps = tuple((after, before) for before, after in self.steps)
        return Edit(steps, self.after, self.before, (self.places[1], self.places[0]))


Edits = tuple[Edit, ...]


def diff(before: Chunk, after: Chunk) -> Edits:
    """Give what turns one exact tree into another; provenance does not count."""
    numbering = Numbering(strict=False)
    numbering.add(before)
    numbering.add(after)
    if is_ordered(before.kind) != is_ordered(after.kind):
        return (Edit((), before, after),)
    return tuple(_Comparing(numbering).chunks(before, after, ()))


def invert(edits: Sequence[Edit]) -> Edits:
    """Turn a difference round: `invert(diff(a, b)) == diff(b, a)`."""
    return tuple(edit.invert() for edit in edits)


Steps = tuple[tuple[Key, Key], ...]


class _Comparing:
    def __init__(self, numbering: Numbering) -> None:
        self._numbers = numbering

    def _same(self, one: Item, other: Item) -> bool:
        exact = self._numbers.exact
        return exact[id(one)] == exact[id(other)] and id(one) not in self._numbers.unknown

    def chunks(self, a: Chunk, b: Chunk, steps: Steps) -> list[Edit]:
        if self._same(a, b):
            return []
        kinds = []
        if a.kind != b.kind:
            sides = Setting(KIND, a.kind), Setting(KIND, b.kind)
            kinds = [Edit((*steps, (KIND, KIND)), *sides)]
        return kinds + (self._in_order(a, b, steps) if is_ordered(a.kind) else self._by_name(a, b, steps))

    def _by_name(self, a: Chunk, b: Chunk, steps: Steps) -> list[Edit]:
        ours = {name_key(item.name): item for item in a.items}  # type: ignore[union-attr]
        theirs = {name_key(item.name): item for item in b.items}  # type: ignore[union-attr]
        found: list[Edit] = []
        for key in sorted({**ours, **theirs}, key=_order):
            found += self._pair(ours.get(key), theirs.get(key), steps, (-1, -1))
        return found

    def _in_order(self, a: Chunk, b: Chunk, steps: Steps) -> list[Edit]:
        found: list[Edit] = []
        for i, j in align(self._marks(a), self._marks(b)):
            one = None if i is None else a.items[i]
            other = None if j is None else b.items[j]
            places = (-1, -1) if one and other else (-1 if i is None else i, -1 if j is None else j)
            found += self._pair(one, other, steps, places)
        return found

    def _marks(self, chunk: Chunk) -> list[Mark]:
        exact = self._numbers.exact
        return [Mark(exact[id(item)], _label(item), partial(chunk_id, item)) for item in chunk.items]

    def _pair(self, one: Item | None, other: Item | None, steps: Steps, places: tuple[int, int]) -> list[Edit]:
        if one is not None and other is not None:
            if self._same(one, other):
                return []
            if isinstance(one, Chunk) and isinstance(other, Chunk) and is_ordered(one.kind) == is_ordered(other.kind):
                return self.chunks(one, other, (*steps, (one.name, other.name)))
        names = (ABSENT if one is None else one.name, ABSENT if other is None else other.name)  # type: ignore[union-attr]
        return [Edit((*steps, names), one, other, places)]


def _label(item: Item) -> Any:
    """What aligned items must have in common: their name, or what they are where the name is only a number."""
    name = item.name  # type: ignore[union-attr]
    if type(name) is not int:
        return name_key(name)
    if isinstance(item, Setting):
        return "setting"
    held = (s for s in item.items if isinstance(s, Setting) and s.name in _TELLS)  # type: ignore[union-attr]
    told = next((name_key(s.value) for s in held), None)
    return f"chunk {told!r} {is_ordered(item.kind)}"  # type: ignore[union-attr]


_TELLS = ("class", "type", "_component_", "_target_", "class_path", "name")


def _order(key: Any) -> str:
    return key if type(key) is str else repr(key)


def patch(chunk: Chunk, edits: Sequence[Edit]) -> Chunk:
    """Apply a difference: `patch(a, diff(a, b))` says what b says.

    Raises:
        ValueError: the difference was made for another recipe.
    """
    if edits and not edits[0].steps:
        whole = edits[0].after
        return replace(whole, name=chunk.name) if isinstance(whole, Chunk) else chunk
    return _patched(chunk, [(edit.steps, edit) for edit in edits])


Waiting = list[tuple[Steps, Edit]]


def _patched(chunk: Chunk, waiting: Waiting) -> Chunk:
    here: dict[Any, Edit] = {}
    below: dict[Any, Waiting] = {}
    added: list[Edit] = []
    for steps, edit in waiting:
        before, _ = steps[0]
        if len(steps) > 1:
            below.setdefault(name_key(before), []).append((steps[1:], edit))
        elif before is ABSENT:
            added.append(edit)
        else:
            here[name_key(before)] = edit
    kind = here.pop(name_key(KIND), None)
    kept = list(_kept(chunk, here, below))
    if here or below:
        raise ValueError(f"the difference is none of this recipe: it has no {[*here, *below][0]!r}")
    if is_ordered(chunk.kind):
        items = _renumbered(_placed(kept, added))
    else:
        items = [*kept, *(edit.after for edit in added if edit.after is not None)]
    told = chunk.kind if kind is None else kind.after.value  # type: ignore[union-attr]
    return replace(chunk, kind=told, items=tuple(items))


def _kept(chunk: Chunk, here: dict[Any, Edit], below: dict[Any, Waiting]) -> Any:
    for item in chunk.items:
        key = name_key(item.name)  # type: ignore[union-attr]
        edit = here.pop(key, None)
        if edit is not None:
            if edit.after is not None:
                yield edit.after
        elif key in below:
            yield _patched(item, below.pop(key))  # type: ignore[arg-type]
        else:
            yield item


def _placed(kept: list[Item], added: Sequence[Edit]) -> list[Item]:
    """Put new items to their places; the kept ones fill the rest in their order."""
    at = {edit.places[1]: edit.after for edit in added}
    rest = iter(kept)
    return [at[place] if place in at else next(rest) for place in range(len(kept) + len(at))]  # type: ignore[misc]


def _renumbered(items: Sequence[Item]) -> list[Item]:
    """Number anew what is named by whole numbers in a row, as lists and sequences of layers are."""
    number = 0
    found: list[Item] = []
    for item in items:
        if isinstance(item, Setting | Chunk) and type(item.name) is int:
            found.append(item if item.name == number else replace(item, name=number))
            number += 1
        else:
            found.append(item)
    return found
