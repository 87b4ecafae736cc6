"""Recipes as sets of (path, value) pairs, in small whole numbers: what nearness and proposals are counted with."""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass

from palate.recipe.tree import Chunk, Path, key_of, leaves, name_key


@dataclass(frozen=True, slots=True)
class Flat:
    """A recipe, or a chunk of one, as sets: `pairs` of (path, value), and the `paths` alone."""

    pairs: frozenset[int]
    paths: frozenset[int]

    def __len__(self) -> int:
        return len(self.paths)


class Flattener:
    """Number paths and values, the same in all recipes that one flattener saw."""

    def __init__(self) -> None:
        self._paths: dict[Hashable, int] = {}
        self._pairs: dict[Hashable, int] = {}
        self.told: list[tuple[Path, object]] = []

    def flat(self, chunk: Chunk) -> Flat:
        """Make the sets of a chunk."""
        return self.flat_of((path, setting.value) for path, setting in leaves(chunk))

    def flat_of(self, told: Iterable[tuple[Path, object]]) -> Flat:
        """Make the sets of settings with their paths."""
        pairs, paths = [], []
        for path, value in told:
            number = self._paths.setdefault(tuple(map(name_key, path)), len(self._paths))
            pair = (number, key_of(value))
            if pair not in self._pairs:
                self._pairs[pair] = len(self._pairs)
                self.told.append((path, value))
            paths.append(number)
            pairs.append(self._pairs[pair])
        return Flat(frozenset(pairs), frozenset(paths))


def distance(one: Flat, other: Flat) -> int:
    """Count the settings in which two differ: another value, or on one side only.

    >>> flattener = Flattener()
    >>> a = flattener.flat_of([(("lr",), 0.1), (("wd",), 0.0)])
    >>> b = flattener.flat_of([(("lr",), 0.2), (("wd",), 0.0), (("eps",), 1e-8)])
    >>> distance(a, b)
    2
    """
    return len(one.paths | other.paths) - len(one.pairs & other.pairs)
