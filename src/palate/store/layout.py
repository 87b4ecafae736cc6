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

A STATE record holds all that the journal has declared and how far it is. It is written now and then, and found from the
file's end. Where a checksum fails, what follows is understood from the next STATE or STEP: `resync` finds where whole
records go on, and `scan` what is known of them.

Format 2 differs from format 1 in three things: its header has room for the number of rows that were logged while the
disk was full; a payload that declares something ends with a checksum of its own; a STEP record numbers its row.
"""

import json
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

MAGIC = b"palate"
KEY, SHAPE, STEP, EVENT, LONG_ROW, STATE = 1, 2, 3, 4, 5, 6
"""Tags of the records that are not rows."""

ROW, ROW_FLOAT32 = 0x80, 0x40
"""Bits of a row's tag."""

SHORT_SHAPES = 16
"""Shapes whose number fits into a row's tag; rows of later ones are LONG_ROW records."""

MOST_DECLARED = 65_536
"""Keys, and shapes, that a journal has numbers for."""

DT_WIDTHS = (1, 2, 4)
DT_CODES = "BHI"
"""Widths of the milliseconds in bytes, and their codes for `struct`."""

OTHER_HEAD = struct.Struct("<BI")
KEY_HEAD = struct.Struct("<H")
LONG_HEAD = struct.Struct("<HI")
CRC16 = struct.Struct("<H")
CRC32 = struct.Struct("<I")
OWN_CRC32 = struct.Struct(">I")
"""A payload's own checksum; in the other byte order, or the running one would not depend on what both cover."""

OWED = struct.Struct("<3Q")
"""Three times the number of rows that were logged, so that one damaged copy is outvoted; 0 where none waits."""

STATE_MARK = b"\x00\xffstate\n"
"""What the payload of a STATE begins with."""


@dataclass(frozen=True, slots=True)
class Form:
    """One of the formats: its number, its header, how a STEP is packed, and which payloads have their own checksum."""

    number: int
    header: bytes
    step: struct.Struct
    checked: frozenset[int]

    def seal(self, tag: int, payload: bytes, crc: int) -> tuple[bytes, int]:
        """Pack a record that is not a row; return its bytes and the running checksum after it."""
        if tag in self.checked:
            head = OTHER_HEAD.pack(tag, len(payload) + OWN_CRC32.size)
            body = head + payload + OWN_CRC32.pack(zlib.crc32(payload, tag))
        else:
            body = OTHER_HEAD.pack(tag, len(payload)) + payload
        crc = zlib.crc32(body, crc)
        return body + CRC32.pack(crc), crc

    def step_body(self, shape: int, step: int, stride: int, row: int) -> bytes:
        """Pack the payload of a STEP: from this row of its shape on, the `row`th of all, steps go on by `stride`."""
        return self.step.pack(shape, step, stride) if self.number == 1 else self.step.pack(shape, step, stride, row)


FORM_1 = Form(1, MAGIC + b"\x01\n", struct.Struct("<Hqq"), frozenset({STATE}))
FORM_2 = Form(2, MAGIC + b"\x02\n" + bytes(OWED.size), struct.Struct("<HqqQ"), frozenset({KEY, SHAPE, EVENT, STATE}))
FORMS = (FORM_1, FORM_2)
OWED_AT = len(MAGIC) + 2
"""Where a header has that number: right behind what tells the format."""

HEADER_MOST = len(FORM_2.header)
START_BYTES = 4096
"""The first record of a journal, which is its start, ends before this."""

STEP_BODY = FORM_1.step


def form_of(head: bytes) -> Form | None:
    """Return the format that a file says it has; None where it is none that is known."""
    return next((form for form in FORMS if head[:OWED_AT] == form.header[:OWED_AT]), None)


def form_by_start(head: bytes) -> Form | None:
    """Return the format that a file has by its header and its first record, which is its start; None if unknown.

    One of the two may be damaged.
    """
    told = form_of(head)
    for form in sorted(FORMS, key=lambda one: one is not told):
        start = len(form.header)
        record = read_record(head, start, 0, Layout(form)) if len(head) > start else None
        if record is not None and record.tag == EVENT and b'"format": %d' % form.number in record.payload:
            return form
    return told


def is_header_begun(head: bytes) -> bool:
    """Whether a file holds nothing but the begin of a header, as a process leaves it that was killed right there."""
    return any(len(head) < len(form.header) and form.header.startswith(head) for form in FORMS)


def rows_owed(head: bytes) -> int | None:
    """Return how many rows were logged in all, as a header says while some wait; 0 where none does, None if damaged."""
    if len(head) < HEADER_MOST:
        return None
    copies = OWED.unpack_from(head, OWED_AT)
    return next((one for one in copies if copies.count(one) > 1), None)


def row_struct(width: int, float32: bool, values: int) -> struct.Struct:
    """Return the struct of a row without its checksum: tag, milliseconds, values."""
    return struct.Struct(f"<B{DT_CODES[width]}{values}{'f' if float32 else 'd'}")


