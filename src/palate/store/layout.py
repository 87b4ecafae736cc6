"""The binary format of a journal, and reading it record by record; standard library only.

A journal is a header and then records, written by one process at a time. A row (one call of `log`) is a tag, the
milliseconds since the row before, the values, and the low 16 bits of the running checksum. Any other record is a tag, a
length, a payload and all 32 bits of the checksum.

The checksum runs over the whole file (rows including their 16 bits, other records without their 32), so that the last
record confirms all before it: a reader checks many rows at once, and record by record only where that fails. Steps are
not stored in rows: each shape (a tuple of keys) has a next step and a stride, and a STEP record changes them.

    row     1fww_ssss  dt (1, 2 or 4 bytes)  values (4 or 8 bytes each)  crc16
            f: the values are float32, which was checked to be exact   ww: bytes of dt   ssss: shape
    other   tag, length u32, payload, crc32
"""

import struct
import zlib
from dataclasses import dataclass, field

HEADER = b"palate\x01\n"
KEY, SHAPE, STEP, EVENT, LONG_ROW = 1, 2, 3, 4, 5
"""Tags of the records that are not rows."""

ROW, ROW_FLOAT32 = 0x80, 0x40
"""Bits of a row's tag."""

SHORT_SHAPES = 16
"""Shapes whose number fits into a row's tag; rows of later ones are LONG_ROW records."""

DT_WIDTHS = (1, 2, 4)
DT_CODES = "BHI"
"""Widths of the milliseconds in bytes, and their codes for `struct`."""

OTHER_HEAD = struct.Struct("<BI")
KEY_HEAD = struct.Struct("<H")
STEP_BODY = struct.Struct("<Hqq")
LONG_HEAD = struct.Struct("<HI")
CRC16 = struct.Struct("<H")
CRC32 = struct.Struct("<I")


def row_struct(width: int, float32: bool, values: int) -> struct.Struct:
    """Return the struct of a row without its checksum: tag, milliseconds, values."""
    return struct.Struct(f"<B{DT_CODES[width]}{values}{'f' if float32 else 'd'}")


def seal_other(tag: int, payload: bytes, crc: int) -> tuple[bytes, int]:
    """Pack a record that is not a row; return its bytes and the running checksum after it."""
    body = OTHER_HEAD.pack(tag, len(payload)) + payload
    crc = zlib.crc32(body, crc)
    return body + CRC32.pack(crc), crc


@dataclass(slots=True)
class Layout:
    """The declarations of a journal so far: its keys, its shapes, and the next step and stride of each shape."""

    keys: list[str] = field(default_factory=list)
    shapes: list[tuple[int, ...]] = field(default_factory=list)
    next_step: list[int] = field(default_factory=list)
    stride: list[int] = field(default_factory=list)

    def row_bytes(self, tag: int) -> int:
        """Return the length of a row with this tag, 0 where its shape is not declared."""
        shape = tag & 0x0F
        width = (tag >> 4) & 0b11
        if shape >= len(self.shapes) or width >= len(DT_WIDTHS):
            return 0
        value_bytes = 4 if tag & ROW_FLOAT32 else 8
        return 1 + DT_WIDTHS[width] + value_bytes * len(self.shapes[shape]) + 2

    def declare(self, tag: int, payload: bytes) -> None:
        """Apply a KEY, SHAPE or STEP record."""
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
        """Return the step of this shape's next row, and advance by its stride."""
        step = self.next_step[shape]
        self.next_step[shape] = step + self.stride[shape]
        return step


@dataclass(frozen=True, slots=True)
class JournalRecord:
    """One record of a journal: where it starts, its tag, its payload, and the checksum after it."""

    start: int
    end: int
    tag: int
    payload: bytes
    crc: int


def read_record(buffer: bytes, start: int, crc: int, layout: Layout) -> JournalRecord | None:
    """Return the record at `start`, or None where it is incomplete, unknown or its checksum does not match."""
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
    return JournalRecord(start, body_end + 4, tag, buffer[start + OTHER_HEAD.size : body_end], crc)


def _read_row(buffer: bytes, start: int, crc: int, layout: Layout, tag: int) -> JournalRecord | None:
    length = layout.row_bytes(tag)
    end = start + length
    if not length or end > len(buffer):
        return None
    crc = zlib.crc32(buffer[start : end - 2], crc)
    if CRC16.unpack_from(buffer, end - 2)[0] != crc & 0xFFFF:
        return None
    return JournalRecord(start, end, tag, buffer[start + 1 : end - 2], zlib.crc32(buffer[end - 2 : end], crc))


@dataclass(slots=True)
class Replay:
    """How far a journal goes, so that it can be written on.

    Attributes:
        layout: what it has declared.
        end: where its last whole record ends.
        crc: the running checksum there.
        elapsed_ms: milliseconds up to its last row.
        last_step: the step of its last row, -1 where there is none.
        start: payload of its start event; empty where there is none.
    """

    layout: Layout = field(default_factory=Layout)
    end: int = len(HEADER)
    crc: int = 0
    elapsed_ms: int = 0
    last_step: int = -1
    start: bytes = b""

    def take(self, record: JournalRecord) -> None:
        """Take in the next record."""
        self.end, self.crc = record.end, record.crc
        self.layout.declare(record.tag, record.payload)
        if record.tag == EVENT and b'"start"' in record.payload:
            self.start = record.payload
        elif record.tag == LONG_ROW:
            shape, dt_ms = LONG_HEAD.unpack_from(record.payload)
            self._pass_row(shape, dt_ms)
        elif record.tag & ROW:
            width = DT_WIDTHS[(record.tag >> 4) & 0b11]
            self._pass_row(record.tag & 0x0F, int.from_bytes(record.payload[:width], "little"))

    def _pass_row(self, shape: int, dt_ms: int) -> None:
        self.elapsed_ms += dt_ms
        self.last_step = self.layout.take_step(shape)


def replay(buffer: bytes) -> Replay:
    """Read a journal's records up to the first one that is torn, unknown or fails its checksum."""
    before = Replay()
    while before.end < len(buffer):
        record = read_record(buffer, before.end, before.crc, before.layout)
        if record is None:
            break
        before.take(record)
    return before
