"""Parts of a tree, and groups of siblings.

`split` makes one smaller tree for each label of a setting (its role, its lens); the parts remember the places of their
items. `group` puts siblings into groups, so that no level shows more than seven; `ungroup` undoes it exactly.
"""

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace

from palate.recipe.codec import Symbol
from palate.recipe.numbering import STRUCTURE
from palate.recipe.tree import (
    SEVEN,
    Chunk,
    Group,
    Hole,
    Item,
    Key,
    Path,
    Repeat,
    Setting,
    Steps,
    children_of,
    path_text,
)

SETTINGS = "settings"
"""The name of the group of a module's or a chunk's own settings."""

Label = Callable[[Path, Setting], str]
"""Returns the label of a setting, given its path too."""

Buckets = list[tuple[str, list[int]]]
"""Groups of siblings: the name that is shown, which two of them may share, and the places of the members."""

_TYPE_GROUPS = {"int": "numbers", "float": "numbers", "bool": "switches", "NoneType": "unset", "str": "texts",
                "Tensor": "tensors"}  # fmt: skip
"""Groups of plain settings, by the types of their values."""


def split(chunk: Chunk, label: Label, path: Path = ()) -> dict[str, Chunk]:
    """Split a tree by the labels of its settings: one smaller tree for each label, with the places of its items."""
    parts: dict[str, list[tuple[int, Item]]] = {}
    whole = True
    for place, item in enumerate(chunk.items):
        below = (*path, item.name)  # type: ignore[union-attr]
        labelled = {label(below, item): item} if isinstance(item, Setting) else split(item, label, below)  # type: ignore[arg-type]
        whole = whole and len(labelled) == 1
        for name, part in labelled.items():
            parts.setdefault(name, []).append((place, part))
    if len(parts) == 1 and whole:
        return {next(iter(parts)): chunk}
    return {name: _restricted(chunk, placed) for name, placed in parts.items()}


def _restricted(chunk: Chunk, placed: Sequence[tuple[int, Item]]) -> Chunk:
    return replace(chunk, items=tuple(item for _, item in placed), places=tuple(place for place, _ in placed))


def group(item: Item) -> Item:
    """Put siblings into groups in every chunk that has more than seven, at all levels."""
    if isinstance(item, Chunk):
        items = tuple(map(group, item.items))
        return replace(item, items=_layers_first(items) if item.kind == "module" else cap(items))
    if isinstance(item, Repeat):
        body = tuple(map(group, item.body))
        return replace(item, body=_row(body, SEVEN) if _is_module(item.body[0]) else cap(body))
    return item


def _is_module(item: Item) -> bool:
    return isinstance(item, Chunk) and item.kind == "module"


def _layers_first(items: tuple[Item, ...]) -> tuple[Item, ...]:
    """Put a module's layers first and its own settings into one group behind them."""
    own = [place for place, item in enumerate(items) if isinstance(item, Setting) and not is_layer_again(item)]
    if len(own) == len(items):
        return cap(items)
    if len(own) < 2:
        return _row(items, SEVEN)
    mine = set(own)
    rest = [place for place in range(len(items)) if place not in mine]
    layers = _row(tuple(items[place] for place in rest), SEVEN - 1)
    moved = (
        replace(item, places=tuple(rest[place] for place in item.places)) if isinstance(item, Group) else item
        for item in layers
    )
    return (*moved, Group(SETTINGS, cap(tuple(items[place] for place in own)), tuple(own)))


def ungroup(item: Item) -> Item:
    """Undo `group`."""
    if isinstance(item, Chunk):
        return replace(item, items=tuple(map(ungroup, _taken_out(item.items))))
    if isinstance(item, Repeat):
        return replace(item, body=tuple(map(ungroup, _taken_out(item.body))))
    return item


def _taken_out(items: Sequence[Item]) -> list[Item]:
    """Put the members of groups back into their places; a group may contain groups."""
    if not any(isinstance(item, Group) for item in items):
        return list(items)
    placed: dict[int, Item] = {}
    for item in items:
        if isinstance(item, Group):
            placed.update(zip(item.places, _taken_out(item.items), strict=True))
    free = iter(item for item in items if not isinstance(item, Group))
    size = len(placed) + sum(1 for item in items if not isinstance(item, Group))
    return [placed[place] if place in placed else next(free) for place in range(size)]


