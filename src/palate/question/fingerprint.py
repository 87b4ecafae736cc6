"""Fingerprints of code, data and installed packages: runs are reused only where all three are equal."""

import contextlib
import dis
import hashlib
import importlib.util
import inspect
import sys
import types
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from palate.capture.code import is_own, is_own_file
from palate.capture.files import hash_file
from palate.errors import InputError, NotFoundError, PalateError
from palate.question.source import Source, read_source
from palate.question.ways.files import local_files

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
            for path in local_files(name, here.path.resolve().parent, source.root):
                if path.resolve() not in visited:
                    visited.add(path.resolve())
                    waiting.append(read_source(path, settings=False))
                    names.update(dict.fromkeys(waiting[-1].imports))
    return tuple(names)


def sources_of(source: Source) -> frozenset[str]:
    """Return the paths of a file and of all local modules that it imports, directly or not."""
    hashes = {source.path.resolve(): ""}
    _follow(source, hashes, source.root)
    return frozenset(map(str, hashes))


def code_of_file(source: Source, recipe_of: str) -> str:
    """Return a hash of a file and of all local modules that it imports, directly or not.

    Comments do not count, nor do the settings of `recipe_of` (a function's name, "" for the script's own): they belong
    to the recipe.
    """
    hashes = {source.path.resolve(): source.code_id(recipe_of)}
    _follow(source, hashes, source.root)
    text = "\n".join(f"{path.name} {code}" for path, code in sorted(hashes.items()))
    return hashlib.sha256(text.encode()).hexdigest()


def _codes_of(module: str) -> list[tuple[str, str]]:
    """Return the hashes of a person's own module and of what it imports locally, its own settings included."""
    hashes: dict[Path, str] = {}
    place, files = _own_files(module)
    for path in files:
        root = place.parents[module.count(".")]  # the folder that it is imported from
        if path.resolve() not in hashes:
            try:
                source = read_source(path, settings=False)
            except PalateError:  # a template, or a library of another language
                hashes[path.resolve()] = hash_file(path)
                continue
            hashes[path.resolve()] = source.code_id()
            _follow(source, hashes, root)
    return [(file.name, code) for file, code in sorted(hashes.items())]


def _follow(source: Source, hashes: dict[Path, str], root: Path) -> None:
    """Add the hashes of the local modules that a file imports, directly or not."""
    for name in source.imports:
        for path in local_files(name, source.path.resolve().parent, root):
            if path.resolve() not in hashes:
                module = read_source(path, settings=False)
                hashes[path.resolve()] = module.code_id()
                _follow(module, hashes, root)


def versions_of(imports: Iterable[str]) -> dict[str, str]:
    """Return the installed versions of the packages among some imports."""
    versions = {}
    for top in sorted({name.split(".")[0] for name in imports if name and not name.startswith(".")} - {"palate"}):
        try:
            versions[top] = metadata.version(_DISTRIBUTIONS.get(top, top))
        except (metadata.PackageNotFoundError, ValueError):
            continue
    return versions


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveCode:
    """What a live function is, with all that it reaches.

    Attributes:
        id: a hash of it; of something that cannot be hashed, an id that nothing else has.
        unread: what it reaches that cannot be hashed, in words.
    """

    id: str
    unread: tuple[str, ...] = ()


def live_code(function: Callable[..., Any], *, fresh: str) -> LiveCode:
    """Hash a function without a file, and the content of all that it reaches, whatever the process.

    It reaches the globals that its code names, its closure, the functions, classes and modules there and what these
    reach in turn. Arrays, tensors and frames count by their elements, other objects by what pickle would keep; a module
    of the person's own counts by its files, an installed package by its version. The function's own defaults are
    settings where they are plain, and do not count. A place in a file, a comment and the order of a set do not count.

    Args:
        function: the function.
        fresh: what no other call is given; the id depends on it where something cannot be hashed.
    """
    reached = _Reached(function, fresh)
    try:
        digest = reached.root()
    except RecursionError:
        digest = reached.unread_value(function.__name__, "is nested too deep")
    return LiveCode(id=digest.hex(), unread=tuple(dict.fromkeys(reached.unread)))


def _hash(kind: str, *parts: "bytes | memoryview") -> bytes:
    digest = hashlib.sha256(kind.encode())
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.digest()


