"""A script and the local modules that it imports, as syntax trees: where its options and settings are declared."""

import ast
import importlib.util
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path

from palate.question.ways.declared import calls, nodes, texts
from palate.question.ways.folders import added_folders

MOST_FILES = 200
"""Local modules that are looked through at most."""

_STARTS = ("run", "Popen", "call", "check_call", "check_output", "system")
"""Functions that start a program."""

_SCRIPT = re.compile(r"[\w./-]+\.py\b")

Definition = ast.ClassDef | ast.FunctionDef
"""A class or a function."""

_OF_TRANSFORMERS = {
    "TrainingArguments": "training_args.py",
    "Seq2SeqTrainingArguments": "training_args_seq2seq.py",
}
"""Where the installed library declares what a script imports from its top."""


@dataclass(frozen=True)
class Files:
    """A script and what it imports locally.

    Attributes:
        path: of the script.
        tree: of the script.
        arguments: what both arms' scripts get as command line arguments.
        root: the folder that stands first where its imports are looked for; its own if None.
        unread: signs that the script takes settings which cannot be read, in words; readers add to it.
    """

    path: Path
    tree: ast.Module
    arguments: Sequence[str] = ()
    root: Path | None = None
    unread: list[str] = field(default_factory=list)

    @cached_property
    def base(self) -> Path:
        """The folder that stands first where its imports are looked for."""
        return (self.root or self.path.resolve().parent).resolve()

    @cached_property
    def modules(self) -> dict[Path, ast.Module]:
        """The local modules that it imports, directly or not, in the order in which they are met."""
        found: dict[Path, ast.Module] = {}
        waiting, added = [(self.path.resolve(), self.tree)], list[Path]()
        while waiting and len(found) < MOST_FILES:
            here, tree = waiting.pop(0)
            added += added_folders(tree, here)
            for name in imports(tree, members=True):
                for path in local_files(name, here.parent, self.base, *added):
                    known = path.resolve()
                    if known not in found and known != self.path.resolve() and (other := _parsed(path)) is not None:
                        found[known] = other
                        waiting.append((path, other))
        return found

    @cached_property
    def started(self) -> dict[Path, ast.Module]:
        """The scripts that it starts as programs of their own: files that the words of a command name."""
        found: dict[Path, ast.Module] = {}
        for call in calls(self.tree, *_STARTS):
            for word in (one for node in ast.walk(call) for one in texts([node] if isinstance(node, ast.expr) else [])):
                for name in _SCRIPT.findall(word):
                    path = self.path.parent / name
                    if path.is_file() and path.resolve() != self.path.resolve() and (tree := _parsed(path)) is not None:
                        found.setdefault(path.resolve(), tree)
        return found

    @cached_property
    def all(self) -> dict[Path, ast.Module]:
        """The script, then its modules."""
        return {self.path: self.tree, **self.modules}

    @cached_property
    def imported(self) -> frozenset[str]:
        """Top names of all that is imported anywhere in it."""
        return frozenset(name.split(".")[0] for tree in self.all.values() for name in imports(tree) if name)

    @cached_property
    def _named(self) -> frozenset[str]:
        """Every name that is used anywhere in it."""
        used: set[str] = set()
        for tree in self.all.values():
            for node in nodes(tree):
                if isinstance(node, ast.Name):
                    used.add(node.id)
                elif isinstance(node, ast.Attribute):
                    used.add(node.attr)
        return frozenset(used)

    def used(self) -> Iterator[tuple[Path, ast.Module]]:
        """Yield each file as a tree, without what nothing uses: functions, and a module's own main block."""
        yield from self._used

    @cached_property
    def _used(self) -> list[tuple[Path, ast.Module]]:
        found = []
        for path, tree in self.all.items():
            if path == self.path:
                found.append((path, tree))
            else:
                body = [node for node in tree.body if not is_main_block(node) and self._is_used(node)]
                found.append((path, ast.Module(body=body, type_ignores=[])))
        return found

    def _is_used(self, node: ast.stmt) -> bool:
        return not isinstance(node, ast.ClassDef | ast.FunctionDef) or node.name in self._named

    def definition(self, name: str) -> Definition | None:
        """Find a class or function by its name: of the script, of its modules, or of a library that is known."""
        wanted = self._aliases.get(name, name)
        for tree in self.all.values():
            for node in tree.body:
                if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == wanted:
                    return node
        return _of_library(wanted, self._origins.get(name, ""))

    @cached_property
    def _aliases(self) -> dict[str, str]:
        return {as_name: name for name, as_name, _ in self._imported_names()}

    @cached_property
    def _origins(self) -> dict[str, str]:
        return {as_name: module for _, as_name, module in self._imported_names()}

    def _imported_names(self) -> Iterator[tuple[str, str, str]]:
        for tree in self.all.values():
            for node in nodes(tree):
                if isinstance(node, ast.ImportFrom):
                    yield from ((one.name, one.asname or one.name, node.module or "") for one in node.names)


