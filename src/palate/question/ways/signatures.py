"""Options that a library makes of a function's parameters or of a class's fields.

typer, tyro, fire, HfArgumentParser, simple-parsing, jsonargparse (its CLI and Lightning's) and typed-argument-parser:
each names the flag of a field in its own way.
"""

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from palate.question.ways.declared import (
    ABSENT,
    ANY_COMMAND,
    Declared,
    Found,
    called,
    keywords,
    kind_of_annotation,
    nodes,
    texts,
)
from palate.question.ways.declared import literal as literal_of
from palate.question.ways.files import Files, library_file
from palate.recipe.settings import Kind

DEEPEST = 6
"""Classes within classes that are followed."""


@dataclass(frozen=True, slots=True)
class Field:
    """A parameter or a field: its dotted name, what it is annotated with, and its default where it has one."""

    name: str
    annotation: ast.expr | None
    default: ast.expr | None

    @property
    def kind(self) -> Kind:
        """What it takes."""
        return kind_of_annotation(self.annotation)

    @property
    def is_switch(self) -> bool:
        """Whether it is true or false."""
        told = isinstance(self.default, ast.Constant) and isinstance(self.default.value, bool)
        return self.kind.name == "bool" or (self.annotation is None and told)


def fields_of(files: Files, name: str) -> Iterator[Field]:
    """Yield the fields of a dataclass, or the parameters of a function or of a class, by its name."""
    node = files.definition(name)
    if isinstance(node, ast.FunctionDef):
        yield from parameters(node)
    elif node is not None:
        init = next((one for one in node.body if isinstance(one, ast.FunctionDef) and one.name == "__init__"), None)
        yield from parameters(init) if init is not None else _class_fields(files, node)


def parameters(node: ast.FunctionDef) -> Iterator[Field]:
    """Yield the parameters of a function but for `self`."""
    arguments = node.args
    plain = [*arguments.posonlyargs, *arguments.args]
    defaults: list[ast.expr | None] = [None] * (len(plain) - len(arguments.defaults))
    for arg, default in (
        *zip(plain, [*defaults, *arguments.defaults], strict=True),
        *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True),
    ):
        if arg.arg not in ("self", "cls"):
            yield Field(arg.arg, arg.annotation, default)


def _class_fields(files: Files, node: ast.ClassDef, deep: int = 0) -> Iterator[Field]:
    found: dict[str, Field] = {}
    for base in node.bases:
        parent = files.definition(called(base))
        if isinstance(parent, ast.ClassDef) and deep < DEEPEST:
            found |= {one.name: one for one in _class_fields(files, parent, deep + 1)}
    for statement in node.body:
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            name = statement.target.id
            found[name] = Field(name, statement.annotation, field_default(statement.value))
    yield from found.values()


_SAYS_DEFAULT = ("field", "Field", "Option", "Argument", "list_field", "choice")


def field_default(value: ast.expr | None) -> ast.expr | None:
    """Return the default that a field's value stands for: `field(default=x)`, `typer.Option(x)`, or itself."""
    if not isinstance(value, ast.Call) or called(value) not in _SAYS_DEFAULT:
        return value
    options = keywords(value)
    if "default" in options:
        return options["default"]
    factory = options.get("default_factory")
    if isinstance(factory, ast.Lambda):
        return factory.body
    if factory is not None:
        return ast.Call(func=factory, args=[], keywords=[])
    return None if not value.args or ast.unparse(value.args[0]) == "..." else value.args[0]


def flat(files: Files, fields: Iterator[Field], prefix: str = "", deep: int = 0) -> Iterator[Field]:
    """Yield fields with dotted names, those of classes within classes too."""
    for one in fields:
        inner = _class_of(files, one.annotation) if deep < DEEPEST else ""
        dotted = f"{prefix}{one.name}"
        if inner:
            given = keywords(one.default) if isinstance(one.default, ast.Call) else {}
            members = (replace(m, default=given.get(m.name, m.default)) for m in fields_of(files, inner))
            yield from flat(files, members, f"{dotted}.", deep + 1)
        else:
            yield replace(one, name=dotted)


def _class_of(files: Files, annotation: ast.expr | None) -> str:
    """Return the project's own class that an annotation names; "" for anything else."""
    name = called(annotation) if isinstance(annotation, ast.Name | ast.Attribute) else ""
    node = files.definition(name) if name else None
    named = isinstance(node, ast.ClassDef) and any(isinstance(one, ast.AnnAssign) for one in node.body)
    enumerated = isinstance(node, ast.ClassDef) and any("Enum" in called(base) for base in node.bases)
    return name if named and not enumerated else ""


