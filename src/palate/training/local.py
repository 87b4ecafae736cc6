"""The local engine: gives runs to a warm worker, as many at a time as there are cores for, and sees how they end."""

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections import deque
from dataclasses import dataclass
from typing import Any, Self

from palate.errors import SetupFailedError
from palate.question.target import Order, Task
from palate.training.launch import Ended, Launcher, Resources
from palate.training.worker import message_of

TICK_S = 0.1

GRACE_S = 5.0


@dataclass(slots=True)
class _Going:
    order: Order
    started_s: float
    pid: int = 0
    timed_out: bool = False


class LocalLauncher:
    """Carry out orders in a warm worker process.

    Use it as a context: leaving it ends whatever still runs.

    Attributes:
        workers: runs at a time; may be changed.
        threads_at_import: threads that the training's code starts when it is imported: then each run is a process of
            its own, which imports everything anew.
    """

    def __init__(self, task: Task, *, workers: int = 1, threads: int = 1, timeout_s: float | None = None) -> None:
        self.workers = workers
        self._threads = threads
        self._timeout_s = timeout_s
        self._waiting: deque[Order] = deque()
        self._going: dict[str, _Going] = {}
        self._pending = b""
        self._ready = False
        self.threads_at_import = 0
        self._closed = False
        self._log = tempfile.TemporaryFile()
        self._process, self._requests, self._replies = _start_worker(task, self._log.fileno())
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._replies, selectors.EVENT_READ)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def submit(self, order: Order) -> None:
        """Queue one run."""
        self._waiting.append(order)
        self._start_waiting()

    def poll(self, wait_s: float = TICK_S) -> list[Ended]:
        """Wait a moment; return the runs that ended.

        Raises:
            SetupFailedError: the worker could not import the task, or died.
        """
        ended = []
        for message in self._messages(wait_s):
            if "failed" in message:
                raise _cannot_import(message["failed"])
            if message.get("ready"):
                self._ready = True
                self.threads_at_import = message["threads"]
            elif "pid" in message:
                self._started(message)
            elif message["id"] in self._going:
                ended.append(self._ended(message))
        self._end_overdue()
        self._start_waiting()
        return ended

    def stop(self, run_id: str | None = None) -> None:
        """Stop one run, and hear no more of it; without an id stop all of them and the worker. Twice is fine."""
        if run_id is None:
            self._close()
            return
        going = self._going.pop(run_id, None)
        if going is not None:
            _signal_group(going.pid, signal.SIGKILL)
        self._waiting = deque(order for order in self._waiting if order.id != run_id)

    def _close(self) -> None:
        if self._closed:
            return
        self._closed = True
        for going in self._going.values():
            _signal_group(going.pid, signal.SIGTERM)
        os.close(self._requests)
        try:
            self._process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for going in self._going.values():
            _signal_group(going.pid, signal.SIGKILL)
        self._selector.close()
        os.close(self._replies)
        self._log.close()

    def _start_waiting(self) -> None:
        while self._ready and self._waiting and len(self._going) < self.workers:
            order = self._waiting.popleft()
            self._going[order.id] = _Going(order, time.monotonic())
            try:
                os.write(self._requests, json.dumps(message_of(order, self._threads)).encode() + b"\n")
            except BrokenPipeError as error:
                raise _cannot_import(_tail_of(self._log)) from error

    def _messages(self, wait_s: float) -> list[dict[str, Any]]:
        if not self._selector.select(wait_s):
            return []
        block = os.read(self._replies, 1 << 16)
        if not block:
            raise _cannot_import(_tail_of(self._log))
        *lines, self._pending = (self._pending + block).split(b"\n")
        return [json.loads(line) for line in lines]

    def _started(self, message: dict[str, Any]) -> None:
        going = self._going.get(message["id"])
        if going is None:  # given up before it was there
            _signal_group(message["pid"], signal.SIGKILL)
        else:
            going.pid = message["pid"]

    def _ended(self, message: dict[str, Any]) -> Ended:
        going = self._going.pop(message["id"])
        return Ended(
            id=message["id"],
            status=message["status"],
            timed_out=going.timed_out,
            elapsed_s=time.monotonic() - going.started_s,
        )

    def _end_overdue(self) -> None:
        if self._timeout_s is None:
            return
        for going in self._going.values():
            over_s = time.monotonic() - going.started_s - self._timeout_s
            if over_s > 0:
                going.timed_out = True
                _signal_group(going.pid, signal.SIGKILL if over_s > GRACE_S else signal.SIGTERM)


def start_local(task: Task, resources: Resources) -> Launcher:
    """Start the warm worker for a task."""
    return LocalLauncher(task, workers=resources.workers, threads=resources.threads, timeout_s=resources.timeout_s)


def share_out(cores: int, workers: int | None = None, threads: int | None = None) -> tuple[int, int]:
    """Share the cores out: (runs at a time, threads a run). A run gets one thread unless there are fewer runs.

    >>> share_out(16), share_out(16, workers=4), share_out(2, threads=2)
    ((16, 1), (4, 4), (1, 2))
    """
    if workers is None:
        workers = max(1, cores // (threads or 1))
    return workers, threads or max(1, cores // workers)


def count_cores() -> int:
    """Count the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _start_worker(task: Task, log: int) -> tuple["subprocess.Popen[bytes]", int, int]:
    request_out, request_in = os.pipe()
    reply_out, reply_in = os.pipe()
    command = [sys.executable, "-m", "palate.training.worker", str(request_out), str(reply_in)]
    one_thread = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    fixed = {"PYTHONHASHSEED": "0", "PYTORCH_NVML_BASED_CUDA_CHECK": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    process = subprocess.Popen(
        command,
        pass_fds=(request_out, reply_in),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        env={**os.environ, **one_thread, **fixed},
        start_new_session=True,
    )
    os.close(request_out)
    os.close(reply_in)
    with contextlib.suppress(BrokenPipeError):  # it died at once: poll says so
        os.write(request_in, json.dumps(task.body()).encode() + b"\n")
    return process, request_in, reply_out


def _signal_group(pid: int, number: int) -> None:
    if not pid:
        return
    for send in (os.killpg, os.kill):  # a child that was just forked has no group of its own yet
        try:
            send(pid, number)
        except (ProcessLookupError, PermissionError):
            continue
        return


def _tail_of(log: Any) -> str:
    log.seek(0)
    return str(log.read()[-4000:].decode(errors="replace"))


def _cannot_import(text: str) -> SetupFailedError:
    lines = [line for line in text.strip().splitlines() if line.strip()]
    return SetupFailedError(
        f"The training code cannot be loaded: {lines[-1].strip() if lines else 'its process ended'}",
        why=[f"| {line}" for line in lines[-9:]],
        todo="Fix it, then type the same command again; nothing was lost.",
    )
