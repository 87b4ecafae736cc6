"""The folder that runs see: the person's, with another state of its code where an edit is asked about.

Runs work in folders of their own that look like it; see `palate.training.apart`.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

_ROOT_MARKS = (".git", "pyproject.toml", "setup.py", "setup.cfg")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The folder that runs see.

    Attributes:
        root: the person's folder.
        cwd: where runs work, seen from `root`.
        home: palate's own folder, which no run sees.
        over: a folder whose files stand in the place of the person's; "" for none.
        hidden: files of the person's that are not there, seen from `root`.
    """

    root: str
    cwd: str = ""
    home: str = ""
    over: str = ""
    hidden: frozenset[str] = field(default_factory=frozenset)

    def body(self) -> dict[str, Any]:
        """Return it as plain JSON data."""
        return {
            "root": self.root,
            "cwd": self.cwd,
            "home": self.home,
            "over": self.over,
            "hidden": sorted(self.hidden),
        }

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> Self:
        """Undo `body`."""
        return cls(**{**body, "hidden": frozenset(body["hidden"])})

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