class _Reached:
    """Hashes a function and what it reaches, each value once."""

    def __init__(self, function: Callable[..., Any], fresh: str) -> None:
        self.unread: list[str] = []
        self._function = function
        self._fresh = fresh
        self._known: dict[int, tuple[Any, bytes]] = {}  # with the value itself, so that its id stays its own
        self._open: dict[int, int] = {}
        self._homes: dict[str, bytes] = {}

    def root(self) -> bytes:
        """Hash the function itself."""
        function = self._function
        if not isinstance(function, types.FunctionType):
            return self._value(function, "")
        self._open[id(function)] = 0
        return _hash("root", self._by_name(function), self._function_parts(function, _kept_defaults(function)))

    def unread_value(self, where: str, why: str) -> bytes:
        """Note what cannot be hashed, and return a hash that nothing else has."""
        self.unread.append(f"{where or self._function.__name__} {why}")
        return _hash("fresh", self._fresh.encode())

    def _value(self, value: Any, where: str) -> bytes:
        kind = type(value)
        if kind in _ATOMS:
            return _hash(kind.__name__, _atom_bytes(value))
        if id(value) in self._known:
            return self._known[id(value)][1]
        if id(value) in self._open:
            return _hash("around", str(self._open[id(value)]).encode())
        self._open[id(value)] = len(self._open)
        made = self._by_kind(value, where)
        del self._open[id(value)]
        self._known[id(value)] = (value, made)
        return made

    def _values(self, kind: str, values: Iterable[Any], where: str) -> bytes:
        return _hash(kind, *(self._value(value, where) for value in values))

    def _by_kind(self, value: Any, where: str) -> bytes:
        hashed = _HASHED.get(type(value))
        if hashed is not None:
            return hashed(self, value, where)
        if isinstance(value, type):
            return self._by_name(value) or self._class(value)
        if isinstance(value, types.ModuleType):
            return _hash("module", value.__name__.encode(), self._home(value.__name__))
        return self._data(value, where) or self._object(value, where)

    def _bag(self, values: Iterable[Any], where: str) -> bytes:
        return _hash(type(values).__name__, *sorted(self._value(member, where) for member in values))

    def _mapping(self, value: Any, where: str) -> bytes:
        return _hash("dict", self._row(list(value), where), self._row(list(value.values()), where))

    def _method(self, value: Any, where: str) -> bytes:
        return self._values("method", (type(value), value.__func__, getattr(value, "__self__", None)), where)

    def _property(self, value: property, where: str) -> bytes:
        return self._values("property", (value.fget, value.fset, value.fdel), where)

    def _function_of(self, value: types.FunctionType, _: str) -> bytes:
        return self._by_name(value) or self._function_parts(value, (value.__defaults__, value.__kwdefaults__))

    def _row(self, values: Sequence[Any], where: str) -> bytes:
        """Hash a list or a tuple; one of plain values at once, which is quick."""
        kind = type(values).__name__
        if _ATOMS.issuperset(map(type, values)):
            with contextlib.suppress(ValueError):  # an int of more digits than Python writes
                return _hash(kind, repr(values).encode())
        return self._values(kind, values, where)

    def _by_name(self, value: Any) -> bytes:
        """Hash what another module holds under its name, which a worker imports; nothing for anything else."""
        module, name = value.__module__, value.__qualname__
        if _is_live(module) or "<" in name:
            return b""
        found: Any = sys.modules[module]
        for part in name.split("."):
            found = getattr(found, part, None)
        return _hash("name", f"{module}.{name}".encode(), self._home(module)) if found is value else b""

    def _home(self, module: str) -> bytes:
        """Hash where a module comes from: the files of a person's own, the version of an installed package."""
        top = module.partition(".")[0]
        if module not in self._homes:
            try:
                codes = [] if top == "palate" else _codes_of(module)
            except (OSError, PalateError) as error:
                return self.unread_value(module, f"cannot be read: {error}")
            self._homes[module] = repr(codes or versions_of([top])).encode()
        return self._homes[module]

    def _code(self, code: types.CodeType, where: str) -> bytes:
        """Hash what code does, wherever it stands."""
        names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
        counts = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
        does = (code.co_code, code.co_exceptiontable)
        return self._values("code", (*does, names, counts, code.co_consts), where)

    def _function_parts(self, function: types.FunctionType, defaults: Any) -> bytes:
        where, known = function.__name__, function.__globals__
        cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
        parts = [self._value(part, where) for part in (function.__code__, defaults, vars(function))]
        parts += [_hash(name, self._cell(cell, name)) for name, cell in cells.items()]
        home = str(known.get("__name__"))
        if not _is_live(home):
            parts.append(self._home(home))
            if not is_own(home) or home.partition(".")[0] == "palate":  # what it reaches is its package's
                return _hash("function", *parts)
        names, imported = _reached_names(function.__code__)
        parts += [_hash(name, self._value(known[name], name)) for name in names if name in known]
        parts += [_hash(name, self._home(name)) for name in imported]
        if any(name in _ANYTHING and name not in known for name in names):
            parts.append(self.unread_value(where, "uses globals(), eval() or exec(): what it reaches is not known"))
        return _hash("function", *parts)

    def _cell(self, cell: types.CellType, name: str) -> bytes:
        try:
            return self._value(cell.cell_contents, name)
        except ValueError:  # not filled yet
            return b"empty"

    def _class(self, cls: type) -> bytes:
        if not cls.__flags__ & _HEAP_TYPE:
            return _hash("class", cls.__qualname__.encode())
        parts = [self._value(part, cls.__name__) for part in (type(cls), *cls.__bases__)]
        for name, part in sorted(vars(cls).items()):
            if name not in _OF_NO_CLASS:
                parts.append(_hash(name, self._value(part, f"{cls.__name__}.{name}")))
        return _hash("class", cls.__qualname__.encode(), *parts)

    def _data(self, value: Any, where: str) -> bytes:
        """Hash an array, a tensor or a frame by its elements; nothing for anything else."""
        numpy, torch, pandas = (sys.modules.get(name) for name in ("numpy", "torch", "pandas"))
        kind = type(value)
        if numpy is not None and kind in (numpy.ndarray, numpy.memmap):
            head = f"{value.dtype.descr if value.dtype.names else value.dtype.str} {value.shape}".encode()
            if value.dtype.hasobject:
                return _hash("array", head, self._value(value.tolist(), where))
            return _hash("array", head, memoryview(numpy.ascontiguousarray(value).reshape(-1).view(numpy.uint8)))
        if torch is not None and isinstance(value, torch.Tensor):
            return self._tensor(value, torch, where)
        if pandas is not None and isinstance(value, pandas.DataFrame):
            columns = [value.iloc[:, place].array for place in range(value.shape[1])]
            return self._values("frame", (kind, value.columns, value.index, value.attrs, columns), where)
        if pandas is not None and isinstance(value, pandas.MultiIndex):
            return self._values("index", (list(value.names), list(value.levels), list(value.codes)), where)
        if pandas is not None and isinstance(value, pandas.Series | pandas.Index):
            index = value.index if isinstance(value, pandas.Series) else None
            return self._values("series", (kind, value.name, index, value.array), where)
        if pandas is not None and isinstance(value, pandas.arrays.NumpyExtensionArray):
            return self._value(value.to_numpy(), where)
        return b""

    def _tensor(self, tensor: Any, torch: Any, where: str) -> bytes:
        words = (str(tensor.dtype), tuple(tensor.shape), tensor.requires_grad, tensor.device.type, str(tensor.layout))
        head = self._values("tensor", (type(tensor), *words), where)
        if tensor.device.type == "meta":
            return head
        if tensor.layout is torch.sparse_coo:
            held = tensor.detach().coalesce()
            return self._values("sparse", (*words, held.indices(), held.values()), where)
        if tensor.layout is not torch.strided or tensor.is_quantized:
            return self.unread_value(where, f"holds a tensor of layout {tensor.layout}, which cannot be hashed")
        plain = tensor.detach().resolve_conj().resolve_neg().cpu().contiguous().reshape(-1)
        return _hash("elements", head, memoryview(plain.view(torch.uint8).numpy()) if plain.numel() else b"")

    def _object(self, value: Any, where: str) -> bytes:
        """Hash any other object by what pickle would keep of it."""
        try:
            reduced = value.__reduce_ex__(4)
        except Exception as error:  # noqa: BLE001  the object's own method may raise anything
            return self.unread_value(where, f"holds a {type(value).__qualname__}, which cannot be hashed: {error}")
        wrapped = getattr(value, "__wrapped__", None)  # below functools.cache
        if isinstance(reduced, str):  # it stands in its module under this name
            module = getattr(value, "__module__", None)
            kind = self._value(type(value), where) if _is_live(module) else self._home(str(module))
            return _hash("global", f"{module}.{reduced}".encode(), kind, self._value(wrapped, where))
        listed = [list(part) if part is not None and place > 2 else part for place, part in enumerate(reduced)]
        return self._values("object", (*listed, wrapped), where)


