"""What adapters share: a loader that palate stands in for, and what happens when its next batch is asked for.

An engine asks for a batch when all of the step before is done: its hooks, its evaluation, its schedulers. That is where
palate does what it does between two steps. A process that leaves from a capsule lets the engine begin as it always
does, and puts all back when the first batch is asked for: the engine's own way of going on is not used.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from palate.cooking.feed import Pass, count_samples
from palate.cooking.live import Live
from palate.cooking.until import Condition
from palate.errors import InputError, RefusedError


class Held:
    """A training whose loop an engine has.

    Args:
        live: what palate knows of it.
        until: when it ends besides.
        stop: tells the engine that it ends.
    """

    def __init__(self, live: Live, *, until: Condition | None, stop: Callable[[], None]) -> None:
        self.live = live
        self._stop = stop
        self._stepped = False
        self._samples = 0
        self._pass: Pass | None = None
        live.begin(until)

    def stepped(self) -> None:
        """Hear that the engine has done a step: an optimizer's, with all gradients that are added up for it."""
        self._stepped = True

    @property
    def ends_here(self) -> bool:
        """Whether the step that was just done is known to be the last."""
        return self.live.is_end(self.live.step + 1)

    @property
    def is_over(self) -> bool:
        """Whether the training has ended, by a condition or at its horizon."""
        return self.live.ended or self.live.over

    def close(self) -> None:
        """Do what is done behind the last step."""
        if self._stepped and self._pass is not None:
            self._stepped = False
            self.live.step_done(self._samples, self._pass, last=True)

    def before_batch(self, one: Pass, *, begins: bool) -> None:
        """Do all that is done between two steps, where a step is done.

        Raises:
            StopIteration: the training ends here.
        """
        live = self.live
        if self._pass is None:
            live.arrive(one)
        elif begins and self._pass is not one:
            live.epoch += 1
        self._pass = one
        if self._stepped:
            self._stepped = False
            samples, self._samples = self._samples, 0
            live.step_done(samples, one)
        if self.is_over:
            self._stop()
            raise StopIteration

    def gave(self, batch: Any) -> None:
        """Hear of a batch that was handed out."""
        self._samples += count_samples(batch)


class Loader:
    """A loader that gives the batches of another, whose attributes it has.

    Args:
        loader: the other.
        held: gives what holds the training, when a pass begins.
    """

    def __init__(self, loader: Iterable[Any], held: Callable[[], Held]) -> None:
        self.__dict__.update(_loader=loader, _held=held)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_loader"], name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._loader, name, value)

    def __len__(self) -> int:
        return len(self._loader)

    def __iter__(self) -> Iterator[Any]:
        return _Batches(self._loader, self._held())


class _Batches:
    """One pass of an engine over its loader."""

    def __init__(self, loader: Iterable[Any], held: Held) -> None:
        self._loader, self._held = loader, held
        live = held.live
        self._pass = Pass(loader, number=live.epoch) if live.arrived else None  # it draws when the bare loop would
        self._begins = True

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if self._pass is None:
            self._pass = self._held.live.take_up(self._loader, owned=False)
        begins, self._begins = self._begins, False
        self._held.before_batch(self._pass, begins=begins)
        batch = next(self._pass)
        self._held.gave(batch)
        return batch


def refuse_many(processes: int, engine: str) -> None:
    """Refuse a training of several processes.

    Raises:
        RefusedError: that is what it is.
    """
    if processes > 1:
        raise RefusedError(
            f"{engine} trains with {processes} processes; palate holds trainings of one.",
            why="Each has its own random numbers and its own part of the data, and one capsule would have to hold all.",
            todo="Train with one process, or without palate.",
        )


def refuse_unsized(loader: Any, todo: str) -> None:
    """Refuse a loader without a length, of which an engine loads a batch ahead.

    Raises:
        InputError: that is what it is.
    """
    try:
        len(loader)
    except (TypeError, NotImplementedError) as error:
        raise InputError(
            "The loader of the training has no length.",
            why="Where it does not know which batch is the last, the engine loads one ahead: a capsule would miss it.",
            todo=todo,
        ) from error


def members(things: Iterable[Any]) -> Any:
    """Return the one of some parts, or all of them where there are several; None where there is none."""
    some = list(things)
    return some if len(some) > 1 else next(iter(some), None)
