"""The catalog: one SQLite file over all journals and the chain, always rebuildable from them."""

import contextlib
import io
import json
import math
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from sqlalchemy import Connection, Engine, create_engine, delete, event, insert, select
from sqlalchemy.exc import DatabaseError
from sqlalchemy.pool import NullPool

from palate.errors import CatalogNewerError, ChainBrokenError, NotFoundError, StoreError
from palate.store import schema
from palate.store.migrations import migrate
from palate.store.project import Project
from palate.store.reader import Content, Curve, read_journal


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """One run as rows: the run, its journal's state, a summary and a curve a metric."""

    run: dict[str, Any]
    journal: dict[str, Any]
    summaries: list[dict[str, Any]]
    curves: dict[str, Curve]


def read_run(journal: Path) -> RunRow | None:
    """Read a run's journal into rows; None for a file that is no journal (yet)."""
    size = journal.stat().st_size
    try:
        content = read_journal(journal)
    except StoreError:
        return None
    run_id = journal.parent.name
    curves = {name: curve for name, curve in content.curves.items() if len(curve)}
    return RunRow(
        run=_run(run_id, content, curves),
        journal={"run_id": run_id, "bytes": size, "lost_bytes": content.lost_bytes},
        summaries=[_summary(run_id, name, curve) for name, curve in curves.items()],
        curves=curves,
    )


def _run(run_id: str, content: Content, curves: dict[str, Curve]) -> dict[str, Any]:
    start = content.last_event("start") or {}
    recipe = content.last_event("recipe") or {}
    ending = content.last_event("ending") or {}
    last_s = max((float(curve.elapsed_s[-1]) for curve in curves.values()), default=0.0)
    return {
        "id": run_id,
        "key": recipe.get("key", ""),
        "label": recipe.get("label", ""),
        "seed": recipe.get("seed"),
        "settings": json.dumps(recipe.get("settings", {})),
        "started_unix_s": start.get("unix_s", 0.0),
        "elapsed_s": ending.get("elapsed_s", last_s),
        "exit": ending.get("exit"),
        "detail": ending.get("detail", ""),
        "fresh": not recipe.get("key"),
    }


def _summary(run_id: str, metric: str, curve: Curve) -> dict[str, Any]:
    finite = curve.values[np.isfinite(curve.values)]
    last = float(curve.values[-1])
    return {
        "run_id": run_id,
        "metric": metric,
        "n": len(curve),
        "last": last if math.isfinite(last) else None,
        "last_text": None if math.isfinite(last) else repr(last),
        "least": float(finite.min()) if len(finite) else None,
        "most": float(finite.max()) if len(finite) else None,
        "last_step": int(curve.steps[-1]),
    }


BUSY_TIMEOUT_MS = 10_000


