"""Pack the rows of a journal, and refuse those that it cannot keep; standard library only."""

import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from palate.errors import InputError
from palate.store import layout as lay

LONGEST_DT_MS = 2**32 - 1
STEPS = 2**63
"""Steps are from -STEPS to STEPS - 1."""


class Shape:
    """How rows of one tuple of keys are packed, and the step that the next row is expected to have.

    Attributes:
        next_step: None where it has to be written out.
    """

    __slots__ = ("exact32", "next_step", "number", "pack", "stride", "values")

    def __init__(self, number: int, values: int, *, exact32: bool = True) -> None:
        self.number = number
        self.values = values
        self.next_step: int | None = 0
        self.stride = 1
        self.exact32 = exact32
        self.pack = _packers(number, values, exact32=exact32)

    def row(self, dt_ms: int, values: tuple[float, ...], crc: int, form: lay.Form) -> tuple[bytes, int]:
        """Pack a row; return its bytes and the running checksum after it."""
        if self.number >= lay.SHORT_SHAPES:
            payload = lay.LONG_HEAD.pack(self.number, dt_ms) + struct.pack(f"<{self.values}d", *values)
            return form.seal(lay.LONG_ROW, payload, crc)
        if self.exact32 and not _all_exact32(values):
            self.pack = _packers(self.number, self.values, exact32=False)  # first: an interrupt leaves it exact
            self.exact32 = False
        body = self.pack[0 if dt_ms < 256 else 1 if dt_ms < 65536 else 2](dt_ms, *values)
        crc = zlib.crc32(body, crc)
        tail = lay.CRC16.pack(crc & 0xFFFF)
        return body + tail, zlib.crc32(tail, crc)

    def rows(self, rows: Sequence[tuple[int, tuple[float, ...]]], crc: int, form: lay.Form) -> tuple[list[bytes], int]:
        """Pack several rows, each a time and its values, as `row` does one; in a third of its time."""
        if self.number >= lay.SHORT_SHAPES:
            records = []
            for dt_ms, values in rows:
                record, crc = self.row(dt_ms, values, crc, form)
                records.append(record)
            return records, crc
        if self.exact32 and not _all_exact32([value for _, values in rows for value in values]):
            self.pack = _packers(self.number, self.values, exact32=False)
            self.exact32 = False
        records, pack, crc32, tail_of = [], self.pack, zlib.crc32, lay.CRC16.pack
        for dt_ms, values in rows:
            body = pack[0 if dt_ms < 256 else 1 if dt_ms < 65536 else 2](dt_ms, *values)
            crc = crc32(body, crc)
            tail = tail_of(crc & 0xFFFF)
            crc = crc32(tail, crc)
            records += (body, tail)
        return records, crc


def _packers(number: int, values: int, *, exact32: bool) -> list[Callable[..., bytes]]:
    tag = lay.ROW | (lay.ROW_FLOAT32 if exact32 else 0) | number
    rows = [lay.row_struct(width, exact32, values) for width in range(len(lay.DT_WIDTHS))]
    return [partial(row.pack, tag | width << 4) for width, row in enumerate(rows)]


def _all_exact32(values: Sequence[float]) -> bool:
    try:
        packed = struct.pack(f"<{len(values)}f", *values)
    except OverflowError:
        return False
    return struct.unpack(f"<{len(values)}f", packed) == tuple(map(float, values))


class Declared(NamedTuple):
    """What a row declares before it: new keys with their numbers, its shape, and by how much its steps go on."""

    names: tuple[str, ...]
    keys: dict[str, int]
    shape: Shape
    stride: int


def whole(step: object) -> int:
    """Return a step that is a whole number, of whatever type: 1.0, numpy's and torch's numbers.

    Raises:
        TypeError, ValueError, OverflowError: it is none.
    """
    number: int = int(step)  # type: ignore[call-overload]
    if number != step:
        raise ValueError(f"{step!r} is not a whole number")
    return number


def new_keys(names: tuple[str, ...], known: Mapping[str, int]) -> dict[str, int]:
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
        lay.STEP_BODY.pack(0, 0 if step is None else whole(step), 0)
        struct.pack(f"<{len(metrics)}d", *metrics.values())
        for name in new_keys(tuple(metrics), {}):
            name.encode()
    except (struct.error, TypeError, ValueError, OverflowError) as error:
        raise bad_row(step, metrics) from error


def bad_row(step: int | None, metrics: Mapping[str, float]) -> InputError:
    """Say why a row cannot be kept."""
    if not metrics:
        return InputError(
            f"log({step!r}) cannot be kept: it names no metric.",
            todo="Name what is logged: palate.log(10, val_acc=0.93)",
        )
    types = {name: type(value).__name__ for name, value in metrics.items()}
    return InputError(
        f"log(step={step!r}, ...) cannot be kept: {types}.",
        why="A step is a whole number; a metric is a name and one number (a float, an int, a one-element tensor).",
        todo="For a tensor of several elements log its mean: palate.log(step, loss=loss.mean().item())",
    )


def too_many(what: str) -> InputError:
    """Say that a journal has no numbers for more names, or for more combinations of them."""
    return InputError(
        f"A run keeps at most {lay.MOST_DECLARED:,} {what}; this row would be one more.",
        why="A name that changes with every step (a file, an example) makes a metric of its own each time.",
        todo="Log what changes as the value, under one name.",
    )
