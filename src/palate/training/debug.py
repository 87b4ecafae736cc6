"""The engine for debugging: runs in this process, one after another, so that a debugger sees them.

A run is as apart from the next one as one process allows. Its seed, settings and folder are its own. The modules that
it imports, the threads and processes that it leaves and the signals that it catches are not. What it prints goes to its
output, bounded and redacted as any run's; what it raises ends it alone.
"""

import contextlib
import os
import sys
import time
import traceback
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from palate.errors import RunsFailedError
from palate.question.target import Order, Task
from palate.training import received
from palate.training import run as training_run
from palate.training.children import OUTPUT, Message, redacting_for
from palate.training.launch import Ended, Launcher, Resources
from palate.training.output import print_fault, printing_to
from palate.training.worker import IN_WORKER, carry_out, load, message_of

LARGEST_STATUS = 255
"""What a process can end with: the rest of a number is cut off, as the system does."""


class DebugLauncher:
    """Carry out orders in this process, each when it is polled for.

    Args:
        task: what is run; a command has no part in this process.

    Raises:
        RunsFailedError: it is a command.
    """

    def __init__(self, task: Task) -> None:
        if task.kind == "command":
            raise RunsFailedError(
                f"{task.argv[0]} is a program of its own.",
                why="In this process only Python code can be run.",
                todo="Use the local engine for it.",
            )
        self._task = task
        self._waiting: deque[Order] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def submit(self, order: Order) -> None:
        """Queue one run."""
        self._waiting.append(order)

    def poll(self) -> list[Ended]:
        """Carry out the next run; return how it ended."""
        return [self._carry_out(self._waiting.popleft())] if self._waiting else []

    def stop(self, run_id: str | None = None) -> None:
        """Forget one waiting run, or all of them."""
        self._waiting = deque(order for order in self._waiting if run_id is not None and order.id != run_id)

    def _carry_out(self, order: Order) -> Ended:
        started_s = time.monotonic()
        message = message_of(order, 1)
        with (
            _as_found(),
            printing_to(order.folder / OUTPUT, redacting_for(message)) as output,
            contextlib.redirect_stdout(output),
            contextlib.redirect_stderr(output),
        ):
            status = self._call(message)
        return Ended(id=order.id, status=status, timed_out=False, elapsed_s=time.monotonic() - started_s)

    def _call(self, order: Message) -> int:
        os.environ[IN_WORKER] = "1"
        try:
            return carry_out(order, load(self._task), sys.exit) & LARGEST_STATUS
        except Exception:  # noqa: BLE001  an outermost loop: code that cannot be loaded
            print_fault(traceback.format_exc())
            return 1
        finally:
            received.stop_recorder()
            training_run.close_current()


@contextlib.contextmanager
def _as_found() -> Iterator[None]:
    """Put back what a run changes in this process: working folder, arguments, import path, environment, main module."""
    folder, argv, path, environment = Path.cwd(), sys.argv[:], sys.path[:], dict(os.environ)
    main, words, process = sys.modules.get("__main__"), sys.orig_argv, sys.modules.get("multiprocessing.process")
    began = getattr(process, "ORIGINAL_DIR", None)
    try:
        yield
    finally:
        sys.orig_argv = words
        if process is not None:
            process.ORIGINAL_DIR = began  # type: ignore[attr-defined]
        os.chdir(folder)
        sys.argv, sys.path[:] = argv, path
        os.environ.clear()
        os.environ.update(environment)
        if main is not None:
            sys.modules["__main__"] = main


def start_debug(task: Task, _: Resources) -> Launcher:
    """Start the engine for debugging."""
    return DebugLauncher(task)
