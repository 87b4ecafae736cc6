"""The catalog: one SQLite file over all journals, always rebuildable from them, that is asked and never loaded.

What has ended is not looked at again: a refresh looks at folders that are new, where the time of change of the folder
of runs is another one; at runs that have not ended; and at the newest ones. `everything` looks at all of them.

Nothing that happens to the file stops a reader. One that is damaged is put aside and made anew; where it cannot be
written, stays locked, or was written by a newer palate, the runs are read from their journals, in memory.
"""

import contextlib
import json
import os
import sqlite3
import time
import zlib
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from palate.errors import CatalogNewerError, ChainBrokenError, NotFoundError, StoreError
from palate.store.catalog_file import (
    BUSY_TIMEOUT_MS,
    UNUSABLE,
    connect,
    is_locked,
    is_not_written,
    put_aside,
    say_in_memory,
    unread_words,
    unusable,
)
from palate.store.migrations import MIGRATIONS, migrate, transaction, version_of
from palate.store.peek import RACY_NS, refuse_views
from palate.store.private import open_file
from palate.store.project import Project
from palate.store.rows import RUN, SUMMARY, replace_run, run_of, summary_of
from palate.store.runs import Exit, ReadRun, RunRow, Summary, pack_curve, read_run, unpack_curve

if TYPE_CHECKING:
    from palate.store.reader import Curve

__all__ = ["Catalog", "Exit", "ReadRun", "RunRow", "Summary", "pack_curve", "read_run", "rebuild", "unpack_curve"]

RETRY_S = 0.05
NEWEST = 200
"""Runs, the newest, that are looked at although they have ended."""

NAMED = 3
"""Runs whose journals cannot be read that each command names; `palate doctor` counts all."""

AT_ONCE = 200
"""Journals that are in memory at once."""

MOST_ATTEMPTS = 3
"""How often something is done again with a file that cannot be used: made anew, copied into memory, and without it."""

_AMONG = "IN (SELECT value FROM json_each(?))"

Answer = TypeVar("Answer")


