"""A whole recipe is shortest as its nearest earlier one and the difference."""

from collections.abc import Sequence
from dataclasses import dataclass

from palate.recipe.diff import Edits, diff
from palate.recipe.flat import Flat, Flattener, distance
from palate.recipe.groups import count_leaves
from palate.recipe.tree import Chunk

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
