"""The data files that a training opened before its first step, each with a hash of its content."""

import hashlib
import os
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

WHOLE = 8 << 20
"""The most bytes of a file that is hashed in full; of a larger one, its size and evenly spaced samples are."""

SAMPLES = 32
"""How many samples of a large file are hashed, its two ends included."""

BLOCK = 1 << 16
"""The bytes of one sample."""

_CODE = (".py", ".ipynb", ".pyc", ".so", ".pth", ".egg-link", ".dist-info", ".txt.gz.tmp")

_reading: "Files | None" = None
"""The object that listens now."""

_hooked = False
"""Whether this process has the audit hook."""


class Files:
    """The files that are opened for reading between `start` and `stop`.

    Attributes:
        opened: their paths, in the order in which they were opened.
        shown: returns the path that a person knows a file by.
    """

    def __init__(self) -> None:
        self.opened: dict[str, None] = {}
        self.shown: Callable[[str], str] = str
        paths = sysconfig.get_paths()
        own = str(Path(__file__).resolve().parent.parent)
        self._library = tuple({paths["stdlib"], paths["purelib"], paths["platlib"], own, "/proc", "/sys", "/dev"})

    def start(self) -> None:
        """Listen to every file that is opened. Python cannot remove an audit hook; after `stop` it does nothing."""
        global _reading, _hooked
        _reading = self
        if not _hooked:
            _hooked = True
            sys.addaudithook(_heard)

    def stop(self) -> None:
        """Stop listening."""
        global _reading
        _reading = None

    def hear(self, name: object, mode: object, flags: object) -> None:
        """Record a file if it is data: opened for reading, not code, and not of a library."""
        if not isinstance(name, str | os.PathLike) or not _reads(mode, flags):
            return
        path = os.path.abspath(os.fspath(name))  # noqa: PTH100  Path() is slow here
        if not path.endswith(_CODE) and not path.startswith(self._library) and "site-packages" not in path:
            self.opened[path] = None

    def hashes(self, root: Path) -> dict[str, str]:
        """Return a hash of each file's content, by its path relative to `root` if it is below it.

        Of one that cannot be read any more it says so, which is no file's hash.
        """
        by_path = {}
        for name in self.opened:
            path = Path(name)
            if path.is_file():
                known = Path(self.shown(name))
                shown = str(known.relative_to(root) if known.is_relative_to(root) else known)
                try:
                    by_path[shown] = hash_file(path)
                except OSError as error:
                    by_path[shown] = f"not readable: {error.strerror}"
        return dict(sorted(by_path.items()))


def _heard(event: str, arguments: tuple[Any, ...]) -> None:
    if _reading is not None and event == "open":
        _reading.hear(*arguments)


def _reads(mode: object, flags: object) -> bool:
    if isinstance(mode, str):
        return "r" in mode and "+" not in mode
    return isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR) == 0


def hash_file(path: Path) -> str:
    """Hash a file's content; of a large file, its size and evenly spaced samples.

    Raises:
        OSError: it cannot be read.
    """
    size = path.stat().st_size
    digest = hashlib.blake2b(str(size).encode(), digest_size=8)
    with path.open("rb") as file:
        if size <= WHOLE:
            while block := file.read(1 << 20):
                digest.update(block)
        else:
            for sample in range(SAMPLES):
                file.seek((size - BLOCK) * sample // (SAMPLES - 1))
                digest.update(file.read(BLOCK))
    return digest.hexdigest()
