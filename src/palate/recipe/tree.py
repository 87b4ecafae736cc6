"""A recipe as a tree: settings with who decided them, chunks that hold them, and what folds many into one.

The exact tree holds `Chunk` and `Setting` only. Folding adds `Repeat` (many equal members) and `Group` (members put
together so that no level shows more than seven); `ungroup` and `unfold` take them out again.
"""

import enum
import hashlib
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Any

from palate.recipe.codec import Opaque, Symbol, Tensor, canonical_text, encode

Key = Any
"""A setting's name: text, or whatever a dictionary has as a key (a whole number, a tuple)."""


Path = tuple[Key, ...]

Aliases = tuple[tuple[Path, ...], ...]
"""Paths that lead to one and the same thing, a group each (tied weights)."""


PARAMETER, BUFFER = "parameter", "buffer"
"""Sources of a module's tensors."""


SEVEN = 7
"""No level shows more: what working memory holds."""


class Origin(enum.Enum):
    """Who decided a value: the person, a default, the code that made it out of others, who overrode it, the place."""

    SET = "set"
    DEFAULT = "default"
    DERIVED = "derived"
    REWRITTEN = "rewritten"
    AMBIENT = "ambient"


@dataclass(frozen=True, slots=True)
class Setting:
    """One value, who decided it and where.

    Attributes:
        name: its name inside of its chunk.
        value: the value, or a `Hole` inside of a repeat.
        origin: who decided it.
        source: where, as "train.py:41" or "torch 2.13.0 AdamW".
    """

    name: Key
    value: Any
    origin: Origin = Origin.SET
    source: str = ""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Settings and chunks under one name.

    Attributes:
        name: its name inside of its parent; its place in a list.
        kind: dict (order does not count), list, tuple, module (order counts), or object and the type's name.
        items: what it holds.
        places: where the items stood among their siblings, where some were left out; see `restrict`.
    """

    name: Key
    kind: str
    items: "tuple[Item, ...]"
    places: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """Siblings shown under one name that the recipe itself does not have; `places` are theirs among all siblings."""

    name: str
    items: "tuple[Item, ...]"
    places: tuple[int, ...]
    role: str = ""


@dataclass(frozen=True, slots=True)
class Repeat:
    """A row of siblings that are equal but for the holes.

    Attributes:
        count: how many times the body stands there.
        body: the first members; a value or name that differs is a `Hole`.
        level: how many repeats it lies in; the number that its holes carry.
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
    """Whole numbers that go up evenly: every number in `first` (a number, a text, a shape) by its own step."""

    first: Any
    by: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few values; `index` says which, member by member."""

    values: tuple[Any, ...]
    index: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A value for each member."""

    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Note:
    """Something that is not what it looks like: a setting that decides nothing, a value that code changed.

    Attributes:
        kind: dead, rewritten, untrained, frozen, tied, groups, order, seed, loader: what sort of trap.
        path: the setting that it is about.
        words: what happened, with the values and who did it.
    """

    kind: str
    path: str
    words: str


def key_of(value: Any) -> Hashable:
    """Give a key that is equal exactly where two values are, types included; quick for plain ones."""
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
    """Give a key for a name; see `key_of`."""
    return name if type(name) is str else key_of(name)


def is_ordered(kind: str) -> bool:
    """Whether the order of a chunk's items is part of what it says."""
    return kind in ("list", "tuple", "module")


def leaves(item: Item, path: Path = ()) -> Iterator[tuple[Path, Setting]]:
    """Walk an exact tree's settings, each with its path below `item`."""
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
    """Hash the values of an exact tree; provenance does not count, nor does order where it says nothing."""
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
    """Write a path: names with dots between them, whole numbers bare, anything else quoted.

    >>> path_text(("model", "layers", 3, "a.b"))
    'model.layers.3["a.b"]'
    """
    told = ""
    for key in path:
        if (type(key) is str and key and not any(mark in key for mark in '."[]')) or type(key) is int:
            told += f".{key}"
        else:
            told += f"[{canonical_text(encode(key))}]"
    return told.removeprefix(".")


def child_of(chunk: Chunk, name: Key) -> Item | None:
    """Find an item by its name."""
    wanted = name_key(name)
    return next((item for item in chunk.items if name_key(getattr(item, "name", None)) == wanted), None)


def find(chunk: Chunk, path: Path) -> Item | None:
    """Find what a path leads to."""
    item: Item | None = chunk
    for key in path:
        if not isinstance(item, Chunk):
            return None
        item = child_of(item, key)
    return item
