"""What the processes of runs that are computed together tell each other: files that are whole once they are there."""

import fcntl
import importlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from palate.cooking.storable import restored, storable

LOOK_S = 0.004
"""Seconds between two looks for what another process writes."""


def write(path: Path, body: Mapping[str, Any]) -> None:
    """Write what one process tells another; whoever sees the file sees all of it.

    Raises:
        ValueError: something of it cannot be written.
    """
    torch = importlib.import_module("torch")
    left_out: list[str] = []
    stored = storable(dict(body), "", left_out)
    if left_out:
        raise ValueError(f"{left_out[0]} cannot be handed over")
    beside = path.with_name(f"{path.name}.part")
    torch.save(stored, beside)
    beside.replace(path)


def read(path: Path) -> dict[str, Any]:
    """Return what `write` wrote."""
    torch = importlib.import_module("torch")
    body: dict[str, Any] = restored(torch.load(path, weights_only=True))
    return body


def write_words(path: Path, words: str) -> None:
    """Write a sentence; whoever sees the file sees all of it."""
    beside = path.with_name(f".{path.name}-{os.getpid()}")
    beside.write_text(words, encoding="utf-8")
    beside.replace(path)


def words_in(path: Path) -> str:
    """Return the sentence in a file; "" where it is not there."""
    return path.read_text(encoding="utf-8") if path.exists() else ""


class Door:
    """Behind which others wait, without looking, until it is opened, or until this process ends."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def open(self) -> None:
        """Let those in who wait."""
        fcntl.flock(self._file, fcntl.LOCK_UN)
        os.close(self._file)

    def forget(self) -> None:
        """Leave it to the process that this one was forked from."""
        os.close(self._file)


def wait_at(path: Path) -> None:
    """Wait until a door is opened."""
    file = os.open(path, os.O_RDWR)
    try:
        fcntl.flock(file, fcntl.LOCK_SH)
    finally:
        os.close(file)


def is_alive(pid: int) -> bool:
    """Return whether a process is there, and has not ended."""
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except PermissionError:
        return True
    except OSError:
        return False
    return bool(pid) and state[0] not in "ZX"
