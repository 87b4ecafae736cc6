"""Plain nested values (of JSON, of YAML, of a dictionary) as a tree, with nothing lost."""

from collections.abc import Callable, Mapping
from typing import Any

from palate.errors import InputError
from palate.recipe.codec import Symbol, canonical_text, encode
from palate.recipe.tree import Chunk, Item, Key, Origin, Setting, path_text

DEEPEST = 100
"""The most levels of nesting; configurations have about ten."""

MOST_SETTINGS = 1_000_000
"""The most values of one file."""

Place = Callable[[tuple[Key, ...]], tuple[Origin, str]]
"""Returns who decided the value at a path, and where."""


class Fields(dict[Any, Any]):
    """The fields of an object, with the name of its type."""

    def __init__(self, kind: str, fields: Mapping[Any, Any]) -> None:
        super().__init__(fields)
        self.kind = kind


def from_value(name: Key, value: Any, place: Place | None = None) -> Item:
    """Make a tree of a nested value.

    Dictionaries become chunks, and so do lists and tuples that contain a dictionary. Anything else is one setting: a
    list of numbers is one value. An empty dictionary or list is a setting too, so that it is not lost.

    Raises:
        InputError: the value contains itself, or has more than `DEEPEST` levels.
    """
    return _Growing(place or (lambda _: (Origin.SET, ""))).grow(name, value, (), ())


class _Growing:
    def __init__(self, place: Place) -> None:
        self._place = place

    def grow(self, name: Key, value: Any, path: tuple[Key, ...], above: tuple[int, ...]) -> Item:
        if not is_nested(value):
            if isinstance(value, Fields):
                value = Symbol(kind="object", text=value.kind)
            origin, source = self._place(path)
            return Setting(name, value, origin, source)
        if id(value) in above:
            raise InputError(f"{path_text(path)} contains itself, so it cannot be written down.")
        if len(above) > DEEPEST:
            raise InputError(f"{path_text(path[:4])}... is nested more than {DEEPEST} deep.")
        pairs = value.items() if isinstance(value, Mapping) else enumerate(value)
        inner = (*above, id(value))
        items = tuple(self.grow(key, member, (*path, key), inner) for key, member in pairs)
        return Chunk(name, _kind(value), items)


def _kind(value: Any) -> str:
    if type(value) in (dict, list, tuple):
        return type(value).__name__
    return f"object {value.kind}" if isinstance(value, Fields) else f"object {type(value).__qualname__}"


def is_nested(value: Any) -> bool:
    """Return whether a value becomes a chunk, not a setting."""
    if isinstance(value, Mapping):
        return bool(value)
    return type(value) in (list, tuple) and any(_holds_mapping(member, 0) for member in value)


def _holds_mapping(value: Any, depth: int) -> bool:
    if isinstance(value, Mapping) or depth > DEEPEST:
        return True
    return type(value) in (list, tuple) and any(_holds_mapping(member, depth + 1) for member in value)


def same_value(one: Any, other: Any) -> bool:
    """Return whether two values are equal, types included."""
    return canonical_text(encode(one)) == canonical_text(encode(other))


def count_values(value: Any, most: int = MOST_SETTINGS) -> int:
    """Count the values in a nested value; stop soon after `most`. A value that is shared counts each time."""
    waiting, count = [value], 0
    while waiting and count <= most:
        current = waiting.pop()
        count += 1
        if isinstance(current, Mapping):
            waiting.extend(current.values())
        elif type(current) in (list, tuple):
            waiting.extend(current)
    return count
