"""Settings of configuration files: Hydra's, gin's and ml_collections'. They are read here, and changed by words."""

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from palate.bounded import read_text
from palate.errors import PalateError
from palate.question.ways.declared import (
    ABSENT,
    Declared,
    Found,
    called,
    calls,
    keywords,
    literal,
    nodes,
    texts,
)
from palate.question.ways.files import Files
from palate.question.ways.signatures import Field, fields_of, flat, parameters
from palate.recipe.codec import Unread
from palate.recipe.settings import Kind, kind_of

_FLOAT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
DEEPEST = 10
"""Files of Hydra's that name each other."""


def read_hydra(files: Files) -> Found:
    """Yield what Hydra composes of the script's configuration, and the groups whose member can be chosen."""
    if "hydra" not in files.imported:
        return
    before = len(files.unread)
    yield from _of_main(files)
    for call in (call for _, tree in files.used() for call in calls(tree, "store")):
        options = keywords(call)
        node = options.get("node")
        if node is None or "group" in options:
            files.unread.append(f"{ast.unparse(call)[:60]}: a group of Hydra's store")
            continue
        name = called(node)
        for one in flat(files, fields_of(files, name)):
            yield one.name, _override(one.name, ABSENT if one.default is None else literal(one.default), one)
    if len(files.unread) == before:
        files.unread.append("Hydra takes any name")


def _override(name: str, value: Any, one: Field | None = None) -> Declared:
    kind = one.kind if one is not None and one.kind.name else Kind()
    node = one.default if one is not None else None
    return Declared(value=value, how="override", flag=name, kind=kind, node=node)


def _of_main(files: Files) -> Found:
    for path, tree in files.used():
        for call in calls(tree, "main"):
            options = {name: literal(node) for name, node in keywords(call).items()}
            if not options.keys() & {"config_path", "config_name", "version_base"}:
                continue
            folder = path.parent / str(
                _argument(files.arguments, "--config-path", "-cp") or options.get("config_path") or ""
            )
            name = _argument(files.arguments, "--config-name", "-cn") or options.get("config_name")
            if not isinstance(name, str):
                continue
            chosen = dict(word.split("=", 1) for word in files.arguments if "=" in word and not word.startswith("-"))
            reader = _Hydra(folder=folder, chosen=chosen, files=files)
            composed = reader.compose(name)
            yield from ((group, _override(group, member)) for group, member in reader.groups.items())
            yield from ((name, _override(name, value)) for name, value in _flat(composed))


def _argument(words: Sequence[str], *names: str) -> str:
    for place, word in enumerate(words):
        flag, equals, value = word.partition("=")
        if flag in names:
            return value if equals else "".join(words[place + 1 : place + 2])
    return ""


class _Hydra:
    """Composes a configuration of files by their lists of defaults, as far as files say it.

    Args:
        folder: of the configuration.
        chosen: members of groups that the command line chooses.
        files: to which what cannot be read is added.
    """

    def __init__(self, folder: Path, chosen: Mapping[str, str], files: Files) -> None:
        self.groups: dict[str, str] = {}
        self._folder = folder
        self._chosen = chosen
        self._files = files

    def compose(self, name: str, deep: int = 0) -> dict[str, Any]:
        """Return a file with what its list of defaults names."""
        own, text = self._load(name)
        listed = own.pop("defaults", None) or []
        own.pop("hydra", None)  # how Hydra runs, and not what is run
        listed = listed if isinstance(listed, list) and deep < DEEPEST else []
        group = name.rpartition("/")[0]
        whole: dict[str, Any] = {}
        if "_self_" not in listed:
            listed = [*listed, "_self_"]
        for entry in listed:
            _merge(whole, own if entry == "_self_" else self._entry(entry, group, deep))
        package = re.search(r"^#\s*@package\s+(\S+)", text, re.MULTILINE)
        place = group.replace("/", ".") if package is None else package[1].replace("_global_", "")
        return _under(place, whole) if deep else whole

    def _entry(self, entry: Any, group: str, deep: int) -> dict[str, Any]:
        """Return what an entry of a list of defaults adds."""
        if isinstance(entry, str):
            return self.compose(entry, deep + 1)
        if not isinstance(entry, dict) or len(entry) != 1:
            return {}
        [(key, member)] = entry.items()
        key = str(key).removeprefix("optional ").removeprefix("override ").strip()
        key, _, _ = key.partition("@")
        if key.startswith(("hydra", "/hydra")) or member is None:
            return {}
        key = key.removeprefix("/") if key.startswith("/") or not group else f"{group}/{key}"
        member = self._chosen.get(key, str(member))
        self.groups[key] = member
        return self.compose(f"{key}/{member}", deep + 1)

    def _load(self, name: str) -> tuple[dict[str, Any], str]:
        import yaml

        path = self._folder / name
        path = path if path.suffix in (".yaml", ".yml") else path.with_name(f"{path.name}.yaml")
        try:
            text = read_text(path)
            body = yaml.safe_load(text)
        except (PalateError, OSError, yaml.YAMLError):
            self._files.unread.append(f"{path.name} cannot be read")
            return {}, ""
        return (body if isinstance(body, dict) else {}), text


def _merge(whole: dict[str, Any], more: Mapping[str, Any]) -> None:
    for name, value in more.items():
        if isinstance(value, dict) and isinstance(whole.get(name), dict):
            _merge(whole[name], value)
        else:
            whole[name] = value


def _under(place: str, body: dict[str, Any]) -> dict[str, Any]:
    for name in reversed(place.split(".") if place else []):
        body = {name: body}
    return body


