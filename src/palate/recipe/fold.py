"""Rows of similar siblings (the layers of a model) folded into one `Repeat`, and unfolded again exactly.

`fold` looks for siblings with the same skeleton: the same names, kinds and classes, whatever the other values. It
compares numbers of subtrees (see `numbering`), so it is fast. A value that differs between the members of a repeat
becomes a `Hole` with a rule: numbers with a constant step, a choice of a few values, or a table of all values.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

from palate.recipe.codec import Tensor
from palate.recipe.numbering import Numbering
from palate.recipe.tree import Choice, Chunk, Hole, Item, Repeat, Setting, Steps, Table, key_of

PERIOD = 16
"""The longest pattern of siblings that is looked for."""

MOST_HOLES = 1 / 3
"""The largest share of a member's settings that may differ freely (steps do not count) in a repeat."""

PATIENCE = 8
"""How often a row with one skeleton may be refused before no repeat is looked for in it any more."""

_NUMBER = re.compile(r"\d+")

Rule = Steps | Choice | Table
"""How the value of a hole depends on the member."""


def fold(chunk: Chunk) -> Chunk:
    """Fold an exact tree: similar siblings become repeats, at all levels."""
    return _Folding(chunk).fold(chunk, 0)


class _Folding:
    def __init__(self, root: Chunk) -> None:
        self._numbers = Numbering(strict=True)
        self._numbers.add(root)

    def fold(self, chunk: Chunk, level: int) -> Chunk:
        """Fold the rows of chunks among a chunk's items, and everything below."""
        items: list[Item] = []
        row: list[Chunk] = []
        for item in (*chunk.items, None):
            if isinstance(item, Chunk):
                row.append(item)
                continue
            items += self._fold_row(row, level)
            row = []
            if item is not None:
                items.append(item)
        return replace(chunk, items=tuple(items))

    def _fold_row(self, row: Sequence[Chunk], level: int) -> list[Item]:
        shapes = _Runs([self._numbers.shape[id(item)] for item in row])
        exacts = _Runs([self._numbers.exact[id(item)] for item in row])
        items: list[Item] = []
        at = 0
        while at < len(row):
            repeat, taken = self._repeat(row, (shapes, exacts), at, level)
            items.append(repeat or self.fold(row[at], level))
            at += taken
        return items

    def _repeat(
        self, row: Sequence[Chunk], ways: tuple["_Runs", "_Runs"], at: int, level: int
    ) -> tuple[Repeat | None, int]:
        """Find the repeat that starts at a place; return it (or None) and how many siblings it takes."""
        for runs in ways:
            period, count = runs.longest(at)
            end = at + period * count
            if count > 1 and runs.refused[end] < PATIENCE:
                members = [row[at + period * k : at + period * (k + 1)] for k in range(count)]
                body = self._body(members, level) if self._alike(members[:2]) else None
                if body is not None:
                    return Repeat(count, body, level), period * count
                runs.refused[end] += 1
        return None, 1

    def _alike(self, members: Sequence[Sequence[Chunk]]) -> bool:
        """Return whether the first two members differ so little that a repeat is worth building; a cheap check."""
        pairs = list(zip(*members, strict=True))
        size = sum(self._numbers.size[id(one)] for one, _ in pairs)
        return sum(self._free(one, other) for one, other in pairs) <= max(1.0, MOST_HOLES * size)

    def _free(self, one: Item, other: Item) -> int:
        """Count the settings in which two members of one skeleton differ by more than a step."""
        exact = self._numbers.exact
        if exact[id(one)] == exact[id(other)]:
            return 0
        if isinstance(one, Setting) and isinstance(other, Setting):
            if type(one.value) is str and type(other.value) is str:
                return int(not isinstance(find_rule((one.value, other.value)), Steps | None))
            return int(type(one.value) is not int or type(other.value) is not int or abs(one.value - other.value) > 1)
        free = [self._free(a, b) for a, b in zip(one.items, other.items, strict=True)]  # type: ignore[union-attr]
        return sum(free)

    def _body(self, members: Sequence[Sequence[Chunk]], level: int) -> tuple[Item, ...] | None:
        """Make the body of a repeat; None if too many settings differ."""
        templates = self._templates(members, level)
        for template in templates or ():
            self._numbers.add(template)
        return None if templates is None else tuple(self.fold(template, level + 1) for template in templates)

    def _templates(self, members: Sequence[Sequence[Chunk]], level: int) -> list[Chunk] | None:
        merged = [self._template([member[place] for member in members], level) for place in range(len(members[0]))]
        free = sum(holes for _, holes, _ in merged)
        if free > max(1.0, MOST_HOLES * sum(size for _, _, size in merged)):
            return None
        return [template for template, _, _ in merged]

    def _template(self, column: Sequence[Chunk], level: int) -> tuple[Chunk, int, int]:
        """Merge chunks of one skeleton; return the template, the number of its free holes, and of its settings."""
        name = _merge([chunk.name for chunk in column], level)
        if len({self._numbers.exact[id(chunk)] for chunk in column}) == 1:
            return replace(column[0], name=name), 0, self._numbers.size[id(column[0])]
        items: list[Item] = []
        free = size = 0
        for children in zip(*(chunk.items for chunk in column), strict=True):
            if isinstance(children[0], Setting):
                setting, hole = _merge_settings(children, level)
                items.append(setting)
                free, size = free + hole, size + 1
            else:
                inner, holes, sizes = self._template(children, level)
                items.append(inner)
                free, size = free + holes, size + sizes
        return replace(column[0], name=name, items=tuple(items)), free, size


