"""The keeper: the process above the worker, which outlives it, keeps what it prints, and ends all that is left of it.

Palate may be killed, and so may the worker. The keeper waits for either, and does nothing else: no code of the person's
runs in it. Standard library only.
"""

import contextlib
import os
import selectors
import signal
import time

from palate.training import family
from palate.training.output import Output, Pipe

LOG_BYTES = 1 << 20
"""The most bytes that are kept of what the worker prints itself."""

LOOK_S = 1.0
"""Interval at which it is looked whether palate is still there, should nothing tell of its end."""

CLOSE_S = 4.0
"""Seconds that the worker has to end by itself once palate has gone, or wants no more of it."""

SIGNALLED = 128
"""Exit status of the keeper above the number of the signal that ended the worker."""


def keep(log: int) -> None:
    """Fork; return in the child, which is to be the worker, and stay in the parent until all is over.

    The parent's standard input is a pipe that palate holds: its end is the end of palate.

    Args:
        log: file for what the worker prints.
    """
    family.adopt_orphans()
    pipe = Pipe(Output(os.dup(log), most=LOG_BYTES, redact=None))
    keeper, palate = os.getpid(), os.getppid()
    worker = os.fork()
    if worker == 0:
        family.end_with(keeper)
        pipe.print_here()
        return
    status = 1
    try:
        pipe.close_write_end()
        status = _Keeper(worker, palate, pipe).wait()
    finally:
        family.kill_below(os.getpid())
        pipe.finish()
        os._exit(status)


class _Keeper:
    """Waits for the end of the worker, or of palate."""

    def __init__(self, worker: int, palate: int, pipe: Pipe) -> None:
        self._worker = worker
        self._palate = palate
        self._pipe = pipe
        self._until_s = float("inf")
        self._woken, waker = os.pipe()
        for descriptor in (self._woken, waker):
            os.set_blocking(descriptor, False)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, lambda *_: self._end_at_once())
        self._selector = selectors.DefaultSelector()
        for end in (0, self._woken, pipe.read_end):
            self._selector.register(end, selectors.EVENT_READ)

    def wait(self) -> int:
        """Return the worker's exit status once it has ended, or has to be ended."""
        while time.monotonic() < self._until_s:
            left_s = min(LOOK_S, max(self._until_s - time.monotonic(), 0.0))
            for key, _ in self._selector.select(left_s):
                self._hear(key.fd)
            if os.getppid() != self._palate:
                self._end_soon()
            with contextlib.suppress(ChildProcessError):
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == self._worker:
                    code = os.waitstatus_to_exitcode(status)
                    return code if code >= 0 else SIGNALLED - code
        return SIGNALLED + signal.SIGKILL

    def _hear(self, end: int) -> None:
        if end == 0:
            self._selector.unregister(0)
            self._end_soon()
        elif end == self._woken:
            with contextlib.suppress(BlockingIOError):
                os.read(self._woken, 1 << 10)
        elif not self._pipe.take() and self._pipe.read_end < 0:
            self._selector.unregister(end)

    def _end_soon(self) -> None:
        self._until_s = min(self._until_s, time.monotonic() + CLOSE_S)

    def _end_at_once(self) -> None:
        self._until_s = 0.0
