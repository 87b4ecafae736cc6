"""Why two recipes differ, and the lines that show it to a person.

`explain` gives every changed setting one reason; a change that nobody declared and nothing explains is a confounder.
`difference_lines` writes a difference: one line for each chunk and reason, then a warning about confounders.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from palate.recipe.codec import Tensor, Unread
from palate.recipe.diff import Edit, diff
from palate.recipe.groups import count_leaves, split
from palate.recipe.lexicon import OTHER, ROLES
from palate.recipe.recipe import Recipe
from palate.recipe.roles import Own, role_label
from palate.recipe.tree import Chunk, Item, Origin, Path, Setting, leaves, path_text
from palate.recipe.words import edit_words, pair_words, side_words

ChangeReason = Literal["declared", "entailed", "co-change", "default drift", "ambient", "run-only"]
"""Why a setting changed.

- declared: the person said so.
- entailed: it follows from the declared change.
- co-change: nothing explains it; it confounds a verdict.
- default drift: it is a default whose version differs, or that only one side has; it confounds a verdict too.
- ambient: the machine or its software decided it.
- run-only: it concerns only logging, evaluation or saving.
"""

REASONS: tuple[ChangeReason, ...] = ("declared", "entailed", "co-change", "default drift", "ambient", "run-only")

CONFOUNDING: tuple[ChangeReason, ...] = ("co-change", "default drift")
"""The reasons of changes that confound a verdict; written in capitals."""

FOUR = 4
"""The most changes of a chunk that its line shows; the rest is only counted (Cowan)."""

WIDTH = 72
"""The most characters of a chunk's line that show its changes."""


@dataclass(frozen=True, slots=True)
class Changed:
    """An edit with its chunk and its reason."""

    edit: Edit
    role: str
    reason: ChangeReason

    @property
    def settings(self) -> int:
        """Count the settings that it changes."""
        return max(*(count_leaves(side) for side in (self.edit.before, self.edit.after) if side is not None), 1)


@dataclass(frozen=True, slots=True)
class Difference:
    """What differs between two recipes, chunk by chunk.

    Attributes:
        changes: every edit with its reason, in the order of the chunks.
        same: how many settings of each chunk are equal on both sides.
        unknown: the edits of values that cannot be compared; they count neither as changed nor as the same.
        unseen: what was not looked at on a side, in words; it may differ without a change of its own.
    """

    changes: tuple[Changed, ...]
    same: Mapping[str, int]
    unknown: tuple[Changed, ...] = ()
    unseen: tuple[str, ...] = ()

    @property
    def confounders(self) -> tuple[Changed, ...]:
        """Return the changes that would confound a verdict about the declared one."""
        return tuple(change for change in self.changes if change.reason in CONFOUNDING)

    def __str__(self) -> str:
        return "\n".join(difference_lines(self))

    def of(self, reason: ChangeReason) -> tuple[Changed, ...]:
        """Return the changes with one reason."""
        return tuple(change for change in self.changes if change.reason == reason)


@dataclass(frozen=True, slots=True)
class DifferenceLine:
    """The changes of one chunk for one reason.

    Attributes:
        role: the chunk.
        reason: the reason.
        words: the changes, causes first, equal ones merged.
        changed: how many settings changed.
        same: how many settings of the chunk did not.
    """

    role: str
    reason: ChangeReason
    words: tuple[str, ...]
    changed: int
    same: int


