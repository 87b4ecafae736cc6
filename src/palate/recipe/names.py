"""A person's own vocabulary: chunks with names, and how many lines a recipe takes when it is written with them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from palate.recipe.nearest import Flat, Flattener, distance
from palate.recipe.roles import Own, by_role
from palate.recipe.tree import Chunk

FEWEST_SETTINGS = 3
"""The fewest settings of a chunk that is worth a name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A chunk of a person's own vocabulary.

    Attributes:
        name: its name, version included; a name never gets another meaning.
        role: which of the seven chunks it belongs to.
        slot: the last word of its chunk's own name, "" for a whole role; see `slot_of`.
        base: the chunk that the name means.
    """

    name: str
    role: str
    slot: str
    base: Chunk


@dataclass(frozen=True, slots=True)
class Written:
    """How a chunk is written, and in how many lines: by a name and the settings that differ, or (None) part by part."""

    named: Named | None
    lines: int


@dataclass(slots=True)
class Writer:
    """Writes chunks with a vocabulary, each in the shortest way."""

    vocabulary: Sequence[Named]
    flattener: Flattener = field(default_factory=Flattener)
    _bases: dict[tuple[str, str], list[tuple[Named, Flat]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for named in self.vocabulary:
            self.learn(named)

    def learn(self, named: Named) -> None:
        """Add a named chunk to the vocabulary."""
        self._bases.setdefault((named.role, named.slot), []).append((named, self.flattener.flat(named.base)))

    def write(self, role: str, chunk: Chunk, slot: str) -> Written:
        """Write a chunk by name and differences, or part by part, whichever takes fewer lines."""
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
    """Return the slot of a chunk: the last word of its name; "item" in a list.

    >>> slot_of(Chunk("train_pipeline", "list", ())), slot_of(Chunk(3, "dict", ()))
    ('pipeline', 'item')
    """
    return str(chunk.name).rpartition("_")[2] if type(chunk.name) is str else "item"


def places(role: str, chunk: Chunk, slot: str = "") -> Iterator[tuple[str, Chunk, int]]:
    """Yield the chunks that could have a name: slot, chunk and height, the deepest first."""
    height = 0
    for item in chunk.items:
        if isinstance(item, Chunk):
            for below in places(role, item, slot_of(item)):
                height = max(height, below[2])
                yield below
    yield slot, chunk, height + 1


def written_lines(recipe: Chunk, vocabulary: Sequence[Named], *, own: Own | None = None) -> tuple[int, int]:
    """Count the lines of a recipe when chunks are written as name and differences; count its settings too."""
    writer = Writer(vocabulary)
    lines = settings = 0
    for role, chunk in by_role(recipe, own).items():
        lines += writer.write(role, chunk, "").lines
        settings += len(writer.flattener.flat(chunk))
    return lines, settings
