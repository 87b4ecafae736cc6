"""Read a journal as curves and events, and say whether all that was logged is there."""

import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from palate.errors import NotFoundError, StoreError
from palate.store import layout as lay
from palate.store.integrity import Found, judge
from palate.store.scan import FloatArray, IntArray, Scan, Tally
from palate.vocabulary import WHOLE, Integrity

Columns = tuple[IntArray, FloatArray, FloatArray, IntArray, int]
"""Rows of one shape (steps, values, elapsed seconds, numbers), and which column of the values is meant."""


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
        lost_bytes: bytes that cannot be read (an incomplete record at the end, or damage).
        integrity: whether all that was logged is there.
    """

    curves: dict[str, Curve]
    events: list[dict[str, Any]]
    lost_bytes: int
    integrity: Integrity = WHOLE

    def last_event(self, kind: str) -> dict[str, Any] | None:
        """Return the newest event of a kind, or None."""
        return next((event for event in reversed(self.events) if event["kind"] == kind), None)


def read_journal(path: str | os.PathLike[str]) -> Content:
    """Read a journal, past what is damaged in it.

    Raises:
        NotFoundError: there is no such file.
        StoreError: it cannot be read: no journal, one of a newer palate, or it contains an impossible record.
    """
    buffer = _bytes_of(path)
    if lay.is_header_begun(buffer[: lay.HEADER_MOST]):
        return Content(curves={}, events=[], lost_bytes=len(buffer), integrity=_BEGUN)
    form = lay.form_by_start(buffer[: lay.START_BYTES])
    if form is None:
        raise _no_journal(path, buffer)
    if len(buffer) < len(form.header):
        raise StoreError(f"{path} cannot be read: its header is damaged, and the rest is gone.", todo=_MOVE)
    try:
        return _content(buffer, form)
    except (ValueError, LookupError, TypeError, ArithmeticError, struct.error, RecursionError) as error:
        raise StoreError(
            f"{path} cannot be read: it contains an impossible record ({error}).",
            why="It was written so, by another program or by a fault of palate; or its header is damaged.",
            todo=_MOVE,
        ) from error


_MOVE = "Restore it from a backup, or move its folder away."


def read_event(path: str | os.PathLike[str], kind: str) -> dict[str, Any] | None:
    """Read the newest event of a kind from a journal; None where there is none, which is quick to see.

    Raises:
        NotFoundError: there is no such file.
        StoreError: see `read_journal`.
    """
    content = _bytes_of(path)
    if lay.form_of(content) is not None and f'"{kind}"'.encode() not in content:
        return None
    return read_journal(path).last_event(kind)


def _bytes_of(path: str | os.PathLike[str]) -> bytes:
    place = Path(path)
    try:
        if not (place.is_file() or place.is_dir()) and place.exists():
            raise StoreError(f"{path} cannot be read: it is no file.", todo="Move it away.")
        return place.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFoundError(
            f"{path}: there is no such journal.", todo="Where its folder was removed:  palate doctor --rebuild"
        ) from error
    except (OSError, MemoryError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise StoreError(
            f"{path} cannot be read ({why}).", todo="Look who may read it:  ls -ld, and whether it is a file"
        ) from error


def _no_journal(path: str | os.PathLike[str], buffer: bytes) -> StoreError:
    if buffer.startswith(lay.MAGIC) and buffer[len(lay.MAGIC) + 1 : lay.OWED_AT] == b"\n":
        number = buffer[len(lay.MAGIC)]
        return StoreError(
            f"{path} is not a journal that this palate reads, but one of a newer palate (format {number}).",
            todo="Bring palate up to date:  pip install -U palate",
        )
    return StoreError(f"{path} is not a journal of palate, or of a newer one.")


_BEGUN = Integrity(status="torn", why="it ends inside of its header: nothing was logged")


def _content(buffer: bytes, form: lay.Form) -> Content:
    tally = Tally(end=len(form.header))
    scans = [Scan(buffer, form, tally)]
    scans[0].run()
    while (begin := scans[-1].fresh) is not None:
        scans.append(Scan(scans[-1].buffer, form, tally, begin))
        scans[-1].crc = scans[-2].crc
        scans[-1].run()
    parts: dict[str, list[Columns]] = {}
    for place, scan in enumerate(scans):
        for name, columns in _columns(scan).items():
            parts.setdefault(name, []).extend((*column[:3], column[3] + (place << 40), column[4]) for column in columns)
    unread = len(buffer) - tally.end
    found = Found(
        stretches=[stretch for scan in scans for stretch in scan.stretches],
        told=tally.told,
        logged=0 if form.number == 1 else lay.rows_owed(buffer),
        torn=tally.torn,
        cut=tally.cut,
        nameless=tally.nameless,
        mended=tally.mended,
    )
    return Content(
        curves={name: _curve(columns) for name, columns in parts.items()},
        events=tally.events,
        lost_bytes=unread + tally.gap_bytes,
        integrity=judge(found),
    )


def _columns(scan: Scan) -> dict[str, list[Columns]]:
    """Return each metric's column in each shape that has it."""
    rows = scan.by_shape()
    columns: list[list[Columns]] = [[] for _ in scan.layout.keys]
    for shape in sorted(rows):
        for column, key in enumerate(scan.layout.shapes[shape] or ()):
            columns[key].append((*rows[shape], column))
    nameless = [key for key, name in enumerate(scan.layout.keys) if name is None and columns[key]]
    if nameless and not scan.broken:
        raise ValueError(f"a name is not declared: number {nameless[0]}")
    scan.tally.nameless |= bool(nameless)
    return {name: columns[key] for key, name in enumerate(scan.layout.keys) if name is not None}


def _curve(columns: Sequence[Columns]) -> Curve:
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
