"""Whole numbers for subtrees (hash-consing): subtrees are equal if their numbers are, so comparing them is cheap."""

from collections.abc import Hashable
from typing import Any

from palate.recipe.codec import Opaque
from palate.recipe.tree import Chunk, Item, Setting, children_of, is_ordered, key_of, name_key

STRUCTURE: frozenset[object] = frozenset({"class", "type", "_component_", "_target_", "class_path"})
"""Settings whose value says what a chunk is: chunks with different values have different skeletons."""


class _StructureNames(frozenset[object]):
    """A set of texts that can be asked about names of any type, those that cannot be hashed included."""

    def __contains__(self, name: object) -> bool:
        return type(name) is str and super().__contains__(name)


_STRUCTURE_TEXT = _StructureNames(STRUCTURE)


class Numbering:
    """The numbers of all subtrees that were added, each by the `id()` of its item.

    Args:
        strict: whether the order of a dictionary's items, places, origins and sources count too.

    Attributes:
        exact: equal for two items with the same content.
        shape: equal for two items with the same skeleton: names, kinds and classes.
        size: the number of settings in an item.
        unknown: the items that contain a value which cannot be compared.
    """

    def __init__(self, *, strict: bool) -> None:
        self._strict = strict
        self._numbers: dict[Hashable, int] = {}
        self.exact: dict[int, int] = {}
        self.shape: dict[int, int] = {}
        self.size: dict[int, int] = {}
        self.unknown: set[int] = set()
        self._numbered: list[Item] = []

    def add(self, item: Item) -> None:
        """Number an item and everything in it, the deepest items first."""
        here = id(item)
        if here in self.exact:
            return
        self._numbered.append(item)  # keeps the object alive, so that its id stays its own
        if type(item) is Setting:
            self._add_setting(here, item)
            return
        children = children_of(item)
        for child in children:
            self.add(child)
            if id(child) in self.unknown:
                self.unknown.add(here)
        self._add_parent(here, item, children)

    def _add_setting(self, here: int, item: Setting) -> None:
        value = key_of(item.value)
        content = ("=", value, item.origin, item.source) if self._strict else ("=", value)
        self.exact[here] = self._intern(content)
        self.shape[here] = self._intern(("~", value if item.name in _STRUCTURE_TEXT else None))
        self.size[here] = 1
        if holds_unknown(item.value):
            self.unknown.add(here)

    def _add_parent(self, here: int, item: Item, children: tuple[Any, ...]) -> None:
        names = tuple(name_key(getattr(child, "name", None)) for child in children)
        mark: Hashable
        if isinstance(item, Chunk):
            mark = (item.kind, item.places if self._strict else None)
        else:
            mark = (type(item).__name__, getattr(item, "places", None), getattr(item, "count", None))
        exacts = tuple([self.exact[id(child)] for child in children])
        loose = not self._strict and isinstance(item, Chunk) and not is_ordered(item.kind)
        pairs: Hashable = frozenset(zip(names, exacts, strict=True)) if loose else (names, exacts)
        self.exact[here] = self._intern((mark, pairs))
        self.shape[here] = self._intern(("~", mark, names, tuple([self.shape[id(child)] for child in children])))
        self.size[here] = sum([self.size[id(child)] for child in children])

    def _intern(self, key: Hashable) -> int:
        return self._numbers.setdefault(key, len(self._numbers))


def holds_unknown(value: Any) -> bool:
    """Return whether a value contains an object that cannot be compared."""
    kind = type(value)
    if kind is Opaque:
        return value.fingerprint is None
    if kind in (tuple, list, set, frozenset):
        return any(map(holds_unknown, value))
    if kind is dict:
        return any(map(holds_unknown, value.values()))
    return False
