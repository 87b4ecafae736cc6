"""A folder of its own for each run, which looks like the person's: what it reads is theirs, what it writes is its own.

Code and settings are copied, everything else is a link, folders are real as far as `MOST` entries go. A `Guard` makes
a link the run's own right before it is written to. So two runs that write `model.pt` write two files, and the
person's folder stays as it is. What a run wrote stays in its folder. Standard library only.
"""

import contextlib
import os
import shutil
import stat
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from palate.question.folder import Place, path_inside

WORK = "work"
"""Folder in a run's folder in which it works."""

MOST = 1000
"""Entries that are linked one by one; folders beyond are linked as a whole until they are written to."""

COPIED = (".py", ".pyi", ".yaml", ".yml", ".json", ".toml", ".cfg", ".ini", ".gin", ".sh", ".txt", ".ipynb")
"""What is copied where it is small: code and settings, so that a resolved path stays in the run's folder."""

SMALL = 256 << 10
"""The most bytes of a file that is copied."""

MOST_COPIES = 300

WHOLE = (".git", ".hg", ".svn", ".palate", "__pycache__", "node_modules", ".venv", "venv", ".tox", ".mypy_cache")
"""Folders that are linked as a whole; environments are, whatever their name."""


def make_folder(place: Place, work: str) -> None:
    """Make a run's folder; nothing of the person's is copied but small code and settings.

    Raises:
        OSError: it cannot be made.
    """
    over_files = _files_below(place.over) if place.over else []
    forced = set(_parents([os.path.join(place.cwd, "x"), *over_files, *place.hidden]))
    room, copies = MOST, 0
    waiting = deque([""])
    os.makedirs(work, exist_ok=True)
    while waiting:
        here = waiting.popleft()
        if here:
            os.mkdir(f"{work}/{here}")
        for entry in _entries(place, here):
            target = f"{work}/{entry.name}"
            if not entry.is_folder:
                copied = copies < MOST_COPIES and _copy_small_code(entry.source, target)
                copies += copied
                if not copied:
                    os.symlink(entry.source, target)
                continue
            inside = _count(entry.source, room) if _below_cwd(entry.name, place.cwd) and not entry.whole else room + 1
            if entry.name in forced or inside <= room:
                waiting.append(entry.name)
                room -= min(inside, room)
            else:
                os.symlink(entry.source, target)


def clear_folder(place: Place, work: str, own: Iterable[str] = ()) -> list[tuple[str, int]]:
    """Remove from a run's folder what is not its own; return what it wrote, with the sizes in bytes.

    Args:
        place: as it was made with.
        work: the folder.
        own: files that palate put there.
    """
    wrote: list[tuple[str, int]] = []
    _clear(place, work, "", frozenset(own), wrote)
    with contextlib.suppress(OSError):
        os.rmdir(work)
    return sorted(wrote)


def _clear(place: Place, work: str, here: str, own: frozenset[str], wrote: list[tuple[str, int]]) -> None:
    with os.scandir(os.path.join(work, here)) as found:
        entries = list(found)
    for entry in entries:
        name = f"{here}/{entry.name}" if here else entry.name
        if entry.is_symlink():
            target = os.readlink(entry.path)
            if target in (f"{place.root}/{name}", f"{place.over}/{name}"):
                os.unlink(entry.path)
            else:
                wrote.append((name, 0))
        elif entry.name == "__pycache__":
            shutil.rmtree(entry.path, ignore_errors=True)
        elif entry.is_dir(follow_symlinks=False):
            _clear(place, work, name, own, wrote)
            theirs = os.path.isdir(os.path.join(place.root, name)) or (
                bool(place.over) and os.path.isdir(os.path.join(place.over, name))
            )
            with contextlib.suppress(OSError):
                if theirs:
                    os.rmdir(entry.path)
        elif name in own or _is_copy(entry.path, place.source(name)):
            os.unlink(entry.path)
        else:
            wrote.append((name, entry.stat(follow_symlinks=False).st_size))


def _is_copy(path: str, source: str) -> bool:
    try:
        one, other = os.lstat(path), os.stat(source)
    except OSError:
        return False
    return (one.st_size, one.st_mtime_ns) == (other.st_size, other.st_mtime_ns)


@dataclass(frozen=True, slots=True)
class _Entry:
    name: str
    source: str
    is_folder: bool
    whole: bool


def _entries(place: Place, here: str) -> Iterator[_Entry]:
    """Yield what a run sees in a folder, by names seen from the root."""
    known: set[str] = set()
    before = f"{here}/" if here else ""
    for base in (place.over, place.root) if place.over else (place.root,):
        try:
            found = os.scandir(f"{base}/{here}")
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            continue
        with found:
            for entry in found:
                name = before + entry.name
                source = f"{base}/{name}"
                if name in known or name in place.hidden or source == place.home or entry.name == ".palate":
                    continue
                known.add(name)
                is_folder = entry.is_dir(follow_symlinks=False)
                whole = is_folder and (entry.name in WHOLE or os.path.exists(f"{source}/pyvenv.cfg"))
                yield _Entry(name, source, is_folder, whole)


def _count(folder: str, most: int) -> int:
    """Count a folder's entries; one more than `most` where there are more, or where it cannot be read."""
    count = 0
    try:
        with os.scandir(folder) as found:
            for _ in found:
                count += 1
                if count > most:
                    break
    except OSError:
        return most + 1
    return count


