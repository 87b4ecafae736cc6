"""Locks on files, which end with their process, however that ends; standard library only.

Where a file system has no locks, everybody goes on without: a tool that refused there could not be used on many
clusters at all. Of journals, rows stay whole (`O_APPEND`); runs may be made twice; and who seals into the chain from
two processes at once may break it, so the chain says that there are none.
"""

import contextlib
import errno
import fcntl
import os
import re
from collections.abc import Iterator
from pathlib import Path

_WITHOUT = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL, errno.EBADF})
"""What a file system says that has no locks; EBADF: NFS, which has none for a file that is only read."""


CLAIM = re.compile(r"\w+-s-?\d+")
"""How a file is named that claims a run: by its key and its seed."""


def lock(descriptor: int, *, shared: bool = False, wait: bool = False) -> bool:
    """Lock an open file; return whether it is locked: not where its file system has no locks.

    Args:
        descriptor: of the file.
        shared: with all others who share it.
        wait: until nobody else has it.

    Raises:
        BlockingIOError: another has it.
        OSError: the system failed.
    """
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
    except OSError as error:
        if error.errno in _WITHOUT:
            return False
        raise
    return True


def is_at(descriptor: int, path: Path) -> bool:
    """Return whether an open file is the one at a path: it may have been removed or replaced until it was locked."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except OSError:
        return False


def remove_unheld(path: Path) -> bool:
    """Remove a claim that nobody has locked; return whether it was removed.

    A folder that is a link, and a file that is not named like a claim, is not palate's.
    """
    if not CLAIM.fullmatch(path.name) or path.parent.is_symlink():
        return False
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            if lock(descriptor) and is_at(descriptor, path):
                path.unlink()
                return True
        finally:
            os.close(descriptor)
    return False


@contextlib.contextmanager
def folder_locked(folder: Path) -> Iterator[None]:
    """Let nobody else in who locks this folder too, while what is in it is read, changed and written.

    Raises:
        OSError: it cannot be opened.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        lock(descriptor, wait=True)
        yield
    finally:
        os.close(descriptor)
