"""The body of a loop, as its source says: whether several runs can go through it at once, and what it leaves behind.

Tensors, models and optimizers have a value for each lane, and so have the numbers that come of them. All else that a
body changes would be changed once for all: it is looked for in the source before anything is tried, and where it is
not sure, the loop is left to each run by itself.
"""

import ast
import builtins
import ctypes
import functools
import linecache
import sys
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

LINES_MOST = 20_000
DEEPEST = 4
"""Functions that call functions, whose bodies are read."""

_PALATE = __name__.partition(".")[0]
_CHANGES = frozenset({
    "append", "appendleft", "extend", "insert", "add", "update", "clear", "pop", "popleft", "remove", "discard",
    "setdefault", "sort", "reverse",
})  # fmt: skip
_CODE = (
    types.FunctionType, types.BuiltinFunctionType, types.MethodType, types.ModuleType, type, types.GetSetDescriptorType,
    types.MethodDescriptorType, types.WrapperDescriptorType, types.MethodWrapperType, property,
)  # fmt: skip
"""What is the same in all runs of one program."""

_PLAIN = (int, float, complex, str, bytes, bool, type(None), range, slice)


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """A loop.

    Attributes:
        code: of the function, or of the file, that it is in.
        left: names that it sets or changes, and that are read outside of it.
        carried: names whose values, from before it, it reads or changes and sets.
        used: what it uses and does not set, by how it is written: numbers, tensors, models, loaders.
        faults: why several runs cannot go through it at once.
    """

    code: types.CodeType
    left: tuple[str, ...] = ()
    carried: tuple[str, ...] = ()
    used: Mapping[str, Any] = field(default_factory=dict)
    faults: tuple[str, ...] = ()


def loop_frame() -> types.FrameType | None:
    """Return the frame of the training's own code that asks for batches just now: the first that is no library's."""
    frame = sys._getframe(1)
    while frame is not None:
        name = str(frame.f_globals.get("__name__", ""))
        if name.partition(".")[0] != _PALATE and "site-packages" not in frame.f_code.co_filename:
            return frame
        frame = frame.f_back  # type: ignore[assignment]
    return None


def read_body(frame: types.FrameType, known: tuple[type, ...]) -> Body:
    """Read the loop that a frame is at.

    Args:
        frame: of the code that goes through `run.steps`.
        known: types whose state is each lane's own, or is none: models, optimizers, tensors, the run.
    """
    code = frame.f_code
    scope = _scope_of(code)
    loop = None if scope is None else _loop_at(scope, frame.f_lineno)
    if scope is None or loop is None:
        return Body(code=code, faults=("its loop cannot be read: for x, y in run.steps(loader): in a file",))
    values = {**vars(builtins), **frame.f_globals, **frame.f_locals}
    reader = _Reader(values, known, loop, own=_stored_in(loop))
    reader.read_statements(loop.body)
    inside = {id(one) for one in ast.walk(loop)}
    outside = {n.id for n in ast.walk(scope) if isinstance(n, ast.Name) and id(n) not in inside and _is_read(n)}
    if loop.orelse:
        reader.faults.append(f"line {loop.lineno}: the loop has an else")
    if not _is_of_steps(loop.iter):
        reader.faults.append(f"line {loop.lineno}: the loop goes through something besides run.steps(...)")
    left = tuple(sorted((reader.stored | _names_in(loop.target)) & outside) + sorted(reader.changed))
    carried = (_read_first(loop.body, _names_in(loop.target)) & reader.stored) | reader.changed
    return Body(
        code=code,
        left=tuple(dict.fromkeys(left)),
        carried=tuple(sorted(carried & values.keys())),
        used={name: value for name, value in reader.used.items() if name not in carried},
        faults=tuple(dict.fromkeys(reader.faults)),
    )


def put_names(code: types.CodeType, values: Mapping[str, Any]) -> None:
    """Put values into the variables of the frame that goes through the loop, lists and dictionaries in place."""
    frame = loop_frame()
    if frame is None or frame.f_code is not code or not values:
        return
    names = frame.f_locals
    for name, value in values.items():
        held: Any = names.get(name)
        if type(held) is type(value) and isinstance(held, list):
            held[:] = value
        elif type(held) is type(value) and isinstance(held, dict | set):
            held.clear()
            held.update(value)
        else:
            names[name] = value
    if sys.version_info < (3, 13) and names is not frame.f_globals:
        ctypes.pythonapi.PyFrame_LocalsToFast(ctypes.py_object(frame), ctypes.c_int(0))


