"""The recipe: everything that decides how a run goes, as an exact tree with an id."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from palate.recipe.codec import canonical_text
from palate.recipe.tree import Aliases, Chunk, Note, chunk_id, path_text

if TYPE_CHECKING:
    from palate.recipe.names import Named
    from palate.recipe.roles import Own
    from palate.recipe.view import Node


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides how a run goes.

    Attributes:
        root: the exact tree.
        aliases: groups of paths; all paths of a group lead to the same object (tied weights).
        env: versions, hardware, the state of the code; not part of the id.
        notes: warnings about settings that are not what they look like; not part of the id.
    """

    root: Chunk
    aliases: Aliases = ()
    env: Chunk = field(default_factory=lambda: Chunk("env", "dict", ()))
    notes: tuple[Note, ...] = ()

    @property
    def id(self) -> str:
        """Return the id: a hash of the values and ties alone, whoever decided them."""
        ties = sorted(sorted(path_text(path) for path in group) for group in self.aliases)
        return hashlib.sha256(canonical_text([chunk_id(self.root), ties]).encode()).hexdigest()

    def view(self, *, vocabulary: "Sequence[Named]" = (), own: "Own | None" = None, lens: str = "") -> "Node":
        """Return the recipe as at most seven lines, each of which opens; see `palate.recipe.view.view`."""
        from palate.recipe.view import view  # not needed before the prompt

        return view(self.root, self.aliases, name=self.id[:8], vocabulary=vocabulary, own=own, lens=lens)

    def __str__(self) -> str:
        from palate.recipe.view import lines

        notes = [f"! {note.words}" for note in self.notes]
        return "\n".join([*lines(self.view(), depth=9 if self.root.kind == "module" else 1, details=False), *notes])

    def _repr_html_(self) -> str:
        from palate.recipe.view import to_html

        return to_html(self.view(), notes=tuple(note.words for note in self.notes))
