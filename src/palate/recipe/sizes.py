"""How big a model is: parameters, those that are trained, dtypes, modules; what is tied is counted once."""

from collections.abc import Iterator, Sequence
from math import prod

from palate.recipe.codec import Tensor
from palate.recipe.holes import value_at
from palate.recipe.tree import PARAMETER, Chunk, Item, Path, Repeat, Setting, leaves
from palate.recipe.words import kind_words


def parameters(item: Item, env: tuple[int, ...] = (), *, trained: bool = False) -> int:
    """Count the parameters of a folded item, those of every member of a repeat; or only those that are trained."""
    if isinstance(item, Setting):
        value = value_at(item.value, env) if value_at(item.source, env) == PARAMETER else None
        return prod(value.shape) if isinstance(value, Tensor) and (value.grad or not trained) else 0
    if isinstance(item, Repeat):
        if not differs(item):
            return item.count * sum(parameters(part, (*env, 0), trained=trained) for part in item.body)
        members = range(item.count)
        return sum(parameters(part, (*env, member), trained=trained) for member in members for part in item.body)
    return sum(parameters(part, env, trained=trained) for part in getattr(item, "items", ()))


def differs(item: Item) -> bool:
    """Whether parameters differ between the members of the repeats around an item, or in it."""
    if isinstance(item, Setting):
        return item.source == PARAMETER and not isinstance(item.value, Tensor)
    held = item.body if isinstance(item, Repeat) else getattr(item, "items", ())
    return any(map(differs, held))


def model_words(root: Chunk, aliases: Sequence[Sequence[Path]] = ()) -> str:
    """Say what a model is in a line: class, parameters, how many are trained, dtypes, modules, ties."""
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