class _Reader:
    """Reads statements, and notes what they set, what they change, and what cannot be done for several runs."""

    def __init__(
        self, values: Mapping[str, Any], known: tuple[type, ...], top: ast.AST, *, own: set[str], depth: int = 0
    ) -> None:
        self._values, self._known, self._top, self._depth = values, known, top, depth
        self.stored: set[str] = set()
        self.changed: set[str] = set()
        self.used: dict[str, Any] = {}
        self.faults: list[str] = []
        self._heads: set[int] = set()
        self._own = own
        self._own = own - {name for name, value in _aliases(top) if not self._is_made(value)}

    def read_statements(self, statements: list[ast.stmt]) -> None:
        for statement in statements:
            for one in _walk(statement):
                self._read(one)

    def _fault(self, node: ast.AST, words: str) -> None:
        self.faults.append(f"line {getattr(node, 'lineno', '?')}: {words}")

    def _read(self, node: ast.AST) -> None:
        if isinstance(node, ast.Call):
            self._read_call(node)
        elif isinstance(node, ast.Name | ast.Attribute | ast.Subscript):
            self._read_place(node)
        elif isinstance(node, ast.Global | ast.Nonlocal):
            self._fault(node, f"{', '.join(node.names)} is set for all runs at once")
        elif self._depth == 0:
            self._read_way_out(node)

    def _read_way_out(self, node: ast.AST) -> None:
        """Note where the loop is left before its end."""
        if isinstance(node, ast.Return | ast.Raise) or (isinstance(node, ast.Break) and not _is_inner(self._top, node)):
            word = type(node).__name__.lower()
            self._fault(node, f"the loop is left by `{word}`: end it by run.steps(loader, until=steps(n))")
        elif isinstance(node, ast.Yield | ast.YieldFrom | ast.Await):
            self._fault(node, "the loop is in a generator or a coroutine")

    def _read_place(self, node: ast.Name | ast.Attribute | ast.Subscript) -> None:
        """Note what is set, and what is used."""
        if not isinstance(node.ctx, ast.Load):
            if isinstance(node, ast.Name):
                self.stored.add(node.id)
            else:
                self._read_change(node, node.value, "set")
        elif not isinstance(node, ast.Subscript):
            value = self._value(node)
            if isinstance(node, ast.Attribute) and not isinstance(value, _Unknown):
                self._read_head(node.value)
            if id(node) not in self._heads and not isinstance(value, (_Unknown, *_CODE)):
                self.used[ast.unparse(node)] = value

    def _read_head(self, node: ast.expr) -> None:
        """Note that of `options.lr` the object is not used itself; a model's or a scheduler's method does use it."""
        if not isinstance(self._value(node), self._known):
            self._heads.add(id(node))

    def _read_change(self, node: ast.AST, holder: ast.expr, how: str) -> None:
        """Note that something is changed: a list or a dictionary by name, or else a fault."""
        value = self._value(holder)
        if isinstance(value, _Unknown):
            if not self._is_made(holder):
                self._fault(node, f"{ast.unparse(holder)} is {how}, and what it is cannot be told")
        elif isinstance(value, list | dict | set) and isinstance(holder, ast.Name) and self._depth == 0:
            self.changed.add(holder.id)
        elif not isinstance(value, self._known):
            self._fault(node, f"{ast.unparse(holder)} is {how} for all runs at once")

    def _read_call(self, node: ast.Call) -> None:
        func = node.func
        value = self._value(func)
        holder = self._value(func.value) if isinstance(func, ast.Attribute) else None
        if isinstance(value, types.MethodType):
            self._read_function(node, value.__func__, value.__self__)
        elif isinstance(value, types.FunctionType):
            bound = holder is not None and not isinstance(holder, types.ModuleType | type)
            self._read_function(node, value, *([holder] if bound else []))
        elif isinstance(func, ast.Attribute):
            self._read_method(node, func, holder)
        elif not isinstance(value, (_Unknown, type, types.BuiltinFunctionType, functools.partial, *self._known)):
            self._read_function(node, vars(type(value)).get("__call__"), value)

    def _read_method(self, node: ast.Call, func: ast.Attribute, holder: Any) -> None:
        """Note what a method may change that cannot be read."""
        if isinstance(holder, list | dict | set):
            if func.attr in _CHANGES:
                self._read_change(node, func.value, "changed")
            return
        told = not isinstance(holder, _Unknown)
        known = isinstance(holder, (*self._known, *_PLAIN, types.ModuleType, type, tuple))
        if not (known if told else self._is_made(func.value)):
            self._fault(node, f"{ast.unparse(func)}(...) may keep something for all runs at once")

    def _read_function(self, node: ast.Call, value: Any, *bound: Any) -> None:
        """Read the body of a function of the training's own, with what is known of its arguments."""
        value = getattr(value, "__wrapped__", value)
        if not isinstance(value, types.FunctionType) or "site-packages" in value.__code__.co_filename:
            return
        if str(value.__module__).partition(".")[0] == _PALATE or value.__code__.co_filename.startswith(_LIBRARY):
            return
        scope = _scope_of(value.__code__)
        if scope is None or self._depth >= DEEPEST:
            self._fault(node, f"{value.__qualname__} cannot be read")
            return
        cells = zip(value.__code__.co_freevars, value.__closure__ or (), strict=False)
        closed = {name: cell.cell_contents for name, cell in cells if _is_full(cell)}
        known, made = self._arguments(node, scope, bound, _defaults_of(value))
        names = {**vars(builtins), **value.__globals__, **closed}
        names = {name: one for name, one in names.items() if name not in made} | known
        own = (_stored_in(scope) - set(_parameters(scope))) | made
        inner = _Reader(names, self._known, scope, own=own, depth=self._depth + 1)
        inner.read_statements(list(scope.body))
        self.used.update({f"{value.__qualname__}: {name}": one for name, one in inner.used.items()})
        self.faults += [f"{value.__qualname__}, {fault}" for fault in inner.faults]

    def _arguments(
        self, node: ast.Call, scope: ast.AST, bound: tuple[Any, ...], defaults: dict[str, Any]
    ) -> tuple[dict[str, Any], set[str]]:
        """Return the parameters whose values are known, and those whose values the body has made."""
        parameters = _parameters(scope)
        known: dict[str, Any] = {**defaults, **dict(zip(parameters, bound, strict=False))}
        made: set[str] = set()
        if node.args and any(isinstance(one, ast.Starred) for one in node.args):
            return known, made
        given = [*zip(parameters[len(bound) :], node.args, strict=False)]
        given += [(one.arg, one.value) for one in node.keywords if one.arg in parameters]
        for name, expression in given:
            value = self._value(expression)
            known.pop(name, None)
            if not isinstance(value, _Unknown):
                known[name] = value
            elif self._is_made(expression):
                made.add(name)
        return known, made

    def _is_made(self, node: ast.expr) -> bool:
        """Return whether a value is the body's own: it made it, or it is a part of what has a value for each lane."""
        if not isinstance(node, ast.Name | ast.Attribute | ast.Subscript):
            return True
        root = _root(node)
        return root in self._own or isinstance(self._values.get(str(root)), self._known)

    def _value(self, node: ast.expr) -> Any:
        """Return what an expression of names and attributes is; an `_Unknown` for all else."""
        if isinstance(node, ast.Name):
            return _UNKNOWN if node.id in self._own else self._values.get(node.id, _UNKNOWN)
        if isinstance(node, ast.Attribute):
            holder = self._value(node.value)
            if isinstance(holder, types.ModuleType | type):
                return getattr(holder, node.attr, _UNKNOWN)
            if isinstance(holder, self._known):
                return getattr(type(holder), node.attr, _UNKNOWN) if not _is_own(holder, node.attr) else _UNKNOWN
            return getattr(holder, "__dict__", {}).get(node.attr, _UNKNOWN)
        return _UNKNOWN


