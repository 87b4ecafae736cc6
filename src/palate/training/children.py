"""The runs that a worker has going: starts them, takes what they print, and ends what they leave behind.

A run is over when its main process has ended, nothing that it started is left, and what was printed is in its file.
Until then nobody hears of its end: its journal is free, and the next run finds the machine as this one found it.
Standard library only.
"""

import contextlib
import json
import os
import select
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from palate.redaction import Lines, known_secrets, redact_text
from palate.training import family
from palate.training.devices import HIDDEN
from palate.training.output import Output, Pipe, Redact
from palate.training.received import SECRETS
from palate.training.usage import Meter

OUTPUT = "output.log"
"""File in a run's folder with what it printed."""

POLL_S = 0.02
"""Interval at which ended processes are looked for."""

TOUR_S = 0.02
"""Seconds after which a tour of taking what was printed ends: requests and ended runs come in between."""

LEAVE_S = 2.0
"""Seconds that processes which a run leaves behind have to end by themselves."""

CLOSE_S = 1.0
"""Seconds that runs have to end by themselves when nobody wants them any more."""

GIVE_UP_S = 2.0
"""Seconds after which what cannot be killed is left alone."""

NOT_STARTED = 71
"""Exit status of a run that the system did not let be started, as sysexits.h has it."""

Message = dict[str, Any]
"""An order as it is sent to the worker: plain JSON data."""

Start = Callable[[Message, Pipe], int]
"""Starts a run whose output goes into a pipe; returns its process."""


@dataclass(slots=True)
class _Going:
    """A run that is not over: `status` is that of its main process once it has ended, `until_s` when it is killed.

    `sure` is whether nothing was left of it at the last look: the system may miss a process while others end.
    """

    order: Message
    pid: int
    printed: Pipe
    started_s: float = field(default_factory=time.monotonic)
    elapsed_s: float = 0.0
    status: int | None = None
    until_s: float = float("inf")
    sure: bool = True

    def send(self, number: int) -> bool:
        """Send a signal to its group; return whether there is one."""
        return family.send_group(self.pid, number)