def explain(
    before: Recipe,
    after: Recipe,
    *,
    declared: Sequence[str] = (),
    entailed: Recipe | None = None,
    unsteady: Sequence[str] = (),
    own: Own | None = None,
) -> Difference:
    """Compare two recipes and give every changed setting its reason.

    Args:
        before: one recipe.
        after: the other.
        declared: what the person meant to change: chunks ("model"), paths ("optimizer.lr") or their ends ("lr").
        entailed: `before` captured again with only the declared change; what differs there follows from that change.
        unsteady: paths whose values differ between two readings of the same recipe; their changes are ambient.
        own: the person's own sections.
    """
    unsteady_paths = frozenset(unsteady)
    follows = set() if entailed is None else {_mark(edit) for edit in diff(before.root, entailed.root)}
    parts = _parts(before, own), _parts(after, own)
    roles = [role for role in (*ROLES, OTHER) if role in parts[0] or role in parts[1]]
    changes: list[Changed] = []
    unknown: list[Changed] = []
    same: dict[str, int] = {}
    for role in roles:
        one, other = (part.get(role, _empty(before.root)) for part in parts)
        edits = [*diff(one, other), *_tied(before, after, role)]
        reasoned = [
            Changed(
                edit,
                role,
                "ambient" if path_text(edit.path) in unsteady_paths else _reason(edit, role, declared, follows),
            )
            for edit in edits
        ]
        changes += [change for change in reasoned if change.edit.comparable]
        unknown += [change for change in reasoned if not change.edit.comparable]
        gone = sum(count_leaves(c.edit.before) for c in reasoned if c.edit.before is not None)
        same[role] = max(0, count_leaves(one) - gone)
    return Difference(tuple(changes), same, tuple(unknown), unseen_of((before, after)))


def unseen_of(recipes: Sequence[Recipe]) -> tuple[str, ...]:
    """Return what was not looked at where some recipes were read, in words.

    These are steps that were not seen, values of which only the source code is known, and what a model's tensors hold.
    """
    words = [note.words for recipe in recipes for note in recipe.notes if note.kind == "unseen"]
    settings = [pair for recipe in recipes for pair in leaves(recipe.root)]
    code = {
        path_text(path): s.value for path, s in settings if isinstance(s.value, Unread) and s.value.type == "source"
    }
    shown = [f"{path} is known only as the code {value}" for path, value in list(code.items())[:FOUR]]
    more = [f"{len(code) - FOUR} more values are known only as code"] if len(code) > FOUR else []
    held = len({path for path, s in settings if isinstance(s.value, Tensor) and not s.value.fingerprint})
    tensors = (
        [f"what {held} tensor{'s' if held > 1 else ''} hold{'' if held > 1 else 's'} was not read"] if held else []
    )
    return tuple(dict.fromkeys([*words, *shown, *more, *tensors]))


def _parts(recipe: Recipe, own: Own | None) -> dict[str, Chunk]:
    root = Chunk(recipe.root.name, recipe.root.kind, (*recipe.root.items, *recipe.env.items))
    if root.kind == "module":
        return {"model": root}
    return split(root, role_label(root, own))


def _empty(root: Chunk) -> Chunk:
    return Chunk(root.name, root.kind, ())


def _tied(before: Recipe, after: Recipe, role: str) -> list[Edit]:
    """Return an edit for each tie (of weights) that only one side has."""
    if role != "model":
        return []
    ours, theirs = ({_ties(group) for group in recipe.aliases} for recipe in (before, after))
    edits = []
    for group in sorted(ours ^ theirs):
        tied = Setting("tied", group)
        sides = (tied, None) if group in ours else (None, tied)
        edits.append(Edit((("tied", "tied"),), *sides))
    return edits


def _ties(group: Iterable[Path]) -> str:
    return " = ".join(sorted(map(path_text, group)))


def _reason(edit: Edit, role: str, declared: Sequence[str], follows: set[tuple[str, str]]) -> ChangeReason:
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
    """Return whether a declared name means this edit: its chunk, path, end of the path, or a section around it."""
    path = path_text(edit.path)
    return name in (role, path) or path.startswith(f"{name}.") or path.endswith(f".{name}")


def _mark(edit: Edit) -> tuple[str, str]:
    """Return what identifies an edit: its path, and the values after it."""
    after = [repr(setting.value) for _, setting in leaves(edit.after)] if edit.after is not None else []
    return path_text(edit.path), " ".join(after)


def _origins(edit: Edit) -> set[Origin]:
    return {setting.origin for setting in _sides(edit)}


def _drifted(edit: Edit) -> bool:
    """Return whether both sides are defaults and come from different versions, or only one side has the default."""
    if _origins(edit) != {Origin.DEFAULT}:
        return False
    sources = {setting.source for setting in _sides(edit)}
    return len(sources) > 1 or edit.before is None or edit.after is None


