"""Recipes in words: values, holes of repeats, chunks, edits, and how many parameters a model has."""

from collections.abc import Iterator, Sequence
from math import prod
from pathlib import PurePath
from typing import Any

from palate.recipe.codec import Opaque, Secret, Symbol, Tensor, Unread
from palate.recipe.diff import ABSENT, KIND, Edit
from palate.recipe.fold import rule_at, runs_of, value_at
from palate.recipe.groups import count_leaves
from palate.recipe.numbering import STRUCTURE
from palate.recipe.tree import (
    PARAMETER,
    Choice,
    Chunk,
    Group,
    Hole,
    Item,
    Path,
    Repeat,
    Setting,
    Steps,
    children_of,
    leaves,
    path_text,
)

LONG = 48
"""The most characters of a value; a longer one is cut."""


def value_words(value: Any, count: int = 0) -> str:
    """Write a value; for a hole, the values of the members of its repeat, of which there are `count`."""
    if isinstance(value, Hole):
        return hole_words(value, count)
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, str):
        return _cut(value if value and value.isprintable() else repr(value))
    if isinstance(value, Symbol | Tensor | Secret | Opaque | Unread | PurePath):
        return _cut(str(value))
    if isinstance(value, list | tuple) and len(value) > 6:
        return f"{len(value)} values, {value_words(value[0])} ... {value_words(value[-1])}"
    if isinstance(value, list | tuple):
        members = ", ".join(map(value_words, value))
        return f"[{members}]" if isinstance(value, list) else f"({members})"
    return _cut(repr(value))


def hole_words(hole: Hole, count: int) -> str:
    """Write the values of the members of a repeat: `0..31`, `64..992 by 32`, `3 x dense, 58 x moe`."""
    rule = hole.rule
    if isinstance(rule, Steps):
        return _steps_words(rule, count)
    runs = runs_of(rule, len(rule.index if isinstance(rule, Choice) else rule.values))
    if len(runs) <= 4:
        return ", ".join(f"{n} x {value_words(value)}" if n > 1 else value_words(value) for n, value in runs)
    if isinstance(rule, Choice):
        totals = [(rule.index.count(place), value) for place, value in enumerate(rule.values)]
        shares = ", ".join(f"{n} x {value_words(value)}" for n, value in totals[:4])
        return f"{shares}{_period_words(rule.index)}"
    return f"{value_words(rule.values[0])}, {value_words(rule.values[1])} ... {value_words(rule.values[-1])}"


def _steps_words(rule: Steps, count: int) -> str:
    first, last = rule.first, rule_at(rule, max(0, count - 1))
    step = next((by for by in rule.by if by), 0)
    by = "" if abs(step) == 1 else f" by {abs(step)}"
    if count == 0:
        return f"{value_words(first)}, ... by {step}"
    return f"{value_words(first)}..{value_words(last)}{by}"


