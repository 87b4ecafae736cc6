"""Configuration files, read as their own framework reads them; a note says where two YAML loaders disagree."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from palate.bounded import MOST_BYTES, MOST_TOML, parse_json, parse_toml, read_text
from palate.capture.adapters import recipe_of
from palate.errors import InputError
from palate.recipe.document import SCHEMA, from_document
from palate.recipe.recipe import Recipe
from palate.recipe.tree import Chunk, Note, path_text
from palate.recipe.values import count_values, same_value
from palate.redaction import redact_text

MOST_YAML = 1 << 20
"""The largest YAML file: it is read in Python, a megabyte a second."""

_MOST = {".json": MOST_BYTES, ".toml": MOST_TOML}
SUFFIXES = (".yaml", ".yml", ".json", ".toml")
_OMEGA_MARKS = re.compile(r"\$\{|(^|[{,\s])(_component_|_target_|_partial_)\s*:|^defaults\s*:", re.MULTILINE)


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
    text = read_text(path, most=_MOST.get(path.suffix, MOST_YAML))
    notes: Sequence[Note] = ()
    if path.suffix == ".json":
        value = parse_json(text, str(path), exact=False)
        if isinstance(value, dict) and value.get("schema") == SCHEMA:
            return from_document(value)
    elif path.suffix == ".toml":
        value = parse_toml(text, str(path))
    else:
        value, notes = _yaml(path, text, loader)
    if not isinstance(value, dict):
        raise InputError(f"{path} holds {type(value).__name__}, not settings with names.")
    recipe: Recipe = recipe_of(value)
    root = Chunk(path.stem, recipe.root.kind, recipe.root.items)
    return Recipe(root, recipe.aliases, recipe.env, tuple(notes))


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

    from palate.capture.loader import MOST_NODES, loader_for, too_many

    try:
        value = yaml.load(text, Loader=loader_for(path, omega=omega))  # noqa: S506  a safe loader's subclass
    except yaml.YAMLError as error:
        raise InputError(f"{path} is not valid YAML: {' '.join(str(error).split())}.") from error
    except RecursionError as error:
        raise InputError(f"{path} is nested deeper than any recipe.") from error
    except (ValueError, TypeError, OverflowError) as error:  # a date of the 99th, an int of thousands of digits
        raise InputError(f"{path} holds a value that cannot be read: {error}.") from error
    if count_values(value, MOST_NODES) > MOST_NODES:
        raise too_many(path)
    return value


def _apart(one: Any, other: Any, path: tuple[Any, ...]) -> list[tuple[str, Any, Any]]:
    """Return the paths at which two readings of one file differ, with both values."""
    if type(one) is dict and type(other) is dict and list(one) == list(other):
        return [apart for key in one for apart in _apart(one[key], other[key], (*path, key))]
    if type(one) is list and type(other) is list and len(one) == len(other):
        pairs = enumerate(zip(one, other, strict=True))
        return [apart for place, (a, b) in pairs for apart in _apart(a, b, (*path, place))]
    return [] if same_value(one, other) else [(path_text(path), one, other)]
