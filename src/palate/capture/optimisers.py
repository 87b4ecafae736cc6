"""Optimizers and learning rate schedules: the arguments of their constructors, and their values at the first step."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from palate.capture.code import class_symbol
from palate.capture.describe import built_chunk, describe, numbered_name, version_of
from palate.capture.observe import Seen
from palate.capture.probes import Built
from palate.recipe.codec import Opaque
from palate.recipe.tree import Chunk, Item, Note, Origin, Setting
from palate.recipe.values import from_value, same_value
from palate.recipe.words import value_words

DRIVEN = ("lr", "momentum", "betas", "beta1")
"""Settings that schedules change."""

SKIPPED = ("params", "optimizer", "optimiser", "initial_lr")
"""Arguments that are not settings."""


def optimiser_items(seen: Seen, models: Sequence[tuple[str, Any]]) -> tuple[list[Item], list[Note]]:
    """Describe the optimizers; the settings of a single one are not put under its name."""
    built = live_optimisers(seen)
    paths = {id(p): f"{name}.{path}" for name, model in models for path, p in model.named_parameters()}
    notes: list[Note] = []
    chunks: list[Chunk] = []
    for number, part in enumerate(built):
        name = seen.names.get(id(part.made), type(part.made).__name__)
        name = name if name not in [chunk.name for chunk in chunks] else f"{name} {number + 1}"
        chunks.append(Chunk(name, "dict", tuple(_optimiser(part, seen, paths, notes))))
    items: list[Item] = list(chunks[0].items) if len(chunks) == 1 else list(chunks)
    if built and seen.backwards > 1:
        items.append(Setting("backwards_before_step", seen.backwards, Origin.DERIVED))
    return items, notes


def live_optimisers(seen: Seen) -> list[Built]:
    """Return the optimizers that the code still has a name for when one of them steps, without wrapped ones."""
    built = [part for part in seen.probes.seen if part.role == "optimiser"]
    if seen.stepping is not None and all(part.made is not seen.stepping for part in built):
        built.append(_earlier(seen.stepping))
    known = [part for part in built if id(part.made) in seen.names] or built
    wrapped = {id(part.made): getattr(part.made, "optimizer", None) for part in known}
    return [part for part in known if not any(inner.made is wrapped[id(part.made)] for inner in known)]


def _earlier(optimizer: Any) -> Built:
    """Describe an optimizer that was built before palate watched: its values are known, who set them is not."""
    values = {key: value for key, value in optimizer.param_groups[0].items() if key not in SKIPPED}
    return Built("optimiser", optimizer, values, {}, "built before it was watched", values)


def _optimiser(built: Built, seen: Seen, paths: dict[int, str], notes: list[Note]) -> list[Item]:
    optimizer = built.made
    cls = type(optimizer)
    first = optimizer.param_groups[0]
    driver = _driver(seen, optimizer)
    items: list[Item] = [Setting("class", class_symbol(cls), Origin.SET, built.source)]
    for key, value in {**built.given, **built.defaults}.items():
        if key in SKIPPED:
            continue
        origin, source = (Origin.SET, built.source) if key in built.given else (Origin.DEFAULT, version_of(cls))
        in_force = first.get(key, value)
        made = built.after.get(key, value)
        if not _same(in_force, made):
            source = _rewritten(key, made, in_force, first, built, driver, notes)
            origin = Origin.REWRITTEN
        elif not _same(made, value):
            origin, source = Origin.DERIVED, f"the parameter groups or {cls.__name__} itself ({built.source})"
        items.append(from_value(key, describe(in_force), lambda _, o=origin, s=source: (o, s)))  # type: ignore[misc]
    arguments = {*built.given, *built.defaults}
    extra = [key for key in first if key not in arguments and key not in SKIPPED]
    items += [from_value(key, describe(first[key]), lambda _: (Origin.DERIVED, driver)) for key in extra]
    items.append(_groups(optimizer, paths, notes))
    return items


def _rewritten(
    key: str, before: Any, in_force: Any, group: dict[str, Any], built: Built, driver: str, notes: list[Note]
) -> str:
    """Return who changed a value between the constructor and the first step, and add a note about it."""
    by = (driver if key in DRIVEN else "") or "code between the constructor and the first step"
    was = f"{key}={value_words(describe(before))} ({built.source})"
    now = value_words(describe(in_force))
    start = group.get("initial_lr", before)
    if key == "lr" and not _same(start, before):
        words = f"{was} decides nothing: {by} starts at {now}"
        notes.append(Note("dead", "optimiser.lr", words))
    elif key != "lr":
        default = "" if key in built.given else "the default "
        notes.append(Note("rewritten", f"optimiser.{key}", f"{default}{was} became {now}: {by}"))
    return f"{by}; was {value_words(describe(before))} ({built.source})"


def _driver(seen: Seen, optimizer: Any) -> str:
    """Return the name and line of the schedule that drives an optimizer; nothing if none does."""
    for part in seen.probes.seen:
        if part.role == "schedule" and getattr(part.made, "optimizer", None) is optimizer:
            return f"{type(part.made).__name__} ({part.source})"
    return ""


def _groups(optimizer: Any, paths: dict[int, str], notes: list[Note]) -> Item:
    """Describe the parameter groups: sizes, a hash of their parameters' names, and what differs from the first."""
    first = optimizer.param_groups[0]
    groups: list[Item] = []
    for number, group in enumerate(optimizer.param_groups):
        members = sorted(paths.get(id(p), f"unnamed {tuple(p.shape)}") for p in group["params"])
        digest = hashlib.sha256("\n".join(members).encode()).hexdigest()[:16]
        items: list[Item] = [
            Setting("tensors", len(members), Origin.DERIVED),
            Setting("elements", sum(p.numel() for p in group["params"]), Origin.DERIVED),
            Setting("members", Opaque(type="parameter names", fingerprint=digest), Origin.DERIVED),
        ]
        differs = [k for k in group if k not in SKIPPED and number and not _same(group[k], first.get(k))]
        items += [from_value(key, describe(group[key])) for key in differs]
        if differs:
            values = ", ".join(f"{key} {value_words(describe(group[key]))}" for key in differs)
            words = (
                f"group {number} ({len(members)} tensors) has {values}, unlike group 0 ({len(first['params'])} tensors)"
            )
            notes.append(Note("groups", "optimiser", words))
        groups.append(Chunk(number, "dict", tuple(items)))
    return Chunk("groups", "list", tuple(groups))


