"""Looks into a store before the prompt, which open nothing and wait for nothing; standard library only."""

import contextlib
import functools
import os
import sqlite3
import time
from collections.abc import Collection
from pathlib import Path

RACY_NS = 2_000_000_000
"""A folder that changed so short a time ago may have changed again within one tick of its clock."""

_ENDS = (
    "SELECT (SELECT MIN(last) FROM summaries WHERE metric = ?1 AND label = ?2 AND last IS NOT NULL),"
    " (SELECT MAX(last) FROM summaries WHERE metric = ?1 AND label = ?2)"
)


_ALL_ENDS = "SELECT MIN(last), MAX(last) FROM summaries WHERE metric = ? AND last IS NOT NULL"


def widest(catalog: Path, metric: str, labels: Collection[str] | None = None) -> tuple[float, ...]:
    """Return the least and the most value that runs of a training ended with, as far as the catalog knows.

    Args:
        catalog: the catalog's file; it is not made, and not brought up to date.
        metric: as it is logged.
        labels: of the training; of all trainings if None.

    Returns:
        two values; none where nothing is known, or the file cannot be read.
    """
    try:
        with contextlib.closing(sqlite3.connect(f"{catalog.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            refuse_views(connection)
            if labels is None:
                rows = [connection.execute(_ALL_ENDS, (metric,)).fetchone()]
            else:
                rows = [connection.execute(_ENDS, (metric, label)).fetchone() for label in labels]
    except sqlite3.Error:
        return ()
    ends = [end for row in rows for end in row if end is not None]
    return (min(ends), max(ends)) if ends else ()


def refuse_views(connection: sqlite3.Connection) -> None:
    """Refuse a file in which reading a table would run what somebody else wrote: views and triggers, which may not end.

    Raises:
        DatabaseError: it holds any.
    """
    if connection.execute("SELECT 1 FROM sqlite_master WHERE type IN ('view', 'trigger') LIMIT 1").fetchone():
        raise sqlite3.DatabaseError("it holds views or triggers, which no palate makes")


def runs_named(runs: Path, mark: str) -> list[str]:
    """List the folders of runs whose names hold a text, of many thousands; one that has not changed is listed once.

    Raises:
        OSError: there is no such folder.
    """
    changed_ns = runs.stat().st_mtime_ns
    is_racy = time.time_ns() - changed_ns < RACY_NS
    joined = _joined(runs) if is_racy else _joined_once(runs, changed_ns)
    return [name for name in joined.split("/") if mark in name] if mark in joined else []


def _joined(runs: Path) -> str:
    return "/".join(os.listdir(runs))  # noqa: PTH208  in a tenth of the time


@functools.lru_cache(maxsize=1)
def _joined_once(runs: Path, _changed_ns: int) -> str:
    return _joined(runs)
