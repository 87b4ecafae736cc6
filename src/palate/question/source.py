"""Read what a Python file declares, without running it: experiments, settings, seed, imports.

A prompt must not wait for `import torch`, and a mistyped setting must be detected before anything runs. A function's
settings are the parameters of an `@palate.experiment` function. A script's settings are, in this order, those of a call
of `palate.settings(...)`, options of its command line, fields of its configuration, variables of the environment, and
constants. Each way of declaring them has a reader in `palate.question.ways`.
"""

import ast
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from palate.errors import InputError, NotFoundError
from palate.question.notebooks import NOTEBOOK, parameters_of, python_of
from palate.question.ways.argparsed import commands_of, read_argparse
from palate.question.ways.configs import read_gin, read_hydra, read_ml_collections
from palate.question.ways.constants import (
    SEEDING,
    read_constants,
    read_environment,
    read_places,
    script_constants,
    seeding_numbers,
)
from palate.question.ways.declared import (
    ANY_COMMAND,
    Declared,
    Found,
    called,
    calls,
    keywords,
    kind_of_annotation,
    literal,
    nodes,
)
from palate.question.ways.files import Files, imports, parse
from palate.question.ways.registered import click_commands, read_absl, read_click
from palate.question.ways.signatures import read_signatures, typer_commands
from palate.recipe.codec import Unread
from palate.vocabulary import Goal

