"""The folder that runs see: the person's, with another state of its code where an edit is asked about.

Runs work in folders of their own that look like it; see `palate.training.apart`.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

CODE = (".py", ".pyi", ".pyx", ".yaml", ".yml", ".json", ".toml", ".cfg", ".ini", ".gin", ".sh", ".txt", ".ipynb",
        ".cu", ".cpp", ".c", ".h", ".cuh", ".jinja", ".tmpl")  # fmt: skip
"""How the names of code and settings end."""

SKIPPED = (
    ".git",
    ".hg",
    ".svn",
    ".palate",
    ".palate.work",
    "__pycache__",
    "node_modules",
    ".venv",
    "venv",
    ".tox",
    ".mypy_cache",
)
"""Folders that hold no code of the person's; environments do not either, whatever their name."""

_ROOT_MARKS = (".git", "pyproject.toml", "setup.py", "setup.cfg")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The folder that runs see.

    Attributes:
        root: the person's folder.
        cwd: where runs work, seen from `root`.
        home: palate's own folder, which no run sees.
        over: a folder whose files stand in the place of the person's; "" for none.
        instead: the folder with the state that the person has; its files that `over` does not have are not there. A
            list of its files stands beside each folder, under its name with `.json`.
    """

    root: str
    cwd: str = ""
    home: str = ""
    over: str = ""
    instead: str = ""

    def body(self) -> dict[str, Any]:
        """Return it as plain JSON data."""
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> Self:
        """Undo `body`."""
        return cls(**body)

    def hidden(self) -> frozenset[str]:
        """Return the files of the person's that are not there, seen from `root`.

        Raises:
            OSError: the lists of files are gone.
        """
        if not self.instead:
            return frozenset()
        return files_listed(self.instead) - files_listed(self.over)

    def shown(self, path: str, work: str) -> str:
        """Return a path of the person's folder as the run sees it; any other path as it is."""
        inside = path_inside(path, self.root)
        return path if inside is None else os.path.join(work, inside)

    def person(self, path: str, work: str) -> str:
        """Undo `shown`: return where the person has what a run sees at a path."""
        inside = path_inside(path, work)
        return path if inside is None else os.path.join(self.root, inside)

    def name_of(self, path: str) -> str:
        """Return a file's name: seen from the root, or from the folder that stands over it, where it is in one."""
        over = path_inside(path, self.over) if self.over else None
        inside = path_inside(path, self.root)
        return over if over is not None else path if inside is None else inside

    def path(self, name: str) -> str:
        """Return where a file or folder comes from, by its name as runs know it; a folder ends with a slash."""
        if name.startswith("/"):
            return name
        return os.path.join(self.root, name) if name.endswith("/") else self.source(name)

    def source(self, name: str) -> str:
        """Return where a file that a run sees under a name comes from."""
        over = os.path.join(self.over, name) if self.over else ""
        return over if over and os.path.lexists(over) else os.path.join(self.root, name)


def place_of(cwd: Path, home: Path) -> Place:
    """Return the place of runs that are started in a folder: its repository or project, else the folder itself."""
    top = next((one for one in (cwd, *cwd.parents) if any((one / mark).exists() for mark in _ROOT_MARKS)), cwd)
    person = Path(os.path.expanduser("~"))
    if top in (person, Path(top.anchor)) and top != cwd:
        top = cwd
    return Place(root=str(top), cwd=path_inside(str(cwd), str(top)) or "", home=str(home))


def path_inside(path: str, folder: str) -> str | None:
    """Return a path seen from a folder that it is in; None where it is not.

    >>> path_inside("/a/b/c", "/a"), path_inside("/ab", "/a")
    ('b/c', None)
    """
    if path == folder:
        return ""
    return path[len(folder) + 1 :] if path.startswith(folder + os.sep) else None


def files_listed(folder: str) -> frozenset[str]:
    """Return the names of the files of a state, those that are not copied included.

    Raises:
        OSError: the list is gone.
    """
    with open(f"{folder}.json", "rb") as file:
        return frozenset(json.load(file))
