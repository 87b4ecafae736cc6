"""A folder of its own for each run, which looks like the person's: what it reads is theirs, what it writes is its own.

Code and settings are copied, everything else is a link, folders are real as far as `MOST` entries go. A `Guard` makes
a link the run's own right before Python writes to it. So two runs that write `model.pt` write two files, and the
person's folder stays as it is. What a run wrote stays in its folder. Programs that are not Python have no guard: there
every small file is copied, and a large one that is written to in place is the person's. Standard library only.
"""

import contextlib
import errno
import functools
import json
import os
import re
import shutil
import stat
import tempfile
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from palate.atomic import name_beside
from palate.question.folder import CODE, SKIPPED, Place, path_inside
from palate.question.outside import holds_secret
from palate.store.leftovers import is_gone

WORK = "work"
"""Folder in a run's folder in which it works."""

MOST = 1000
"""Entries that are linked one by one; folders beyond are linked as a whole until they are written to."""

SMALL = 256 << 10
"""The most bytes of a file that is copied."""

MOST_COPIES = 300

LARGEST_COPY = 64 << 10
"""The most bytes of a file that is copied though it is neither code nor settings."""

BESIDE = ".work"
"""The end of the name of the folder beside a store in which runs work whose copies hold secrets."""

HIDDEN = (".palate", f".palate{BESIDE}", ".git", "__pycache__")
"""What no run sees: git finds the repository above, and bytecode of another state of the code must not be found."""

COPIES = "copied.json"
"""File beside the folder with what was copied into it."""

MOST_CAREFUL = 10_000
"""Entries, and copies, where a program that is not Python works in the folder: nothing else guards what it writes."""


def make_folder(place: Place, work: str, *, guarded: bool = True) -> None:
    """Make a run's folder; nothing of the person's is copied but small code and settings.

    Args:
        place: what the run sees.
        work: the folder.
        guarded: whether a `Guard` hears what the run does; where none does, more is copied, and files are no links.

    Raises:
        OSError: it cannot be made.
    """
    hidden = place.hidden()
    over_files = _files_below(place.over) if place.over else []
    forced = set(_parents([os.path.join(place.cwd, "x"), *over_files, *hidden]))
    room, most_copies = (MOST, MOST_COPIES) if guarded else (MOST_CAREFUL, MOST_CAREFUL)
    copied: dict[str, tuple[int, int]] = {}
    waiting = deque([""])
    os.makedirs(work, exist_ok=True)
    while waiting:
        here = waiting.popleft()
        if here:
            os.mkdir(f"{work}/{here}")
        for entry in _entries(place, here, hidden):
            target = f"{work}/{entry.name}"
            if not entry.is_folder:
                state = _copy_small(entry.source, target) if len(copied) < most_copies else None
                if state is None:
                    _link(entry.source, target, hard=not guarded)
                else:
                    copied[entry.name] = state
                continue
            inside = _count(entry.source, room) if _below_cwd(entry.name, place.cwd) and not entry.whole else room + 1
            if entry.name in forced or inside <= room:
                waiting.append(entry.name)
                room -= min(inside, room)
            else:
                os.symlink(entry.source, target)
    with open(os.path.join(os.path.dirname(work), COPIES), "w") as file:
        json.dump(copied, file)


def clear_folder(place: Place, work: str, own: Iterable[str] = ()) -> list[tuple[str, int]]:
    """Remove from a run's folder what is not its own; return what it wrote, with the sizes in bytes.

    Args:
        place: as it was made with.
        work: the folder.
        own: files that palate put there.
    """
    path = os.path.join(os.path.dirname(work), COPIES)
    try:
        with open(path) as file:
            copied = {name: (size, changed_ns) for name, (size, changed_ns) in json.load(file).items()}
        os.unlink(path)
    except (OSError, ValueError):
        copied = {}
    wrote: list[tuple[str, int]] = []
    _Clearing(place, work, copied, frozenset(own), wrote).clear("")
    with contextlib.suppress(OSError):
        os.rmdir(work)
    return sorted(wrote)


