"""What differs between the members of a repeat: numbers that step evenly, one of a few values, or a table."""

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

from palate.recipe.codec import Tensor
from palate.recipe.tree import Choice, Hole, Steps, Table, key_of

_NUMBER = re.compile(r"\d+")
Rule = Steps | Choice | Table


def find_rule(values: Sequence[Any]) -> Rule | None:
    """Find the shortest rule that gives exactly these values; None where all are the same."""
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
    """Two members always step evenly; only numbering (layer 0, layer 1) is worth being called a step."""
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
    """Give a value as it is for one member of every repeat it lies in."""
    while isinstance(value, Hole):
        value = rule_at(value.rule, env[value.level])
    return value


def rule_at(rule: Rule, member: int) -> Any:
    """Give a rule's value for one member."""
    if isinstance(rule, Table):
        return rule.values[member]
    if isinstance(rule, Choice):
        return rule.values[rule.index[member]]
    numbers = [number + step * member for number, step in zip(numbers_in(rule.first), rule.by, strict=True)]
    return with_numbers(rule.first, numbers)


def numbers_in(value: Any) -> tuple[int, ...]:
    """Name the whole numbers that a value is written with.

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
    if kind in (tuple, list) and all(type(held) is int for held in value):
        return tuple(value)
    return ()


def with_numbers(value: Any, numbers: Sequence[int]) -> Any:
    """Write a value with other whole numbers in the same places.

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


def runs_of(rule: Rule, count: int) -> list[tuple[int, Any]]:
    """Give a rule's values as runs of equal ones: (how many, value), in order."""
    values = [rule_at(rule, member) for member in range(count)]
    starts = [0, *(k + 1 for k, (a, b) in enumerate(pairwise(values)) if key_of(a) != key_of(b)), count]
    return [(end - start, values[start]) for start, end in pairwise(starts)]
