"""Read a journal as curves and events, in one pass, up to the last record with a valid checksum."""

import json
import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from palate.errors import NotFoundError, StoreError
from palate.store import layout as lay
from palate.vocabulary import WHOLE, Integrity

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

RUN_WORTH_JUMPING = 32
"""Successive rows with the same tag from which checking them together with numpy is faster than one by one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """One metric of one run, in the order it was logged.

    Attributes:
        steps: (n,) as given to `log`.
        values: (n,) as given to `log`, with NaN and infinities.
        elapsed_s: (n,) seconds since the journal was opened, to the millisecond.
    """

    steps: IntArray
    values: FloatArray
    elapsed_s: FloatArray

    def __len__(self) -> int:
        return len(self.values)

    @property
    def end(self) -> int:
        """Place of the last value: that at the highest step, and of those the one logged last."""
        return len(self.steps) - 1 - int(np.argmax(self.steps[::-1]))

    def by_step(self) -> "Curve":
        """Return it by rising steps; of equal ones the value that was logged last stands."""
        if np.all(np.diff(self.steps) > 0):
            return self
        order = np.argsort(self.steps, kind="stable")
        kept = order[np.append(np.diff(self.steps[order]) > 0, True)]
        return Curve(steps=self.steps[kept], values=self.values[kept], elapsed_s=self.elapsed_s[kept])


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """The content of a journal.

    Attributes:
        curves: by metric.
        events: every event, oldest first, each with its `kind`.
        lost_bytes: bytes after the last record with a valid checksum (an incomplete record, or damage).
    """

    curves: dict[str, Curve]
    events: list[dict[str, Any]]
    lost_bytes: int

    @property
    def integrity(self) -> Integrity:
        """Whether all that was logged is there."""
        return Integrity(status="torn", why=f"{self.lost_bytes} bytes cannot be read") if self.lost_bytes else WHOLE

    def last_event(self, kind: str) -> dict[str, Any] | None:
        """Return the newest event of a kind, or None."""
        return next((event for event in reversed(self.events) if event["kind"] == kind), None)


def read_journal(path: str | os.PathLike[str]) -> Content:
    """Read a journal.

    Raises:
        NotFoundError: there is no such file.
        StoreError: the file is not a journal.
    """
    try:
        buffer = Path(path).read_bytes()
    except FileNotFoundError as error:
        raise NotFoundError(
            f"{path}: there is no such journal.", todo="Where its folder was removed:  palate doctor --rebuild"
        ) from error
    if not buffer.startswith(lay.HEADER):
        raise StoreError(f"{path} is not a journal of palate, or of a newer one.")
    return _Reading(buffer).content()


def read_event(path: str | os.PathLike[str], kind: str) -> dict[str, Any] | None:
    """Read the newest event of a kind from a journal; None where there is none, which is quick to see.

    Raises:
        NotFoundError: there is no such file.
        StoreError: the file is not a journal.
    """
    place = Path(path)
    content = place.read_bytes() if place.is_file() else b""
    if content.startswith(lay.HEADER) and f'"{kind}"'.encode() not in content:
        return None
    return read_journal(path).last_event(kind)


class _Reading:
    """One reading of a journal: a scan for the positions of rows, then numpy reads all rows of one layout together."""

    def __init__(self, buffer: bytes) -> None:
        self.buffer = buffer
        self.bytes = np.frombuffer(buffer, dtype=np.uint8)
        self.layout = lay.Layout()
        self.row_bytes: dict[int, int] = {}  # by tag
        self.events: list[dict[str, Any]] = []
        self.blocks: list[tuple[int, int, int]] = []  # (start, rows, tag) in file order
        self.long_rows: list[tuple[int, int, int, tuple[float, ...]]] = []
        self.rows = 0
        self.row_steps: dict[int, list[tuple[int, int, int]]] = {}  # shape -> (rows so far, step, stride)
        self.rows_of: dict[int, int] = {}
        self.end = self._scan(len(lay.HEADER))

    def _scan(self, at: int) -> int:
        crc, size = 0, len(self.buffer)
        while at < size:
            tag = self.buffer[at]
            run = self._run(at, tag) if tag & lay.ROW else 0
            checked = self._check_run(at, run, tag, crc) if run else None
            if checked is not None:
                at, crc = checked
                continue
            record = lay.read_record(self.buffer, at, crc, self.layout)
            if record is None:
                return at
            self._take(record)
            at, crc = record.end, record.crc
        return at

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
        tags = self.bytes[at : at + most * length : length]
        others = np.flatnonzero(tags != tag)
        return int(others[0]) if len(others) else most

    def _check_run(self, at: int, rows: int, tag: int, crc: int) -> tuple[int, int] | None:
        """Check successive rows together and add them; return the end and the checksum, None if it does not match."""
        end = at + rows * self.row_bytes[tag]
        crc = zlib.crc32(self.buffer[at : end - 2], crc)
        if lay.CRC16.unpack_from(self.buffer, end - 2)[0] != crc & 0xFFFF:
            return None
        self._add_rows(at, rows, tag)
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
            self.events.append(json.loads(record.payload))
        elif record.tag == lay.LONG_ROW:
            shape, dt_ms = lay.LONG_HEAD.unpack_from(record.payload)
            values = np.frombuffer(record.payload, dtype="<f8", offset=lay.LONG_HEAD.size)
            self.long_rows.append((self.rows, shape, dt_ms, tuple(values)))
            self.rows += 1
            self.rows_of[shape] = self.rows_of.get(shape, 0) + 1
        else:
            self.layout.declare(record.tag, record.payload)
            self.row_bytes.clear()
            if record.tag == lay.STEP:
                shape, step, stride = lay.STEP_BODY.unpack(record.payload)
                self.row_steps.setdefault(shape, []).append((self.rows_of.get(shape, 0), step, stride))

    def content(self) -> Content:
        shape_rows = self._gather()
        columns: list[list[tuple[int, int]]] = [[] for _ in self.layout.keys]  # by key: (shape, its column there)
        for shape in sorted(shape_rows):
            for column, key in enumerate(self.layout.shapes[shape]):
                columns[key].append((shape, column))
        return Content(
            curves={
                name: _curve([(*shape_rows[i], c) for i, c in columns[k]]) for k, name in enumerate(self.layout.keys)
            },
            events=self.events,
            lost_bytes=len(self.buffer) - self.end,
        )

    def _gather(self) -> dict[int, tuple[IntArray, FloatArray, FloatArray, IntArray]]:
        """Collect for each shape its steps (n,), values (n, keys), elapsed seconds (n,) and row numbers (n,)."""
        dt_ms = np.zeros(self.rows, dtype=np.int64)
        parts: dict[int, list[tuple[IntArray, FloatArray]]] = {}
        first_row = self._first_rows()
        for tag in dict.fromkeys(tag for _, _, tag in self.blocks):
            starts, numbers = self._places(tag, first_row)
            dt_ms[numbers], values = self._decode(tag, starts)
            parts.setdefault(tag & 0x0F, []).append((numbers, values))
        for number, shape, dt, row in self.long_rows:
            dt_ms[number] = dt
            parts.setdefault(shape, []).append((np.array([number]), np.array([row])))
        elapsed_s = np.cumsum(dt_ms) / 1000.0
        return {shape: self._order(shape, blocks, elapsed_s) for shape, blocks in parts.items()}

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

    def _places(self, tag: int, first_row: list[int]) -> tuple[IntArray, IntArray]:
        """Return the byte positions and the row numbers of all rows with a tag."""
        length = self.layout.row_bytes(tag)
        mine = [(at, rows, first) for (at, rows, t), first in zip(self.blocks, first_row, strict=True) if t == tag]
        if len(mine) == 1:
            at_0, rows_0, first_0 = mine[0]
            return np.arange(rows_0) * length + at_0, np.arange(first_0, first_0 + rows_0)
        at, rows, first = (np.array(column, dtype=np.int64) for column in zip(*mine, strict=True))
        within = np.arange(rows.sum()) - np.repeat(np.cumsum(rows) - rows, rows)
        return np.repeat(at, rows) + within * length, np.repeat(first, rows) + within

    def _decode(self, tag: int, starts: IntArray) -> tuple[IntArray, FloatArray]:
        width = lay.DT_WIDTHS[(tag >> 4) & 0b11]
        kind = "<f4" if tag & lay.ROW_FLOAT32 else "<f8"
        keys = len(self.layout.shapes[tag & 0x0F])
        row = np.dtype([("tag", "u1"), ("dt", f"<u{width}"), ("values", kind, (keys,)), ("crc", "<u2")])
        if starts[-1] - starts[0] == (len(starts) - 1) * row.itemsize:  # no gaps
            rows = np.frombuffer(self.buffer, dtype=row, count=len(starts), offset=int(starts[0]))
        else:
            rows = self.bytes[starts[:, None] + np.arange(row.itemsize)].view(row)[:, 0]
        return rows["dt"].astype(np.int64), rows["values"].astype(np.float64)

    def _order(
        self, shape: int, blocks: list[tuple[IntArray, FloatArray]], elapsed_s: FloatArray
    ) -> tuple[IntArray, FloatArray, FloatArray, IntArray]:
        """Join the blocks of a shape in the order of their rows."""
        if len(blocks) == 1:
            numbers, values = blocks[0]
            return self._steps(shape, len(numbers)), values, elapsed_s[numbers], numbers
        numbers = np.concatenate([n for n, _ in blocks])
        order = np.argsort(numbers, kind="stable")
        numbers, values = numbers[order], np.concatenate([v for _, v in blocks])[order]
        return self._steps(shape, len(numbers)), values, elapsed_s[numbers], numbers

    def _steps(self, shape: int, rows: int) -> IntArray:
        marks = self.row_steps.get(shape, [(0, 0, 1)])
        if len(marks) == 1:
            return marks[0][1] + marks[0][2] * np.arange(rows, dtype=np.int64)
        starts = np.array([mark[0] for mark in marks])
        which = np.searchsorted(starts, np.arange(rows), side="right") - 1
        step, stride = np.array([mark[1] for mark in marks]), np.array([mark[2] for mark in marks])
        return np.asarray(step[which] + stride[which] * (np.arange(rows) - starts[which]), dtype=np.int64)


def _curve(columns: Sequence[tuple[IntArray, FloatArray, FloatArray, IntArray, int]]) -> Curve:
    """Join one metric's column in each shape that has it: its steps, values, elapsed seconds, row numbers, column."""
    if not columns:
        return Curve(steps=np.zeros(0, np.int64), values=np.zeros(0), elapsed_s=np.zeros(0))
    if len(columns) == 1:
        steps, values, elapsed_s, _, column = columns[0]
        return Curve(steps=steps, values=values[:, column], elapsed_s=elapsed_s)
    order = np.argsort(np.concatenate([numbers for _, _, _, numbers, _ in columns]), kind="stable")
    return Curve(
        steps=np.concatenate([steps for steps, _, _, _, _ in columns])[order],
        values=np.concatenate([values[:, column] for _, values, _, _, column in columns])[order],
        elapsed_s=np.concatenate([elapsed_s for _, _, elapsed_s, _, _ in columns])[order],
    )
