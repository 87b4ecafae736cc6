"""The catalog: one SQLite file over all journals and the chain, always rebuildable from them."""

import contextlib
import functools
import io
import json
import math
import os
import sqlite3
import stat
import sys
import time
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from sqlalchemy import Connection, Engine, create_engine, delete, event, func, insert, select
from sqlalchemy.exc import DatabaseError
from sqlalchemy.pool import StaticPool

from palate.errors import CatalogNewerError, ChainBrokenError, NotFoundError, StoreError
from palate.recipe.codec import decode, encode
from palate.store import schema
from palate.store.migrations import migrate
from palate.store.project import Project
from palate.store.reader import Content, Curve, read_journal
from palate.vocabulary import WHOLE, Integrity

BUSY_TIMEOUT_MS = 10_000
RETRY_S = 0.05
_NOT_WRITTEN = frozenset({
    sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN,
})  # fmt: skip
"""SQLite's codes for a file that cannot be written or made."""

Exit = Literal["ok", "crashed", "timeout", "stopped"]
"""How a run's process ended: by itself, by a fault, too late, or by hand before its end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """One run, as its journal tells it.

    Attributes:
        id: the run's name.
        key: id of what decides a run but its seed; "" for a run that was started by hand.
        label: short name of what was run.
        seed: what it was seeded with; None where nobody said.
        settings: all settings of its recipe.
        started_unix_s: when it started, in seconds since 1970.
        elapsed_s: seconds that it took, up to its last point where it has not ended.
        exit: how it ended; None while it goes, or where nobody saw its end.
        detail: what is known of a bad end.
        integrity: whether all that it logged is there.
    """

    id: str
    key: str
    label: str
    seed: int | None
    settings: Mapping[str, Any]
    started_unix_s: float
    elapsed_s: float
    exit: Exit | None
    detail: str
    integrity: Integrity = WHOLE

    @property
    def going(self) -> bool:
        """Whether its end was not seen: it goes on, or was cut off."""
        return self.exit is None

    @property
    def finished(self) -> bool:
        """Whether it came to its end without a fault."""
        return self.exit == "ok"

    @property
    def failed(self) -> bool:
        """Whether it ended by a fault or too late."""
        return self.exit in ("crashed", "timeout")

    @property
    def ended(self) -> bool:
        """Whether it ended by itself, well or not; one that was stopped by hand did not."""
        return self.finished or self.failed

    @property
    def planned(self) -> bool:
        """Whether palate started it for a question."""
        return bool(self.key)


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """One metric of one run.

    Attributes:
        run_id: of which run.
        metric: its name.
        n: points.
        last: the value at the highest step, of equal ones the one logged last; None where it is not finite.
        last_text: that value as text, where it is not finite.
        least, most: of the finite values; None without any.
        last_step: the highest step.
    """

    run_id: str
    metric: str
    n: int
    last: float | None
    last_text: str | None
    least: float | None
    most: float | None
    last_step: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadRun:
    """One journal as the catalog takes it: the run, a summary and a curve a metric, and the journal's own state."""

    run: RunRow
    summaries: tuple[Summary, ...]
    curves: Mapping[str, Curve]
    bytes: int
    lost_bytes: int


