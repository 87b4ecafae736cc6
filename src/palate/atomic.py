"""Files that are written whole or not at all: under another name until they are; standard library only.

There is one scheme of such names, so that what a process left that was killed is known by it (`store.leftovers`).
"""

import contextlib
import os
import re
import threading
from pathlib import Path

_BESIDE = re.compile(r"\..+\.(?P<process>\d+)\.\d+\.palate", re.DOTALL)
_LONGEST = 48
"""The most characters of a file's name in the one that it is written under: a name has 255 bytes at most."""


def name_beside(path: Path) -> Path:
    """Return the name under which this thread of this process writes a file until it is whole."""
    return path.with_name(f".{path.name[:_LONGEST]}.{os.getpid()}.{threading.get_ident()}.palate")


def process_in(name: str) -> int | None:
    """Return the process that writes a file under such a name; None for any other name.

    >>> process_in(name_beside(Path("goals.json")).name) == os.getpid()
    True
    """
    found = _BESIDE.fullmatch(name)
    return int(found["process"]) if found is not None else None


def replace_file(path: Path, content: bytes, mode: int, *, synced: bool = True) -> None:
    """Put a file in the place of another, or of none, at one stroke: who is killed leaves the old or the new one.

    Args:
        path: of the file.
        content: all of it.
        mode: who may read and write it.
        synced: whether it has to outlast a power cut; what can be made anew does not, and waits for no disk.

    Raises:
        OSError: it cannot be written; what was there is as it was.
    """
    beside = name_beside(path)
    try:
        _write(beside, content, mode, synced=synced)
        beside.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
        raise
    if synced:
        _sync_folder(path.parent)


def write_synced(path: Path, content: bytes, mode: int) -> None:
    """Write a file that nobody reads yet, down to the disk.

    Raises:
        OSError: it cannot be written.
    """
    _write(path, content, mode, synced=True)


def _write(path: Path, content: bytes, mode: int, *, synced: bool) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fchmod(file.fileno(), mode)
        if synced:
            os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):  # a file system that does not sync folders
        descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
