"""Constants: of the script, of its main block, in its dictionaries and classes, and of its configuration modules.

Another value is written into the copy of the file that a run works with, in the place of the one that stands there.
What a script reads from the environment or from a place of its command line stands here too.
"""

import ast
import math
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from palate.question.ways.declared import (
    ABSENT,
    Declared,
    Found,
    called,
    calls,
    kind_of_annotation,
    literal,
    nodes,
    texts,
)
from palate.question.ways.files import Files, is_main_block
from palate.question.ways.signatures import field_default
from palate.recipe.codec import Unread
from palate.recipe.settings import UNSAID, Kind, Typed, fit_type

_CONFIGURATION = re.compile(r"(conf|cfg|setting|option|hparam|param|constant|arg|opt|hyper|default)", re.IGNORECASE)
"""How modules are named that hold configuration."""

OF_THE_MACHINE = re.compile(
    r"(CUDA_|NCCL_|MASTER_|LOCAL_|SLURM_|OMP_|MKL_|PALATE_|WANDB_|HF_|XDG_|SM_|TPU_|XLA_|TORCH_|PYTHON|LD_|DYLD_"
    r"|GITHUB_|AWS_)|^(RANK|WORLD_SIZE|NODE_RANK|HOME|PATH|USER|PWD|TMPDIR|DISPLAY|HOSTNAME|SHELL|LANG|BASH_ENV)$"
)
"""Environment variables that say where a program runs, or that others set for it."""

DEEPEST = 6
"""Dictionaries within dictionaries that are followed."""


def read_constants(files: Files) -> Found:
    """Yield the constants of a script, and those of the configuration modules that it imports."""
    by_flag = _is_configured(files)
    annotations = _annotations(files.tree)
    overridden = _overridden(files) if by_flag else {}
    for name, value in script_constants(files.tree):
        one = Declared(value=literal(value), how="constant", kind=annotations.get(name, UNSAID), node=value)
        if by_flag and "." not in name:
            one = replace(one, how="flag", flag=f"--{name}:literal", value=overridden.get(name, one.value))
        yield name, one
    yield from _of_modules(files)


def _annotations(tree: ast.Module) -> dict[str, Kind]:
    found: dict[str, Kind] = {}
    for prefix, body in _bodies(tree):
        for node in body:
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                found[f"{prefix}{node.target.id}"] = kind_of_annotation(node.annotation)
    return found


def _bodies(tree: ast.Module) -> Iterator[tuple[str, list[ast.stmt]]]:
    """Yield the statements of a file outside of functions: its own with those of its main block, and its classes'."""
    yield "", tree.body
    for node in tree.body:
        if is_main_block(node) and isinstance(node, ast.If):
            yield "", node.body
        if isinstance(node, ast.ClassDef) and _is_configuration(node):
            yield from _class_bodies(node, "")


def _class_bodies(node: ast.ClassDef, prefix: str, deep: int = 0) -> Iterator[tuple[str, list[ast.stmt]]]:
    yield f"{prefix}{node.name}.", node.body
    for inner in node.body:
        if isinstance(inner, ast.ClassDef) and deep < DEEPEST:
            yield from _class_bodies(inner, f"{prefix}{node.name}.", deep + 1)


def _is_configuration(node: ast.ClassDef) -> bool:
    """Return whether a class holds values: of no class that a framework runs, and named or made for it."""
    bases = [called(base) for base in node.bases]
    plain = all(base in ("object", "NamedTuple", "BaseModel", "BaseSettings") or _named(base) for base in bases)
    made = any(called(one) in ("dataclass", "define", "frozen", "attrs") for one in node.decorator_list)
    methods = any(isinstance(one, ast.FunctionDef) and not one.name.startswith("__") for one in node.body)
    return plain and (made or _named(node.name) or not methods)


def _named(name: str) -> bool:
    return bool(_CONFIGURATION.search(name))


