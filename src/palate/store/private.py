"""Who may read a store: the person alone, unless its folder says otherwise; standard library only.

A store's folder is made for its owner alone (0700), and whatever is made in it lets in nobody whom its folder does not
let in. So a team that shares a store opens its folder once (`chmod -R g+rwX .palate`, and g+s for the group), and all
that comes is open to the same; an older store that others may read stays so until `palate doctor` closes it.
"""

import contextlib
import os
import stat
from pathlib import Path

from palate import atomic

OWNER_FOLDER, OWNER_FILE = 0o700, 0o600
OTHERS = 0o077
"""The bits of a mode that are about everybody but the owner."""

SHARED = "PALATE_SHARED"
"""The environment variable by which a team says that its store is meant to be read by others: then it stays open."""


def make_folder(path: Path, *, top: bool = False) -> None:
    """Make a folder with those above it, if it is not there, as open as the one that it is in.

    Where several are missing there is no store yet: they are made for their owner alone, whatever they are in.

    Args:
        path: of the folder.
        top: whether it is a store's own, which is made for its owner alone.

    Raises:
        OSError: it cannot be made.
    """
    missing = [one for one in (path, *path.parents) if not one.exists()]
    for place, folder in enumerate(reversed(missing)):
        alone = place == 0 and (top or len(missing) > 1)
        mode = OWNER_FOLDER | (0 if alone else _others(folder.parent))
        with contextlib.suppress(FileExistsError):
            _make(folder, mode)


def make_new_folder(path: Path) -> None:
    """Make a folder that is not there yet, as open as the one that it is in, which is there.

    Raises:
        FileExistsError: somebody else was faster.
        OSError: it cannot be made.
    """
    _make(path, OWNER_FOLDER | _others(path.parent))


def _make(folder: Path, mode: int) -> None:
    folder.mkdir(mode=mode)
    if mode & OTHERS:  # which the umask may have taken away
        folder.chmod(mode | stat.S_IMODE(folder.stat().st_mode) & stat.S_ISGID)


def open_file(path: Path, flags: int) -> int:
    """Open a file, and make it where it is not there, as open as its folder; return its descriptor.

    Raises:
        OSError: it cannot be opened.
    """
    mode = _mode_in(path.parent)
    descriptor = os.open(path, flags | os.O_CREAT | os.O_CLOEXEC, mode)
    known = os.fstat(descriptor)
    if mode != OWNER_FILE and not known.st_size and stat.S_IMODE(known.st_mode) != mode:
        with contextlib.suppress(OSError):  # somebody else's
            os.fchmod(descriptor, mode)
    return descriptor


def write_file(path: Path, content: str | bytes) -> None:
    """Write a whole file, as open as its folder.

    Raises:
        OSError: it cannot be written.
    """
    with os.fdopen(open_file(path, os.O_WRONLY | os.O_TRUNC), "wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)


def replace_file(path: Path, content: str | bytes, *, mode: int | None = None, synced: bool = True) -> None:
    """Write a whole file at one stroke: who is killed leaves the old one or the new one. See `atomic`.

    Args:
        path: of the file.
        content: all of it.
        mode: who may read and write it; None for as open as its folder.
        synced: whether it has to outlast a power cut.

    Raises:
        OSError: it cannot be written; what was there is as it was.
    """
    written = content.encode() if isinstance(content, str) else content
    atomic.replace_file(path, written, _mode_in(path.parent) if mode is None else mode, synced=synced)


def _mode_in(folder: Path) -> int:
    return OWNER_FILE | _others(folder) & 0o066


def _others(folder: Path) -> int:
    try:
        return stat.S_IMODE(folder.stat().st_mode) & OTHERS
    except OSError:
        return 0


def close_to_others(home: Path) -> int:
    """Take from everybody but the owner what they may do with a store; return how many files and folders that was of.

    What is somebody else's stays as it is, and so do links.
    """
    changed = 0
    for folder, _, names in os.walk(home):
        for path in (folder, *(os.path.join(folder, name) for name in names)):  # noqa: PTH118  of many thousands
            with contextlib.suppress(OSError):
                known = os.lstat(path)
                mode = stat.S_IMODE(known.st_mode)
                if known.st_uid == os.getuid() and mode & OTHERS and not stat.S_ISLNK(known.st_mode):
                    os.chmod(path, mode & ~OTHERS)  # noqa: PTH101
                    changed += 1
    return changed
