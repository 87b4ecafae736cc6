"""Batches of a loader in the loader's own order, from any place in it; the bare loop draws the same random numbers.

A pass is one `iter(loader)`. What decides its order is noted before it begins: the generators that the process shares,
and those that the loader holds. A pass that is taken up again in another process begins with the same numbers and
leaves out the batches that were done: by their indices alone where the main process loads them, else by loading them
again, because workers draw random numbers of their own as they load.
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
        self._batches = self._begin()

    def _begin(self) -> Iterator[Any]:
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
        _put_before(state["before"], generators)
        self = cls(loader, number=number, owned=owned)
        self._leave_out(state["position"])
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
            "now": {way: randomness.take(one) for way, one in self._generators.items()},
            "facts": facts_of(self._loader),
        }

    def shuffle_rest(self, seed: int) -> None:
        """Give what remains of this pass another order, and other random numbers; its length stays as it is."""
        length = _length(self._loader)
        if length is None or isinstance(self._loader, list | tuple | range):
            _seed_all(self._generators, seed)
            return
        self._most = length if self._most is None else self._most
        _seed_all(self._generators, seed)
        self._before = _take_before(self._loader, self._generators)
        remaining, self._batches = self._most - self.position, iter(self._loader)
        self._most, self.position = remaining, 0

    def _leave_out(self, count: int) -> None:
        """Leave out the first batches of the pass."""
        advance = getattr(self._batches, "_next_index", None)
        quick = advance is not None and _loads_here(self._loader)
        for done in range(count):
            try:
                advance() if quick and advance is not None else next(self._batches)
            except StopIteration:
                raise RefusedError(
                    f"The loader gives {done:,} batches, and the checkpoint is of behind batch {count:,} of a pass.",
                    why="The data, or the size of a batch, are others than when the checkpoint was taken.",
                    todo="Fork with the data and the batch size of that run.",
                ) from None
        self.position = count


def _seed_all(generators: dict[str, Any], seed: int) -> None:
    randomness.seed_global(seed)
    for way, one in generators.items():
        randomness.seed(one, randomness.mixed(seed, way))


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
            "The data come in another way than when the checkpoint was taken.",
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
        return {"held": held, "shared": None}
    if _draws_from_torch_only(loader):
        return {"held": held, "shared": {"torch": sys.modules["torch"].get_rng_state()}}
    return {"held": held, "shared": randomness.take_global()}


def _put_before(before: State, generators: dict[str, Any]) -> None:
    if before["shared"] is not None:
        randomness.put_global(before["shared"])
    for way, kept in before["held"].items():
        if way in generators:
            randomness.put(generators[way], kept)


def count_samples(batch: Any) -> int:
    """Return how many examples a batch holds: the length of its first tensor or array; 1 where there is none."""
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
