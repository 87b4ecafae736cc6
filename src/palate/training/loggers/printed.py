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

    def __init__(self, descriptor: int, errors: str, encoding: str | None = None) -> None:
        self._lines = _Lines()
        self._called = {1: "<stdout>", 2: "<stderr>"}.get(descriptor, str(descriptor))
        raw = io.FileIO(descriptor, "w", closefd=False)
        super().__init__(io.BufferedWriter(raw), encoding=encoding, errors=errors, line_buffering=True)

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
    sys.stdout = sys.__stdout__ = _opened(1, sys.__stdout__, "strict")  # type: ignore[misc]
    sys.stderr = sys.__stderr__ = _opened(2, sys.__stderr__, "backslashreplace")  # type: ignore[misc]


def _opened(descriptor: int, before: TextIO | None, errors: str) -> Stream:
    return (
        Stream(descriptor, errors) if before is None else Stream(descriptor, before.errors or errors, before.encoding)
    )


def forget_begun() -> None:
    """Forget the lines that were begun: in a process that was forked, they are the other's."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, Stream | _Over):
            stream._lines = _Lines()
