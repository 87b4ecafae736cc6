"""Read what a Python file declares, without running it: experiments, settings, seed, imports.

A prompt must not wait for `import torch`, and a mistyped setting must be detected before anything runs. A function's
settings are the parameters of an `@palate.experiment` function. A script's settings are, in this order, those of a call
of `palate.settings(...)`, argparse options, and constants at the top level of the file.
"""

import ast
import hashlib
import math
import operator
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from palate.errors import InputError, NotFoundError
from palate.recipe.codec import Unread
from palate.recipe.settings import UNSAID, Kind
from palate.vocabulary import Goal

How = Literal["parameter", "settings", "flag", "constant"]
SEED_NAMES = ("seed", "SEED", "random_seed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """A declared setting.

    Attributes:
        value: its value as written in the file.
        how: how another value is passed.
        flag: the command-line flag, with its action behind a colon, where it is passed by one.
        choices: the values that a flag accepts, where they are limited.
        count: how many values a flag takes, -1 for any number; None for one.
        kind: what it takes, as far as its declaration says it.
        aliases: other spellings of its flag.
    """

    value: Any
    how: How
    flag: str = ""
    choices: tuple[Any, ...] = ()
    count: int | None = None
    kind: Kind = UNSAID
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """A function declared as an experiment."""

    name: str
    settings: dict[str, Declared]
    takes_seed: bool
    metric: str | None = None
    goal: Goal | None = None
    resolution: float | None = None
    data: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What a file declares.

    Attributes:
        path: the file.
        functions: its experiments, by name.
        settings: a script's own settings.
        seed, seed_name: the script's own seed setting, where it has one.
        imports: top-level names of what it imports, as written.
    """

    path: Path
    functions: dict[str, Function]
    settings: dict[str, Declared]
    seed: Declared | None
    seed_name: str
    imports: tuple[str, ...]
    _tree: ast.Module
    _blanks: dict[str, list[ast.expr]]

    def code_id(self, recipe_of: str | None = None) -> str:
        """Return a hash of the syntax tree without the values of settings; comments do not count.

        Args:
            recipe_of: whose settings are left out: a function's by its name, the script's own by "", none by None.
        """
        hidden = {id(node) for node in self._blanks.get(recipe_of, [])} if recipe_of is not None else set()
        return hashlib.sha256(_dump(self._tree, hidden).encode()).hexdigest()


def read_source(path: Path) -> Source:
    """Read a Python file.

    Raises:
        NotFoundError: there is no such file.
        InputError: it is not Python.
    """
    try:
        tree = ast.parse(path.read_bytes(), filename=str(path))
    except FileNotFoundError as error:
        raise NotFoundError(f"{path}: there is no such file.", todo="palate run FILE.py -c name=value") from error
    except (SyntaxError, ValueError, OSError) as error:
        raise InputError(f"{path} cannot be read as Python: {error}.") from error
    reading = _Reading(tree)
    declared = reading.script_settings()
    script = {name: value for name, value in declared.items() if name not in SEED_NAMES}
    seed = next((name for name in SEED_NAMES if name in declared), None)
    return Source(
        path=path,
        functions=reading.functions,
        settings=script,
        seed=declared[seed] if seed else None,
        seed_name=seed or "",
        imports=tuple(sorted(set(_imports(tree)))),
        _tree=tree,
        _blanks=reading.blanks,
    )


@dataclass
class _Reading:
    """The declarations of one syntax tree.

    Attributes:
        functions: experiments by name.
        blanks: values of settings, by the function that they belong to ("" for the script): left out of `code_id`.
    """

    tree: ast.Module
    functions: dict[str, Function] = field(default_factory=dict)
    blanks: dict[str, list[ast.expr]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for node in self.tree.body:
            if isinstance(node, ast.FunctionDef) and (call := _decorator(node)) is not None:
                self.functions[node.name] = self._function(node, call)

    def _function(self, node: ast.FunctionDef, call: ast.expr) -> Function:
        options = {k.arg: _literal(k.value) for k in call.keywords if k.arg} if isinstance(call, ast.Call) else {}
        settings = {
            arg.arg: Declared(value=_literal(default), how="parameter", kind=kind_of_annotation(arg.annotation))
            for arg, default in self._defaults(node)
        }
        _refuse_opaque(node.name, options)
        names = {arg.arg for arg in (*node.args.args, *node.args.kwonlyargs)}
        settings.pop("seed", None)
        data = options.get("data") or ()
        return Function(
            name=node.name,
            settings=settings,
            takes_seed="seed" in names,
            metric=options.get("metric"),
            goal=options.get("goal"),
            resolution=options.get("resolution"),
            data=(data,) if isinstance(data, str) else tuple(data),
        )

    def _defaults(self, node: ast.FunctionDef) -> Iterator[tuple[ast.arg, ast.expr]]:
        arguments = node.args
        plain = [*arguments.posonlyargs, *arguments.args]
        pairs = [*zip(plain[len(plain) - len(arguments.defaults) :], arguments.defaults, strict=True)]
        pairs += [
            (arg, default) for arg, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if default
        ]
        for arg, default in pairs:
            self._blank(node.name, default)
            yield arg, default

    def _blank(self, owner: str, value: ast.expr) -> None:
        self.blanks.setdefault(owner, []).append(value)

    def script_settings(self) -> dict[str, Declared]:
        """Return a script's settings by name; the first declaration of a name counts."""
        settings: dict[str, Declared] = {}
        for name, setting in (*self._called(), *self._flags(), *self._constants()):
            settings.setdefault(name, setting)
        return settings

    def _called(self) -> Iterator[tuple[str, Declared]]:
        for call in _calls(self.tree, "settings"):
            if (
                isinstance(call.func, ast.Attribute)
                and isinstance(call.func.value, ast.Name)
                and call.func.value.id == "palate"
            ):
                for keyword in call.keywords:
                    if keyword.arg:
                        self._blank("", keyword.value)
                        yield keyword.arg, Declared(value=_literal(keyword.value), how="settings")

    def _flags(self) -> Iterator[tuple[str, Declared]]:
        for call in _calls(self.tree, "add_argument"):
            flags = [arg.value for arg in call.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
            long = next((flag for flag in flags if flag.startswith("--")), None)
            if long is None:
                continue
            options = {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg}
            action = _action(options)
            absent = ast.Constant(action == "store_false" if action in ("store_true", "store_false") else None)
            default = options.get("default", absent)
            self._blank("", default)
            name = _literal(options["dest"]) if "dest" in options else long.lstrip("-").replace("-", "_")
            flag = _flag(_literal(default), f"{long}:{action}" if action else long, options)
            yield name, replace(flag, aliases=tuple(one for one in flags if one.startswith("-") and one != long))

    def _constants(self) -> Iterator[tuple[str, Declared]]:
        annotations = {
            node.target.id: node.annotation
            for node in self.tree.body
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
        }
        for name, value in top_constants(self.tree):
            self._blank("", value)
            kind = kind_of_annotation(annotations.get(name))
            yield name, Declared(value=_literal(value), how="constant", kind=kind)


def kind_of_annotation(annotation: ast.expr | None) -> Kind:
    """Return what a setting takes by its annotation: `float`, `str | None`, `list[int]`, `Literal["a", "b"]`."""
    match annotation:
        case ast.Constant(value=str() as text):
            try:
                return kind_of_annotation(ast.parse(text, mode="eval").body)
            except SyntaxError:
                return UNSAID
        case ast.Name(id="bool" | "int" | "float" | "str" as name):
            return Kind(name)
        case ast.BinOp(left=kind, op=ast.BitOr(), right=ast.Constant(value=None)):
            return replace(kind_of_annotation(kind), optional=True)
        case ast.BinOp(left=ast.Constant(value=None), op=ast.BitOr(), right=kind):
            return replace(kind_of_annotation(kind), optional=True)
        case ast.Subscript(value=ast.Name(id=name) | ast.Attribute(attr=name), slice=inner):
            return _kind_of_generic(name, inner)
    return UNSAID


def _kind_of_generic(name: str, inner: ast.expr) -> Kind:
    first = inner.elts[0] if isinstance(inner, ast.Tuple) and inner.elts else inner
    if name == "Optional":
        return replace(kind_of_annotation(inner), optional=True)
    if name in ("list", "tuple", "List", "Tuple", "Sequence"):
        return replace(kind_of_annotation(first), many=True)
    return Kind("str") if name == "Literal" and isinstance(_literal(first), str) else UNSAID


def _kind_of_flag(options: dict[str, ast.expr], default: Any, many: bool) -> Kind:
    """Return what a flag takes by its `type=`; without one, its text reaches the script as it is."""
    if "action" in options:
        return UNSAID
    match options.get("type"):
        case ast.Name(id="bool" | "int" | "float" | "str" as name):
            return Kind(name, many=many)
        case ast.Name(id="Path") | ast.Attribute(attr="Path"):
            return Kind("str", many=many)
        case None if default is None or isinstance(default, Unread):
            return Kind("str", many=many)
    return Kind(many=many)


def _action(options: dict[str, ast.expr]) -> str:
    if "action" not in options:
        return "bool" if ast.unparse(options.get("type", ast.Constant(None))) == "bool" else ""
    return (
        "optional"
        if ast.unparse(options["action"]).endswith("BooleanOptionalAction")
        else str(_literal(options["action"]))
    )


def _flag(value: Any, flag: str, options: dict[str, ast.expr]) -> Declared:
    choices = _literal(options["choices"]) if "choices" in options else ()
    many = _literal(options["nargs"]) if "nargs" in options else None
    count = many if isinstance(many, int) else -1 if many in ("+", "*") else None
    known = tuple(choices) if isinstance(choices, list | tuple | set) else ()
    kind = _kind_of_flag(options, value, count is not None)
    return Declared(value=value, how="flag", flag=flag, choices=known, count=count, kind=kind)


def top_constants(tree: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    """Yield `name = literal` at the top level of a file, for names that are assigned only once (constants)."""
    stored = Counter(_stored(tree.body))
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
        if value is None or len(targets) != 1 or not isinstance(targets[0], ast.Name):
            continue
        name = targets[0].id
        if stored[name] == 1 and not name.startswith("_") and not isinstance(_literal(value), Unread):
            yield name, value


def with_constants(code: bytes, constants: Mapping[str, Any]) -> bytes:
    """Return a file's code with other values for constants at its top level; every line keeps its number.

    >>> with_constants(b"lr = 0.1  # usual\\nprint(lr)\\n", {"lr": 0.3})
    b'lr = 0.3  # usual\\nprint(lr)\\n'
    """
    lines = code.splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    placed = sorted(
        ((node, constants[name]) for name, node in top_constants(ast.parse(code)) if name in constants),
        key=lambda pair: (pair[0].lineno, pair[0].col_offset),
        reverse=True,
    )
    for node, value in placed:
        begin = starts[node.lineno - 1] + node.col_offset
        end = starts[(node.end_lineno or node.lineno) - 1] + (node.end_col_offset or 0)
        breaks = code[begin:end].count(b"\n")
        finite = not isinstance(value, float) or math.isfinite(value)
        text = (repr(value) if finite else f'float("{value}")').encode()
        code = code[:begin] + (b"(" + text + b"\n" * breaks + b")" if breaks else text) + code[end:]
    return code


def _stored(body: list[ast.stmt]) -> Iterator[str]:
    """Yield every name assigned outside of functions and classes, also by augmented assignments and loops."""
    waiting: list[ast.AST] = list(body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            continue
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        waiting.extend(ast.iter_child_nodes(node))


def _decorator(node: ast.FunctionDef) -> ast.expr | None:
    for decorator in node.decorator_list:
        called = decorator.func if isinstance(decorator, ast.Call) else decorator
        if (isinstance(called, ast.Attribute) and called.attr == "experiment") or (
            isinstance(called, ast.Name) and called.id == "experiment"
        ):
            return decorator
    return None


def _refuse_opaque(function: str, options: dict[str, Any]) -> None:
    faults = [f"{name} is {value}" for name, value in options.items() if isinstance(value, Unread)]
    if faults:
        raise InputError(
            f"@palate.experiment above {function} must be readable without running the file.",
            why=faults,
            todo="Write the value out, as in resolution=1/1000.",
        )


def _calls(tree: ast.Module, name: str) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called == name:
                yield node


_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Pow: operator.pow,
}


def _literal(node: ast.expr) -> Any:
    """Return the value of a literal or of arithmetic on numbers (1 / 597, 10 * 40), anything else as source text."""
    try:
        return _value(node)
    except (ValueError, TypeError, SyntaxError, ArithmeticError):
        return Unread(type="source", text=ast.unparse(node))


def _value(node: ast.expr) -> Any:
    if isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
        left, right = _value(node.left), _value(node.right)
        if all(type(side) in (int, float) and abs(side) < 1e15 for side in (left, right)):
            return _ARITHMETIC[type(node.op)](left, right)
    return ast.literal_eval(node)


def _imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            prefix = "." * node.level + (node.module or "")
            yield prefix
            yield from (f"{prefix}.{alias.name}".replace("..", ".") for alias in node.names if node.level)


def _dump(tree: ast.AST, hidden: set[int]) -> str:
    """Return a syntax tree as text, with `...` for the hidden nodes."""
    if id(tree) in hidden:
        return "..."
    parts = []
    for name, value in ast.iter_fields(tree):
        items = value if isinstance(value, list) else [value]
        texts = (_dump(item, hidden) if isinstance(item, ast.AST) else repr(item) for item in items)
        parts.append(f"{name}={','.join(texts)}")
    return f"{type(tree).__name__}({' '.join(parts)})"