@dataclass(slots=True)
class Layout:
    """The declarations of a journal so far: its keys, its shapes, and the next step and stride of each shape.

    A name or a shape whose declaration is damaged is None, and so is a next step that nobody knows.
    """

    form: Form = FORM_2
    keys: list[str | None] = field(default_factory=list)
    shapes: list[tuple[int, ...] | None] = field(default_factory=list)
    next_step: list[int | None] = field(default_factory=list)
    stride: list[int] = field(default_factory=list)

    def row_bytes(self, tag: int) -> int:
        """Return the length of a row with this tag, 0 where its shape is not declared."""
        shape = tag & 0x0F
        width = (tag >> 4) & 0b11
        keys = self.shapes[shape] if shape < len(self.shapes) else None
        if keys is None or width >= len(DT_WIDTHS):
            return 0
        value_bytes = 4 if tag & ROW_FLOAT32 else 8
        return 1 + DT_WIDTHS[width] + value_bytes * len(keys) + 2

    def declare(self, tag: int, payload: bytes) -> None:
        """Apply a KEY, SHAPE or STEP record.

        Raises:
            ValueError, struct.error: what it says cannot be.
        """
        if tag == KEY:
            _put(self.keys, KEY_HEAD.unpack_from(payload)[0], payload[2:].decode())
        elif tag == SHAPE and self.form.number == 1:
            self._declare_shape(len(self.shapes), payload)
        elif tag == SHAPE:
            self._declare_shape(KEY_HEAD.unpack_from(payload)[0], payload[2:])
        elif tag == STEP:
            shape, step, stride = self.form.step.unpack(payload)[:3]
            if shape >= len(self.shapes):
                raise ValueError(f"a step of shape {shape}, which is not declared")
            self.next_step[shape], self.stride[shape] = step, stride

    def _declare_shape(self, number: int, payload: bytes) -> None:
        keys = struct.unpack(f"<{len(payload) // 2}H", payload)
        if not keys:
            raise ValueError("a shape of no keys")
        self.keys += [None] * (max(keys) + 1 - len(self.keys))
        self.make_room(number + 1)
        _put(self.shapes, number, keys)

    def make_room(self, shapes: int) -> None:
        """Let there be this many shapes, whose steps begin at 0."""
        more = shapes - len(self.shapes)
        if more > 0:
            self.shapes += [None] * more
            self.next_step += [0] * more
            self.stride += [1] * more

    def take_over(self, told: "Layout") -> None:
        """Learn the names and shapes that another one has."""
        for number, name in enumerate(told.keys):
            if name is not None:
                _put(self.keys, number, name)
        self.make_room(len(told.shapes))
        for number, keys in enumerate(told.shapes):
            if keys is not None:
                _put(self.shapes, number, keys)

    def pass_steps(self, shape: int, rows: int) -> int | None:
        """Advance by the steps of some rows of a shape; return the step of the last."""
        if shape >= len(self.shapes):
            raise ValueError(f"a row of shape {shape}, which is not declared")
        step = self.next_step[shape]
        if step is None:
            return None
        self.next_step[shape] = step + rows * self.stride[shape]
        return step + (rows - 1) * self.stride[shape]


def _put(places: list[Any], number: int, what: object) -> None:
    """Put something at its number; what is missing before it is None.

    Raises:
        ValueError: something else is there.
    """
    places += [None] * (number + 1 - len(places))
    if places[number] not in (None, what):
        raise ValueError(f"{what!r} has the number of {places[number]!r}")
    places[number] = what


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """How far a journal is: what a STATE record holds.

    Attributes:
        layout: what it has declared.
        rows: how many rows there are before it.
        lost: how many more were logged, and are told as lost.
        elapsed_ms: milliseconds up to its last row.
        last_step: the step of its last row, -1 where there is none.
        start_s: when the journal was begun, in Unix seconds.
        at: where in the file it was written.
        crc: the running checksum before it.
        fresh: it begins anew behind damage: nothing before it declares what follows, and `rows` is a guess.
    """

    layout: Layout
    rows: int = 0
    lost: int = 0
    elapsed_ms: int = 0
    last_step: int = -1
    start_s: float = 0.0
    at: int = 0
    crc: int = 0
    fresh: bool = False

    def packed(self) -> bytes:
        """Return it as the payload of a STATE record."""
        layout = self.layout
        fields = {
            "keys": layout.keys, "shapes": layout.shapes, "next_step": layout.next_step, "stride": layout.stride,
            "rows": self.rows, "lost": self.lost, "elapsed_ms": self.elapsed_ms, "last_step": self.last_step,
            "start_s": self.start_s, "at": self.at, "crc": self.crc, "fresh": self.fresh,
        }  # fmt: skip
        return STATE_MARK + json.dumps(fields, separators=(",", ":")).encode()