def read_signatures(files: Files) -> Found:
    """Yield what each of these libraries, where the script imports it, makes of functions and classes."""
    for library, read in _READERS.items():
        if library in files.imported:
            yield from read(files)


def _entries(files: Files, *names: str) -> Iterator[tuple[ast.Call, list[str]]]:
    """Yield the calls that hand a function or classes to a library, and the names of those."""
    for _, tree in files.used():
        for node in nodes(tree):
            if isinstance(node, ast.Call) and called(node) in names:
                first = node.args[0] if node.args else next(iter(keywords(node).values()), None)
                members = first.elts if isinstance(first, ast.Tuple | ast.List) else [first]
                yield node, [called(one) for one in members if isinstance(one, ast.Name | ast.Attribute)]


def _known(files: Files, names: list[str], what: str) -> list[Field]:
    """Return the fields of some classes or functions; note those that cannot be found."""
    found: list[Field] = []
    for name in names:
        fields = list(fields_of(files, name))
        if not fields:
            files.unread.append(f"{what}({name}): its fields are not declared in this project")
        found += flat(files, iter(fields))
    return found


def _declare(
    fields: list[Field], spelled: Callable[[str], str], *, switch: str, prefix: str = "", action: str = ""
) -> Found:
    """Yield a flag for each field.

    Args:
        fields: those of one function or class, or of several.
        spelled: makes the flag of a name.
        switch: what a flag for true and false does; see `Handover.action`.
        prefix: of the flags and of the settings.
        action: what any other flag does.
    """
    for one in fields:
        does = switch if one.is_switch else action
        name = f"{prefix}{one.name}"
        many = one.kind.many and not does
        yield (
            name,
            Declared(
                value=ABSENT if one.default is None else literal_of(one.default),
                how="flag",
                flag=f"--{spelled(name)}{':' if does else ''}{does}",
                count=-1 if many else None,
                kind=one.kind,
                node=one.default,
            ),
        )


def _dashed(name: str) -> str:
    return name.replace("_", "-")


def _as_it_is(name: str) -> str:
    return name


def _tyro(files: Files) -> Found:
    for _, names in _entries(files, "cli"):
        fields = _known(files, names[:1], "tyro.cli")
        yield from _declare(fields, _dashed, switch="negated")


def _fire(files: Files) -> Found:
    for _, names in _entries(files, "Fire"):
        yield from _declare(_known(files, names, "Fire"), _as_it_is, switch="literal", action="literal")


def _transformers(files: Files) -> Found:
    for _, names in _entries(files, "HfArgumentParser", "TrlParser"):
        yield from _declare(_known(files, names, "HfArgumentParser"), _as_it_is, switch="literal")


def _simple_parsing(files: Files) -> Found:
    for _, names in _entries(files, "add_arguments", "parse"):
        yield from (
            (name.rpartition(".")[2], replace(one, flag=_last(one.flag)))
            for name, one in _declare(_known(files, names[:1], "add_arguments"), _as_it_is, switch="literal")
        )


def _last(flag: str) -> str:
    """Leave out what a class within a class is called: simple-parsing does, where nothing else has that name."""
    return f"--{flag.lstrip('-').rpartition('.')[2]}"


def _tap(files: Files) -> Found:
    for _, tree in files.used():
        for node in nodes(tree):
            if isinstance(node, ast.ClassDef) and any(called(base) == "Tap" for base in node.bases):
                for name, one in _declare(_known(files, [node.name], "Tap"), _as_it_is, switch="store_true"):
                    off = one.value is True and one.flag.endswith("store_true")
                    yield name, replace(one, flag=one.flag.replace("store_true", "store_false")) if off else one


def _jsonargparse(files: Files) -> Found:
    for _, names in _entries(files, "CLI", "auto_cli"):
        yield from _with_defaults(_declare(_known(files, names, "CLI"), _as_it_is, switch="yaml", action="yaml"))
    for call, names in _entries(files, "add_class_arguments", "add_function_arguments"):
        group = [*call.args[1:2], *(value for name, value in keywords(call).items() if name == "nested_key")]
        prefix = f"{literal_of(group[0])}." if group else ""
        fields = _known(files, names[:1], "add_class_arguments")
        yield from _with_defaults(_declare(fields, _as_it_is, switch="yaml", action="yaml", prefix=prefix))


def _with_defaults(found: Found) -> Found:
    """Leave out what has no default: it is a positional argument, or stands in a configuration file."""
    return ((name, one) for name, one in found if one.value is not ABSENT)