_HASHED: dict[type, Callable[[_Reached, Any, str], bytes]] = {
    list: _Reached._row,
    tuple: _Reached._row,
    set: _Reached._bag,
    frozenset: _Reached._bag,
    dict: _Reached._mapping,
    types.MappingProxyType: _Reached._mapping,
    types.CodeType: _Reached._code,
    types.FunctionType: _Reached._function_of,
    types.MethodType: _Reached._method,
    staticmethod: _Reached._method,
    classmethod: _Reached._method,
    property: _Reached._property,
}
"""How values of exactly these types are hashed."""

_HEAP_TYPE = 1 << 9
"""The flag of a class that was defined in Python, not in C."""

_ATOMS = frozenset({type(None), bool, int, float, complex, str, bytes, type(...), type(NotImplemented)})
"""Types whose `repr` is exact, in every process the same."""

_ANYTHING = frozenset({"globals", "eval", "exec"})
"""Builtins through which code reaches what it does not name."""

_OF_NO_CLASS = frozenset({
    "__dict__", "__weakref__", "__doc__", "__module__", "__firstlineno__", "__static_attributes__", "_abc_impl",
    "__pydantic_core_schema__", "__pydantic_validator__", "__pydantic_serializer__", "__signature__",
})  # fmt: skip
"""Attributes of a class that say where it stands, or follow from the others."""