class Children:
    """Serve requests until they end: start runs, send them signals, and reply how they end.

    Args:
        requests: descriptor that requests are read from, JSON lines: an order, or {"id": of a run, "send": a signal}.
        replies: descriptor that replies are written to: {"id": of a run, "status": ..., "elapsed_s": ...}.
        start: starts a run.
        pending: what was read of the requests already.
    """

    def __init__(self, requests: int, replies: int, start: Start, pending: bytes = b"") -> None:
        self._requests = requests
        self._replies = replies
        self._start_run = start
        self._pending = pending
        self._going: dict[str, _Going] = {}
        self._left = family.Left()
        self._meter = Meter()
        self._closing = False

    def serve(self) -> None:
        """Serve until the requests end; then end all runs."""
        self._hear_lines()
        while not self._closing:
            self._tour()
        for going in self._going.values():
            self._ask_to_leave(going)
        until_s = time.monotonic() + CLOSE_S
        while self._going and time.monotonic() < until_s:
            self._tour()
        for going in list(self._going.values()):
            self._kill(going)
            going.printed.finish()
        family.kill_below(os.getpid())

    def forget(self) -> None:
        """Close all that is of other runs and of the worker, in a process that was just forked for one run."""
        for descriptor in (self._requests, self._replies):
            os.close(descriptor)
        for going in self._going.values():
            going.printed.forget()

    def _tour(self) -> None:
        """Wait a moment; hear requests, take a bit of what each run printed, and look who has ended."""
        poll = select.poll()
        printed = {one.printed.read_end: one.printed for one in self._going.values() if one.printed.read_end >= 0}
        for descriptor in printed:
            poll.register(descriptor, select.POLLIN)
        if not self._closing:
            poll.register(self._requests, select.POLLIN)
        busy = [descriptor for descriptor, pipe in printed.items() if pipe.busy]
        wait_ms = 0 if busy else POLL_S * 1000 if self._going else None
        ready = [descriptor for descriptor, _ in poll.poll(wait_ms)]
        if self._requests in ready:
            self._hear()
        _take_in_turn([pipe for descriptor, pipe in printed.items() if descriptor in {*ready, *busy}])
        self._look()

    def _hear(self) -> None:
        block = os.read(self._requests, 1 << 16)
        self._closing = not block
        self._pending += block
        self._hear_lines()

    def _hear_lines(self) -> None:
        *lines, self._pending = self._pending.split(b"\n")
        for line in lines:
            request = json.loads(line)
            if "send" in request:
                self._send(request["id"], request["send"])
            else:
                self._start(request)

    def _send(self, run_id: str, number: int) -> None:
        going = self._going.get(run_id)
        if going is None:
            return
        if number == signal.SIGKILL:
            going.until_s = time.monotonic()
            self._kill(going)
        else:
            self._ask_to_leave(going)

    def _start(self, order: Message) -> None:
        """Start a run; where the system does not let it, that is how it ends."""
        output = Output.open(Path(order["folder"]) / OUTPUT)  # first: what cannot be started is told there
        output.redact_by(redacting_for(order))
        printed = None
        try:
            printed = Pipe(output)
            pid = self._start_run(order, printed)
        except OSError as error:
            output.take(f"palate: the run could not be started: {error.strerror or error}\n".encode())
            if printed is None:
                output.close()
            else:
                printed.finish()
            self.reply({"id": order["id"], "status": NOT_STARTED, "elapsed_s": 0.0})
            return
        printed.close_write_end()
        self._going[order["id"]] = _Going(order, pid, printed)
        self._meter.begin(order["id"])
        self.reply({"id": order["id"], "started": pid})

    def _look(self) -> None:
        if not self._going:
            return
        now_s = time.monotonic()
        if self._meter.due():
            self._measure()
        folders = {one.pid: str(one.order["folder"]) for one in self._going.values()}
        self._left.look(folders)
        for going in list(self._going.values()):
            if going.status is None:
                going.status = _ended(going.pid)
                going.elapsed_s = now_s - going.started_s
                if going.status is None:
                    continue
                going.until_s = min(going.until_s, now_s + LEAVE_S)
                self._ask_to_leave(going)
            self._end(going, folders, now_s)

    def _measure(self) -> None:
        """Look what the processes of each run take."""
        roots = {one.order["id"]: one.pid for one in self._going.values() if one.status is None}
        processes = {run_id: family.with_descendants([pid]) for run_id, pid in roots.items()}
        placed = [one.order.get("devices", {}) for one in self._going.values()]
        self._meter.look(processes, gpus=any(devices not in ({}, HIDDEN) for devices in placed))

    def _end(self, going: _Going, folders: dict[int, str], now_s: float) -> None:
        """End what a run left behind, whose time to leave may be over; finish the run once nothing is left."""
        left = self._left_of(going, folders)
        if left and now_s < going.until_s + GIVE_UP_S:
            going.sure = False
            if now_s >= going.until_s:
                _send_all(left, signal.SIGKILL)
        elif left or going.sure:
            self._finish(going)
        else:
            going.sure = True

    def _left_of(self, going: _Going, folders: dict[int, str]) -> list[int]:
        if not family.LINUX:  # a group is all that is known
            return [-going.pid] if going.send(0) else []
        ended = frozenset(one.pid for one in self._going.values() if one.status is not None)
        return self._left.of(going.pid, folders, ended)

    def _ask_to_leave(self, going: _Going) -> None:
        """Ask all processes of a run to end; one that is stopped hears it once it goes on."""
        if not going.send(signal.SIGTERM):
            family.send(going.pid, signal.SIGTERM)  # it was just forked, and has no group of its own yet
        if going.status is not None:
            folders = {one.pid: str(one.order["folder"]) for one in self._going.values()}
            _send_all(self._left_of(going, folders), signal.SIGTERM)
        going.send(signal.SIGCONT)

    def _kill(self, going: _Going) -> None:
        below = family.with_descendants(family.children_of(going.pid))
        if not going.send(signal.SIGKILL):
            family.send(going.pid, signal.SIGKILL)
        _send_all(below, signal.SIGKILL)

    def _finish(self, going: _Going) -> None:
        """Take the rest of what was printed, let the system forget the process, and tell of the end."""
        going.printed.finish()
        rusage = None
        with contextlib.suppress(ChildProcessError):
            _, _, rusage = os.wait4(going.pid, os.WNOHANG)
        run_id = going.order["id"]
        del self._going[run_id]
        usage = self._meter.end(run_id, Path(going.order["folder"]), rusage).body()
        self.reply({"id": run_id, "status": going.status, "elapsed_s": going.elapsed_s, "usage": usage})

    def reply(self, message: Message) -> None:
        """Send a reply; nobody may be there any more."""
        with contextlib.suppress(BrokenPipeError):
            os.write(self._replies, json.dumps(message).encode() + b"\n")


