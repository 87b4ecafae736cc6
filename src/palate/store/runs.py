"""What the catalog holds of a run, and reading it from the run's journal, whatever state that is in."""

import io
import itertools
import json
import math
import os
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from palate.errors import NotFoundError, PalateError
from palate.recipe.codec import decode
from palate.vocabulary import WHOLE, Integrity

if TYPE_CHECKING:
    from palate.store.reader import Content, Curve  # numpy is imported where a journal is read

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
        """Whether it came to its end without a fault, and all that it logged is there."""
        return self.exit == "ok" and self.integrity.counts

    @property
    def failed(self) -> bool:
        """Whether it ended by a fault or too late."""
        return self.exit in ("crashed", "timeout")

    @property
    def ended(self) -> bool:
        """Whether it ended by itself, well or not; one that was stopped by hand did not."""
        return self.exit == "ok" or self.failed

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
    """One journal as the catalog takes it: the run, a summary and a curve a metric, and the journal's own state.

    Attributes:
        run: the run; of a journal that cannot be read, its name and why.
        summaries, curves: by metric.
        first_unix_s: when its first point was logged; None without any.
        bytes, mtime_ns: the file's size and time of change; -1 where it could not be read, and is tried again.
        lost_bytes: of it, which could not be read.
    """

    run: RunRow
    summaries: tuple[Summary, ...] = ()
    curves: "Mapping[str, Curve]"
    first_unix_s: float | None = None
    bytes: int = -1
    mtime_ns: int = -1
    lost_bytes: int = 0


def read_run(journal: Path) -> ReadRun | None:
    """Read a run's journal; None where there is none (yet). One that cannot be read is a run too: it says why."""
    try:
        state = journal.stat()
    except (FileNotFoundError, NotADirectoryError):
        if not journal.is_symlink():
            return None
        return _unread(journal, "it is a link to nowhere")
    except OSError as error:
        return _unread(journal, f"it cannot be looked at: {error.strerror}")
    read = read_or_say(journal)
    if isinstance(read, Integrity):
        return None if read.why == _GONE else _unread(journal, read.why)
    try:
        return _read_run(journal, state, read)
    except _NOT_READABLE as error:
        return _unread(journal, f"what it says cannot be used: {type(error).__name__}: {error}")


_GONE = "there is no such journal"
_NOT_READABLE = (
    PalateError, OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, struct.error,
    RecursionError, MemoryError,
)  # fmt: skip
"""What reading can raise of a file that anything may stand in."""


def read_or_say(journal: Path) -> "Content | Integrity":
    """Read a journal, or say why it cannot be read: no file of one run stops what is read of the others."""
    from palate.store.reader import read_journal

    try:
        if not journal.is_file():
            return Integrity(status="unread", lost_points=None, why="it is not a file")
        if not journal.stat().st_size:
            return Integrity(status="unread", lost_points=None, why="it is empty")
        return read_journal(journal)
    except NotFoundError:
        return Integrity(status="unread", lost_points=None, why=_GONE)
    except PalateError as error:
        return Integrity(status="unread", lost_points=None, why=error.what)
    except OSError as error:
        return Integrity(status="unread", lost_points=None, why=f"it cannot be read: {error.strerror}")
    except _NOT_READABLE as error:
        why = f"it does not say what a journal says: {type(error).__name__}: {error}"
        return Integrity(status="unread", lost_points=None, why=why)


def _unread(journal: Path, why: str) -> ReadRun:
    run = RunRow(
        id=journal.parent.name, key="", label="", seed=None, settings={}, started_unix_s=0.0, elapsed_s=0.0, exit=None,
        detail="", integrity=Integrity(status="unread", lost_points=None, why=why),
    )  # fmt: skip
    return ReadRun(run=run, curves={})


def _read_run(journal: Path, state: os.stat_result, content: "Content") -> ReadRun:
    run_id = journal.parent.name
    curves = {name: curve for name, curve in content.curves.items() if len(curve)}
    run = _run_of(run_id, content, curves)
    firsts = [float(curve.elapsed_s[0]) for curve in curves.values()]
    return ReadRun(
        run=run,
        summaries=tuple(_summary(run_id, name, curve) for name, curve in curves.items()),
        curves=curves,
        first_unix_s=run.started_unix_s + min(firsts) if firsts else None,
        bytes=state.st_size,
        mtime_ns=state.st_mtime_ns,
        lost_bytes=content.lost_bytes,
    )


def _run_of(run_id: str, content: "Content", curves: "Mapping[str, Curve]") -> RunRow:
    newest = {event["kind"]: event for event in content.events}
    start, recipe, ending = (newest.get(kind, {}) for kind in ("start", "recipe", "ending"))
    last_s = max((float(curve.elapsed_s[-1]) for curve in curves.values()), default=0.0)
    exit_word = ending.get("exit")
    seed = recipe.get("seed")
    if exit_word not in (None, "ok", "crashed", "timeout", "stopped"):
        raise ValueError(f"it ended as {exit_word!r}")
    if not (seed is None or (type(seed) is int and -(2**63) <= seed < 2**63)):
        raise ValueError(f"its seed is {str(seed)[:40]}")
    return RunRow(
        id=run_id,
        key=_text(recipe.get("key", "")),
        label=_text(recipe.get("label", "")),
        seed=seed,
        settings={name: decode(value) for name, value in recipe.get("settings", {}).items()},
        started_unix_s=_finite(start.get("unix_s", 0.0)),
        elapsed_s=_finite(ending.get("elapsed_s", last_s)),
        exit=exit_word,
        detail=_text(ending.get("detail", "")),
        integrity=content.integrity,
    )


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError(f"{value!r} is no time")
    return float(value)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no text")
    value.encode()  # a half of a surrogate pair is kept by no database
    return value


def _summary(run_id: str, metric: str, curve: "Curve") -> Summary:
    import numpy as np

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


def pack_curve(curve: "Curve") -> bytes:
    """Compress a curve: three columns of 8 bytes, steps, values, elapsed seconds."""
    import numpy as np

    columns = io.BytesIO()
    for column in (curve.steps, curve.values, curve.elapsed_s):
        columns.write(np.ascontiguousarray(column).tobytes())
    return zlib.compress(columns.getvalue(), 3)


def unpack_curve(blob: bytes) -> "Curve":
    """Undo `pack_curve`."""
    import numpy as np

    from palate.store.reader import Curve

    columns = zlib.decompress(blob)
    n = len(columns) // 24
    return Curve(
        steps=np.frombuffer(columns, np.int64, n),
        values=np.frombuffer(columns, np.float64, n, 8 * n),
        elapsed_s=np.frombuffer(columns, np.float64, n, 16 * n),
    )


def first_s(blob: bytes) -> float:
    """Return the elapsed seconds of a packed curve's first point."""
    columns = zlib.decompress(blob)
    first: float = struct.unpack_from("<d", columns, len(columns) // 24 * 16)[0]
    return first


def goes_back(blob: bytes) -> bool:
    """Return whether the steps of a packed curve do not only rise."""
    columns = zlib.decompress(blob)
    n = len(columns) // 24
    steps = struct.unpack_from(f"<{n}q", columns)
    return any(after < before for before, after in itertools.pairwise(steps))


def row_sum(*cells: object) -> int:
    """Return a checksum of a row, by which a damaged one is told: SQLite itself notices no flipped bit in a value."""
    return zlib.crc32(json.dumps(cells).encode())
