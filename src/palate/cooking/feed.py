"""Batches of a loader in the loader's own order, from any place in it; the bare loop draws the same random numbers.

A pass is one `iter(loader)`. What decides its order is noted before it begins: the generators that the process shares,
and those that the loader holds. A pass that is taken up again in another process begins with the same numbers and
leaves out the batches that were done: by their indices alone where the main process loads them, else by loading them
again, because workers draw random numbers of their own as they load.

The loaders of accelerate load a batch ahead of the one that they give. It was loaded with the random numbers of an
earlier moment: these are noted, and it is loaded with them again.
"""

import itertools
import sys
from collections.abc import Iterable, Iterator
from typing import Any, Self

from palate.cooking import randomness
from palate.errors import RefusedError

_TORCHS_OWN = ("torch.utils.data.sampler", "torch.utils.data._utils", "torch.utils.data.distributed")
"""Modules of samplers that draw from torch's generators only."""

State = dict[str, Any]


class Pass:
    """One pass over a loader.

    Args:
        loader: gives batches.
        number: of the pass, from 0; handed to a sampler that has `set_epoch` where `owned`.
        owned: whether palate decides how many passes there are.
    """

    def __init__(self, loader: Iterable[Any], *, number: int = 0, owned: bool = False) -> None:
        self._loader = loader
        self._generators = _generators_of(loader)
        self._number, self._owned = number, owned
        self.position = 0
        self._most: int | None = None
        self._before = _take_before(loader, self._generators)
        self._inner = _Inner(loader, self._generators) if _loads_ahead(loader) else None
        self._batches = self._begin()

    def _begin(self) -> Iterator[Any]:
        if self._inner is not None:
            return self._inner.through()
        sampler = getattr(self._loader, "sampler", None)
        if self._owned and callable(getattr(sampler, "set_epoch", None)):
            sampler.set_epoch(self._number)  # type: ignore[union-attr]
        return iter(self._loader)

    @classmethod
    def taken_up(cls, loader: Iterable[Any], state: State, *, number: int = 0, owned: bool = False) -> Self:
        """Return a pass that goes on where another one was; the generators are then as they were there.

        Raises:
            RefusedError: the loader is another one.
        """
        _refuse_other(loader, state["facts"])
        generators = _generators_of(loader)
        _put_before(state["before"], loader, generators)
        self = cls(loader, number=number, owned=owned)
        self._leave_out(state["position"], state.get("ahead"))
        if self._inner is not None and self.position and state["ahead"] is None:
            self._inner.is_over = True
        self._most = state.get("most")
        for way, kept in state["now"].items():
            if way in generators:
                randomness.put(generators[way], kept)
        return self

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if self._most is not None and self.position >= self._most:
            raise StopIteration
        batch = next(self._batches)
        self.position += 1
        return batch

    @property
    def is_empty(self) -> bool:
        """Whether the loader gave nothing at all."""
        return self.position == 0 and self._most is None

    def state(self) -> State:
        """Return what another process needs to go on from here."""
        return {
            "position": self.position,
            "most": self._most,
            "before": self._before,
            "ahead": None if self._inner is None else self._inner.before_last,
            "now": {way: randomness.take(one) for way, one in self._generators.items()},
            "facts": facts_of(self._loader),
        }

    def shuffle_rest(self, seed: int) -> None:
        """Give what remains of this pass another order, and other random numbers; its length stays as it is."""
        length = _length(self._loader)
        if length is None or isinstance(self._loader, list | tuple | range):
            _seed_all(self._loader, self._generators, seed)
            return
        if self._inner is not None:
            self._shuffle_ahead(seed)
            return
        self._most = length if self._most is None else self._most
        _seed_all(self._loader, self._generators, seed)
        self._before = _take_before(self._loader, self._generators)
        remaining, self._batches = self._most - self.position, iter(self._loader)
        self._most, self.position = remaining, 0

    def _shuffle_ahead(self, seed: int) -> None:
        """Do so where a batch is loaded ahead: the rest of another order, behind as many batches."""
        assert self._inner is not None
        if self.position and self._inner.before_last is None:
            _seed_all(self._loader, self._generators, seed)  # nothing of it remains
            return
        if self.position:
            self._inner.leave()
        _seed_all(self._loader, self._generators, seed)
        self._before = _take_before(self._loader, self._generators)
        self._inner = _Inner(self._loader, self._generators)
        self._batches = self._begin()
        self._leave_out(self.position, None)

    def _leave_out(self, count: int, ahead: State | None) -> None:
        """Leave out the first batches of the pass."""
        self.position = count
        if self._inner is None:
            _leave_out(self._loader, self._batches, count)
        elif count:
            self._inner.leave_out(count, ahead)


