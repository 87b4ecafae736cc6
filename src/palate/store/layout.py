"""How a journal's bytes are laid out, and a walk over them; standard library only.

A journal is a header and then records, written by one process at a time. A row (one call of
`log`) is a tag, the milliseconds since the row before, the values, and the low 16 bits of the
running checksum. Everything else is a tag, a length, a payload and all 32 bits of it.

The checksum runs over the whole file (rows with their 16 bits, other records without their
32), so the last record vouches for all before it: a reader checks a file in one pass, and
looks record by record only where that fails. Steps are not stored: each shape (a tuple of
keys) has a next step and a stride, and a STEP record says where the row breaks with them.

    row     1fww_ssss  dt (1, 2 or 4 bytes)  values (4 or 8 bytes each)  crc16
            f: the values are float32, which was checked to be exact   ww: bytes of dt   ssss: shape
    other   tag, length u32, payload, crc32
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

HEADER = b"palate\x01\n"
KEY, SHAPE, STEP, EVENT, LONG_ROW = 1, 2, 3, 4, 5
ROW, ROW_FLOAT32 = 0x80, 0x40
SHORT_SHAPES = 16
DT_WIDTHS = (1, 2, 4)
DT_CODES = "BHI"

OTHER_HEAD = struct.Struct("<BI")
KEY_HEAD = struct.Struct("<H")
STEP_BODY = struct.Struct("<Hqq")
LONG_HEAD = struct.Struct("<HI")
CRC16 = struct.Struct("<H")
CRC32 = struct.Struct("<I")


def row_struct(width: int, float32: bool, values: int) -> struct.Struct:
    """Lay out a row without its checksum: tag, milliseconds, values."""
    return struct.Struct(f"<B{DT_CODES[width]}{values}{'f' if float32 else 'd'}")


def seal_other(tag: int, payload: bytes, crc: int) -> tuple[bytes, int]:
    """Frame a record that is no row; give its bytes and the running checksum after it."""
    body = OTHER_HEAD.pack(tag, len(payload)) + payload
    crc = zlib.crc32(body, crc)
    return body + CRC32.pack(crc), crc


@dataclass(slots=True)
class Layout:
    """What a journal has declared so far: its keys, its shapes and where each shape's steps stand."""

    keys: list[str] = field(default_factory=list)
    shapes: list[tuple[int, ...]] = field(default_factory=list)
    next_step: list[int] = field(default_factory=list)
    stride: list[int] = field(default_factory=list)

    def row_bytes(self, tag: int) -> int:
        """Give the length of a row with this tag, 0 where its shape was never declared."""
        shape = tag & 0x0F
        width = (tag >> 4) & 0b11
        if shape >= len(self.shapes) or width >= len(DT_WIDTHS):
            return 0
        value_bytes = 4 if tag & ROW_FLOAT32 else 8
        return 1 + DT_WIDTHS[width] + value_bytes * len(self.shapes[shape]) + 2

    def declare(self, tag: int, payload: bytes) -> None:
        """Take in a KEY, SHAPE or STEP record."""
        if tag == KEY:
            self.keys.append(payload[2:].decode())
        elif tag == SHAPE:
            self.shapes.append(struct.unpack(f"<{len(payload) // 2}H", payload))
            self.next_step.append(0)
            self.stride.append(1)
        elif tag == STEP:
            shape, step, stride = STEP_BODY.unpack(payload)
            self.next_step[shape], self.stride[shape] = step, stride

    def take_step(self, shape: int) -> int:
        """Give the step of this shape's next row and move on by its stride."""
        step = self.next_step[shape]
        self.next_step[shape] = step + self.stride[shape]
        return step


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a journal: where it starts, its tag, its payload, and the checksum after it."""

    start: int
    end: int
    tag: int
    payload: bytes
    crc: int


def read_record(buffer: bytes, start: int, crc: int, layout: Layout) -> Record | None:
    """Read the record at `start`, or None where it is torn, unknown or fails its checksum."""
    tag = buffer[start]
    if tag & ROW:
        return _read_row(buffer, start, crc, layout, tag)
    if start + OTHER_HEAD.size > len(buffer):
        return None
    body_end = start + OTHER_HEAD.size + OTHER_HEAD.unpack_from(buffer, start)[1]
    if body_end + 4 > len(buffer):
        return None
    crc = zlib.crc32(buffer[start:body_end], crc)
    if CRC32.unpack_from(buffer, body_end)[0] != crc:
        return None
    return Record(start, body_end + 4, tag, buffer[start + OTHER_HEAD.size : body_end], crc)


def _read_row(buffer: bytes, start: int, crc: int, layout: Layout, tag: int) -> Record | None:
    length = layout.row_bytes(tag)
    end = start + length
    if not length or end > len(buffer):
        return None
    crc = zlib.crc32(buffer[start : end - 2], crc)
    if CRC16.unpack_from(buffer, end - 2)[0] != crc & 0xFFFF:
        return None
    return Record(start, end, tag, buffer[start + 1 : end - 2], zlib.crc32(buffer[end - 2 : end], crc))


def walk(buffer: bytes, start: int, crc: int, layout: Layout) -> Iterator[Record]:
    """Walk the records from `start` to the first one that is torn, keeping `layout` up to date."""
    while start < len(buffer):
        record = read_record(buffer, start, crc, layout)
        if record is None:
            return
        layout.declare(record.tag, record.payload)
        yield record
        start, crc = record.end, record.crc
