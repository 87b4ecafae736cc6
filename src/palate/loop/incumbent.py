"""What the next question of a training begins from: its files, with what was adopted; light to import.

Settings that were adopted are handed to both arms. Of an edit of the code that was adopted, mostly the person's files
have it already, and that is said; where they do not, the adopted commit is run in its place, or it is refused.
"""

import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from palate.capture.place import run_git
from palate.errors import NotFoundError, RefusedError, SettingError
from palate.ledger.ledger import Ledger
from palate.ledger.stack import Stack, stack_of
from palate.question.edit import WORKING, Edit, edit_between
from palate.question.folder import path_inside
from palate.question.incumbent import Incumbent
from palate.question.question import Question
from palate.question.target import Target
from palate.recipe.codec import encode
from palate.store.project import Project

FROM_START = "--from-start"


@dataclass(frozen=True, slots=True, kw_only=True)
class Begins:
    """What a question begins from.

    Attributes:
        target: the baseline's, with what was adopted.
        edit: the edit that is asked about, on top of that; None where only settings are.
        words: what was adopted and how both arms come to have it, a line each.
    """

    target: Target
    edit: Edit | None = None
    words: tuple[str, ...] = ()


def line_of(project: Project, target: Target) -> str:
    """Name the training that a target is of, whatever its arguments: a stack is of one training."""
    task = target.task
    if task.kind in ("function", "script", "pickle") and task.file:
        home = os.path.realpath(project.home.parent)
        inside = path_inside(os.path.realpath(task.file), home) or task.file
        return f"{inside}:{task.name}" if task.name and task.kind == "function" else inside
    if task.kind == "module":
        return f"{task.module}:{task.name}"
    return target.label


def asked_onto(question: Question) -> tuple[str, ...]:
    """Name the experiments that were adopted when a question was asked, and so are in its baseline."""
    held = question.target.incumbent
    return () if held is None else held.onto