class Catalog:
    """Read a project's runs by SQL, after taking in what has grown since the last look."""

    def __init__(self, project: Project, *, in_memory: bool = False) -> None:
        self.project = project
        self.in_memory = in_memory
        if in_memory:
            self._engine = self._reader = _engine(":memory:", "BEGIN")
        else:
            self._engine = _engine(str(project.catalog), "BEGIN IMMEDIATE")
            self._reader = _engine(str(project.catalog), "BEGIN")
        try:
            migrate(self._engine, project.catalog)
        except BaseException:
            self.close()
            raise

    @classmethod
    def open(cls, project: Project) -> Self:
        """Open (or make) a project's catalog; one that is damaged is put aside and rebuilt.

        Where its file cannot be written (a read-only folder, a full disk) a catalog is made in memory instead, and said
        so: reading works everywhere.

        Raises:
            CatalogNewerError: it was written by a newer palate.
            StoreError: other processes keep it locked.
        """
        damaged, until_s = False, time.monotonic() + BUSY_TIMEOUT_MS / 1000
        while True:
            try:
                project.make()
                return cls(project)
            except (DatabaseError, StoreError, OSError) as error:
                if isinstance(error, CatalogNewerError):
                    raise
                if _is_not_written(error):
                    return cls(project, in_memory=True)._filled(error)
                if "locked" in str(error) and time.monotonic() < until_s:
                    time.sleep(RETRY_S)  # SQLite does not wait where two make a new file at once
                elif "locked" in str(error):
                    raise _unusable(project.catalog, error) from error
                elif damaged:
                    raise
                else:
                    damaged = True
                    _put_aside(project.catalog)

    def _filled(self, error: Exception) -> Self:
        """Say that this one is in memory, and let it know how far the chain was remembered to go."""
        cause = getattr(error, "orig", None) or error.__cause__ or error
        _say_in_memory(self.project.catalog, getattr(cause, "strerror", None) or str(cause))
        with self._engine.begin() as connection:
            connection.execute(delete(schema.sealed))
            for number, sealed in _remembered(self.project.catalog):
                connection.execute(insert(schema.sealed), {"number": number, "hash": sealed})
        return self

    def _go_in_memory(self, error: DatabaseError) -> None:
        """Go on in memory where the file cannot be written any more; what was taken in is read anew."""
        if self.in_memory or not _is_not_written(error):
            raise error
        self.close()
        fresh = type(self)(self.project, in_memory=True)._filled(error)
        self.in_memory, self._engine, self._reader = True, fresh._engine, fresh._reader

    def close(self) -> None:
        """Close the file."""
        self._engine.dispose()
        self._reader.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def refresh(self) -> int:
        """Take in journals and records that are new or have grown; return how many runs were read."""
        try:
            return self._take_in()
        except DatabaseError as error:
            self._go_in_memory(error)
            return self._take_in()

    def _take_in(self) -> int:
        with self._reader.connect() as connection:
            rows = connection.execute(select(schema.journals.c.run_id, schema.journals.c.bytes))
            known = {run_id: size for run_id, size in rows}  # noqa: C416  rows are not pairs to a type checker
        grown = [run_id for run_id, size in _journal_sizes(self.project.runs) if known.get(run_id) != size]
        runs = [run for run_id in grown if (run := read_run(self.project.journal(run_id))) is not None]
        if runs:
            with self._engine.begin() as connection:
                for run in runs:
                    _replace_run(connection, run)
        self._remember_head()
        return len(runs)

    def read_in(self, run_id: str) -> ReadRun | None:
        """Read one run's journal and take it in; None where there is no journal (yet)."""
        read = read_run(self.project.journal(run_id))
        if read is not None:
            try:
                with self._engine.begin() as connection:
                    _replace_run(connection, read)
            except DatabaseError as error:
                self._go_in_memory(error)
                self._take_in()
        return read

    def runs(self, keys: Iterable[str] | None = None) -> list[RunRow]:
        """List runs, oldest first; only those with one of `keys` where given."""
        query = select(schema.runs).order_by(schema.runs.c.started_unix_s, schema.runs.c.id)
        if keys is not None:
            query = query.where(schema.runs.c.key.in_(list(keys)))
        return [_run_row(row) for row in self._rows(query)]

    def newest_finished(self, label: str, most: int) -> list[RunRow]:
        """List the newest finished runs of a training that palate started, oldest first.

        Args:
            label: of the training.
            most: how many at most.
        """
        of_training = (schema.runs.c.label == label) & (schema.runs.c.key != "") & (schema.runs.c.exit == "ok")
        newest_first = (schema.runs.c.started_unix_s.desc(), schema.runs.c.id.desc())
        query = select(schema.runs).where(of_training).order_by(*newest_first).limit(most)
        return [_run_row(row) for row in reversed(self._rows(query))]

    def newest(self, most: int) -> list[RunRow]:
        """List the newest runs, oldest first; `most` of them at most."""
        newest_first = (schema.runs.c.started_unix_s.desc(), schema.runs.c.id.desc())
        return [_run_row(row) for row in reversed(self._rows(select(schema.runs).order_by(*newest_first).limit(most)))]

    def count_runs(self) -> int:
        """Count the runs."""
        with self._reader.connect() as connection:
            return connection.execute(select(func.count()).select_from(schema.runs)).scalar_one()

    def find_run(self, start: str) -> RunRow:
        """Find the one run whose id starts so.

        Raises:
            NotFoundError: none does, or several do.
        """
        rows = self._rows(select(schema.runs).where(schema.runs.c.id.startswith(start, autoescape=True)))
        exact = [row for row in rows if row["id"] == start] or rows
        if len(exact) != 1:
            some = ", ".join(row["id"] for row in exact[:5])
            what = f"several runs start with {start!r}: {some}" if exact else f"there is no run {start!r}."
            raise NotFoundError(what, todo="palate list --runs   shows them")
        return _run_row(exact[0])

    def summaries(self, run_ids: Sequence[str]) -> list[Summary]:
        """List a summary per run and metric, by run and metric."""
        query = select(schema.summaries).where(schema.summaries.c.run_id.in_(list(run_ids)))
        rows = self._rows(query.order_by(schema.summaries.c.run_id, schema.summaries.c.metric))
        return [Summary(**row) for row in rows]

    def curve(self, run_id: str, metric: str) -> Curve:
        """Read one metric of one run.

        Raises:
            NotFoundError: the run never logged it.
        """
        query = select(schema.series).where(schema.series.c.run_id == run_id, schema.series.c.metric == metric)
        rows = self._rows(query)
        if not rows:
            raise NotFoundError(f"run {run_id} has no metric {metric!r}.", todo=f"palate show {run_id}")
        return unpack_curve(rows[0]["points"])

    def _rows(self, query: Any) -> list[dict[str, Any]]:
        with self._reader.connect() as connection, connection.begin():
            return [dict(row) for row in connection.execute(query).mappings()]

    def _remember_head(self) -> None:
        """Remember how many records were sealed, and the last one's hash: a chain that lost its end is noticed."""
        chain = self.project.chain
        count, sealed = chain.head()
        with self._reader.connect() as connection:
            number, remembered = connection.execute(select(schema.sealed)).first() or (0, "")
        if (number, remembered) == (count, sealed):
            return
        if number and chain.hash_at(number - 1) != remembered:
            raise _forgotten(self.project, number, count)
        with self._engine.begin() as connection:
            connection.execute(delete(schema.sealed))
            connection.execute(insert(schema.sealed), {"number": count, "hash": sealed})


