"""Recipes as sets of (path, value) pairs, in small whole numbers: what nearness and proposals are counted with."""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

from palate.recipe.diff import Edits, diff
from palate.recipe.groups import count_leaves
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


CLOSEST = 3
"""Candidates by sets that are compared in full."""


@dataclass(frozen=True, slots=True)
class Descent:
    """A recipe as parent and difference.

    Attributes:
        parent: the parent's number among those given; None where the recipe stands for itself.
        edits: what turns the parent into it.
        lines: how many lines that takes: one for the parent, one an edit, one a setting of whatever is new.
        settings: how many settings the recipe has.
    """

    parent: int | None
    edits: Edits
    lines: int
    settings: int


class Family:
    """Earlier recipes, to find the nearest among."""

    def __init__(self, earlier: Sequence[Chunk] = ()) -> None:
        self._flattener = Flattener()
        self._members: list[tuple[Chunk, Flat]] = []
        for recipe in earlier:
            self.add(recipe)

    def add(self, recipe: Chunk) -> None:
        """Take a recipe in."""
        self._members.append((recipe, self._flattener.flat(recipe)))

    def descent(self, recipe: Chunk) -> Descent:
        """Write a recipe as its nearest earlier one and the difference, where that is shorter."""
        flat = self._flattener.flat(recipe)
        size = len(flat)
        near = sorted(range(len(self._members)), key=lambda n: distance(flat, self._members[n][1]))[:CLOSEST]
        options = [(1 + lines_of(edits), n, edits) for n in near for edits in [diff(self._members[n][0], recipe)]]
        best = min(options, key=lambda option: option[:2], default=None)
        if best is None or best[0] >= size:
            return Descent(None, (), size, size)
        return Descent(best[1], best[2], best[0], size)


def lines_of(edits: Edits) -> int:
    """Count the lines that a difference takes: one each, but one a setting of what is put in."""
    return sum(max(1, count_leaves(edit.after)) if edit.after is not None else 1 for edit in edits)
