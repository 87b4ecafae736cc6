"""Folders that a script adds to what it imports from: `sys.path.insert(0, "src")`, read and not run."""

import ast
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from palate.question.ways.declared import nodes

_SAME = ("abspath", "realpath", "normpath", "str", "Path", "PurePath", "fspath", "resolve", "absolute", "expanduser",
         "as_posix")  # fmt: skip
"""Calls that return the path that they are given, as far as folders are concerned."""


def added_folders(tree: ast.Module, path: Path) -> Iterator[Path]:
    """Yield the folders that a file adds to `sys.path`, where what it adds can be read.

    Args:
        tree: of the file.
        path: of the file.
    """
    known = {
        node.targets[0].id: node.value
        for node in nodes(tree)
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name)
    }
    for node in nodes(tree):
        if not isinstance(node, ast.Call) or ast.unparse(node.func) not in ("sys.path.insert", "sys.path.append"):
            continue
        folder = _folder(node.args[-1], path, known) if node.args else None
        if folder is not None and (Path.cwd() / folder).is_dir():
            yield Path(os.path.normpath(Path.cwd() / folder))


def _folder(node: ast.expr, file: Path, known: Mapping[str, ast.expr], deep: int = 0) -> Path | None:
    """Return the path that an expression is; None where that cannot be read."""
    if deep > _DEEPEST:
        return None

    def read(inner: ast.expr) -> Path | None:
        return _folder(inner, file, known, deep + 1)

    match node:
        case ast.Constant(value=str(text)):
            return Path(text)
        case ast.Name(id="__file__"):
            return file
        case ast.Name(id=name) if name in known:
            return read(known[name])
        case ast.Call():
            return _called(node, read)
    return _of_path(node, read)


def _of_path(node: ast.expr, read: Callable[[ast.expr], Path | None]) -> Path | None:
    match node:
        case ast.Attribute(value=inner, attr="parent"):
            return _above(read(inner), 1)
        case ast.Subscript(value=ast.Attribute(value=inner, attr="parents"), slice=ast.Constant(value=int(number))):
            return _above(read(inner), number + 1)
        case ast.BinOp(left=left, op=ast.Div(), right=right):
            return _joined([read(left), read(right)])
    return None


_DEEPEST = 12


def _called(node: ast.Call, read: Callable[[ast.expr], Path | None]) -> Path | None:
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    if name in ("getcwd", "cwd"):
        return Path.cwd()
    if name == "dirname" and node.args:
        return _above(read(node.args[0]), 1)
    if name == "join":
        return _joined([read(one) for one in node.args])
    if name in _SAME:
        return (
            read(node.args[0]) if node.args else read(node.func.value) if isinstance(node.func, ast.Attribute) else None
        )
    return None


def _above(path: Path | None, levels: int) -> Path | None:
    parents = [] if path is None else [*path.absolute().parents]
    return parents[levels - 1] if levels <= len(parents) else None


def _joined(parts: list[Path | None]) -> Path | None:
    known = [part for part in parts if part is not None]
    return Path(*known) if known and len(known) == len(parts) else None
