"""Which lines of some files a run reaches: traced in a run of its own, never in one that is judged."""

import contextlib
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from palate.question.target import Target
from palate.recipe.settings import Change
from palate.training.apart import bring_home
from palate.training.inputs import read_notes
from palate.training.launch import Engines
from palate.training.received import NOTES, tell

REACHED = "reached"
"""The kind of note that says which lines were reached."""


@contextlib.contextmanager
def tracing(lines: Mapping[str, Sequence[int]], folder: str) -> Iterator[None]:
    """Note which of some lines are reached; functions of other files run as fast as before.

    Args:
        lines: their numbers, by file seen from `folder`.
        folder: the run's own.
    """
    wanted = {os.path.join(folder, name): set(numbers) for name, numbers in lines.items()}

    def local(frame: FrameType, event: str, _: Any) -> Any:
        waiting = wanted[frame.f_code.co_filename]
        if event == "line" and frame.f_lineno in waiting:
            waiting.discard(frame.f_lineno)
            name = os.path.relpath(frame.f_code.co_filename, folder)
            tell(REACHED, f"{name}:{frame.f_lineno}", name, frame.f_lineno)
        return local if waiting else None

    def called(frame: FrameType, _: str, __: Any) -> Any:
        return local if wanted.get(frame.f_code.co_filename) else None

    threading.settrace(called)
    sys.settrace(called)
    try:
        yield
    finally:
        sys.settrace(None)
        threading.settrace(None)


def executable_lines(code: bytes, numbers: Sequence[int]) -> tuple[int, ...]:
    """Return those of some lines on which something is executed: no comments, no blank lines, no lines in between."""
    known: set[int] = set()
    waiting = [compile(code, "edited", "exec")]
    while waiting:
        here = waiting.pop()
        known |= {line for _, _, line in here.co_lines() if line}
        waiting += [constant for constant in here.co_consts if isinstance(constant, CodeType)]
    return tuple(number for number in numbers if number in known)


def reached_lines(
    target: Target, changes: Sequence[Change], lines: Mapping[str, Sequence[int]], *, engines: Engines, home: Path
) -> dict[str, tuple[int, ...]] | None:
    """Run a training once more, at seed 0, and return which of some lines it reaches, by file; None where it fails.

    Args:
        target: what is run.
        changes: what is different from its settings.
        lines: their numbers, by file seen from the person's folder.
        engines: execute the run.
        home: palate's own folder.
    """
    reached: dict[str, list[int]] = {name: [] for name in lines}
    with tempfile.TemporaryDirectory(prefix="reached-", dir=home) as folder:
        here = Path(folder) / REACHED
        here.mkdir()
        engines.submit(target.task, target.order(REACHED, here, 0, changes, traced=lines))
        while not (ended := engines.poll()):
            time.sleep(0)
        bring_home(str(here), str(home))
        if ended[0].status or ended[0].timed_out:
            return None
        for kind, *what in read_notes(here / NOTES):
            if kind == REACHED:
                reached.setdefault(what[1], []).append(what[2])
    return {name: tuple(sorted(numbers)) for name, numbers in reached.items()}