def _copy_small_code(source: str, target: str) -> bool:
    """Copy a file if it is small, and code or settings; return whether it was."""
    try:
        known = os.stat(source)
    except OSError:
        return False
    wanted = source.endswith(COPIED) or known.st_mode & stat.S_IXUSR
    if not (wanted and stat.S_ISREG(known.st_mode) and known.st_size <= SMALL):
        return False
    try:
        with open(source, "rb") as one, open(target, "xb") as other:
            other.write(one.read())
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(target)
        return False
    os.utime(target, ns=(known.st_atime_ns, known.st_mtime_ns))
    if known.st_mode & stat.S_IXUSR:
        os.chmod(target, known.st_mode & 0o777)
    return True


def _below_cwd(name: str, cwd: str) -> bool:
    return not cwd or name == cwd or name.startswith(cwd + "/")


def _files_below(folder: str) -> Iterator[str]:
    for where, _, files in os.walk(folder):
        for name in files:
            yield os.path.relpath(os.path.join(where, name), folder)


def _parents(names: Iterable[str]) -> Iterator[str]:
    """Yield every folder above some names, each once or more."""
    for name in names:
        while name := os.path.dirname(name):
            yield name


class Guard:
    """Makes what a run is about to write its own: links become copies, linked folders real folders of links.

    It hears of an operation before it happens, from Python's audit hooks, so native code that opens files itself must
    ask by `own`.

    Args:
        work: the run's folder.
    """

    def __init__(self, work: str) -> None:
        self._work = work
        self._busy = threading.local()

    def own(self, path: str, *, keeps: bool = True) -> None:
        """Make the file at a path the run's own, before it is written to.

        Args:
            path: absolute.
            keeps: whether what is in it is still needed.
        """
        with self._alone(path) as mine:
            if mine:
                self._open_parents(path)
                if os.path.islink(path):
                    _unlink_one(path, keeps=keeps)

    def own_entry(self, path: str) -> None:
        """Make the folder of a path the run's own, before an entry of it is made, moved or removed."""
        with self._alone(path) as mine:
            if mine:
                self._open_parents(path)

    def own_folder(self, path: str) -> None:
        """Make a folder and all that is below it real, before it is removed as a whole."""
        with self._alone(path) as mine:
            if mine:
                self._open_parents(os.path.join(path, "x"))
                waiting = [path]
                while waiting:
                    with os.scandir(waiting.pop()) as found:
                        folders = [entry.path for entry in found if entry.is_dir()]
                    for one in folders:
                        if os.path.islink(one):
                            _open_up(one)
                        waiting.append(one)

    @contextlib.contextmanager
    def _alone(self, path: str) -> Iterator[bool]:
        """Say whether a path is the guard's business; what the guard itself does is not heard of meanwhile."""
        if getattr(self._busy, "now", False) or path_inside(path, self._work) is None:
            yield False
            return
        self._busy.now = True
        try:
            with contextlib.suppress(OSError):  # the operation itself will say what is wrong
                yield True
        finally:
            self._busy.now = False

    def _open_parents(self, path: str) -> None:
        inside = path_inside(os.path.dirname(path), self._work)
        here = self._work
        for part in (inside or "").split(os.sep) if inside else ():
            here = os.path.join(here, part)
            if os.path.islink(here) and os.path.isdir(here):
                _open_up(here)

    def hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Hear of an operation on a file before it happens."""
        if event == "shutil.rmtree":
            self.own_folder(_path_of(arguments[0]))
        for place in _CHANGES.get(event, ()):
            self.own(_path_of(arguments[place]))
        for place in _MOVES.get(event, ()):
            self.own_entry(_path_of(arguments[place]))


_CHANGES: Mapping[str, tuple[int, ...]] = {
    "os.truncate": (0,),
    "os.chmod": (0,),
    "os.utime": (0,),
    "os.rmdir": (0,),
    "sqlite3.connect": (0,),
}
"""Operations that change what is at a path, with the places of the paths among an audit event's arguments."""

_MOVES: Mapping[str, tuple[int, ...]] = {
    "os.remove": (0,),
    "os.rename": (0, 1),
    "os.mkdir": (0,),
    "os.link": (1,),
    "os.symlink": (1,),
}
"""Operations that change an entry of a folder."""


def _path_of(value: object) -> str:
    if isinstance(value, bytes):
        value = os.fsdecode(value)
    if not isinstance(value, str | os.PathLike):
        return ""
    text = os.fspath(value)
    return os.path.abspath(os.fsdecode(text)) if text not in ("", ":memory:") else ""


def _unlink_one(path: str, *, keeps: bool) -> None:
    """Replace a link by what it leads to, or by nothing where that is not needed."""
    source = os.readlink(path)
    if os.path.isdir(path):
        _open_up(path)
    elif keeps and os.path.exists(source):
        beside = f"{path}.{os.getpid()}.palate"
        shutil.copy2(source, beside)
        os.replace(beside, path)
    else:
        os.unlink(path)


def _open_up(path: str) -> None:
    """Make a real folder of a linked one, with a link for each of its entries."""
    source = os.readlink(path)
    beside = f"{path}.{os.getpid()}.{threading.get_ident()}.palate"
    os.mkdir(beside)
    for name in os.listdir(source):
        os.symlink(os.path.join(source, name), os.path.join(beside, name))
    os.unlink(path)
    try:
        os.rename(beside, path)
    except OSError:  # another thread or process was faster
        shutil.rmtree(beside, ignore_errors=True)
