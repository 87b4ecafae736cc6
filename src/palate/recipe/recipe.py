"""A recipe: all that decides how a run goes, as an exact tree with an id; and how it is shown."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from palate.recipe.codec import canonical_text
from palate.recipe.names import Named
from palate.recipe.roles import Own
from palate.recipe.tree import Aliases, Chunk, Note, chunk_id, path_text
from palate.recipe.view import Node, lines, to_html, view


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that decides how a run goes.

    Attributes:
        root: the exact tree.
        aliases: paths that lead to one and the same thing, a group each (tied weights).
        env: what the place decided: versions, hardware, the state of the code; no part of the id.
        notes: what is not as it looks; no part of the id.
    """

    root: Chunk
    aliases: Aliases = ()
    env: Chunk = field(default_factory=lambda: Chunk("env", "dict", ()))
    notes: tuple[Note, ...] = ()

    @property
    def id(self) -> str:
        """Give the recipe's id: a hash of its values alone, so who decided them may differ."""
        ties = sorted(sorted(path_text(path) for path in group) for group in self.aliases)
        return hashlib.sha256(canonical_text([chunk_id(self.root), ties]).encode()).hexdigest()

    def view(self, *, vocabulary: Sequence[Named] = (), own: Own | None = None, lens: str = "") -> Node:
        """Return the recipe as seven lines at most, each of which opens. See `palate.recipe.view.view`."""
        return view(self.root, self.aliases, name=self.id[:8], vocabulary=vocabulary, own=own, lens=lens)

    def __str__(self) -> str:
        notes = [f"! {note.words}" for note in self.notes]
        return "\n".join([*lines(self.view(), depth=9 if self.root.kind == "module" else 1, details=False), *notes])

    def _repr_html_(self) -> str:
        return to_html(self.view(), notes=tuple(note.words for note in self.notes))