@dataclass(frozen=True, slots=True)
class _Clearing:
    """The clearing of a run's folder; what goes or cannot be removed meanwhile stays out of it."""

    place: Place
    work: str
    copied: Mapping[str, tuple[int, int]]
    own: frozenset[str]
    wrote: list[tuple[str, int]]

    def clear(self, here: str) -> None:
        """Clear a folder, seen from the work folder."""
        try:
            with os.scandir(f"{self.work}/{here}") as found:
                entries = list(found)
        except OSError:
            return
        for entry in entries:
            with contextlib.suppress(OSError):
                self._clear_entry(f"{here}/{entry.name}" if here else entry.name, entry)

    def _clear_entry(self, name: str, entry: "os.DirEntry[str]") -> None:
        if entry.is_symlink():
            if os.readlink(entry.path) in (f"{self.place.root}/{name}", f"{self.place.over}/{name}"):
                os.unlink(entry.path)
            else:
                self.wrote.append((name, 0))
        elif entry.name == "__pycache__":
            shutil.rmtree(entry.path, ignore_errors=True)
        elif entry.is_dir(follow_symlinks=False):
            self.clear(name)
            if any(os.path.isdir(f"{base}/{name}") for base in (self.place.root, self.place.over) if base):
                os.rmdir(entry.path)
        else:
            known = entry.stat(follow_symlinks=False)
            copied = self.copied.get(name) == (known.st_size, known.st_mtime_ns)
            linked = known.st_nlink > 1 and _is_same_file(entry.path, f"{self.place.root}/{name}")
            if name in self.own or copied or linked:
                os.unlink(entry.path)
            else:
                self.wrote.append((name, known.st_size))


def _is_same_file(one: str, other: str) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False


@dataclass(frozen=True, slots=True)
class _Entry:
    name: str
    source: str
    is_folder: bool
    whole: bool


def _entries(place: Place, here: str, hidden: frozenset[str]) -> Iterator[_Entry]:
    """Yield what a run sees in a folder, by names seen from the root."""
    known: set[str] = set()
    home = _inode(place.home)
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
                if name in known or name in hidden or entry.name in HIDDEN or entry.inode() == home:
                    continue
                known.add(name)
                is_folder = entry.is_dir(follow_symlinks=False)
                whole = is_folder and (entry.name in SKIPPED or os.path.exists(f"{source}/pyvenv.cfg"))
                yield _Entry(name, source, is_folder, whole)


def _inode(path: str) -> int:
    try:
        return os.stat(path).st_ino
    except OSError:
        return -1


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


def work_folder(place: Place, folder: str, owner: int, *, secret: bool) -> str:
    """Return where a run works: in its own folder in the store, or beside the store where copies would hold a secret.

    Beside the store it is on the same disk, and what it wrote is moved home when it has ended (`bring_home`). What a
    palate that was killed left there is removed.

    Args:
        place: what the run sees.
        folder: the run's own.
        owner: the process that will bring it home.
        secret: whether it will hold a secret in any case.
    """
    inside = os.path.join(folder, WORK)
    if not secret and not _shows_secret(place):
        return inside
    beside = place.home + BESIDE
    if os.path.islink(beside):
        raise OSError(errno.ELOOP, "it is a link, which palate does not follow", beside)
    _remove_left(beside)
    while True:
        with contextlib.suppress(FileNotFoundError):  # another run was the last one, and removed it
            os.makedirs(beside, mode=0o700, exist_ok=True)
            with open(os.path.join(beside, ".gitignore"), "w") as file:
                file.write("*\n")
            made = tempfile.mkdtemp(prefix=f"{owner}-", dir=beside)
            break
    work = os.path.join(made, WORK)
    os.symlink(work, inside)
    return work


def _shows_secret(place: Place) -> bool:
    """Return whether any small file of those that a run sees holds a secret; folders beyond `MOST` are not copied."""
    left = MOST
    for base in (place.over, place.root):
        for where, folders, names in os.walk(base) if base else ():
            folders[:] = [
                one for one in folders if one not in SKIPPED and not os.path.exists(f"{where}/{one}/pyvenv.cfg")
            ]
            for name in names[:left]:
                if _holds_secret_at(f"{where}/{name}"):
                    return True
            left -= len(names)
            if left <= 0:
                break
    return False


_MADE_BESIDE = re.compile(r"\d+-[a-z0-9_]{8}")
"""How a folder is named that a run works in beside the store: by the process that made it."""


def _remove_left(beside: str) -> None:
    """Remove what processes left that are gone."""
    for name in os.listdir(beside) if os.path.isdir(beside) else ():
        if _MADE_BESIDE.fullmatch(name) and is_gone(int(name.partition("-")[0])):
            shutil.rmtree(os.path.join(beside, name), ignore_errors=True)


def bring_home(folder: str, home: str) -> None:
    """Move what a run wrote beside the store into its own folder, where it worked beside the store."""
    inside = os.path.join(folder, WORK)
    if not os.path.islink(inside):
        return
    beside, work = home + BESIDE, os.path.realpath(inside)
    os.unlink(inside)
    made = os.path.dirname(work)
    if os.path.dirname(made) == os.path.realpath(beside) and _MADE_BESIDE.fullmatch(os.path.basename(made)):
        if os.path.isdir(work):
            shutil.move(work, inside)
        shutil.rmtree(made, ignore_errors=True)
    with contextlib.suppress(OSError):  # of others, some are there
        if os.listdir(beside) == [".gitignore"]:
            os.unlink(os.path.join(beside, ".gitignore"))
            os.rmdir(beside)


