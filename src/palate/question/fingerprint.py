"""Fingerprints of code, data and installed packages: runs are reused only where all three are equal."""

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
    """Return the imports of a file and of all local modules that it imports, directly or not."""
    names = dict.fromkeys(source.imports)
    visited = {source.path.resolve()}
    waiting = [source]
    while waiting:
        here = waiting.pop()
        for name in here.imports:
            for path in _local(name, here.path.parent, source.path.parent):
                if path.resolve() not in visited:
                    visited.add(path.resolve())
                    waiting.append(read_source(path))
                    names.update(dict.fromkeys(waiting[-1].imports))
    return tuple(names)


def sources_of(source: Source) -> frozenset[str]:
    """Return the paths of a file and of all local modules that it imports, directly or not."""
    hashes = {source.path.resolve(): ""}
    _follow(source, hashes, source.path.parent)
    return frozenset(map(str, hashes))


def code_of_file(source: Source, recipe_of: str) -> str:
    """Return a hash of a file and of all local modules that it imports, directly or not.

    Comments do not count, nor do the settings of `recipe_of` (a function's name, "" for the script's own): they belong
    to the recipe.
    """
    hashes = {source.path.resolve(): source.code_id(recipe_of)}
    _follow(source, hashes, source.path.parent)
    text = "\n".join(f"{path.name} {code}" for path, code in sorted(hashes.items()))
    return hashlib.sha256(text.encode()).hexdigest()


def _follow(source: Source, hashes: dict[Path, str], root: Path) -> None:
    """Add the hashes of the local modules that a file imports, directly or not."""
    for name in source.imports:
        for path in _local(name, source.path.parent, root):
            if path.resolve() not in hashes:
                module = read_source(path)
                hashes[path.resolve()] = module.code_id()
                _follow(module, hashes, root)


def _local(name: str, here: Path, root: Path) -> Iterable[Path]:
    """Return the file of a module, where it is in the importing file's folder or in the root; empty elsewhere."""
    level = len(name) - len(name.lstrip("."))
    for base in [here.joinpath(*[".."] * (level - 1))] if level else [here, root]:
        place = base.joinpath(*name.strip(".").split("."))
        for path in (place.with_suffix(".py"), place / "__init__.py"):
            if path.is_file():
                return [path]
    return []


def versions_of(imports: Iterable[str]) -> dict[str, str]:
    """Return the installed versions of the packages among some imports."""
    versions = {}
    for top in sorted({name.split(".")[0] for name in imports if name and not name.startswith(".")} - {"palate"}):
        try:
            versions[top] = metadata.version(_DISTRIBUTIONS.get(top, top))
        except (metadata.PackageNotFoundError, ValueError):
            continue
    return versions


def code_of_function(function: Callable[..., Any]) -> str:
    """Return a hash of a function without a file, and of the functions and classes of its module that it uses."""
    digest = hashlib.sha256()
    _feed(function, digest, set(), function.__module__)
    return digest.hexdigest()


def _feed(value: Any, digest: "hashlib._Hash", visited: set[int], module: str) -> None:
    if id(value) in visited:
        return
    visited.add(id(value))
    try:
        digest.update(inspect.getsource(value).encode())
    except (OSError, TypeError):
        code = getattr(value, "__code__", None)
        digest.update(code_bytes(code) if code else repr(type(value)).encode())
    for name in _names_used(value):
        used = getattr(value, "__globals__", {}).get(name)
        if isinstance(used, types.FunctionType | type) and used.__module__ == module:
            _feed(used, digest, visited, module)
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
    """Return a hash of the content of data files and folders; empty where none are declared.

    Raises:
        NotFoundError: a declared path does not exist.
    """
    digest = hashlib.sha256()
    declared = [root / path for path in paths]
    for path in declared:
        if not path.exists():
            raise NotFoundError(f"{path}: declared as data, but there is no such file.", todo="Fix --data, or data=...")
        for file in sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]:
            digest.update(str(file.relative_to(root) if file.is_relative_to(root) else file).encode())
            _feed_file(file, digest)
    return digest.hexdigest() if declared else ""


def _feed_file(path: Path, digest: "hashlib._Hash") -> None:
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
