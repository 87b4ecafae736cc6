"""Read keys from a terminal as they are pressed; light to import."""

import codecs
import os
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager

MOST = 4096


@contextmanager
def keys() -> Iterator[Callable[[], str]]:
    """Give a function that waits for keys and gives what is there, as text.

    The terminal takes keys one by one for as long as this lasts, and not only during each wait: what is typed or pasted
    quickly is not lost in between. Ctrl-C interrupts, as it does elsewhere.
    """
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    decoder = codecs.getincrementaldecoder("utf-8")(errors="ignore")

    def read() -> str:
        told = os.read(descriptor, MOST)
        if not told:
            raise KeyboardInterrupt  # the terminal is gone
        return decoder.decode(told)

    tty.setcbreak(descriptor, termios.TCSADRAIN)
    try:
        yield read
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
