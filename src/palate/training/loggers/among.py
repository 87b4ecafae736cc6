"""The processes of a command, of which one alone writes the run's journal: the first that has something to write.

`bash both.sh` may start several trainings, one after the other or at once. The first that logs has the journal, as a
script has its own. Another one notes what is kept of it beside the journal, under its own name; when the run has ended,
that is added, see `palate.training.gathered`. Standard library only.
"""

import contextlib
import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from palate.training.run import Run

FOLDER = "heard"
"""Folder in a run's folder with a file for each process that noted something."""

FIRST = "first"
"""File in that folder which says which process of a command writes the journal."""

OF = "PALATE_HEARD_OF"
"""Environment variable with the process, of those that a command starts, to which a process belongs."""


def called() -> str:
    """Return what this process is called: by the script that it runs, or as multiprocessing names it."""
    process = sys.modules.get("multiprocessing.process")
    if process is not None and process.parent_process() is not None:
        return str(process.current_process().name)
    path = Path(sys.argv[0]) if sys.argv and sys.argv[0] not in ("", "-c", "-m") else Path("python")
    return path.parent.name if path.stem == "__main__" and path.parent.name else path.stem


def open_notes(folder: Path) -> int:
    """Open the file of this process in a run's folder."""
    notes = folder / FOLDER
    notes.mkdir(mode=0o700, exist_ok=True)
    path = notes / f"{time.time_ns()}-{os.getpid()}.jsonl"
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)


def is_first_of(folder: Path) -> bool:
    """Return whether this process has the journal of a command's run; the first that asks has it."""
    notes = folder / FOLDER
    notes.mkdir(mode=0o700, exist_ok=True)
    text = json.dumps({"who": called(), "process": os.getpid()})
    try:
        descriptor = os.open(notes / FIRST, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        with contextlib.suppress(OSError, ValueError):
            return bool(json.loads((notes / FIRST).read_text())["process"] == os.getpid())
        return False
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    return True


class Among:
    """Stands for the run of a process that a command started: what a `Hearing` writes goes where it belongs.

    Args:
        run: the run, which the processes of the command share.
    """

    def __init__(self, run: "Run") -> None:
        self._run = run
        self._aside: _Aside | None = None
        self._has_journal = False

    def says_first_point(self) -> None:
        """Say that the first metric was logged."""
        self._run.says_first_point()

    @property
    def journal_if_open(self) -> Any:
        """What is written to, where something was."""
        return self._aside or self._run.journal_if_open

    @property
    def journal(self) -> Any:
        """The run's journal, or what stands for it where another process has that."""
        if self._aside is None and not self._has_journal:
            self._decide()
        return self._aside or self._run.journal

    def _decide(self) -> None:
        from palate.errors import JournalTakenError

        if is_first_of(self._run.folder):
            with contextlib.suppress(JournalTakenError):  # another process logs by palate, and has it meanwhile
                self._run.journal  # noqa: B018  opened
                self._has_journal = True
                return
        self._aside = _Aside(self._run.folder)


class _Aside:
    """Takes what a `Hearing` writes into a journal, and notes it beside that."""

    names: frozenset[str] = frozenset()

    def __init__(self, folder: Path) -> None:
        self._file = open_notes(folder)
        self._write({"who": called(), "process": os.getpid()})

    def log_soon(self, step: int, numbers: Mapping[str, float], at_s: float) -> None:
        """Note a row."""
        self._write([at_s, "row", step, dict(numbers)])

    def event(self, _: str, *, names: Mapping[str, str], ambiguous: Mapping[str, list[str]]) -> None:
        """Note who logged what."""
        self._write([time.monotonic(), "by", dict(names), dict(ambiguous)])

    def _write(self, body: Any) -> None:
        os.write(self._file, json.dumps(body).encode() + b"\n")
