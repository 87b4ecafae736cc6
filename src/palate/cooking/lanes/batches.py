"""The batches of all lanes: each lane's own, in the order that its run would draw, gathered from data they share."""

import contextlib
import hashlib
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    RandomSampler,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
    default_collate,
)

from palate.cooking import randomness

_SAMPLERS = (RandomSampler, SequentialSampler, SubsetRandomSampler, WeightedRandomSampler)

Random = Mapping[str, Any]
"""The states of a lane's generators: "torch", and those of the loader by the way to them."""


def loader_fault(loader: Any) -> str:
    """Return why the batches of a loader cannot be given to several lanes at once; "" where they can."""
    if type(loader) in (range, list, tuple):
        return ""
    if type(loader) is not DataLoader:
        return f"its batches come from a {type(loader).__qualname__}: a DataLoader, a list or a range can be shared"
    if any(not isinstance(one, torch.Generator) for one in randomness.generators_behind(loader).values()):
        return "its loader draws from generators that are not torch's"
    if loader.num_workers:
        return "its loader has workers"
    if loader.collate_fn is not default_collate:
        return "its loader has a collate_fn of its own"
    plain = type(loader.batch_sampler) is BatchSampler and type(loader.batch_sampler.sampler) in _SAMPLERS
    if not plain:
        return "its loader has a sampler of its own"
    if not _is_of_tensors(loader.dataset):
        return f"its data are a {type(loader.dataset).__qualname__}: a TensorDataset, or a Subset of one, can be shared"
    return ""


class Data:
    """What batches are gathered from: tensors whose first dimension is the examples, or the items of a list.

    Raises:
        ValueError: they cannot be; the reason.
    """

    def __init__(self, loader: Iterable[Any]) -> None:
        self.loader = loader
        self.numbers: Sequence[Any] | None = None
        self.examples: Any = None
        if isinstance(loader, DataLoader):
            self.examples = _examples_of(loader.dataset)
        else:
            self.numbers = loader  # type: ignore[assignment]

    def digest(self) -> str:
        """Return what tells them from other data."""
        digest = digest_of(self.numbers if self.examples is None else self.examples)
        if not digest:
            raise ValueError("its batches hold something other than tensors and numbers")
        return digest

    def orders(
        self, lanes: Sequence[dict[str, Any]], generators: Mapping[str, Any], begun: Sequence[Random] = ()
    ) -> "Order":
        """Begin a pass of each lane, whose generators' states are in `lanes` and are moved on.

        Args:
            lanes: the states before the pass begins.
            generators: those of the loader, by the way to them.
            begun: the states behind `iter(loader)`, where the runs have done that themselves.

        Raises:
            ValueError: the order is drawn while the pass goes, between what the training draws, or is another one.
        """
        if self.examples is None:
            assert self.numbers is not None
            return Order(self, len(self.numbers), None)
        batches = []
        for lane, after in itertools.zip_longest(lanes, begun):
            put_random(lane, generators)
            batches.append(self._indices(generators, after))
            lane.update(take_random(generators))
        sizes = [[len(one) for one in batch] for batch in batches]
        if any(size != sizes[0] for size in sizes):
            raise ValueError("the batches of two runs differ in size")
        return Order(self, len(sizes[0]), [torch.tensor(together) for together in zip(*batches, strict=True)])

    def _indices(self, generators: Mapping[str, Any], begun: Random | None) -> list[list[int]]:
        iterator: Any = iter(self.loader)
        if begun is not None and not is_same(begun, take_random(generators)):
            raise ValueError("a pass over the loader does not begin again as it began")
        found, before = [], None
        with contextlib.suppress(StopIteration):
            while True:
                found.append(list(iterator._next_index()))
                before = before or take_random(generators)
        if before is not None and not is_same(before, take_random(generators)):
            raise ValueError("its sampler draws as it goes")
        return found


