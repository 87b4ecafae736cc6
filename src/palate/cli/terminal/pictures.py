"""Pictures on a terminal: kitty's protocol, iTerm2's, sixels, half blocks of colour; which one, and what to send.

Nothing here is sent to what is no terminal: who asks says that it is one.
"""

import base64
import os
import re
import select
import struct
import sys
import termios
import time
import tty
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

Way = Literal["kitty", "iterm", "sixel", "blocks", "blocks256", "none"]
"""How pictures are shown; the last one is not at all."""

CELL = (10, 20)
"""Pixels of a character, across and down, where a terminal does not tell."""

ANSWER_S = 1.0
"""How long a terminal is waited for. Each answers the last question of all, so that only a broken one takes as long; an
answer that comes later, over a slow line, is no key (`split_keys`)."""

LARGEST = 640
"""Pixels a side that are sent of a picture: over a slow line each key would wait for more."""

_QUESTION = "\x1b_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\\x1b[c"
"""Do you take kitty's pictures? What can you do at all (4: sixels)?"""

_LAST_ANSWER = re.compile(r"\x1b\[\?([\d;]*)c")


def way_of(environment: Mapping[str, str], ask: Callable[[], str]) -> Way:
    """Return how a terminal shows pictures, from its environment, else from what it answers.

    Args:
        environment: of the process.
        ask: puts `ask_terminal`'s question.
    """
    term, program = environment.get("TERM", ""), environment.get("TERM_PROGRAM", "")
    if environment.get("NO_COLOR") or term in ("", "dumb"):
        return "none"
    inside = "TMUX" in environment or term.startswith(("tmux", "screen"))  # which keeps the outer one's variables
    if not inside:
        if "KITTY_WINDOW_ID" in environment or term in ("xterm-kitty", "xterm-ghostty") or program == "ghostty":
            return "kitty"
        if program in ("iTerm.app", "WezTerm", "mintty"):
            return "iterm"
    answer = ask()
    if "_Gi=31;OK" in answer:
        return "kitty"
    told = _LAST_ANSWER.search(answer)
    return "sixel" if told is not None and "4" in told[1].split(";")[1:] else _colours(environment, term)


def _colours(environment: Mapping[str, str], term: str) -> Way:
    if environment.get("COLORTERM") in ("truecolor", "24bit") or term.endswith("-direct"):
        return "blocks"
    return "blocks256" if "256color" in term else "none"


def ask_terminal() -> str:
    """Ask the terminal what pictures it takes; return what it answers, "" where it does not."""
    into, out = sys.stdin.fileno(), sys.stdout.fileno()
    before = termios.tcgetattr(into)
    tty.setcbreak(into, termios.TCSANOW)
    try:
        os.write(out, _QUESTION.encode())
        return _answer(into)
    finally:
        termios.tcsetattr(into, termios.TCSANOW, before)


def _answer(descriptor: int) -> str:
    """Read until the last answer, or until it takes too long."""
    until, answer = time.monotonic() + ANSWER_S, ""
    while (left := until - time.monotonic()) > 0 and not _LAST_ANSWER.search(answer):
        if select.select([descriptor], [], [], left)[0]:
            block = os.read(descriptor, 1024)
            if not block:
                break
            answer += block.decode("latin-1")
    return answer


