"""Text as it may be printed: what would move, colour or turn round a terminal's text is shown, never sent.

Names, words and output come from journals, chains and files that anybody may have written. Standard library only.
"""

import re
import sys

_HIDDEN = re.compile(
    "[\x00-\x08\x0a-\x1f\x7f-\x9f"  # controls: escapes, carriage returns, line breaks inside of a line
    "\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069"  # what turns the reading direction, breaks of lines
    "\ud800-\udfff]"  # halves of characters, and bytes that are no UTF-8
)


def shown(text: str) -> str:
    r"""Return a line of text with what a terminal would obey, or could not show, written as an escape.

    >>> print(shown("a\x1b[31mb\u202ec\nd"))
    a\x1b[31mb\u202ec\nd
    >>> shown("\u6d41, 0.1 \u2192 0.2\t|")
    '\u6d41, 0.1 \u2192 0.2\t|'
    """
    return _HIDDEN.sub(lambda hit: _escaped(hit[0]), text)


def shown_lines(text: str) -> str:
    """Return text of several lines, each as `shown` shows it."""
    return "\n".join(map(shown, text.split("\n")))


def _escaped(letter: str) -> str:
    plain = {"\n": r"\n", "\r": r"\r"}
    number = ord(letter)
    return plain.get(letter) or (f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}")


def print_whatever_comes() -> None:
    """Let standard output and error take any character: what their encoding lacks is written as an escape."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a file or a terminal; a test has a buffer
            stream.reconfigure(errors="backslashreplace")
