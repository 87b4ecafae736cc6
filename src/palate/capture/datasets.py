"""The data of a training: loaders, data sets, samplers, and the files that were read, with hashes of their content."""

import hashlib
from collections.abc import Mapping
from typing import Any

from palate.capture.code import class_symbol
from palate.capture.describe import built_chunk, describe, named, numbered_name
from palate.capture.module import torch_module
from palate.capture.observe import Seen
from palate.capture.probes import Built
from palate.recipe.codec import Opaque, Tensor
from palate.recipe.numbering import holds_unknown
from palate.recipe.tree import Chunk, Item, Note, Origin, Setting
from palate.recipe.values import from_value

SAMPLED = 1 << 20
"""The most elements of a tensor that are hashed; of a larger tensor, elements at even distances are."""

HIDDEN = ("dataset", "sampler", "batch_sampler", "generator")
"""Arguments of a loader that are described apart from the others."""


def data_items(seen: Seen, files: Mapping[str, str]) -> tuple[list[Item], list[Note]]:
    """Describe loaders and the files that were read."""
    items: list[Item] = []
    notes: list[Note] = []
    names: list[str] = []
    for built in seen.probes.seen:
        if built.role != "data":
            continue
        name = seen.names.get(id(built.made)) or seen.names.get(id(built.given.get("dataset"))) or "loader"
        names.append(name)
        name = numbered_name(name, names)
        items.append(_loader(name, built, seen))
        notes += _seed_trap(name, built)
    if files:
        items.append(from_value("files", dict(files), lambda _: (Origin.DERIVED, "read before the first step")))
    return items, notes


def _loader(name: str, built: Built, seen: Seen) -> Chunk:
    chunk = built_chunk(name, built, without=HIDDEN)
    items = list(chunk.items)
    items.append(Setting("batches", _length(built.made), Origin.DERIVED))
    items.append(_dataset("dataset", built.made.dataset, seen))
    for key in ("sampler", "batch_sampler"):
        if built.given.get(key) is not None:
            items.append(_made(key, built.given[key], seen))
    given = built.given.get("generator")
    items.append(Setting("generator", None if given is None else f"seeded {given.initial_seed()}"))
    return Chunk(name, "dict", tuple(items))


def _made(name: str, made: Any, seen: Seen) -> Item:
    built = next((part for part in seen.probes.seen if part.made is made), None)
    if built is not None:
        return built_chunk(name, built, without=("data_source", "dataset", "generator"))
    return from_value(name, describe(made))


def _dataset(name: str, dataset: Any, seen: Seen, depth: int = 0) -> Chunk:
    """Describe a data set: its class, how it was built, its length, and hashes of its tensors."""
    built = next((part for part in seen.probes.seen if part.made is dataset), None)
    attributes = {key: value for key, value in getattr(dataset, "__dict__", {}).items() if key != "dataset"}
    items: list[Item] = [Setting("class", class_symbol(type(dataset)))]
    if built is not None:
        built_items = built_chunk(name, built, without=(*attributes, "dataset", "tensors", "indices")).items
        items = [item for item in built_items if not (isinstance(item, Setting) and holds_unknown(item.value))]
    if hasattr(type(dataset), "__len__"):
        items.append(Setting("length", _length(dataset), Origin.DERIVED))
    items += [from_value(key, _content(key, value)) for key, value in attributes.items()]
    inner = getattr(dataset, "dataset", None)
    if inner is not None and depth < 4:
        items.append(_dataset("dataset", inner, seen, depth + 1))
    return Chunk(name, "dict", tuple(items))


def _length(data: Any) -> int | None:
    """Return the length of a data set or loader; None if it has none."""
    try:
        return len(data)
    except (TypeError, NotImplementedError):
        return None


def _content(key: str, value: Any) -> Any:
    """Describe an attribute of a data set; tensors and arrays by a hash of their content."""
    if hasattr(value, "numel") and hasattr(value, "requires_grad"):
        return _tensor(value)
    if isinstance(value, tuple | list) and value and all(hasattr(part, "numel") for part in value):
        return tuple(map(_tensor, value))
    if type(value).__name__ == "ndarray" and value.dtype.kind != "O":
        plain = value.reshape(-1)[:: max(1, value.size // SAMPLED)]
        digest = hashlib.blake2b(plain.tobytes(), digest_size=8).hexdigest()
        return Tensor(shape=tuple(value.shape), dtype=f"numpy {value.dtype}", fingerprint=digest)
    return named(key, value)


def _tensor(value: Any) -> Any:
    if value.device.type == "meta" or value.is_sparse:
        return Opaque(type="tensor without content")
    plain = value.detach().reshape(-1)[:: max(1, value.numel() // SAMPLED)].cpu().contiguous()
    torch = torch_module()
    digest = hashlib.blake2b(plain.view(torch.uint8).numpy().tobytes(), digest_size=8).hexdigest() if len(plain) else ""
    dtype = str(value.dtype).removeprefix("torch.")
    return Tensor(shape=tuple(value.shape), dtype=dtype, fingerprint=digest)


def _seed_trap(name: str, built: Built) -> list[Note]:
    """Return a note if a loader shuffles without its own generator: its order comes from the global generator."""
    if not built.given.get("shuffle") or built.given.get("generator") is not None:
        return []
    words = (
        f"{name} ({built.source}) shuffles without a generator of its own: any change that draws random numbers before "
        "(a wider layer) changes the order of the data too; give it generator=torch.Generator().manual_seed(seed)"
    )
    return [Note("seed", f"data.{name}", words)]
