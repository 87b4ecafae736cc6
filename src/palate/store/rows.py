"""The catalog's rows of a run: writing them, and reading them back, each with its checksum."""

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import astuple
from typing import Any

from palate.recipe.codec import decode, encode
from palate.store.runs import ReadRun, RunRow, Summary, pack_curve, row_sum
from palate.vocabulary import Integrity

RUN = """id, key, label, seed, settings, started_unix_s, elapsed_s, exit, detail, integrity, lost_points, why_lost,
checksum"""
SUMMARY = "run_id, metric, n, last, last_text, least, most, last_step, checksum"


def run_of(row: Sequence[Any]) -> RunRow:
    """Read a row of the columns `RUN`.

    Raises:
        sqlite3.DatabaseError: it was changed.
    """
    *cells, checksum = row
    if row_sum(*cells) != checksum:
        raise sqlite3.DatabaseError(f"the row of run {cells[0]!r} is damaged")
    run_id, key, label, seed, settings, started, elapsed, exit_word, detail, status, lost, why = cells
    return RunRow(
        id=run_id, key=key, label=label, seed=seed,
        settings={name: decode(value) for name, value in json.loads(settings).items()},
        started_unix_s=started, elapsed_s=elapsed, exit=exit_word, detail=detail,
        integrity=Integrity(status=status, lost_points=lost, why=why),
    )  # fmt: skip


def summary_of(row: Sequence[Any]) -> Summary:
    """Read a row of the columns `SUMMARY`.

    Raises:
        sqlite3.DatabaseError: it was changed.
    """
    *cells, checksum = row
    if row_sum(*cells) != checksum:
        raise sqlite3.DatabaseError(f"a row of run {cells[0]!r} is damaged")
    run_id, metric, n, last, last_text, least, most, last_step = cells
    return Summary(
        run_id=run_id, metric=metric, n=n, last=last, last_text=last_text, least=least, most=most, last_step=last_step
    )


def replace_run(connection: sqlite3.Connection, read: ReadRun) -> None:
    """Put a run into the tables, in the place of what was there of it."""
    run, integrity = read.run, read.run.integrity
    for table, column in (("series", "run_id"), ("summaries", "run_id"), ("runs", "id"), ("journals", "run_id")):
        connection.execute(f"DELETE FROM {table} WHERE {column} = ?", (run.id,))
    settings = json.dumps({name: encode(value) for name, value in run.settings.items()})
    cells = (
        run.id, run.key, run.label, run.seed, settings, run.started_unix_s, run.elapsed_s, run.exit, run.detail,
        integrity.status, integrity.lost_points, integrity.why,
    )  # fmt: skip
    connection.execute(
        f"INSERT INTO runs ({RUN}, first_unix_s) VALUES ({', '.join('?' * (len(cells) + 2))})",
        (*cells, row_sum(*cells), read.first_unix_s),
    )
    summaries = map(astuple, read.summaries)
    connection.executemany(
        f"INSERT INTO summaries ({SUMMARY}, label) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        ((*cells, row_sum(*cells), run.label) for cells in summaries),
    )
    connection.executemany(
        "INSERT INTO series VALUES (?, ?, ?)",
        ((run.id, metric, pack_curve(curve)) for metric, curve in read.curves.items()),
    )
    connection.execute(
        "INSERT INTO journals (run_id, bytes, lost_bytes, mtime_ns) VALUES (?, ?, ?, ?)",
        (run.id, read.bytes, read.lost_bytes, read.mtime_ns),
    )
