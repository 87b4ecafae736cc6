"""The tree of a recipe: settings with who decided them, and the chunks that hold them.

The exact tree has `Chunk` and `Setting` only. `fold` adds `Repeat` (siblings that are equal but for a few values) and
`group` adds `Group` (siblings put together so that no level shows more than seven); `ungroup` and `unfold` remove both
again.
"""

import enum
import hashlib
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Any

from palate.recipe.codec import Opaque, Symbol, Tensor, canonical_text, encode

PARAMETER, BUFFER = "parameter", "buffer"
"""The two sources of a module's tensors."""

SEVEN = 7
"""The most items that one level shows: about what working memory can keep."""

Key = Any
"""The name of a setting: text, or any other key of a dictionary (a whole number, a tuple)."""

Path = tuple[Key, ...]
"""The names from the root of a tree down to one item."""

Aliases = tuple[tuple[Path, ...], ...]
"""Groups of paths; all paths of a group lead to the same object (tied weights)."""


class Origin(enum.Enum):
    """Who decided a value.

    Attributes:
        SET: the person.
        DEFAULT: a default of the library.
        DERIVED: code that computed it from other values.
        REWRITTEN: code that overrode what the person or the default had said.
        AMBIENT: the machine and its software.
    """

    SET = "set"
    DEFAULT = "default"
    DERIVED = "derived"
    REWRITTEN = "rewritten"
    AMBIENT = "ambient"


@dataclass(frozen=True, slots=True)
class Setting:
    """One value, who decided it and where.

    Attributes:
        name: its name in its chunk.
        value: the value, or a `Hole` in a repeat.
        origin: who decided it.
        source: where it was decided, as "train.py:41" or "torch 2.13.0 AdamW".
    """

    name: Key
    value: Any
    origin: Origin = Origin.SET
    source: str = ""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Settings and chunks under one name.

    Attributes:
        name: its name in its parent; its index in a list.
        kind: "dict" or "object" and a type's name (the order of items does not count); "list", "tuple" or "module"
            (it counts).
        items: what it contains.
        places: the indices that the items had in the full chunk, if this is only a part of it; see `split`.
    """

    name: Key
    kind: str
    items: "tuple[Item, ...]"
    places: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """Siblings shown under a name that the recipe itself does not have.

    Attributes:
        name: the name that is shown.
        items: the siblings.
        places: their indices among all siblings.
    """

    name: str
    items: "tuple[Item, ...]"
    places: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """A row of siblings that are equal but for the holes.

    Attributes:
        count: how many times the body is repeated.
        body: the first member, one item or more; a value or name that differs between members is a `Hole`.
        level: how many repeats contain this one; its holes carry the same number.
    """

    count: int
    body: "tuple[Item, ...]"
    level: int


Item = Setting | Chunk | Group | Repeat


@dataclass(frozen=True, slots=True)
class Hole:
    """A value that differs between the members of the repeat at `level`."""

    level: int
    rule: "Steps | Choice | Table"


@dataclass(frozen=True, slots=True)
class Steps:
    """Whole numbers with constant steps: each number in `first` (a number, a text, a shape) has its step in `by`."""

    first: Any
    by: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few values; `index` says which one each member has."""

    values: tuple[Any, ...]
    index: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A value for each member."""

    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Note:
    """A warning that a setting is not what it looks like: it decides nothing, or code changed its value.

    Attributes:
        kind: the kind of trap: dead, rewritten, untrained, frozen, tied, groups, order, seed, loader, unseen.
        path: the setting that it is about.
        words: what happened, with the values and who changed them.
    """

    kind: str
    path: str
    words: str


def key_of(value: Any) -> Hashable:
    """Return a hashable key: two keys are equal exactly if the values and their types are. Fast for plain values."""
    kind = type(value)
    if kind is str or kind is int or kind is bool or value is None or kind is Tensor or kind is Symbol:
        return kind, value
    if kind is float:
        return kind, repr(value)
    if kind is Hole:
        return kind, value.level, key_of(value.rule)
    if kind is Steps:
        return kind, key_of(value.first), value.by
    if kind is Origin:
        return kind, value.value
    if kind is Choice or kind is Table:
        return kind, tuple(map(key_of, value.values)), value.index if kind is Choice else ()
    if kind is Opaque and value.fingerprint is None:
        return kind, id(value)
    return canonical_text(encode(value))


def name_key(name: Key) -> Hashable:
    """Return a hashable key of a name; see `key_of`."""
    return name if type(name) is str else key_of(name)


def is_ordered(kind: str) -> bool:
    """Return whether the order of the items matters in a chunk of this kind."""
    return kind in ("list", "tuple", "module")


def children_of(item: Item) -> tuple[Item, ...]:
    """Return the items that an item directly contains; of a repeat, those of its body."""
    if isinstance(item, Setting):
        return ()
    return item.body if isinstance(item, Repeat) else item.items


def leaves(item: Item, path: Path = ()) -> Iterator[tuple[Path, Setting]]:
    """Yield the settings of a tree without repeats, each with its path below `item`."""
    if isinstance(item, Setting):
        yield (*path, item.name), item
    elif isinstance(item, Chunk):
        for child in item.items:
            if isinstance(child, Setting):
                yield (*path, child.name), child
            else:
                yield from leaves(child, (*path, child.name) if isinstance(child, Chunk) else path)
    elif isinstance(item, Group):
        for child in item.items:
            yield from leaves(child, (*path, child.name) if isinstance(child, Chunk) else path)


def chunk_id(item: Item, memo: dict[int, str] | None = None) -> str:
    """Return a hash of the values of an exact tree; who decided them does not count, nor does order in dictionaries."""
    memo = {} if memo is None else memo
    known = memo.get(id(item))
    if known is None:
        known = memo[id(item)] = hashlib.sha256(_id_text(item, memo).encode()).hexdigest()
    return known


def _id_text(item: Item, memo: dict[int, str]) -> str:
    if isinstance(item, Setting):
        return canonical_text(["=", encode(item.value)])
    if not isinstance(item, Chunk):
        raise TypeError(f"{type(item).__name__}: only an exact tree has an id; unfold it first")
    parts = [[canonical_text(encode(child.name)), chunk_id(child, memo)] for child in item.items]  # type: ignore[union-attr]
    return canonical_text([item.kind, parts if is_ordered(item.kind) else sorted(parts)])


def path_text(path: Path) -> str:
    """Write a path as text: names with dots between them, whole numbers bare, anything else quoted.

    >>> path_text(("model", "layers", 3, "a.b"))
    'model.layers.3["a.b"]'
    """
    text = ""
    for key in path:
        if (type(key) is str and key and not any(mark in key for mark in '."[]')) or type(key) is int:
            text += f".{key}"
        else:
            text += f"[{canonical_text(encode(key))}]"
    return text.removeprefix(".")


def child_of(chunk: Chunk, name: Key) -> Item | None:
    """Find an item of a chunk by its name."""
    wanted = name_key(name)
    return next((item for item in chunk.items if name_key(getattr(item, "name", None)) == wanted), None)


def find(chunk: Chunk, path: Path) -> Item | None:
    """Find the item that a path leads to."""
    item: Item | None = chunk
    for key in path:
        if not isinstance(item, Chunk):
            return None
        item = child_of(item, key)
    return item