def _lightning(files: Files) -> Found:
    for call, _ in _entries(files, "LightningCLI"):
        given = {"model": call.args[:1], "data": call.args[1:2]}
        options = keywords(call)
        for group, key in (("model", "model_class"), ("data", "datamodule_class")):
            given[group] = given[group] or [options[key]] if key in options or given[group] else []
        for group, classes in given.items():
            fields = _known(files, [called(one) for one in classes], "LightningCLI")
            yield from _declare(fields, _as_it_is, switch="yaml", action="yaml", prefix=f"{group}.")
        seed = options.get("seed_everything_default", ast.Constant(True))
        yield "seed_everything", Declared(value=literal_of(seed), how="flag", flag="--seed_everything:yaml")
        yield from _declare(_of_trainer(), _as_it_is, switch="yaml", action="yaml", prefix="trainer.")


def _of_trainer() -> list[Field]:
    """Return the parameters of Lightning's trainer, read in its source where it is installed."""
    for top in ("lightning", "pytorch_lightning"):
        parts = ["pytorch", "trainer", "trainer"] if top == "lightning" else ["trainer", "trainer"]
        path = library_file(top, parts)
        body = ast.parse(path.read_bytes()).body if path is not None else []
        for node in body:
            if isinstance(node, ast.ClassDef) and node.name == "Trainer":
                inits = [one for one in node.body if isinstance(one, ast.FunctionDef) and one.name == "__init__"]
                return list(parameters(inits[0])) if inits else []
    return []


def _typer(files: Files) -> Found:
    for _, tree in files.used():
        entries = [name for _, names in _entries(files, "run") for name in names]
        commands = [node for node in tree.body if isinstance(node, ast.FunctionDef) and _command_word(node) is not None]
        several = len(commands) > 1
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and (node.name in entries or node in commands):
                owner = (_command_word(node) or _dashed(node.name)) if several else ANY_COMMAND
                for name, one in _typer_options(node):
                    yield name, replace(one, owner=owner)


def typer_commands(files: Files) -> tuple[str, ...]:
    """Return the names of the commands of a typer application that has several."""
    if "typer" not in files.imported:
        return ()
    nodes = [node for _, tree in files.used() for node in tree.body if isinstance(node, ast.FunctionDef)]
    words = [_command_word(node) for node in nodes]
    named = [word or _dashed(node.name) for node, word in zip(nodes, words, strict=True) if word is not None]
    return tuple(named) if len(named) > 1 else ()


def _command_word(node: ast.FunctionDef) -> str | None:
    """Return the name that `@app.command("name")` gives, "" where it gives none; None where there is no such line."""
    for decorator in node.decorator_list:
        if isinstance(decorator, ast.Call) and called(decorator) == "command":
            first = literal_of(decorator.args[0]) if decorator.args else ""
            return first if isinstance(first, str) else ""
    return None


def _typer_options(node: ast.FunctionDef) -> Found:
    place = 0
    for one in parameters(node):
        call = _typer_call(one)
        names = [text for text in texts(call.args if call is not None else []) if text.startswith("--")]
        default = field_default(one.default)
        field = Field(one.name, one.annotation, default)
        if called(call) == "Argument" if call is not None else default is None:
            value = ABSENT if default is None else literal_of(default)
            yield one.name, Declared(value=value, how="position", flag=str(place), kind=field.kind, node=default)
            place += 1
            continue
        spelling = names[0][2:].partition("/")[0] if names else _dashed(one.name)
        for name, found in _declare([field], lambda _, said=spelling: said, switch="optional"):  # type: ignore[misc]
            append = found.count == -1
            yield name, replace(found, flag=f"{found.flag}:append", count=None) if append else found


def _typer_call(one: Field) -> ast.Call | None:
    """Return the call of Option or Argument that says more of a parameter: as its default, or in its annotation."""
    inner = one.annotation.slice if isinstance(one.annotation, ast.Subscript) else None
    members = inner.elts if isinstance(inner, ast.Tuple) and called(getattr(one.annotation, "value", inner)) else []
    for node in (one.default, *members):
        if isinstance(node, ast.Call) and called(node) in ("Option", "Argument"):
            return node
    return None


_READERS: dict[str, Callable[[Files], Found]] = {
    "typer": _typer,
    "transformers": _transformers,
    "tyro": _tyro,
    "fire": _fire,
    "simple_parsing": _simple_parsing,
    "jsonargparse": _jsonargparse,
    "lightning": _lightning,
    "pytorch_lightning": _lightning,
    "tap": _tap,
}