def redacting_for(order: Message) -> Redact:
    """Return what redacts the lines that a run prints: it may print its secrets, and those that it sets itself.

    The latter come through a file in memory, which ends with this process; the order says where it is.
    """
    known = known_secrets({**os.environ, **order["environment"]}, order["settings"])
    lines, told = Lines((*order["secrets"], *known)), _Told()
    if told.place:
        order["environment"] = {**order["environment"], SECRETS: told.place}

    def redact(line: str) -> str:
        more = told.values()
        return lines.redact(redact_text(line, more) if more else line)

    return redact


class _Told:
    """A file in memory into which the processes of a run tell secrets.

    Attributes:
        place: by which they open it; "" where the system has none.
    """

    def __init__(self) -> None:
        self.place, self._descriptor = "", -1
        self._size = 0
        self._values: tuple[str, ...] = ()
        if hasattr(os, "memfd_create") and os.path.isdir("/proc/self/fd"):  # noqa: PTH112
            with contextlib.suppress(OSError):
                self._descriptor = os.memfd_create("secrets")
                self.place = f"/proc/{os.getpid()}/fd/{self._descriptor}"

    def __del__(self) -> None:
        """Let the file go."""
        if self._descriptor >= 0:
            os.close(self._descriptor)

    def values(self) -> tuple[str, ...]:
        """Return what was told by now."""
        if self._descriptor >= 0:
            size = os.fstat(self._descriptor).st_size
            if size != self._size:
                self._size, self._values = size, _values_in(os.pread(self._descriptor, size, 0))
        return self._values


def _values_in(text: bytes) -> tuple[str, ...]:
    values = []
    for line in text.splitlines():
        with contextlib.suppress(ValueError):  # one that is being written
            values.append(json.loads(line))
    return tuple(dict.fromkeys(value for value in values if isinstance(value, str)))


def _take_in_turn(printed: list[Pipe]) -> None:
    """Take a block of each pipe in turn while there is time, at least one."""
    until_s = time.monotonic() + TOUR_S
    while printed:
        printed = [pipe for pipe in printed if pipe.read_end >= 0 and pipe.take()]
        if time.monotonic() >= until_s:
            return


def _send_all(pids: list[int], number: int) -> None:
    for pid in pids:
        family.send(pid, number)


def _ended(pid: int) -> int | None:
    """Return the exit status of a process that has ended, and let it stay: its number is nobody else's so long."""
    if not hasattr(os, "waitid"):
        done, status = os.waitpid(pid, os.WNOHANG)
        return os.waitstatus_to_exitcode(status) if done else None
    try:
        found = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return 1
    if found is None:
        return None
    return found.si_status if found.si_code == os.CLD_EXITED else -found.si_status
