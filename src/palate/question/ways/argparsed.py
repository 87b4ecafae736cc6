"""Options of argparse, wherever in the project the parser is built; also of libraries that build on it.

The calls are read in the order in which they stand: `parser.add_argument(...)` in the script or in a module that it
imports, `add_subparsers`, groups, `parents=`, `set_defaults`.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from palate.question.ways.declared import (
    ABSENT,
    ANY_COMMAND,
    Declared,
    Found,
    called,
    keywords,
    literal,
    nodes,
    texts,
)
from palate.question.ways.files import Files
from palate.recipe.codec import Unread
from palate.recipe.settings import UNSAID, Kind

_SWITCHES = ("store_true", "store_false")
_NOT_SETTINGS = ("help", "version", "count", "store_const", "append_const")


def read_argparse(files: Files) -> Found:
    """Yield the options and positional arguments of a script's parsers."""
    for path, tree in files.used():
        parsers = _Parsers(of_script=path == files.path)
        for node in _in_order(tree):
            if isinstance(node, ast.Assign | ast.AnnAssign):
                parsers.assigned(node)
            else:
                parsers.called(node)
        files.unread.extend(parsers.unread)
        yield from parsers.settings()


def commands_of(files: Files) -> tuple[str, ...]:
    """Return the names of a script's subcommands."""
    names: dict[str, None] = {}
    for _, tree in files.used():
        for node in nodes(tree):
            if isinstance(node, ast.Call) and called(node) == "add_parser":
                names |= dict.fromkeys(texts(node.args[:1]))
    return tuple(names)


def _in_order(tree: ast.AST) -> Iterator[ast.Assign | ast.AnnAssign | ast.Call]:
    found = [node for node in nodes(tree) if isinstance(node, ast.Assign | ast.AnnAssign | ast.Call)]
    yield from sorted(found, key=lambda node: (node.lineno, node.col_offset))


@dataclass
class _Parsers:
    """What one file declares of parsers, by the variables that hold them.

    Attributes:
        of_script: whether it is the script itself.
        unread: options whose names cannot be read.
    """

    of_script: bool
    unread: list[str] = field(default_factory=list)
    _owners: dict[str, str] = field(default_factory=dict)
    _parents: set[str] = field(default_factory=set)
    _with_commands: set[str] = field(default_factory=set)
    _found: list[tuple[str, str, Declared]] = field(default_factory=list)
    _defaults: dict[str, ast.expr] = field(default_factory=dict)
    _positions: dict[str, int] = field(default_factory=dict)

    def assigned(self, node: ast.Assign | ast.AnnAssign) -> None:
        """Note which variable holds a parser, a group or the parser of a subcommand."""
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        if len(targets) != 1 or not isinstance(node.value, ast.Call):
            return
        name, call = ast.unparse(targets[0]), node.value
        what = called(call)
        if what == "add_parser":
            command = texts(call.args[:1])
            self._owners[name] = command[0] if command else ANY_COMMAND
            parents = keywords(call).get("parents")
            self._parents |= {ast.unparse(one) for one in parents.elts} if isinstance(parents, ast.List) else set()
        elif what in ("add_argument_group", "add_mutually_exclusive_group"):
            self._owners[name] = self._owner(_receiver(call))
            self._with_commands |= {name} if _receiver(call) in self._with_commands else set()
        elif what == "add_subparsers":
            self._with_commands.add(_receiver(call))
        elif what.endswith("Parser"):
            self._owners[name] = ""

    def called(self, call: ast.Call) -> None:
        """Read what a call declares."""
        what = called(call)
        if what == "add_argument":
            self._add(call)
        elif what == "add_subparsers":
            self._with_commands.add(_receiver(call))
        elif what == "set_defaults":
            self._defaults |= keywords(call)

    def _owner(self, variable: str) -> str:
        return self._owners.get(variable, ANY_COMMAND)

    def _add(self, call: ast.Call) -> None:
        names, options, variable = texts(call.args), keywords(call), _receiver(call)
        if len(names) < len(call.args) or not (names or "dest" in options):
            self.unread.append(f"{ast.unparse(call)[:60]}: its name is made while it runs")
            return
        if not names:
            return
        if names[0].startswith("-"):
            option = _option(names, options)
        else:
            option = _positional(options, self._positions.get(variable, 0))
            self._positions[variable] = self._positions.get(variable, 0) + 1
        if option is not None:
            plain = next((one for one in names if one.startswith("--")), max(names, key=len))
            dest = literal(options["dest"]) if "dest" in options else plain.lstrip("-").replace("-", "_")
            self._found.append((str(dest), variable, option))

    def settings(self) -> Found:
        """Yield what was declared, with the defaults that are set later, and whose it is."""
        for name, variable, option in self._found:
            if variable in self._parents:
                owner = ANY_COMMAND
            elif variable in self._with_commands:
                owner = ""
            else:
                owner = self._owner(variable) or ANY_COMMAND
            node = self._defaults.get(name, option.node)
            value = literal(node) if name in self._defaults and node is not None else option.value
            yield name, replace(option, owner=owner, node=node, value=value)


def _receiver(call: ast.Call) -> str:
    """Return what a method is called on, as written."""
    return ast.unparse(call.func.value) if isinstance(call.func, ast.Attribute) else ""


def _option(names: list[str], options: dict[str, ast.expr]) -> Declared | None:
    action = _action(options)
    if action in _NOT_SETTINGS:
        return None
    flag = next((one for one in names if one.startswith("--")), max(names, key=len))
    absent = ast.Constant(action == "store_false" if action in _SWITCHES else None)
    default = options.get("default", absent)
    value = literal(default)
    many = literal(options["nargs"]) if "nargs" in options else None
    count = many if isinstance(many, int) else -1 if many in ("+", "*") else None
    several = count is not None or action in ("append", "extend")
    return Declared(
        value=value,
        how="flag",
        flag=f"{flag}:{action}" if action else flag,
        choices=_choices(options),
        count=count,
        kind=_kind(options, value, several, action),
        aliases=tuple(one for one in names if one != flag),
        node=default,
    )


def _positional(options: dict[str, ast.expr], place: int) -> Declared | None:
    if "nargs" in options and literal(options["nargs"]) != "?":
        return None
    default = options.get("default")
    value = ABSENT if default is None else literal(default)
    return Declared(
        value=value,
        how="position",
        flag=str(place),
        choices=_choices(options),
        kind=_kind(options, value, False, ""),
        node=default,
    )


def _choices(options: dict[str, ast.expr]) -> tuple[Any, ...]:
    known = literal(options["choices"]) if "choices" in options else ()
    return tuple(known) if isinstance(known, list | tuple | set) else ()


def _kind(options: dict[str, ast.expr], default: Any, several: bool, action: str) -> Kind:
    """Return what a flag takes by its `type=`; without one, its text reaches the script as it is."""
    if action in (*_SWITCHES, "optional"):
        return UNSAID
    match options.get("type"):
        case ast.Name(id="bool" | "int" | "float" | "str" as name):
            return UNSAID if "action" in options and not several else Kind(name, many=several)
        case ast.Name(id="Path") | ast.Attribute(attr="Path"):
            return Kind("str", many=several)
        case None if default is None or isinstance(default, Unread):
            return Kind("str", many=several)
    return Kind(many=several)


def _action(options: dict[str, ast.expr]) -> str:
    if "action" not in options:
        return "bool" if ast.unparse(options.get("type", ast.Constant(None))) == "bool" else ""
    if ast.unparse(options["action"]).endswith("BooleanOptionalAction"):
        return "optional"
    action = str(literal(options["action"]))
    return "" if action == "store" else action
