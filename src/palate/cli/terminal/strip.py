"""The samples of a run on a terminal: a strip over its checkpoints, the one that is looked at, what was said of it."""

import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from palate.cli.plain import shown
from palate.cli.terminal.keys import split_keys
from palate.cli.terminal.pictures import Way, cell_size, cleared, fit, picture
from palate.cli.terminal.screen import keys, width_of
from palate.cli.terminal.tasting import BLIND_KEYS, KEYS, Blind, Looking, Pair, Wish, compare, look
from palate.cooking.sampled import Sample
from palate.cooking.tastings import Word

if TYPE_CHECKING:
    from palate.cooking.pictures import Pixels

THUMB = 16
"""Columns of a picture in the strip."""

SIDE = 34
"""Columns for what is known of the sample that is looked at."""

MARK = {"last_good": "★", "grade": "", "tag": "#"}


@contextmanager
def whole_screen() -> Iterator[Callable[[str], None]]:
    """Return what writes to a screen of its own; the one before comes back at the end, whatever happens."""

    def write(text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()

    write("\x1b[?1049h\x1b[?25l")
    try:
        yield write
    finally:
        write("\x1b[0m\x1b[?25h\x1b[?1049l")


@dataclass(slots=True, kw_only=True)
class Table:
    """What is on the screen.

    Attributes:
        title: of the whole.
        way: how pictures are shown.
        samples: by step.
        words: what holds of what was said.
        told: the last thing that was said, for the bottom.
    """

    title: str
    way: Way
    samples: Sequence[Sample]
    words: Sequence[Word]
    told: str = ""

    def draw(self, state: Looking) -> str:
        """Return what draws it."""
        size = shutil.get_terminal_size()
        columns, rows = size.columns, size.lines
        high = self._high(state, max(3, min(8, rows // 4)))
        parts = [cleared(self.way), _line(1, 1, self.title, columns), self._strip(state, columns, high)]
        top = 3 + high + 4
        box = (max(10, columns - SIDE - 2), rows - top - 3)
        sample = self.samples[state.place]
        if box[1] >= 3:
            parts += [self._large(sample, state.image, (top, 1), box), self._side(sample, top, columns, box)]
        parts += [_line(rows - 1, 1, self._bottom(state), columns), _line(rows, 1, KEYS, columns, dim=True)]
        return "".join(parts)

    def _high(self, state: Looking, most: int) -> int:
        """Return the rows of the strip's pictures: as many as the one that is looked at takes."""
        pixels = self.samples[state.place].pixels() if self.way != "none" else None
        return 0 if self.way == "none" else most if pixels is None else fit(pixels, THUMB, most, cell_size())[1]

    def _strip(self, state: Looking, columns: int, high: int) -> str:
        """Return the strip: as many samples as there is room for, around the one that is looked at."""
        room = max(1, columns // (THUMB + 2))
        first = min(max(0, state.place - room // 2), max(0, len(self.samples) - room))
        parts = []
        for place, sample in enumerate(self.samples[first : first + room]):
            column = 1 + place * (THUMB + 2)
            here = first + place == state.place
            parts.append(self._picture(sample, (3, column), (THUMB, high)) if high else "")
            for below, line in enumerate(self._captions(sample, here)):
                parts.append(_line(3 + high + below, column, line, THUMB, bold=here))
        return "".join(parts)

    def _captions(self, sample: Sample, here: bool) -> tuple[str, str, str]:
        metric = next((f"{name} {value:.4g}" for name, value in sample.metrics.items()), "")
        said = " ".join(marks_of(self.words, sample.step))
        return f"{'▶ ' if here else ''}step {sample.step}", metric, said

    def _picture(self, sample: Sample, at: tuple[int, int], box: tuple[int, int]) -> str:
        pixels = sample.pixels() if self.way != "none" else None
        return "" if pixels is None else drawn(self.way, pixels, at, box)

    def _large(self, sample: Sample, image: int, at: tuple[int, int], box: tuple[int, int]) -> str:
        """Return the sample that is looked at, or one of its images: a grid is too small to see what is fine."""
        if not image or self.way == "none" or sample.layout is None:
            return self._picture(sample, at, box)
        cells = sample.cells()
        return drawn(self.way, cells[(image - 1) % len(cells)], at, box) if cells else ""

    def _side(self, sample: Sample, top: int, columns: int, box: tuple[int, int]) -> str:
        """Return what is known of a sample, beside it; below the strip where there is no picture."""
        blank = self.way == "none" or sample.layout is None
        column = 1 if blank else box[0] + 3
        wide = columns - column + 1
        lines = [line for one in self._known(sample) for line in _wrapped(one, wide)]
        return "".join(_line(top + place, column, line, wide) for place, line in enumerate(lines[: box[1]]))

    def _known(self, sample: Sample) -> Iterator[str]:
        yield from (f"{name}  {value:.6g}" for name, value in sample.metrics.items())
        if sample.layout is not None:
            yield f"{sample.layout.count} images, {sample.layout.range_words}"
            yield sample.path.name
        yield from (f"! {fault.strip().splitlines()[-1]}" for fault in sample.faults if fault.strip())
        for text in sample.texts:
            yield ""
            yield from text.split("\n")

    def _bottom(self, state: Looking) -> str:
        if not state.typing:
            return self.told
        choice = "  ".join(state.matching[:6])
        return f"tag: {state.text}_   Enter says it, Esc does not{f'   Tab: {choice}' if choice else ''}"


def marks_of(words: Sequence[Word], step: int) -> list[str]:
    """Return what was said of a sample, each as a mark: the last good one first, then grades, then tags."""
    said = [word for word in words if word.step == step and word.kind in MARK]
    said.sort(key=lambda word: list(MARK).index(word.kind))
    return [f"{MARK[word.kind]}{word.value}" for word in said]


def drawn(way: Way, pixels: "Pixels", at: tuple[int, int], box: tuple[int, int]) -> str:
    """Return what draws a picture as large as it can be in a box of columns and rows."""
    cell = cell_size()
    return picture(way, pixels, at, fit(pixels, *box, cell), cell)


def _line(row: int, column: int, text: str, most: int, *, dim: bool = False, bold: bool = False) -> str:
    """Return what writes a line of text at a place, cut at so many columns; what a terminal would obey is shown."""
    cut = shown(text.replace("\t", " "))
    while width_of(cut) > most:
        cut = cut[:-1]
    look_of = "2" if dim else "1" if bold else "0"
    return f"\x1b[{row};{column}H\x1b[{look_of}m{cut}\x1b[0m"


def _wrapped(text: str, wide: int) -> list[str]:
    plain, wide = shown(text), max(1, wide)
    return [plain[place : place + wide] for place in range(0, len(plain), wide)] or [""]


def taste_at_terminal(
    table: Table, known: tuple[str, ...], say: Callable[[Wish, Sample], str], refresh: Callable[[Table], None]
) -> None:
    """Let a person go through the samples and say what they think of them.

    Args:
        table: what is on the screen.
        known: tags that can be chosen.
        say: keeps what is said; gives it in words.
        refresh: brings samples and words up to date.
    """
    state = Looking(count=len(table.samples), place=len(table.samples) - 1, known=known)
    with whole_screen() as write, keys() as read:
        while not state.done:
            write(table.draw(state))
            for key in split_keys(read()):
                state = look(state, key)
                if state.wish is not None:
                    table.told = say(state.wish, table.samples[state.place])
                    state = _learnt(state)
                if state.done:
                    break
            refresh(table)
            state = _grown(state, len(table.samples))


def _learnt(state: Looking) -> Looking:
    """Return the state with a new tag among the known ones."""
    from dataclasses import replace

    wish = state.wish
    new = wish is not None and wish.kind == "tag" and wish.value not in state.known
    return replace(state, known=(wish.value, *state.known), wish=None) if new and wish else replace(state, wish=None)


def _grown(state: Looking, count: int) -> Looking:
    """Return the state after samples came; who looks at the newest looks at what is the newest now."""
    from dataclasses import replace

    newest = state.place == state.count - 1
    return replace(state, count=count, place=count - 1 if newest else min(state.place, count - 1))


def compare_at_terminal(pairs: Sequence[Pair], way: Way, picture_of: Mapping[tuple[str, int], Sample]) -> Blind:
    """Let a person say which of two samples tastes better, pair by pair, not knowing which run each is from."""
    state = Blind(pairs=tuple(pairs))
    with whole_screen() as write, keys() as read:
        while not state.done:
            write(_draw_pair(state, way, picture_of))
            for key in split_keys(read()):
                state = compare(state, key)
                if state.done:
                    break
    return state


def _draw_pair(state: Blind, way: Way, picture_of: Mapping[tuple[str, int], Sample]) -> str:
    size = shutil.get_terminal_size()
    half, high = size.columns // 2 - 1, size.lines - 5
    parts = [
        cleared(way),
        _line(1, 1, f"Pair {len(state.answers) + 1} of {len(state.pairs)}: which tastes better?", size.columns),
    ]
    for column, name in ((1, state.pair.left), (half + 3, state.pair.right)):
        sample = picture_of[name, state.pair.step]
        pixels = sample.pixels()
        if pixels is not None:
            parts.append(drawn(way, pixels, (3, column), (half, high)))
        else:
            lines = [line for text in sample.texts for one in text.split("\n") for line in _wrapped(one, half)]
            parts += [_line(3 + place, column, line, half) for place, line in enumerate(lines[:high])]
    parts.append(_line(size.lines, 1, BLIND_KEYS, size.columns, dim=True))
    return "".join(parts)
