"""A look into the catalog before the prompt, which must not wait for SQLAlchemy; standard library only."""

import contextlib
import sqlite3
from collections.abc import Collection
from pathlib import Path


def widest(catalog: Path, metric: str, labels: Collection[str]) -> tuple[float, ...]:
    """Return the least and the most value that runs of a training ended with, as far as the catalog knows.

    Args:
        catalog: the catalog's file; it is not made, and not brought up to date.
        metric: as it is logged.
        labels: of the training.

    Returns:
        two values; none where nothing is known, or the file cannot be read.
    """
    query = (
        "SELECT label, MIN(last), MAX(last) FROM summaries JOIN runs ON runs.id = summaries.run_id"
        " WHERE metric = ? AND last IS NOT NULL GROUP BY label"
    )
    try:
        with contextlib.closing(sqlite3.connect(f"{catalog.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            rows = connection.execute(query, (metric,)).fetchall()
    except sqlite3.Error:
        return ()
    ends = [end for label, *ends in rows if label in labels for end in ends]
    return (min(ends), max(ends)) if ends else ()
