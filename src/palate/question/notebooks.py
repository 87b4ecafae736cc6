"""Notebooks as Python: the cells of a file as one program, and the same file with other values in its cells.

What is not Python in a cell (magics, shell commands, help) is hidden behind comments, line by line, so that every line
keeps its number, and comes back as it was. Standard library only.
"""

import ast
import importlib.util
import json
import re
import sys
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from palate.errors import InputError

NOTEBOOK = ".ipynb"

_MAGIC = re.compile(r"\s*(?:%|!|\?)|.*\?\s*$|\s*(?:[\w.]+\s*,\s*)*[\w.]+\s*=\s*(?:%|!)\s*\S|\s*/[\w.]+\s")
"""Lines of a cell that IPython reads: `%matplotlib inline`, `!pip install x`, `files = !ls`, `model?`."""

_PYTHON_CELLS = frozenset({"time", "timeit", "capture", "prun", "memit", "mprun", "snakeviz"})
"""Magics of whole cells whose cells are Python all the same."""

_LANGUAGES = ("python", "python3", "ipython", "xpython", "")


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell with code.

    Attributes:
        number: among the cells with code, from 1.
        text: as it stands there.
        tags: of its metadata: "parameters", "raises-exception", "skip-execution".
    """

    number: int
    text: str
    tags: frozenset[str] = frozenset()

    @property
    def first_line(self) -> str:
        """Its first line that is neither empty nor a comment."""
        lines = [line.strip() for line in self.text.splitlines()]
        return next((line for line in lines if line and not line.startswith("#")), lines[0] if lines else "")


def read_cells(content: bytes, name: str) -> tuple[Cell, ...]:
    """Return the cells of a notebook that hold code and are run, in their order.

    Args:
        content: of the file.
        name: of the file, for what is said.

    Raises:
        InputError: it is no notebook that can be run: of another form or language, or without code.
    """
    body = _body(content, name)
    cells = [Cell(number, _text(one), _tags(one)) for number, one in enumerate(_code_cells(body), start=1)]
    run = tuple(cell for cell in cells if cell.text.strip() and "skip-execution" not in cell.tags)
    if not run:
        raise InputError(f"{name} has no code.", why="None of its cells is a code cell with something in it.")
    return run


def python_of(content: bytes, name: str) -> bytes:
    """Return the cells of a notebook as one Python program; what is no Python stands behind comments.

    Raises:
        InputError: see `read_cells`.
    """
    return "\n".join(_as_python(cell.text) for cell in read_cells(content, name)).encode()


def parameters_of(content: bytes, name: str) -> str:
    """Return the Python of the cell that is tagged `parameters`, as papermill has it; "" where none is."""
    cells = read_cells(content, name)
    return next((_as_python(cell.text) for cell in cells if "parameters" in cell.tags), "")


def with_python(content: bytes, name: str, change: Callable[[bytes], bytes]) -> bytes:
    """Return a notebook whose program was changed; what is no Python in it, and all else, stays as it is.

    Args:
        content: of the file.
        name: of the file.
        change: takes the program as `python_of` returns it; every line of it keeps its number.
    """
    body, cells = _body(content, name), read_cells(content, name)
    before = [_as_python(cell.text) for cell in cells]
    lines = change("\n".join(before).encode()).decode().split("\n")
    changed: dict[int, str] = {}
    for cell, python in zip(cells, before, strict=True):
        shown, own = python.split("\n"), cell.text.split("\n")
        new, lines = lines[: len(shown)], lines[len(shown) :]
        kept = [mine if now == was else now for mine, was, now in zip(own, shown, new, strict=True)]
        changed[cell.number] = "\n".join(kept)
    for number, one in enumerate(_code_cells(body), start=1):
        if number in changed:
            one["source"] = changed[number]
    return json.dumps(body, indent=1, ensure_ascii=False).encode()


def refuse_notebook(path: Path, experiments: Collection[str] = ()) -> None:
    """Refuse a notebook that cannot be run here: IPython is missing, or it asks questions itself.

    Args:
        path: of the notebook.
        experiments: names of the functions that it declares as experiments.
    """
    if experiments:
        raise InputError(
            f"{path} declares experiments ({', '.join(experiments)}), which are asked about in the notebook itself.",
            why="A notebook that asks questions would ask them again in each of its runs.",
            todo=f"Run them there, or move them into a file: palate run train.py:{next(iter(experiments))}",
        )
    if importlib.util.find_spec("IPython") is None:
        raise InputError(
            f"{path} is run by IPython, which is not installed here ({sys.executable}).",
            todo="pip install 'palate[notebook]'",
        )


def _body(content: bytes, name: str) -> dict[str, Any]:
    try:
        body = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{name} is not a notebook: {error}.",
            why="A notebook is a JSON file, and this one is damaged or something else.",
            todo="Open it in Jupyter and save it again.",
        ) from error
    if not isinstance(body, dict) or not isinstance(body.get("nbformat"), int):
        raise InputError(f"{name} is not a notebook: it does not say its nbformat.")
    if body["nbformat"] != 4 or not isinstance(body.get("cells"), list):
        raise InputError(
            f"{name} is a notebook of nbformat {body['nbformat']}; palate runs those of nbformat 4.",
            todo=f"jupyter nbconvert --to notebook --nbformat 4 --inplace {name}",
        )
    language = _language(body.get("metadata"))
    if language.lower() not in _LANGUAGES:
        raise InputError(
            f"{name} is a notebook of {language}; palate runs those of Python.",
            todo="Where a command trains, put it into a shell script: palate run train.sh",
        )
    return body


def _language(metadata: Any) -> str:
    if not isinstance(metadata, dict):
        return ""
    told = [metadata.get("kernelspec"), metadata.get("language_info")]
    kernel, language = (one if isinstance(one, dict) else {} for one in told)
    return str(language.get("name") or kernel.get("language") or kernel.get("name") or "")


def _code_cells(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for cell in body["cells"]:
        if isinstance(cell, dict) and cell.get("cell_type") == "code":
            yield cell


def _text(cell: dict[str, Any]) -> str:
    source = cell.get("source", "")
    return "".join(map(str, source)) if isinstance(source, list) else str(source)


def _tags(cell: dict[str, Any]) -> frozenset[str]:
    metadata = cell.get("metadata")
    tags = metadata.get("tags") if isinstance(metadata, dict) else None
    return frozenset(map(str, tags)) if isinstance(tags, list) else frozenset()


def _as_python(text: str) -> str:
    """Return a cell with what is no Python hidden; where the rest is no Python either, all of it is.

    What is hidden stays as text, so that code in which it differs is told apart.

    >>> _as_python("%matplotlib inline\\nif lr:\\n    !ls")
    "'%matplotlib inline'\\nif lr:\\n    '!ls'"
    """
    if _is_python(text):
        return text
    lines = text.split("\n")
    whole = re.match(r"\s*%%(\w+)", text)
    if whole and whole[1] not in _PYTHON_CELLS:
        return _all_hidden(lines)
    hidden = "\n".join(_hidden(lines))
    return hidden if _is_python(hidden) else _all_hidden(lines)


def _all_hidden(lines: list[str]) -> str:
    return "\n".join([repr("\n".join(lines)), *("" for _ in lines[1:])])


def _is_python(text: str) -> bool:
    try:
        compile(text, "cell", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    except (SyntaxError, ValueError):
        return False
    return True


def _hidden(lines: list[str]) -> Iterator[str]:
    waiting = list(lines)
    while waiting:
        line = waiting.pop(0)
        if not _MAGIC.match(line):
            yield line
            continue
        more = 0
        while line.endswith("\\") and waiting:
            line, more = f"{line}\n{waiting.pop(0)}", more + 1
        yield line[: len(line) - len(line.lstrip())] + repr(line.strip())
        yield from [""] * more