class _Unknown:
    """What cannot be told from the source."""


_UNKNOWN = _Unknown()
_LIBRARY = f"{ast.__file__.rpartition('/')[0]}/"


def _is_own(holder: object, name: str) -> bool:
    return name in getattr(holder, "__dict__", {})


def _is_full(cell: types.CellType) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True


@functools.lru_cache(maxsize=64)
def _scope_of(code: types.CodeType) -> Any:
    """Return the syntax tree of a function, or of a file; None where its source is not there."""
    lines = linecache.getlines(code.co_filename)
    if not lines or len(lines) > LINES_MOST:
        return None
    try:
        tree = ast.parse("".join(lines))
    except (SyntaxError, ValueError):
        return None
    if code.co_name == "<module>":
        return tree
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name == code.co_name:
            first = min([node.lineno, *(one.lineno for one in node.decorator_list)])
            if first == code.co_firstlineno:
                return node
    return None


def _loop_at(scope: ast.AST, line: int) -> ast.For | None:
    """Return the innermost loop whose head is at a line."""
    heads = [
        one
        for one in ast.walk(scope)
        if isinstance(one, ast.For) and one.lineno <= line <= (one.iter.end_lineno or one.lineno)
    ]
    return max(heads, key=lambda one: one.lineno, default=None)


