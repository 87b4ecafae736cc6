"""A difference in the few lines that explain it: a line a chunk and reason, causes before what follows from them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from palate.recipe.codec import Tensor
from palate.recipe.diff import Edit
from palate.recipe.reasons import REASONS, Changed, Difference
from palate.recipe.tree import Chunk, Setting
from palate.recipe.words import edit_words, pair_words, side_words

FOUR = 4
"""Lines that a chunk's changes are told in before the rest is only counted (Cowan)."""

WIDTH = 72
"""Characters that a chunk's changes are told in."""

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


def told(difference: Difference, *, full: bool = False) -> list[str]:
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
    return f"{line.role:<10} {text:<{WIDTH + 4}} {_reason(line):<13} {_count(line)}"


def _rows(line: Line) -> list[str]:
    head = f"{line.role:<10} {line.words[0]:<{WIDTH + 4}} {_reason(line):<13} {_count(line)}"
    return [head, *(f"{'':<10} {words}" for words in line.words[1:])]


def _reason(line: Line) -> str:
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
    told = f"{settings} setting{'s' if settings != 1 else ''} in {len(chunks)} chunk{'s' if len(chunks) != 1 else ''}"
    about = "the declared change" if difference.of("declared") else "any one change"
    return [
        f"A verdict about {about} would be confounded by {told} ({', '.join(chunks)}).",
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
