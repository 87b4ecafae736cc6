"""What a file, a listed folder or a whole folder was when a run read it, and whether it still is that."""

import contextlib
import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from palate.capture.files import WHOLE, hash_file
from palate.question.folder import SKIPPED, Place

ABSENT = "absent"
"""The hash of a file that was looked for and is not there."""

PRESENT = "present"
"""The hash of a file of which only was looked whether it is there."""

UNKNOWN = -1
"""The size of a file of which only the hash is known."""

EVERYTHING = "**"
"""The name of all that is in the folder, where a program ran that may have read any of it."""

MOST_WALKED = 20_000

_NO_DATA = (".py", ".ipynb", ".md", ".rst", ".toml", ".lock", ".log")
"""How the names of files end that are no data: code is known by itself, and a new note beside it changes nothing."""


@dataclass(frozen=True, slots=True)
class FileState:
    """What a file or a listed folder was.

    Attributes:
        size: in bytes; of a folder, its entries.
        changed_ns: its time of change in nanoseconds; 0 of a folder.
        hash: of its content, or of the names in it; `ABSENT` where it is not there, `PRESENT` where no more is known
            than that it is, "" where nobody knows.
        touched_ns: its time of change by the disk's own count, which a program cannot set.
    """

    size: int
    changed_ns: int
    hash: str
    touched_ns: int = 0

    @classmethod
    def of(cls, path: str, *, hashed: bool = True) -> Self:
        """Read it from the disk."""
        try:
            if os.path.isdir(path):
                names = _names_in(path)
                return cls(len(names), 0, _hash("\n".join(names)))
            known = os.stat(path)
            if not stat.S_ISREG(known.st_mode):  # a pipe, a device: reading it would wait, or change it
                return cls(0, 0, PRESENT)
            content = hash_file(Path(path)) if hashed else ""
        except OSError:
            return cls(0, 0, ABSENT)
        return cls(known.st_size, known.st_mtime_ns, content, known.st_ctime_ns)

    def is_now(self, path: str) -> bool:
        """Whether it is still that: told by size and times where all are the same, else by its content."""
        try:
            known = os.stat(path)
        except OSError:
            return self.hash == ABSENT
        if self.hash in (ABSENT, PRESENT):
            return self.hash == PRESENT
        if stat.S_ISDIR(known.st_mode):
            return self.of(path).hash == self.hash
        same = (known.st_size, known.st_mtime_ns) == (self.size, self.changed_ns)
        if same and known.st_ctime_ns == self.touched_ns:
            return True
        if known.st_size > WHOLE and self.size != UNKNOWN:  # of those only samples are hashed
            return False
        return bool(self.hash) and self.size in (known.st_size, UNKNOWN) and self.of(path).hash == self.hash


def _names_in(folder: str) -> list[str]:
    return sorted(
        name for name in os.listdir(folder) if not name.startswith((".", "__")) and not name.endswith(_NO_DATA)
    )


def state_of_all(place: Place) -> FileState:
    """Return the state of all data in a folder, by names, sizes and times."""
    lines: list[str] = []
    for where, folders, names in os.walk(os.path.join(place.root, place.cwd)):
        folders[:] = [one for one in folders if one not in SKIPPED and not one.startswith(".")]
        for name in names:
            if len(lines) < MOST_WALKED and not name.startswith(".") and not name.endswith(_NO_DATA):
                path = os.path.join(where, name)
                with contextlib.suppress(OSError):
                    known = os.stat(path)
                    lines.append(f"{path} {known.st_size} {known.st_mtime_ns}")
    return FileState(len(lines), 0, _hash("\n".join(sorted(lines))))


def _hash(text: str) -> str:
    return hashlib.blake2b(text.encode(errors="surrogateescape"), digest_size=8).hexdigest()
