"""The journal of one run: the complete record of what was logged; standard library only.

Each row is one unbuffered write to an O_APPEND descriptor, so that a process that is killed loses no row for which
`log` has returned. (A few calls write a second record: now and then a STATE, and the event `lost`.) Rows that are given
by `log_soon` are written together, at most 32 of them and .05 s later. There is one lock, on the journal itself, and no
shared memory: network file systems, Slurm arrays and Ray work. See `layout` for the bytes.

A call is atomic. What it will have changed is put down first, in one attribute (`_flight`); then it is written; then
the journal's state follows. Whatever interrupts it (an exception that a signal handler raises, at any bytecode), the
next call sees by the file's size whether the record landed, and goes on from there.
"""

import contextlib
import errno
import gc
import io
import json
import math
import os
import struct
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import Path
from types import CodeType, FrameType
from typing import NamedTuple, Self

from palate.errors import InputError, PalateError, StoreError
from palate.store import layout as lay
from palate.store.journal_file import (
    cannot_write,
    keep_copy,
    lock_for_writing,
    lost,
    no_journal,
    not_mine,
    not_understood,
    not_writable,
    open_to_append,
    say,
)
from palate.store.private import make_folder
from palate.store.resume import Replay, resume
from palate.store.row import LONGEST_DT_MS, STEPS, Declared, Shape, bad_row, new_keys, refuse_bad_row, too_many, whole

FSYNC_EVERY_S = 5.0
RETRY_EVERY_S = 1.0
"""After a failed write, the next one waits this long."""

PENDING_BYTES = 64 << 20
"""Bytes that are held in memory while the disk cannot be written."""

WRITE_BYTES = 1 << 20
STATE_EVERY_BYTES = 64 << 10
STATE_SHARE = 16
"""A STATE is written behind this many times its own bytes, and not more often than every `STATE_EVERY_BYTES`."""

STATE_OVER = len(lay.FORM_2.seal(lay.STATE, b"", 0)[0])
"""Bytes of a STATE record beyond its payload."""

CLOSING_BYTES = 512
"""A journal that is closed gets a STATE where this much was written since the last."""

LATE_ROWS, LATE_S = 32, 0.05
"""Rows given by `log_soon` are written when so many wait, or so long after the last ones."""

TURN_S = 0.05
_tuple = tuple.__new__
"""Makes a named tuple in a third of the time that its class takes."""

_open_journals: "weakref.WeakSet[Journal]" = weakref.WeakSet()
_opening = threading.RLock()
"""Held while a journal is opened, and while a process forks: no child gets a descriptor that nobody knows of."""


Deferred = Callable[..., None]
"""A call of a signal handler in the middle of another, to be made when that has ended; called with itself."""

Late = tuple[int, tuple[str, ...], tuple[float, ...], float]
"""A row that waits: its step, its names, its values, and when it was given on the clock of `time.monotonic`."""


class _At(NamedTuple):
    """How far a journal is; replaced as a whole.

    Attributes:
        crc: the running checksum.
        size: bytes, those that wait in memory included.
        elapsed_ms: up to the last row.
        last_step: of the last row.
        rows: how many.
        lost: rows that an event tells as lost.
        dropped: rows that were dropped since, because the disk and the memory for them were full.
        state_end: where the last STATE ends.
        state_due: the size at which the next is to be written.
    """

    crc: int
    size: int
    elapsed_ms: int = 0
    last_step: int = -1
    rows: int = 0
    lost: int = 0
    dropped: int = 0
    state_end: int = 0
    state_due: int = STATE_EVERY_BYTES


class _Flight(NamedTuple):
    """A record on its way to the file, and what is true once it is there."""

    record: bytes
    after: _At
    shape: Shape | None = None
    next_step: int | None = None
    declared: Declared | None = None
    deferred: Deferred | None = None
    late: tuple[Late, ...] = ()


class _Pending(NamedTuple):
    """What waits for room on the disk: where in the file it begins, and its bytes."""

    start: int
    waiting: bytearray


