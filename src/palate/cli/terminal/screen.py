"""A terminal: keys as they are pressed, and a line that is redrawn; light to import."""

import codecs
import os
import shutil
import sys
import termios
import tty
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from palate.cli.plain import shown

MOST = 4096


class ScreenLine:
    """One line on standard error that is shown again and again, over as many rows as it takes."""

    def __init__(self) -> None:
        self._rows = 1

    def show(self, text: str) -> None:
        """Show a text in the place of the one before."""
        text = shown(text)
        click.echo(f"{back_over(self._rows)}{text}", err=True, nl=False)
        self._rows = rows_of(text, shutil.get_terminal_size().columns)


def back_over(rows: int) -> str:
    r"""Return what goes back to the first of so many rows and clears them.

    >>> back_over(1), back_over(3)
    ('\r\x1b[J', '\x1b[2A\r\x1b[J')
    """
    return f"\x1b[{rows - 1}A\r\x1b[J" if rows > 1 else "\r\x1b[J"


def rows_of(text: str, columns: int) -> int:
    """Count the rows that a text takes on a terminal.

    >>> rows_of("x" * 40, 20), rows_of("x" * 41, 20), rows_of("", 20)
    (2, 3, 1)
    """
    return -(-width_of(text) // columns) or 1


def width_of(text: str) -> int:
    """Count the columns that a text takes on a terminal.

    >>> width_of("why? \u6d41\u308c")
    9
    """
    return sum(
        0 if unicodedata.combining(letter) else 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        for letter in text
    )


@contextmanager
def keys() -> Iterator[Callable[[], str]]:
    """Return a function that waits for keys and gives what is there, as text.

    The terminal takes keys one by one for as long as this lasts, and not only during each wait: what is typed or pasted
    quickly is not lost in between; what is left over at the end is, so that it answers nothing that was not asked yet.
    Ctrl-C interrupts, as it does elsewhere.
    """
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    decoder = codecs.getincrementaldecoder("utf-8")(errors="ignore")

    def read() -> str:
        block = os.read(descriptor, MOST)
        if not block:
            raise KeyboardInterrupt  # the terminal is gone
        return decoder.decode(block)

    tty.setcbreak(descriptor, termios.TCSADRAIN)
    try:
        yield read
    finally:
        termios.tcsetattr(descriptor, termios.TCSAFLUSH, before)
