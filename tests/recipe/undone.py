"""The inverses of what palate does to recipes: the laws hold if what was split, compared or read comes back exactly."""

from dataclasses import replace

from palate.recipe.diff import ABSENT, KIND, Edit
from palate.recipe.tree import Chunk, Setting, is_ordered, name_key


def invert(edits):
    """Turn a difference round: `invert(diff(a, b)) == diff(b, a)`."""
    return tuple(
        Edit(tuple((after, before) for before, after in edit.steps), edit.after, edit.before, edit.places[::-1])
        for edit in edits
    )


def patch(chunk, edits):
    """Apply a difference: `patch(a, diff(a, b))` has the content of b."""
    if edits and not edits[0].steps:
        return replace(edits[0].after, name=chunk.name)
    return patched(chunk, [(edit.steps, edit) for edit in edits])


def patched(chunk, waiting):
    here, below, added = {}, {}, []
    for steps, edit in waiting:
        before, _ = steps[0]
        if len(steps) > 1:
            below.setdefault(name_key(before), []).append((steps[1:], edit))
        elif before is ABSENT:
            added.append(edit)
        else:
            here[name_key(before)] = edit
    kind = here.pop(name_key(KIND), None)
    kept = list(kept_items(chunk, here, below))
    assert not here
    assert not below
    new = [edit.after for edit in added]
    items = renumbered(placed(kept, added)) if is_ordered(chunk.kind) else [*kept, *new]
    return replace(chunk, kind=chunk.kind if kind is None else kind.after.value, items=tuple(items))


def kept_items(chunk, here, below):
    for item in chunk.items:
        key = name_key(item.name)
        edit = here.pop(key, None)
        if edit is not None:
            if edit.after is not None:
                yield edit.after
        elif key in below:
            yield patched(item, below.pop(key))
        else:
            yield item


def placed(kept, added):
    """Put new items into their places; the others fill the rest in their order."""
    at = {edit.places[1]: edit.after for edit in added}
    rest = iter(kept)
    return [at[place] if place in at else next(rest) for place in range(len(kept) + len(at))]


def renumbered(items):
    """Renumber items whose names are consecutive whole numbers, as in lists and sequences of layers."""
    numbers = iter(range(len(items)))
    return [replace(item, name=next(numbers)) if type(item.name) is int else item for item in items]


def merge(parts):
    """Undo `split`."""
    if len(parts) == 1 and parts[0].places is None:
        return parts[0]
    by_place = {}
    for part in parts:
        for place, item in zip(part.places or range(len(part.items)), part.items, strict=True):
            by_place.setdefault(place, []).append(item)
    members = [members for _, members in sorted(by_place.items())]
    items = tuple(merge(items) if isinstance(items[0], Chunk) else items[0] for items in members)
    return replace(parts[0], items=items, places=None)


def to_value(item):
    """Undo `from_value`; objects come back as dictionaries of their fields."""
    if isinstance(item, Setting):
        return item.value
    if item.kind in ("list", "tuple"):
        members = [to_value(child) for child in item.items]
        return members if item.kind == "list" else tuple(members)
    return {child.name: to_value(child) for child in item.items}
