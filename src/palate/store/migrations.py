"""Migrations of the catalog: an ordered list, forward only; each is applied and recorded in one transaction."""

import shutil
from pathlib import Path

from sqlalchemy import Connection, Engine, text

from palate.errors import CatalogNewerError

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
        "004 whether all of a run is there",
        (
            "ALTER TABLE runs ADD COLUMN integrity VARCHAR NOT NULL DEFAULT 'whole'",
            "ALTER TABLE runs ADD COLUMN lost_points INTEGER DEFAULT 0",
            "ALTER TABLE runs ADD COLUMN why_lost TEXT NOT NULL DEFAULT ''",
            "DELETE FROM journals WHERE lost_bytes > 0",
        ),
    ),
)


def version_of(connection: Connection) -> int:
    """Return how many migrations this catalog has had."""
    connection.execute(text("CREATE TABLE IF NOT EXISTS migrations (number INTEGER PRIMARY KEY, name VARCHAR)"))
    return int(connection.execute(text("SELECT COUNT(*) FROM migrations")).scalar_one())


def migrate(engine: Engine, path: Path) -> None:
    """Bring a catalog up to date; one that is not empty is copied first.

    Raises:
        CatalogNewerError: it has had migrations that this palate does not know.
    """
    with engine.begin() as connection:
        version = version_of(connection)
    if version > len(MIGRATIONS):
        raise CatalogNewerError(
            f"{path} was written by a newer palate (schema {version}, this one knows {len(MIGRATIONS)}).",
            why="Reading it with less knowledge could lose what the newer one keeps.",
            todo=("Update:  pip install -U palate", "Or rebuild it from the journals:  palate doctor --rebuild"),
        )
    if 0 < version < len(MIGRATIONS):
        shutil.copy2(path, path.with_suffix(f".before-{version + 1:03d}.sqlite"))
    for number in range(version, len(MIGRATIONS)):
        _migrate_one(engine, number)


def _migrate_one(engine: Engine, number: int) -> None:
    name, statements = MIGRATIONS[number]
    with engine.begin() as connection:
        if version_of(connection) > number:  # another process was faster
            return
        for statement in statements:
            connection.execute(text(statement))
        connection.execute(text("INSERT INTO migrations VALUES (:number, :name)"), {"number": number + 1, "name": name})
