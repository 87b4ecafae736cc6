"""The catalog's file: how it is opened, when it cannot be used, and what is said then."""

import contextlib
import functools
import sqlite3
import sys
import zlib
from pathlib import Path

from palate.errors import StoreError
from palate.store.peek import refuse_views
from palate.store.runs import first_s, goes_back, row_sum

BUSY_TIMEOUT_MS = 10_000
_NOT_WRITTEN = frozenset({
    sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN,
})  # fmt: skip
"""SQLite's codes for a file that cannot be written or made."""

_LOCKED = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})

UNUSABLE = (sqlite3.Error, UnicodeDecodeError, zlib.error)
"""What a file raises that cannot be used: SQLite's own errors, and text and curves that were changed."""


def connect(path: str) -> sqlite3.Connection:
    """Open the file, or make it."""
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_MS / 1000, isolation_level=None)
    try:
        refuse_views(connection)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.create_function("goes_back", 1, goes_back, deterministic=True)
        connection.create_function("first_s", 1, first_s, deterministic=True)
        connection.create_function("row_sum", -1, row_sum, deterministic=True)
    except BaseException:
        connection.close()
        raise
    return connection


def put_aside(path: Path, inode: int = 0) -> None:
    """Put a damaged file aside, unless another process has made a new one since."""
    with contextlib.suppress(OSError):
        if inode and path.stat().st_ino != inode:
            return
    for suffix in ("", "-wal", "-shm"):
        part = path.with_name(path.name + suffix)
        with contextlib.suppress(OSError):
            part.replace(part.with_name(part.name + ".damaged"))
    print(f"palate: {path} was damaged: it is put aside ({path.name}.damaged) and made anew.", file=sys.stderr)


def _code_of(error: Exception) -> int | None:
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


def is_locked(error: Exception) -> bool:
    """Return whether an error says that another process holds the file."""
    return _code_of(error) in _LOCKED


def is_not_written(error: Exception) -> bool:
    """Return whether an error says that the file cannot be written or is not to be, and not that it is damaged."""
    return not isinstance(error, UNUSABLE) or _code_of(error) in _NOT_WRITTEN


@functools.cache
def say_in_memory(path: Path, reason: str, *, written: bool) -> None:
    """Say once that the runs are read from their journals, and why."""
    what = f"{path} cannot be written ({reason})" if written else reason.rstrip(".")
    print(f"palate: {what}: the runs are read from their journals.", file=sys.stderr)


def unusable(path: Path, error: Exception) -> StoreError:
    """Say that the file cannot be used, and how to make it anew."""
    return StoreError(
        f"{path} cannot be used: {error}.",
        why="The journals and the sealed chain are untouched; the catalog is only an index of them.",
        todo="Make it anew:  palate doctor --rebuild",
    )


def unread_words(journal: Path, why: str) -> str:
    """Say that a journal cannot be read, and what to do."""
    return (
        f"palate: {journal} cannot be read, and its run is left out: {why.removeprefix(f'{journal} ')}\n"
        "  Put back a copy of it, mend its permissions, or remove its folder; then:  palate doctor"
    )