def _atom_bytes(value: Any) -> bytes:
    if type(value) is bytes:
        return value
    if type(value) is str:
        return value.encode("utf-8", "surrogatepass")
    return (hex(value) if type(value) is int else repr(value)).encode()


def _is_live(module: str | None) -> bool:
    """Return whether what a module holds exists in this process alone, as in a notebook."""
    if module is None or module in ("__main__", "__mp_main__"):
        return True
    return getattr(sys.modules.get(module), "__spec__", None) is None


def _kept_defaults(function: types.FunctionType) -> Any:
    """Return the defaults that are no plain values, by name: of these a setting has no more than a name."""
    defaults = {p.name: p.default for p in inspect.signature(function, follow_wrapped=False).parameters.values()}
    return {
        name: value for name, value in defaults.items() if value is not inspect.Parameter.empty and not _plain(value)
    }


def _plain(value: Any) -> bool:
    if type(value) is dict:
        return all(map(_plain, value)) and all(map(_plain, value.values()))
    return all(map(_plain, value)) if type(value) in (list, tuple, set, frozenset) else type(value) in _ATOMS


def _reached_names(code: types.CodeType) -> tuple[list[str], list[str]]:
    """Return the globals and the modules that code names, inner functions included."""
    names: dict[str, set[str]] = {"GLOBAL": set(), "NAME": set(), "IMPORT_NAME": set()}
    waiting = [code]
    while waiting:
        here = waiting.pop()
        waiting += [part for part in here.co_consts if isinstance(part, types.CodeType)]
        for line in dis.get_instructions(here):
            kind = line.opname if line.opname == "IMPORT_NAME" else line.opname.rpartition("_")[2]
            if kind in names and isinstance(line.argval, str):
                names[kind].add(line.argval)
    return sorted(names["GLOBAL"] | names["NAME"]), sorted(names["IMPORT_NAME"])


def _own_files(module: str) -> tuple[Path, list[Path]]:
    """Return the place of a person's own module and its file, or all files of a package; none of an installed one."""
    spec = getattr(sys.modules.get(module), "__spec__", None)
    if spec is None:
        with contextlib.suppress(ImportError, ValueError, AttributeError):
            spec = importlib.util.find_spec(module)
    folders = () if spec is None else spec.submodule_search_locations or ()
    for folder in map(Path, folders):
        if is_own_file(str(folder)):
            return folder, sorted(folder.rglob("*.py"))
    file = spec.origin if spec is not None and spec.has_location and not folders else None
    path = Path(file or module).absolute()
    return path, [path] if file and is_own_file(file) else []


def data_of(paths: Iterable[str], root: Path) -> str:
    """Return a hash of the content of data files and folders; empty where none are declared.

    Raises:
        NotFoundError: a declared path does not exist.
        InputError: a declared file cannot be read.
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
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    except OSError as error:
        raise InputError(
            f"{path}: declared as data, but it cannot be read: {error.strerror}.",
            why="Runs are used again only where their data are known to be the same.",
            todo="Fix its permissions, or leave it out of --data, or data=...",
        ) from error