class Catalog:
    """Read a project's runs and records by SQL, after taking in what has grown since the last look."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self._engine = _engine(project.catalog, "BEGIN IMMEDIATE")
        self._reader = _engine(project.catalog, "BEGIN")
        migrate(self._engine, project.catalog)

    @classmethod
    def open(cls, project: Project) -> Self:
        """Open (or make) a project's catalog; one that is damaged is put aside and rebuilt.

        Raises:
            CatalogNewerError: it was written by a newer palate.
            StoreError: its folder cannot be written.
        """
        project.make()
        try:
            return cls(project)
        except DatabaseError as error:
            if "locked" in str(error) or "readonly" in str(error):
                raise _unusable(project.catalog, error) from error
            _put_aside(project.catalog)
            return cls(project)

    def close(self) -> None:
        """Close the file."""
        self._engine.dispose()
        self._reader.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def refresh(self) -> int:
        """Take in journals and records that are new or have grown; give how many runs were read."""
        with self._engine.begin() as connection:
            known = {row.run_id: row.bytes for row in connection.execute(select(schema.journals))}
        grown = [place for place in self._journals() if known.get(place.parent.name) != place.stat().st_size]
        rows = [row for place in grown if (row := read_run(place)) is not None]
        with self._engine.begin() as connection:
            for row in rows:
                _replace_run(connection, row)
            self._take_records(connection)
        return len(rows)

    def runs(self, keys: Iterable[str] | None = None) -> list[dict[str, Any]]:
        """List runs, oldest first; only those with one of `keys` where given."""
        query = select(schema.runs).order_by(schema.runs.c.started_unix_s, schema.runs.c.id)
        if keys is not None:
            query = query.where(schema.runs.c.key.in_(list(keys)))
        return self._rows(query)

    def find_run(self, start: str) -> dict[str, Any]:
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
        return exact[0]

    def summaries(self, run_ids: Sequence[str]) -> list[dict[str, Any]]:
        """List a row per run and metric: n, last, least, most, last_step."""
        query = select(schema.summaries).where(schema.summaries.c.run_id.in_(list(run_ids)))
        return self._rows(query.order_by(schema.summaries.c.run_id, schema.summaries.c.metric))

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

    def records(self, kind: str | None = None, experiment: str | None = None) -> list[dict[str, Any]]:
        """List sealed records, oldest first, each body as data."""
        query = select(schema.records).order_by(schema.records.c.number)
        if kind is not None:
            query = query.where(schema.records.c.kind == kind)
        if experiment is not None:
            query = query.where(schema.records.c.experiment == experiment)
        return [{**row, "body": json.loads(row["body"])} for row in self._rows(query)]

    def _rows(self, query: Any) -> list[dict[str, Any]]:
        with self._reader.connect() as connection, connection.begin():
            return [dict(row) for row in connection.execute(query).mappings()]

    def _journals(self) -> Iterator[Path]:
        return (place for place in self.project.runs.glob("*/journal") if place.is_file())

    def _take_records(self, connection: Connection) -> None:
        sealed = self.project.chain.records()
        kept = connection.execute(select(schema.records.c.hash).order_by(schema.records.c.number)).scalars().all()
        if list(kept) != [record.hash for record in sealed[: len(kept)]]:
            raise _forgotten(self.project, len(kept), len(sealed))
        fresh = [
            {
                "number": record.number,
                "at": record.at.isoformat(),
                "kind": record.kind,
                "experiment": record.body.get("experiment"),
                "body": json.dumps(record.body),
                "hash": record.hash,
            }
            for record in sealed[len(kept) :]
        ]
        if fresh:
            connection.execute(insert(schema.records), fresh)


def rebuild(project: Project) -> int:
    """Make the catalog anew from journals and chain; give how many runs it holds."""
    for suffix in ("", "-wal", "-shm"):
        project.catalog.with_name(project.catalog.name + suffix).unlink(missing_ok=True)
    with Catalog.open(project) as catalog:
        return catalog.refresh()


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


def _replace_run(connection: Connection, row: RunRow) -> None:
    for table, column in ((schema.series, "run_id"), (schema.summaries, "run_id"), (schema.runs, "id")):
        connection.execute(delete(table).where(table.c[column] == row.run["id"]))
    connection.execute(delete(schema.journals).where(schema.journals.c.run_id == row.run["id"]))
    connection.execute(insert(schema.runs), row.run)
    if row.summaries:
        connection.execute(insert(schema.summaries), row.summaries)
        packed = [{"run_id": row.run["id"], "metric": m, "points": pack_curve(c)} for m, c in row.curves.items()]
        connection.execute(insert(schema.series), packed)
    connection.execute(insert(schema.journals), row.journal)


def _engine(path: Path, begin: str) -> Engine:
    """Connect to the file, each transaction opened by `begin`: writers take their place before they read."""
    engine = create_engine(
        f"sqlite:///{path}",
        poolclass=NullPool,
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


def _put_aside(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        part = path.with_name(path.name + suffix)
        with contextlib.suppress(FileNotFoundError):
            part.replace(part.with_name(part.name + ".damaged"))


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


__all__ = ["Catalog", "CatalogNewerError", "pack_curve", "rebuild", "unpack_curve"]
