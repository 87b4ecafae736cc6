"""Whether everything that earlier runs read is still what it was, so that they may be used again; light to import.

What each run read is kept with it (`training.inputs`), and together for all runs of one key in the project's folder
`inputs`. Where something is different now, the arm gets another key, and is run again.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from palate.question.folder import Place, place_of
from palate.question.plan import Plan
from palate.question.question import Question
from palate.recipe.codec import content_id
from palate.recipe.recipe import Recipe
from palate.recipe.tree import Chunk, Setting, find
from palate.redaction import is_secret_name
from palate.store.locks import folder_locked
from palate.store.peek import runs_named
from palate.store.private import make_folder, replace_file
from palate.store.project import Project
from palate.store.recipes import Recipes
from palate.training.inputs import Received, read_received
from palate.training.received import shown_variable
from palate.training.states import ABSENT, EVERYTHING, PRESENT, UNKNOWN, FileState, state_of_all
from palate.vocabulary import Arm

MOST_STATES = 8
"""States of its inputs that are looked for behind each other, each known by what runs read in the one before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the runs of one key read.

    Attributes:
        files: by name, seen from the person's folder.
        variables: environment variables as they were; None for one that was not set.
    """

    files: Mapping[str, FileState]
    variables: Mapping[str, str | None]

    def with_more(self, received: Received) -> "Known":
        """Return it with what another run read; what is known stays as it was first."""
        return Known(
            files={**received.files, **self.files},
            variables={**received.variables, **received.outside, **self.variables},
        )


NOTHING = Known(files={}, variables={})


def remember(project: Project, key: str, received: Received) -> None:
    """Keep what a run of a key read together with what the others did."""
    folder = _path(project, key).parent
    make_folder(folder)
    with folder_locked(folder):  # of two runs that end at once, none forgets what the other read
        known = _read(project, key) or NOTHING
        more = known.with_more(received)
        if more != known:
            _write(project, key, more)


def known_inputs(project: Project, plan: Plan, arm: Arm) -> Known:
    """Return what the runs of an arm read; made anew from the runs where it was lost."""
    key = plan.keys[arm]
    known = _read(project, key)
    if known is not None:
        return known
    known = NOTHING
    mark = plan.run_mark(arm)
    for name in sorted(runs_named(project.runs, mark)) if project.runs.is_dir() else ():
        received = read_received(project.run_folder(name))
        known = known.with_more(received) if received is not None else known
    if known != NOTHING:
        _write(project, key, known)
        return known
    recipe = Recipes(project.home).known(key)  # of a project from before runs were read back
    return Known(files=_files_of(recipe) if recipe is not None else {}, variables={})


def changed_meanwhile(known: Known, received: Received, place: Place | None, sources: frozenset[str]) -> str:
    """Return a file that a run read in another state than the runs of its key before, or that changed while it went.

    Args:
        known: what the runs before read.
        received: what this one received.
        place: the folder that it saw.
        sources: files of which runs see a copy.
    """
    for name, state in received.files.items():
        before = known.files.get(name)
        other = before is not None and before.hash not in ("", ABSENT, PRESENT, state.hash)
        path = name if place is None else os.path.join(place.root, name)
        written = name in received.wrote or path in received.wrote_outside
        if (other or not state.hash) and name != EVERYTHING and not written and not _is_source(name, sources):
            return name
    return ""


def _is_source(name: str, sources: frozenset[str]) -> bool:
    return any(path == name or path.endswith(f"/{name}") for path in sources)


def with_inputs(project: Project, question: Question) -> tuple[Question, tuple[str, ...]]:
    """Tell from what earlier runs read whether they are still of what is there now.

    Returns:
        the question, its runs told apart from earlier ones where something is different; and what is, in words.
    """
    reasons: dict[str, None] = {}
    inputs: dict[Arm, str] = {}
    for arm in question.plan.arms:
        different: dict[str, str] = {}
        for _ in range(MOST_STATES):
            plan = replace(question.plan, inputs={arm: content_id(different)} if different else {})
            found = _different(
                known_inputs(project, plan, arm), _place(project, plan, arm), plan.target_of(arm).sources
            )
            new = {name: now for name, (now, _) in found.items() if name not in different}
            if not new:
                break
            different |= new
            reasons |= dict.fromkeys(words for name, (_, words) in found.items() if name in new)
        if different:
            inputs[arm] = content_id(different)
    return (replace(question, inputs=inputs) if inputs else question), tuple(reasons)


def _place(project: Project, plan: Plan, arm: Arm) -> Place:
    return plan.target_of(arm).task.place or place_of(Path.cwd(), project.home)


def _different(known: Known, place: Place, sources: frozenset[str]) -> dict[str, tuple[str, str]]:
    """Return what is not what it was: what it is now, and the difference in words, by name.

    Args:
        known: what runs read.
        place: the folder that they see.
        sources: files that the key's hash of the code covers already, comments left out.
    """
    different = _different_files(known, place, sources)
    for name, value in known.variables.items():
        value_now = shown_variable(name, os.environ.get(name))
        if value_now != value:
            different[f"${name}"] = (repr(value_now), f"{name} {_variable_words(name, value, value_now)}")
    return different


def _different_files(known: Known, place: Place, sources: frozenset[str]) -> dict[str, tuple[str, str]]:
    """Return which files are not what they were; one that an arm's state of the code lacks is not there."""
    different: dict[str, tuple[str, str]] = {}
    hidden = place.hidden()
    for name, state in known.files.items():
        if name in hidden:
            if state.hash != ABSENT:
                different[name] = (ABSENT, f"{name} is not in that state of the code")
            continue
        path = place.path(name)
        if name == EVERYTHING:
            if (everything := state_of_all(place).hash) != state.hash:
                different[name] = (everything, "the folder, of which a program may have read anything, changed")
        elif not state.is_now(path) and os.path.join(place.root, name) not in sources and path not in sources:
            now = FileState.of(path, hashed=state.hash not in (ABSENT, PRESENT)).hash or PRESENT
            different[name] = (now, f"{name} {_file_words(name, state, now)}")
    return different


def _file_words(name: str, state: FileState, now: str) -> str:
    if now == ABSENT:
        return "is gone"
    if state.hash == ABSENT:
        return "is there now"
    return "has other files" if name.endswith("/") else "changed"


def _variable_words(name: str, before: str | None, now: str | None) -> str:
    if is_secret_name(name) or any(value is not None and value.startswith("secret ") for value in (before, now)):
        return "changed"
    was = "was not set" if before is None else f"was {before}"
    return f"{was}, {'is not set' if now is None else f'is {now}'}"


def _files_of(recipe: Recipe) -> dict[str, FileState]:
    """Return the files that a training read before its first step; their names are seen from the working folder."""
    files = find(recipe.root, ("data", "files"))
    items = files.items if isinstance(files, Chunk) else ()
    states = {item.name: FileState(UNKNOWN, UNKNOWN, item.value) for item in items if isinstance(item, Setting)}
    return {str(Path(name).absolute()): state for name, state in states.items()}


def _path(project: Project, key: str) -> Path:
    return project.home / "inputs" / f"{key}.json"


def _read(project: Project, key: str) -> Known | None:
    try:
        body: dict[str, Any] = json.loads(_path(project, key).read_bytes())
        files = {name: FileState(**state) for name, state in body["files"].items()}
        return Known(files=files, variables=body["variables"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _write(project: Project, key: str, known: Known) -> None:
    path = _path(project, key)
    make_folder(path.parent)
    replace_file(path, json.dumps(asdict(known)), synced=False)
