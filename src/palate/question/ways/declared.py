"""What a declaration of a setting is, and how values and types are read off a syntax tree."""

import ast
import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal

from palate.recipe.codec import Unread
from palate.recipe.settings import UNSAID, Kind

How = Literal["parameter", "settings", "flag", "constant", "override", "environment", "position", "words"]
ABSENT = Unread(type="absent", text="<not set>")
"""The value of a setting that nothing sets."""

ANY_COMMAND = "*"
"""Owner of an option that may stand behind any subcommand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """A declared setting.

    Attributes:
        value: its value as written in the file.
        how: how another value is passed.
        flag: how it is named where it is passed: the flag, with its action behind a colon; the override, the
            environment variable, the number of the position, the words; of a constant of another file, file and name.
        choices: the values that a flag accepts, where they are limited.
        count: how many values a flag takes, -1 for any number; None for one.
        kind: what it takes, as far as its declaration says it.
        aliases: other spellings of its flag.
        owner: the subcommand that it belongs to; "" for the program before its subcommand, "*" for any place.
        node: where its value stands in the file.
    """

    value: Any
    how: How
    flag: str = ""
    choices: tuple[Any, ...] = ()
    count: int | None = None
    kind: Kind = UNSAID
    aliases: tuple[str, ...] = ()
    owner: str = ANY_COMMAND
    node: ast.expr | None = None


Found = Iterator[tuple[str, Declared]]
"""Settings by name, in the order in which they stand."""


@lru_cache(maxsize=1024)
def nodes(tree: ast.AST) -> tuple[ast.AST, ...]:
    """Return all nodes of a tree; walked once, though each way of declaring settings looks through them."""
    return tuple(ast.walk(tree))


def calls(tree: ast.AST, *names: str) -> Iterator[ast.Call]:
    """Yield the calls of functions or methods of these names."""
    for node in nodes(tree):
        if isinstance(node, ast.Call) and called(node) in names:
            yield node


def called(node: ast.AST) -> str:
    """Return the last name of what is called, or of a name or an attribute: `add` of `a.add(1)`; else ""."""
    function = node.func if isinstance(node, ast.Call) else node
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def keywords(call: ast.Call) -> dict[str, ast.expr]:
    """Return what a call hands over by name."""
    return {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg}


def texts(nodes: Sequence[ast.expr]) -> list[str]:
    """Return the texts among some expressions."""
    return [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]


_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Pow: operator.pow,
}


def literal(node: ast.expr) -> Any:
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
    if name == "Annotated":
        return kind_of_annotation(first)
    if name in ("list", "tuple", "List", "Tuple", "Sequence"):
        return replace(kind_of_annotation(first), many=True)
    return Kind("str") if name == "Literal" and isinstance(literal(first), str) else UNSAID