def _sides(edit: Edit) -> list[Setting]:
    sides: list[Item] = [side for side in (edit.before, edit.after) if side is not None]
    return [setting for side in sides for _, setting in leaves(side)]


def difference_lines(difference: Difference, *, full: bool = False) -> list[str]:
    """Write a difference for people: a line for each chunk and reason, then what is the same, then the warning.

    Args:
        difference: what differs.
        full: write a line for every change, and count none.
    """
    lines = [text for line in lines_of(difference) for text in (_rows(line) if full else [_row(line)])]
    changed = {change.role for change in difference.changes}
    same = ", ".join(f"{role} {count}" for role, count in difference.same.items() if role not in changed and count)
    unknown = [f"not comparable: {words_of(difference.unknown)}."] if difference.unknown else []
    unknown += [f"not seen: {'; '.join(difference.unseen)}."] if difference.unseen else []
    if not difference.changes:
        return [f"No difference{' that can be seen' if unknown else ''}. Same: {same or 'nothing'}.", *unknown]
    if same:
        lines.append(f"same: {same}.")
    return [*lines, *unknown, *warning(difference)]


def lines_of(difference: Difference) -> list[DifferenceLine]:
    """Return the lines of a difference, chunk by chunk."""
    lines = []
    for role in dict.fromkeys(change.role for change in difference.changes):
        for reason in REASONS:
            changes = [c for c in difference.changes if c.role == role and c.reason == reason]
            if changes:
                count = sum(change.settings for change in changes)
                lines.append(DifferenceLine(role, reason, merged_words(changes), count, difference.same[role]))
    return lines


def _row(line: DifferenceLine) -> str:
    text = line.words[0]
    shown = 1
    while shown < min(len(line.words), FOUR) and len(text) + len(line.words[shown]) + 2 <= WIDTH:
        text = f"{text}, {line.words[shown]}"
        shown += 1
    if shown < len(line.words):
        text += " ..."
    return f"{line.role:<10} {text:<{WIDTH + 4}} {_reason_words(line):<13} {_count(line)}"


def _rows(line: DifferenceLine) -> list[str]:
    head = f"{line.role:<10} {line.words[0]:<{WIDTH + 4}} {_reason_words(line):<13} {_count(line)}"
    return [head, *(f"{'':<10} {words}" for words in line.words[1:])]


def _reason_words(line: DifferenceLine) -> str:
    return line.reason.upper() if line.reason in CONFOUNDING else line.reason


def _count(line: DifferenceLine) -> str:
    return f"{line.changed} changed" + (f" / {line.same} same" if line.same else "")


def warning(difference: Difference) -> list[str]:
    """Write what would confound a verdict; no lines if nothing would."""
    left = difference.confounders
    if not left:
        return []
    settings = sum(change.settings for change in left)
    chunks = list(dict.fromkeys(change.role for change in left))
    what = "it" if settings == 1 else "them"
    counted = (
        f"{settings} setting{'s' if settings != 1 else ''} in {len(chunks)} chunk{'s' if len(chunks) != 1 else ''}"
    )
    about = "the declared change" if difference.of("declared") else "any one change"
    return [
        f"A verdict about {about} would be confounded by {counted} ({', '.join(chunks)}).",
        f"Meant {what}? Declare {what}: {' '.join(f'--declare {chunk}' for chunk in chunks)}",
    ]


def words_of(changes: Iterable[Changed], most: int = FOUR) -> str:
    """Write at most `most` changes in one line; count the rest."""
    words = merged_words(list(changes))
    rest = f" and {len(words) - most} more" if len(words) > most else ""
    return ", ".join(words[:most]) + rest


def merged_words(changes: Sequence[Changed]) -> tuple[str, ...]:
    """Write edits, causes first; equal changes in many places are one: `48 x dropout 0.1 -> 0`."""
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
    """Return a key that sorts causes before effects: configurations, classes, chunks, plain values, tensors, `says`."""
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