class Catalog:
    """Read a project's runs by SQL, after taking in what is new since the last look."""

    def __init__(self, project: Project, *, in_memory: bool = False) -> None:
        self.project = project
        self.in_memory = in_memory
        self._is_copy = False
        self._names: set[str] | None = None
        if not in_memory:
            _make_file(project.catalog)
        self._connection = connect(":memory:" if in_memory else str(project.catalog))
        self._inode = 0
        try:
            migrate(self._connection, project.catalog)
            if not in_memory:
                self._inode = project.catalog.stat().st_ino
        except BaseException:
            self.close()
            raise

    @classmethod
    def open(cls, project: Project) -> Self:
        """Open (or make) a project's catalog; one that is damaged is put aside and rebuilt.

        Where its file cannot be used (a read-only folder, a full disk, a newer palate's, one that stays locked) a
        catalog is made in memory instead, and said so: reading works everywhere.
        """
        damaged, until_s = False, time.monotonic() + BUSY_TIMEOUT_MS / 1000
        while True:
            try:
                project.make()
                return cls(project)
            except (*UNUSABLE, StoreError, OSError) as error:
                if is_locked(error) and time.monotonic() < until_s:
                    time.sleep(RETRY_S)  # SQLite does not wait where two make a new file at once
                elif damaged or is_locked(error) or is_not_written(error):
                    return cls(project, in_memory=True)._filled(error)
                else:
                    damaged = True
                    put_aside(project.catalog)

    def _filled(self, error: Exception) -> Self:
        """Say that this one is in memory, and begin with what the file knows, where that can be read."""
        cause = error.__cause__ or error
        reason = getattr(cause, "strerror", None) or getattr(cause, "what", None) or str(cause)
        say_in_memory(self.project.catalog, reason, written=not isinstance(error, CatalogNewerError))
        file = f"{self.project.catalog.absolute().as_uri()}?immutable=1"
        with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(file, uri=True)) as known:
            refuse_views(known)
            if version_of(known) == len(MIGRATIONS):
                known.backup(self._connection)
                self._is_copy = True
            else:
                sealed = known.execute("SELECT number, hash FROM sealed").fetchall()
                self._connection.executemany("INSERT INTO sealed VALUES (?, ?)", sealed)
        return self

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def refresh(self, *, keys: Iterable[str] = (), everything: bool = False) -> int:
        """Take in journals that are new or have changed; return how many runs were read.

        Args:
            keys: look at the runs of these keys, though they have ended.
            everything: look at all runs.
        """
        read = self._safely(lambda: self._take_in(list(keys), everything))
        self._safely(self._remember_head)
        unread = list(self._unread())
        for run_id, why in unread[:NAMED]:
            self.project.chain.say(unread_words(self.project.journal(run_id), why))
        if len(unread) > NAMED:
            self.project.chain.say(f"palate: {len(unread) - NAMED} more runs cannot be read:  palate doctor")
        return read

    def _take_in(self, keys: list[str], everything: bool) -> int:
        listed, new, gone = self._listed(everything)
        grown, missing = self._changed(keys, everything)
        grown = [*new, *grown]
        count = 0
        for start in range(0, len(grown), AT_ONCE):
            some = grown[start : start + AT_ONCE]
            runs = [(run_id, read_run(self.project.journal(run_id))) for run_id in some]
            with transaction(self._connection):
                count += sum(self._put(run_id, read) for run_id, read in runs)
        if listed is not None and self._names is not None:
            self._names.update(new)
            self._remember_listing(listed, gone)
        self._mark_gone(missing)
        return count

    def _listed(self, everything: bool) -> tuple[int | None, list[str], set[str]]:
        """List the folder of runs where it has changed: its time of change, what is new in it, and what is gone."""
        try:
            mtime_ns = self.project.runs.stat().st_mtime_ns
            if mtime_ns == self._looked("listed") and not everything:
                return None, [], set()
            racy = time.time_ns() - mtime_ns < RACY_NS
            names = os.listdir(self.project.runs)  # noqa: PTH208  of 100,000, in a tenth of the time
        except OSError:  # a project that could not be made
            return None, [], set()
        if self._names is None:
            joined = self._connection.execute("SELECT GROUP_CONCAT(run_id, '/') FROM journals").fetchone()[0]
            self._names = set(joined.split("/")) if joined else set()
        known = self._names
        others = [name for name in names if name not in known]
        gone = known.difference(names) if len(names) - len(others) < len(known) else set()
        new = [name for name in sorted(others) if _is_text(name) and self.project.run_folder(name).is_dir()]
        return (0 if racy else mtime_ns), new, gone

    def _remember_listing(self, listed: int, gone: set[str]) -> None:
        """Remember that nothing is new while the folder's time of change stays, and which runs have no journal now."""
        before = {name for (name,) in self._connection.execute("SELECT run_id FROM journals WHERE gone")}
        back = [name for name in before - gone if os.path.lexists(self.project.journal(name))]
        if listed != self._looked("listed") or back:
            with transaction(self._connection):
                self._connection.execute("INSERT OR REPLACE INTO looked VALUES ('listed', ?)", (listed,))
                self._connection.execute(f"UPDATE journals SET gone = 0 WHERE run_id {_AMONG}", (json.dumps(back),))
        self._mark_gone(gone - before)

    def _mark_gone(self, names: Iterable[str]) -> None:
        """Mark runs of which a journal was read once and is not there any more."""
        which = f"bytes >= 0 AND NOT gone AND run_id {_AMONG}"
        told = json.dumps(sorted(names))
        if self._connection.execute(f"SELECT 1 FROM journals WHERE {which}", (told,)).fetchone():
            with transaction(self._connection):
                self._connection.execute(f"UPDATE journals SET gone = 1 WHERE {which}", (told,))

    def _known(self, keys: list[str], everything: bool) -> dict[str, tuple[int, int | None]]:
        """Return, of the runs that are to be looked at again, what their journals were: size and time of change."""
        columns = "SELECT run_id, bytes, mtime_ns FROM journals"
        if everything:
            every = self._connection.execute(columns)
            return {run_id: (size, mtime_ns) for run_id, size, mtime_ns in every}
        newest = f"SELECT id FROM runs ORDER BY started_unix_s DESC LIMIT {NEWEST}"
        asked = (
            (f"{columns} WHERE bytes < 0", ()),
            (f"{columns} WHERE run_id IN (SELECT id FROM runs WHERE exit IS NULL)", ()),
            (f"{columns} WHERE run_id IN ({newest})", ()),
            (f"{columns} WHERE run_id IN (SELECT id FROM runs WHERE key {_AMONG})", (json.dumps(keys),)),
        )
        rows = [row for query, given in asked for row in self._connection.execute(query, given)]
        return {run_id: (size, mtime_ns) for run_id, size, mtime_ns in rows}

    def _changed(self, keys: list[str], everything: bool) -> tuple[list[str], list[str]]:
        """List the runs whose journals are not what they were, and those whose journals are not there."""
        other, missing = [], []
        for run_id, (size, mtime_ns) in self._known(keys, everything).items():
            try:
                now = os.stat(f"{self.project.runs}/{run_id}/journal")  # noqa: PTH116  thousands of them
                is_same = now.st_size == size and mtime_ns in (None, now.st_mtime_ns)
            except (FileNotFoundError, NotADirectoryError):
                missing.append(run_id)
                continue
            except OSError:
                is_same = False  # one that could not be read is tried again
            if not is_same:
                other.append(run_id)
        return other, missing

    def _put(self, run_id: str, read: ReadRun | None) -> bool:
        """Put a run into the tables; return whether anything is new. A folder without a journal is awaited."""
        connection = self._connection
        if read is None:
            connection.execute(
                "INSERT OR IGNORE INTO journals (run_id, bytes, lost_bytes) VALUES (?, -1, 0)", (run_id,)
            )
            return False
        integrity = read.run.integrity
        if integrity.status == "unread":
            known = connection.execute("SELECT why_lost FROM runs WHERE id = ? AND integrity = 'unread'", (run_id,))
            if known.fetchone() == (integrity.why,):
                return False
        replace_run(connection, read)
        return True

    def _unread(self) -> list[tuple[str, str]]:
        """List the runs that cannot be read and whose folders are there, each with the reason."""
        return [
            (run_id, why)
            for run_id, why in self._ask(
                "SELECT id, why_lost FROM runs JOIN journals ON run_id = id WHERE integrity = 'unread' AND NOT gone"
            )
        ]

    def read_in(self, run_id: str) -> ReadRun | None:
        """Read one run's journal and take it in; None where there is no journal (yet)."""
        read = read_run(self.project.journal(run_id))

        def put() -> None:
            with transaction(self._connection):
                self._put(run_id, read)

        if read is not None:
            self._safely(put)
        return read

    def runs(self, keys: Iterable[str] | None = None) -> list[RunRow]:
        """List runs, oldest first; only those with one of `keys` where given."""
        order = "ORDER BY started_unix_s, id"
        if keys is None:
            return self._runs(order)
        return self._runs(f"WHERE key {_AMONG} {order}", json.dumps(list(keys)))

    def newest_finished(self, label: str, most: int) -> list[RunRow]:
        """List the newest finished runs of a training that palate started, oldest first.

        Args:
            label: of the training.
            most: how many at most.
        """
        which = "WHERE label = ? AND key != '' AND exit = 'ok' AND integrity IN ('whole', 'torn')"
        return self._runs(f"{which} ORDER BY started_unix_s DESC, id DESC LIMIT ?", label, most)[::-1]

    def newest(self, most: int) -> list[RunRow]:
        """List the newest runs, oldest first; `most` of them at most."""
        return self._runs("ORDER BY started_unix_s DESC, id DESC LIMIT ?", most)[::-1]

    def count_runs(self) -> int:
        """Count the runs."""
        return int(self._ask("SELECT COUNT(*) FROM runs")[0][0])

    def not_whole(self) -> list[RunRow]:
        """List the runs of which not all is there, or nothing can be read."""
        return self._runs("WHERE integrity != 'whole' ORDER BY started_unix_s, id")

    def gone(self) -> list[str]:
        """Name the runs that were read once and whose journals are not there any more."""
        return [run_id for (run_id,) in self._ask("SELECT run_id FROM journals WHERE gone ORDER BY run_id")]

    def find_run(self, start: str) -> RunRow:
        """Find the one run whose id starts so.

        Raises:
            NotFoundError: none does, or several do.
        """
        rows = self._runs("WHERE id = ?", start)
        rows = rows or self._runs("WHERE id >= ? AND id < ? ORDER BY rowid LIMIT 6", start, f"{start}\U0010ffff")
        if len(rows) != 1:
            some = ", ".join(row.id for row in rows[:5])
            what = f"several runs start with {start!r}: {some}" if rows else f"there is no run {start!r}."
            raise NotFoundError(what, todo="palate list --runs   shows them")
        return rows[0]

    def summaries(self, run_ids: Sequence[str]) -> list[Summary]:
        """List a summary per run and metric, by run and metric."""
        query = f"SELECT {SUMMARY} FROM summaries WHERE run_id {_AMONG} ORDER BY run_id, metric"
        return self._safely(lambda: [summary_of(row) for row in self._ask(query, json.dumps(list(run_ids)))])

    def curve(self, run_id: str, metric: str) -> "Curve":
        """Read one metric of one run.

        Raises:
            NotFoundError: the run never logged it.
        """
        query = "SELECT points FROM series WHERE run_id = ? AND metric = ?"
        curves = self._safely(
            lambda: [unpack_curve(points) for (points,) in self._connection.execute(query, (run_id, metric))]
        )
        if not curves:
            raise NotFoundError(f"run {run_id} has no metric {metric!r}.", todo=f"palate show {run_id}")
        return curves[0]

    def note(self, until: int, blind: Iterable[tuple[int, str, str, float]], resting: Iterable[str]) -> None:
        """Note what the chain says of runs, so that it is held against them without reading it again.

        Args:
            until: how many records were read.
            blind: of forecasts that saw nothing: record, experiment, the treatment's key, when it was sealed.
            resting: runs that verdicts rest on.
        """
        self._safely(partial(self._note, until, list(blind), [(run,) for run in resting]))

    def _note(self, until: int, blind: list[tuple[int, str, str, float]], resting: list[tuple[str]]) -> None:
        with transaction(self._connection):
            self._connection.executemany("INSERT OR REPLACE INTO blind VALUES (?, ?, ?, ?)", blind)
            self._connection.executemany("INSERT OR IGNORE INTO resting VALUES (?)", resting)
            self._connection.execute(
                "INSERT OR IGNORE INTO journals (run_id, bytes, lost_bytes) SELECT run_id, -1, 0 FROM resting"
            )
            self._connection.execute("INSERT OR REPLACE INTO looked VALUES ('noted', ?)", (until,))

    def noted(self) -> int:
        """Return how many records of the chain were read for `note`."""
        return self._looked("noted")

    def contradicted(self, skew_s: float) -> list[tuple[int, str, str]]:
        """List record, experiment and run of the noted forecasts that came after a run of the treatment had logged."""
        return self._ask(
            "SELECT number, experiment, id FROM blind JOIN runs ON runs.key = blind.key"
            " WHERE first_unix_s < at_unix_s - ? ORDER BY number, id",
            skew_s,
        )

    def count_gone(self) -> int:
        """Count the runs that verdicts rest on and that are not here any more."""
        gone = (
            "SELECT COUNT(*) FROM journals WHERE {} AND"
            " EXISTS (SELECT 1 FROM resting WHERE resting.run_id = journals.run_id)"
        )
        return sum(int(self._ask(gone.format(which))[0][0]) for which in ("gone", "bytes < 0"))

    def faults(self) -> list[str]:
        """Say what SQLite, and the rows' own checksums, find wrong with the file."""
        try:
            told = [row[0] for row in self._connection.execute("PRAGMA integrity_check(5)") if row[0] != "ok"]
            for row in self._connection.execute(f"SELECT {RUN} FROM runs"):
                run_of(row)
            for row in self._connection.execute(f"SELECT {SUMMARY} FROM summaries"):
                summary_of(row)
            for (points,) in self._connection.execute("SELECT points FROM series"):
                zlib.decompress(points)
        except UNUSABLE as error:
            return [str(error)]
        return told

    def _looked(self, name: str) -> int:
        row = self._connection.execute("SELECT value FROM looked WHERE name = ?", (name,)).fetchone()
        return int(row[0]) if row else 0

    def _runs(self, which: str, *given: object) -> list[RunRow]:
        query = f"SELECT {RUN} FROM runs {which}"
        return self._safely(lambda: [run_of(row) for row in self._connection.execute(query, given)])

    def _ask(self, query: str, *given: object) -> list[Any]:
        return self._safely(lambda: self._connection.execute(query, given).fetchall())

    def _safely(self, act: Callable[[], Answer]) -> Answer:
        """Do something with the file; where it cannot be used, go on with one made anew, or in memory."""
        for _ in range(MOST_ATTEMPTS):
            try:
                return act()
            except UNUSABLE as error:
                if self.in_memory and not self._is_copy:
                    raise unusable(self.project.catalog, error) from error
                self._work_around(error)
        return act()

    def _work_around(self, error: Exception) -> None:
        """Go on with a file made anew, with a copy in memory, or where that is damaged too, without it."""
        self.close()
        if self.in_memory:
            fresh = type(self)(self.project, in_memory=True)
        elif not (is_not_written(error) or is_locked(error)):
            put_aside(self.project.catalog, self._inode)
            fresh = type(self).open(self.project)
        else:
            fresh = type(self)(self.project, in_memory=True)._filled(error)
        self.in_memory, self._connection, self._inode = fresh.in_memory, fresh._connection, fresh._inode
        self._is_copy, self._names = fresh._is_copy, None
        with contextlib.suppress(*UNUSABLE):  # the next attempt says so again
            self._take_in([], everything=False)

    def _remember_head(self) -> None:
        """Remember how many records were sealed, and the last one's hash: a chain that lost its end is noticed."""
        chain = self.project.chain
        chain.go_on()
        if chain.broken is not None:
            return
        count, sealed = chain.head()
        row = self._connection.execute("SELECT number, hash FROM sealed").fetchone()
        number, remembered = row or (0, "")
        if (number, remembered) == (count, sealed):
            return
        if number and chain.hash_at(number - 1) != remembered:
            chain.refuse(_forgotten(self.project, number, count))
            return
        with transaction(self._connection):
            self._connection.execute("DELETE FROM sealed")
            self._connection.execute("INSERT INTO sealed VALUES (?, ?)", (count, sealed))


