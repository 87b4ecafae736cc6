"""The file of a journal that is written: opened, locked, copied before it is cut; and what is said of it."""

import contextlib
import errno
import fcntl
import io
import os
import sys
from pathlib import Path

from palate.errors import JournalTakenError, StoreError
from palate.store.private import open_file


def open_to_append(path: str, _flags: int) -> int:
    """Open a file to append to it, as open to others as its folder; no program that is started gets it.

    It is an opener of `io.FileIO`.
    """
    return open_file(Path(path), os.O_RDWR | os.O_APPEND)


def lock_for_writing(descriptor: int, path: Path) -> None:
    """Lock a journal for this process.

    Raises:
        JournalTakenError: another process is writing it.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise taken(path) from error
    except OSError:  # a file system without locks: O_APPEND still keeps rows whole
        return


def keep_copy(path: Path, cut: bytes) -> None:
    """Write what is about to be cut from a journal beside it."""
    number = 1
    while (place := path.with_name(f"{path.name}.cut-{number}")).exists():
        number += 1
    with io.FileIO(place, "x", opener=lambda path, flags: open_file(Path(path), flags)) as copy:
        try:
            if copy.write(cut) < len(cut):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(copy.fileno())
        except OSError:
            place.unlink()
            raise


def say(text: str) -> None:
    """Write to standard error, where there is one."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stderr.write(f"{text}\n")


def taken(path: Path) -> JournalTakenError:
    """Say that another process writes a journal."""
    return JournalTakenError(
        f"{path} is being written by another process.",
        why="One run has one journal and one writer: rows of two processes would be mixed up as one curve.",
        todo=(
            "Log from one process only (with torchrun or DDP: from rank 0).",
            "Or give the second its own run: unset PALATE_RUN_DIR for it.",
        ),
    )


def not_mine(path: Path, *, closed: bool) -> StoreError:
    """Say that a journal is closed, or another process's."""
    if closed:
        return StoreError(f"{path} is closed: nothing can be logged to it any more.")
    return taken(path)


def no_journal(path: Path) -> StoreError:
    """Say that a file is no journal."""
    return StoreError(f"{path} is not a journal of palate, or of a newer one.", why="Nothing was changed.")


def not_understood(path: Path, error: Exception) -> StoreError:
    """Say that a journal cannot be continued."""
    return StoreError(
        f"{path} cannot be continued: it contains an impossible record ({error}).",
        why="Nothing was changed.",
        todo="Move it away, so that the run can begin a new one.",
    )


def not_writable(path: Path, error: OSError) -> StoreError:
    """Say that a journal cannot be opened."""
    return StoreError(
        f"{path} cannot be written: {error.strerror}.",
        why="Nothing was started and nothing was lost.",
        todo="Choose a folder that can be written: PALATE_HOME=/path/to/folder",
    )


def cannot_write(path: Path, why: str) -> str:
    """Say that the disk takes nothing, and what becomes of the points."""
    return (
        f"palate: {path} cannot be written ({why}). Training goes on; points are kept in memory and tried again.\n"
        f"  Free space on the disk before the run ends, or they are lost with the process."
    )


def lost(path: Path, points: int) -> str:
    """Say how many points are lost."""
    return (
        f"palate: {points:,} points are lost: {path} could not be written to the end.\n"
        f"  The run counts as one that lost points: it gives no result. Free space on the disk, then run it again."
    )
