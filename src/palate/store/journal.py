"""The journal of one run: the complete record of what was logged; standard library only.

Each call is one unbuffered write to an O_APPEND descriptor, so that a process that is killed loses no row for which
`log` has returned. There is one lock, on the journal itself, and no shared memory: network file systems, Slurm arrays
and Ray work. See `layout` for the bytes.
"""

import contextlib
import fcntl
import json
import os
import struct
import sys
import threading
import time
import weakref
import zlib
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple, Self

from palate.errors import InputError, JournalTakenError, StoreError
from palate.store import layout as lay
from palate.store.private import make_folder, open_file

FSYNC_EVERY_S = 5.0
RETRY_EVERY_S = 1.0
"""After a failed write, the next one waits this long."""

PENDING_BYTES = 64 << 20
"""Bytes that are held in memory while the disk cannot be written."""

_open_journals: "weakref.WeakSet[Journal]" = weakref.WeakSet()


class _Shape:
    """How rows of one tuple of keys are packed, and the step that the next row is expected to have."""

    __slots__ = ("exact32", "next_step", "number", "pack", "stride", "values")

    def __init__(self, number: int, values: int, *, exact32: bool = True) -> None:
        self.number = number
        self.values = values
        self.exact32 = exact32
        self.next_step = 0
        self.stride = 1
        self._lay_out()

    def _lay_out(self) -> None:
        tag = lay.ROW | (lay.ROW_FLOAT32 if self.exact32 else 0) | self.number
        rows = [lay.row_struct(width, self.exact32, self.values) for width in range(len(lay.DT_WIDTHS))]
        self.pack = [partial(row.pack, tag | width << 4) for width, row in enumerate(rows)]

    def row(self, dt_ms: int, values: tuple[float, ...], crc: int) -> tuple[bytes, int]:
        """Pack a row; return its bytes and the running checksum after it."""
        if self.number >= lay.SHORT_SHAPES:
            payload = lay.LONG_HEAD.pack(self.number, dt_ms) + struct.pack(f"<{self.values}d", *values)
            return lay.seal_other(lay.LONG_ROW, payload, crc)
        if self.exact32 and not _all_exact32(values):
            self.exact32 = False
            self._lay_out()
        body = self.pack[0 if dt_ms < 256 else 1 if dt_ms < 65536 else 2](dt_ms, *values)
        crc = zlib.crc32(body, crc)
        tail = lay.CRC16.pack(crc & 0xFFFF)
        return body + tail, zlib.crc32(tail, crc)


def _all_exact32(values: tuple[float, ...]) -> bool:
    try:
        packed = struct.pack(f"<{len(values)}f", *values)
    except OverflowError:
        return False
    return struct.unpack(f"<{len(values)}f", packed) == tuple(map(float, values))


class _Declared(NamedTuple):
    """What a row declares before it: new keys with their numbers, its shape, and by how much its steps go on."""

    names: tuple[str, ...]
    keys: dict[str, int]
    shape: _Shape
    stride: int