def script_constants(tree: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    """Yield constants by their dotted names: `lr`, `params.lr` of a dictionary, `Config.lr` of a class."""
    stored = Counter(_stored(tree.body))
    for prefix, body in _bodies(tree):
        for node in body:
            name, value = _assigned(node)
            if value is None or name.startswith("_"):
                continue
            if prefix:
                value = field_default(value)
            once = prefix or stored[name] == 1
            if once and value is not None:
                yield from _leaves(f"{prefix}{name}", value)
    yield from _attributes(tree)


def _attributes(tree: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    """Yield what is assigned, once in a file, to attributes of a bag: `C.trainer.lr`, at its top or in a function."""
    functions = [node.body for node in tree.body if isinstance(node, ast.FunctionDef)]
    bodies = [body for prefix, body in _bodies(tree) if not prefix]
    found: list[tuple[str, ast.expr]] = []
    for body in (*bodies, *functions):
        bags = {name for name, value in map(_assigned, body) if isinstance(value, ast.Call) and _is_bag(value)}
        for node in body:
            target = node.targets[0] if isinstance(node, ast.Assign) and len(node.targets) == 1 else None
            root, _, rest = _dotted(target).partition(".")
            if rest and root in bags and isinstance(node, ast.Assign) and not isinstance(node.value, ast.Call):
                found += _leaves(f"{root}.{rest}", node.value)
    times = Counter(name for name, _ in found)
    yield from ((name, value) for name, value in found if times[name] == 1)


def _is_bag(value: ast.Call) -> bool:
    return called(value) in (*_BAGS, *_NODES)


def _dotted(node: ast.AST | None) -> str:
    """Return `a.b.c` of an attribute, "" of anything else."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(names)]) if names and isinstance(node, ast.Name) else ""


def _assigned(node: ast.stmt) -> tuple[str, ast.expr | None]:
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
    if len(targets) != 1 or not isinstance(targets[0], ast.Name):
        return "", None
    return targets[0].id, value


def _leaves(name: str, value: ast.expr, deep: int = 0) -> Iterator[tuple[str, ast.expr]]:
    """Yield a literal, or those of a dictionary by their dotted names."""
    members = _members(value) if deep < DEEPEST else None
    if members is None:
        if not isinstance(literal(value), Unread):
            yield name, value
        return
    for key, member in members:
        yield from _leaves(f"{name}.{key}", member, deep + 1)


def _members(value: ast.expr) -> list[tuple[str, ast.expr]] | None:
    """Return the members of a dictionary or of a bag of attributes, by names that can be typed; None for others."""
    if isinstance(value, ast.Dict) and value.keys:
        keys = [key.value if isinstance(key, ast.Constant) else None for key in value.keys]
        pairs = [(key, member) for key, member in zip(keys, value.values, strict=True) if isinstance(key, str)]
        named = all(key.isidentifier() for key, _ in pairs)
        return pairs if named and len(pairs) == len(keys) else None
    if isinstance(value, ast.Call) and called(value) in _BAGS and value.keywords and not value.args:
        return [(one.arg, one.value) for one in value.keywords if one.arg]
    if isinstance(value, ast.Call) and called(value) in _BAGS and len(value.args) == 1:
        return _members(value.args[0])
    return None


_BAGS = ("dict", "SimpleNamespace", "Namespace", "EasyDict", "edict", "AttrDict", "DotMap", "Box", "OrderedDict",
         "Munch", "ConfigDict")  # fmt: skip
"""What holds named values, made of a dictionary or by name."""


_NODES = ("CfgNode", "CN", "Config", "Dict", "Bunch", "HParams", "Params", "SimpleConfig")
"""What else is filled attribute by attribute."""


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


def _of_modules(files: Files) -> Found:
    for path, tree in {**files.modules, **files.started}.items():
        if not _named(path.stem) and path not in files.started:
            continue
        inside = os.path.relpath(path, files.base)
        if inside.startswith(".."):
            continue
        annotations = _annotations(tree)
        for name, value in script_constants(tree):
            shown = name if "." in name else f"{path.stem}.{name}"
            kind = annotations.get(name, UNSAID)
            yield shown, Declared(value=literal(value), how="constant", flag=f"{inside}:{name}", kind=kind, node=value)


SEEDING = "seeding_calls"
"""Stands for the numbers in the calls that seed a script, where it takes a seed in no other way."""

_SEEDS = frozenset(
    {"seed", "manual_seed", "manual_seed_all", "seed_everything", "set_seed", "set_random_seed", "PRNGKey"}
)
_SEEDERS = re.compile(
    r"(torch|torch\.cuda|torch\.random|np\.random|numpy\.random|random|tf|tf\.random|tensorflow\.random|keras\.utils"
    r"|pl|L|lightning|pytorch_lightning|transformers|accelerate\.utils|jax\.random|paddle|mx\.random|mx)?"
)


def seeding_numbers(tree: ast.Module) -> Iterator[ast.Constant]:
    """Yield the whole numbers that a file seeds with as they stand, as `torch.manual_seed(1337 + rank)` does."""
    for call in calls(tree, *_SEEDS):
        owner, _, _ = ast.unparse(call.func).rpartition(".")
        given = [*call.args[:1], *(one.value for one in call.keywords if one.arg in ("seed", "a"))][:1]
        numbers = [one for node in given for one in ast.walk(node) if isinstance(one, ast.Constant)]
        if _SEEDERS.fullmatch(owner) and len(numbers) == 1 and type(numbers[0].value) is int and _adds(given[0]):
            yield numbers[0]


def _adds(node: ast.expr) -> bool:
    """Return whether an argument is a number, or one to which something is added that has no number of its own."""
    return isinstance(node, ast.Constant) or (isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add))


def with_constants(code: bytes, constants: Mapping[str, Any]) -> bytes:
    """Return a file's code with other values for its constants; every line keeps its number.

    >>> with_constants(b"lr = 0.1  # usual\\nprint(lr)\\n", {"lr": 0.3})
    b'lr = 0.3  # usual\\nprint(lr)\\n'
    """
    lines = code.splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    tree = ast.parse(code)
    seeds: list[tuple[str, ast.expr]] = [(SEEDING, node) for node in seeding_numbers(tree)]
    placed = sorted(
        ((node, constants[name]) for name, node in (*script_constants(tree), *seeds) if name in constants),
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


def _is_configured(files: Files) -> bool:
    """Return whether a file that the script executes reads `--name=value` into its globals, as nanoGPT's does."""
    for call in calls(files.tree, "exec"):
        for name in (text for one in ast.walk(call) for text in texts([one] if isinstance(one, ast.expr) else [])):
            path = files.path.parent / name
            if name.endswith(".py") and path.is_file() and "sys.argv" in path.read_text(errors="replace"):
                return True
    return False


def _overridden(files: Files) -> dict[str, Any]:
    """Return what configuration files on the command line set."""
    found: dict[str, Any] = {}
    for word in files.arguments:
        path = files.path.parent / word
        if word.endswith(".py") and path.is_file():
            try:
                tree = ast.parse(path.read_bytes())
            except (SyntaxError, ValueError):
                continue
            found |= {name: literal(value) for name, value in script_constants(tree)}
    return found


def read_environment(files: Files) -> Found:
    """Yield the environment variables that a script reads, with what they are now or their defaults."""
    for _, tree in files.used():
        cast = {id(call.args[0]): called(call) for call in calls(tree, "int", "float", "str", "bool") if call.args}
        for node in nodes(tree):
            name, default = _variable(node)
            if not name or OF_THE_MACHINE.search(name):
                continue
            text = os.environ.get(name)
            value = ABSENT if default is None else literal(default)
            kind = cast.get(id(node), "")
            if text is not None:
                value = text
            known = _KINDS.get(kind, UNSAID)
            if isinstance(value, str):
                value = fit_type(None, Typed(value), known)
            yield name, Declared(value=value, how="environment", flag=name, kind=known, node=default)


_KINDS = {"int": Kind("int"), "float": Kind("float"), "str": Kind("str")}
"""What a value is that one of these is called on."""


def _variable(node: ast.AST) -> tuple[str, ast.expr | None]:
    """Return the name and the default of a variable where it is read; "" elsewhere."""
    if (
        isinstance(node, ast.Call)
        and called(node) in ("get", "getenv")
        and ast.unparse(node.func)
        in (
            "os.environ.get",
            "os.getenv",
            "environ.get",
            "getenv",
        )
    ):
        names = texts(node.args[:1])
        given = node.args[1] if len(node.args) > 1 else None
        named = next((one.value for one in node.keywords if one.arg == "default"), given)
        return (names[0] if names else ""), named
    if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load) and called(node.value) == "environ":
        names = texts([node.slice])
        return (names[0] if names else ""), None
    return "", None


def read_places(files: Files) -> Found:
    """Yield what a script takes from a place of its command line: `lr = float(sys.argv[1])`."""
    for node in ast.walk(files.tree):
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            place, kind = _place(node.value)
            if place > 0:
                default = node.value.orelse if isinstance(node.value, ast.IfExp) else None
                value = ABSENT if default is None else literal(default)
                known = _KINDS.get(kind, UNSAID)
                one = Declared(value=value, how="position", flag=str(place - 1), kind=known, node=default)
                yield node.targets[0].id, one


def _place(value: ast.expr) -> tuple[int, str]:
    kind = ""
    inner = value.body if isinstance(value, ast.IfExp) else value
    if isinstance(inner, ast.Call) and len(inner.args) == 1:
        kind, inner = called(inner), inner.args[0]
    if isinstance(inner, ast.Subscript) and ast.unparse(inner.value) in ("sys.argv", "argv"):
        place = literal(inner.slice)
        return (place, kind) if type(place) is int else (0, "")
    return 0, ""


def script_file(name: str, folder: Path) -> Path:
    """Return the file of a constant of another file, seen from where the script imports from, which it must lie in.

    Raises:
        ValueError: it does not.
    """
    path = Path(os.path.normpath(folder / name))
    if not path.is_relative_to(folder):
        raise ValueError(f"{name} is not in the script's folder")
    return path
