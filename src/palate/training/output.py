"""What a run prints: taken from a pipe, redacted, kept in a file of bounded size: its head, and its newest part.

What a run's process and all that it starts print goes into one pipe, in the order in which it is printed. The worker
reads it, so a run that is killed leaves what it printed, and one that floods waits for the reader. Standard library
only.
"""

import contextlib
import os
import re
import sys
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import TextIO

from palate.redaction import is_secret_name, redact_text

MOST = 64 << 20
"""The most bytes that are kept of one run."""

BLOCK = 64 << 10
"""Bytes that are taken at a time."""

LAST_BLOCKS = 32
"""The most blocks that are taken once a run has ended: whoever still holds the pipe may print for ever."""

LONGEST = 8192
"""The most bytes of a line that are looked at as one."""

PIPE_BYTES = 256 << 10

SHORTEST_SECRET = 6
"""Characters from which on a secret's value is told from an ordinary word."""

_SEPARATORS = re.compile(rb"[\s,;\"'<>|&]")

Redact = Callable[[str], str]


class Output:
    """What was printed, in a file: the first half of what there is room for as it comes, then the newest.

    Where something was left out, a line says how many bytes. A full disk is no fault of a run: what cannot be written
    is left out too.

    Args:
        descriptor: of the file, which is closed with this; -1 where there is none.
        most: bytes that the file may have; at least eight blocks.
        redact: what is done to each line, in their order; None for nothing.
    """

    def __init__(self, descriptor: int, *, most: int = MOST, redact: Redact | None = redact_text) -> None:
        self._file = descriptor
        self._size = os.fstat(descriptor).st_size if descriptor >= 0 else 0
        self._most = most
        self._head = 0
        self._marked = 0
        self._redact = redact
        self._rest = b""
        self._dropped = 0
        self.left_out = 0

    @classmethod
    def open(cls, path: Path, *, most: int = MOST, redact: Redact | None = redact_text) -> "Output":
        """Open a file to print into, for its owner alone; one that cannot be made keeps nothing."""
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            return cls(os.open(path, flags, 0o600), most=most, redact=redact)
        except OSError:
            return cls(-1, most=most, redact=redact)

    def take(self, block: bytes) -> None:
        """Take in what was printed next; the last line waits until it is whole."""
        if self._redact is None:
            self._write(block)
            return
        text = self._rest + block
        cut = max(text.rfind(b"\n"), text.rfind(b"\r")) + 1
        while len(text) - cut > LONGEST:
            cut = _cut(text, cut)
        self._rest = text[cut:]
        if cut:
            self._write(_redacted(text[:cut], self._redact))

    def close(self) -> None:
        """Write what waits, and close the file."""
        if self._rest and self._redact is not None:
            self._write(_redacted(self._rest, self._redact))
        self._rest = b""
        self._write(b"")
        self.forget()

    def forget(self) -> None:
        """Close the file and write nothing: it belongs to the process from which this one was forked."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _write(self, block: bytes) -> None:
        if self._file < 0:
            return
        gap = _gap(self._dropped) if self._dropped else b""
        if len(gap) + len(block) > self._most - self._size:
            self._make_room()
        try:
            written = os.pwrite(self._file, gap + block, self._size)
        except OSError:  # the disk is full
            written = 0
        if written < len(gap):
            self._dropped += len(block)
            self.left_out += len(block)
            return
        self._size += written
        self._dropped = len(gap) + len(block) - written
        self.left_out += self._dropped

    def _make_room(self) -> None:
        """Leave out what is between the head and the newest quarter."""
        half = self._most // 2
        with contextlib.suppress(OSError):
            if not self._head:
                start = max(half - LONGEST, 0)
                self._head = _line_end(os.pread(self._file, half - start, start), start)
            begin = max(self._size - half // 2, self._head + self._marked)
            newest = os.pread(self._file, self._size - begin, begin)
            newest = newest[newest.find(b"\n", 0, LONGEST) + 1 :]
            out = self._size - self._head - self._marked - len(newest)
            mark = _gap(self.left_out + out)
            os.pwrite(self._file, mark + newest, self._head)
            self._size = self._head + len(mark) + len(newest)
            self._marked = len(mark)
            self.left_out += out
            os.ftruncate(self._file, self._size)


def _gap(count: int) -> bytes:
    return f"\n... {count:,} bytes left out ...\n".encode()


def _line_end(block: bytes, start: int) -> int:
    """Return where the last whole line of a block ends, seen from the file's start; the block's end without one."""
    return start + (block.rfind(b"\n") + 1 or len(block))


def _cut(text: bytes, start: int) -> int:
    """Return where a line that is too long is cut: between two words where there are any."""
    end = start + LONGEST
    cuts = [found.end() for found in _SEPARATORS.finditer(text, end - LONGEST // 4, end)]
    return cuts[-1] if cuts else end


def _redacted(block: bytes, redact: Redact) -> bytes:
    """Redact whole lines one by one; bytes that are no text come out as they went in."""
    text = block.decode(errors="surrogateescape")
    lines = text.splitlines(keepends=True)
    told = [redact(line) if len(line) <= LONGEST else _redacted_long(line, redact) for line in lines]
    return "".join(told).encode(errors="surrogateescape")


def _redacted_long(line: str, redact: Redact) -> str:
    text, pieces, start = line.encode(errors="surrogateescape"), [], 0
    while start < len(text):
        end = _cut(text, start) if len(text) - start > LONGEST else len(text)
        pieces.append(redact(text[start:end].decode(errors="surrogateescape")))
        start = end
    return "".join(pieces)


def redacting(environment: Mapping[str, str], settings: Mapping[str, object]) -> Redact:
    """Return what redacts a run's lines: secrets by their form, and the values that its own secrets have.

    Args:
        environment: its environment variables.
        settings: its settings.
    """
    named = [value for pairs in (environment, settings) for name, value in pairs.items() if is_secret_name(name)]
    known = {value for value in named if isinstance(value, str) and len(value) >= SHORTEST_SECRET}
    return _redacting(known)


def _redacting(known: Collection[str]) -> Redact:
    if not known:
        return redact_text
    values = re.compile("|".join(re.escape(value) for value in sorted(known, key=len, reverse=True)))
    return lambda line: redact_text(values.sub("<secret>", line))


class Pipe:
    """A pipe into an `Output`: its ends are `write_end`, for who prints, and `read_end`, for who reads.

    Raises:
        OSError: there are no descriptors left.
    """

    def __init__(self, output: Output) -> None:
        self._output = output
        self.read_end, self.write_end = os.pipe()
        os.set_blocking(self.read_end, False)
        with contextlib.suppress(OSError, AttributeError):
            import fcntl

            fcntl.fcntl(self.read_end, fcntl.F_SETPIPE_SZ, PIPE_BYTES)

    def take(self) -> bool:
        """Take a block; return whether there may be more: not while nothing is there, and never after the end."""
        try:
            block = os.read(self.read_end, BLOCK)
        except BlockingIOError:
            return False
        except OSError:
            block = b""
        if not block:
            self.close_read_end()
            return False
        self._output.take(block)
        return True

    def print_here(self) -> None:
        """Let this process, which was just forked, print into the pipe and read nothing."""
        nothing = os.open(os.devnull, os.O_RDONLY)
        for descriptor, target in ((nothing, 0), (self.write_end, 1), (self.write_end, 2)):
            os.dup2(descriptor, target)
        os.close(nothing)
        self.forget()

    def finish(self) -> None:
        """Take what is left, and close all."""
        self.close_write_end()
        blocks = 0
        while self.read_end >= 0 and blocks < LAST_BLOCKS and self.take():
            blocks += 1
        self.close_read_end()
        self._output.close()

    def forget(self) -> None:
        """Close all, and take nothing: it belongs to the process from which this one was forked."""
        self.close_write_end()
        self.close_read_end()
        self._output.forget()

    def close_write_end(self) -> None:
        """Close the end that is written to; twice is fine."""
        if self.write_end >= 0:
            os.close(self.write_end)
            self.write_end = -1

    def close_read_end(self) -> None:
        """Close the end that is read; twice is fine."""
        if self.read_end >= 0:
            os.close(self.read_end)
            self.read_end = -1


@contextlib.contextmanager
def printing_to(path: Path, redact: Redact = redact_text) -> Iterator[TextIO]:
    """Give a file to print into, which is kept as a run's output is; a thread reads what is printed."""
    import select

    pipe = Pipe(Output.open(path, redact=redact))
    over, end = os.pipe()

    def read() -> None:
        while pipe.read_end >= 0:
            ready, _, _ = select.select([pipe.read_end, over], [], [])
            if over in ready:
                return
            pipe.take()

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    stream = os.fdopen(os.dup(pipe.write_end), "w", buffering=1, errors="backslashreplace")
    try:
        yield stream
    finally:
        with contextlib.suppress(OSError, ValueError):  # the run may have closed it
            stream.close()
        os.close(end)
        reader.join()
        os.close(over)
        pipe.finish()


def print_fault(text: str) -> None:
    """Print a traceback, also where the run closed or replaced its standard error."""
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except Exception:  # noqa: BLE001  a file of the run's own may raise anything
        with contextlib.suppress(OSError):
            os.write(2, text.encode(errors="backslashreplace"))
