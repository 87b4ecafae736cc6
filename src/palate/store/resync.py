"""Understand a journal behind damage: put one flipped bit right, or find where whole records go on.

The running checksum is unknown behind damage. It is a linear function of the one before: what rows (16 bits) and other
records (32 bits) say of it are equations in its 32 bits, over GF(2). Two or more records give it, and as much again
must agree before anything is believed. The first record itself is not confirmed so: a fault in it looks like another
checksum before it. Nor are the first two bytes behind a first row, whose own 16 bits leave just 16 unknown. Such
records are passed over, unless they have a checksum of their own. Standard library only.
"""

import re
import zlib
from typing import NamedTuple

from palate.store import layout as lay

CONFIRM_BITS = 32
"""Bits that have to agree beyond those from which a checksum was found: one place in 4e9 agrees by chance."""

MEND_BITS = 48
"""Bits that have to agree with a byte that is put right."""

MEND_BYTES = 1024
"""Longest record of which each bit is tried; each byte, where it has at most `MEND_EACH_BYTE`."""

MEND_LOOK_BYTES = 64 << 10
"""How much of a file, from the damaged record on, that looks at."""

MEND_EACH_BYTE = 64
MOST_SOLVED = 4000
"""Places that are looked at closely behind one damaged place."""

MOST_RECORDS = 64


class Sync(NamedTuple):
    """A place where whole records go on: where, and the running checksum before it."""

    at: int
    crc: int


def find(buffer: bytes | bytearray, start: int, layout: lay.Layout) -> Sync | None:
    """Return the first place from `start` on from which on all records are whole; None where there is none.

    What it may believe, and why the first record or two are passed over, is in docs/design/001-journal.md.
    """
    rows = [tag for tag in range(lay.ROW, 256) if layout.row_bytes(tag)]
    pattern = re.compile(b"[" + b"".join(b"\\x%02x" % tag for tag in (*range(lay.KEY, lay.STATE + 1), *rows)) + b"]")
    solved = 0
    for match in pattern.finditer(buffer, start):
        at = match.start()
        if not _may_begin(buffer, at, layout):
            continue
        crc = solve(buffer, at, layout)
        if crc is not None:
            return _behind_unconfirmed(buffer, at, crc, layout)
        solved += 1
        if solved >= MOST_SOLVED:
            return _next_state(buffer, at, layout)
    return None


def _may_begin(buffer: bytes | bytearray, at: int, layout: lay.Layout) -> bool:
    """Whether a record may begin here, by its tag and length and those of the next."""
    end = lay.record_end(buffer, at, layout)
    if not at < end <= len(buffer):
        return False
    tag = buffer[at]
    if tag in layout.form.checked:
        return lay.payload_of(buffer, at, end, layout.form) is not None
    if tag == lay.STEP and end - at != lay.OTHER_HEAD.size + layout.form.step.size + lay.CRC32.size:
        return False
    return end < len(buffer) and bool(lay.record_end(buffer, end, layout))


def _behind_unconfirmed(buffer: bytes | bytearray, at: int, crc: int, layout: lay.Layout) -> Sync:
    """Pass over the first record, and where it is a row the second, unless one has a checksum of its own."""
    for _ in range(2 if buffer[at] & lay.ROW else 1):
        record = None if buffer[at] in layout.form.checked else lay.read_record(buffer, at, crc, layout)
        if record is None:
            break
        at, crc = record.end, record.crc
    return Sync(at, crc)


def _next_state(buffer: bytes | bytearray, start: int, layout: lay.Layout) -> Sync | None:
    """Return the next place where a STATE says what the checksum is."""
    for at, _, _ in lay.find_states(buffer, start, layout.form):
        crc = solve(buffer, at, layout)
        if crc is not None:
            return Sync(at, crc)
    return None


def solve(buffer: bytes | bytearray, at: int, layout: lay.Layout) -> int | None:
    """Return the running checksum before `at`, from the records there; None where they do not agree on one."""
    equations = _Equations()
    for _ in range(MOST_RECORDS):
        end = lay.record_end(buffer, at, layout) if at < len(buffer) else 0
        if not at < end <= len(buffer) or not _take_record(equations, buffer, at, end, layout.form):
            return None
        if equations.known and equations.spare >= CONFIRM_BITS:
            return equations.solution()
        at = end
    return None