def cell_size() -> tuple[int, int]:
    """Return the pixels of a character, across and down, as the terminal tells, or as is usual."""
    import fcntl

    try:
        told = fcntl.ioctl(sys.stdout.fileno(), termios.TIOCGWINSZ, bytes(8))
    except OSError:
        return CELL
    rows, columns, across, down = struct.unpack("HHHH", told)
    return (across // columns, down // rows) if rows and columns and across >= columns and down >= rows else CELL


def fit(pixels: "Pixels", columns: int, rows: int, cell: tuple[int, int]) -> tuple[int, int]:
    """Return how many columns and rows a picture takes that is as large as it can be in a box.

    >>> import numpy as np
    >>> fit(np.zeros((100, 100, 3)), 80, 20, (10, 20)), fit(np.zeros((10, 40, 3)), 40, 20, (10, 20))
    ((40, 20), (40, 5))
    """
    height, width = pixels.shape[:2]
    scale = min(columns * cell[0] / width, rows * cell[1] / height)
    return max(1, min(columns, round(width * scale / cell[0]))), max(1, min(rows, round(height * scale / cell[1])))


def picture(way: Way, pixels: "Pixels", at: tuple[int, int], size: tuple[int, int], cell: tuple[int, int]) -> str:
    """Return what draws a picture.

    Args:
        way: how.
        pixels: (height, width, 3).
        at: row and column of its upper left corner, from 1.
        size: columns and rows that it takes.
        cell: pixels of a character, across and down.
    """
    goto = f"\x1b[{at[0]};{at[1]}H"
    match way:
        case "kitty":
            return goto + _kitty(pixels, size)
        case "iterm":
            return goto + _iterm(pixels, size)
        case "sixel":
            return goto + sixels(resized(pixels, size[1] * cell[1], size[0] * cell[0]))
        case "blocks" | "blocks256":
            return _blocks(resized(pixels, size[1] * 2, size[0]), at, true=way == "blocks")
        case _:
            return ""


def cleared(way: Way) -> str:
    """Return what clears the screen, pictures and all."""
    return ("\x1b_Ga=d,d=A,q=2\x1b\\" if way == "kitty" else "") + "\x1b[2J\x1b[H"


def _png(pixels: "Pixels") -> bytes:
    from palate.cooking.pictures import mean_of_blocks
    from palate.cooking.png import write_png

    down = -(-max(pixels.shape[:2]) // LARGEST)
    return write_png(mean_of_blocks(pixels, down, down) if down > 1 else pixels)


def _kitty(pixels: "Pixels", size: tuple[int, int]) -> str:
    """Return a picture in kitty's graphics protocol, in pieces of 4096 characters, which takes no answer."""
    content = base64.b64encode(_png(pixels)).decode()
    pieces = [content[place : place + 4096] for place in range(0, len(content), 4096)]
    first = f"a=T,f=100,q=2,C=1,c={size[0]},r={size[1]},"
    return "".join(
        f"\x1b_G{first if not place else ''}m={int(place < len(pieces) - 1)};{piece}\x1b\\"
        for place, piece in enumerate(pieces)
    )


def _iterm(pixels: "Pixels", size: tuple[int, int]) -> str:
    file = _png(pixels)
    told = f"inline=1;size={len(file)};width={size[0]};height={size[1]};preserveAspectRatio=0;doNotMoveCursor=1"
    return f"\x1b]1337;File={told}:{base64.b64encode(file).decode()}\x07"


def resized(pixels: "Pixels", height: int, width: int) -> "Pixels":
    """Return a picture at a size: means where it gets smaller, the nearest pixel where it gets larger."""
    import numpy as np

    found = _along(_along(pixels.astype(np.float32), height, 0), width, 1)
    whole: Pixels = (found + 0.5).astype(np.uint8)
    return whole


def _along(pixels: "NDArray[Any]", size: int, axis: int) -> "NDArray[Any]":
    """Return a picture with another size along one axis."""
    import numpy as np

    places = np.arange(size) * pixels.shape[axis] // size
    if size >= pixels.shape[axis]:
        enlarged: NDArray[Any] = np.take(pixels, places, axis)
        return enlarged
    counts = np.diff(places, append=pixels.shape[axis]).astype(np.float32)
    means: NDArray[Any] = np.add.reduceat(pixels, places, axis) / np.expand_dims(counts, (1, 2) if axis == 0 else 1)
    return means


def _blocks(pixels: "Pixels", at: tuple[int, int], *, true: bool) -> str:
    """Return a picture as upper half blocks: a character is two pixels, its colour and the one behind it."""
    lines = []
    for place in range(0, len(pixels), 2):
        pairs = zip(pixels[place].tolist(), pixels[place + 1].tolist(), strict=True)
        blocks = "".join(f"\x1b[38;{_colour(above, true)};48;{_colour(below, true)}m▀" for above, below in pairs)
        lines.append(f"\x1b[{at[0] + place // 2};{at[1]}H{blocks}\x1b[0m")
    return "".join(lines)


def _colour(rgb: list[int], true: bool) -> str:
    if true:
        return f"2;{rgb[0]};{rgb[1]};{rgb[2]}"
    red, green, blue = (round(one * 5 / 255) for one in rgb)
    grey = max(rgb) - min(rgb) < 12
    return f"5;{_grey(sum(rgb) // 3) if grey else 16 + 36 * red + 6 * green + blue}"


def _grey(level: int) -> int:
    return 16 if level < 4 else 231 if level > 246 else 232 + min(23, (level - 3) // 10)


def sixels(pixels: "Pixels") -> str:
    """Return a picture as sixels, in the 216 colours of a cube, dithered."""
    import numpy as np

    bayer = np.array([[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]]) / 16
    height, width = pixels.shape[:2]
    raster = np.tile(bayer, (height // 4 + 1, width // 4 + 1))[:height, :width, None]
    levels = np.minimum(5, (pixels / 255 * 5 + raster).astype(int))
    index = levels @ (36, 6, 1)
    used = np.unique(index)
    colours = "".join(f"#{one};2;{one // 36 * 20};{one // 6 % 6 * 20};{one % 6 * 20}" for one in used.tolist())
    bands = "-".join(_band(index[place : place + 6]) for place in range(0, height, 6))
    return f'\x1bP0;1q"1;1;{width};{height}{colours}{bands}\x1b\\'


def _band(rows: "NDArray[np.int_]") -> str:
    """Return six rows of pixels, a line a colour, each run of equal characters as its length."""
    import numpy as np

    bits = 1 << np.arange(len(rows))
    lines = []
    for colour in np.unique(rows).tolist():
        line = ((rows == colour).T @ bits + 63).astype(np.uint8).tobytes().decode("ascii")
        lines.append(f"#{colour}" + re.sub(r"(.)\1{3,}", lambda run: f"!{len(run[0])}{run[1]}", line))
    return "$".join(lines)