def _period_words(index: Sequence[int]) -> str:
    """Write the period of a choice that repeats; nothing if it does not."""
    for period in range(2, 1 + min(16, len(index) // 2)):
        if all(index[k] == index[k % period] for k in range(len(index))):
            return f", in turns of {period}"
    return ""


def _cut(text: str) -> str:
    return text if len(text) <= LONG else f"{text[: LONG // 2]}...{text[-LONG // 3 :]}"


def kind_words(item: Item) -> str:
    """Write what a chunk is: its class or type without the package; nothing if it has none."""
    if not isinstance(item, Chunk):
        return ""
    class_name = next((s.value for s in settings_of(item) if s.name in STRUCTURE), None)
    if class_name is None or isinstance(class_name, Hole):
        name = item.kind.removeprefix("object ").rpartition(".")[2]
        return name if item.kind.startswith("object ") and name != "recipe" else ""
    return class_words(class_name)


def class_words(value: Any) -> str:
    """Write the name of a class without its package."""
    text = value.text if isinstance(value, Symbol) else value if isinstance(value, str) else value_words(value)
    return _cut(text.rpartition(".")[2] if " " not in text and "/" not in text else text)


def chunk_words(item: Item, most: int = 3) -> str:
    """Write a chunk in a line, with its first settings: `AdamW(lr=0.0003, fused=True)`."""
    if isinstance(item, Setting):
        return value_words(item.value)
    settings = [s for s in settings_of(item) if s.name not in STRUCTURE]
    shown = [f"{s.name}={value_words(s.value)}" for s in settings[:most]]
    left = count_leaves(item) - len(shown) - bool(kind_words(item))
    inside = ", ".join([*shown, *([f"+{left}"] if left > 0 else [])])
    return f"{kind_words(item) or 'chunk'}({inside})"


def settings_of(item: Item) -> list[Setting]:
    """Return the settings directly in an item, those in its groups included."""
    settings: list[Setting] = []
    for child in children_of(item):
        if isinstance(child, Setting):
            settings.append(child)
        elif isinstance(child, Group):
            settings += settings_of(child)
    return settings


def edit_words(edit: Edit) -> str:
    """Write one edit: `optimizer.lr 2e-05 -> 0.0003`, `+ RandomErasing(...)`."""
    path = _short_path(edit)
    if not edit.comparable:
        return f"{path} cannot be compared ({side_words(edit.after or edit.before)})"
    if edit.before is None and edit.after is not None:
        return f"+ {path} {side_words(edit.after)}"
    if edit.after is None:
        return f"- {path} {side_words(edit.before)}"
    return f"{path} {pair_words(edit)}"


def pair_words(edit: Edit) -> str:
    """Write both sides of an edit; in full if their short forms are equal."""
    before, after = side_words(edit.before), side_words(edit.after)
    if before == after:
        before, after = _full(edit.before), _full(edit.after)
    return f"{before} -> {after}"


def side_words(item: Item | None) -> str:
    """Write one side of an edit."""
    if item is None:
        return str(ABSENT)
    if isinstance(item, Setting) and item.name is not KIND:
        return _setting_words(item)
    return chunk_words(item)


def _setting_words(setting: Setting) -> str:
    """Write a setting's value; a class without its package."""
    value = setting.value
    if setting.name in STRUCTURE and isinstance(value, str | Symbol):
        return class_words(value)
    return value_words(value)


def _full(item: Item | None) -> str:
    if not isinstance(item, Setting):
        return side_words(item)
    value = item.value
    if isinstance(value, Symbol) and value.code:
        return f"{value.text} (code {value.code[:6]})"
    if isinstance(value, Tensor):
        return " ".join([str(value), "trained" if value.grad else "frozen", value.fingerprint[:6]]).strip()
    text = value.text if isinstance(value, Symbol) else str(value)
    return f"{text} ({type(value).__name__})" if type(value) in (int, float, str, bool, list, tuple) else text


def _short_path(edit: Edit) -> str:
    path = edit.path
    if path and path[-1] is KIND:
        path = path[:-1]
    text = path_text(path)
    return text.removesuffix("._component_").removesuffix("._target_").removesuffix(".class") or "all"


def model_words(root: Chunk, aliases: Sequence[Sequence[Path]] = ()) -> str:
    """Write a model in a line: class, parameters, how many of them are trained, dtypes, modules, ties."""
    again = {path for paths in aliases for path in paths[1:]}
    own = [s.value for path, s in leaves(root) if s.source == PARAMETER and path not in again]
    tensors = [value for value in own if isinstance(value, Tensor)]
    total = sum(prod(value.shape) for value in tensors)
    trained = sum(prod(value.shape) for value in tensors if value.grad)
    parts = [kind_words(root), f"{count_words(total)} parameters"]
    if trained != total:
        parts.append(f"{count_words(trained)} of them trained" if trained else "none of them trained")
    parts.append("/".join(dict.fromkeys(value.dtype for value in tensors)))
    parts.append(f"{sum(1 for _ in _modules(root))} modules")
    if aliases:
        parts.append(f"{len(aliases)} tied")
    return ", ".join(part for part in parts if part)


def parameters(item: Item, env: tuple[int, ...] = (), *, trained: bool = False) -> int:
    """Count the parameters of a folded item, or only the trained ones; those of a repeat for each of its members."""
    if isinstance(item, Setting):
        value = value_at(item.value, env) if value_at(item.source, env) == PARAMETER else None
        return prod(value.shape) if isinstance(value, Tensor) and (value.grad or not trained) else 0
    if isinstance(item, Repeat):
        if not differs(item):
            return item.count * sum(parameters(part, (*env, 0), trained=trained) for part in item.body)
        members = range(item.count)
        return sum(parameters(part, (*env, member), trained=trained) for member in members for part in item.body)
    return sum(parameters(part, env, trained=trained) for part in children_of(item))


def differs(item: Item) -> bool:
    """Return whether an item has parameters that differ between the members of a repeat, or that only some have."""
    if isinstance(item, Setting) and isinstance(item.source, Hole):
        return not isinstance(item.source.rule, Steps) and PARAMETER in item.source.rule.values
    if isinstance(item, Setting):
        return item.source == PARAMETER and not isinstance(item.value, Tensor)
    return any(map(differs, children_of(item)))


def _modules(item: Item) -> Iterator[Item]:
    if isinstance(item, Chunk) and item.kind == "module":
        yield item
        for child in item.items:
            yield from _modules(child)


def count_words(count: int) -> str:
    """Write a count of parameters.

    >>> count_words(6738415616), count_words(124_439_808), count_words(512)
    ('6.74 B', '124 M', '512')
    """
    for size, unit in ((1e9, " B"), (1e6, " M"), (1e3, " k")):
        if count >= size:
            return f"{count / size:.3g}{unit}"
    return str(count)
