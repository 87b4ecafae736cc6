"""Plain nested values (what JSON, YAML, a dictionary holds) as a tree, and back, exactly."""

from collections.abc import Callable, Mapping
from typing import Any

from palate.errors import InputError
from palate.recipe.codec import Symbol, canonical_text, encode
from palate.recipe.tree import Chunk, Item, Key, Origin, Setting, path_text

DEEPEST = 100
"""Levels of nesting from which on a value is refused; configurations have about ten."""

MOST_SETTINGS = 1_000_000


def count_values(value: Any, most: int = MOST_SETTINGS) -> int:
    """Count the values in a nested one, up to a little more than `most`; what is shared counts each time."""
    waiting, count = [value], 0
    while waiting and count <= most:
        held = waiting.pop()
        count += 1
        if isinstance(held, Mapping):
            waiting.extend(held.values())
        elif type(held) in (list, tuple):
            waiting.extend(held)
    return count


Place = Callable[[tuple[Key, ...]], tuple[Origin, str]]
"""Says of a path who decided its value and where."""


class Fields(dict[Any, Any]):
    """The fields of an object, with the name of its type."""

    def __init__(self, kind: str, fields: Mapping[Any, Any]) -> None:
        super().__init__(fields)
        self.kind = kind


def from_value(name: Key, value: Any, place: Place | None = None) -> Item:
    """Make a tree of a nested value.

    Dictionaries, and lists and tuples that hold any, become chunks; all else is one setting: a list of numbers is
    one value. An empty dictionary or list is a setting too, so that nothing of it is lost.

    Raises:
        InputError: a value that holds itself, or is nested deeper than any recipe.
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
            raise InputError(f"{path_text(path)} holds itself, so it cannot be written down.")
        if len(above) > DEEPEST:
            raise InputError(f"{path_text(path[:4])}... is nested more than {DEEPEST} deep.")
        pairs = value.items() if isinstance(value, Mapping) else enumerate(value)
        inner = (*above, id(value))
        items = tuple(self.grow(key, held, (*path, key), inner) for key, held in pairs)
        return Chunk(name, _kind(value), items)


def is_nested(value: Any) -> bool:
    """Whether a value becomes a chunk."""
    if isinstance(value, Mapping):
        return bool(value)
    return type(value) in (list, tuple) and any(_holds_mapping(held, 0) for held in value)


def _holds_mapping(value: Any, depth: int) -> bool:
    if isinstance(value, Mapping) or depth > DEEPEST:
        return True
    return type(value) in (list, tuple) and any(_holds_mapping(held, depth + 1) for held in value)


def _kind(value: Any) -> str:
    if type(value) in (dict, list, tuple):
        return type(value).__name__
    return f"object {value.kind}" if isinstance(value, Fields) else f"object {type(value).__qualname__}"


def to_value(item: Item) -> Any:
    """Undo `from_value`; objects come back as dictionaries of their fields."""
    if isinstance(item, Setting):
        return item.value
    if not isinstance(item, Chunk):
        raise TypeError(f"{type(item).__name__}: unfold it first")
    if item.kind in ("list", "tuple"):
        held = [to_value(child) for child in item.items]
        return held if item.kind == "list" else tuple(held)
    return {child.name: to_value(child) for child in item.items}  # type: ignore[union-attr]


def same_value(one: Any, other: Any) -> bool:
    """Whether two values are the same, types included."""
    return canonical_text(encode(one)) == canonical_text(encode(other))
