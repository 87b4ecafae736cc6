"""What processes that were killed leave in a store: files that were being written, and claims that nobody holds."""

import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from palate.atomic import process_in
from palate.store.locks import remove_unheld

OLD_S = 3600.0
"""Seconds after which a file that is still being written is not: its process may be one of another machine."""

_OURS = re.compile(r"\.(?:new|other)-(?P<tree>\d+)-.*|\..+?\.(?P<earlier>\d+)(?:\.\d+)?")
"""Names of folders of code that come or go, and those under which earlier versions wrote, each with its process."""

_FOLDERS = (".", "recipes", "inputs", "trees")
_CLAIMS, _RUNS, _SITTINGS = "claims", "runs", "sittings"


def remove_leftovers(home: Path, *, now_s: float | None = None) -> list[Path]:
    """Remove what processes that are gone were writing, and claims that nobody holds; return what was removed.

    Args:
        home: the project's folder.
        now_s: the time, in seconds since 1970.
    """
    now_s = time.time() if now_s is None else now_s
    removed = [path for path in _half_written(home, now_s) if _remove(path)]
    return removed + [path for path in _listed(home / _CLAIMS) if remove_unheld(path)]


def _half_written(home: Path, now_s: float) -> Iterator[Path]:
    ours = [home / name for name in _FOLDERS]
    for folder in (*ours, *_listed(home / _RUNS), *_listed(home / _SITTINGS)):
        for path in _listed(folder):
            process = process_in(path.name)
            if process is None and folder in ours and (named := _OURS.fullmatch(path.name)) is not None:
                process = int(named["tree"] or named["earlier"])
            if process is not None and _is_left(path, process, now_s):
                yield path


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _is_left(path: Path, pid: int, now_s: float) -> bool:
    try:
        return is_gone(pid) and now_s - path.lstat().st_mtime > OLD_S
    except OSError:
        return False


def is_gone(pid: int) -> bool:
    """Return whether this machine has no process of a number; one of somebody else's is there."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return True
    except OSError:
        return False
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
