"""Why two recipes differ: every changed setting has one reason, and what nobody declared is a confounder."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from palate.recipe.diff import Edit, diff
from palate.recipe.groups import count_leaves, split
from palate.recipe.lexicon import OTHER, ROLES
from palate.recipe.roles import Own, role_label
from palate.recipe.tree import Chunk, Item, Origin, Path, Recipe, Setting, leaves, path_text

Reason = Literal["declared", "entailed", "co-change", "default drift", "ambient", "run-only"]
"""Meant by the person; follows from that alone; left over, a confounder; a default of another version; of the place;
of logging, evaluation and saving alone."""

REASONS: tuple[Reason, ...] = ("declared", "entailed", "co-change", "default drift", "ambient", "run-only")


@dataclass(frozen=True, slots=True)
class Changed:
    """An edit, the chunk it lies in, and its reason."""

    edit: Edit
    role: str
    reason: Reason

    @property
    def settings(self) -> int:
        """How many settings it changes."""
        return max(*(count_leaves(side) for side in (self.edit.before, self.edit.after) if side is not None), 1)


@dataclass(frozen=True, slots=True)
class Difference:
    """What differs between two recipes, chunk by chunk.

    Attributes:
        changes: every edit with its reason, in the order of the chunks.
        same: settings of each chunk that are equal on both sides.
        unknown: what can be compared with nothing, and so is called neither changed nor the same.
    """

    changes: tuple[Changed, ...]
    same: Mapping[str, int]
    unknown: tuple[Changed, ...] = ()

    @property
    def confounders(self) -> tuple[Changed, ...]:
        """What would confound a verdict about the declared change: `diff(apply(A, declared), B)`."""
        return tuple(change for change in self.changes if change.reason in ("co-change", "default drift"))

    def __str__(self) -> str:
        from palate.recipe.report import told

        return "\n".join(told(self))

    def of(self, reason: Reason) -> tuple[Changed, ...]:
        """Give the changes with one reason."""
        return tuple(change for change in self.changes if change.reason == reason)


def explain(
    before: Recipe,
    after: Recipe,
    *,
    declared: Sequence[str] = (),
    entailed: Recipe | None = None,
    unsteady: Sequence[str] = (),
    own: Own | None = None,
) -> Difference:
    """Say of every setting that differs why it does.

    Args:
        before: one recipe.
        after: the other.
        declared: what was meant to change: chunks ("model"), paths ("optimizer.lr") or their ends ("lr").
        entailed: `before` captured again with only the declared change; what differs there follows from it.
        unsteady: paths that differ from one reading of the same recipe to the next: ambient, whatever else.
        own: the person's own sections.
    """
    restless = frozenset(unsteady)
    follows = set() if entailed is None else {_mark(edit) for edit in diff(before.root, entailed.root)}
    parts = _parts(before, own), _parts(after, own)
    roles = [role for role in (*ROLES, OTHER) if role in parts[0] or role in parts[1]]
    changes: list[Changed] = []
    unknown: list[Changed] = []
    same: dict[str, int] = {}
    for role in roles:
        one, other = (part.get(role, _empty(before.root)) for part in parts)
        edits = [*diff(one, other), *_tied(before, after, role)]
        found = [
            Changed(
                edit, role, "ambient" if path_text(edit.path) in restless else _reason(edit, role, declared, follows)
            )
            for edit in edits
        ]
        changes += [change for change in found if change.edit.comparable]
        unknown += [change for change in found if not change.edit.comparable]
        gone = sum(count_leaves(c.edit.before) for c in found if c.edit.before is not None)
        same[role] = max(0, count_leaves(one) - gone)
    return Difference(tuple(changes), same, tuple(unknown))


def _parts(recipe: Recipe, own: Own | None) -> dict[str, Chunk]:
    root = Chunk(recipe.root.name, recipe.root.kind, (*recipe.root.items, *recipe.env.items))
    if root.kind == "module":
        return {"model": root}
    return split(root, role_label(root, own))


def _empty(root: Chunk) -> Chunk:
    return Chunk(root.name, root.kind, ())


def _tied(before: Recipe, after: Recipe, role: str) -> list[Edit]:
    """Tell of things that are one and the same on one side only (tied weights)."""
    if role != "model":
        return []
    ours, theirs = ({_ties(group) for group in recipe.aliases} for recipe in (before, after))
    found = []
    for group in sorted(ours ^ theirs):
        tied = Setting("tied", group)
        sides = (tied, None) if group in ours else (None, tied)
        found.append(Edit((("tied", "tied"),), *sides))
    return found


def _ties(group: Iterable[Path]) -> str:
    return " = ".join(sorted(map(path_text, group)))


def _mark(edit: Edit) -> tuple[str, str]:
    """What an edit is recognised by: where it is, and what it makes of it."""
    after = [repr(setting.value) for _, setting in leaves(edit.after)] if edit.after is not None else []
    return path_text(edit.path), " ".join(after)


def _reason(edit: Edit, role: str, declared: Sequence[str], follows: set[tuple[str, str]]) -> Reason:
    if any(_covers(name, edit, role) for name in declared):
        return "declared"
    if _origins(edit) == {Origin.AMBIENT}:
        return "ambient"
    if _mark(edit) in follows:
        return "entailed"
    if role == "run":
        return "run-only"
    if _drifted(edit):
        return "default drift"
    return "co-change"


def _covers(name: str, edit: Edit, role: str) -> bool:
    """Whether a declared name means this edit: its chunk, its path or the path's end, or a section it lies in."""
    path = path_text(edit.path)
    return name in (role, path) or path.startswith(f"{name}.") or path.endswith(f".{name}")


def _sides(edit: Edit) -> list[Setting]:
    held: list[Item] = [side for side in (edit.before, edit.after) if side is not None]
    return [setting for side in held for _, setting in leaves(side)]


def _origins(edit: Edit) -> set[Origin]:
    return {setting.origin for setting in _sides(edit)}


def _drifted(edit: Edit) -> bool:
    """Whether nobody decided it on either side, and the two sides come from different versions."""
    if _origins(edit) != {Origin.DEFAULT}:
        return False
    sources = {setting.source for setting in _sides(edit)}
    return len(sources) > 1 or edit.before is None or edit.after is None