SEED_NAMES = (
    "seed", "SEED", "random_seed", "RANDOM_SEED", "random_state", "RANDOM_STATE", "manual_seed", "manualSeed",
    "MANUAL_SEED", "seed_everything", "rng_seed", "RNG_SEED", "global_seed", "randomSeed", "rand_seed",
)  # fmt: skip
"""What the setting is called that a script is seeded with; the last part of a dotted name counts too."""


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
        root: the folder that stands first where its imports are looked for.
        functions: its experiments, by name.
        settings: a script's own settings.
        seed, seed_name: the script's own seed setting, where it has one.
        commands: the names of its subcommands.
        unread: why it may take settings that were not found, in words; nothing where it takes no others.
        imports: top-level names of what it imports, as written.
    """

    path: Path
    root: Path
    functions: dict[str, Function]
    settings: dict[str, Declared]
    seed: Declared | None
    seed_name: str
    imports: tuple[str, ...]
    commands: tuple[str, ...]
    unread: tuple[str, ...]
    _tree: ast.Module
    _blanks: dict[str, list[ast.expr]]

    def code_id(self, recipe_of: str | None = None) -> str:
        """Return a hash of the syntax tree without the values of settings; comments do not count.

        Args:
            recipe_of: whose settings are left out: a function's by its name, the script's own by "", none by None.
        """
        hidden = {id(node) for node in self._blanks.get(recipe_of, [])} if recipe_of is not None else set()
        return hashlib.sha256(_dump(self._tree, hidden).encode()).hexdigest()


def read_source(
    path: Path, arguments: Sequence[str] = (), *, settings: bool = True, root: Path | None = None
) -> Source:
    """Read a Python file.

    Args:
        path: the file.
        arguments: of its command line: they choose a subcommand and configuration files.
        settings: whether a script's own settings are wanted; a module that another file imports has none.
        root: the folder that stands first where its imports are looked for; its own, links resolved, if None.

    Raises:
        NotFoundError: there is no such file.
        InputError: it is not Python.
    """
    try:
        content = path.read_bytes()
        tree = parse(python_of(content, str(path)) if path.suffix == NOTEBOOK else content, str(path))
    except FileNotFoundError as error:
        raise NotFoundError(f"{path}: there is no such file.", todo="palate run FILE.py -c name=value") from error
    except (SyntaxError, ValueError, OSError) as error:
        raise InputError(f"{path} cannot be read as Python: {error}.") from error
    reading = _Reading(tree)
    files = Files(path, tree, arguments, root)
    commands = (*commands_of(files), *click_commands(files), *typer_commands(files)) if settings else ()
    declared = reading.script_settings(files, commands) if settings else {}
    if settings and path.suffix == NOTEBOOK:
        declared = _parameters_first(declared, parameters_of(content, str(path)))
    seed = _seed_of(declared)
    if settings and not seed and not reading.functions and "palate" not in files.imported:
        declared, seed = _with_fixed_seed(declared, tree)
    return Source(
        path=path,
        root=files.base,
        functions=reading.functions,
        settings={name: value for name, value in declared.items() if name not in (seed, *SEED_NAMES)},
        seed=declared[seed] if seed else None,
        seed_name=seed,
        imports=tuple(sorted(set(imports(tree)))),
        commands=commands,
        unread=(*dict.fromkeys(files.unread), *(_unread(files, declared) if settings else ())),
        _tree=tree,
        _blanks=reading.blanks,
    )


def _with_fixed_seed(declared: dict[str, Declared], tree: ast.Module) -> tuple[dict[str, Declared], str]:
    """Return settings with the number that a script seeds itself with in its calls, and its name; "" where none is."""
    first = next(seeding_numbers(tree), None)
    if first is None:
        return declared, ""
    return {**declared, SEEDING: Declared(value=first.value, how="constant", node=first)}, SEEDING


def _parameters_first(declared: dict[str, Declared], parameters: str) -> dict[str, Declared]:
    """Put the settings of the cell that is tagged `parameters` first, where a notebook has one."""
    first = [name for name, _ in script_constants(ast.parse(parameters)) if name in declared]
    return {**{name: declared[name] for name in first}, **declared}


def _seed_of(declared: dict[str, Declared]) -> str:
    """Return the name of the setting that a script is seeded with; "" where it has none."""
    usable = [name for name, one in declared.items() if type(one.value) is not bool or one.how == "flag"]
    plain = next((name for name in SEED_NAMES if name in usable), "")
    ends = [name for name in usable if "." in name and name.rpartition(".")[2] in SEED_NAMES]
    return plain or min(ends, key=lambda name: (name.count("."), SEED_NAMES.index(name.rpartition(".")[2])), default="")


_TAKES_OPTIONS = frozenset({
    "argparse", "click", "typer", "tyro", "fire", "absl", "simple_parsing", "jsonargparse", "hydra", "docopt", "plac",
    "configargparse", "tap", "pydantic_settings", "cyclopts", "draccus", "sacred", "gin", "ml_collections", "pyrallis",
    "getopt", "optparse", "defopt", "clize", "confuse", "dynaconf", "chz", "spock", "tensorboard", "trl",
})  # fmt: skip
"""What a script imports that takes options."""


def _unread(files: Files, declared: dict[str, Declared]) -> Iterator[str]:
    """Say why a script may take options that were not found."""
    taken = [one for one in declared.values() if one.how in ("flag", "override", "words")]
    if not taken and (libraries := sorted(files.imported & _TAKES_OPTIONS)):
        yield f"it imports {', '.join(libraries)}, and no option of it was found"
    for _, tree in files.used():
        for call in calls(tree, "from_cli", "from_dotlist", "parse_known_args"):
            yield f"it calls {called(call)}"
        for node in nodes(tree):
            whole = isinstance(node, ast.Attribute) and node.attr == "argv" and not taken
            if whole and not any(one.how == "position" for one in declared.values()):
                yield "it reads sys.argv itself"


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
        options = {name: literal(value) for name, value in keywords(call).items()} if isinstance(call, ast.Call) else {}
        settings = {
            arg.arg: Declared(value=literal(default), how="parameter", kind=kind_of_annotation(arg.annotation))
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

    def script_settings(self, files: Files, commands: tuple[str, ...]) -> dict[str, Declared]:
        """Return a script's settings by name; the first declaration of a name counts.

        Of a program with subcommands, it is that of the one which stands on the command line.
        """
        command = next((word for word in files.arguments if word in commands), "")
        settings: dict[str, Declared] = {}
        for name, setting in (found for read in _READERS for found in read(files)):
            if setting.node is not None:
                self._blank("", setting.node)
            if not command or setting.owner in ("", ANY_COMMAND, command):
                settings.setdefault(name, setting)
        return _without_fields_of_flags(settings)


def _without_fields_of_flags(settings: dict[str, Declared]) -> dict[str, Declared]:
    """Leave out constants of classes and bags that a flag of the same name sets: what stands there is not in force."""
    flags = {name.rpartition(".")[2].replace("-", "_") for name, one in settings.items() if one.how == "flag"}
    return {
        name: one
        for name, one in settings.items()
        if not (one.how == "constant" and "." in name and name.rpartition(".")[2] in flags)
    }


def _called(files: Files) -> Found:
    """Yield the settings of a call of `palate.settings(...)`."""
    for call in calls(files.tree, "settings"):
        if isinstance(call.func, ast.Attribute) and ast.unparse(call.func.value) == "palate":
            for name, value in keywords(call).items():
                yield name, Declared(value=literal(value), how="settings", node=value)


_READERS = (
    _called,
    read_argparse,
    read_click,
    read_signatures,
    read_absl,
    read_hydra,
    read_ml_collections,
    read_gin,
    read_places,
    read_environment,
    read_constants,
)


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