class Order:
    """A pass of all lanes: `batch(n)` are their batches, the lanes first; None behind the last one."""

    def __init__(self, data: Data, length: int, indices: list[Tensor] | None) -> None:
        self.length = length
        self._data = data
        self._indices = indices

    def batch(self, number: int, wrapped: Callable[[Tensor], Tensor]) -> Any:
        """Return a batch, its tensors as `wrapped` makes them where lanes differ."""
        if self._indices is None:
            assert self._data.numbers is not None
            return self._data.numbers[number]
        index = self._indices[number]
        return _mapped(self._data.examples, lambda one: wrapped(one[index]))


def length_of(loader: Any) -> int:
    """Return how many examples a pass gives: a sampler may leave some out, or give some twice."""
    return len(getattr(loader, "sampler", loader))


def take_random(generators: Mapping[str, Any]) -> dict[str, Any]:
    """Return the states of torch's generator and of a loader's."""
    return {"torch": torch.get_rng_state(), **{way: randomness.take(one) for way, one in generators.items()}}


def put_random(states: Random, generators: Mapping[str, Any]) -> None:
    """Put back what `take_random` returned."""
    torch.set_rng_state(states["torch"])
    for way, one in generators.items():
        randomness.put(one, states[way])


def is_same(a: Random, b: Random) -> bool:
    """Return whether two states of generators are equal."""
    return all(torch.equal(value, b[way]) if isinstance(value, Tensor) else value == b[way] for way, value in a.items())


def _examples_of(data: Any) -> Any:
    """Return all examples of a data set as one batch."""
    if type(data) is Subset:
        index = torch.as_tensor(list(data.indices))
        return [one[index] for one in _examples_of(data.dataset)]
    return list(data.tensors)


def _is_of_tensors(data: Any) -> bool:
    """Return whether a data set is nothing but tensors, so that reading it changes nothing and costs nothing."""
    return type(data) is TensorDataset or (type(data) is Subset and _is_of_tensors(data.dataset))


def _mapped(tree: Any, of: Callable[[Tensor], Tensor]) -> Any:
    if isinstance(tree, Mapping):
        return {name: _mapped(one, of) for name, one in tree.items()}
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return type(tree)(*(_mapped(one, of) for one in tree))
    if isinstance(tree, list | tuple):
        return [_mapped(one, of) for one in tree]
    return of(tree)


def _tensors_in(tree: Any) -> Iterable[Any]:
    if isinstance(tree, Mapping):
        tree = list(tree.values())
    if isinstance(tree, list | tuple):
        for one in tree:
            yield from _tensors_in(one)
    else:
        yield tree


def digest_of(value: Any) -> str:
    """Return what tells a value from others; "" for what cannot be told.

    Raises:
        ValueError: it is a loader whose data cannot be read.
    """
    digest = hashlib.blake2b(digest_size=16)
    try:
        _digest_into(digest, value)
    except TypeError:
        return ""
    return digest.hexdigest()


def _digest_into(digest: Any, value: Any) -> None:
    if isinstance(value, Tensor):
        flat = value.detach().cpu().contiguous().reshape(-1)
        digest.update(f"{value.dtype} {tuple(value.shape)}".encode())
        digest.update(flat.view(torch.uint8).numpy() if value.numel() else b"")
    elif type(value).__module__ == "numpy" and hasattr(value, "tobytes"):
        digest.update(f"{value.dtype} {value.shape}".encode() + value.tobytes())
    elif isinstance(value, _WRITTEN):
        digest.update(f"{type(value).__name__} {value!r}".encode())
    elif isinstance(value, torch.nn.Module | DataLoader):
        _digest_into(digest, _held_by(value))
    elif isinstance(value, set | frozenset):
        _digest_into(digest, sorted(map(repr, value)))
    elif isinstance(value, Mapping | list | tuple):
        digest.update(f"{len(value)}".encode())
        for one in itertools.chain.from_iterable(value.items()) if isinstance(value, Mapping) else value:
            _digest_into(digest, one)
    else:
        raise TypeError(type(value).__qualname__)


_WRITTEN = (type(None), bool, int, float, complex, str, bytes, range, PurePath, torch.dtype, torch.device)


def _held_by(value: Any) -> Any:
    """Return the weights of a model, or the data of a loader."""
    if not isinstance(value, DataLoader):
        return value.state_dict()
    if fault := loader_fault(value):
        raise ValueError(fault.replace("its ", "a ", 1))
    return Data(value).examples