def cap(items: tuple[Item, ...], most: int = SEVEN) -> tuple[Item, ...]:
    """Group siblings so that at most `most` are left: settings apart, else by prefix, else by kind, else in order."""
    if len(items) <= most:
        return items
    for bucket_of in (_mixed, _prefix, _kind):
        buckets = _buckets(items, bucket_of)
        if len(buckets) < len(items) and 1 < len(buckets) <= most:
            return _grouped(items, buckets, cap)
    return _row(items, most)


def _row(items: tuple[Item, ...], most: int) -> tuple[Item, ...]:
    """Group siblings so that at most `most` are left, all in the order that they have, as a model's layers need."""
    if len(items) <= most:
        return items
    size = max(most, math.ceil(len(items) / most))
    rows = [list(range(start, min(start + size, len(items)))) for start in range(0, len(items), size)]
    names = [f"{name_of(items[row[0]])} ... {name_of(items[row[-1]])}" for row in rows]
    return _grouped(items, list(zip(names, rows, strict=True)), lambda part: _row(part, SEVEN))


def is_layer_again(item: Item) -> bool:
    """Return whether a module's item stands for a layer that stands elsewhere too, and is told by its path there."""
    value = item.value if isinstance(item, Setting) else None
    return isinstance(value, Symbol) and value.kind == "reference" and not value.text.startswith("attached.")


def _buckets(items: Sequence[Item], bucket_of: Callable[[Item, int], Hashable]) -> Buckets:
    buckets: dict[Hashable, list[int]] = {}
    for place, item in enumerate(items):
        buckets.setdefault(bucket_of(item, place), []).append(place)
    return [(str(name), places) for name, places in buckets.items()]


def _mixed(item: Item, place: int) -> Hashable:
    """Put all settings into one bucket, and every chunk into one of its own."""
    if isinstance(item, Setting) and item.name not in STRUCTURE and not is_layer_again(item):
        return SETTINGS
    return place


def _prefix(item: Item, place: int) -> Hashable:
    name = name_of(item)
    head = name.replace("-", "_").partition("_")[0]
    return head if head != name else place


def _kind(item: Item, place: int) -> Hashable:
    if isinstance(item, Chunk):
        class_name = next((str(s.value) for s in item.items if isinstance(s, Setting) and s.name in STRUCTURE), "")
        return class_name.rpartition(".")[2] or item.kind
    return _TYPE_GROUPS.get(type(item.value).__name__, "others") if isinstance(item, Setting) else place


def _grouped(
    items: tuple[Item, ...], buckets: Buckets, inside: Callable[[tuple[Item, ...]], tuple[Item, ...]]
) -> tuple[Item, ...]:
    shown: list[Item] = []
    for name, places in buckets:
        if len(places) == 1:
            shown.append(items[places[0]])
        else:
            shown.append(Group(name, inside(tuple(items[place] for place in places)), tuple(places)))
    return tuple(shown)


def name_of(item: Item) -> str:
    """Write an item's name for people; in a repeat, the name that its first member has."""
    if isinstance(item, Repeat):
        return f"{item.count} x {name_of(item.body[0])}"
    name: Key = item.name
    while isinstance(name, Hole):
        name = name.rule.first if isinstance(name.rule, Steps) else name.rule.values[0]
    return name if isinstance(name, str) else str(name) if type(name) is int else path_text((name,))


def count_leaves(item: Item) -> int:
    """Count the settings of an item; those of a repeat count for each of its members."""
    if isinstance(item, Setting):
        return 1
    return (item.count if isinstance(item, Repeat) else 1) * sum(map(count_leaves, children_of(item)))


def fullest(item: Item) -> int:
    """Return the largest number of items that one level shows."""
    children = children_of(item)
    return max([len(children), *map(fullest, children)])