def _merge_settings(settings: Sequence[Setting], level: int) -> tuple[Setting, bool]:
    first = settings[0]
    value = _merge([setting.value for setting in settings], level)
    origin = _merge([setting.origin for setting in settings], level)
    source = _merge([setting.source for setting in settings], level)
    free = type(value) is Hole and value.level == level and not isinstance(value.rule, Steps)
    if value is first.value and origin is first.origin and source is first.source:
        return first, False
    return Setting(first.name, value, origin, source), free


def _merge(values: Sequence[Any], level: int) -> Any:
    """Return the value that all have, or a hole."""
    rule = find_rule(values)
    return values[0] if rule is None else Hole(level, rule)


class _Runs:
    """Where a row of numbers repeats: for each period and each place, how far the pattern continues."""

    def __init__(self, numbers: Sequence[int]) -> None:
        self.refused: Counter[int] = Counter()
        self._size = len(numbers)
        self._goes_on = []
        for period in range(1, min(PERIOD, self._size // 2) + 1):
            goes_on = [0] * (self._size + 1)
            for place in range(self._size - period - 1, -1, -1):
                if numbers[place] == numbers[place + period]:
                    goes_on[place] = goes_on[place + 1] + 1
            self._goes_on.append(goes_on)

    def longest(self, at: int) -> tuple[int, int]:
        """Return the period and the count of the repeat at a place that saves most; the count is 1 if there is none."""
        best, saved = (1, 1), 0
        for period, goes_on in enumerate(self._goes_on, start=1):
            count = 1 + goes_on[at] // period
            if (count - 1) * period > saved:
                best, saved = (period, count), (count - 1) * period
        return best


def unfold(item: Chunk, env: tuple[int, ...] = ()) -> Chunk:
    """Undo `fold`."""
    return replace(item, name=value_at(item.name, env), items=tuple(_unfolded(item.items, env)))


def _unfolded(items: Sequence[Item], env: tuple[int, ...]) -> list[Item]:
    flat: list[Item] = []
    for item in items:
        if isinstance(item, Setting):
            flat.append(_setting_at(item, env))
        elif isinstance(item, Chunk):
            flat.append(unfold(item, env))
        elif isinstance(item, Repeat):
            for member in range(item.count):
                flat += _unfolded(item.body, (*env, member))
        else:
            raise TypeError(f"{type(item).__name__}: ungroup it before you unfold it")
    return flat


def _setting_at(setting: Setting, env: tuple[int, ...]) -> Setting:
    if Hole not in (type(setting.value), type(setting.origin), type(setting.source)):
        return setting
    parts = (value_at(part, env) for part in (setting.value, setting.origin, setting.source))
    return Setting(setting.name, *parts)


def find_rule(values: Sequence[Any]) -> Rule | None:
    """Find the shortest rule for exactly these values; None if they are all equal."""
    first = key_of(values[0])
    keys = [first]
    same = True
    for value in values[1:]:
        key = first if value is values[0] else key_of(value)
        same = same and key == first
        keys.append(key)
    if same:
        return None
    return _steps(values, keys) or _listed(values, keys)


def _steps(values: Sequence[Any], keys: Sequence[Any]) -> Steps | None:
    numbers = [numbers_in(value) for value in values[:2]]
    if not numbers[0] or len(numbers[0]) != len(numbers[1]):
        return None
    by = tuple(b - a for a, b in zip(numbers[0], numbers[1], strict=True))
    steps = Steps(values[0], by)
    exact = all(key_of(rule_at(steps, member)) == key for member, key in enumerate(keys))
    return steps if exact and (len(values) > 2 or _small(by)) else None


def _small(by: tuple[int, ...]) -> bool:
    """Return whether two members are numbered (layer 0, layer 1); any two numbers have a constant step."""
    return all(step in (-1, 0, 1) for step in by)


def _listed(values: Sequence[Any], keys: Sequence[Any]) -> Choice | Table:
    distinct: dict[Any, int] = {}
    firsts: list[Any] = []
    for value, key in zip(values, keys, strict=True):
        if key not in distinct:
            distinct[key] = len(firsts)
            firsts.append(value)
    if 2 * len(distinct) > len(values):
        return Table(tuple(values))
    return Choice(tuple(firsts), tuple([distinct[key] for key in keys]))


def value_at(value: Any, env: tuple[int, ...]) -> Any:
    """Return a value without holes, for one member (`env`) of each repeat around it."""
    while isinstance(value, Hole):
        value = rule_at(value.rule, env[value.level])
    return value


def rule_at(rule: Rule, member: int) -> Any:
    """Return a rule's value for one member."""
    if isinstance(rule, Table):
        return rule.values[member]
    if isinstance(rule, Choice):
        return rule.values[rule.index[member]]
    numbers = [number + step * member for number, step in zip(numbers_in(rule.first), rule.by, strict=True)]
    return with_numbers(rule.first, numbers)


def runs_of(rule: Rule, count: int) -> list[tuple[int, Any]]:
    """Return a rule's values as runs of equal values, in order: (how many, value)."""
    values = [rule_at(rule, member) for member in range(count)]
    starts = [0, *(k + 1 for k, (a, b) in enumerate(pairwise(values)) if key_of(a) != key_of(b)), count]
    return [(end - start, values[start]) for start, end in pairwise(starts)]


def numbers_in(value: Any) -> tuple[int, ...]:
    """Return the whole numbers in a value.

    >>> numbers_in("layers.7"), numbers_in(3), numbers_in((64, 128)), numbers_in(0.5)
    ((7,), (3,), (64, 128), ())
    """
    kind = type(value)
    if kind is int:
        return (value,)
    if kind is str:
        return tuple(int(text) for text in _NUMBER.findall(value) if len(text) < 16)
    if kind is Tensor:
        return tuple(value.shape)
    if kind in (tuple, list) and all(type(member) is int for member in value):
        return tuple(value)
    return ()


def with_numbers(value: Any, numbers: Sequence[int]) -> Any:
    """Return a value with other whole numbers in the same places.

    >>> with_numbers("layers.7", [8])
    'layers.8'
    """
    kind = type(value)
    if kind is int:
        return numbers[0]
    if kind is str:
        waiting = iter(numbers)
        return _NUMBER.sub(lambda m: str(next(waiting)).zfill(len(m[0])) if len(m[0]) < 16 else m[0], value)
    if kind is Tensor:
        return replace(value, shape=tuple(numbers))
    return kind(numbers)