def _take_record(equations: "_Equations", buffer: bytes | bytearray, at: int, end: int, form: lay.Form) -> bool:
    """Take in what a record says of the checksum; return whether it agrees with all before."""
    tag = buffer[at]
    if tag in form.checked:
        if lay.payload_of(buffer, at, end, form) is None:
            return False
        equations.spare += 32
    covered = end - (2 if tag & lay.ROW else 4)
    equations.advance(buffer[at:covered])
    if not equations.take(int.from_bytes(buffer[covered:end], "little"), 8 * (end - covered)):
        return False
    if tag & lay.ROW:
        equations.advance(buffer[covered:end])
    return True


class _Equations:
    """What records say of the checksum before them, bit by bit.

    The checksum after some bytes is `fixed` xor the sum of `columns[k]` over the bits k of the one before. An equation
    is a mask of bits, whose sum is bit 32 of it.
    """

    def __init__(self) -> None:
        self.fixed = 0
        self.columns = [1 << bit for bit in range(32)]
        self.by_lead: dict[int, int] = {}
        self.spare = 0

    @property
    def known(self) -> bool:
        return len(self.by_lead) == 32

    def advance(self, covered: bytes | bytearray) -> None:
        """Go on behind bytes that the checksum covers."""
        zeros = bytes(len(covered))
        nothing = zlib.crc32(zeros)
        self.fixed = zlib.crc32(covered, self.fixed)
        self.columns = [zlib.crc32(zeros, column) ^ nothing for column in self.columns]

    def take(self, stored: int, bits: int) -> bool:
        """Take in the low bits of the checksum here; return whether they agree with all before."""
        differs = stored ^ self.fixed
        for bit in range(bits):
            equation = ((differs >> bit) & 1) << 32
            for place, column in enumerate(self.columns):
                equation |= ((column >> bit) & 1) << place
            if not self._reduce(equation):
                return False
        return True

    def _reduce(self, equation: int) -> bool:
        while mask := equation & 0xFFFFFFFF:
            lead = mask.bit_length()
            if lead not in self.by_lead:
                self.by_lead[lead] = equation
                return True
            equation ^= self.by_lead[lead]
        self.spare += 1
        return equation == 0

    def solution(self) -> int:
        """Return the checksum, once all its bits are known."""
        found = 0
        for lead in range(1, 33):
            equation = self.by_lead[lead]
            below = equation & found & ((1 << (lead - 1)) - 1)
            found |= ((equation >> 32) ^ below.bit_count()) % 2 << (lead - 1)
        return found


def mend(buffer: bytearray, at: int, crc: int, layout: lay.Layout) -> bool:
    """Put the record at `at` right where one bit of it (of a short one: one byte) is wrong; return whether it was.

    The checksum before it has to be confirmed: another byte would make up for a wrong one.
    """
    end = lay.record_end(buffer, at, layout)
    longest = max((layout.row_bytes(tag) for tag in range(lay.ROW, 256)), default=0)
    length = end - at if at < end <= min(len(buffer), at + MEND_BYTES) else max(longest, MEND_EACH_BYTE)
    masks = range(1, 256) if length <= MEND_EACH_BYTE else [1 << bit for bit in range(8)]
    for place in range(at, min(at + length, len(buffer))):
        for mask in range(1, 256) if place == at else masks:
            buffer[place] ^= mask
            if _holds(buffer, at, place, crc, layout):
                return True
            buffer[place] ^= mask
    return False


def _holds(buffer: bytearray, at: int, place: int, crc: int, layout: lay.Layout) -> bool:
    """Whether the record at `at`, changed at `place`, and those behind it have enough bits that agree."""
    bits = 0
    while at < len(buffer):
        record = lay.read_record(buffer, at, crc, layout)
        if record is None or not (bits or place < record.end):
            return False
        bits += 16 if record.tag & lay.ROW else 64 if record.tag in layout.form.checked else 32
        if bits >= MEND_BITS:
            return True
        at, crc = record.end, record.crc
    return False
