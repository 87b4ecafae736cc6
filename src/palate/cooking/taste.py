"""Taste a run while it trains: sample images, texts and metrics at a step, kept with the run, which is not changed.

The loss does not show the good point; a person has to look. torch and numpy are imported when something is tasted.
"""

import hashlib
import itertools
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from operator import index
from pathlib import Path
from typing import TYPE_CHECKING, Any

from palate.cooking.isolation import isolated
from palate.cooking.pictures import Layout
from palate.cooking.sampled import FOLDER, REFERENCE, Sample, write_sample
from palate.errors import InputError

if TYPE_CHECKING:
    from palate.cooking.pictures import Pixels

MOST_TEXTS = 64
LONGEST_TEXT = 10_000
"""How many generated texts are kept of a taste, and how many characters of each."""

LONGEST_FAULT = 10_000
"""Characters of a traceback that are kept: its end, which says what happened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taste:
    """What one taste gave.

    Attributes:
        step: of the run.
        metrics: what was measured; the caller logs it.
        picture: the file of the grid; None where there is none.
        layout: how that is laid out.
        texts: what was generated.
        faults: what went wrong, a line each; the run was not harmed by any.
        elapsed_s: what it took.
    """

    step: int
    metrics: Mapping[str, float] = field(default_factory=dict)
    picture: Path | None = None
    layout: Layout | None = None
    texts: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()
    elapsed_s: float = 0.0


class Taster:
    """Takes samples of one run, into the folder `samples` of the run's own.

    Args:
        folder: of the run.
        modules: torch modules that samples are drawn from; see `isolated`.
        generators: of random numbers that may be drawn from.
        value_range: the image values that are black and white; guessed, and said, if None.
        references: real images, or what gives them: samples are compared with these in sharpness.
        say: says what a person should know; on standard error if None.
        clock: gives the time.
    """

    def __init__(
        self,
        folder: Path,
        *,
        modules: Iterable[Any] = (),
        generators: Iterable[Any] = (),
        value_range: tuple[float, float] | None = None,
        references: Any = None,
        say: Callable[[str], None] | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._folder = Path(folder) / FOLDER
        self._modules, self._generators = tuple(modules), tuple(generators)
        self._value_range = value_range
        self._references = references
        self._say = say or _say
        self._clock = clock
        self._said: set[str] = set()
        self._secrets: tuple[str, ...] | None = None
        self._assumed: tuple[float, float] | None = None

    def taste(
        self,
        step: int,
        *,
        grid: Any = None,
        metrics: Any = None,
        texts: Any = None,
        value_range: tuple[float, float] | None = None,
    ) -> Taste:
        """Take a sample; never raise what the callables raise, and leave the run as it was.

        Args:
            step: of the run, 0 or more.
            grid: images, or what gives them when it is called; see `lay_out`.
            metrics: {name: number}, or what gives it.
            texts: generated texts, or what gives them.
            value_range: the image values that are black and white.

        Raises:
            InputError: the step is no whole number, or below 0.
        """
        began_s = time.perf_counter()
        at = _Making(step=_whole(step), time=self._clock())
        self._keep_references()
        pixels = self._part(at, "grid", grid, lambda given: self._laid_out(at, given, value_range))
        measured = self._part(at, "metrics", metrics, _numbers)
        told = self._part(at, "texts", texts, self._kept_texts)
        sample = Sample(
            folder=self._folder, step=at.step, time=at.time, metrics=measured or {}, texts=told or (), layout=at.layout,
            faults=tuple(at.traces),
        )  # fmt: skip
        kept = self._keep(at, sample, pixels, began_s)
        return Taste(
            step=at.step, metrics=sample.metrics, picture=sample.path if kept and pixels is not None else None,
            layout=at.layout, texts=sample.texts, faults=tuple(at.faults), elapsed_s=time.perf_counter() - began_s,
        )  # fmt: skip

    def _part(self, at: "_Making", name: str, given: Any, use: Callable[[Any], Any]) -> Any:
        """Return what comes of one part of a taste; None where it is not asked for, or fails."""
        if given is None:
            return None
        try:
            with isolated(self._modules, self._generators) as changed:
                came = use(given() if callable(given) else given)
        except Exception as error:  # noqa: BLE001  it is the user's code, and no fault in it may end the training
            self._fault(at, name, _what(error), "".join(traceback.format_exception(error)))
            return None
        if changed.names:
            names = ", ".join(changed.names[:3]) + (" ..." if len(changed.names) > 3 else "")
            self._fault(at, name, f"it changed {names}, which cannot be put back: the run goes on otherwise")
        return came

    def _laid_out(self, at: "_Making", images: Any, value_range: tuple[float, float] | None) -> "Pixels":
        from palate.cooking.pictures import lay_out

        pixels, layout = lay_out(images, value_range or self._value_range)
        if layout.assumed:
            pixels, layout = self._as_before(images, pixels, layout)
        if layout.not_finite:
            self._fault(at, "grid", f"{layout.not_finite} values are NaN or infinite, drawn in magenta")
        at.layout = layout
        return pixels

    def _as_before(self, images: Any, pixels: "Pixels", layout: Layout) -> "tuple[Pixels, Layout]":
        """Lay out by the range that was assumed before, if that was wider: a guess must not change the brightness."""
        from palate.cooking.pictures import lay_out

        before = self._assumed
        if before is not None and before[0] <= layout.low and before[1] >= layout.high:
            pixels, layout = lay_out(images, before)
            return pixels, replace(layout, assumed=True)
        self._assumed = (layout.low, layout.high)
        told = "from here on the images' " if before is not None else "the images' "
        self._once(f"{told}{layout.range_words}; say which by value_range=")
        return pixels, layout

    def _keep_references(self) -> None:
        """Keep the real images that samples are compared with, once."""
        given, self._references = self._references, None
        at = _Making(step=0, time=self._clock())
        pixels = self._part(at, "references", given, lambda images: self._laid_out(at, images, None))
        if pixels is not None:
            sample = Sample(folder=self._folder, step=0, time=at.time, layout=at.layout)
            self._keep(at, sample, pixels, time.perf_counter(), name=REFERENCE)

    def _kept_texts(self, given: Any) -> tuple[str, ...]:
        """Return texts as they are kept: so many, so long, without secrets."""
        from palate.redaction import redact_data  # keeps random text, which is what an untrained model writes

        texts = [given] if isinstance(given, str) else list(itertools.islice(given, MOST_TEXTS))
        wrong = sorted({type(one).__name__ for one in texts if not isinstance(one, str)})
        if wrong:
            raise InputError(f"texts= takes strings, and not {', '.join(wrong)}.")
        cut = [one if len(one) <= LONGEST_TEXT else f"{one[:LONGEST_TEXT]} ..." for one in texts]
        return tuple(_encodable(redact_data(one, self._known())) for one in cut)

    def _keep(self, at: "_Making", sample: Sample, pixels: Any, began_s: float, *, name: str = "") -> bool:
        """Write a sample; return whether it is there. A full disk is said, and the run goes on."""
        from palate.cooking.png import write_png

        picture = None if pixels is None else write_png(pixels)
        sha256 = "" if picture is None else hashlib.sha256(picture).hexdigest()
        elapsed_s = time.perf_counter() - began_s
        try:
            write_sample(replace(sample, sha256=sha256, elapsed_s=elapsed_s), picture, name=name)
        except OSError as error:
            self._fault(at, "sample", f"it cannot be kept in {self._folder}: {error.strerror}")
            return False
        return True

    def _fault(self, at: "_Making", name: str, what: str, trace: str = "") -> None:
        """Note what went wrong with the sample; say it the first time."""
        from palate.redaction import redact_text

        line = redact_text(f"{name}: {what}", self._known())
        at.faults.append(line)
        at.traces.append(_encodable(redact_text(trace[-LONGEST_FAULT:], self._known())) if trace else line)
        if f"fault {name}" not in self._said:
            self._said.add(f"fault {name}")
            self._say(f"taste at step {at.step}: {line}. The run goes on; said once, kept with each sample.")

    def _once(self, words: str) -> None:
        if words not in self._said:
            self._said.add(words)
            self._say(f"taste: {words}")

    def _known(self) -> tuple[str, ...]:
        """Return the secrets of this process, which are kept nowhere."""
        from palate.redaction import known_secrets

        if self._secrets is None:
            self._secrets = known_secrets(os.environ)
        return self._secrets


@dataclass(slots=True, kw_only=True)
class _Making:
    """A taste while it is made."""

    step: int
    time: datetime
    layout: Layout | None = None
    faults: list[str] = field(default_factory=list)
    traces: list[str] = field(default_factory=list)


def _whole(step: Any) -> int:
    try:
        number = index(step)
    except TypeError:
        number = -1
    if number < 0:
        raise InputError(f"step={step!r} is no step of a run.", why="It is a whole number, 0 or more.")
    return number


def _numbers(given: Any) -> dict[str, float]:
    """Return metrics as floats.

    Raises:
        InputError: it is no mapping of names to numbers.
    """
    if not isinstance(given, Mapping):
        raise InputError(f"metrics= gives {type(given).__name__}, and no {{name: number}}.")
    found, wrong = {}, []
    for name, value in given.items():
        try:
            found[str(name)] = float(value)
        except (TypeError, ValueError):
            wrong.append(f"{name}={value!r}"[:60])
    if wrong:
        raise InputError(f"metrics= gives what is no number: {', '.join(wrong)}.")
    return found


def _what(error: Exception) -> str:
    """Return an exception as one line."""
    first = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


def _encodable(text: str) -> str:
    """Return text that can be written as UTF-8: halves of characters are replaced."""
    return text.encode("utf-8", "replace").decode()


def _say(words: str) -> None:
    """Say something on standard error, with what a terminal would obey written as an escape."""
    plain = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in words)
    print(f"palate: {plain}", file=sys.stderr)