def unpack_state(payload: bytes, form: Form) -> State:
    """Undo `State.packed`.

    Raises:
        ValueError, KeyError, TypeError: it is none.
    """
    fields = json.loads(payload[len(STATE_MARK) :])
    names = ("keys", "next_step", "stride")
    layout = Layout(form, shapes=[keys and tuple(keys) for keys in fields["shapes"]], **{n: fields[n] for n in names})
    if not len(layout.shapes) == len(layout.next_step) == len(layout.stride):
        raise ValueError("shapes without steps")
    rest = {name: value for name, value in fields.items() if name not in (*names, "shapes")}
    return State(layout=layout, **rest)


def find_states(
    buffer: bytes | bytearray, start: int, form: Form, *, backwards: bool = False
) -> Iterator[tuple[int, int, bytes]]:
    """Yield each STATE from `start` on whose own checksum is right: where it begins and ends, and its payload.

    With `backwards` the last comes first.
    """
    mark = buffer.rfind(STATE_MARK, start) if backwards else buffer.find(STATE_MARK, start)
    while mark >= 0:
        at = mark - OTHER_HEAD.size
        end = record_end(buffer, at, Layout(form)) if at >= 0 and buffer[at] == STATE else 0
        payload = payload_of(buffer, at, end, form) if at < end <= len(buffer) else None
        if payload is not None:
            yield at, end, payload
        mark = buffer.rfind(STATE_MARK, start, mark) if backwards else buffer.find(STATE_MARK, mark + 1)


@dataclass(frozen=True, slots=True)
class JournalRecord:
    """One record of a journal: where it starts, its tag, its payload, and the checksum after it."""

    start: int
    end: int
    tag: int
    payload: bytes
    crc: int


def read_record(buffer: bytes | bytearray, start: int, crc: int, layout: Layout) -> JournalRecord | None:
    """Return the record at `start`, or None where it is incomplete, unknown or its checksum does not match."""
    tag = buffer[start]
    end = record_end(buffer, start, layout)
    if not start < end <= len(buffer):
        return None
    if tag & ROW:
        crc = zlib.crc32(buffer[start : end - 2], crc)
        if CRC16.unpack_from(buffer, end - 2)[0] != crc & 0xFFFF:
            return None
        payload = bytes(buffer[start + 1 : end - 2])
        return JournalRecord(start, end, tag, payload, zlib.crc32(buffer[end - 2 : end], crc))
    crc = zlib.crc32(buffer[start : end - 4], crc)
    if CRC32.unpack_from(buffer, end - 4)[0] != crc:
        return None
    checked = payload_of(buffer, start, end, layout.form)
    return None if checked is None else JournalRecord(start, end, tag, checked, crc)


def record_end(buffer: bytes | bytearray, start: int, layout: Layout) -> int:
    """Return where the record at `start` ends by its tag and length, which may be behind the file's end; 0 if none."""
    tag = buffer[start]
    if tag & ROW:
        length = layout.row_bytes(tag)
        return start + length if length else 0
    if start + OTHER_HEAD.size > len(buffer):
        return 0
    return start + OTHER_HEAD.size + int(OTHER_HEAD.unpack_from(buffer, start)[1]) + CRC32.size


def is_incomplete(buffer: bytes | bytearray, start: int, layout: Layout) -> bool:
    """Whether the file ends inside of the record at `start`, as a process leaves it that is killed while it writes."""
    tag, left = buffer[start], len(buffer) - start
    if tag & ROW:
        return left < layout.row_bytes(tag)
    if left < OTHER_HEAD.size:
        return KEY <= tag <= STATE
    length = OTHER_HEAD.unpack_from(buffer, start)[1]
    begun = bytes(buffer[start + OTHER_HEAD.size :])
    return left < OTHER_HEAD.size + length + CRC32.size and _may_begin(tag, length, begun, layout)


def _may_begin(tag: int, length: int, begun: bytes, layout: Layout) -> bool:
    """Whether a payload of this length may begin so."""
    if tag == STEP:
        return length == layout.form.step.size
    if tag == STATE:
        return STATE_MARK.startswith(begun[: len(STATE_MARK)])
    if tag == EVENT:
        return begun[: -CRC32.size].isascii() and b"{".startswith(begun[:1])
    if tag == LONG_ROW:
        shape = KEY_HEAD.unpack_from(begun)[0] if len(begun) >= KEY_HEAD.size else -1
        keys = layout.shapes[shape] if 0 <= shape < len(layout.shapes) else None
        return shape < 0 or (keys is not None and length == LONG_HEAD.size + 8 * len(keys))
    return tag in (KEY, SHAPE) and length <= 2 * MOST_DECLARED + KEY_HEAD.size + CRC32.size


def payload_of(buffer: bytes | bytearray, start: int, end: int, form: Form) -> bytes | None:
    """Return the payload of a record that is not a row; None where its own checksum does not match."""
    tag = buffer[start]
    payload = bytes(buffer[start + OTHER_HEAD.size : end - CRC32.size])
    if tag not in form.checked:
        return payload
    if len(payload) < 4 or OWN_CRC32.unpack_from(payload, len(payload) - 4)[0] != zlib.crc32(payload[:-4], tag):
        return None
    return payload[:-4]
