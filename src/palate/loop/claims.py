"""Claims: who makes which run now, so that of several processes that need the same one, one makes it.

A claim is a file that its holder has locked. The lock ends with the process, however that ends, and no process that it
starts has it; what the file says is for people. Where a file system has no locks, or the folder cannot be written,
everybody goes on without claims.
"""

import contextlib
import json
import os
import socket
import weakref
from dataclasses import dataclass
from pathlib import Path

from palate.errors import StoreError
from palate.store.locks import is_at, lock, remove_unheld
from palate.store.private import make_new_folder, open_file
from palate.training.family import STOPPED, state_of

FOLDER = "claims"
"""Folder of the claims, in the project's."""

_all: "weakref.WeakSet[Claims]" = weakref.WeakSet()


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who holds a claim: its process, on which machine, and the run that it makes."""

    pid: int
    host: str
    run: str

    @property
    def here(self) -> bool:
        """Whether it is a process of this machine."""
        return self.host == socket.gethostname()

    @property
    def stopped(self) -> bool:
        """Whether it stands still (Ctrl-Z), so that it may never end."""
        return self.here and state_of(self.pid) in STOPPED

    def words(self) -> str:
        """Return who it is, in words."""
        return f"process {self.pid}" + ("" if self.here else f" on {self.host}")


class Claims:
    """The claims of one runner. Close them; a process that ends does.

    Args:
        home: the project's folder, which is there.
    """

    def __init__(self, home: Path) -> None:
        self._folder = home / FOLDER
        self._held: dict[tuple[str, int], int] = {}
        _all.add(self)

    def take(self, key: str, seed: int, run: str) -> bool:
        """Claim a run; return whether nobody else has it.

        Args:
            key: of what decides it but its seed.
            seed: of it.
            run: its name, for people.
        """
        if (key, seed) in self._held:
            return False
        if self._folder.is_symlink():
            raise StoreError(
                f"{self._folder} is a link, which palate does not follow.",
                why="What it leads to may be anything, and palate makes and removes files there.",
                todo=f"Remove it:  rm {self._folder}",
            )
        with contextlib.suppress(OSError):
            make_new_folder(self._folder)
        path = self._path(key, seed)
        while True:
            try:
                descriptor = _open(path)
            except OSError:
                return True
            try:
                is_locked = lock(descriptor)
            except OSError as error:
                os.close(descriptor)
                return not isinstance(error, BlockingIOError)
            if not is_locked:
                os.close(descriptor)
                return True
            if is_at(descriptor, path):
                self._held[key, seed] = descriptor
                self.tell(key, seed, run)
                return True
            os.close(descriptor)  # its holder removed it meanwhile

    def tell(self, key: str, seed: int, run: str) -> None:
        """Write into a claim who holds it and which run it is for."""
        descriptor = self._held.get((key, seed))
        if descriptor is not None:
            told = json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "run": run}).encode()
            with contextlib.suppress(OSError):  # a full disk: the lock counts
                os.ftruncate(descriptor, os.pwrite(descriptor, told, 0))

    def holder(self, key: str, seed: int) -> Holder | None:
        """Return who holds a claim, as its file says; None where it says nothing."""
        try:
            told = json.loads(self._path(key, seed).read_bytes())
            return Holder(pid=int(told["pid"]), host=str(told["host"]), run=str(told["run"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def release(self, key: str, seed: int) -> None:
        """Give a claim back; one that is not held is none."""
        descriptor = self._held.pop((key, seed), None)
        if descriptor is not None:
            with contextlib.suppress(OSError):
                self._path(key, seed).unlink()
            os.close(descriptor)

    def close(self) -> None:
        """Give all claims back, and remove those of processes that are gone; twice is fine."""
        for key, seed in list(self._held):
            self.release(key, seed)
        with contextlib.suppress(OSError), os.scandir(self._folder) as entries:
            for entry in entries:
                remove_unheld(Path(entry.path))

    def forget(self) -> None:
        """Close the files and leave the claims: they are those of the process from which this one was forked."""
        for descriptor in self._held.values():
            os.close(descriptor)
        self._held.clear()

    def _path(self, key: str, seed: int) -> Path:
        return self._folder / f"{key}-s{seed}"


def _open(path: Path) -> int:
    """Open a claim, as open to others as its folder; one that another person made for themselves is read alone.

    Raises:
        OSError: it cannot be opened.
    """
    try:
        return open_file(path, os.O_RDWR | os.O_NOFOLLOW)
    except PermissionError:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)


def _forget_after_fork() -> None:
    for claims in list(_all):
        claims.forget()


os.register_at_fork(after_in_child=_forget_after_fork)