def rebuild(project: Project) -> int:
    """Make the catalog anew from journals and chain; return how many runs it holds.

    Raises:
        StoreError: it cannot be written.
    """
    try:
        for suffix in ("", "-wal", "-shm"):
            project.catalog.with_name(project.catalog.name + suffix).unlink(missing_ok=True)
    except OSError as error:
        raise unusable(project.catalog, error) from error
    with Catalog.open(project) as catalog:
        count = catalog.refresh()
        if catalog.in_memory:
            raise unusable(project.catalog, OSError("it cannot be written"))
        return count


def _make_file(path: Path) -> None:
    """Make the file, as open as its folder, before SQLite makes it as open as the umask has it."""
    if not path.exists():
        with contextlib.suppress(OSError):  # then SQLite says so
            os.close(open_file(path, os.O_RDWR))


def _is_text(name: str) -> bool:
    """Return whether a file's name is text; SQLite keeps no other."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _forgotten(project: Project, kept: int, sealed: int) -> ChainBrokenError:
    return ChainBrokenError(
        f"{project.chain.path}: the seal is broken: the catalog remembers {kept} records that are not all there.",
        why=f"The chain has {sealed} now; records were dropped from its end, or it was made anew.",
        todo=(
            "Put back a copy of the chain, if you have one (a backup, a colleague's).",
            "If it is meant to be so, make the catalog anew:  palate doctor --rebuild",
        ),
    )
