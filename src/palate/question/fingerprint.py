"""Fingerprints of code, data and installed packages: runs are re-used only where all three are equal."""

import hashlib
import inspect
import types
from collections.abc import Callable, Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

from palate.capture.code import code_bytes
from palate.errors import NotFoundError
from palate.question.source import Source, read_source

_DISTRIBUTIONS = {"sklearn": "scikit-learn", "PIL": "pillow", "yaml": "pyyaml", "cv2": "opencv-python"}
_BLOCK = 1 << 20


def imports_of(source: Source) -> tuple[str, ...]:
    """Name what a file and every local module that it imports, in turn, import."""
    found = dict.fromkeys(source.imports)
    seen = {source.path.resolve(): ""}
    waiting = [source]
    while waiting:
        here = waiting.pop()
        for name in here.imports:
            for path in _local(name, here.path.parent, source.path.parent):
                if path.resolve() not in seen:
                    seen[path.resolve()] = ""
                    waiting.append(read_source(path))
                    found.update(dict.fromkeys(waiting[-1].imports))
    return tuple(found)


def code_of_file(source: Source, recipe_of: str) -> str:
    """Hash a file and every local module that it imports, in turn.

    Comments do not count, nor do the settings of `recipe_of` (a function's name, "" for the script's own): they are
    recipe.
    """
    seen = {source.path.resolve(): source.code_id(recipe_of)}
    _follow(source, seen, source.path.parent)
    text = "\n".join(f"{path.name} {code}" for path, code in sorted(seen.items()))
    return hashlib.sha256(text.encode()).hexdigest()


def _follow(source: Source, seen: dict[Path, str], root: Path) -> None:
    for name in source.imports:
        for path in _local(name, source.path.parent, root):
            if path.resolve() not in seen:
                module = read_source(path)
                seen[path.resolve()] = module.code_id()
                _follow(module, seen, root)


def _local(name: str, here: Path, root: Path) -> Iterable[Path]:
    level = len(name) - len(name.lstrip("."))
    for base in [here.joinpath(*[".."] * (level - 1))] if level else [here, root]:
        place = base.joinpath(*name.strip(".").split("."))
        for path in (place.with_suffix(".py"), place / "__init__.py"):
            if path.is_file():
                return [path]
    return []


def versions_of(imports: Iterable[str]) -> dict[str, str]:
    """Name the installed versions of what a file imports, where they are packages of their own."""
    found = {}
    for top in sorted({name.split(".")[0] for name in imports if name and not name.startswith(".")} - {"palate"}):
        try:
            found[top] = metadata.version(_DISTRIBUTIONS.get(top, top))
        except (metadata.PackageNotFoundError, ValueError):
            continue
    return found


def code_of_function(function: Callable[..., Any]) -> str:
    """Hash a function and the functions and classes of its own module that it uses, for one that has no file."""
    digest = hashlib.sha256()
    seen: set[int] = set()
    _feed(function, digest, seen, function.__module__)
    return digest.hexdigest()


def _feed(value: Any, digest: "hashlib._Hash", seen: set[int], module: str) -> None:
    if id(value) in seen:
        return
    seen.add(id(value))
    try:
        digest.update(inspect.getsource(value).encode())
    except (OSError, TypeError):
        code = getattr(value, "__code__", None)
        digest.update(code_bytes(code) if code else repr(type(value)).encode())
    for name in _names_used(value):
        used = getattr(value, "__globals__", {}).get(name)
        if isinstance(used, types.FunctionType | type) and used.__module__ == module:
            _feed(used, digest, seen, module)
        elif isinstance(used, int | float | str | bool | tuple | None):
            digest.update(f"{name}={used!r}".encode())


def _names_used(value: Any) -> tuple[str, ...]:
    if isinstance(value, type):
        return tuple(name for part in vars(value).values() for name in _names_used(part))
    code = getattr(value, "__code__", None)
    return _code_names(code) if code else ()


def _code_names(code: types.CodeType) -> tuple[str, ...]:
    inner = [name for part in code.co_consts if isinstance(part, types.CodeType) for name in _code_names(part)]
    return (*code.co_names, *inner)


def data_of(paths: Iterable[str], root: Path) -> str:
    """Hash the content of data files and folders; the empty text where none are declared.

    Raises:
        NotFoundError: a declared path does not exist.
    """
    digest = hashlib.sha256()
    declared = [root / path for path in paths]
    for path in declared:
        if not path.exists():
            raise NotFoundError(
                f"{path}: declared as data, but there is no such file.", todo="Mend --data, or data=..."
            )
        for file in sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]:
            digest.update(str(file.relative_to(root) if file.is_relative_to(root) else file).encode())
            _feed_file(file, digest)
    return digest.hexdigest() if declared else ""


def _feed_file(path: Path, digest: "hashlib._Hash") -> None:
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
