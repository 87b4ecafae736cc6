"""A project's folder `.palate/`: where it is, and what lies where in it; standard library only."""

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

from palate.errors import StoreError
from palate.store.chain import Chain
from palate.store.locks import folder_locked
from palate.store.private import make_folder, replace_file, write_file
from palate.vocabulary import Goal

FOLDER = ".palate"
GOALS, PATTERNS, MARGINS = "goals.json", "patterns.json", "margins.json"
_ROOT_MARKS = ("pyproject.toml", ".git", "setup.py", "setup.cfg")


@dataclass(frozen=True, slots=True)
class Project:
    """One project's store; open it with `find_project` or by its path, pass it down.

    Attributes:
        home: the folder.
        chain: the sealed chain.
    """

    home: Path
    chain: Chain = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "chain", Chain(self.home / "chain.jsonl"))

    @property
    def runs(self) -> Path:
        """Folder of the runs, one folder each."""
        return self.home / "runs"

    @property
    def catalog(self) -> Path:
        """The catalog's SQLite file."""
        return self.home / "catalog.sqlite"

    def run_folder(self, run_id: str) -> Path:
        """Folder of one run."""
        return self.runs / run_id

    def journal(self, run_id: str) -> Path:
        """Journal of one run."""
        return self.runs / run_id / "journal"

    def output(self, run_id: str) -> Path:
        """What one run printed."""
        return self.runs / run_id / "output.log"

    @property
    def goals(self) -> Mapping[str, Goal]:
        """Which way metrics are better, as a person was asked in this project, by name."""
        try:
            told = json.loads((self.home / GOALS).read_text(encoding="utf-8")) if (self.home / GOALS).is_file() else {}
        except (OSError, ValueError, RecursionError):
            return {}
        return {name: goal for name, goal in told.items() if goal in get_args(Goal)} if isinstance(told, dict) else {}

    def remember_goal(self, metric: str, goal: Goal) -> None:
        """Remember which way a metric is better, so that nobody is asked twice.

        Raises:
            StoreError: the folder cannot be written.
        """
        self.make()
        try:
            with folder_locked(self.home):
                told = json.dumps({**self.goals, metric: goal}, indent=1, sort_keys=True, ensure_ascii=False)
                replace_file(self.home / GOALS, f"{told}\n")
        except OSError as error:
            raise _not_written(self.home, error) from error

    @property
    def patterns(self) -> Mapping[str, str]:
        """Patterns that find metrics in what runs print, as a person gave them in this project, by name."""
        try:
            told = json.loads((self.home / PATTERNS).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return {}
        return {name: one for name, one in told.items() if isinstance(one, str)} if isinstance(told, dict) else {}

    def remember_pattern(self, metric: str, pattern: str) -> None:
        """Remember a pattern, so that runs of later commands are read alike.

        Raises:
            StoreError: the folder cannot be written.
        """
        self.make()
        try:
            with folder_locked(self.home):
                told = json.dumps({**self.patterns, metric: pattern}, indent=1, sort_keys=True, ensure_ascii=False)
                replace_file(self.home / PATTERNS, f"{told}\n")
        except OSError as error:
            raise _not_written(self.home, error) from error

    @property
    def margins(self) -> Mapping[str, float]:
        """The smallest differences that matter, as they are logged, kept for this project's metrics by name."""
        try:
            told = json.loads((self.home / MARGINS).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return {}
        numbers = told.items() if isinstance(told, dict) else ()
        return {name: float(one) for name, one in numbers if type(one) in (int, float) and 0 < one < math.inf}

    def keep_margin(self, metric: str, margin: float, *, only_first: bool = False) -> float:
        """Keep a metric's margin for later questions; return the one that is kept.

        Args:
            metric: as it is logged.
            margin: in the unit that is logged.
            only_first: keep it only where none is kept: of two processes that ask at once, the first answer counts.

        Raises:
            StoreError: the folder cannot be written.
        """
        self.make()
        try:
            with folder_locked(self.home):
                margins = dict(self.margins)
                if only_first and metric in margins:
                    return margins[metric]
                told = json.dumps({**margins, metric: margin}, indent=1, sort_keys=True, ensure_ascii=False)
                replace_file(self.home / MARGINS, f"{told}\n")
        except OSError as error:
            raise _not_written(self.home, error) from error
        return margin

    def make(self) -> None:
        """Make the folder for its owner alone, with a .gitignore so that nobody commits runs by accident.

        Raises:
            StoreError: it cannot be made or written.
        """
        try:
            make_folder(self.home, top=True)
            make_folder(self.runs)
            ignore = self.home / ".gitignore"
            if not ignore.exists() or not ignore.stat().st_size:  # a full disk leaves it empty
                write_file(ignore, "*\n")
            if not os.access(self.runs, os.W_OK):
                raise PermissionError(13, "Permission denied")
        except OSError as error:
            raise _not_written(self.home, error) from error


def _not_written(home: Path, error: OSError) -> StoreError:
    return StoreError(
        f"{home} cannot be written: {error.strerror}.",
        why="Nothing was started and nothing was lost.",
        todo="Choose a folder that can be written: PALATE_HOME=/path/to/folder",
    )


def find_project(start: Path, environment: Mapping[str, str]) -> Project:
    """Find the project: PALATE_HOME, else the nearest `.palate/` upwards, else beside the nearest project file.

    Nothing is made or written.
    """
    if environment.get("PALATE_HOME"):
        return Project(Path(os.path.expanduser(environment["PALATE_HOME"])).absolute())  # noqa: PTH111  never raises
    folders = [start.absolute(), *start.absolute().parents]
    for folder in folders:
        if _is_there(folder / FOLDER, folder=True):
            return Project(folder / FOLDER)
    for folder in folders:
        if any(_is_there(folder / mark) for mark in _ROOT_MARKS):
            return Project(folder / FOLDER)
    return Project(start.absolute() / FOLDER)


def _is_there(path: Path, *, folder: bool = False) -> bool:
    try:
        return path.is_dir() if folder else path.exists()
    except OSError:  # in a folder that one may not look into
        return False
