"""No level shows more than seven: siblings that are too many are put into groups, and taken out again exactly.

`restrict` looks at some settings of a tree alone (those of one role, of one lens) and remembers their places, so that
`merge` of all restrictions is the tree again.
"""

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace

from palate.recipe.numbering import STRUCTURE
from palate.recipe.tree import SEVEN, Chunk, Group, Item, Key, Path, Repeat, Setting

SETTINGS = "settings"
"""The group of what a module or a chunk has of its own."""

Label = Callable[[Path, Setting], str]
"""Says under which label a setting belongs."""


def split(chunk: Chunk, label: Label, path: Path = ()) -> dict[str, Chunk]:
    """Split a tree by the labels of its settings: one restricted tree each; `merge` undoes it."""
    parts: dict[str, list[tuple[int, Item]]] = {}
    whole = True
    for place, item in enumerate(chunk.items):
        below = (*path, item.name)  # type: ignore[union-attr]
        held = {label(below, item): item} if isinstance(item, Setting) else split(item, label, below)  # type: ignore[arg-type]
        whole = whole and len(held) == 1
        for name, part in held.items():
            parts.setdefault(name, []).append((place, part))
    if len(parts) == 1 and whole:
        return {next(iter(parts)): chunk}
    return {name: _restricted(chunk, held) for name, held in parts.items()}


def _restricted(chunk: Chunk, held: Sequence[tuple[int, Item]]) -> Chunk:
    return replace(chunk, items=tuple(item for _, item in held), places=tuple(place for place, _ in held))


def merge(parts: Sequence[Chunk]) -> Chunk:
    """Undo `split`."""
    if len(parts) == 1 and parts[0].places is None:
        return parts[0]
    by_place: dict[int, list[Item]] = {}
    for part in parts:
        for place, item in zip(part.places or range(len(part.items)), part.items, strict=True):
            by_place.setdefault(place, []).append(item)
    items = tuple(
        merge(held) if isinstance(held[0], Chunk) else held[0]  # type: ignore[arg-type]
        for _, held in sorted(by_place.items())
    )
    return replace(parts[0], items=items, places=None)


def group(item: Item) -> Item:
    """Put siblings into groups wherever a chunk has more than seven, all the way down."""
    if isinstance(item, Chunk):
        items = tuple(map(group, item.items))
        return replace(item, items=_layers_first(items) if item.kind == "module" else cap(items))
    if isinstance(item, Repeat):
        return replace(item, body=cap(tuple(map(group, item.body))))
    return item


def _layers_first(items: tuple[Item, ...]) -> tuple[Item, ...]:
    """Put a module's own settings into one group behind its layers: the big picture first."""
    own = [place for place, item in enumerate(items) if isinstance(item, Setting)]
    if len(own) == len(items):
        return cap(items)
    if len(own) < 2:
        return items if len(items) <= SEVEN else _grouped(items, _in_order(items, SEVEN))
    rest = [place for place, item in enumerate(items) if not isinstance(item, Setting)]
    row = tuple(items[place] for place in rest)
    layers = row if len(row) < SEVEN else _grouped(row, _in_order(row, SEVEN - 1))
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
    """Put the members of groups back to their places; groups lie in groups."""
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
    """Group siblings so that at most seven are left: settings apart, then by name, by kind, else in order."""
    if len(items) <= most:
        return items
    for bucket_of in (_mixed, _prefix, _kind):
        buckets = _buckets(items, bucket_of)
        if len(buckets) < len(items) and 1 < len(buckets) <= most:
            return _grouped(items, buckets)
    return _grouped(items, _in_order(items, most))


Buckets = dict[Hashable, list[int]]


def _buckets(items: Sequence[Item], bucket_of: Callable[[Item, int], Hashable]) -> Buckets:
    buckets: Buckets = {}
    for place, item in enumerate(items):
        buckets.setdefault(bucket_of(item, place), []).append(place)
    return buckets


def _mixed(item: Item, place: int) -> Hashable:
    """Settings in one bucket, every chunk in its own."""
    if isinstance(item, Setting) and item.name not in STRUCTURE:
        return SETTINGS
    return place


def _prefix(item: Item, place: int) -> Hashable:
    name = name_of(item)
    head = name.replace("-", "_").partition("_")[0]
    return head if head != name else f"{name} {place}"


def _kind(item: Item, place: int) -> Hashable:
    if isinstance(item, Chunk):
        told = next((str(s.value) for s in item.items if isinstance(s, Setting) and s.name in STRUCTURE), "")
        return told.rpartition(".")[2] or item.kind
    return _PLAIN.get(type(item.value).__name__, "others") if isinstance(item, Setting) else place


_PLAIN = {"int": "numbers", "float": "numbers", "bool": "switches", "NoneType": "unset", "str": "texts",
          "Tensor": "tensors"}  # fmt: skip


def _in_order(items: Sequence[Item], most: int) -> Buckets:
    size = max(most, math.ceil(len(items) / most))
    return {
        f"{name_of(items[start])} ... {name_of(items[min(start + size, len(items)) - 1])}": list(
            range(start, min(start + size, len(items)))
        )
        for start in range(0, len(items), size)
    }


def _grouped(items: tuple[Item, ...], buckets: Buckets) -> tuple[Item, ...]:
    found: list[Item] = []
    for name, places in buckets.items():
        if len(places) == 1:
            found.append(items[places[0]])
        else:
            found.append(Group(str(name), cap(tuple(items[place] for place in places)), tuple(places)))
    return tuple(found)


def name_of(item: Item) -> str:
    """Write an item's name for people."""
    if isinstance(item, Repeat):
        return f"{item.count} x {name_of(item.body[0])}"
    name: Key = item.name
    return name if isinstance(name, str) else str(name) if isinstance(name, int) else "..."


def count_leaves(item: Item) -> int:
    """Count the settings that an item stands for, those behind repeats included."""
    if isinstance(item, Setting):
        return 1
    if isinstance(item, Repeat):
        return item.count * sum(map(count_leaves, item.body))
    if isinstance(item, Chunk | Group):
        return sum(map(count_leaves, item.items))
    return sum(map(count_leaves, item.base.items))


def fullest(item: Item) -> int:
    """Give how many items the fullest level shows."""
    held = item.body if isinstance(item, Repeat) else () if isinstance(item, Setting) else getattr(item, "items", ())
    return max([len(held), *map(fullest, held)])