def schedule_items(seen: Seen) -> tuple[list[Item], list[Note]]:
    """Describe the schedules; the parts of a composed schedule (SequentialLR) are put into its chunk."""
    live = [part.made for part in live_optimisers(seen)]
    built = [part for part in seen.probes.seen if part.role == "schedule" and _drives(part.made, live)]
    inner = {id(made) for part in built for made in getattr(part.made, "_schedulers", ())}
    notes: list[Note] = []
    chunks: list[Chunk] = []
    outer = [part for part in built if id(part.made) not in inner]
    for part in outer:
        without = (*SKIPPED, "schedulers")
        chunk = built_chunk(seen.names.get(id(part.made), type(part.made).__name__), part, without=without)
        parts = [b for b in built if any(b.made is made for made in getattr(part.made, "_schedulers", ()))]
        inner_chunks = tuple(
            Chunk(number, "dict", built_chunk("", b, without=SKIPPED).items) for number, b in enumerate(parts)
        )
        if inner_chunks:
            chunk = Chunk(chunk.name, chunk.kind, (*chunk.items, Chunk("schedulers", "list", inner_chunks)))
        chunks.append(chunk)
        steps = getattr(part.made, "_step_count", 1)
        if steps > 1:
            words = (
                f"{type(part.made).__name__} ({part.source}) stepped {steps - 1} time{'s' if steps > 2 else ''} before "
                "the first optimizer step: the first value of the schedule is never used"
            )
            notes.append(Note("order", "schedule", words))
    if len(chunks) == 1:
        return list(chunks[0].items), notes
    return _distinct(chunks), notes


def _drives(schedule: Any, live: Sequence[Any]) -> bool:
    """Return whether a schedule drives one of the optimizers, directly or through a wrapper around it."""
    driven = getattr(schedule, "optimizer", None)
    return any(made in (driven, getattr(driven, "optimizer", None)) for made in live)


def _distinct(chunks: Sequence[Chunk]) -> list[Item]:
    """Number chunks that have the same name."""
    names = [chunk.name for chunk in chunks]
    return [replace(chunk, name=numbered_name(chunk.name, names[: number + 1])) for number, chunk in enumerate(chunks)]


def _same(one: Any, other: Any) -> bool:
    return same_value(describe(one), describe(other))
