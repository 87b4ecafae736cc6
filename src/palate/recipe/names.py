"""A person's own words: chunks with names, and what a recipe costs to write with them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from palate.recipe.nearest import Flat, Flattener, distance
from palate.recipe.roles import Own, by_role
from palate.recipe.tree import Chunk

FEWEST_SETTINGS = 3
"""Chunks with fewer settings are not worth a name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A chunk of a person's own vocabulary.

    Attributes:
        name: what they call it, version included: a name is never pointed at something else.
        role: which of the seven chunks it lies in.
        slot: what kind of place it stands in: the last word of its chunk's name; "" for a whole role.
        base: what it stands for.
    """

    name: str
    role: str
    slot: str
    base: Chunk


@dataclass(frozen=True, slots=True)
class Written:
    """A chunk as it is written: a name and how many settings differ, or None and its parts."""

    named: Named | None
    lines: int


@dataclass(slots=True)
class Writer:
    """Write chunks with a vocabulary, each the shortest way."""

    vocabulary: Sequence[Named]
    flattener: Flattener = field(default_factory=Flattener)
    _bases: dict[tuple[str, str], list[tuple[Named, Flat]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for named in self.vocabulary:
            self.learn(named)

    def learn(self, named: Named) -> None:
        """Take a word in."""
        self._bases.setdefault((named.role, named.slot), []).append((named, self.flattener.flat(named.base)))

    def write(self, role: str, chunk: Chunk, slot: str) -> Written:
        """Write a chunk: by name with its differences, or part by part, whichever takes fewer lines."""
        parts = self.parts(role, chunk)
        bases = self._bases.get((role, slot), [])
        if not bases:
            return Written(None, parts)
        flat = self.flattener.flat(chunk)
        lines, place = min((1 + distance(flat, base), place) for place, (_, base) in enumerate(bases))
        return Written(bases[place][0], lines) if lines < parts else Written(None, parts)

    def parts(self, role: str, chunk: Chunk) -> int:
        """Count the lines that a chunk takes part by part."""
        lines = (self.write(role, item, slot_of(item)).lines if isinstance(item, Chunk) else 1 for item in chunk.items)
        return sum(lines)


def slot_of(chunk: Chunk) -> str:
    """Give the kind of place that a chunk stands in: the last word of its name; "item" in a list.

    >>> slot_of(Chunk("train_pipeline", "list", ())), slot_of(Chunk(3, "dict", ()))
    ('pipeline', 'item')
    """
    return str(chunk.name).rpartition("_")[2] if type(chunk.name) is str else "item"


def places(role: str, chunk: Chunk, slot: str = "") -> Iterator[tuple[str, Chunk, int]]:
    """Walk the chunks that could bear a name: slot, chunk and height, the deepest first."""
    height = 0
    for item in chunk.items:
        if isinstance(item, Chunk):
            below = 0
            for told in places(role, item, slot_of(item)):
                below = max(below, told[2])
                yield told
            height = max(height, below)
    yield slot, chunk, height + 1


def written_lines(recipe: Chunk, vocabulary: Sequence[Named], *, own: Own | None = None) -> tuple[int, int]:
    """Count the lines of a recipe with its chunks as name + differences, and its settings."""
    writer = Writer(vocabulary)
    lines = settings = 0
    for role, chunk in by_role(recipe, own).items():
        lines += writer.write(role, chunk, "").lines
        settings += len(writer.flattener.flat(chunk))
    return lines, settings
