"""Which data a training read before its first step: every file it opened, with a hash of what is in it."""

import hashlib
import os
import sys
import sysconfig
from pathlib import Path
from typing import Any

WHOLE = 8 << 20
"""Bytes up to which a file is hashed whole; of a larger one its size, its two ends and samples in between."""

SAMPLES = 32
BLOCK = 1 << 16
_CODE = (".py", ".pyc", ".so", ".pth", ".egg-link", ".dist-info", ".txt.gz.tmp")
_reading: "Files | None" = None
_hooked = False


class Files:
    """Files opened for reading while this is the one that listens."""

    def __init__(self) -> None:
        self.opened: dict[str, None] = {}
        paths = sysconfig.get_paths()
        own = str(Path(__file__).resolve().parent.parent)
        self._library = tuple({paths["stdlib"], paths["purelib"], paths["platlib"], own, "/proc", "/sys", "/dev"})

    def start(self) -> None:
        """Listen to every file that is opened. Python has no way to take such a hook out; it is left deaf."""
        global _reading, _hooked
        _reading = self
        if not _hooked:
            _hooked = True
            sys.addaudithook(_heard)

    def stop(self) -> None:
        """Hear no more."""
        global _reading
        _reading = None

    def hear(self, name: object, mode: object, flags: object) -> None:
        """Take a file down, where it is data: opened for reading, neither code nor a library's own."""
        if not isinstance(name, str | os.PathLike) or not _reads(mode, flags):
            return
        path = os.path.abspath(os.fspath(name))  # noqa: PTH100  Path() is slow here
        if not path.endswith(_CODE) and not path.startswith(self._library) and "site-packages" not in path:
            self.opened[path] = None

    def hashes(self, root: Path) -> dict[str, str]:
        """Give a hash of what is in each file, by its path seen from `root`."""
        found = {}
        for name in self.opened:
            path = Path(name)
            if path.is_file():
                told = str(path.relative_to(root)) if path.is_relative_to(root) else str(path)
                found[told] = hash_file(path)
        return dict(sorted(found.items()))


def _heard(event: str, arguments: tuple[Any, ...]) -> None:
    if _reading is not None and event == "open":
        _reading.hear(*arguments)


def _reads(mode: object, flags: object) -> bool:
    if isinstance(mode, str):
        return "r" in mode and "+" not in mode
    return isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR) == 0


def hash_file(path: Path) -> str:
    """Hash a file's content; of a large one its size, its ends and evenly spaced samples.

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
