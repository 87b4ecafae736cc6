"""Whose commands are started without asking: those that this user asked for, at this place.

A question says what is run: a file, a module, a command with all its words. Whoever can write a question file, or a
chain, can write any command there, so a kept question starts nothing because it is kept. What a person typed is noted
where no received file and no copied project can write: in the user's own folder, as an id of the command and of the
project's place. Anything else is shown in full and confirmed first: a question of a colleague, a project that was
copied with its store, one that moved, one of another user, or one that was asked before this was noted.
"""

import hashlib
import json
import os
import shlex
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from palate.errors import NotFoundError, PalateError, RefusedError
from palate.ledger.records import question_body
from palate.question.folder import path_inside
from palate.question.notebooks import NOTEBOOK
from palate.question.question import Question
from palate.question.target import Target, Task, find_command, find_target
from palate.recipe.codec import content_id
from palate.recipe.settings import Change, show_value
from palate.store.config import user_state
from palate.store.project import Project

Confirm = Callable[[Sequence[Question]], bool]
"""Shows what would be started, in full; returns whether a person (or `--trust`) says yes."""

_ANY_SEED = 0


@dataclass(frozen=True, slots=True)
class Trust:
    """What this user asked for, or confirmed, in one project.

    Attributes:
        file: lists the ids, a line each; None where the user has no folder of their own.
        place: of the project.
    """

    file: Path | None
    place: str

    @classmethod
    def of(cls, project: Project) -> Self:
        """Return what the user who calls trusts of a project; nothing is made or written."""
        place = os.path.realpath(project.home)
        folder = user_state()
        name = hashlib.sha256(place.encode(errors="surrogateescape")).hexdigest()[:32]
        return cls(folder / "trusted" / name if folder is not None else None, place)

    def knows(self, question: Question) -> bool:
        """Whether what a question starts was asked for or confirmed by this user here."""
        if self.file is None:
            return False
        with suppress(OSError):
            return self._id(question) in self.file.read_text(errors="replace").split()
        return False

    def add(self, question: Question) -> None:
        """Note that this user asked for it, or confirmed it; where nothing can be noted, it is asked again."""
        if self.file is None or self.knows(question):
            return
        with suppress(OSError):
            self.file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(self.file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.write(descriptor, f"{self._id(question)}\n".encode())
            finally:
                os.close(descriptor)

    def _id(self, question: Question) -> str:
        return content_id([self.place, what_is_started(question)])


def what_is_started(question: Question) -> dict[str, Any]:
    """Return all that decides what a question's runs start, as plain JSON data; a pickle with its content."""
    body = json.loads(json.dumps(question_body(question)))
    edit = body.get("edit", {})
    pickles = [_hash_of(target.task.file) for target in _targets(question) if target.task.kind == "pickle"]
    return {"target": body["target"], "changes": body["changes"], "edit": edit.get("target"), "pickles": pickles}


def _targets(question: Question) -> list[Target]:
    return [question.plan.target_of(arm) for arm in question.plan.arms]


def _hash_of(file: str) -> str:
    try:
        return hashlib.sha256(Path(file).read_bytes()).hexdigest()
    except OSError:
        return ""


def vouched(project: Project, questions: Sequence[Question], confirm: Confirm) -> list[Question]:
    """Return kept questions as ones that may be started; those that this user did not ask for here are confirmed first.

    Args:
        project: where they are kept.
        questions: those of which runs are about to be made.
        confirm: shows what would be started, and asks; called once for all that need it.

    Raises:
        RefusedError: nobody says yes, or a file is not what the question was asked of.
    """
    trust = Trust.of(project)
    strange = [question for question in questions if not trust.knows(question)]
    for question in questions:
        _refuse_gone(question)
    for question in strange:
        _refuse_elsewhere(project, question)
    if strange and not confirm(strange):
        raise _not_confirmed(strange)
    for question in questions:
        _refuse_changed(question)
    for question in strange:
        trust.add(question)
    return [_vouched(question) for question in questions]


def _vouched(question: Question) -> Question:
    edit = question.edit and replace(question.edit, target=_vouched_target(question.edit.target))
    return replace(question, target=_vouched_target(question.target), edit=edit)


def _vouched_target(target: Target) -> Target:
    return replace(target, task=replace(target.task, vouched=True))


def refuse_to_confirm(_: Sequence[Question]) -> bool:
    """Say no: there is nobody to ask."""
    return False


def _not_confirmed(strange: Sequence[Question]) -> RefusedError:
    names = ", ".join(question.experiment for question in strange[:5])
    return RefusedError(
        f"Nothing was started: what {names} would run was not asked by you at this place.",
        why=[line for question in strange[:5] for line in command_lines(question)],
        todo="Read it, then confirm it at a terminal, or with:  palate confirm --trust",
    )


def _refuse_gone(question: Question) -> None:
    """Refuse a file that is not there any more: the project has moved, or somebody else asked."""
    for target in _targets(question):
        file = target.task.file
        if file and target.task.kind != "module" and not Path(file).exists():
            raise RefusedError(
                f"{question.experiment} was asked of {file}, which is not there.",
                why="The project has moved since, or it was asked in another one.",
                todo="Ask anew, where the file is:  palate run",
            )


def _refuse_elsewhere(project: Project, question: Question) -> None:
    """Refuse the file of the project that this one is a copy of: the one in this project is meant, or nobody knows."""
    home = os.path.realpath(project.home.parent)
    for target in _targets(question):
        there = _folder_of(target)
        if target.task.kind == "command" and there != Path.cwd() and not Path(target.task.argv[-1]).is_absolute():
            raise RefusedError(
                f"{question.experiment} was asked in {there}, and its command works from there.",
                why="In another folder, the files that it names are others.",
                todo=f"cd {shlex.quote(str(there))}",
            )
        file = target.task.file
        inside = path_inside(os.path.realpath(file), home) if file else ""
        if inside is None and target.task.kind in ("script", "function"):
            raise RefusedError(
                f"{question.experiment} was asked of {file}, which is not in this project ({home}).",
                why="The project was copied since, or a colleague asked: its runs would not be those of the code here.",
                todo="Ask anew, of the file that is meant:  palate run",
            )


def _refuse_changed(question: Question) -> None:
    """Refuse a file that is not what the question was asked of: its runs would count as those of other code."""
    for target in _targets(question):
        now = _code_now(target)
        if now is not None and now != target.code:
            raise RefusedError(
                f"{target.file} is not what {question.experiment} was asked of: its code is another one.",
                why="Runs of it would count as runs of the code that the question names.",
                todo="Go back to that code, or ask anew: palate run",
            )


def _code_now(target: Target) -> str | None:
    """Return the fingerprint of the code that a task would run now; None where it has no file of its own."""
    task = target.task
    if task.kind == "command":
        return _code_of_command(target)
    file = task.file
    if task.kind not in ("function", "script") or not file:
        return None
    try:
        return find_target(_copied(task) or task.text or file).code
    except NotFoundError:
        return None  # the run itself says so
    except (PalateError, OSError):
        return ""


def _copied(task: Task) -> str:
    """Return how the copy is found that a task runs in place of the person's file, of a state of it; "" of none."""
    place = task.place
    inside = path_inside(task.file, place.root) if place is not None and place.over and not task.module else None
    copy = Path(place.over) / inside if place is not None and inside else None
    return "" if copy is None or not copy.is_file() else f"{copy}:{task.name}" if task.name else str(copy)


def _code_of_command(target: Target) -> str | None:
    """Return the fingerprint of what a command would start now, in the folder that it was asked in.

    None where it has no file of its own: then its words, which are kept, are all that is known of it.
    """
    if not target.task.file and not (target.task.argv and Path(target.task.argv[-1]).is_file()):
        return None
    words = (*target.task.argv, *(str(word) for word in target.argv))
    try:
        return find_command(words, _folder_of(target)).code
    except NotFoundError:
        return None
    except (PalateError, OSError):
        return ""


def _folder_of(target: Target) -> Path:
    file = target.task.file
    return Path(os.path.normpath(Path(file).parent / target.folder)) if file else Path.cwd()


def command_lines(question: Question) -> list[str]:
    """Say in full what a question's runs would start, a line an arm; what is no plain text is quoted as it is."""
    lines = [f"{question.experiment}  {question.text}"]
    for arm, changes in question.plan.arms.items():
        target = question.plan.target_of(arm)
        lines.append(f"  {arm:<10} {_started_by(target, changes)}")
        place = target.task.place
        if place is not None:
            over = f", files of {place.over}" if place.over else ""
            lines.append(f"  {'':<10} in {Path(place.root) / place.cwd}{over}")
        if target.task.warm:
            lines.append(f"  {'':<10} imports {', '.join(target.task.warm)} first")
    return lines


def _python(task: Task) -> tuple[str, ...]:
    """Return the words that would start a script by hand."""
    if task.module:
        return ("python", "-m", task.module)
    return ("ipython" if task.file.endswith(NOTEBOOK) else "python", task.file)


def _started_by(target: Target, changes: Iterable[Change]) -> str:
    """Say what one arm starts: its words as a shell takes them, then what else it is given."""
    task, order = target.task, target.order("", Path(), _ANY_SEED, list(changes))
    words = {
        "script": (*_python(task), *order.argv),
        "command": (*task.argv, *order.argv),
        "function": ("python", task.file, *order.argv),
        "module": ("python", "-m", task.module, *order.argv),
        "pickle": ("unpickle", task.file, *order.argv),
    }[task.kind]
    called = f"   calls {task.name}()" if task.name else ""
    variables = {f"${name}": value for name, value in order.environment.items()}
    given = {**order.settings, **(order.constants or {}), **variables}
    settings = "".join(f"   {name}={show_value(value)}" for name, value in given.items())
    return shlex.join(map(str, words)) + called + settings
