"""How runs are carried out: what an engine promises, what it is given, and how a run ends; standard library only.

`local` forks them from one warm process; `debug` runs them in this process, one after another.
"""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, Self

from palate.errors import RefusedError, StoreError
from palate.question.folder import Place
from palate.question.target import Order, Task
from palate.training.limits import Limits
from palate.training.placing import Places
from palate.training.usage import Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a run's process ended: its exit status (-n for signal n), whether time ran out, seconds it took, what else.

    `devices` are the names of the GPUs that it had, for people; `chose` is what it chose itself instead, "" if nothing.
    """

    id: str
    status: int
    timed_out: bool
    elapsed_s: float
    usage: Usage | None = None
    devices: tuple[str, ...] = ()
    chose: str = ""


def signal_name(number: int) -> str:
    """Return a signal's name; one that has none is a number.

    >>> signal_name(9), signal_name(40)
    ('SIGKILL', 'signal 40')
    """
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


@contextlib.contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP stop what is done as Ctrl-C does, where they would end this process without a word."""
    numbers = [signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
    main = threading.current_thread() is threading.main_thread()
    numbers = [number for number in numbers if main and signal.getsignal(number) == signal.SIG_DFL]
    for number in numbers:
        signal.signal(number, _interrupt)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)


def _interrupt(number: int, _: object) -> None:
    raise KeyboardInterrupt(signal_name(number))


class Launcher(Protocol):
    """Carries out orders. Use it as a context: leaving it stops whatever still runs."""

    def submit(self, order: Order) -> None:
        """Queue one run."""

    def poll(self) -> Sequence[Ended]:
        """Wait a moment; return the runs that ended.

        Raises:
            SetupFailedError: the training code cannot be loaded.
        """

    def stop(self, run_id: str | None = None) -> None:
        """Stop one run, and hear no more of it; without an id stop all of them, for good. Stopping twice is fine."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What runs are carried out with.

    Attributes:
        start: starts an engine for a task: `start_local`, or `start_debug`.
        workers: runs at a time.
        threads: CPU threads a run.
        timeout_s: seconds that a run may take; None for any number.
        place: the folder that runs see; None to run where palate was called.
        limits: until when runs are started; None for as long as any is missing.
        places: which GPUs runs are placed on, and how many at a time; None to place them by `workers` alone.
    """

    start: "Callable[[Task, Resources], Launcher]"
    workers: int = 1
    threads: int = 1
    timeout_s: float | None = None
    place: Place | None = None
    limits: Limits | None = None
    places: Places | None = None

    def placed(self, task: Task) -> Task:
        """Return a task with the folder that its runs see, where it does not say one."""
        return task if task.place is not None else replace(task, place=self.place)


class Engines:
    """The engines of a question's arms, each started when it is first needed.

    Scripts and commands of different states of the code share one: nothing of theirs is loaded before a run starts.

    Use it as a context: leaving it stops whatever still runs.

    Args:
        resources: what runs are carried out with.

    Attributes:
        say: tells the person of runs, or of code that is loaded, which produce nothing for long.
    """

    def __init__(self, resources: Resources) -> None:
        self.resources = resources
        self._engines: dict[Task, Launcher] = {}
        self.say: Callable[[str], None] = lambda _: None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def warm(self, task: Task) -> None:
        """Start the engine of a task, unless it is there.

        Raises:
            RefusedError: nobody vouched for it.
            StoreError: the code of an arm is gone.
        """
        self._engine(self.resources.placed(task))

    def submit(self, task: Task, order: Order) -> None:
        """Queue one run of a task."""
        placed = self.resources.placed(task)
        self._engine(placed).submit(replace(order, place=placed.place))

    def _engine(self, placed: Task) -> Launcher:
        if not placed.vouched:
            raise RefusedError(
                "A command that was read from a file or a chain is not started.",
                why="Nobody asked for it here, and nobody confirmed it.",
                todo="Ask the question yourself: palate run",
            )
        place = placed.place
        if place is not None and place.over and not Path(place.over).is_dir():
            raise StoreError(
                f"{place.over} is gone: it held the code of an arm.", todo="Ask again: --against or --try."
            )
        loaded = placed if placed.kind in ("function", "module", "pickle") else replace(placed, place=None)
        if loaded not in self._engines:
            self._engines[loaded] = self.resources.start(loaded, self.resources)
        return self._engines[loaded]

    def poll(self) -> list[Ended]:
        """Wait a moment; return the runs that ended.

        Raises:
            SetupFailedError: the training code cannot be loaded.
        """
        ended = [one for engine in self._engines.values() for one in engine.poll()]
        for engine in self._engines.values():
            words: list[str] = getattr(engine, "words", [])
            while words:
                self.say(words.pop(0))
        return ended

    def stop(self, run_id: str | None = None) -> None:
        """Stop one run, and hear no more of it; without an id stop all engines, for good. Twice is fine."""
        for engine in self._engines.values():
            engine.stop(run_id)

    @property
    def started(self) -> bool:
        """Whether any engine was started."""
        return bool(self._engines)

    @property
    def alone(self) -> str:
        """Why each run is a process of its own, as a clause; "" where runs are forked."""
        return next((why for engine in self._engines.values() if (why := getattr(engine, "alone", ""))), "")