def _holds_secret_at(source: str) -> bool:
    """Return whether a small file holds a secret."""
    try:
        known = os.stat(source)
    except OSError:
        return False
    if not stat.S_ISREG(known.st_mode) or not 0 < known.st_size <= SMALL:
        return False
    return _holds_secret(source, known.st_size, known.st_mtime_ns)


@functools.lru_cache(4096)
def _holds_secret(source: str, *_state: int) -> bool:
    try:
        with open(source, "rb") as file:
            return holds_secret(file.read())
    except OSError:
        return False


def _copy_small(source: str, target: str) -> tuple[int, int] | None:
    """Copy a file if it is small; return its size and time of change, or None where it was not copied."""
    try:
        known = os.stat(source)
        most = SMALL if source.endswith(CODE) or known.st_mode & stat.S_IXUSR else LARGEST_COPY
        if not stat.S_ISREG(known.st_mode) or known.st_size > most:
            return None
        with open(source, "rb") as one, open(target, "xb") as other:
            other.write(one.read())
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(target)
        return None
    os.utime(target, ns=(known.st_atime_ns, known.st_mtime_ns))
    if known.st_mode & stat.S_IXUSR:
        os.chmod(target, known.st_mode & 0o777)
    return known.st_size, known.st_mtime_ns


def _link(source: str, target: str, *, hard: bool) -> None:
    """Link a file; by a hard link, which programs do not tell from a file, where that is wanted and can be."""
    if hard and not os.path.islink(source) and os.path.isfile(source):
        with contextlib.suppress(OSError):
            os.link(source, target)
            return
    os.symlink(source, target)


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

    Links that the run itself makes are not touched: what is written through them goes where they lead.

    Args:
        work: the run's folder.
        theirs: folders that links of palate's lead to: the person's, and the one that stands over it.
    """

    def __init__(self, work: str, theirs: Iterable[str] = ()) -> None:
        self._work = work
        self._theirs = tuple(f"{folder}{os.sep}" for folder in theirs if folder)
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
                if self._is_ours(path):
                    _unlink_one(path, keeps=keeps)
                elif os.path.islink(path):  # the run's own link, perhaps to one that is not its own yet
                    led = os.path.normpath(os.path.join(os.path.dirname(path), os.readlink(path)))
                    if path_inside(led, self._work) is not None and self._is_ours(led):
                        _unlink_one(led, keeps=keeps)

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
                        if self._is_ours(one):
                            _open_up(one)
                        if not os.path.islink(one):
                            waiting.append(one)

    def show(self, path: str) -> None:
        """Make the linked folders in a folder real before it is listed: a walk does not enter links."""
        with self._alone(path) as mine:
            if mine:
                self._open_parents(os.path.join(path, "x"))
                self._open_folders(path)

    def secure(self, folder: str = "") -> None:
        """Copy what is small in a folder, before something that nobody hears writes through its links.

        Args:
            folder: the folder; all of the run's own if "".
        """
        with self._alone(folder or self._work) as mine:
            if mine:
                self._open_parents(os.path.join(folder or self._work, "x"))
            waiting, left = [folder or self._work], MOST_CAREFUL
            while mine and waiting and left > 0:
                here = waiting.pop()
                self._open_folders(here)
                with os.scandir(here) as found:
                    entries = list(found)
                left -= len(entries)
                waiting += [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
                for entry in entries:
                    if self._is_ours(entry.path) and entry.is_file() and entry.stat().st_size <= SMALL:
                        _unlink_one(entry.path, keeps=True)

    def _open_folders(self, path: str) -> None:
        with os.scandir(path) as found:
            links = [entry.path for entry in found if entry.is_symlink() and entry.is_dir()]
        for link in links:
            ours = self._is_ours(link) and os.path.basename(link) not in SKIPPED
            if ours and not os.path.islink(os.readlink(link)):  # a link of the person's own stays one
                _open_up(link)

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
            if self._is_ours(here) and os.path.isdir(here):
                _open_up(here)

    def _is_ours(self, path: str) -> bool:
        """Whether a path is a link that palate made."""
        if not os.path.islink(path):
            return False
        leads_to = os.readlink(path)
        return leads_to.startswith(self._theirs or os.sep) and path_inside(leads_to, self._work) is None

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
        beside = str(name_beside(Path(path)))
        shutil.copy2(source, beside)
        os.replace(beside, path)
    else:
        os.unlink(path)


def _open_up(path: str) -> None:
    """Make a real folder of a linked one, with a link for each of its entries."""
    source = os.readlink(path)
    beside = str(name_beside(Path(path)))
    os.mkdir(beside)
    try:
        for name in os.listdir(source):
            os.symlink(os.path.join(source, name), os.path.join(beside, name))
        os.unlink(path)
        os.rename(beside, path)
    except OSError:  # another thread or process was faster
        shutil.rmtree(beside, ignore_errors=True)