def _read_first(statements: list[ast.stmt], known: set[str]) -> set[str]:
    """Return the names that may be read before they are set, in the order of the statements.

    What is set under a condition, or in a loop that may not be gone through, may not be set.
    """
    found: set[str] = set()
    stored = set(known)
    for statement in statements:
        inner = [one for name in ("body", "orelse", "finalbody", "handlers") for one in getattr(statement, name, [])]
        if isinstance(statement, ast.If | ast.For | ast.While | ast.Try | ast.With):
            heads = [one for one in ast.iter_child_nodes(statement) if one not in inner]
            found |= {name for head in heads for name in _loaded(head)} - stored
            targets = _names_in(statement.target) if isinstance(statement, ast.For) else set()
            body = [one for one in inner if isinstance(one, ast.stmt)]
            body += [one for handler in getattr(statement, "handlers", []) for one in handler.body]
            found |= _read_first(body, stored | targets)
            if isinstance(statement, ast.With):
                stored |= {name for one in ast.walk(statement) for name in _stored(one)}
            continue
        found |= set(_loaded(statement)) - stored
        stored |= {name for one in ast.walk(statement) for name in _stored(one)}
    return found


def _loaded(node: ast.AST) -> list[str]:
    names = [one.id for one in ast.walk(node) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Load)]
    changed = [
        one.target.id for one in ast.walk(node) if isinstance(one, ast.AugAssign) and isinstance(one.target, ast.Name)
    ]
    return names + changed


def _stored(node: ast.AST) -> list[str]:
    return [node.id] if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) else []


def _is_of_steps(head: ast.expr) -> bool:
    """Return whether a loop goes through run.steps(...) alone, counted or shown by a bar."""
    while isinstance(head, ast.Call) and head.args and _last_name(head.func) in ("enumerate", "tqdm"):
        head = head.args[0]
    return isinstance(head, ast.Call) and _last_name(head.func) == "steps"


def _last_name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _walk(node: ast.AST) -> Iterator[ast.AST]:
    """Yield a statement's nodes, those of functions that it defines left out: they run when they are called."""
    yield node
    for one in ast.iter_child_nodes(node):
        if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        yield from _walk(one)


def _is_inner(top: ast.AST, node: ast.AST) -> bool:
    """Return whether a `break` leaves a loop inside of this one."""
    inner = [one for one in ast.walk(top) if one is not top and isinstance(one, ast.For | ast.While)]
    return any(node is one for loop in inner for one in ast.walk(loop))


def _root(node: ast.expr) -> str | None:
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Call):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else None


def _is_read(node: ast.Name) -> bool:
    return isinstance(node.ctx, ast.Load)


def _aliases(top: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """Yield the names that are given to a part of something: `meter = meters["loss"]`."""
    for one in ast.walk(top):
        if isinstance(one, ast.Assign) and isinstance(one.value, ast.Name | ast.Attribute | ast.Subscript):
            yield from ((target.id, one.value) for target in one.targets if isinstance(target, ast.Name))


def _names_in(target: ast.AST) -> set[str]:
    return {one.id for one in ast.walk(target) if isinstance(one, ast.Name)}


def _stored_in(top: ast.AST) -> set[str]:
    """Return the names that are set inside of a loop's body or a function, its parameters among them."""
    stored = {one.id for one in ast.walk(top) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)}
    return stored | set(_parameters(top))


def _defaults_of(function: types.FunctionType) -> dict[str, Any]:
    """Return the values of a function's parameters that need not be given."""
    code, defaults = function.__code__, function.__defaults__ or ()
    names = code.co_varnames[: code.co_argcount]
    return {**dict(zip(names[len(names) - len(defaults) :], defaults, strict=True)), **(function.__kwdefaults__ or {})}


def _parameters(scope: ast.AST) -> list[str]:
    arguments = getattr(scope, "args", None)
    if not isinstance(arguments, ast.arguments):
        return []
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    return [one.arg for one in (*named, arguments.vararg, arguments.kwarg) if one is not None]