def read_run(journal: Path) -> ReadRun | None:
    """Read a run's journal; None for a file that is not a journal (yet)."""
    try:
        size = journal.stat().st_size
        content = read_journal(journal)
    except (FileNotFoundError, NotFoundError, StoreError):
        return None
    run_id = journal.parent.name
    curves = {name: curve for name, curve in content.curves.items() if len(curve)}
    return ReadRun(
        run=_run_of(run_id, content, curves),
        summaries=tuple(_summary(run_id, name, curve) for name, curve in curves.items()),
        curves=curves,
        bytes=size,
        lost_bytes=content.lost_bytes,
    )


def rebuild(project: Project) -> int:
    """Make the catalog anew from journals and chain; return how many runs it holds.

    Raises:
        StoreError: it cannot be written.
    """
    try:
        for suffix in ("", "-wal", "-shm"):
            project.catalog.with_name(project.catalog.name + suffix).unlink(missing_ok=True)
    except OSError as error:
        raise _unusable(project.catalog, error) from error
    with Catalog.open(project) as catalog:
        count = catalog.refresh()
        if catalog.in_memory:
            raise _unusable(project.catalog, OSError("it cannot be written"))
        return count


def pack_curve(curve: Curve) -> bytes:
    """Compress a curve: three columns of 8 bytes, steps, values, elapsed seconds."""
    columns = io.BytesIO()
    for column in (curve.steps, curve.values, curve.elapsed_s):
        columns.write(np.ascontiguousarray(column).tobytes())
    return zlib.compress(columns.getvalue(), 3)


def unpack_curve(blob: bytes) -> Curve:
    """Undo `pack_curve`."""
    columns = zlib.decompress(blob)
    n = len(columns) // 24
    return Curve(
        steps=np.frombuffer(columns, np.int64, n),
        values=np.frombuffer(columns, np.float64, n, 8 * n),
        elapsed_s=np.frombuffer(columns, np.float64, n, 16 * n),
    )


def _journal_sizes(folder: Path) -> list[tuple[str, int]]:
    """List the journals of a folder of runs by run, with their sizes in bytes."""
    sizes: list[tuple[str, int]] = []
    if not folder.is_dir():  # a project that could not be made
        return sizes
    with os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):  # a run without a journal, a file, a folder that cannot be entered
                journal = os.stat(f"{entry.path}/journal")  # noqa: PTH116  10,000 of them
                if stat.S_ISREG(journal.st_mode):
                    sizes.append((entry.name, journal.st_size))
    return sizes


def _run_of(run_id: str, content: Content, curves: Mapping[str, Curve]) -> RunRow:
    newest = {event["kind"]: event for event in content.events}
    start, recipe, ending = (newest.get(kind, {}) for kind in ("start", "recipe", "ending"))
    last_s = max((float(curve.elapsed_s[-1]) for curve in curves.values()), default=0.0)
    return RunRow(
        id=run_id,
        key=recipe.get("key", ""),
        label=recipe.get("label", ""),
        seed=recipe.get("seed"),
        settings={name: decode(value) for name, value in recipe.get("settings", {}).items()},
        started_unix_s=start.get("unix_s", 0.0),
        elapsed_s=ending.get("elapsed_s", last_s),
        exit=ending.get("exit"),
        detail=ending.get("detail", ""),
        integrity=content.integrity,
    )


