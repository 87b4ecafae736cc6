"""A look into the catalog before the prompt, which opens nothing and waits for nothing; standard library only."""

import contextlib
import sqlite3
from collections.abc import Collection
from pathlib import Path

_ENDS = (
    "SELECT (SELECT MIN(last) FROM summaries WHERE metric = ?1 AND label = ?2 AND last IS NOT NULL),"
    " (SELECT MAX(last) FROM summaries WHERE metric = ?1 AND label = ?2)"
)


def widest(catalog: Path, metric: str, labels: Collection[str]) -> tuple[float, ...]:
    """Return the least and the most value that runs of a training ended with, as far as the catalog knows.

    Args:
        catalog: the catalog's file; it is not made, and not brought up to date.
        metric: as it is logged.
        labels: of the training.

    Returns:
        two values; none where nothing is known, or the file cannot be read.
    """
    try:
        with contextlib.closing(sqlite3.connect(f"{catalog.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            rows = [connection.execute(_ENDS, (metric, label)).fetchone() for label in labels]
    except sqlite3.Error:
        return ()
    ends = [end for row in rows for end in row if end is not None]
    return (min(ends), max(ends)) if ends else ()
