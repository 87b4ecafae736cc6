"""How runs are carried out: what an engine promises, what it is given, and how a run ends; standard library only.

`local` forks them from one warm process; `debug` runs them in this process, one after another.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

from palate.question.target import Order, Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a run's process ended: its exit status (-n for signal n), whether time ran out, seconds it took."""

    id: str
    status: int
    timed_out: bool
    elapsed_s: float


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
    """

    start: "Callable[[Task, Resources], Launcher]"
    workers: int = 1
    threads: int = 1
    timeout_s: float | None = None

    def launch(self, task: Task) -> Launcher:
        """Start the engine for a task."""
        return self.start(task, self)