@lru_cache(maxsize=1024)
def parse(content: bytes, name: str) -> ast.Module:
    """Return the syntax tree of a file; the same one for the same content, so that a question parses it once."""
    return ast.parse(content, filename=name)


def _parsed(path: Path) -> ast.Module | None:
    try:
        return parse(path.read_bytes(), str(path))
    except (SyntaxError, ValueError, OSError):
        return None


def _of_library(name: str, module: str) -> Definition | None:
    """Find a class in the source of an installed package, which is not imported."""
    top, *parts = module.split(".")
    if top == "transformers" and name in _OF_TRANSFORMERS:
        parts = [_OF_TRANSFORMERS[name].removesuffix(".py")]
    path = library_file(top, parts) if parts else None
    tree = None if path is None else _parsed(path)
    nodes = [] if tree is None else tree.body
    return next((n for n in nodes if isinstance(n, ast.ClassDef | ast.FunctionDef) and n.name == name), None)


def library_file(top: str, parts: Sequence[str]) -> Path | None:
    """Return the file of a module of an installed package, found without importing it; None where there is none."""
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    if spec is None or not spec.submodule_search_locations:
        return None
    for folder in spec.submodule_search_locations:
        for end in (Path(*parts).with_suffix(".py"), Path(*parts, "__init__.py")):
            if (Path(folder) / end).is_file():
                return Path(folder) / end
    return None


def is_main_block(node: ast.stmt) -> bool:
    """Return whether a statement is `if __name__ == "__main__":`."""
    return isinstance(node, ast.If) and any(
        isinstance(part, ast.Name) and part.id == "__name__" for part in ast.walk(node.test)
    )


def imports(tree: ast.AST, *, members: bool = False) -> Iterator[str]:
    """Yield what a file imports, as written.

    Args:
        tree: of the file.
        members: whether what is taken out of a package by `from package import name` may be a module of it.
    """
    for node in nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            prefix = "." * node.level + (node.module or "")
            yield prefix
            yield from (f"{prefix}.{alias.name}".replace("..", ".") for alias in node.names if node.level or members)


def _above_package(name: str, here: Path) -> Iterable[Path]:
    """Return the folder with the package that a module names with its first part, where a folder is inside of it."""
    top, dot, _ = name.partition(".")
    return [one.parent for one in (here, *here.parents) if dot and one.name == top][:1]


def local_files(name: str, here: Path, root: Path, *added: Path) -> Iterable[Path]:
    """Return the file of a module, where it is in the importing file's folder, in the root or in one that was added.

    A module of the package that the importing file is in itself is found from the folder of that package.
    """
    level = len(name) - len(name.lstrip("."))
    for base in [here.joinpath(*[".."] * (level - 1))] if level else [here, root, *_above_package(name, here), *added]:
        place = base.joinpath(*name.strip(".").split("."))
        for path in (place.with_suffix(".py"), place / "__init__.py"):
            if path.is_file():
                return [path]
    return []
