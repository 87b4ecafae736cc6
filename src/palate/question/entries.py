"""Where the code of a program is: which module a console entry point calls, and where an environment's modules are."""

import ast
import importlib.metadata
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MOST_OF_A_PROGRAM = 8192
"""Bytes at the start of a program that are looked at for what it is."""

_CALLED = re.compile(r"^\s*from ([\w.]+) import ([\w.]+)", re.MULTILINE)


def is_of_palate(program: str) -> bool:
    """Return whether a Python is the one that palate runs in, by its name as typed."""
    found = shutil.which(program)
    if found is None:
        return False
    here, mine = Path(found).absolute(), Path(sys.executable).absolute()
    if here.parent == mine.parent:  # python, python3 and python3.11 of one environment
        return True
    return sys.prefix == sys.base_prefix and here.resolve() == mine.resolve()


@dataclass(frozen=True, slots=True)
class Program:
    """A program on the disk that Python executes.

    Attributes:
        python: the Python that it names.
        text: its first part.
    """

    python: str
    text: str

    @property
    def is_of_palate(self) -> bool:
        """Whether it is executed by the Python that palate runs in."""
        return is_of_palate(self.python)

    @property
    def entry(self) -> str:
        """The module of the function that it calls, where it is a console entry point; else ""."""
        found = _CALLED.findall(self.text)
        named = [
            module for module, name in found if module != "re" and re.search(rf"\b{re.escape(name)}\b\(", self.text)
        ]
        return named[0] if named and "__main__" in self.text else ""


def python_program(program: str) -> Program | None:
    """Return what a program is that Python executes, by its name or path; None for any other."""
    found = shutil.which(program)
    if found is None:
        return None
    try:
        with Path(found).open("rb") as file:
            text = file.read(MOST_OF_A_PROGRAM).decode("utf-8", "replace")
    except OSError:
        return None
    first, _, rest = text.partition("\n")
    if first.rstrip() == "#!/bin/sh" and "exec' " in rest[:400]:  # a long path: '''exec' /long/python "$0" "$@"
        first = "#!" + rest.split("exec' ", 1)[1].split(' "$0"', 1)[0].strip("\"'")
    if not first.startswith("#!") or "python" not in first:
        return None
    words = shlex.split(first[2:].strip())
    words = words[1:] if words and Path(words[0]).name == "env" else words
    words = [word for word in words if word != "-S"]
    return Program(words[0], text) if words else None


def entry_module(program: str, found: Program) -> str:
    """Return the module that a console entry point of an environment calls; "" where it is none."""
    if found.entry:
        return found.entry
    name = Path(program).name
    if found.is_of_palate:
        for one in importlib.metadata.entry_points(group="console_scripts", name=name):
            return one.module
    return ""


def folders_of(python: str) -> list[Path]:
    """Return the folders that a Python imports from, with those of packages that are installed from their source.

    Args:
        python: as typed, or a path.
    """
    if is_of_palate(python):
        first = [Path(one) for one in sys.path if one]
    else:
        found = shutil.which(python)
        top = Path(found).parent.parent if found else Path()
        first = sorted(top.glob("lib/python3*/site-packages")) if found else []
    return [*first, *(inside for folder in first for inside in _linked(folder))]


def _linked(folder: Path) -> Iterator[Path]:
    """Yield the folders that files in a folder of packages add to it."""
    for path in sorted(folder.glob("*.pth")):
        for line in _text(path).splitlines():
            if line.strip() and not line.startswith(("import ", "import\t", "#")):
                yield folder / line.strip()
    for path in sorted(folder.glob("__editable__*_finder.py")):
        found = re.search(r"^MAPPING[^=]*= (\{.*\})$", _text(path), re.MULTILINE)
        if found:
            yield from (Path(one).parent for one in ast.literal_eval(found[1]).values())


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
