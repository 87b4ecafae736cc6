"""Configuration files, read as their own framework reads them; a note says where two YAML loaders disagree."""

import json
import re
import tomllib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from palate.capture.adapters import recipe_of
from palate.errors import InputError, NotFoundError
from palate.recipe.document import SCHEMA, from_document
from palate.recipe.recipe import Recipe
from palate.recipe.tree import Chunk, Note, path_text
from palate.recipe.values import MOST_SETTINGS, count_values, same_value
from palate.redaction import redact_text

SUFFIXES = (".yaml", ".yml", ".json", ".toml")
_OMEGA_MARKS = re.compile(r"\$\{|(^|[{,\s])(_component_|_target_|_partial_)\s*:|^defaults\s*:", re.MULTILINE)

_OMEGA_FLOAT = re.compile(
    r"""^(?:[-+]?(?:[0-9][0-9_]*)\.[0-9_]*(?:[eE][-+]?[0-9]+)?
    |[-+]?(?:[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)
    |\.[0-9_]+(?:[eE][-+][0-9]+)?
    |[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+\.[0-9_]*
    |[-+]?\.(?:inf|Inf|INF)
    |\.(?:nan|NaN|NAN))$""",
    re.VERBOSE,
)
"""What OmegaConf 2.3 reads as a number; YAML 1.1 needs a dot before the exponent."""


def read_file(path: Path, *, loader: str = "auto") -> Recipe:
    """Read a configuration file, or a recipe that was exported.

    Args:
        path: a .yaml, .json or .toml file.
        loader: for YAML: "yaml" (PyYAML, as Hugging Face and axolotl read it), "omegaconf" (as Hydra and torchtune
            do), "auto" to decide by the content of the file.

    Raises:
        NotFoundError: there is no such file.
        InputError: it cannot be read, contains a name twice in one place, or is not a mapping.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise NotFoundError(f"{path}: there is no such file.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}.") from error
    notes: Sequence[Note] = ()
    if path.suffix == ".json":
        value = _json(path, text)
        if isinstance(value, dict) and value.get("schema") == SCHEMA:
            return from_document(value)
    elif path.suffix == ".toml":
        value = _toml(path, text)
    else:
        value, notes = _yaml(path, text, loader)
    if not isinstance(value, dict):
        raise InputError(f"{path} holds {type(value).__name__}, not settings with names.")
    recipe: Recipe = recipe_of(value)
    root = Chunk(path.stem, recipe.root.kind, recipe.root.items)
    return Recipe(root, recipe.aliases, recipe.env, tuple(notes))


def _json(path: Path, text: str) -> Any:
    def pairs(members: list[tuple[str, Any]]) -> dict[str, Any]:
        twice = sorted(name for name, count in Counter(name for name, _ in members).items() if count > 1)
        if twice:
            raise InputError(
                f"{path} has {', '.join(twice)} more than once in one place.",
                why="Readers take the last or the first of them, so nobody can say what is meant.",
                todo="Leave one.",
            )
        return dict(members)

    try:
        return json.loads(text, object_pairs_hook=pairs)
    except json.JSONDecodeError as error:
        raise InputError(f"{path} is not a complete JSON document: {error}.", todo="Was it half written?") from error
    except RecursionError as error:
        raise InputError(f"{path} is nested deeper than any recipe.") from error


def _toml(path: Path, text: str) -> Any:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path} is not valid TOML: {error}.") from error


def _yaml(path: Path, text: str, loader: str) -> tuple[Any, list[Note]]:
    by_pyyaml = _read_yaml(path, text, omega=False)
    by_omegaconf = _read_yaml(path, text, omega=True)
    if loader == "omegaconf" or (loader == "auto" and _OMEGA_MARKS.search(text) is not None):
        return by_omegaconf, []
    notes = [
        Note(
            "loader", where, redact_text(f"{where}: {mine!r} as PyYAML reads it (taken), {theirs!r} as OmegaConf does")
        )
        for where, mine, theirs in _apart(by_pyyaml, by_omegaconf, ())
    ]
    return by_pyyaml, notes


def _read_yaml(path: Path, text: str, *, omega: bool) -> Any:
    """Read YAML with the rules of PyYAML, or with those of OmegaConf (1e-4 is a number); refuse a name given twice."""
    import yaml

    class Loader(yaml.SafeLoader):  # type: ignore[misc]
        """Refuses names that are given twice."""

    def mapping(loader: Any, node: Any) -> dict[Any, Any]:
        _refuse_twice(path, loader, node)
        loader.flatten_mapping(node)  # what is merged in by << comes first, so that it can be overridden
        return {
            loader.construct_object(key, deep=True): loader.construct_object(value, deep=True)
            for key, value in node.value
        }

    Loader.add_constructor("tag:yaml.org,2002:map", mapping)
    if omega:
        Loader.add_implicit_resolver("tag:yaml.org,2002:float", _OMEGA_FLOAT, list("-+0123456789."))
        resolvers = {
            first: [(tag, pattern) for tag, pattern in rules if tag != "tag:yaml.org,2002:timestamp"]
            for first, rules in Loader.yaml_implicit_resolvers.items()
        }
        Loader.yaml_implicit_resolvers = resolvers
    try:
        value = yaml.load(text, Loader=Loader)  # noqa: S506  a safe loader's subclass
        if count_values(value) > MOST_SETTINGS:
            raise InputError(f"{path} expands to more than {MOST_SETTINGS} values: are its anchors nested?")
        return value
    except yaml.YAMLError as error:
        raise InputError(f"{path} is not valid YAML: {' '.join(str(error).split())}.") from error
    except RecursionError as error:
        raise InputError(f"{path} is nested deeper than any recipe.") from error


def _refuse_twice(path: Path, loader: Any, node: Any) -> None:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        where = f"{path}, line {key_node.start_mark.line + 1}"
        if key_node.tag == "tag:yaml.org,2002:merge":
            continue
        key = loader.construct_object(key_node, deep=True)
        try:
            known = key in seen
        except TypeError as error:
            raise InputError(f"{where}: a name cannot be a list.") from error
        if known:
            raise InputError(
                f"{where}: {key!r} is given twice.",
                why="PyYAML would silently take the last, other readers refuse it.",
                todo="Leave one.",
            )
        seen.add(key)


def _apart(one: Any, other: Any, path: tuple[Any, ...]) -> list[tuple[str, Any, Any]]:
    """Return the paths at which two readings of one file differ, with both values."""
    if type(one) is dict and type(other) is dict and list(one) == list(other):
        return [apart for key in one for apart in _apart(one[key], other[key], (*path, key))]
    if type(one) is list and type(other) is list and len(one) == len(other):
        pairs = enumerate(zip(one, other, strict=True))
        return [apart for place, (a, b) in pairs for apart in _apart(a, b, (*path, place))]
    return [] if same_value(one, other) else [(path_text(path), one, other)]