def _flat(body: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in body.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", _plain(value)


def _plain(value: Any) -> Any:
    """Return a value as OmegaConf reads it: 1e-3 is a number there, ??? is missing, ${x} is what x is."""
    if isinstance(value, str):
        if value == "???":
            return ABSENT
        if "${" in value:
            return Unread(type="source", text=value)
        return float(value) if _FLOAT.fullmatch(value) else value
    return value if isinstance(value, bool | int | float | list | None) else str(value)


_BINDINGS = re.compile(r"gin[-_.]?(binding|param)s?")
_BOUND = re.compile(r"^\s*([\w./]+\.\w+)\s*=\s*(.+?)\s*(#.*)?$", re.MULTILINE)


def read_gin(files: Files) -> Found:
    """Yield what gin configures, where the script takes bindings from its command line."""
    if "gin" not in files.imported:
        return
    by = next(
        (
            text
            for _, tree in files.used()
            for call in calls(tree, "DEFINE_multi_string", "add_argument", "option")
            for text in texts(call.args)
            if _BINDINGS.fullmatch(text.lstrip("-"))
        ),
        "",
    )
    if not by:
        files.unread.append("gin: no flag for its bindings was found")
        return
    words = f"--{by.lstrip('-')}={{}}={{literal}}"
    found = dict(_configurable(files))
    for name, value in _bound(files):
        found[name] = replace(found[name], value=value) if name in found else Declared(value=value, how="words")
    for name, one in found.items():
        yield name, replace(one, how="words", flag=words.replace("{}", name))


def _configurable(files: Files) -> Found:
    for _, tree in files.used():
        for node in nodes(tree):
            if not isinstance(node, ast.FunctionDef | ast.ClassDef):
                continue
            if not any(called(one) in ("configurable", "register") for one in node.decorator_list):
                continue
            init = node
            if isinstance(node, ast.ClassDef):
                init = next((n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"), node)
            for one in parameters(init) if isinstance(init, ast.FunctionDef) else ():
                if one.default is not None:
                    value = literal(one.default)
                    yield f"{node.name}.{one.name}", Declared(value=value, how="words", kind=one.kind, node=one.default)


def _bound(files: Files) -> Iterator[tuple[str, Any]]:
    """Yield what the .gin files say that the script or its command line names."""
    named = [
        text for _, tree in files.used() for node in nodes(tree) if isinstance(node, ast.expr) for text in texts([node])
    ]
    for name in dict.fromkeys([*named, *(word.rpartition("=")[2] for word in files.arguments)]):
        path = files.path.parent / name if name.endswith(".gin") and len(name) < 500 else None
        if path is not None and path.is_file():
            for match in _BOUND.finditer(read_text(path)):
                try:
                    yield match[1], literal(ast.parse(match[2], mode="eval").body)
                except SyntaxError:
                    continue


def read_ml_collections(files: Files) -> Found:
    """Yield the fields of a configuration that `config_flags` takes a flag for each of."""
    if "ml_collections" not in files.imported:
        return
    for _, tree in files.used():
        for call in calls(tree, "DEFINE_config_file", "DEFINE_config_dict"):
            name = literal(call.args[0]) if call.args else "config"
            for dotted, node in _config_of(files, call, str(name)):
                value = literal(node)
                told = kind_of(value)
                yield (
                    f"{name}.{dotted}",
                    Declared(value=value, how="flag", flag=f"--{name}.{dotted}:literal", kind=Kind(told), node=node),
                )


def _config_of(files: Files, call: ast.Call, name: str) -> Iterator[tuple[str, ast.expr]]:
    """Yield the fields of the configuration that a flag holds."""
    trees: list[ast.AST] = [tree for _, tree in files.used()]
    if called(call) == "DEFINE_config_file":
        default = literal(call.args[1]) if len(call.args) > 1 else keywords(call).get("default")
        given = _argument(files.arguments, f"--{name}") or str(default)
        path = files.path.parent / given.partition(":")[0]
        if not path.is_file():
            files.unread.append(f"--{name}: the file of the configuration is not known")
            return
        trees = [ast.parse(path.read_bytes())]
    for tree in trees:
        for node in nodes(tree):
            if isinstance(node, ast.Assign) and len(node.targets) == 1:
                yield from _assigned_field(node.targets[0], node.value)


def _assigned_field(target: ast.expr, value: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    """Yield what `config.optim.lr = 0.1` and `config = ConfigDict({"lr": 0.1})` set, by dotted names."""
    dotted = ast.unparse(target) if isinstance(target, ast.Name | ast.Attribute) else ""
    prefix = dotted.partition(".")[2]
    if isinstance(value, ast.Call) and called(value) in ("ConfigDict", "placeholder", "FieldReference", "dict"):
        if called(value) in ("ConfigDict", "dict"):
            yield from _members(value.args[0] if value.args else value, f"{prefix}." if prefix else "")
        elif value.args and prefix and called(value) == "FieldReference":
            yield prefix, value.args[0]
    elif prefix and not isinstance(literal(value), Unread):
        yield prefix, value


def _members(value: ast.expr, prefix: str) -> Iterator[tuple[str, ast.expr]]:
    if isinstance(value, ast.Dict):
        pairs = [(key, one) for key, one in zip(value.keys, value.values, strict=True) if isinstance(key, ast.Constant)]
        named = [(str(key.value), one) for key, one in pairs if isinstance(key, ast.Constant)]
    else:
        named = list(keywords(value).items()) if isinstance(value, ast.Call) else []
    for name, one in named:
        inner = one.args[0] if isinstance(one, ast.Call) and called(one) == "ConfigDict" and one.args else one
        if isinstance(inner, ast.Dict):
            yield from _members(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", one