def settings_of(ledger: Ledger, stack: Stack) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the settings that a stack adopts, the later of two values, and whose each is."""
    values: dict[str, Any] = {}
    of: dict[str, str] = {}
    for name in stack.names:
        for change in ledger.read(name).question.changes:
            values[change.path], of[change.path] = change.after, name
    return values, of


def edited_by(ledger: Ledger, stack: Stack) -> tuple[str, Edit] | None:
    """Return the adopted edit of the code that stands, the newest one, with its experiment."""
    for name in reversed(stack.names):
        edit = ledger.read(name).question.edit
        if edit is not None:
            return name, edit
    return None


def begin_from(
    project: Project, target: Target, edit: Edit | None, *, text: str = "", arguments: tuple[str, ...] = ()
) -> Begins:
    """Put what was adopted into both arms.

    Args:
        project: where it was adopted.
        target: the baseline's, as it stands in the person's files, or in the state of the code that they named.
        edit: that is asked about.
        text: what a person points at, by which it is found in the adopted state of the code.
        arguments: of both arms.

    Raises:
        RefusedError: the adopted code is not there any more, or the files are neither it nor where it began.
        SettingError: an adopted setting is none of this training's any more.
    """
    if target.fork is not None:
        return Begins(target=target, edit=edit)
    ledger = Ledger.of(project.chain)
    stack = stack_of(ledger.chain, line_of(project, target))
    if not stack.kept:
        return Begins(target=target, edit=edit)
    words: list[str] = []
    code = ""
    adopted = edited_by(ledger, stack)
    if adopted is not None and edit is None:
        target, code, said = _on_code(project, ledger, target, adopted, text, arguments)
        words.append(said)
    values, of = settings_of(ledger, stack)
    incumbent = _incumbent(target, values, of, code, stack.names)
    target = target.on(incumbent)
    if incumbent.words:
        words.insert(0, f"{target.label} {incumbent.words}")
    mine = [name for name in values if name not in {change.path for change in incumbent.changes}]
    if mine:
        words.append(f"Adopted, and in your files already: {', '.join(mine)}.")
    if edit is not None:
        other = _incumbent(edit.target, values, of, "", stack.names)
        edit = replace(edit, target=edit.target.on(other))
    return Begins(target=target, edit=edit, words=tuple(words))


def _incumbent(
    target: Target, values: dict[str, Any], of: dict[str, str], code: str, onto: tuple[str, ...]
) -> Incumbent:
    """Return what both arms have different from a target; what stands in its files already is left out."""
    try:
        changes = target.changes(values)
    except SettingError as error:
        names = ", ".join(dict.fromkeys(of.values()))
        raise SettingError(
            f"What was adopted ({names}) does not fit {target.label} any more.",
            why=(error.what, *error.why),
            todo=(*(f"palate drop {name}" for name in dict.fromkeys(of.values())), f"Or leave it out:  {FROM_START}"),
        ) from error
    real = tuple(change for change in changes if encode(change.before) != encode(change.after))
    return Incumbent(changes=real, of={change.path: of[change.path] for change in real}, code=code, onto=onto)


def _on_code(
    project: Project, ledger: Ledger, target: Target, adopted: tuple[str, Edit], text: str, arguments: tuple[str, ...]
) -> tuple[Target, str, str]:
    """Return what is run where an edit was adopted, the experiment if that is not the person's files, and what to say.

    The files have it; or they were edited on since; or they are still where it began, and its commit is run instead.
    """
    name, edit = adopted
    if target.code == edit.target.code and not edit.id:
        return target, "", f"The code that was adopted ({name}: {edit.after}) is in your files."
    commit = "" if edit.after == WORKING else edit.after.rpartition(" ")[2]
    if commit and _holds_commit(commit):
        return target, "", f"The code that was adopted ({name}: {edit.after}) is in your branch."
    began = ledger.read(name).question.target.code
    lacks = target.code == began and not edit.id
    if not commit:
        if lacks:
            raise _put_it_back(name, edit)
        return target, "", f"Your files were edited since {name} was adopted: the baseline is what they are now."
    if not lacks and not edit.id:
        raise RefusedError(
            f"Your files are neither what {name} adopted ({edit.after}) nor what it began from.",
            why="Both arms would lack what was adopted, or be without your edits.",
            todo=(f"Take it over:  git merge {commit}", f"palate drop {name}", f"Or leave it out:  {FROM_START}"),
        )
    try:
        _, found = edit_between(text, arguments, home=project.home, tried=commit)
    except SettingError:  # nothing differs: the files have it
        return target, "", f"The code that was adopted ({name}: {edit.after}) is in your files."
    except NotFoundError as error:
        raise RefusedError(
            f"The code that was adopted ({name}: {edit.after}) is not there any more.",
            why=error.what,
            todo=(f"Bring back the commit {commit}", *_copied(edit), f"palate drop {name}", f"Or:  {FROM_START}"),
        ) from error
    declared = {name: getattr(target, name) for name in ("metric", "goal", "resolution", "data")}
    return (
        replace(found.target, **declared),
        name,
        f"Your files do not have the adopted code: both arms run {edit.after}.",
    )


def _put_it_back(name: str, edit: Edit) -> RefusedError:
    return RefusedError(
        f"Your files are what {name} began from: they lack the edit that was adopted ({edit.words}).",
        why="It was never a commit, so it is run where it stands: in your files.",
        todo=("Put the edit back", *_copied(edit), f"palate drop {name}", f"Or leave it out:  {FROM_START}"),
    )


def _copied(edit: Edit) -> list[str]:
    """Say where a copy of the adopted code still is."""
    place = edit.target.task.place
    kept = place is not None and place.over and Path(place.over).is_dir()
    return [f"A copy of its files is in {shlex.quote(place.over)}"] if place is not None and kept else []


def _holds_commit(commit: str) -> bool:
    """Whether the commit that is checked out has this one in its past."""
    done = run_git(Path.cwd(), "merge-base", "--is-ancestor", commit, "HEAD")
    return done is not None and done.returncode == 0


@contextmanager
def adopted_named(target: Target) -> Iterator[None]:
    """Where a change is refused as nothing changes, say whether that is because it is adopted."""
    try:
        yield
    except SettingError as error:
        held = target.incumbent
        named = [] if held is None else [one.path for one in held.changes if any(one.path in why for why in error.why)]
        if held is None or not named:
            raise
        adopted = ", ".join(f"{path} ({held.of[path]})" for path in named)
        raise SettingError(
            error.what,
            why=(*error.why, f"Adopted, so both arms have it: {adopted}."),
            todo=(*error.todo, f"Or ask against where it began:  {FROM_START}"),
        ) from error
