"""Factorial designs for several changes at once: which cells to run, and which effects they estimate; pure.

Up to 3 factors: the full factorial, all 2^k cells. 4 to 7: a fractional factorial of resolution IV or more in 8 or 16
cells, in which no main effect is aliased with another main effect or with an interaction of two (Box, Hunter & Hunter
2005, ch. 6). Up to 11: a Plackett-Burman screening design of 12 cells, in which main effects are aliased with
interactions of two (Plackett & Burman 1946).
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from palate.errors import InputError

GENERATORS: dict[int, tuple[tuple[int, ...], ...]] = {
    4: ((0, 1, 2),),
    5: ((0, 1, 2, 3),),
    6: ((0, 1, 2), (1, 2, 3)),
    7: ((0, 1, 2), (1, 2, 3), (0, 2, 3)),
}
"""By number of factors, the generators of each added factor: 2^(4-1) IV, 2^(5-1) V, 2^(6-2) IV, 2^(7-3) IV."""

SCREEN_ROW = (1, 1, -1, 1, 1, 1, -1, -1, -1, 1, -1)
"""First row of the Plackett-Burman design in 12 runs."""

FULL, MOST = 3, len(SCREEN_ROW)
"""Most factors of a full factorial, and of any design."""

LEVELS = npt.NDArray[np.int64]
Effect = tuple[int, ...]
"""An effect by the numbers of its factors: (0,) is a main effect, (0, 2) an interaction of two."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """A design: its cells and the effects that they estimate.

    Attributes:
        levels: (cells, k) of -1 (as in the baseline) and +1 (changed); the baseline is always among them.
        effects: one effect for each contrast: main effects, then interactions of two.
        aliases: for each effect, the other main effects and interactions of two with the same contrast.
    """

    levels: LEVELS
    effects: tuple[Effect, ...]
    aliases: tuple[tuple[Effect, ...], ...]

    @property
    def cells(self) -> tuple[tuple[int, ...], ...]:
        """For each cell, the numbers of the factors that are changed in it."""
        return tuple(tuple(int(i) for i in np.flatnonzero(row > 0)) for row in self.levels)

    def signs(self, effect: Effect) -> LEVELS:
        """(cells,) sign of each cell in the contrast of an effect."""
        return np.asarray(np.prod(self.levels[:, list(effect)], axis=1))


def make_design(k: int) -> Design:
    """Choose the cells for k changes.

    Raises:
        InputError: fewer than 2 changes, or more than 11.

    >>> [len(make_design(k).levels) for k in range(2, 8)]
    [4, 8, 8, 16, 16, 16]
    """
    if not 2 <= k <= MOST:
        raise InputError(
            f"{k} change{'s' if k != 1 else ''} cannot be split.",
            why="A split needs 2 changes or more, and at most 11.",
            todo="Change fewer things at once.",
        )
    levels = _full(k) if k <= FULL else _fraction(k) if k in GENERATORS else _screen(k)
    mains: list[Effect] = [(i,) for i in range(k)]
    pairs: list[Effect] = list(itertools.combinations(range(k), 2)) if k in GENERATORS or k <= FULL else []
    effects, aliases = _distinct(levels, mains, pairs)
    return Design(levels=levels, effects=effects, aliases=aliases)


def _full(k: int) -> LEVELS:
    return np.array(list(itertools.product((-1, 1), repeat=k)))


def _fraction(k: int) -> LEVELS:
    """Return the fraction that contains the baseline: the signs of the added columns make its row all -1."""
    added = GENERATORS[k]
    basic = _full(k - len(added))
    columns = [np.prod(basic[:, list(g)], axis=1) * (-1) ** (len(g) + 1) for g in added]
    return np.column_stack([basic, *columns])


def _screen(k: int) -> LEVELS:
    rows = [np.roll(SCREEN_ROW, shift)[:k] for shift in range(MOST)]
    return np.array([np.full(k, -1), *rows])


def _distinct(
    levels: LEVELS, mains: Sequence[Effect], pairs: Sequence[Effect]
) -> tuple[tuple[Effect, ...], tuple[tuple[Effect, ...], ...]]:
    """Return one effect for each contrast, main effects first, and the other effects of the contrast as its aliases."""
    contrasts: dict[bytes, list[Effect]] = {}
    for effect in (*mains, *pairs):
        signs = np.prod(levels[:, list(effect)], axis=1)
        key = min((signs * s).astype(np.int8).tobytes() for s in (1, -1))
        contrasts.setdefault(key, []).append(effect)
    groups = [group for group in contrasts.values() if abs(_sum(levels, group[0])) < len(levels)]
    return tuple(group[0] for group in groups), tuple(tuple(group[1:]) for group in groups)


def _sum(levels: LEVELS, effect: Effect) -> int:
    return int(np.prod(levels[:, list(effect)], axis=1).sum())