class _Inner:
    """The loader inside of one of accelerate's, in whose place it stands when a pass over that one begins.

    Attributes:
        before_last: the states of all generators before its last batch was loaded; None where it gives no more.
        is_over: whether it is known from the start that it gives none.
    """

    def __init__(self, outer: Any, generators: dict[str, Any]) -> None:
        self._outer, self._loader, self._generators = outer, outer.base_dataloader, generators
        self._batches: Iterator[Any] | None = None
        self._ready: list[Any] = []
        self.before_last: State | None = None
        self.is_over = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def __iter__(self) -> Iterator[Any]:
        if self._batches is None:
            self._batches = iter(self._loader)
        return self

    def __next__(self) -> Any:
        assert self._batches is not None
        if self._ready:
            return self._ready.pop()
        before, self.before_last = _take_all(self._generators), None
        batch = next(self._batches)
        self.before_last = before
        return batch

    def through(self) -> Iterator[Any]:
        """Yield the batches of the loader around it."""
        if self.is_over:
            self._outer.iteration += 1  # as it counts itself behind its last batch
            return
        batches = iter(self._outer)
        self._outer.base_dataloader = self
        try:
            first = next(batches, _END)
        finally:
            self._outer.base_dataloader = self._loader
        if first is not _END:
            yield first
            yield from batches

    def leave(self) -> None:
        """Have the loader around it forget its pass, which is not gone on with."""
        self._outer.end()

    def leave_out(self, count: int, ahead: State | None) -> None:
        """Leave out so many batches, and load the one behind them with the numbers that it was loaded with."""
        self._outer.set_epoch(self._outer.iteration)
        self._batches = iter(self._loader)
        _leave_out(self._loader, self._batches, count)
        if ahead is not None:
            _put_all(ahead, self._generators)
            self._ready = [next(self._batches)]
            self.before_last = ahead


_END = object()


_AHEAD = ("DataLoaderShard", "DataLoaderDispatcher")


def _loads_ahead(loader: object) -> bool:
    """Return whether a loader is one that accelerate has prepared; `isinstance` is told that those are torch's."""
    return type(loader).__module__ == "accelerate.data_loader" and type(loader).__name__ in _AHEAD


def _leave_out(loader: Iterable[Any], batches: Iterator[Any], count: int) -> None:
    advance = getattr(batches, "_next_index", None)
    quick = advance is not None and _loads_here(loader)
    for done in range(count):
        try:
            advance() if quick and advance is not None else next(batches)
        except StopIteration:
            raise RefusedError(
                f"The loader gives {done:,} batches, and the capsule is of behind batch {count:,} of a pass.",
                why="The data, or the size of a batch, are others than when the capsule was taken.",
                todo="Fork with the data and the batch size of that run.",
            ) from None


def _seed_all(loader: Iterable[Any], generators: dict[str, Any], seed: int) -> None:
    randomness.seed_global(seed)
    for way, one in generators.items():
        randomness.seed(one, randomness.mixed(seed, way))
    for way, thing, name in _counters_of(loader):
        if name.endswith("seed"):
            setattr(thing, name, randomness.mixed(seed, way) >> 1)  # the number of an epoch is added to it


_COUNTERS = ("iteration", "epoch", "seed", "initial_seed")
"""Attributes of loaders and samplers that an order is made from, where they are whole numbers."""


def _counters_of(loader: Iterable[Any]) -> Iterator[tuple[str, Any, str]]:
    """Yield the numbers that the order of a loader is made from: which pass it is, and seeds."""
    batch_sampler = getattr(loader, "batch_sampler", None)
    holders = {
        "loader": loader,
        "sampler": getattr(loader, "sampler", None),
        "batch_sampler": batch_sampler,
        "batch_sampler.sampler": getattr(batch_sampler, "sampler", None),
        "batch_sampler.batch_sampler": getattr(batch_sampler, "batch_sampler", None),
    }
    for way, thing in holders.items():
        for name in _COUNTERS:
            if type(getattr(thing, "__dict__", {}).get(name)) is int:
                yield f"{way}.{name}", thing, name