def _summary(run_id: str, metric: str, curve: Curve) -> Summary:
    finite = curve.values[np.isfinite(curve.values)]
    last = float(curve.values[curve.end])
    return Summary(
        run_id=run_id,
        metric=metric,
        n=len(curve),
        last=last if math.isfinite(last) else None,
        last_text=None if math.isfinite(last) else repr(last),
        least=float(finite.min()) if len(finite) else None,
        most=float(finite.max()) if len(finite) else None,
        last_step=int(curve.steps[curve.end]),
    )


def _run_row(row: Mapping[str, Any]) -> RunRow:
    settings = {name: decode(value) for name, value in json.loads(row["settings"]).items()}
    integrity = Integrity(status=row["integrity"], lost_points=row["lost_points"], why=row["why_lost"])
    rest = {name: value for name, value in row.items() if name not in ("lost_points", "why_lost")}
    return RunRow(**{**rest, "settings": settings, "integrity": integrity})


def _replace_run(connection: Connection, read: ReadRun) -> None:
    run_id = read.run.id
    for table, column in ((schema.series, "run_id"), (schema.summaries, "run_id"), (schema.runs, "id")):
        connection.execute(delete(table).where(table.c[column] == run_id))
    connection.execute(delete(schema.journals).where(schema.journals.c.run_id == run_id))
    settings = {name: encode(value) for name, value in read.run.settings.items()}
    row = {field.name: getattr(read.run, field.name) for field in fields(RunRow)} | {"settings": json.dumps(settings)}
    kept = read.run.integrity
    row |= {"integrity": kept.status, "lost_points": kept.lost_points, "why_lost": kept.why}
    connection.execute(insert(schema.runs), row)
    if read.summaries:
        connection.execute(insert(schema.summaries), [asdict(summary) for summary in read.summaries])
        packed = [{"run_id": run_id, "metric": m, "points": pack_curve(c)} for m, c in read.curves.items()]
        connection.execute(insert(schema.series), packed)
    connection.execute(insert(schema.journals), {"run_id": run_id, "bytes": read.bytes, "lost_bytes": read.lost_bytes})


def _engine(path: str, begin: str) -> Engine:
    """Connect to the file, once, each transaction opened by `begin`: writers take their place before they read."""
    engine = create_engine(
        f"sqlite:///{path}",
        poolclass=StaticPool,
        connect_args={"isolation_level": None, "timeout": BUSY_TIMEOUT_MS / 1000},
    )
    event.listen(engine, "connect", _set_up)
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(begin))
    return engine


def _set_up(connection: sqlite3.Connection, _: object) -> None:
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = NORMAL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()
    connection.create_function("goes_back", 1, _goes_back, deterministic=True)


def _goes_back(packed: bytes) -> bool:
    """Whether the steps of a packed curve do not only rise."""
    return not bool(np.all(np.diff(unpack_curve(packed).steps) >= 0))


def _put_aside(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        part = path.with_name(path.name + suffix)
        with contextlib.suppress(FileNotFoundError):
            part.replace(part.with_name(part.name + ".damaged"))


def _is_not_written(error: Exception) -> bool:
    """Return whether an error says that the file cannot be written, and not that it is damaged or locked."""
    code = getattr(getattr(error, "orig", error), "sqlite_errorcode", None)
    return not isinstance(error, DatabaseError) if code is None else code & 0xFF in _NOT_WRITTEN


def _remembered(path: Path) -> list[tuple[int, str]]:
    """Read how far a catalog that cannot be written remembers the chain; nothing where it cannot be read either."""
    try:
        with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?immutable=1", uri=True)) as connection:
            return connection.execute("SELECT number, hash FROM sealed").fetchall()
    except sqlite3.Error:
        return []


@functools.cache
def _say_in_memory(path: Path, reason: str) -> None:
    print(f"palate: {path} cannot be written ({reason}): the runs are read from their journals.", file=sys.stderr)


def _forgotten(project: Project, kept: int, sealed: int) -> ChainBrokenError:
    return ChainBrokenError(
        f"{project.chain.path}: the seal is broken: the catalog remembers {kept} records that are not all there.",
        why=f"The chain has {sealed} now; records were dropped from its end, or it was made anew.",
        todo=(
            "Go back to a copy of the chain (git, backup).",
            "If it is meant to be so, make the catalog anew:  palate doctor --rebuild",
        ),
    )


def _unusable(path: Path, error: Exception) -> StoreError:
    return StoreError(
        f"{path} cannot be used: {getattr(error, 'orig', error)}.",
        why="The journals and the sealed chain are untouched; the catalog is only an index of them.",
        todo="Make it anew:  palate doctor --rebuild",
    )
