"""The body of a loop, as its source says: how it ends, which variables it uses, and which it leaves behind."""

import ast
import ctypes
import functools
import inspect
import linecache
import sys
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

LINES_MOST = 20_000
_PALATE = __name__.partition(".")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """A loop.

    Attributes:
        code: of the function, or of the file, that it is in.
        left: names that it sets, and that are read outside of it, or by the same loop when it comes again.
        carried: names whose values, from before it, it reads and sets.
        names: those that it reads and does not set.
        stored: those that it sets.
        added_to: those that it adds to by `+=`, which changes a list that others may hold, too.
        faults: why several runs cannot go through it at once.
    """

    code: types.CodeType
    left: tuple[str, ...] = ()
    carried: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    stored: frozenset[str] = frozenset()
    added_to: frozenset[str] = frozenset()
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


def read_body(frame: types.FrameType) -> Body:
    """Read the loop that a frame is at."""
    code = frame.f_code
    scope = _scope_of(code)
    loop = None if scope is None else _loop_at(scope, frame.f_lineno)
    if scope is None or loop is None:
        return Body(code=code, faults=("its loop cannot be read: for x, y in run.steps(loader): in a file",))
    targets, nodes = _names_in(loop.target), [one for statement in loop.body for one in ast.walk(statement)]
    stored = targets | {name for one in nodes for name in _stored(one)}
    inside = {id(one) for one in ast.walk(loop)}
    outside = {n.id for n in ast.walk(scope) if isinstance(n, ast.Name) and id(n) not in inside and _is_read(n)}
    carried = _read_first(loop.body, targets) & stored
    local = code.co_varnames if code.co_flags & inspect.CO_OPTIMIZED else stored
    shared = stored - set(local)  # declared global or nonlocal: somebody else reads them
    there = frame.f_globals.keys() | frame.f_locals.keys()
    return Body(
        code=code,
        left=tuple(sorted((stored & outside) | carried | shared)),
        added_to=frozenset(name for one in nodes for name in _added_to(one)),
        carried=tuple(sorted(carried & there)),
        names=tuple(sorted({name for one in nodes for name in _loaded_one(one)} - stored & there)),
        stored=frozenset(stored),
        faults=tuple(dict.fromkeys(_ways_out(loop))),
    )


def names_of(code: types.CodeType) -> dict[str, Any]:
    """Return the variables of the frame that goes through the loop; nothing where it is not there."""
    frame = loop_frame()
    return {**frame.f_globals, **frame.f_locals} if frame is not None and frame.f_code is code else {}


def put_names(code: types.CodeType, values: Mapping[str, Any]) -> None:
    """Put values into the variables of the frame that goes through the loop."""
    frame = loop_frame()
    if frame is None or frame.f_code is not code or not values:
        return
    names, local = frame.f_locals, {*code.co_varnames, *code.co_cellvars, *code.co_freevars}
    for name, value in values.items():
        (names if name in local else frame.f_globals)[name] = value
    if sys.version_info < (3, 13) and names is not frame.f_globals:
        ctypes.pythonapi.PyFrame_LocalsToFast(ctypes.py_object(frame), ctypes.c_int(0))


def _ways_out(loop: ast.For) -> Iterator[str]:
    """Yield where a loop is left before its end, and what reaches past what can be seen."""
    for node in (one for statement in loop.body for one in _walk(statement)):
        line = f"line {getattr(node, 'lineno', '?')}"
        if isinstance(node, ast.Return | ast.Raise) or (isinstance(node, ast.Break) and not _is_inner(loop, node)):
            word = type(node).__name__.lower()
            yield f"{line}: the loop is left by `{word}`: end it by run.steps(loader, until=steps(n))"
        elif isinstance(node, ast.Yield | ast.YieldFrom | ast.Await):
            yield f"{line}: the loop is in a generator or a coroutine"
        elif isinstance(node, ast.Global | ast.Nonlocal):
            yield f"{line}: {', '.join(node.names)} is set for all runs at once"
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _UNSEEN:
            yield f"{line}: {node.func.id}(...) reaches what cannot be seen"
    if loop.orelse:
        yield f"line {loop.lineno}: the loop has an else"
    if not _is_of_steps(loop.iter):
        yield f"line {loop.lineno}: the loop goes through something besides run.steps(...)"


_UNSEEN = ("exec", "eval", "globals", "locals", "vars", "__import__")


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
            continue
        found |= set(_loaded(statement)) - stored
        stored |= {name for one in ast.walk(statement) for name in _stored(one)}
    return found


def _loaded(node: ast.AST) -> list[str]:
    names = [one.id for one in ast.walk(node) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Load)]
    return names + [name for one in ast.walk(node) for name in _added_to(one)]


def _loaded_one(node: ast.AST) -> list[str]:
    return [node.id] if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) else []


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


def _added_to(node: ast.AST) -> list[str]:
    return [node.target.id] if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name) else []


def _is_read(node: ast.Name) -> bool:
    return isinstance(node.ctx, ast.Load)


def _names_in(target: ast.AST) -> set[str]:
    return {one.id for one in ast.walk(target) if isinstance(one, ast.Name)}
