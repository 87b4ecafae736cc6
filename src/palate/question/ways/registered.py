"""Options that are registered by a call each: click's decorators and absl's flags."""

import ast
from collections.abc import Iterator
from dataclasses import replace

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
from palate.recipe.settings import UNSAID, Kind, KindName

_CLICK_TYPES: dict[str, KindName] = {
    "INT": "int", "FLOAT": "float", "STRING": "str", "BOOL": "bool", "Path": "str", "IntRange": "int",
    "FloatRange": "float", "int": "int", "float": "float", "str": "str", "bool": "bool",
}  # fmt: skip


def read_click(files: Files) -> Found:
    """Yield the options and arguments of click's commands."""
    if "click" not in files.imported:
        return
    for _, tree in files.used():
        for node in nodes(tree):
            if isinstance(node, ast.FunctionDef):
                yield from _command(node)


def click_commands(files: Files) -> tuple[str, ...]:
    """Return the names of the subcommands of click's groups."""
    if "click" not in files.imported:
        return ()
    owners = [_owner(node) for _, tree in files.used() for node in nodes(tree) if isinstance(node, ast.FunctionDef)]
    return tuple(dict.fromkeys(owner for owner in owners if owner not in ("", ANY_COMMAND)))


def _command(node: ast.FunctionDef) -> Found:
    place, owner = 0, _owner(node)
    for call in _decorators(node):
        names, options = texts(call.args), keywords(call)
        if called(call) == "argument" and names and "nargs" not in options:
            default = options.get("default")
            value = ABSENT if default is None else literal(default)
            name = names[0].replace("-", "_").lower()
            yield (
                name,
                Declared(value=value, how="position", flag=str(place), kind=_type(options), node=default, owner=owner),
            )
            place += 1
        elif called(call) == "option" and names:
            for name, option in _option(names, options):
                yield name, replace(option, owner=owner)


def _decorators(node: ast.FunctionDef) -> Iterator[ast.Call]:
    yield from (one for one in node.decorator_list if isinstance(one, ast.Call))


def _owner(node: ast.FunctionDef) -> str:
    """Return the subcommand that a function is; "" where it is the group, "*" where it is a program of its own."""
    for decorator in node.decorator_list:
        function = decorator.func if isinstance(decorator, ast.Call) else decorator
        what = called(function)
        of_group = isinstance(function, ast.Attribute) and ast.unparse(function.value) != "click"
        if what == "group" and not of_group:
            return ""
        if what == "command" and of_group:
            named = texts(decorator.args[:1]) if isinstance(decorator, ast.Call) else []
            plain = node.name.lower()
            for end in ("_command", "_cmd"):
                plain = plain.removesuffix(end)
            return named[0] if named else plain.replace("_", "-")
    return ANY_COMMAND


def _option(names: list[str], options: dict[str, ast.expr]) -> Found:
    flags = [one for one in names if one.startswith("-")]
    plain = [one for one in names if not one.startswith("-")]
    if not flags:
        return
    flag = next((one for one in flags if one.startswith("--")), flags[0])
    on, _, off = flag.partition("/")
    name = plain[0] if plain else on.lstrip("-").replace("-", "_").lower()
    default = options.get("default")
    is_switch = bool(off) or _true(options, "is_flag")
    absent = is_switch and default is None
    node = ast.Constant(False) if absent else default
    value = None if node is None else literal(node)
    if is_switch:
        off = off.strip()
        by_both = off == f"--no-{on.lstrip('-')}"
        says_off = bool(off) and not by_both and value is True
        does = "optional" if by_both else "store_false" if says_off else "store_true"
        yield name, Declared(value=value, how="flag", flag=f"{off if says_off else on}:{does}", node=default)
        return
    count = literal(options["nargs"]) if "nargs" in options else None
    several = _true(options, "multiple")
    kind = _type(options)
    yield (
        name,
        Declared(
            value=value,
            how="flag",
            flag=f"{on}:append" if several else on if on.startswith("--") else f"{on}:apart",
            choices=_choices(options),
            count=count if isinstance(count, int) else None,
            kind=replace(kind, many=several or isinstance(count, int)),
            aliases=tuple(one for one in flags if one != flag),
            node=default,
        ),
    )


def _true(options: dict[str, ast.expr], name: str) -> bool:
    return name in options and literal(options[name]) is True


def _type(options: dict[str, ast.expr]) -> Kind:
    if "type" in options:
        return Kind(_CLICK_TYPES[called(options["type"])]) if called(options["type"]) in _CLICK_TYPES else UNSAID
    return Kind("str") if "default" not in options else UNSAID


def _choices(options: dict[str, ast.expr]) -> tuple[str, ...]:
    choice = options.get("type")
    if not isinstance(choice, ast.Call) or called(choice) != "Choice" or not choice.args:
        return ()
    known = literal(choice.args[0])
    return tuple(known) if isinstance(known, list | tuple) else ()


_ABSL: dict[str, tuple[KindName, str]] = {
    "DEFINE_float": ("float", ""),
    "DEFINE_integer": ("int", ""),
    "DEFINE_string": ("str", ""),
    "DEFINE_bool": ("bool", "literal"),
    "DEFINE_boolean": ("bool", "literal"),
    "DEFINE_enum": ("str", ""),
    "DEFINE_list": ("str", "comma"),
    "DEFINE_spaceseplist": ("str", "comma"),
    "DEFINE_multi_float": ("float", "append"),
    "DEFINE_multi_integer": ("int", "append"),
    "DEFINE_multi_string": ("str", "append"),
}


def read_absl(files: Files) -> Found:
    """Yield the flags of absl."""
    if "absl" not in files.imported:
        return
    for _, tree in files.used():
        for node in nodes(tree):
            if not isinstance(node, ast.Call) or called(node) not in _ABSL:
                continue
            kind, does = _ABSL[called(node)]
            options = keywords(node)
            name = literal(node.args[0] if node.args else options.get("name", ast.Constant(None)))
            default = node.args[1] if len(node.args) > 1 else options.get("default")
            if not isinstance(name, str):
                files.unread.append(f"{ast.unparse(node)[:60]}: its name is made while it runs")
                continue
            enum = node.args[2] if called(node) == "DEFINE_enum" and len(node.args) > 2 else options.get("enum_values")
            known = literal(enum) if enum is not None else ()
            yield (
                name,
                Declared(
                    value=None if default is None else literal(default),
                    how="flag",
                    flag=f"--{name}:{does}" if does else f"--{name}",
                    choices=tuple(known) if isinstance(known, list | tuple) else (),
                    kind=Kind(kind, many=does in ("append", "comma")),
                    node=default,
                ),
            )