def facts_of(loader: Iterable[Any]) -> dict[str, Any]:
    """Return what of a loader must be alike to go on in its order: batches, examples, batch size, sampler, workers."""
    data = getattr(loader, "dataset", None)
    batch_sampler = getattr(loader, "batch_sampler", None)
    sampler = getattr(loader, "sampler", None) if batch_sampler is None else batch_sampler
    inner = getattr(sampler, "sampler", sampler)
    return {
        "loader": type(loader).__qualname__,
        "batches": _length(loader),
        "examples": _length(data),
        "batch_size": getattr(loader, "batch_size", None),
        "sampler": type(inner).__qualname__ if inner is not None else "",
        "workers": getattr(loader, "num_workers", 0),
    }


_SAID = {"loader": "type of the loader", "batches": "batches a pass", "examples": "examples of the data",
         "batch_size": "size of a batch", "sampler": "sampler", "workers": "workers of the loader"}  # fmt: skip


def _refuse_other(loader: Iterable[Any], facts: dict[str, Any]) -> None:
    now = facts_of(loader)
    other = [f"{_SAID[name]}: {facts[name]} then, {now[name]} now" for name in _SAID if facts.get(name) != now[name]]
    if other:
        raise RefusedError(
            "The data come in another way than when the capsule was taken.",
            why=other,
            todo="Give run.steps the loader of that run.",
        )


def _length(thing: Any) -> int | None:
    try:
        return len(thing)
    except TypeError:
        return None


def _loads_here(loader: Any) -> bool:
    """Return whether this process loads the batches by their indices, so that indices alone can be left out."""
    return _is_torchs(loader) and loader.num_workers == 0 and _by_index(loader)


def _is_torchs(loader: Any) -> bool:
    data = sys.modules.get("torch.utils.data")
    return data is not None and type(loader) is data.DataLoader


def _by_index(loader: Any) -> bool:
    data = sys.modules["torch.utils.data"]
    return not isinstance(loader.dataset, data.IterableDataset)


def _draws_from_torch_only(loader: Any) -> bool:
    """Return whether beginning a pass, and loading by workers, depends on no generator but torch's and the loader's."""
    if not _is_torchs(loader) or not _by_index(loader):
        return False
    inner = getattr(loader.batch_sampler, "sampler", loader.sampler)
    return all(type(one).__module__.startswith(_TORCHS_OWN) for one in (loader.sampler, inner))


def _generators_of(loader: Iterable[Any]) -> dict[str, Any]:
    return {} if isinstance(loader, list | tuple | range) else randomness.generators_behind(loader)


def _take_before(loader: Iterable[Any], generators: dict[str, Any]) -> State:
    held = {way: randomness.take(one) for way, one in generators.items()}
    if isinstance(loader, list | tuple | range):
        return {"held": held, "shared": None, "counters": {}}
    counters = {way: getattr(thing, name) for way, thing, name in _counters_of(loader)}
    if _draws_from_torch_only(loader):
        return {"held": held, "shared": {"torch": sys.modules["torch"].get_rng_state()}, "counters": counters}
    return {"held": held, "shared": randomness.take_global(), "counters": counters}


def _put_before(before: State, loader: Iterable[Any], generators: dict[str, Any]) -> None:
    kept = before.get("counters", {})
    for way, thing, name in _counters_of(loader):
        setattr(thing, name, kept.get(way, getattr(thing, name)))
    _put_all(before, generators)


def _take_all(generators: dict[str, Any]) -> State:
    return {"held": {way: randomness.take(one) for way, one in generators.items()}, "shared": randomness.take_global()}


def _put_all(state: State, generators: dict[str, Any]) -> None:
    if state["shared"] is not None:
        randomness.put_global(state["shared"])
    for way, kept in state["held"].items():
        if way in generators:
            randomness.put(generators[way], kept)


def count_samples(batch: Any) -> int:
    """Return how many examples a batch holds: the length of its first tensor or array; 1 where there is none."""
    first = batch
    while (type(first) is tuple or type(first) is list) and first:
        first = first[0]
    if known := getattr(first, "shape", None):  # a pair of tensors and the like, without the generators below
        return int(known[0])
    for one in itertools.islice(_flat(batch), 50):
        shape = getattr(one, "shape", None)
        if shape is not None and len(shape):
            return int(shape[0])
    return 1


def _flat(batch: Any) -> Iterator[Any]:
    if isinstance(batch, dict):
        for one in batch.values():
            yield from _flat(one)
    elif isinstance(batch, list | tuple):
        for one in batch:
            yield from _flat(one)
    else:
        yield batch
