"""What processes that were killed leave in a store: files that were being written, and claims that nobody holds."""

import contextlib
import fcntl
import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

OLD_S = 3600.0
"""Seconds after which a file that is still being written is not: its process may be one of another machine."""

_WRITING = re.compile(r"(?:\.new-(?P<new>\d+)-.*)|(?:\..+?\.(?P<hidden>\d+)(?:\.\d+)?)|(?:goals\.json\.(?P<goals>\d+))")
"""Names under which files are written before they have their own, each with its process."""

_FOLDERS = (".", "recipes", "inputs", "trees")
_CLAIMS = "claims"


def remove_leftovers(home: Path, *, now_s: float | None = None) -> list[Path]:
    """Remove what processes that are gone were writing, and claims that nobody holds; return what was removed.

    Args:
        home: the project's folder.
        now_s: the time, in seconds since 1970.
    """
    now_s = time.time() if now_s is None else now_s
    return [path for path in (*_half_written(home, now_s), *_unheld(home / _CLAIMS)) if _remove(path)]


def _half_written(home: Path, now_s: float) -> Iterator[Path]:
    for folder in _FOLDERS:
        for path in _listed(home / folder):
            named = _WRITING.fullmatch(path.name)
            if named is not None and _is_left(path, int(named["new"] or named["hidden"] or named["goals"]), now_s):
                yield path


def _unheld(folder: Path) -> Iterator[Path]:
    """Yield the files that no process has locked."""
    for path in _listed(folder):
        with contextlib.suppress(OSError):
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                yield path
            finally:
                os.close(descriptor)


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _is_left(path: Path, pid: int, now_s: float) -> bool:
    try:
        os.kill(pid, 0)
        is_gone = False
    except (ProcessLookupError, OverflowError):
        is_gone = True
    except OSError:
        is_gone = False
    try:
        return is_gone and now_s - path.lstat().st_mtime > OLD_S
    except OSError:
        return False


def _remove(path: Path) -> bool:
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    except OSError:
        return False
    return True
