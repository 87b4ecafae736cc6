"""What processes that a script starts log: each notes what is heard beside the journal, which one process writes.

A process that is started or forked by a run's script notes every call, row and line that says a metric, as it comes,
into a file of its own: it may be killed, and most children end without telling anybody. When the run has ended, that
is added to its journal; see `palate.training.gathered`. Of processes that train together, rank 0 alone notes. Standard
library only.
"""

import json
import os
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from palate.training.loggers.among import OF, called, open_notes
from palate.training.loggers.hearing import is_first, numbers_of
from palate.training.loggers.lines import Reader

MOST_BYTES = 64 << 20
"""Bytes of notes of a process beyond which no more is noted."""

_LOADS_DATA = ("torch.utils.data", "multiprocessing.resource_tracker", "multiprocessing.managers")
"""Where the functions stand of processes that serve another one, and train nothing."""


class Beside:
    """Hears in a process that a run's script started; has the place of a `Hearing` there.

    Args:
        folder: the run's.
        told: `NAME=PATTERN`, as for `Hearing`.
    """

    def __init__(self, folder: str, told: str = "") -> None:
        self._folder = folder
        self._told = told
        self._reader = Reader(told)
        self._process = os.getpid()
        self._file = -1
        self._left = MOST_BYTES
        self._missed: set[str] = set()
        self._lock = threading.Lock()

    def hear(self, logger: str, metrics: Mapping[Any, Any], step: Any = None) -> None:
        """Note that a tracker logs."""
        if self._is_heard() and (numbers := numbers_of(metrics)):
            try:
                at = None if step is None else int(step)
            except (TypeError, ValueError, OverflowError):
                at = None
            self._note("hear", logger, numbers, at)

    def table(self, name: str, columns: Mapping[str, Iterable[tuple[int, float]]], *, anew: bool = False) -> None:
        """Note numbers that are written into a table."""
        if self._is_heard():
            self._note("table", name, {column: list(rows) for column, rows in columns.items()}, anew)

    def line(self, text: str) -> None:
        """Note what a printed line says."""
        if self._is_heard() and (found := self._reader.read(text)) is not None:
            self._note("found", found.numbers, found.step, found.told)

    def misses(self, call: str, fault: Exception) -> None:
        """Say, once, that a call could not be heard."""
        if call not in self._missed:
            self._missed.add(call)
            print(f"palate does not hear {call}: {type(fault).__name__}: {fault}", file=sys.__stderr__)

    def close(self) -> None:
        """Note nothing more."""
        self._left = 0

    def _is_heard(self) -> bool:
        return self._left > 0 and os.getpid() == self._process and _trains() and is_first()

    def _note(self, *what: Any) -> None:
        try:
            with self._lock:
                if self._file < 0:
                    self._open()
                    self._write({"who": called(), "told": self._told, "of": os.environ.get(OF, "")})
            self._write([time.monotonic(), *what])
        except (OSError, TypeError, ValueError):  # a full disk, or what is no plain number: never the training's fault
            self._left = 0

    def _open(self) -> None:
        from palate.training import received

        self._file = open_notes(Path(self._folder))
        received.at_first_point()

    def _write(self, body: Any) -> None:
        line = json.dumps(body).encode() + b"\n"
        self._left -= len(line)
        os.write(self._file, line)
        if self._left <= 0:
            print("palate hears no more of this process: it logged too much.", file=sys.__stderr__)


def _trains() -> bool:
    """Whether this process may be one that trains: not while it imports the script anew, nor one that loads data."""
    process = sys.modules.get("multiprocessing.process")
    if process is None:
        return True
    current: Any = process.current_process()
    if getattr(current, "_inheriting", False):
        return False
    target: Any = getattr(current, "_target", None)
    arguments: Any = getattr(current, "_args", ())
    module = getattr(target, "__module__", "") or ""
    if module == "torch.multiprocessing.spawn" and len(arguments) > 1:
        return bool(arguments[1] == 0)  # the first of those that were started together
    return not module.startswith(_LOADS_DATA)
