"""Find out how far a journal is, from its end, so that it can be written on; standard library only."""

import json
import os
import zlib
from dataclasses import dataclass, replace
from typing import Any

from palate.store import layout as lay
from palate.store import resync

LOOK_BYTES = 256 * 1024
"""How far from the end a STATE is looked for first."""

ROWS_AT_ONCE = 4096


@dataclass(slots=True, kw_only=True)
class Replay:
    """How far a journal goes.

    Attributes:
        layout: what it has declared.
        end: where its last whole record ends.
        state_end: where its last STATE ends; 0 where there is none.
        crc: the running checksum there.
        rows: how many rows it has.
        lost: how many rows more it tells as lost.
        elapsed_ms: milliseconds up to its last row.
        last_step: the step of its last row, -1 where there is none.
        start_s: when it was begun, in Unix seconds; 0 where that is not told.
        damaged: something in it cannot be read, and more than an incomplete record at its end.
    """

    layout: lay.Layout
    end: int
    state_end: int = 0
    crc: int = 0
    rows: int = 0
    lost: int = 0
    elapsed_ms: int = 0
    last_step: int = -1
    start_s: float = 0.0
    damaged: bool = False

    def state(self) -> lay.State:
        """Return it as a STATE record tells it."""
        return lay.State(
            layout=self.layout, rows=self.rows, lost=self.lost, elapsed_ms=self.elapsed_ms, last_step=self.last_step,
            start_s=self.start_s, at=self.end, crc=self.crc,
        )  # fmt: skip

    def fresh(self, size: int) -> lay.State:
        """Return a state to begin anew with, behind damage, in a file of this size: it declares nothing."""
        most = max(self.rows, size // lay.Layout(self.layout.form, shapes=[(0,)]).row_bytes(lay.ROW | lay.ROW_FLOAT32))
        empty = lay.Layout(self.layout.form)
        return replace(self.state(), layout=empty, rows=most, at=size, crc=0, fresh=True)


def resume(descriptor: int, size: int, form: lay.Form) -> Replay:
    """Read how far an open journal goes: its last STATE, and the records behind it.

    Raises:
        ValueError, KeyError, TypeError, struct.error: a record says what cannot be.
    """
    look = LOOK_BYTES
    while True:
        start = max(0, size - look)
        buffer = os.pread(descriptor, size - start, start)
        found = _last_state(buffer, start, form)
        if found is not None:
            return _replay(buffer, start, found)
        if not start:
            return _replay(buffer, 0, Replay(layout=lay.Layout(form), end=len(form.header)))
        look *= 8


def _last_state(buffer: bytes, start: int, form: lay.Form) -> Replay | None:
    """Return what the last STATE in the file's end tells, which begins at `start`; None where there is none."""
    for at, end, payload in lay.find_states(buffer, 0, form, backwards=True):
        state = lay.unpack_state(payload, form)
        crc = zlib.crc32(buffer[at : end - lay.CRC32.size], state.crc)
        told = {name: getattr(state, name) for name in ("rows", "lost", "elapsed_ms", "last_step", "start_s")}
        moved = state.at != start + at
        return Replay(layout=state.layout, end=start + end, state_end=start + end, crc=crc, damaged=moved, **told)
    return None


def _replay(buffer: bytes, start: int, known: Replay) -> Replay:
    """Go on from what is known, through the records behind it; `start` is where the buffer begins in the file."""
    at, unconfirmed = known.end - start, -1
    while at < len(buffer):
        at = _whole_records(buffer, at, known)
        known.end = start + at
        if at >= len(buffer):
            break
        piece = bytearray(buffer[at : at + resync.MEND_LOOK_BYTES])
        if at != unconfirmed and resync.mend(piece, 0, known.crc, known.layout):
            buffer = b"".join((buffer[:at], piece, buffer[at + len(piece) :]))
            continue
        sync = resync.find(buffer, at, known.layout)
        if sync is None:
            known.damaged |= not lay.is_incomplete(buffer, at, known.layout)
            break
        at, known.crc, known.damaged = sync.at, sync.crc, True
        if at < len(buffer) and buffer[at] in known.layout.form.checked:
            unconfirmed = lay.record_end(buffer, at, known.layout)
        known.layout.next_step = [None] * len(known.layout.shapes)
    return known


def _whole_records(buffer: bytes, at: int, known: Replay) -> int:
    """Take in whole records from `at` on; return where they end."""
    while at < len(buffer):
        passed = _block(buffer, at, known) if buffer[at] & lay.ROW else 0
        if passed:
            at = passed
            continue
        record = lay.read_record(buffer, at, known.crc, known.layout)
        if record is None:
            break
        _take(record, known)
        at, known.crc = record.end, record.crc
    return at


def _block(buffer: bytes, at: int, known: Replay) -> int:
    """Take in successive rows with one tag at once; return where they end, 0 where their checksum does not match."""
    tag = buffer[at]
    length = known.layout.row_bytes(tag)
    most = min(ROWS_AT_ONCE, (len(buffer) - at) // length) if length else 0
    tags = buffer[at : at + most * length : length] if most else b""
    rows = len(tags) - len(tags.lstrip(bytes([tag])))
    end = at + rows * length
    if not rows:
        return 0
    crc = zlib.crc32(buffer[at : end - 2], known.crc)
    if lay.CRC16.unpack_from(buffer, end - 2)[0] != crc & 0xFFFF:
        return 0
    known.crc = zlib.crc32(buffer[end - 2 : end], crc)
    width = lay.DT_WIDTHS[(tag >> 4) & 0b11]
    dt_ms = sum(sum(buffer[at + 1 + place : end : length]) << 8 * place for place in range(width))
    _pass_rows(known, tag & 0x0F, rows, dt_ms)
    return end


def _pass_rows(known: Replay, shape: int, rows: int, dt_ms: int) -> None:
    if known.damaged:
        known.layout.make_room(shape + 1)
    known.rows += rows
    known.elapsed_ms += dt_ms
    last = known.layout.pass_steps(shape, rows)
    known.last_step = known.last_step if last is None else last


def _take(record: lay.JournalRecord, known: Replay) -> None:
    if record.tag & lay.ROW:
        width = lay.DT_WIDTHS[(record.tag >> 4) & 0b11]
        _pass_rows(known, record.tag & 0x0F, 1, int.from_bytes(record.payload[:width], "little"))
    elif record.tag == lay.LONG_ROW:
        shape, dt_ms = lay.LONG_HEAD.unpack_from(record.payload)
        _pass_rows(known, shape, 1, dt_ms)
    elif record.tag == lay.EVENT:
        _take_event(json.loads(record.payload), known)
    else:
        if record.tag == lay.STEP and known.damaged:
            known.layout.make_room(lay.KEY_HEAD.unpack_from(record.payload)[0] + 1)
        known.layout.declare(record.tag, record.payload)


def _take_event(event: dict[str, Any], known: Replay) -> None:
    if event["kind"] == "start":
        known.start_s = float(event["unix_s"])
    elif event["kind"] == "lost":
        known.lost += int(event["points"] or 0)
