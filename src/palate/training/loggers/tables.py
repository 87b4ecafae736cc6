"""Hear tables: csv files that are written row by row with a header, and pandas' `to_csv`."""

import csv
from collections.abc import Callable, Iterable, Sequence
from types import ModuleType
from typing import Any

from palate.training.loggers import patching
from palate.training.loggers.patching import after

STEPS = ("step", "global_step", "steps", "iteration", "iter", "epoch", "epochs")
"""Columns that are the step, the first that is there; they are no metrics."""

MOST_ROWS = 10_000
"""Rows of a table that are read from its end."""


class _Writer:
    """A writer of the csv module whose rows are heard.

    Args:
        writer: the csv module's own.
        file: what it writes to.
    """

    def __init__(self, writer: Any, file: Any) -> None:
        self._writer = writer
        self._name = _base(getattr(file, "name", ""))

    def writerow(self, row: Iterable[Any]) -> Any:
        row = list(row)
        result = self._writer.writerow(row)
        _row(self._name, row)
        return result

    def writerows(self, rows: Iterable[Iterable[Any]]) -> None:
        for row in rows:
            self.writerow(row)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._writer, name)


_headers: dict[str, tuple[list[str], int]] = {}
"""The header of each table that is written, and how many rows came behind it."""


def watch_csv() -> None:
    """Hear what `csv.writer` and `csv.DictWriter` write; a DictWriter makes a writer by this name."""
    original: Any = csv.writer

    def writer(file: Any, *arguments: Any, **keywords: Any) -> Any:
        made = original(file, *arguments, **keywords)
        return made if patching.hearing is None else _Writer(made, file)

    csv.writer = writer


def _row(name: str, row: Sequence[Any]) -> None:
    """Hear of a row: one of text alone is a header, and numbers behind it are values of its columns."""
    if patching.hearing is None or not row:
        return
    numbers = [_number(cell) for cell in row]
    if all(number is None for number in numbers) and all(isinstance(cell, str) for cell in row):
        _headers[name] = (list(row), 0)
        return
    header, count = _headers.get(name, ([], 0))
    if len(header) != len(row):
        return
    _headers[name] = (header, count + 1)
    values = {column: number for column, number in zip(header, numbers, strict=True) if number is not None}
    step = next((int(values[one]) for one in header if one.lower() in STEPS and one in values), count)
    patching.hearing.table(name, {c: [(step, value)] for c, value in values.items() if c.lower() not in STEPS})


def _base(name: object) -> str:
    return str(name).rpartition("/")[2] or "csv"


def _number(cell: Any) -> float | None:
    """Return what a cell says; text that is a number counts, as a script may have formatted it."""
    try:
        return None if isinstance(cell, bool) else float(cell)
    except (TypeError, ValueError):
        return None


def _watch_pandas(module: ModuleType) -> None:
    after(module.NDFrame, "to_csv", _to_csv)


def _to_csv(frame: Any, path_or_buf: Any = None, *_: Any, **__: Any) -> None:
    """Hear of the columns of numbers of a table that is written; a table of the same name is another state of it."""
    if patching.hearing is None or not hasattr(frame, "columns") or path_or_buf is None:
        return
    name = getattr(path_or_buf, "name", path_or_buf)
    end = frame.iloc[-MOST_ROWS:]
    columns = {str(c): [float(v) for v in end[c]] for c in frame.columns if frame[c].dtype.kind in "iuf"}
    first = len(frame) - len(end)
    by = next((c for c in columns if c.lower() in STEPS), None)
    steps = [int(v) for v in columns[by]] if by is not None else list(range(first, len(frame)))
    rows = {
        c: [(at, v) for at, v in zip(steps, values, strict=True) if v == v]  # a cell that is empty is no value
        for c, values in columns.items()
        if c.lower() not in STEPS
    }
    patching.hearing.table(_base(name), rows, anew=True)


WANTED: dict[str, Callable[[ModuleType], None]] = {"pandas.core.generic": _watch_pandas}
"""What is patched, by the full names of the modules."""
