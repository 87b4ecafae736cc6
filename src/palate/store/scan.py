"""Scan a journal's records into arrays, past whatever is damaged.

One scan goes as far as one set of declarations: to the file's end, or to a STATE that begins anew behind damage. Where
damage cannot be put right, a new stretch of whole records begins. Its rows are kept where their steps are known: from
a STEP or a STATE that follows in the same stretch, and so also backwards from it; otherwise they are left out.

    file       row row row ###### row row STEP row STATE row ###### row row
    stretches  0: number 0        1: number from the STEP,          2: no number:
                                     points lost from the STATE        nothing is known of it
    row_steps  (0, 0, 1)          (3, None, 0) (5, 70, 1)           (7, None, 0)

Each of `row_steps` is: from this row of its shape on, steps go on from here, by so much. Two rows of stretch 1 and both
of stretch 2 are left out. Without the STEP, the STATE would tell the steps of all rows before it: (3, 68, 1). What the
stretches prove is judged by `integrity`.
"""

import json
import zlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from palate.store import layout as lay
from palate.store import resync
from palate.store.integrity import Stretch, copies

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
Rows = tuple[IntArray, FloatArray, FloatArray, IntArray]
"""Rows of one shape: steps (n,), values (n, keys), elapsed seconds (n,), numbers (n,)."""

RUN_WORTH_JUMPING = 32
"""Successive rows with the same tag from which checking them together with numpy is faster than one by one."""

BLOCK_WORTH_JOINING = 64
"""Rows of a block from which it is read by itself."""

MOST_AT_ONCE = 1 << 13
"""Rows that are looked at together, so that runs which a STATE interrupts cost no more than their length."""

MOST_MENDED = 100
"""Damaged places of one journal that are tried bit by bit."""


@dataclass(slots=True)
class Tally:
    """What is counted over all scans of a journal.

    Attributes:
        told: points that events tell as lost.
        tried: places where it was tried whether a flipped bit can be put right.
        mended: places where it was.
        gap_bytes: bytes between stretches, where records are missing.
        torn: the file ends inside of a record.
        cut: it ends in something else than a record.
        nameless: values are there of which nobody knows the metric.
        end: where the last whole record ends.
        events: all of them, once each.
        payloads: of these events.
    """

    told: int = 0
    tried: int = 0
    mended: int = 0
    gap_bytes: int = 0
    torn: bool = False
    cut: bool = False
    nameless: bool = False
    end: int = 0
    events: list[dict[str, Any]] = field(default_factory=list)
    payloads: set[bytes] = field(default_factory=set)


@dataclass(slots=True)
class _Part(Stretch):
    """A stretch, and where it is.

    Attributes:
        first: its first row in this scan.
        row: a row in this scan of which its STATE tells the time; with `elapsed_ms`.
        elapsed_ms: by the clock; None where it has no STATE.
    """

    first: int = 0
    row: int = 0
    elapsed_ms: int | None = None


