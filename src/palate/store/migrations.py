"""Migrations of the catalog: an ordered list, forward only; each is applied and recorded in one transaction."""

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from palate.errors import CatalogNewerError
from palate.store.private import open_file

MIGRATIONS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "001 runs, curves and the sealed chain",
        (
            "CREATE TABLE journals (run_id VARCHAR NOT NULL PRIMARY KEY, bytes INTEGER NOT NULL,"
            " lost_bytes INTEGER NOT NULL)",
            "CREATE TABLE runs (id VARCHAR NOT NULL PRIMARY KEY, key VARCHAR NOT NULL, label VARCHAR NOT NULL,"
            " seed INTEGER, settings TEXT NOT NULL, started_unix_s FLOAT NOT NULL, elapsed_s FLOAT NOT NULL,"
            " exit VARCHAR, detail TEXT NOT NULL, fresh BOOLEAN NOT NULL)",
            "CREATE INDEX runs_by_key ON runs (key, seed)",
            "CREATE TABLE summaries (run_id VARCHAR NOT NULL REFERENCES runs (id) ON DELETE CASCADE,"
            " metric VARCHAR NOT NULL, n INTEGER NOT NULL, last FLOAT, last_text VARCHAR, least FLOAT, most FLOAT,"
            " last_step INTEGER NOT NULL, PRIMARY KEY (run_id, metric))",
            "CREATE INDEX summaries_by_metric ON summaries (metric)",
            "CREATE TABLE series (run_id VARCHAR NOT NULL REFERENCES runs (id) ON DELETE CASCADE,"
            " metric VARCHAR NOT NULL, points BLOB NOT NULL, PRIMARY KEY (run_id, metric))",
            "CREATE TABLE records (number INTEGER NOT NULL PRIMARY KEY, at VARCHAR NOT NULL, kind VARCHAR NOT NULL,"
            " experiment VARCHAR, body TEXT NOT NULL, hash VARCHAR NOT NULL)",
            "CREATE INDEX records_by_experiment ON records (experiment, kind)",
        ),
    ),
    (
        "002 of the chain, its head alone: the records are read where they are sealed",
        (
            "ALTER TABLE runs DROP COLUMN fresh",
            "CREATE INDEX runs_by_label ON runs (label, started_unix_s)",
            "CREATE INDEX runs_by_start ON runs (started_unix_s)",
            "CREATE TABLE sealed (number INTEGER NOT NULL PRIMARY KEY, hash VARCHAR NOT NULL)",
            "INSERT INTO sealed SELECT number + 1, hash FROM records ORDER BY number DESC LIMIT 1",
            "DROP TABLE records",
        ),
    ),
    (
        "003 the last value is that of the highest step: journals whose steps go back are read again",
        ("DELETE FROM journals WHERE run_id IN (SELECT run_id FROM series WHERE goes_back(points))",),
    ),
    (
        "004 whether all of a run is there, when it began to log, and what need not be looked at again",
        (
            "ALTER TABLE runs ADD COLUMN integrity VARCHAR NOT NULL DEFAULT 'whole'",
            "ALTER TABLE runs ADD COLUMN lost_points INTEGER DEFAULT 0",
            "ALTER TABLE runs ADD COLUMN why_lost TEXT NOT NULL DEFAULT ''",
            "ALTER TABLE runs ADD COLUMN first_unix_s FLOAT",
            "ALTER TABLE runs ADD COLUMN checksum INTEGER",
            "UPDATE runs SET first_unix_s = started_unix_s +"
            " (SELECT MIN(first_s(points)) FROM series WHERE run_id = runs.id)",
            "UPDATE runs SET checksum = row_sum(id, key, label, seed, settings, started_unix_s, elapsed_s, exit,"
            " detail, integrity, lost_points, why_lost)",
            "CREATE INDEX runs_by_first ON runs (key, first_unix_s)",
            "CREATE INDEX runs_going ON runs (id) WHERE exit IS NULL",
            "CREATE INDEX runs_unread ON runs (id) WHERE integrity = 'unread'",
            "ALTER TABLE summaries ADD COLUMN label VARCHAR NOT NULL DEFAULT ''",
            "ALTER TABLE summaries ADD COLUMN checksum INTEGER",
            "UPDATE summaries SET label = (SELECT label FROM runs WHERE id = run_id)",
            "UPDATE summaries SET checksum = row_sum(run_id, metric, n, last, last_text, least, most, last_step)",
            "DROP INDEX summaries_by_metric",
            "CREATE INDEX summaries_by_end ON summaries (metric, label, last)",
            "ALTER TABLE journals ADD COLUMN mtime_ns INTEGER",
            "ALTER TABLE journals ADD COLUMN gone INTEGER NOT NULL DEFAULT 0",
            "CREATE INDEX journals_awaited ON journals (run_id) WHERE bytes < 0",
            "CREATE INDEX journals_gone ON journals (run_id) WHERE gone",
            "DELETE FROM journals WHERE lost_bytes > 0",
            "CREATE TABLE looked (name VARCHAR NOT NULL PRIMARY KEY, value INTEGER NOT NULL)",
            "CREATE TABLE blind (number INTEGER NOT NULL PRIMARY KEY, experiment VARCHAR NOT NULL,"
            " key VARCHAR NOT NULL, at_unix_s FLOAT NOT NULL)",
            "CREATE TABLE resting (run_id VARCHAR NOT NULL PRIMARY KEY)",
        ),
    ),
)


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Make the changes of a block all or none; writers take their place before they read."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def version_of(connection: sqlite3.Connection) -> int:
    """Return how many migrations this catalog has had; 0 for one that is new."""
    there = "SELECT COUNT(*) FROM sqlite_master WHERE name = 'migrations'"
    if not connection.execute(there).fetchone()[0]:
        return 0
    return int(connection.execute("SELECT COUNT(*) FROM migrations").fetchone()[0])


def migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Bring a catalog up to date; one that is not empty is copied first.

    Raises:
        CatalogNewerError: it has had migrations that this palate does not know.
    """
    version = version_of(connection)
    if version > len(MIGRATIONS):
        raise CatalogNewerError(
            f"{path} was written by a newer palate (schema {version}, this one knows {len(MIGRATIONS)}).",
            why="Reading it with less knowledge could lose what the newer one keeps.",
            todo=("Update:  pip install -U palate", "Or rebuild it from the journals:  palate doctor --rebuild"),
        )
    if 0 < version < len(MIGRATIONS):
        _copy(connection, path.with_suffix(f".before-{version + 1:03d}.sqlite"))
    for number in range(version, len(MIGRATIONS)):
        _migrate_one(connection, number)


def _copy(connection: sqlite3.Connection, path: Path) -> None:
    """Copy a catalog as it is now, with what stands in the files that SQLite keeps beside it."""
    os.close(open_file(path, os.O_RDWR | os.O_TRUNC))
    with contextlib.closing(sqlite3.connect(path)) as copy:
        connection.backup(copy)


def _migrate_one(connection: sqlite3.Connection, number: int) -> None:
    name, statements = MIGRATIONS[number]
    with transaction(connection):
        connection.execute("CREATE TABLE IF NOT EXISTS migrations (number INTEGER PRIMARY KEY, name VARCHAR)")
        if version_of(connection) > number:  # another process was faster
            return
        for statement in statements:
            connection.execute(statement)
        connection.execute("INSERT INTO migrations VALUES (?, ?)", (number + 1, name))
