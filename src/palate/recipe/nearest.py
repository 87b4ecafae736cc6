"""Which earlier recipe is nearest to a new one.

A `Flattener` writes recipes as sets of numbers, one for each pair of a path and a value; `distance` counts in how many
settings two of them differ. A `Family` finds the earlier recipe from which a new one takes the fewest lines.
"""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

from palate.recipe.diff import Edits, diff
from palate.recipe.groups import count_leaves
from palate.recipe.tree import Chunk, Path, key_of, leaves, name_key

CLOSEST = 3
"""How many of the nearest recipes are compared in full."""


@dataclass(frozen=True, slots=True)
class Flat:
    """A tree as two sets of numbers: one for its pairs of path and value, one for its paths."""

    pairs: frozenset[int]
    paths: frozenset[int]

    def __len__(self) -> int:
        return len(self.paths)


class Flattener:
    """Numbers paths and values; equal ones have the same number in all trees that one flattener reads."""

    def __init__(self) -> None:
        self._paths: dict[Hashable, int] = {}
        self._pairs: dict[Hashable, int] = {}

    def flat(self, chunk: Chunk) -> Flat:
        """Return the sets of a tree."""
        return self.flat_of((path, setting.value) for path, setting in leaves(chunk))

    def flat_of(self, settings: Iterable[tuple[Path, object]]) -> Flat:
        """Return the sets of some values with their paths."""
        pairs, paths = [], []
        for path, value in settings:
            number = self._paths.setdefault(tuple(map(name_key, path)), len(self._paths))
            paths.append(number)
            pairs.append(self._pairs.setdefault((number, key_of(value)), len(self._pairs)))
        return Flat(frozenset(pairs), frozenset(paths))


def distance(one: Flat, other: Flat) -> int:
    """Count the settings in which two trees differ: another value, or on one side only.

    >>> flattener = Flattener()
    >>> a = flattener.flat_of([(("lr",), 0.1), (("wd",), 0.0)])
    >>> b = flattener.flat_of([(("lr",), 0.2), (("wd",), 0.0), (("eps",), 1e-8)])
    >>> distance(a, b)
    2
    """
    return len(one.paths | other.paths) - len(one.pairs & other.pairs)


@dataclass(frozen=True, slots=True)
class Descent:
    """A recipe as parent and difference.

    Attributes:
        parent: the index of the parent among the earlier recipes; None if the recipe is shorter without one.
        edits: what turns the parent into the recipe.
        lines: how many lines this takes: one for the parent, then see `lines_of`.
        settings: how many settings the recipe has.
    """

    parent: int | None
    edits: Edits
    lines: int
    settings: int


class Family:
    """Earlier recipes, among which the nearest is looked for."""

    def __init__(self, earlier: Sequence[Chunk] = ()) -> None:
        self._flattener = Flattener()
        self._members: list[tuple[Chunk, Flat]] = []
        for recipe in earlier:
            self.add(recipe)

    def add(self, recipe: Chunk) -> None:
        """Add an earlier recipe."""
        self._members.append((recipe, self._flattener.flat(recipe)))

    def descent(self, recipe: Chunk) -> Descent:
        """Return a recipe as its nearest earlier recipe and the difference, if that is shorter."""
        flat = self._flattener.flat(recipe)
        size = len(flat)
        near = sorted(range(len(self._members)), key=lambda n: distance(flat, self._members[n][1]))[:CLOSEST]
        options = [(1 + lines_of(edits), n, edits) for n in near for edits in [diff(self._members[n][0], recipe)]]
        best = min(options, key=lambda option: option[:2], default=None)
        if best is None or best[0] >= size:
            return Descent(None, (), size, size)
        return Descent(best[1], best[2], best[0], size)


def lines_of(edits: Edits) -> int:
    """Count the lines of a difference: one for each edit, but one for each setting of an item that is added."""
    return sum(max(1, count_leaves(edit.after)) if edit.after is not None else 1 for edit in edits)