class Scan:
    """One reading of a journal: a scan for the positions of rows, then numpy reads all rows of one layout together."""

    def __init__(self, buffer: bytes, form: lay.Form, tally: Tally, begin: lay.State | None = None) -> None:
        self.buffer = buffer
        self.bytes = np.frombuffer(buffer, dtype=np.uint8)
        self.layout = lay.Layout(form)
        self.tally = tally
        self.fresh: lay.State | None = None
        self.row_bytes: dict[int, int] = {}  # by tag
        self.blocks: list[tuple[int, int, int]] = []  # (start, rows, tag) in file order
        self.long_rows: list[tuple[int, int, int, tuple[float, ...]]] = []
        self.rows = 0
        self.row_steps: dict[int, list[tuple[int, int | None, int]]] = {}  # shape -> (rows so far, step, stride)
        self.rows_of: dict[int, int] = {}
        began = begin or lay.State(layout=self.layout)
        self.stretches = [
            _Part(number=began.rows, lost=began.lost, anew=begin is not None, elapsed_ms=began.elapsed_ms)
        ]
        self.end, self.crc = tally.end, 0
        self.block_end, self.block_crc = 0, 0  # of the rows that were checked together last
        self.unconfirmed = 0  # up to here the running checksum is what one record says of it
        self.singly = 0  # up to here rows are checked one by one

    def run(self) -> None:
        """Scan to the end, or to a STATE that begins anew, which is then in `fresh`."""
        at, crc, size = self.end, self.crc, len(self.buffer)
        while at < size and self.fresh is None:
            tag = self.buffer[at]
            run = self._run(at, tag) if tag & lay.ROW else 0
            checked = self._check_run(at, run, tag, crc) if run > (at < self.singly) else None
            if checked is not None:
                at, crc = checked
                continue
            record = lay.read_record(self.buffer, at, crc, self.layout)
            if record is not None:
                self._take(record)
                at, crc = record.end, record.crc
                continue
            again = self._last_block(at)
            if again is not None:
                at, crc = again
                continue
            sync = self._behind_damage(at, crc)
            if sync is None:
                self._end_badly(at)
                break
            at, crc = sync
        self.end = self.tally.end = at
        self.crc = crc

    def _last_block(self, at: int) -> tuple[int, int] | None:
        """Take back the rows right before damage that were checked together: 16 bits are few for many of them."""
        if self.blocks and self.blocks[-1][1] > 1 and at == self.block_end and at > self.singly:
            start, rows, tag = self.blocks.pop()
            self.rows -= rows
            self.rows_of[tag & 0x0F] -= rows
            self.singly = at
            return start, self.block_crc
        return None

    def _end_badly(self, at: int) -> None:
        if lay.is_incomplete(self.buffer, at, self.layout):
            self.tally.torn = True
        else:
            self.tally.cut = True

    def _behind_damage(self, at: int, crc: int) -> resync.Sync | None:
        """Put the damage right, or begin a new stretch behind it; return where to go on, None where nothing does."""
        tag, end = self.buffer[at], lay.record_end(self.buffer, at, self.layout)
        whole = tag == lay.STATE and lay.payload_of(self.buffer, at, end, self.layout.form) is not None
        if not whole and at != self.unconfirmed and self.tally.tried < MOST_MENDED:
            self.tally.tried += 1
            piece = bytearray(self.buffer[at : at + resync.MEND_LOOK_BYTES])
            if resync.mend(piece, 0, crc, self.layout):
                self.buffer = b"".join((self.buffer[:at], piece, self.buffer[at + len(piece) :]))
                self.bytes = np.frombuffer(self.buffer, dtype=np.uint8)
                self.tally.mended += 1
                return resync.Sync(at, crc)
        if not self.broken:
            self._learn_layout(at)
        sync = resync.find(self.buffer, at, self.layout)
        return None if sync is None else self._begin_stretch(at, sync)

    def _learn_layout(self, at: int) -> None:
        """Learn names and shapes from the STATEs behind damage: none ever gets another number."""
        for _, _, payload in lay.find_states(self.buffer, at, self.layout.form):
            state = lay.unpack_state(payload, self.layout.form)
            if state.fresh:
                break
            self.layout.take_over(state.layout)
        self.row_bytes.clear()

    def _begin_stretch(self, at: int, sync: resync.Sync) -> resync.Sync:
        self.tally.gap_bytes += sync.at - at
        if self.buffer[sync.at : sync.at + 1] and self.buffer[sync.at] in self.layout.form.checked:
            self.unconfirmed = lay.record_end(self.buffer, sync.at, self.layout)
        self.stretches.append(_Part(first=self.rows))
        for shape in {*range(len(self.layout.shapes)), *self.row_steps}:
            self.row_steps.setdefault(shape, [(0, 0, 1)]).append((self.rows_of.get(shape, 0), None, 0))
        return sync

    @property
    def broken(self) -> bool:
        """Whether it has more than one stretch."""
        return len(self.stretches) > 1

    def _run(self, at: int, tag: int) -> int:
        """Return how many successive rows from `at` have this tag."""
        length = self.row_bytes.get(tag)
        if length is None:
            length = self.row_bytes[tag] = self.layout.row_bytes(tag)
        if not length:
            return 0
        most = (len(self.buffer) - at) // length
        near = at + RUN_WORTH_JUMPING * length
        if most < RUN_WORTH_JUMPING or self.buffer[near - length] != tag:
            return min(most, 1)
        most = min(most, MOST_AT_ONCE)
        tags = self.bytes[at : at + most * length : length]
        others = np.flatnonzero(tags != tag)
        return int(others[0]) if len(others) else most

    def _check_run(self, at: int, rows: int, tag: int, crc: int) -> tuple[int, int] | None:
        """Check successive rows together and add them; return the end and the checksum, None if it does not match."""
        end = at + rows * self.row_bytes[tag]
        before = crc
        crc = zlib.crc32(self.buffer[at : end - 2], crc)
        if lay.CRC16.unpack_from(self.buffer, end - 2)[0] != crc & 0xFFFF:
            return None
        self.block_crc = before
        self._add_rows(at, rows, tag)
        self.block_end = end
        return end, zlib.crc32(self.buffer[end - 2 : end], crc)

    def _add_rows(self, at: int, rows: int, tag: int) -> None:
        self.blocks.append((at, rows, tag))
        self.rows += rows
        shape = tag & 0x0F
        self.rows_of[shape] = self.rows_of.get(shape, 0) + rows

    def _take(self, record: lay.JournalRecord) -> None:
        if record.tag & lay.ROW:
            self._add_rows(record.start, 1, record.tag)
        elif record.tag == lay.EVENT:
            self._take_event(record.payload)
        elif record.tag == lay.LONG_ROW:
            self._take_long(record.payload)
        elif record.tag == lay.STATE:
            self._take_state(record.payload)
        else:
            self._declare(record)

    def _take_event(self, payload: bytes) -> None:
        event = json.loads(payload)
        if not (isinstance(event["kind"], str) and isinstance(event["unix_s"], float | int)):
            raise ValueError(f"an event without a kind or a time: {str(event)[:80]}")
        points = int(event["points"]) if event["kind"] == "lost" else 0
        stretch = self.stretches[-1]
        if points and stretch.lost is not None:
            stretch.lost += points
        if payload not in self.tally.payloads:  # else a piece of the file is there twice
            self.tally.payloads.add(payload)
            self.tally.events.append(event)
            self.tally.told += points

    def _take_long(self, payload: bytes) -> None:
        shape, dt_ms = lay.LONG_HEAD.unpack_from(payload)
        values = np.frombuffer(payload, dtype="<f8", offset=lay.LONG_HEAD.size)
        keys = self.layout.shapes[shape] if shape < len(self.layout.shapes) else None
        if keys is None and not self.broken:
            raise ValueError(f"a row of shape {shape}, which is not declared")
        if keys is not None and len(keys) != len(values):
            raise ValueError(f"a row of {len(values)} values, where {len(keys)} are declared")
        if keys is None:
            self.row_steps.setdefault(shape, [(0, None, 0)])
        self.long_rows.append((self.rows, shape, dt_ms, tuple(values)))
        self.rows += 1
        self.rows_of[shape] = self.rows_of.get(shape, 0) + 1

    def _declare(self, record: lay.JournalRecord) -> None:
        known = len(self.layout.shapes)
        if record.tag == lay.SHAPE and self.broken and self.layout.form.number == 1:
            number = self._next_steps_shape(record.end)
            if number < known:  # it was declared before: a piece of the file is there twice
                return
            self.layout.make_room(number)
        if record.tag == lay.STEP and self.broken:
            self.layout.make_room(lay.KEY_HEAD.unpack_from(record.payload)[0] + 1)
        self.layout.declare(record.tag, record.payload)
        self.row_bytes.clear()
        if record.tag == lay.STEP:
            shape, step, stride, *row = self.layout.form.step.unpack(record.payload)
            self.row_steps.setdefault(shape, []).append((self.rows_of.get(shape, 0), step, stride))
            stretch = self.stretches[-1]
            if row and stretch.number is None:
                stretch.number = row[0] - (self.rows - stretch.first)

    def _next_steps_shape(self, at: int) -> int:
        """Return the shape of the STEP at `at`, which stands behind each SHAPE; -1 where there is none."""
        body = at + lay.OTHER_HEAD.size
        if len(self.buffer) < body + self.layout.form.step.size or self.buffer[at] != lay.STEP:
            return -1
        return int(self.layout.form.step.unpack_from(self.buffer, body)[0])

    def _take_state(self, payload: bytes) -> None:
        """Learn from a STATE what was damaged before it: names, shapes, steps, how many rows, and points lost."""
        stretch = self.stretches[-1]
        if not self.broken or stretch.elapsed_ms is not None:
            return
        state = lay.unpack_state(payload, self.layout.form)
        if state.fresh:
            self.fresh = state
            return
        stretch.number = state.rows - (self.rows - stretch.first)
        stretch.row, stretch.elapsed_ms = self.rows, state.elapsed_ms
        stretch.lost = state.lost if self.layout.form.number > 1 else None
        self.layout.take_over(state.layout)
        self.row_bytes.clear()
        for shape, (step, stride) in enumerate(zip(state.layout.next_step, state.layout.stride, strict=True)):
            rows, marks = self.rows_of.get(shape, 0), self.row_steps.setdefault(shape, [])
            if step is not None and not marks:
                marks.append((rows, step, stride))
            elif step is not None and marks[-1][1] is None:
                since = marks[-1][0]
                marks[-1] = (since, step - stride * (rows - since), stride)

    def by_shape(self) -> dict[int, Rows]:
        """Collect the rows of each shape, in the order of their shapes; count in each stretch those that are read."""
        dt_ms = np.zeros(self.rows, dtype=np.int64)
        parts: dict[int, list[tuple[IntArray, FloatArray]]] = {}
        first_row = self._first_rows()
        for tag in dict.fromkeys(tag for _, _, tag in self.blocks):
            numbers, rows = self._rows_with(tag, first_row)
            dt_ms[numbers], values = rows["dt"], rows["values"].astype(np.float64)
            parts.setdefault(tag & 0x0F, []).append((numbers, values))
        for number, shape, dt, row in self.long_rows:
            dt_ms[number] = dt
            parts.setdefault(shape, []).append((np.array([number]), np.array([row])))
        elapsed_s = self._elapsed(dt_ms)
        counted = self._without_copies()
        declared = [shape for shape in sorted(parts) if shape < len(self.layout.shapes) and self.layout.shapes[shape]]
        joined = {shape: self._order(shape, parts[shape], elapsed_s, counted) for shape in declared}
        self._count_kept([numbers for _, _, _, numbers in joined.values()])
        return joined

    def _elapsed(self, dt_ms: IntArray) -> FloatArray:
        """Return when each row was, by the clock: in a later stretch as far as a STATE tells it."""
        passed = np.cumsum(dt_ms)
        shift = self.stretches[0].elapsed_ms or 0
        if not self.broken:
            return np.asarray((passed + shift if shift else passed) / 1000.0)
        shifts = np.full(len(passed), shift)
        for stretch in self.stretches[1:]:
            if stretch.elapsed_ms is not None:
                shift = stretch.elapsed_ms - (int(passed[stretch.row - 1]) if stretch.row else 0)
            shifts[stretch.first :] = shift
        return np.asarray((passed + shifts) / 1000.0)

    def _without_copies(self) -> BoolArray | None:
        """Return which rows are no second copies of others; None where there is one stretch, and none is."""
        ends = [stretch.first for stretch in self.stretches[1:]] + [self.rows]
        for stretch, end in zip(self.stretches, ends, strict=True):
            stretch.rows = end - stretch.first
        if not self.broken:
            return None
        once = np.ones(self.rows, dtype=np.bool_)
        for stretch, again in zip(self.stretches, copies(self.stretches), strict=True):
            once[stretch.first : stretch.first + again] = False
        return once

    def _count_kept(self, numbers: list[IntArray]) -> None:
        """Count in each stretch the rows with these numbers in this scan."""
        if not self.broken:
            self.stretches[0].kept = sum(len(some) for some in numbers)
            return
        firsts = np.array([stretch.first for stretch in self.stretches])
        for some in numbers:
            places = np.searchsorted(firsts, some, side="right") - 1
            for stretch, kept in zip(self.stretches, np.bincount(places, minlength=len(firsts)), strict=True):
                stretch.kept += int(kept)

    def _first_rows(self) -> list[int]:
        """Return the row number of the first row of each block; long rows between blocks count too."""
        numbers, number, longs = [], 0, iter(self.long_rows)
        next_long = next(longs, None)
        for _, rows, _ in self.blocks:
            while next_long is not None and next_long[0] == number:
                number, next_long = number + 1, next(longs, None)
            numbers.append(number)
            number += rows
        return numbers

    def _rows_with(self, tag: int, first_row: list[int]) -> tuple[IntArray, npt.NDArray[Any]]:
        """Return the numbers of all rows with a tag, and these rows."""
        width = lay.DT_WIDTHS[(tag >> 4) & 0b11]
        kind = "<f4" if tag & lay.ROW_FLOAT32 else "<f8"
        keys = len(self.layout.shapes[tag & 0x0F] or ())
        row = np.dtype([("tag", "u1"), ("dt", f"<u{width}"), ("values", kind, (keys,)), ("crc", "<u2")])
        mine = [(at, rows, first) for (at, rows, t), first in zip(self.blocks, first_row, strict=True) if t == tag]
        if len(mine) * BLOCK_WORTH_JOINING <= sum(rows for _, rows, _ in mine):
            joined = b"".join([self.buffer[at : at + rows * row.itemsize] for at, rows, _ in mine])
            numbers = [np.arange(first, first + rows) for _, rows, first in mine]
            return np.concatenate(numbers), np.frombuffer(joined, dtype=row)
        at, rows, first = (np.array(column, dtype=np.int64) for column in zip(*mine, strict=True))
        within = np.arange(rows.sum()) - np.repeat(np.cumsum(rows) - rows, rows)
        starts = np.repeat(at, rows) + within * row.itemsize
        picked = self.bytes[starts[:, None] + np.arange(row.itemsize)].view(row)[:, 0]
        return np.repeat(first, rows) + within, picked

    def _order(
        self, shape: int, blocks: list[tuple[IntArray, FloatArray]], elapsed_s: FloatArray, counted: BoolArray | None
    ) -> Rows:
        """Join the blocks of a shape in the order of their rows; leave out those whose step nobody knows."""
        if len(blocks) == 1:
            numbers, values = blocks[0]
        else:
            numbers = np.concatenate([n for n, _ in blocks])
            order = np.argsort(numbers, kind="stable")
            numbers, values = numbers[order], np.concatenate([v for _, v in blocks])[order]
        steps, known = self._steps(shape, len(numbers))
        rows = (steps, values, elapsed_s[numbers], numbers)
        if counted is None and known is None:
            return rows
        if counted is None:
            raise ValueError(f"rows of shape {shape} before its first step")
        kept = counted[numbers] if known is None else counted[numbers] & known
        return rows[0][kept], rows[1][kept], rows[2][kept], rows[3][kept]

    def _steps(self, shape: int, rows: int) -> tuple[IntArray, BoolArray | None]:
        """Return the steps of a shape's rows, and which are known (None where all are)."""
        marks = self.row_steps.get(shape, [(0, 0, 1)])
        first, step, stride = marks[0]
        if len(marks) == 1 and step is not None and not first:
            if not -(2**63) <= step + stride * (rows - 1) < 2**63:
                raise ValueError(f"steps from {step} on by {stride}, {rows} times")
            return step + stride * np.arange(rows, dtype=np.int64), None
        starts = np.array([mark[0] for mark in marks])
        which = np.maximum(np.searchsorted(starts, np.arange(rows), side="right") - 1, 0)
        from_step = np.array([mark[1] or 0 for mark in marks])
        strides = np.array([mark[2] for mark in marks])
        counts = (np.diff(starts, append=rows) - 1).clip(0)
        if np.any(np.abs(from_step.astype(np.float64) + strides.astype(np.float64) * counts) > 2.0**63):
            raise ValueError("steps beyond what a whole number of 64 bits holds")
        known = np.array([mark[1] is not None for mark in marks])[which] & (np.arange(rows) >= starts[0])
        steps = from_step[which] + strides[which] * (np.arange(rows) - starts[which])
        return np.asarray(steps, dtype=np.int64), None if known.all() else known
