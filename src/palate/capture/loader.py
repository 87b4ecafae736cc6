"""YAML read safely, by PyYAML's rules or OmegaConf's: names given twice are refused, and so is what would grow.

A few hundred bytes of anchors within anchors stand for millions of values, so values are counted before they are made.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from palate.errors import InputError

MOST_NODES = 50_000
"""The most values of a YAML file, each anchor counted where it is used."""

LONGEST_NUMBER = 1000
"""The most characters of a number: what `1:1:1:...` says in base 60 takes the square of them."""

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


_MERGE = "tag:yaml.org,2002:merge"


def too_many(path: Path) -> InputError:
    """Return the refusal of a file that holds, or stands for, more values than are read."""
    return InputError(
        f"{path} expands to more than {MOST_NODES:,} values: are its anchors nested?",
        why=f"At most {MOST_NODES:,} values of a YAML file are read, each anchor counted where it is used.",
    )


class Loader(yaml.SafeLoader):  # type: ignore[misc]
    """Reads one file; what is merged in by << counts each time."""

    path = Path()
    left = MOST_NODES

    def count(self, more: int) -> None:
        """Count nodes.

        Raises:
            InputError: there are too many.
        """
        self.left -= more
        if self.left < 0:
            raise too_many(self.path)

    def where(self, node: Any) -> str:
        """Name the line of a node."""
        return f"{self.path}, line {node.start_mark.line + 1}"

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Read a node, or what an alias stands for."""
        self.count(1)
        return super().compose_node(parent, index)

    def flatten_mapping(self, node: Any) -> None:
        """Put what is merged in by << before a mapping's own names, so that these override it."""
        merged: list[Any] = []
        own = []
        for key, value in node.value:
            if key.tag == _MERGE:
                for pairs in self._merged(value):
                    merged += pairs
            else:
                own.append((key, value))
        node.value = [*merged, *own]

    def _merged(self, value: Any) -> Iterator[list[Any]]:
        for one in reversed(value.value) if isinstance(value, yaml.SequenceNode) else [value]:
            if not isinstance(one, yaml.MappingNode):
                raise InputError(f"{self.where(one)}: << merges mappings, not a {one.id}.")
            self.flatten_mapping(one)
            self.count(len(one.value))
            yield one.value

    def construct_settings(self, node: Any) -> dict[Any, Any]:
        """Make a dictionary of a mapping."""
        self._refuse_twice(node)
        self.flatten_mapping(node)
        return {
            self.construct_object(key, deep=True): self.construct_object(value, deep=True) for key, value in node.value
        }

    def _refuse_twice(self, node: Any) -> None:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if key_node.tag == _MERGE:
                continue
            key = self.construct_object(key_node, deep=True)
            try:
                known = key in seen
            except TypeError as error:
                raise InputError(f"{self.where(key_node)}: a name cannot be a list.") from error
            if known:
                raise InputError(
                    f"{self.where(key_node)}: {key!r} is given twice.",
                    why="PyYAML would silently take the last, other readers refuse it.",
                    todo="Leave one.",
                )
            seen.add(key)


def _limited(make: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Return what makes a number of a node that is no longer than a number is."""

    def number(loader: Any, node: Any) -> Any:
        if len(node.value) > LONGEST_NUMBER:
            raise InputError(f"{loader.where(node)}: a number of more than {LONGEST_NUMBER} characters.")
        return make(loader, node)

    return number


Loader.add_constructor("tag:yaml.org,2002:map", Loader.construct_settings)
Loader.add_constructor("tag:yaml.org,2002:int", _limited(yaml.SafeLoader.construct_yaml_int))
Loader.add_constructor("tag:yaml.org,2002:float", _limited(yaml.SafeLoader.construct_yaml_float))


class OmegaLoader(Loader):
    """Reads what is a number as OmegaConf does, and dates as text."""


OmegaLoader.add_implicit_resolver("tag:yaml.org,2002:float", _OMEGA_FLOAT, list("-+0123456789."))
OmegaLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in rules if tag != "tag:yaml.org,2002:timestamp"]
    for first, rules in OmegaLoader.yaml_implicit_resolvers.items()
}


def loader_for(path: Path, *, omega: bool) -> type[Loader]:
    """Return the loader of one file.

    Args:
        path: of the file, for what is refused.
        omega: whether numbers and dates are read as OmegaConf reads them.
    """
    base = OmegaLoader if omega else Loader
    return type(base.__name__, (base,), {"path": path})
