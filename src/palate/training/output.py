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
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from palate.redaction import redact_text
from palate.store.private import open_file

MOST = 64 << 20
"""The most bytes that are kept of one run."""

BLOCK = 256 << 10
"""The most bytes that are taken from a pipe at a time, and that are set up to wait in it."""

STEP = 8 << 10
"""Bytes that are redacted at a time where the head is full and much waits."""

BACKLOG = 256 << 10
"""The most bytes that wait to be redacted where the head is full, and the most of the newest that wait behind them."""

LAST_BLOCKS = 8
"""The most blocks that are taken once a run has ended: whoever still holds the pipe may print for ever."""

LONGEST = 8192
"""The most bytes of a line that are looked at as one."""


_SEPARATORS = re.compile(rb"[\s,;\"'<>|&]")

Redact = Callable[[str], str]


class Output:
    """What was printed, in a file: the first half of what there is room for as it comes, then the newest.

    Where something was left out, a line says how many bytes. A full disk is no fault of a run: what cannot be written
    is left out too. While the head has room, nothing is left out, and who prints faster than this redacts has to wait;
    later nobody waits, and pieces are left out.

    Args:
        descriptor: of the file, which is closed with this; -1 where there is none.
        most: bytes that the file may have.
        redact: what is done to each line, in their order; None for nothing.
    """

    def __init__(self, descriptor: int, *, most: int = MOST, redact: Redact | None = redact_text) -> None:
        self._file = descriptor
        self._size = os.fstat(descriptor).st_size if descriptor >= 0 else 0
        self._most = most
        self._head = 0
        self._gaps: list[_Gap] = []
        self._redact = redact
        self._waiting = b""
        self._newest = b""
        self._skipped = 0
        self._dropped = 0

    def redact_by(self, redact: Redact) -> None:
        """Redact what comes from now on by something else."""
        self._redact = redact

    @classmethod
    def open(cls, path: Path, *, most: int = MOST, redact: Redact | None = redact_text) -> "Output":
        """Open a file to print into, as open to others as its folder; one that cannot be made keeps nothing."""
        try:
            return cls(open_file(path, os.O_RDWR | os.O_NOFOLLOW), most=most, redact=redact)
        except OSError:
            return cls(-1, most=most, redact=redact)

    def take(self, block: bytes) -> None:
        """Take in what was printed next; the last line waits until it is whole."""
        if self._redact is None:
            self._write(block)
            return
        if self._size < self._most // 2:
            self._waiting += block
            self._work(len(self._waiting))
            return
        if self._newest or len(self._waiting) + len(block) > BACKLOG:
            self._wait_behind(block)
        else:
            self._waiting += block
        self._work(STEP)
        if len(self._waiting) <= LONGEST:
            self._move_up()

    @property
    def busy(self) -> bool:
        """Whether more waits than a line that has no end yet."""
        return len(self._waiting) > LONGEST or bool(self._newest)

    def _wait_behind(self, block: bytes) -> None:
        """Let a block wait behind what waits; where that is too much, the oldest of it is left out."""
        self._newest += block
        over = len(self._newest) - BACKLOG
        if over > 0:
            cut = self._newest.find(b"\n", over, over + LONGEST) + 1 or over
            self._newest = self._newest[cut:]
            self._skipped += cut

    def _move_up(self) -> None:
        """Let what waits behind be next; a line before a gap has no end."""
        if self._skipped and self._redact is not None:
            self._write(_redacted(self._waiting, self._redact))
            self._waiting = b""
        self._dropped += self._skipped
        self._waiting += self._newest
        self._newest, self._skipped = b"", 0

    def _work(self, most: int) -> None:
        """Redact and write whole lines of what waits."""
        part = self._waiting[:most]
        cut = max(part.rfind(b"\n"), part.rfind(b"\r")) + 1
        while len(part) - cut > LONGEST or (not cut and len(part) == most == STEP):
            cut = _cut(part, cut)
        if cut and self._redact is not None:
            self._waiting = self._waiting[cut:]
            self._write(_redacted(part[:cut], self._redact))

    def close(self) -> None:
        """Write what waits, and close the file."""
        for _ in range(2):
            if self._redact is not None:
                self._write(_redacted(self._waiting, self._redact))
            self._waiting = b""
            self._move_up()
        self.forget()

    def forget(self) -> None:
        """Close the file and write nothing: it belongs to the process from which this one was forked."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _write(self, block: bytes) -> None:
        step = self._most // 8  # there is always room for so much beside the head and the newest
        for start in range(0, len(block) or 1, step):
            if self._file >= 0:
                self._put(block[start : start + step])

    def _put(self, block: bytes) -> None:
        mark = _mark(self._dropped) if self._dropped else b""
        if len(mark) + len(block) > self._most - self._size:
            self._make_room()
        try:
            written = os.pwrite(self._file, mark + block, self._size)
        except OSError:  # the disk is full
            written = 0
        if written < len(mark):
            self._dropped += len(block)
            return
        if mark:
            self._gaps.append(_Gap(self._size, len(mark), self._dropped))
        self._size += written
        self._dropped = len(mark) + len(block) - written

    def _make_room(self) -> None:
        """Leave out what is between the head and the newest quarter."""
        half = self._most // 2
        with contextlib.suppress(OSError):
            if not self._head:
                start = max(half - LONGEST, 0)
                self._head = _line_end(os.pread(self._file, half - start, start), start)
            begin = self._begin_of_newest(half // 2)
            newest = os.pread(self._file, self._size - begin, begin)
            inside = [gap for gap in self._gaps if gap.place < begin]
            out = begin - self._head + sum(gap.count - gap.length for gap in inside)
            mark = _mark(out)
            os.pwrite(self._file, mark + newest, self._head)
            moved = begin - self._head - len(mark)
            kept = [_Gap(gap.place - moved, gap.length, gap.count) for gap in self._gaps if gap.place >= begin]
            self._gaps = [_Gap(self._head, len(mark), out), *kept]
            self._size = self._head + len(mark) + len(newest)
            os.ftruncate(self._file, self._size)

    def _begin_of_newest(self, most: int) -> int:
        """Return where the newest bytes begin that stay: at a line, and in no mark."""
        begin = max(self._size - most, self._head)
        begin += os.pread(self._file, LONGEST, begin).find(b"\n") + 1
        over = [gap.place + gap.length for gap in self._gaps if gap.place < begin < gap.place + gap.length]
        return max([begin, *over])


@dataclass(frozen=True, slots=True)
class _Gap:
    """A mark in the file: where it is, its length, and how many bytes are left out there."""

    place: int
    length: int
    count: int


def _mark(count: int) -> bytes:
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

            fcntl.fcntl(self.read_end, fcntl.F_SETPIPE_SZ, BLOCK)

    @property
    def busy(self) -> bool:
        """Whether something that was taken waits to be written."""
        return self._output.busy

    def take(self) -> bool:
        """Take a block, or write what waits; return whether there may be more: never after the end."""
        try:
            block = os.read(self.read_end, BLOCK)
        except BlockingIOError:
            if self.busy:
                self._output.take(b"")
            return self.busy
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
        poll = select.poll()  # any number of files may be open
        for descriptor in (pipe.read_end, over):
            poll.register(descriptor, select.POLLIN)
        try:
            while pipe.read_end >= 0 and over not in dict(poll.poll()):
                pipe.take()
        except Exception:
            pipe.close_read_end()  # who prints hears of it at once, and does not wait for a reader
            raise

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