class Journal:
    """Write one run's journal.

    `log` takes a step and metrics by name, and returns when the operating system has them. A disk that is full or not
    available does not end the training: what could not be written is held in memory (up to 64 MiB) and tried again, and
    a message goes to standard error.
    """

    def __init__(self, path: Path, *, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor
        self._lock = threading.Lock()
        self._keys: dict[str, int] = {}
        self._shapes: dict[tuple[str, ...], _Shape] = {}
        self._crc = 0
        self._size = 0
        self._pending = bytearray()
        self._retry_at = 0.0
        self._elapsed_ms = 0
        self._zero_ns = time.monotonic_ns()
        self._foreign = False
        self._dirty = threading.Event()
        self._syncer: threading.Thread | None = None
        self.last_step = -1
        _open_journals.add(self)

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Self:
        """Open a journal to write: a new one, or the end of one that no process is writing.

        Raises:
            JournalTakenError: another process is writing it.
            StoreError: its folder cannot be written, or the file is not a journal.
        """
        place = Path(path)
        try:
            make_folder(place.parent)
            descriptor = open_file(place, os.O_RDWR | os.O_APPEND)
        except OSError as error:
            raise _not_writable(place, error) from error
        try:
            _lock_for_writing(descriptor, place)
            journal = cls(place, descriptor=descriptor)
            journal._start()
        except BaseException:
            os.close(descriptor)
            raise
        return journal

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Append one row: every metric of `metrics` at `step`.

        Raises:
            InputError: a step that is not a whole number, or a name or a value that cannot be stored.
            JournalTakenError: this process is not the one that opened the journal.
        """
        with self._lock:
            elapsed_ms = (time.monotonic_ns() - self._zero_ns) // 1_000_000
            crc_before = self._crc
            shape = self._shapes.get(tuple(metrics))
            declared: _Declared | None = None
            try:
                if type(step) is not int:
                    step = _whole(step)
                if shape is not None and shape.next_step == step:
                    record, crc = shape.row(elapsed_ms - self._elapsed_ms, tuple(metrics.values()), crc_before)
                else:
                    record, crc, declared = self._off_stride(step, metrics, elapsed_ms - self._elapsed_ms)
                    shape = declared.shape
            except (struct.error, TypeError, ValueError, OverflowError) as error:
                raise _bad_row(step, metrics) from error
            try:
                self._append(record, crc, crc_before)
            finally:
                if declared is not None and self._crc == crc:  # it stands, even where a signal came in between
                    self._take_in(declared)
            self._elapsed_ms = elapsed_ms
            shape.next_step = step + shape.stride
            self.last_step = step

    def event(self, kind: str, **fields: object) -> None:
        """Append an event (recipe, outcome, checkpoint, stage ...) as one JSON object."""
        with self._lock:
            payload = json.dumps({"kind": kind, "unix_s": time.time(), **fields}, sort_keys=True).encode()
            record, crc = lay.seal_other(lay.EVENT, payload, self._crc)
            self._append(record, crc, self._crc)

    def close(self) -> None:
        """Write what is pending, sync and close; a second call does nothing."""
        with self._lock:
            if self._descriptor < 0 or self._foreign:
                return
            self._retry_at = 0.0
            self._flush_pending()
            with contextlib.suppress(OSError):
                os.fsync(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1
            self._dirty.set()

    def _off_stride(self, step: int, metrics: Mapping[str, float], dt_ms: int) -> tuple[bytes, int, "_Declared"]:
        """Pack a row whose shape is new, or whose step is not the one that its shape expects, and what it declares."""
        names, values = tuple(metrics), tuple(metrics.values())
        struct.pack(f"<{len(values)}d", *values)
        shape, crc, new = self._shapes.get(names), self._crc, {}
        parts: list[bytes] = []
        if shape is None:
            new = _new_keys(names, self._keys)
            shape, stride = _Shape(len(self._shapes), len(names)), 1
            numbers = [new[name] if name in new else self._keys[name] for name in names]
            payloads = [(lay.KEY, lay.KEY_HEAD.pack(number) + name.encode()) for name, number in new.items()]
            for kind, payload in [*payloads, (lay.SHAPE, struct.pack(f"<{len(names)}H", *numbers))]:
                record, crc = lay.seal_other(kind, payload, crc)
                parts.append(record)
        else:
            stride = step - (shape.next_step - shape.stride)
        record, crc = lay.seal_other(lay.STEP, lay.STEP_BODY.pack(shape.number, step, stride), crc)
        row, crc = shape.row(dt_ms, values, crc)
        return b"".join((*parts, record, row)), crc, _Declared(names, new, shape, stride)

    def _take_in(self, declared: "_Declared") -> None:
        """Remember what a row declared, once the row stands: one that is refused leaves nothing behind."""
        self._keys.update(declared.keys)
        self._shapes[declared.names] = declared.shape
        declared.shape.stride = declared.stride

    def _append(self, record: bytes, crc: int, crc_before: int) -> None:
        if self._foreign or self._descriptor < 0:
            raise _not_mine(self.path, closed=self._descriptor < 0)
        self._crc = crc
        try:
            written = 0 if self._pending else os.write(self._descriptor, record)
        except OSError as error:
            self._keep(record, error, crc_before)
            return
        except BaseException:  # an interrupt inside the write: did the record land?
            if os.fstat(self._descriptor).st_size == self._size:
                self._crc = crc_before
            else:
                self._size += len(record)
            raise
        self._size += written
        if written < len(record):
            self._keep(record[written:], None, crc_before)
        elif not self._dirty.is_set():
            self._dirty.set()
            self._start_syncer()

    def _keep(self, rest: bytes, error: OSError | None, crc_before: int) -> None:
        if error is not None or not self._pending:
            print(_cannot_write(self.path, error), file=sys.stderr)
        if len(self._pending) + len(rest) > PENDING_BYTES:
            self._crc = crc_before  # what comes later follows on what was kept
            raise StoreError(
                f"{self.path}: the disk has refused every write, and 64 MiB of points are waiting.",
                todo="Free space on the disk, then start the run again.",
            )
        self._pending += rest
        if time.monotonic() >= self._retry_at:
            self._flush_pending()

    def _flush_pending(self) -> None:
        while self._pending:
            try:
                written = os.write(self._descriptor, bytes(self._pending[: 1 << 20]))
            except OSError:
                self._retry_at = time.monotonic() + RETRY_EVERY_S
                return
            self._size += written
            del self._pending[:written]

    def _start(self) -> None:
        """Write the header of a new journal, or continue an existing one after its last complete record."""
        size = os.fstat(self._descriptor).st_size
        if size == 0:
            self._size = os.write(self._descriptor, lay.HEADER)
            self.event("start", pid=os.getpid(), format=1)
            return
        buffer = os.pread(self._descriptor, size, 0)
        if not buffer.startswith(lay.HEADER):
            raise StoreError(f"{self.path} is not a journal of palate, or of a newer one.", why="Nothing was changed.")
        self._continue(buffer)
        if self._size < size:  # an incomplete record at the end: cut it, so that what follows can be read
            os.ftruncate(self._descriptor, self._size)

    def _continue(self, buffer: bytes) -> None:
        """Read an existing journal, to write on with its keys, shapes, steps, checksum and clock."""
        before = lay.replay(buffer)
        declared = before.layout
        self._size, self._crc = before.end, before.crc
        self._elapsed_ms, self.last_step = before.elapsed_ms, before.last_step
        self._keys = {name: number for number, name in enumerate(declared.keys)}
        for number, keys in enumerate(declared.shapes):
            shape = _Shape(number, len(keys), exact32=False)
            shape.next_step, shape.stride = declared.next_step[number], declared.stride[number]
            self._shapes[tuple(declared.keys[key] for key in keys)] = shape
        start_s = json.loads(before.start)["unix_s"] if before.start else time.time()
        since_start_ms = int((time.time() - start_s) * 1000)
        self._zero_ns = time.monotonic_ns() - max(self._elapsed_ms, since_start_ms) * 1_000_000

    def _start_syncer(self) -> None:
        if self._syncer is None:
            self._syncer = threading.Thread(target=_sync_in_background, args=(weakref.ref(self),), daemon=True)
            self._syncer.start()


def _new_keys(names: tuple[str, ...], known: Mapping[str, int]) -> dict[str, int]:
    """Number the names that a journal has not declared yet."""
    if not names or not all(isinstance(name, str) and name for name in names):
        raise TypeError("a metric's name is text")
    return {name: len(known) + place for place, name in enumerate(name for name in names if name not in known)}


def refuse_bad_row(step: int | None, metrics: Mapping[str, float]) -> None:
    """Refuse a row that no journal would keep, before there is one.

    Raises:
        InputError: see `Journal.log`.
    """
    try:
        lay.STEP_BODY.pack(0, 0 if step is None else _whole(step), 0)
        struct.pack(f"<{len(metrics)}d", *metrics.values())
        for name in _new_keys(tuple(metrics), {}):
            name.encode()
    except (struct.error, TypeError, ValueError, OverflowError) as error:
        raise _bad_row(step, metrics) from error


def write_event(path: Path, kind: str, **fields: object) -> None:
    """Write one event into a journal, which is made where it is not there. See `Journal.event`."""
    journal = Journal.open(path)
    journal.event(kind, **fields)
    journal.close()


def _sync_in_background(reference: "weakref.ref[Journal]") -> None:
    while True:
        time.sleep(FSYNC_EVERY_S)
        journal = reference()
        if journal is None or journal._descriptor < 0:
            return
        if journal._dirty.is_set():
            journal._dirty.clear()
            with contextlib.suppress(OSError):
                os.fsync(journal._descriptor)


def _lock_for_writing(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise _taken(path) from error
    except OSError:  # a file system without locks: O_APPEND still keeps rows whole
        return


def _taken(path: Path) -> JournalTakenError:
    return JournalTakenError(
        f"{path} is being written by another process.",
        why="One run has one journal and one writer: rows of two processes would be mixed up as one curve.",
        todo=(
            "Log from one process only (with torchrun or DDP: from rank 0).",
            "Or give the second its own run: unset PALATE_RUN_DIR for it.",
        ),
    )


def _not_mine(path: Path, *, closed: bool) -> StoreError:
    if closed:
        return StoreError(f"{path} is closed: nothing can be logged to it any more.")
    return _taken(path)


def _not_writable(path: Path, error: OSError) -> StoreError:
    return StoreError(
        f"{path} cannot be written: {error.strerror}.",
        why="Nothing was started and nothing was lost.",
        todo="Choose a folder that can be written: PALATE_HOME=/path/to/folder",
    )


def _cannot_write(path: Path, error: OSError | None) -> str:
    reason = error.strerror if error else "the disk is full"
    return (
        f"palate: {path} cannot be written ({reason}). Training goes on; points are kept in memory and tried again.\n"
        f"  Free space on the disk before the run ends, or they are lost with the process."
    )


def _whole(step: object) -> int:
    """Return a step that is a whole number, of whatever type: 1.0, numpy's and torch's numbers.

    Raises:
        TypeError, ValueError, OverflowError: it is none.
    """
    whole: int = int(step)  # type: ignore[call-overload]
    if whole != step:
        raise ValueError(f"{step!r} is not a whole number")
    return whole


def _bad_row(step: int | None, metrics: Mapping[str, float]) -> InputError:
    types = {name: type(value).__name__ for name, value in metrics.items()}
    return InputError(
        f"log(step={step!r}, ...) cannot be kept: {types}.",
        why="A step is a whole number; a metric is a name and one number (a float, an int, a one-element tensor).",
        todo="For a tensor of several elements log its mean: palate.log(step, loss=loss.mean().item())",
    )


def _disown_after_fork() -> None:
    """Refuse writes in a forked child: the journal belongs to the process that opened it.

    Its lock is made anew: a thread that held it when the process forked is not there to let it go.
    """
    for journal in list(_open_journals):
        journal._foreign = True
        journal._lock = threading.Lock()


os.register_at_fork(after_in_child=_disown_after_fork)