class Journal:
    """Write one run's journal.

    `log` takes a step and metrics by name, and returns when the operating system has them. A disk that is full or not
    available does not end the training: what could not be written is held in memory (up to 64 MiB) and tried again, and
    a message goes to standard error. What comes beyond that is dropped, counted, and told in the journal.
    """

    def __init__(self, path: Path, file: io.FileIO) -> None:
        self.path = path
        self._file = file
        self._marks: io.FileIO | None = None
        self._descriptor = file.fileno()
        self._lock = threading.Lock()
        self._heirs: dict[threading.Lock, threading.Lock] = {}
        self._form = lay.FORM_2
        self._keys: dict[str, int] = {}
        self._shapes: dict[tuple[str, ...], Shape] = {}
        self._at = _At(0, 0)
        self._flight: _Flight | None = None
        self._deferred: deque[Deferred] = deque()
        self._late: deque[Late] = deque()
        self._late_s = -math.inf
        self._foreign = False
        self._pending: _Pending | None = None
        self._told = False
        self._anew = False  # begun behind damage: its number of rows is a guess
        self._retry_at = 0.0
        self._zero_ns = time.monotonic_ns()
        self._start_s = time.time()
        self._dirty = threading.Event()
        self._syncer: threading.Thread | None = None
        _open_journals.add(self)

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Self:
        """Open a journal to write: a new one, or the end of one that no process is writing.

        Raises:
            JournalTakenError: another process is writing it.
            StoreError: its folder cannot be written, or the file is not a journal.
        """
        place = Path(path)
        with _opening:
            try:
                make_folder(place.parent)
                file = io.FileIO(place, "r+", opener=open_to_append)
            except OSError as error:
                raise not_writable(place, error) from error
            try:
                lock_for_writing(file.fileno(), place)
                journal = cls(place, file)
                journal._start()
            except OSError as error:
                file.close()
                raise not_writable(place, error) from error
            except BaseException:
                file.close()
                raise
            return journal

    @property
    def whole(self) -> bool:
        """Whether all that was logged is in the file."""
        return self._pending is None and not self._at.dropped

    @property
    def names(self) -> Collection[str]:
        """The names of the metrics that were logged so far."""
        return self._keys.keys()

    def log(self, step: int | None, metrics: Mapping[str, float]) -> None:
        """Append one row: every metric of `metrics` at `step`; None is one more than the last, of whichever thread.

        Called by a signal handler in the middle of another call, it keeps the row until that one ends.

        Raises:
            InputError: a step that is not a whole number, or a name or a value that cannot be stored.
            JournalTakenError: this process is not the one that opened the journal.
        """
        if self._lock.locked() and self._is_nested():
            refuse_bad_row(step, metrics)
            known = None if step is None else whole(step)
            self._deferred.append(partial(self._row, known, {name: float(metrics[name]) for name in metrics}))
            return
        try:
            with self._lock:
                if self._flight is not None:
                    self._settle()
                if self._late:
                    self._write_late()
                self._row(step, metrics)
        finally:
            if self._deferred:
                self._write_deferred()

    def log_soon(self, step: int, metrics: Mapping[str, float], now_s: float) -> None:
        """Append one row of plain numbers with those to come: it is written .05 s, or 32 rows, later at most.

        It stands before all that is logged after it. A process that is killed loses what waits; one that ends by an
        exception does not. Where rows come slower than every .05 s, each is written at once.

        Args:
            step: a whole number.
            metrics: numbers by name; a row of names that the journal does not know yet is written at once.
            now_s: the time on the clock of `time.monotonic`.

        Raises:
            InputError, JournalTakenError: see `log`.
        """
        names = tuple(metrics)
        if names not in self._shapes:
            self.log(step, metrics)
            return
        self._late.append((step, names, tuple(metrics.values()), now_s))
        if now_s - self._late_s >= LATE_S or len(self._late) >= LATE_ROWS:
            self._late_s = now_s
            self.write_late()

    def write_late(self) -> None:
        """Write the rows that `log_soon` was given, now.

        Raises:
            JournalTakenError: see `log`.
        """
        if not self._late or (self._lock.locked() and self._is_nested()):  # the call that it is nested in has them
            return
        try:
            with self._lock:
                self._settle()
                self._write_late()
        finally:
            if self._deferred:
                self._write_deferred()

    def event(self, kind: str, **fields: object) -> None:
        """Append an event (recipe, outcome, checkpoint, stage ...) as one JSON object."""
        payload = json.dumps({"kind": kind, "unix_s": time.time(), **fields}, sort_keys=True).encode()
        if self._lock.locked() and self._is_nested():
            self._deferred.append(partial(self._event, payload))
            return
        try:
            with self._lock:
                self._settle()
                self._write_late()
                self._event(payload)
        finally:
            if self._deferred:
                self._write_deferred()

    def close(self) -> None:
        """Write what is pending, sync and close; say what is lost; a second call does nothing."""
        if self._lock.locked() and self._is_nested():
            self._deferred.append(self._close_deferred)
            return
        with self._lock:
            if self._descriptor >= 0:
                self._finish()
            self._descriptor = -1
            self._file.close()
            if self._marks is not None:
                self._marks.close()
            self._dirty.set()

    def _close_deferred(self, _: Deferred) -> None:
        self.close()

    def __del__(self) -> None:
        """Write what waits; let the lock go, where an exception kept the journal from being used."""
        if self._late and self._descriptor >= 0:
            with contextlib.suppress(PalateError, OSError):
                self.write_late()
        self._file.close()
        if self._marks is not None:
            self._marks.close()

    def _row(
        self,
        step: int | None,
        metrics: Mapping[str, float],
        deferred: Deferred | None = None,
        late: tuple[Late, ...] = (),
    ) -> None:
        if self._at.dropped:
            self._tell_dropped()
        crc, size, before_ms, last_step, rows, lost, dropped, state_end, due = self._at
        given_ns = int(late[0][3] * 1e9) if late else time.monotonic_ns()
        elapsed_ms = (given_ns - self._zero_ns) // 1_000_000
        if elapsed_ms < before_ms:  # two clocks, rounded
            elapsed_ms = before_ms
        shape = self._shapes.get(tuple(metrics))
        declared = None
        try:
            if type(step) is not int:
                step = last_step + 1 if step is None else whole(step)
            dt_ms = elapsed_ms - before_ms
            if dt_ms > LONGEST_DT_MS:
                dt_ms = LONGEST_DT_MS
            if shape is not None and shape.next_step == step:
                record, crc = shape.row(dt_ms, tuple(metrics.values()), crc, self._form)
                next_step = step + shape.stride
            else:
                record, crc, declared = self._off_stride(step, metrics, dt_ms)
                shape = declared.shape
                next_step = step + declared.stride
        except (struct.error, TypeError, ValueError, OverflowError) as error:
            raise bad_row(step, metrics) from error
        size += len(record)
        known = next_step if -STEPS <= next_step < STEPS else None
        after = _tuple(_At, (crc, size, elapsed_ms, step, rows + 1, lost, dropped, state_end, due))
        self._append(_tuple(_Flight, (record, after, shape, known, declared, deferred, late)))
        if size >= due and self._pending is None:
            self._write_state()

    def _write_late(self) -> None:
        """Write the rows that wait, those of the same names in a row together."""
        while self._late:
            rows = tuple(self._late)
            shape = self._shapes.get(rows[0][1])
            if shape is not None and shape.next_step == rows[0][0]:
                self._rows(shape, rows)
            else:
                step, names, values, _ = rows[0]
                self._row(step, dict(zip(names, values, strict=True)), late=rows[:1])

    def _rows(self, shape: Shape, rows: tuple[Late, ...]) -> None:
        """Write the first of some rows, as many as follow each other by their names and steps, as one record."""
        if self._at.dropped:
            self._tell_dropped()
        crc, size, last_ms, last_step, count, lost, dropped, state_end, due = self._at
        names, stride, form, zero_ns = rows[0][1], shape.stride, self._form, self._zero_ns
        next_step, timed = rows[0][0], []
        for step, others, values, at_s in rows:
            if step != next_step or others != names:
                break
            at_ms = max(last_ms, (int(at_s * 1e9) - zero_ns) // 1_000_000)
            timed.append((min(at_ms - last_ms, LONGEST_DT_MS), values))
            last_ms, last_step, next_step = at_ms, step, step + stride
        records, crc = shape.rows(timed, crc, form)
        packed, done = b"".join(records), len(timed)
        after = _At(crc, size + len(packed), last_ms, last_step, count + done, lost, dropped, state_end, due)
        known = next_step if -STEPS <= next_step < STEPS else None
        self._append(_Flight(packed, after, shape, known, late=rows[:done]))
        if after.size >= due and self._pending is None:
            self._write_state()

    def _event(self, payload: bytes, deferred: Deferred | None = None) -> None:
        if self._at.dropped:
            self._tell_dropped()
        self._append_other(lay.EVENT, payload, self._at, deferred)

    def _append_other(self, tag: int, payload: bytes, at: _At, deferred: Deferred | None = None) -> None:
        """Append a record that is no row; `at` is how far the journal is, with what this record changes of it."""
        record, crc = self._form.seal(tag, payload, at.crc)
        self._append(_Flight(record, at._replace(crc=crc, size=at.size + len(record)), deferred=deferred))

    def _off_stride(self, step: int, metrics: Mapping[str, float], dt_ms: int) -> tuple[bytes, int, Declared]:
        """Pack a row whose shape is new, or whose step is not the one that its shape expects, and what it declares."""
        names, values = tuple(metrics), tuple(metrics.values())
        struct.pack(f"<{len(values)}d", *values)
        shape, crc, new = self._shapes.get(names), self._at.crc, {}
        parts: list[bytes] = []
        stride = 1
        if shape is None:
            new = new_keys(names, self._keys)
            if len(self._keys) + len(new) > lay.MOST_DECLARED:
                raise too_many("names of metrics")
            if len(self._shapes) >= lay.MOST_DECLARED:
                raise too_many("combinations of metrics")
            shape = Shape(len(self._shapes), len(names))
            numbers = [new[name] if name in new else self._keys[name] for name in names]
            payloads = [(lay.KEY, lay.KEY_HEAD.pack(number) + name.encode()) for name, number in new.items()]
            head = lay.KEY_HEAD.pack(shape.number) if self._form.number > 1 else b""
            for kind, payload in [*payloads, (lay.SHAPE, head + struct.pack(f"<{len(names)}H", *numbers))]:
                record, crc = self._form.seal(kind, payload, crc)
                parts.append(record)
        elif shape.next_step is not None:
            stride = step - (shape.next_step - shape.stride)
            stride = stride if -STEPS <= stride < STEPS else 1
        record, crc = self._form.seal(lay.STEP, self._form.step_body(shape.number, step, stride, self._at.rows), crc)
        row, crc = shape.row(dt_ms, values, crc, self._form)
        return b"".join((*parts, record, row)), crc, Declared(names, new, shape, stride)

    def _append(self, flight: _Flight) -> None:
        """Write a record, and let the state follow."""
        self._flight = flight
        if self._pending is not None:
            self._keep(flight)
            return
        try:
            written = os.write(self._descriptor, flight.record)
        except OSError:
            self._keep(flight)
            return
        if written < len(flight.record):
            self._keep(flight)
            return
        self._take_in(flight)
        if not self._dirty.is_set():
            self._dirty.set()
            self._start_syncer()

    def _take_in(self, flight: _Flight) -> None:
        """Let the state follow a record that stands; doing it twice does no harm."""
        _, after, shape, next_step, declared, deferred, late = flight
        if declared is not None:
            self._keys.update(declared.keys)
            self._shapes[declared.names] = declared.shape
            declared.shape.stride = declared.stride
        if shape is not None:
            shape.next_step = next_step
        self._at = after
        if deferred is not None:
            self._end_deferred(deferred)
        if late:
            self._end_late(late)
        self._flight = None

    def _end_late(self, rows: tuple[Late, ...]) -> None:
        """Take rows that are written off those that wait."""
        for row in rows:
            if self._late and self._late[0] is row:
                self._late.popleft()

    def _end_deferred(self, deferred: Deferred | None) -> None:
        """Take a call of a signal handler that was made off the queue."""
        if deferred is not None and self._deferred and self._deferred[0] is deferred:
            self._deferred.popleft()

    def _settle(self) -> None:
        """See what became of a record whose call was interrupted: it is there, or is put there where it is in part.

        Where nothing of it is there, it is forgotten: its call did not return.
        """
        flight = self._flight
        if flight is None:
            return
        if self._descriptor < 0:
            raise not_mine(self.path, closed=not self._foreign)
        end, start = flight.after.size, flight.after.size - len(flight.record)
        if self._pending is not None:
            landed = self._pending.start + len(self._pending.waiting)
        else:
            landed = os.fstat(self._descriptor).st_size
        if start < landed < end:
            self._keep(flight)
        elif landed >= end:
            self._take_in(flight)
        self._flight = None

    def _is_nested(self) -> bool:
        """Whether this thread is inside of another call of this journal; else wait until the one that is has ended."""
        if is_inside(sys._getframe(2), _CALLS, self):
            return True
        self._await_turn()
        return False

    def _await_turn(self) -> None:
        """Wait until no other thread holds the lock.

        One that nobody holds any more is replaced: an exception came just before it was let go. Threads that wait here
        do not hold it; all of them put the same lock in its place.
        """
        while self._lock.locked():
            held = self._lock
            if held.acquire(timeout=TURN_S):
                held.release()
                return
            others = frames_of_others()
            owned = any(is_inside(one, _CALLS, self) and not is_inside(one, _WAITS, self) for one in others)
            if not owned and self._lock is held:
                self._lock = self._heirs.setdefault(held, threading.Lock())

    def _write_deferred(self) -> None:
        """Write what signal handlers logged in the middle of a call."""
        while self._deferred:
            self._await_turn()
            with self._lock:  # only now: another thread, or a handler just before, may have written them all
                self._settle()
                first = self._deferred[0] if self._deferred else None
                closes = first == self._close_deferred
                if closes:
                    self._deferred.popleft()
                elif first is not None:
                    self._write_one(first)
            if closes:
                self.close()

    def _write_one(self, deferred: Deferred) -> None:
        try:
            deferred(deferred)
        except (InputError, StoreError) as error:  # nobody is left to take it
            say(f"palate: {error}")
            self._end_deferred(deferred)

    def _keep(self, flight: _Flight) -> None:
        """Hold a record in memory that the disk does not take; drop and count a row where too many wait.

        Events are few, and what says how the run ended is one: they are always held.
        """
        if self._descriptor < 0:
            self._flight = None
            raise not_mine(self.path, closed=not self._foreign)
        pending, size = self._pending, len(flight.record)
        if pending is None:
            self._pending = _Pending(flight.after.size - size, bytearray(flight.record))
            self._take_in(flight)
        elif pending.start + len(pending.waiting) >= flight.after.size:  # an interrupt came right behind it
            self._take_in(flight)
        elif flight.shape is None or len(pending.waiting) + size <= PENDING_BYTES:
            pending.waiting.extend(flight.record)
            self._take_in(flight)
        else:
            dropped = self._at.dropped + flight.after.rows - self._at.rows
            self._at = self._at._replace(dropped=dropped, last_step=flight.after.last_step)
            self._end_deferred(flight.deferred)
            self._end_late(flight.late)
            self._flight = None
        self._owe(self._at.rows + self._at.lost + self._at.dropped)
        if time.monotonic() >= self._retry_at:
            self._flush()

    def _flush(self) -> None:
        """Write what waits, as far as there is room; say where there is none, once."""
        while self._pending is not None:
            start, waiting = self._pending
            done, why = 0, "the disk is full"
            try:
                done = os.fstat(self._descriptor).st_size - start
                if done >= len(waiting):
                    self._pending, self._told = None, False
                    self._owe(self._at.rows + self._at.lost + self._at.dropped if self._at.dropped else 0)
                    return
                written = os.write(self._descriptor, waiting[done : done + WRITE_BYTES])
            except OSError as error:
                written, why = 0, str(error.strerror)
            if not written:
                self._wait_for_room(_Pending(start + done, waiting[done:]) if done > WRITE_BYTES else None, why)
                return

    def _wait_for_room(self, rest: _Pending | None, why: str) -> None:
        self._pending = rest or self._pending
        self._retry_at = time.monotonic() + RETRY_EVERY_S
        if not self._told:
            self._told = True
            say(cannot_write(self.path, why))

    def _tell_dropped(self) -> None:
        """Write an event that says how many rows were dropped, once there is room."""
        if self._pending is not None and time.monotonic() >= self._retry_at:
            self._flush()
        if self._pending is not None and len(self._pending.waiting) > PENDING_BYTES // 2:
            return
        self._append_lost(self._at.dropped, "the disk was full")
        if self._pending is None:
            self._owe(0)

    def _append_lost(self, points: int, why: str) -> None:
        event = {"kind": "lost", "unix_s": time.time(), "points": points, "why": why}
        at = self._at._replace(lost=self._at.lost + points, dropped=0)
        self._append_other(lay.EVENT, json.dumps(event).encode(), at)

    def _owe(self, rows: int) -> None:
        """Write into the header how many rows were logged in all, while some wait; it takes no room on a full disk."""
        if self._marks is not None and not self._anew:
            with contextlib.suppress(OSError):
                os.pwrite(self._marks.fileno(), lay.OWED.pack(rows, rows, rows), lay.OWED_AT)

    def _write_state(self, fresh: lay.State | None = None) -> None:
        at = self._at
        state = fresh or lay.State(
            layout=self._layout(), rows=at.rows, lost=at.lost, elapsed_ms=at.elapsed_ms, last_step=at.last_step,
            start_s=self._start_s, at=at.size, crc=at.crc,
        )  # fmt: skip
        payload = state.packed()
        end = at.size + len(payload) + STATE_OVER
        due = end + max(STATE_EVERY_BYTES, STATE_SHARE * len(payload))
        self._append_other(lay.STATE, payload, at._replace(state_end=end, state_due=due))

    def _layout(self) -> lay.Layout:
        shapes = self._shapes.values()
        return lay.Layout(
            self._form,
            keys=list(self._keys),
            shapes=[tuple(self._keys[name] for name in names) for names in self._shapes],
            next_step=[shape.next_step for shape in shapes],
            stride=[shape.stride for shape in shapes],
        )

    def _finish(self) -> None:
        """Write all that is still to be written, before the journal is closed."""
        self._settle()
        self._write_late()
        while self._deferred and self._deferred[0] != self._close_deferred:
            self._write_one(self._deferred[0])
        self._retry_at = 0.0
        self._flush()
        if self._at.dropped:
            self._tell_dropped()
            self._flush()
        if self._pending is None and self._at.size - self._at.state_end > CLOSING_BYTES:
            self._write_state()
        if missing := self._missing():
            say(lost(self.path, missing))
        with contextlib.suppress(OSError):
            os.fsync(self._descriptor)

    def _missing(self) -> int:
        """Count the rows that are not in the file."""
        if self._pending is None:
            return self._at.dropped
        there = os.fstat(self._descriptor).st_size - self._pending.start
        waiting, layout, at, rows = self._pending.waiting, self._layout(), 0, 0
        while at < len(waiting) and (end := lay.record_end(waiting, at, layout)) > at:
            rows += end > there and (bool(waiting[at] & lay.ROW) or waiting[at] == lay.LONG_ROW)
            at = end
        return rows + self._at.dropped

    def _start(self) -> None:
        """Write the header of a new journal, or continue an existing one after its last complete record."""
        size = os.fstat(self._descriptor).st_size
        head = os.pread(self._descriptor, lay.HEADER_MOST, 0)
        if lay.is_header_begun(head):
            os.ftruncate(self._descriptor, 0)
            header = self._form.header
            if os.write(self._descriptor, header) < len(header):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self._open_marks()
            self._at = _At(0, len(header))
            self.event("start", pid=os.getpid(), format=self._form.number)
            return
        form = lay.form_by_start(os.pread(self._descriptor, lay.START_BYTES, 0))
        if form is None:
            raise no_journal(self.path)
        if size < len(form.header):
            raise not_understood(self.path, ValueError("a header that is damaged, and cut"))
        self._form = form
        if form.number > 1:
            self._open_marks()
        try:
            known = resume(self._descriptor, size, form)
        except (ValueError, KeyError, TypeError, IndexError, struct.error, RecursionError) as error:
            raise not_understood(self.path, error) from error
        if known.damaged:
            self._begin_anew(known, size)
        else:
            self._continue(known, size)
        self._tell_owed(head)

    def _open_marks(self) -> None:
        """Open the header to be changed in place, as long as there is room for that: it takes none on the disk."""
        with contextlib.suppress(OSError):
            self._marks = io.FileIO(self.path, "r+")

    def _tell_owed(self, head: bytes) -> None:
        """Tell as an event what a process before this one logged and could not write."""
        owed = lay.rows_owed(head) if self._form.number > 1 else 0
        if not owed or self._anew:
            return
        missing = owed - self._at.rows - self._at.lost
        if missing > 0:
            self._append_lost(missing, "the disk was full when the process ended")
        if self._pending is None:
            self._owe(0)

    def _continue(self, known: Replay, size: int) -> None:
        """Go on with a journal's keys, shapes, steps, checksum and clock; cut an incomplete record, keeping a copy."""
        if known.end < size:
            try:
                keep_copy(self.path, os.pread(self._descriptor, size - known.end, known.end))
            except OSError:  # what cannot be kept is not cut
                self._begin_anew(known, size)
                return
            os.ftruncate(self._descriptor, known.end)
        declared = known.layout
        names = [name for name in declared.keys if name is not None]
        shapes = [keys for keys in declared.shapes if keys is not None]
        if len(names) < len(declared.keys) or len(shapes) < len(declared.shapes):
            raise not_understood(self.path, ValueError("a name or a shape is not declared"))
        self._keys = {name: number for number, name in enumerate(names)}
        for number, keys in enumerate(shapes):
            shape = Shape(number, len(keys), exact32=False)
            shape.next_step, shape.stride = declared.next_step[number], declared.stride[number]
            self._shapes[tuple(names[key] for key in keys)] = shape
        self._set_clock(known.state(), known.end, known.state_end)

    def _begin_anew(self, known: Replay, size: int) -> None:
        """Go on behind damage: nothing is cut, and nothing before it declares what follows."""
        self._anew = True
        state = known.fresh(size)
        self._set_clock(state, size, size)
        self._write_state(state)

    def _set_clock(self, state: lay.State, size: int, state_end: int) -> None:
        self._start_s = state.start_s or time.time()
        since_start_ms = int((time.time() - self._start_s) * 1000)
        self._zero_ns = time.monotonic_ns() - max(state.elapsed_ms, since_start_ms) * 1_000_000
        last = (state.elapsed_ms, state.last_step, state.rows, state.lost, 0)
        self._at = _At(state.crc, size, *last, state_end, state_end + STATE_EVERY_BYTES)

    def _start_syncer(self) -> None:
        if self._syncer is None:
            self._syncer = threading.Thread(
                target=_sync_in_background, args=(weakref.ref(self),), name="palate-sync", daemon=True
            )
            with contextlib.suppress(RuntimeError):  # no thread can be started: the operating system writes by itself
                self._syncer.start()

    def _disown(self) -> None:
        """Let go of everything in a forked child; the parent's lock stays the parent's."""
        self._foreign, self._descriptor = True, -1
        self._file.close()
        if self._marks is not None:
            self._marks.close()
        self._lock = threading.Lock()
        self._flight = self._pending = None
        self._at = self._at._replace(dropped=0)
        self._deferred.clear()
        self._late.clear()


_CALLS = {call.__code__ for call in (Journal.log, Journal.event, Journal.write_late, Journal.close)}
_WAITS = {Journal._await_turn.__code__}


def frames_of_others() -> list[FrameType]:
    """Return what each other thread executes just now.

    Nothing is collected meanwhile: Python holds its list of threads then, and where a callback of the collector lets
    another thread go on that starts or ends a thread, both would wait for ever (python/cpython#106883).
    """
    mine, collects = threading.get_ident(), gc.isenabled()
    try:
        gc.disable()
        frames = sys._current_frames()
    finally:
        if collects:
            gc.enable()
    return [frame for thread, frame in frames.items() if thread != mine]


def is_inside(frame: FrameType | None, calls: Collection[CodeType], owner: object) -> bool:
    """Whether one of these methods of an object is on a stack."""
    while frame is not None:
        if frame.f_code in calls and frame.f_locals.get("self") is owner:
            return True
        frame = frame.f_back
    return False


def write_event(path: Path, kind: str, **fields: object) -> None:
    """Write one event into a journal, which is made where it is not there. See `Journal.event`.

    Raises:
        StoreError: the disk has no room for it.
    """
    journal = Journal.open(path)
    journal.event(kind, **fields)
    journal.close()
    if not journal.whole:
        raise StoreError(
            f"{path} cannot be written: there is no room for its event {kind!r}.",
            todo="Make room, then type the same command again.",
        )


def _sync_in_background(reference: "weakref.ref[Journal]") -> None:
    while True:
        time.sleep(FSYNC_EVERY_S)
        journal = reference()
        if journal is None or journal._descriptor < 0:
            return
        if journal._late:  # a step that lasts: what was done before it is in the file meanwhile
            with contextlib.suppress(PalateError, OSError):
                journal.write_late()
        if journal._dirty.is_set():
            journal._dirty.clear()
            with contextlib.suppress(OSError):
                os.fsync(journal._descriptor)


def _disown_after_fork() -> None:
    """Let go of all journals in a forked child: they belong to the process that opened them.

    Locks are made anew: a thread that held one when the process forked is not there to let it go.
    """
    global _opening
    _opening = threading.RLock()
    for journal in list(_open_journals):
        journal._disown()
    _open_journals.clear()


def _begin_fork() -> None:
    _opening.acquire()


def _end_fork() -> None:
    _opening.release()


os.register_at_fork(before=_begin_fork, after_in_parent=_end_fork, after_in_child=_disown_after_fork)
