"""Hear what is printed: standard output and standard error that pass each line on to be read, and print as before."""

import io
import re
import sys
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from palate.training.loggers.beside import Beside
    from palate.training.loggers.hearing import Hearing

_SAYS_NUMBER = re.compile(r"\d|\bnan\b|\binf\b").search
_hearing: "Hearing | Beside | None" = None
_covered: list[tuple[str, TextIO, TextIO]] = []


class _Lines:
    """Puts what is written together to lines, and lets those be heard that say a number."""

    def __init__(self) -> None:
        self._begun = ""

    def written(self, text: str) -> None:
        if "\n" not in text:
            self._begun = (self._begun + text)[-4000:]
            return
        *whole, self._begun = (self._begun + text).split("\n")
        for line in whole:
            if _hearing is not None and _SAYS_NUMBER(line):
                _hearing.line(line)


class Stream(io.TextIOWrapper):
    """A stream of this process, as Python opens it, of which the lines are heard."""

    mode = "w"

    def __init__(self, descriptor: int, errors: str, encoding: str | None = None, *, unbuffered: bool = False) -> None:
        self._lines = _Lines()
        self._called = {1: "<stdout>", 2: "<stderr>"}.get(descriptor, str(descriptor))
        raw: Any = io.FileIO(descriptor, "w", closefd=False)
        written: Any = raw if unbuffered else io.BufferedWriter(raw)  # python -u
        super().__init__(written, encoding=encoding, errors=errors, line_buffering=True, write_through=unbuffered)

    @property
    def name(self) -> str:
        """What Python calls it."""
        return self._called

    def write(self, text: str, /) -> int:
        """Write, then hear."""
        written = super().write(text)
        if _hearing is not None:
            self._lines.written(text)
        return written


class _Over:
    """Another stream, of which the lines are heard."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._lines = stream, _Lines()

    def write(self, text: str) -> int:
        written = self._stream.write(text)
        if _hearing is not None:
            self._lines.written(text)
        return written

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def listen(hearing: "Hearing | Beside") -> None:
    """Hear the lines of standard output and standard error; a stream that was not opened here is covered."""
    global _hearing
    _hearing = hearing
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and not isinstance(stream, Stream | _Over):
            over: Any = _Over(stream)
            _covered.append((name, stream, over))
            setattr(sys, name, over)


def stop() -> None:
    """Hear no more; uncover the streams that were covered."""
    global _hearing
    _hearing = None
    while _covered:
        name, stream, over = _covered.pop()
        if getattr(sys, name) is over:
            setattr(sys, name, stream)


def open_streams() -> None:
    """Open standard output and standard error of this process anew, in the encodings that Python chose for them."""
    for name, descriptor, errors in (("stdout", 1, "strict"), ("stderr", 2, "backslashreplace")):
        before = getattr(sys, f"__{name}__")
        _set(name, Stream(descriptor, errors) if before is None else _like(before, descriptor, errors))


def cover_own_streams() -> None:
    """Hear standard output and standard error of a process that has just begun, where it has them."""
    for name in ("stdout", "stderr"):
        before = getattr(sys, name)
        if before is not None:
            _set(name, _like(before, before.fileno(), before.errors))


def _set(name: str, stream: Stream) -> None:
    setattr(sys, name, stream)
    setattr(sys, f"__{name}__", stream)


def _like(before: Any, descriptor: int, errors: str) -> Stream:
    unbuffered = bool(getattr(before, "write_through", False))
    return Stream(descriptor, before.errors or errors, before.encoding, unbuffered=unbuffered)


def forget_begun() -> None:
    """Forget the lines that were begun: in a process that was forked, they are the other's."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, Stream | _Over):
            stream._lines = _Lines()
