"""Put together what the processes of a run logged, when it has ended; see `palate.training.loggers.beside`.

What a process noted is heard again as if it had been the run, and what the run itself did not log is added to its
journal. Where several processes log other values under one name, nobody knows which is meant: each is kept under the
name of its process as well, and a question about the plain name stops.
"""

import contextlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from palate.errors import InputError
from palate.store.journal import Journal
from palate.store.reader import read_event
from palate.training.loggers.beside import FOLDER
from palate.training.loggers.hearing import EVENT, Hearing
from palate.training.loggers.lines import Found


class _Replayed:
    """What a process noted, heard again: stands for a run and its journal.

    Attributes:
        rows: by name, what is to be written: step, value, and when it was logged.
        names: by whom each was logged.
        ambiguous: names that several of its trackers log with different values.
    """

    def __init__(self) -> None:
        self.rows: dict[str, list[tuple[int, float, float]]] = {}
        self.by: dict[str, str] = {}
        self.ambiguous: dict[str, list[str]] = {}
        self.now_s = 0.0
        self.journal: Any = self
        self.names: frozenset[str] = frozenset()

    @property
    def journal_if_open(self) -> Any:
        """Itself, which nobody else logged to."""
        return self

    def says_first_point(self) -> None:
        """Do nothing: the process said so itself."""

    def log_soon(self, step: int, numbers: Mapping[str, float], _: float) -> None:
        """Take a row."""
        for name, value in numbers.items():
            self.rows.setdefault(name, []).append((step, value, self.now_s))

    def event(self, _: str, *, names: Mapping[str, str], ambiguous: Mapping[str, list[str]]) -> None:
        """Take who logged what."""
        self.by, self.ambiguous = dict(names), dict(ambiguous)


def gather(journal: Path) -> None:
    """Add to the journal of a run that has ended what the processes that its script started logged; else nothing.

    Raises:
        JournalTakenError, StoreError: it cannot be written now.
    """
    folder = journal.parent / FOLDER
    files = sorted(folder.glob("*.jsonl")) if folder.is_dir() else []
    if not files:
        return
    processes = _named([one for one in map(_replay, files) if one is not None])
    before = read_event(journal, EVENT) or {} if journal.exists() else {}
    open_journal = Journal.open(journal)
    try:
        taken = frozenset(open_journal.names)
        names, ambiguous = dict(before.get("names", {})), dict(before.get("ambiguous", {}))
        for name in dict.fromkeys(name for _, heard in processes for name in heard.rows):
            if name not in taken:
                with contextlib.suppress(InputError):  # a name that cannot be kept
                    _add(open_journal, name, processes, names, ambiguous)
        open_journal.event(EVENT, names=names, ambiguous=ambiguous)
    finally:
        open_journal.close()
    for file in files:  # what is in the journal is not added again
        file.unlink()
    with contextlib.suppress(OSError):
        folder.rmdir()


def _add(
    journal: Any,
    name: str,
    processes: Sequence[tuple[str, _Replayed]],
    names: dict[str, str],
    ambiguous: dict[str, list[str]],
) -> None:
    """Write one name: once where all say the same, else also by the names of the processes that log it."""
    having = [(who, heard) for who, heard in processes if name in heard.rows]
    _, first = having[0]
    _write(journal, name, first.rows[name])
    names[name] = first.by.get(name, "palate")
    if name in first.ambiguous:
        ambiguous[name] = first.ambiguous[name]
    values = [[(step, value) for step, value, _ in heard.rows[name]] for _, heard in having]
    if any(one != values[0] for one in values[1:]):
        for who, heard in having:
            _write(journal, f"{who}/{name}", heard.rows[name])
            names[f"{who}/{name}"] = who
        ambiguous[name] = [who for who, _ in having]


def _write(journal: Any, name: str, rows: Sequence[tuple[int, float, float]]) -> None:
    for step, value, at_s in rows:
        journal.log_soon(step, {name: value}, at_s)
    journal.write_late()


def _named(noted: Sequence[tuple[str, _Replayed]]) -> list[tuple[str, _Replayed]]:
    """Give processes of the same name a number each."""
    every = [who for who, _ in noted]
    return [
        (who if every.count(who) == 1 else f"{who}-{every[: place + 1].count(who)}", heard)
        for place, (who, heard) in enumerate(noted)
    ]


def _replay(file: Path) -> tuple[str, _Replayed] | None:
    """Hear again what a process noted; None where nothing can be read."""
    lines = file.read_bytes().splitlines()
    told, who, heard = "", "", _Replayed()
    hearing: Any = None
    for line in lines:
        try:
            body = json.loads(line)
        except ValueError:  # the last line of a process that was killed
            continue
        if isinstance(body, dict):
            who, told = str(body.get("who", "")), str(body.get("told", ""))
            hearing = Hearing(heard, told, alone=True)  # type: ignore[arg-type]
        elif hearing is not None:
            with contextlib.suppress(AttributeError, IndexError, KeyError, TypeError, ValueError):  # not palate's line
                heard.now_s, kind, *what = body
                _hear_again(hearing, kind, what)
    if hearing is None:
        return None
    hearing.close()
    return who, heard


def _hear_again(hearing: Hearing, kind: str, what: Sequence[Any]) -> None:
    if kind == "hear":
        hearing.hear(what[0], what[1], what[2])
    elif kind == "table":
        hearing.table(what[0], {name: [tuple(row) for row in rows] for name, rows in what[1].items()}, anew=what[2])
    elif kind == "found":
        hearing.found(Found(what[0], what[1], what[2]))
