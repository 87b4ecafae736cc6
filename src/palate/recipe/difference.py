"""Why two recipes differ: every changed setting has one reason, and what nobody declared is a confounder."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from palate.recipe.codec import Tensor
from palate.recipe.diff import Edit, diff
from palate.recipe.groups import count_leaves, split
from palate.recipe.lexicon import OTHER, ROLES
from palate.recipe.recipe import Recipe
from palate.recipe.roles import Own, role_label
from palate.recipe.tree import Chunk, Item, Origin, Path, Setting, leaves, path_text
from palate.recipe.words import edit_words, pair_words, side_words

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

        return "\n".join(difference_lines(self))

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


FOUR = 4
"""Lines that a chunk's changes are difference_lines in before the rest is only counted (Cowan)."""


WIDTH = 72
"""Characters that a chunk's changes are difference_lines in."""


SHOUTED = ("co-change", "default drift")


@dataclass(frozen=True, slots=True)
class Line:
    """What one chunk has changed for one reason.

    Attributes:
        role: the chunk.
        reason: the reason.
        words: the changes, causes first, equal ones merged.
        changed: settings that changed.
        same: settings of the chunk that did not.
    """

    role: str
    reason: str
    words: tuple[str, ...]
    changed: int
    same: int


def lines_of(difference: Difference) -> list[Line]:
    """Give the lines of a difference, chunk by chunk."""
    found = []
    for role in dict.fromkeys(change.role for change in difference.changes):
        for reason in REASONS:
            changes = [c for c in difference.changes if c.role == role and c.reason == reason]
            if changes:
                count = sum(change.settings for change in changes)
                found.append(Line(role, reason, merged_words(changes), count, difference.same[role]))
    return found


def difference_lines(difference: Difference, *, full: bool = False) -> list[str]:
    """Write a difference for people: a line a chunk and reason, then what is the same, then the warning.

    Args:
        difference: what differs.
        full: a line for every change, none only counted.
    """
    lines = [text for line in lines_of(difference) for text in (_rows(line) if full else [_row(line)])]
    changed = {change.role for change in difference.changes}
    same = ", ".join(f"{role} {count}" for role, count in difference.same.items() if role not in changed and count)
    unknown = [f"not comparable: {words_of(difference.unknown)}."] if difference.unknown else []
    if not difference.changes:
        return [f"No difference{' that can be seen' if unknown else ''}. Same: {same}.", *unknown]
    if same:
        lines.append(f"same: {same}.")
    return [*lines, *unknown, *warning(difference)]


def _row(line: Line) -> str:
    text = line.words[0]
    shown = 1
    while shown < min(len(line.words), FOUR) and len(text) + len(line.words[shown]) + 2 <= WIDTH:
        text = f"{text}, {line.words[shown]}"
        shown += 1
    if shown < len(line.words):
        text += " ..."
    return f"{line.role:<10} {text:<{WIDTH + 4}} {_reason_words(line):<13} {_count(line)}"


def _rows(line: Line) -> list[str]:
    head = f"{line.role:<10} {line.words[0]:<{WIDTH + 4}} {_reason_words(line):<13} {_count(line)}"
    return [head, *(f"{'':<10} {words}" for words in line.words[1:])]


def _reason_words(line: Line) -> str:
    return line.reason.upper() if line.reason in SHOUTED else line.reason


def _count(line: Line) -> str:
    return f"{line.changed} changed" + (f" / {line.same} same" if line.same else "")


def warning(difference: Difference) -> list[str]:
    """Say what a verdict would be confounded by; nothing where only the declared differs."""
    left = difference.confounders
    if not left:
        return []
    settings = sum(change.settings for change in left)
    chunks = list(dict.fromkeys(change.role for change in left))
    what = "it" if settings == 1 else "them"
    difference_lines = (
        f"{settings} setting{'s' if settings != 1 else ''} in {len(chunks)} chunk{'s' if len(chunks) != 1 else ''}"
    )
    about = "the declared change" if difference.of("declared") else "any one change"
    return [
        f"A verdict about {about} would be confounded by {difference_lines} ({', '.join(chunks)}).",
        f"Meant {what}? Declare {what}: {' '.join(f'--declare {chunk}' for chunk in chunks)}",
    ]


def merged_words(changes: Sequence[Changed]) -> tuple[str, ...]:
    """Write edits, causes first; the same change in many places is one: `48 x dropout 0.1 -> 0`."""
    groups: dict[tuple[Any, ...], list[Edit]] = {}
    for change in sorted(changes, key=lambda c: _rank(c.edit)):
        groups.setdefault(_likeness(change.edit), []).append(change.edit)
    return tuple(_group_words(edits) for edits in groups.values())


def _group_words(edits: Sequence[Edit]) -> str:
    if len(edits) == 1:
        return edit_words(edits[0])
    edit = edits[0]
    name = _name(edit)
    if edit.before is None or edit.after is None:
        sign = "+" if edit.before is None else "-"
        return f"{sign} {len(edits)} x {name} {side_words(edit.after or edit.before)}"
    return f"{len(edits)} x {name} {pair_words(edit)}"


def _likeness(edit: Edit) -> tuple[Any, ...]:
    sides = tuple(side_words(side) for side in (edit.before, edit.after))
    return _name(edit), edit.comparable, edit.before is None, edit.after is None, *sides


def _name(edit: Edit) -> str:
    names = [str(key) for key in edit.path if type(key) is not int]
    last = names[-1] if names else "item"
    return names[-2] if last in ("class", "_component_", "_target_") and len(names) > 1 else last


def _rank(edit: Edit) -> tuple[int, int]:
    """Order edits as causes before effects: configurations, classes, plain values, then shapes, then what is said."""
    if edit.path and edit.path[0] == "attached":
        return 0, len(edit.path)
    if edit.path and edit.path[-1] == "says":
        return 5, len(edit.path)
    side = edit.after if edit.after is not None else edit.before
    if isinstance(side, Chunk):
        return 2, len(edit.path)
    if isinstance(side, Setting) and isinstance(side.value, Tensor):
        return 4, len(edit.path)
    return (1 if edit.path and edit.path[-1] == "class" else 3), len(edit.path)


def words_of(changes: Iterable[Changed], most: int = FOUR) -> str:
    """Write some changes in one line."""
    words = merged_words(list(changes))
    rest = f" and {len(words) - most} more" if len(words) > most else ""
    return ", ".join(words[:most]) + rest
