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
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from palate.errors import PalateError, RunsFailedError, SetupFailedError
from palate.question.target import Order, Task
from palate.redaction import redact_text
from palate.training import family
from palate.training.children import OUTPUT
from palate.training.devices import CUDA, HIDDEN
from palate.training.keeper import SIGNALLED
from palate.training.launch import Ended, Launcher, Resources, signal_name
from palate.training.placing import THREAD_NAMES, Places, thread_variables
from palate.training.silence import LOOK_S, Patience, Silence, see
from palate.training.usage import Usage
from palate.training.worker import message_of

TICK_S = 0.1

GRACE_S = 5.0
"""Seconds between asking a run to end, its time being up, and killing it; and what the worker has to end itself."""

LOAD_S = 60.0
"""Seconds that loading the training code may take where the time of a run is limited, should that be less."""

LOG_TAIL = 4000
"""The last bytes of what the worker itself printed that are shown."""


@dataclass(slots=True)
class _Going:
    order: Order
    started_s: float
    silence: Silence
    pid: int = 0
    timed_out: bool = False
    killed: bool = False


class LocalLauncher:
    """Carry out orders in a warm worker process.

    Use it as a context: leaving it ends whatever still runs.

    Attributes:
        workers: runs at a time; may be changed.
        worker: the process that starts the runs; 0 before it is ready.
        alone: why each run is a process of its own, which imports everything anew, as a clause; "" where it is not.
        words: what is to be said of runs, or of loading, that produce nothing for long; who says it takes it away.
    """

    def __init__(
        self,
        task: Task,
        *,
        workers: int = 1,
        threads: int = 1,
        timeout_s: float | None = None,
        load_s: float | None = None,
        places: Places | None = None,
        patience: Patience | None = None,
    ) -> None:
        self.workers = workers
        self._places = places
        self._patience = patience or Patience()
        self._looked_s = time.monotonic()
        self._loading = Silence(self._patience, self._looked_s)
        self.words: list[str] = []
        self._threads = threads
        self._timeout_s = timeout_s
        self._load_s = max(timeout_s, LOAD_S) if load_s is None and timeout_s is not None else load_s
        self._waiting: deque[Order] = deque()
        self._waits_since_s = 0.0
        self._going: dict[str, _Going] = {}
        self._ended: list[Ended] = []
        self._pending = b""
        self._ready = False
        self.worker = 0
        self.alone = ""
        self._closed = False
        self._log = tempfile.TemporaryFile()
        self._process, self._requests, self._replies = _start_worker(
            task, self._log.fileno(), hidden=places is not None and places.hidden
        )
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._replies, selectors.EVENT_READ)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def submit(self, order: Order) -> None:
        """Queue one run."""
        if not self._waiting:
            self._waits_since_s = time.monotonic()
        self._waiting.append(order)
        self._start_waiting()

    def poll(self, wait_s: float = TICK_S) -> list[Ended]:
        """Wait a moment; return the runs that ended.

        Raises:
            SetupFailedError: the worker could not load the task, or not in time.
            RunsFailedError: the worker was killed.
        """
        self._hear(wait_s if not self._ended else 0.0)
        self._end_overdue()
        self._start_waiting()
        self._look_at_silence()
        ended, self._ended = self._ended, []
        return ended

    def stop(self, run_id: str | None = None) -> None:
        """Stop one run, and hear no more of it; without an id stop all of them and the worker. Twice is fine.

        Nothing of a run is left when this returns.
        """
        if run_id is None:
            self._close()
            return
        self._waiting = deque(order for order in self._waiting if order.id != run_id)
        if run_id not in self._going or self._closed:
            return
        self._send(run_id, signal.SIGKILL)
        until_s = time.monotonic() + GRACE_S
        while run_id in self._going and time.monotonic() < until_s:
            self._hear(TICK_S)
        self._give_back(self._going.pop(run_id, None))
        self._ended = [ended for ended in self._ended if ended.id != run_id]

    def _close(self) -> None:
        if self._closed:
            return
        self._closed = True
        os.close(self._requests)
        assert self._process.stdin is not None
        self._process.stdin.close()
        if not self._ready:  # it loads the task, and hears nothing
            self._process.terminate()
        for end in (self._process.terminate, self._process.kill):
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(GRACE_S)
                break
            end()
        self._process.wait()
        if self._process.returncode < 0:  # the keeper was killed, and has ended nothing
            self._sweep()
        for going in self._going.values():  # the next engine of this command has the same places
            self._give_back(going)
        self._going.clear()
        self._selector.close()
        os.close(self._replies)
        self._log.close()

    def _start_waiting(self) -> None:
        while self._ready and self._waiting and self._has_room(self._waiting[0]):
            order, now_s = self._waiting.popleft(), time.monotonic()
            threads, variables = self._threads, thread_variables(os.environ, self._threads)
            if self._places is not None:
                threads, variables = self._places.threads, self._places.thread_variables(os.environ)
                seen = self._places.take(order.id, processes=order.processes, group=order.group)
                order = replace(order, devices=seen)
            self._going[order.id] = _Going(order, now_s, Silence(self._patience, now_s))
            self._request(message_of(order, threads, variables))

    def _give_back(self, going: _Going | None) -> tuple[str, ...]:
        """Give the place of a run back; return the names of the GPUs that it had."""
        if self._places is None or going is None:
            return ()
        return tuple(device.words for device in self._places.release(going.order.id))

    def _look_at_silence(self) -> None:
        """Look now and then at what produces nothing: the loading of the training's code, and each run."""
        now_s = time.monotonic()
        if now_s - self._looked_s < min(LOOK_S, self._patience.idle_s / 2):
            return
        self._looked_s = now_s
        if not self._ready:
            sight = see([self._process.pid], ())
            words = sight and self._loading.look(replace(sight, grown=os.fstat(self._log.fileno()).st_size), now_s)
            if words and self._waiting:
                self.words.append(f"Loading the training's code {words}. Ctrl-C stops it.")
        for going in self._going.values():
            folder = going.order.folder
            sight = see([going.pid], _grows(folder)) if going.pid else None
            if sight and (words := going.silence.look(sight, now_s)):
                self.words.append(f"{going.order.id} {words}. What it printed: {folder / OUTPUT}. Ctrl-C stops it.")

    def _has_room(self, order: Order) -> bool:
        """Return whether a run can be started: those of a group count as one, and all of them are started."""
        going = {one.order.group or one.order.id for one in self._going.values()}
        if order.group in going:
            return True
        if self._places is None or not self._places.devices:
            return len(going) < self.workers
        return len(going) < self._places.workers and self._places.has_room(order.processes)

    def _send(self, run_id: str, number: int) -> None:
        self._request({"id": run_id, "send": int(number)})

    def _request(self, message: dict[str, Any]) -> None:
        try:
            os.write(self._requests, json.dumps(message).encode() + b"\n")
        except BrokenPipeError as error:
            raise self._lost() from error

    def _hear(self, wait_s: float) -> None:
        for message in self._messages(wait_s):
            if "failed" in message:
                raise _cannot_load(message["failed"])
            if message.get("ready"):
                self._ready = True
                self.worker, self.alone = message["pid"], message["alone"]
            elif "started" in message:
                if message["id"] in self._going:
                    self._going[message["id"]].pid = message["started"]
            elif message["id"] in self._going:
                self._ended.append(self._end_of(message))

    def _messages(self, wait_s: float) -> list[dict[str, Any]]:
        if not self._selector.select(wait_s):
            return []
        block = os.read(self._replies, 1 << 16)
        if not block:
            raise self._lost()
        *lines, self._pending = (self._pending + block).split(b"\n")
        return [json.loads(line) for line in lines]

    def _end_of(self, message: dict[str, Any]) -> Ended:
        going = self._going.pop(message["id"])
        devices = self._give_back(going)
        usage = Usage.read(message["usage"]) if "usage" in message else None
        given = going.order.devices.get(CUDA, usage.sees if usage is not None else "")
        return Ended(
            id=message["id"],
            status=message["status"],
            timed_out=going.timed_out,
            elapsed_s=message["elapsed_s"],
            usage=usage and replace(usage, gpus=len(devices), device=usage.device or ", ".join(devices)),
            devices=devices,
            chose=usage.sees if usage is not None and usage.sees != given else "",
        )

    def _end_overdue(self) -> None:
        self._refuse_late_load()
        if self._timeout_s is None:
            return
        for run_id, going in self._going.items():
            over_s = time.monotonic() - going.started_s - self._timeout_s
            if over_s > 0 and not going.timed_out:
                going.timed_out = True
                self._send(run_id, signal.SIGTERM)
            elif over_s > GRACE_S and not going.killed:
                going.killed = True
                self._send(run_id, signal.SIGKILL)

    def _refuse_late_load(self) -> None:
        if self._load_s is None or self._ready or not self._waiting:
            return
        if time.monotonic() - self._waits_since_s > self._load_s:
            raise _not_loaded(self._load_s, _tail_of(self._log))

    def _lost(self) -> PalateError:
        """Say that the worker has ended, and how: before it had loaded the task, or while its runs went."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(GRACE_S)
        status, printed = self._process.returncode or 0, _tail_of(self._log)
        number = -status if status < 0 else status - SIGNALLED
        how = signal_name(number) if number > 0 else f"exit status {status}"
        if not self._ready:
            return _cannot_load(f"{printed}\nits process ended: {how}")
        left = self._sweep()
        fate = "The runs that went were ended with it, and count as stopped."
        if left:
            fate = f"The runs that went count as stopped. These processes of them go on: {', '.join(map(str, left))}."
        return RunsFailedError(
            f"The process that starts the runs has ended: {how}.",
            why=[fate, *_quoted(printed)],
            todo="Type the same command again: nothing that finished is lost.",
        )

    def _sweep(self) -> list[int]:
        """End what is left of the runs that went, where the processes above them are gone; return what could not be."""
        return family.kill_of({str(one.order.folder): one.pid for one in self._going.values()})


def start_local(task: Task, resources: Resources) -> Launcher:
    """Start the warm worker for a task."""
    return LocalLauncher(
        task,
        workers=resources.workers,
        threads=resources.threads,
        timeout_s=resources.timeout_s,
        places=resources.places,
    )


def _grows(folder: Path) -> Iterable[Path]:
    """Return the files of a run that grow as it prints and logs."""
    return (folder / OUTPUT, folder / "journal")


def _start_worker(task: Task, log: int, *, hidden: bool) -> tuple["subprocess.Popen[bytes]", int, int]:
    request_out, request_in = os.pipe()
    reply_out, reply_in = os.pipe()
    command = [sys.executable, "-m", "palate.training.worker", str(request_out), str(reply_in)]
    one_thread = dict.fromkeys(THREAD_NAMES, "1")
    fixed = {"PYTHONHASHSEED": "0", "PYTORCH_NVML_BASED_CUDA_CHECK": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    process = subprocess.Popen(
        command,
        pass_fds=(request_out, reply_in),
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=log,
        env={**os.environ, **one_thread, **fixed, **(HIDDEN if hidden else {})},
        start_new_session=True,
    )
    os.close(request_out)
    os.close(reply_in)
    with contextlib.suppress(BrokenPipeError):  # it died at once: poll says so
        os.write(request_in, json.dumps(task.body()).encode() + b"\n")
    return process, request_in, reply_out


def _tail_of(log: Any) -> str:
    size = log.seek(0, os.SEEK_END)
    log.seek(max(size - LOG_TAIL, 0))
    return redact_text(log.read().decode(errors="replace"))


def _cannot_load(text: str) -> SetupFailedError:
    lines = [line for line in text.strip().splitlines() if line.strip()]
    return SetupFailedError(
        f"The training code cannot be loaded: {lines[-1].strip() if lines else 'its process ended'}",
        why=_quoted(text),
        todo="Fix it, then type the same command again; nothing was lost.",
    )


def _not_loaded(load_s: float, text: str) -> SetupFailedError:
    return SetupFailedError(
        f"The training code was not loaded within {load_s:g} s.",
        why=["The time of a run is limited, and so is that of loading its code, to a minute at least.", *_quoted(text)],
        todo="See what the code does when it is imported, or give more time: --timeout SECONDS",
    )


def _quoted(text: str) -> list[str]:
    return [f"| {line}" for line in text.strip().splitlines() if line.strip()][-9:]
