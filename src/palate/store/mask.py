"""Take secrets out of a journal in place: as many bytes, and all checksums as they were; standard library only.

A journal's checksums run over the whole file, so a byte that changes breaks all that follow. CRC-32 is linear: of the
letters that stand for a secret, and of the spaces of the JSON around it, some are chosen such that it comes out as it
was. So nothing is moved or sealed anew, whatever the format of the journal, and whatever damage is elsewhere in it.
"""

import json
import re
import zlib
from collections.abc import Iterator, Sequence

MASK = b"*"
"""What stands for a secret begins with it."""

_LETTER = 0x40
"""The first of 16 characters, `@` to `O`, of which one stands for each letter of a secret: four bits of freedom."""

_SPACE_TO_TAB, _SPACE_TO_LINE = 0x20 ^ 0x09, 0x20 ^ 0x0A
_CRC_BITS = 32
MOST_TRIES = 64

_MICROSECONDS = re.compile(rb'"unix_s": \d+\.\d{3}(?P<digits>\d{2,6})[,}]')
"""The digits of an event's time that are below a millisecond."""

Span = tuple[int, int]


def events_in(content: bytes) -> Iterator[Span]:
    """Yield where a journal has JSON objects, which are its events: from, to."""
    text, decoder, end = content.decode("latin-1"), json.JSONDecoder(), 0
    for found in re.finditer(r'\{"', text):
        if found.start() < end:
            continue
        try:
            _, end = decoder.raw_decode(text, found.start())
        except (ValueError, RecursionError):
            continue
        yield found.start(), end


def mask(event: bytes, secrets: Sequence[Span]) -> bytes | None:
    """Return an event with other letters in the place of its secrets, of the same length and CRC-32.

    Args:
        event: a JSON object.
        secrets: where its secrets are: from, to.

    Returns:
        the event; None where too few bytes are free, because its secrets are too short.

    >>> event = b'{"kind": "recipe", "password": "hunter2 is my password"}'
    >>> masked = mask(event, [(32, 54)])
    >>> zlib.crc32(masked) == zlib.crc32(event), len(masked) == len(event), json.loads(masked)["password"][0]
    (True, True, '*')
    """
    masked, free = bytearray(event), []
    for start, end in secrets:
        masked[start:end] = MASK * (end - start)
        free += _freed(masked, range(max(start + 1, end - _CRC_BITS // 4), end), _LETTER, 4)
    spaces = list(_spaces(event))
    free += [(place, _SPACE_TO_TAB) for place in spaces]
    if len(free) < 2 * _CRC_BITS:  # short secrets: microseconds of the event's time, and other spaces
        for digits in _MICROSECONDS.finditer(event):
            free += _freed(masked, range(*digits.span("digits")), ord("0"), 3)
    for toggles in range(MOST_TRIES):
        given = [(place, _SPACE_TO_LINE if toggles >> n % 8 & 1 and bits == _SPACE_TO_TAB else bits)
                 for n, (place, bits) in enumerate(free)]  # fmt: skip
        wanted = zlib.crc32(masked) ^ zlib.crc32(event)
        chosen = _solve(wanted, [_effect(len(event), place, bits) for place, bits in given])
        if chosen is not None:
            for place, bits in (given[number] for number in chosen):
                masked[place] ^= bits
            return bytes(masked)
    return None


def _freed(masked: bytearray, places: range, base: int, bits: int) -> list[tuple[int, int]]:
    """Put the first of 2**bits characters at some places; return by which bits each may become another one."""
    for place in places:
        masked[place] = base
    return [(place, 1 << bit) for place in places for bit in range(bits)]


def _spaces(event: bytes) -> Iterator[int]:
    """Yield where a JSON text has spaces between its parts."""
    for found in re.finditer(rb'"(?:[^"\\]|\\.)*"| ', event):
        if found[0] == b" ":
            yield found.start()


def _effect(length: int, place: int, bits: int) -> int:
    """Return what flipping some bits of a byte does to the CRC-32 of a text of this length."""
    flipped = bytearray(length)
    flipped[place] = bits
    return zlib.crc32(flipped) ^ zlib.crc32(bytes(length))


def _solve(wanted: int, effects: Sequence[int]) -> list[int] | None:
    """Choose effects that together (exclusive or) are what is wanted; None where no choice is."""
    basis: dict[int, tuple[int, int]] = {}  # by its highest bit: an effect, and which ones it is made of
    for number, effect in enumerate(effects):
        value, made_of = _reduced(effect, 1 << number, basis)
        if value:
            basis[value.bit_length()] = (value, made_of)
    rest, made_of = _reduced(wanted, 0, basis)
    return None if rest else [number for number in range(len(effects)) if made_of >> number & 1]


def _reduced(value: int, made_of: int, basis: dict[int, tuple[int, int]]) -> tuple[int, int]:
    for top in range(_CRC_BITS, 0, -1):
        if value >> (top - 1) & 1 and top in basis:
            value ^= basis[top][0]
            made_of ^= basis[top][1]
    return value, made_of
