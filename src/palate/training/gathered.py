"""Put together what the processes of a run logged, when it has ended; see `palate.training.loggers.beside`.

What a process noted is heard again as if it had been the run, and what the run itself did not log is added to its
journal. A command may start several trainings: the first writes the journal, what the others have is added, and what
processes of one of them log comes after what it logs itself. Where several processes log other values under one name,
nobody knows which is meant: each is kept under the name of its process as well, and a question about the plain name
stops.
"""

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from palate.errors import InputError
from palate.store.journal import Journal
from palate.store.reader import read_event, read_journal
from palate.training.loggers.among import FIRST, FOLDER
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


@dataclass(frozen=True)
class _Party:
    """One process, and what is kept of it.

    Attributes:
        who: what it is called.
        process: its number; that of the process of the command that started it, where it is none itself.
        own: whether a command started it, so that what processes of its own log comes after what it logs itself.
        heard: what it logged.
    """

    who: str
    process: str
    own: bool
    heard: _Replayed


def gather(journal: Path) -> None:
    """Add to the journal of a run that has ended what processes logged that have not written into it; else nothing.

    Raises:
        JournalTakenError, StoreError: it cannot be written now.
    """
    folder = journal.parent / FOLDER
    if not folder.is_dir():
        return
    files = sorted(folder.glob("*.jsonl"))
    if files:
        _gather(journal, files, folder / FIRST)
    for file in (*files, folder / FIRST):  # what is in the journal is not added again
        file.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        folder.rmdir()


def _gather(journal: Path, files: Sequence[Path], first: Path) -> None:
    before = read_event(journal, EVENT) or {} if journal.exists() else {}
    names, ambiguous = dict(before.get("names", {})), dict(before.get("ambiguous", {}))
    written = _of_first(journal, first, names) if first.exists() and names else None
    parties = _named([one for one in (written, *map(_replay, files)) if one is not None])
    open_journal = Journal.open(journal)
    try:
        taken = frozenset(open_journal.names) - (written.heard.rows.keys() if written is not None else set())
        for name in dict.fromkeys(name for one in parties for name in one.heard.rows):
            if name not in taken:
                with contextlib.suppress(InputError):  # a name that cannot be kept
                    _add(open_journal, name, parties, names, ambiguous)
        open_journal.event(EVENT, names=names, ambiguous=ambiguous)
    finally:
        open_journal.close()


def _of_first(journal: Path, first: Path, names: Mapping[str, str]) -> _Party | None:
    """Return what the process of a command logged that wrote the journal, but for what was logged there by palate."""
    try:
        said = json.loads(first.read_text())
        who, process = str(said["who"]), str(said["process"])
    except (ValueError, KeyError, TypeError):  # it was killed meanwhile
        return None
    heard = _Replayed()
    for name, curve in read_journal(journal).curves.items():
        if name in names:
            heard.rows[name] = list(
                zip(curve.steps.tolist(), curve.values.tolist(), curve.elapsed_s.tolist(), strict=True)
            )
    heard.by = dict(names)
    return _Party(who, process, True, heard)


def _add(
    journal: Any,
    name: str,
    parties: Sequence[_Party],
    names: dict[str, str],
    ambiguous: dict[str, list[str]],
) -> None:
    """Write one name: once where all say the same, else also by the names of the processes that log it."""
    themselves = {one.process for one in parties if one.own and name in one.heard.rows}
    having = [one for one in parties if name in one.heard.rows and (one.own or one.process not in themselves)]
    first = having[0].heard
    if name not in journal.names:
        _write(journal, name, first.rows[name])
        names[name] = first.by.get(name, "palate")
        if name in first.ambiguous:
            ambiguous[name] = first.ambiguous[name]
    values = [[(step, value) for step, value, _ in one.heard.rows[name]] for one in having]
    if any(one != values[0] for one in values[1:]):
        for one in having:
            _write(journal, f"{one.who}/{name}", one.heard.rows[name])
            names[f"{one.who}/{name}"] = one.who
        ambiguous[name] = [one.who for one in having]


def _write(journal: Any, name: str, rows: Sequence[tuple[int, float, float]]) -> None:
    for step, value, at_s in rows:
        journal.log_soon(step, {name: value}, at_s)
    journal.write_late()


def _named(parties: Sequence[_Party]) -> list[_Party]:
    """Give processes of the same name a number each."""
    every = [one.who for one in parties]
    return [
        one if every.count(one.who) == 1 else replace(one, who=f"{one.who}-{every[: place + 1].count(one.who)}")
        for place, one in enumerate(parties)
    ]


def _replay(file: Path) -> _Party | None:
    """Hear again what a process noted; None where nothing can be read."""
    lines = file.read_bytes().splitlines()
    head, heard = dict[str, Any](), _Replayed()
    hearing: Any = None
    for line in lines:
        try:
            body = json.loads(line)
        except ValueError:  # the last line of a process that was killed
            continue
        if isinstance(body, dict):
            head = body
            hearing = Hearing(heard, str(body.get("told", "")), alone=True)  # type: ignore[arg-type]
        elif hearing is not None:
            with contextlib.suppress(AttributeError, IndexError, KeyError, TypeError, ValueError):  # not palate's line
                heard.now_s, kind, *what = body
                _hear_again(hearing, heard, kind, what)
    if hearing is None:
        return None
    hearing.close()
    process = str(head.get("process", head.get("of", "")))
    return _Party(str(head.get("who", "")), process, "process" in head, heard)


def _hear_again(hearing: Hearing, heard: _Replayed, kind: str, what: Sequence[Any]) -> None:
    if kind == "row":  # of a process that has decided itself what is kept
        heard.log_soon(what[0], what[1], 0)
    elif kind == "by":
        heard.event("", names=what[0], ambiguous=what[1])
    elif kind == "hear":
        hearing.hear(what[0], what[1], what[2])
    elif kind == "table":
        hearing.table(what[0], {name: [tuple(row) for row in rows] for name, rows in what[1].items()}, anew=what[2])
    elif kind == "found":
        hearing.found(Found(what[0], what[1], what[2]))
