"""What a question changes without saying so: both arms read at their first optimizer step, before anything is run."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from palate.capture.documents import SUFFIXES, read_file
from palate.errors import ConfoundedError, PalateError, SettingError
from palate.loop.ask import ArmsRead, Opening
from palate.question.question import Question
from palate.question.target import Target, Task
from palate.recipe.diff import diff
from palate.recipe.difference import Changed, Difference, difference_lines, explain, merged_words
from palate.recipe.lexicon import ROLES
from palate.recipe.recipe import Recipe
from palate.recipe.roles import by_role
from palate.recipe.settings import Change, nearest
from palate.recipe.tree import Chunk, Note, chunk_id, leaves, path_text
from palate.store.project import Project
from palate.store.recipes import Recipes
from palate.training.dry import capture_arms
from palate.training.launch import Engines
from palate.vocabulary import BASELINE, TREATMENT

AGAIN = "again"
"""The baseline's second reading."""

WITHIN_S = 30.0
"""Seconds that reading both arms may take before the question goes on without."""


def read_arms(project: Project, question: Question, opened: Opening) -> Mapping[str, Recipe]:
    """Return the recipes of both arms: kept ones, else by a dry run; fewer where that takes too long or fails.

    A training that fails before its first step will fail in its runs too, and is judged there.
    """
    if question.target.fork is not None:  # both arms leave the same capsule: nothing else can differ
        return {}
    recipes, keys = Recipes(project.home), question.plan.keys
    known = {arm: recipe for arm, key in keys.items() if (recipe := recipes.known(key)) is not None}
    missing = {arm: changes for arm, changes in question.plan.arms.items() if arm not in known}
    if BASELINE in missing:
        missing[AGAIN] = ()
    if not missing or not question.target.learns or (not opened.engines.started and known):
        return known
    try:
        read = _read_missing(project, question, opened.engines, missing)
    except PalateError:
        return known
    again = read.pop(AGAIN, None)
    if BASELINE in read and again is not None:
        read[BASELINE] = _with_unsteady(read[BASELINE], again)
    for arm, recipe in read.items():
        recipes.keep(keys[arm], recipe)
    return {**known, **read}


def _read_missing(
    project: Project, question: Question, engines: Engines, missing: Mapping[str, Sequence[Change]]
) -> dict[str, Recipe]:
    """Read arms by dry runs, those of one state of the code at once."""
    read: dict[str, Recipe] = {}
    by_task: dict[Task, tuple[Target, dict[str, Sequence[Change]]]] = {}
    for arm, changes in missing.items():
        target = question.plan.target_of(arm)
        by_task.setdefault(target.task, (target, {}))[1][arm] = changes
    for target, arms in by_task.values():
        read |= capture_arms(target, arms, engines=engines, home=project.home, within_s=WITHIN_S)
    return read


def _with_unsteady(one: Recipe, again: Recipe) -> Recipe:
    """Note what differs between two readings of the same baseline at the same seed: no change is to blame for it."""
    notes = [
        Note("unsteady", path_text(edit.path), f"{path_text(edit.path)} differs from one reading to the next")
        for edit in diff(one.root, again.root)
        if edit.comparable
    ]
    return replace(one, notes=(*one.notes, *notes))


def difference_of(question: Question, recipes: Mapping[str, Recipe], declared: Sequence[str] = ()) -> Difference:
    """Return what differs between the arms, each change with its reason.

    What differs in a configuration file that the change points to was not declared by naming the file: each of its
    settings is a change of its own.

    Args:
        question: what is asked.
        recipes: the arms' recipes, where they could be read.
        declared: further chunks or paths that are meant to change.
    """
    edited = ROLES if question.edit is not None else ()  # what an edit changes is what was declared
    names = [*(path_text(("settings", change.path)) for change in question.changes), *declared, *edited]
    if not all(_settings_in(recipe) for recipe in recipes.values()):
        names.append("settings")  # an arm that has none: all that the other one has was handed over by the change
    changes: list[Changed] = []
    unknown: list[Changed] = []
    same: dict[str, int] = {}
    unseen: list[str] = []
    if len(recipes) == len((BASELINE, TREATMENT)):
        one, other = recipes[BASELINE], recipes[TREATMENT]
        unsteady = [note.path for note in one.notes if note.kind == "unsteady"]
        arms = explain(one, other, declared=names, entailed=other, unsteady=unsteady)
        changes += arms.changes
        unknown += arms.unknown
        unseen += arms.unseen
        same = dict(arms.same)
    for change in question.changes:
        if _is_file(change):
            sides = (read_file(Path(change.before)), read_file(Path(change.after)))
            inside = explain(*sides, declared=declared)
            changes += inside.changes
            unknown += inside.unknown
            unseen += inside.unseen
            same = {role: same.get(role, 0) + inside.same.get(role, 0) for role in {**same, **inside.same}}
    if not changes:  # what was found says that there was something to read
        unseen += [f"the {arm} was not read before it runs" for arm in (BASELINE, TREATMENT) if arm not in recipes]
    return Difference(tuple(changes), same, tuple(unknown), tuple(dict.fromkeys(unseen)))


def _settings_in(recipe: Recipe) -> bool:
    return any(isinstance(item, Chunk) and item.name == "settings" for item in recipe.root.items)


def _is_file(change: Change) -> bool:
    sides = (change.before, change.after)
    return all(isinstance(side, str) and side.endswith(SUFFIXES) and Path(side).is_file() for side in sides)


def with_confounders(question: Question, difference: Difference, recipes: Mapping[str, Recipe]) -> Question:
    """Return the question with what confounds it, and with the ids of the chunks that differ between its arms."""
    words, chunks = merged_words(difference.confounders), _chunks(recipes)
    if (words, chunks) == (question.confounders, question.chunks):
        return question
    return replace(question, confounders=words, chunks=chunks)


def _chunks(recipes: Mapping[str, Recipe]) -> dict[str, tuple[str, str]]:
    """Return the chunks that differ, by name: their ids in the baseline and with the change."""
    if len(recipes) < len((BASELINE, TREATMENT)):
        return {}
    parts = [
        {role: chunk_id(chunk)[:16] for role, chunk in by_role(recipes[arm].root).items()}
        for arm in (BASELINE, TREATMENT)
    ]
    pairs = {role: (parts[0].get(role, ""), parts[1].get(role, "")) for role in ROLES}
    return {role: pair for role, pair in pairs.items() if pair[0] != pair[1]}


def compare_arms(question: Question, recipes: Mapping[str, Recipe], declared: Sequence[str]) -> ArmsRead:
    """Hold the arms' recipes against each other.

    Raises:
        SettingError: something is declared that neither arm has.
    """
    difference = difference_of(question, recipes, declared)
    _refuse_unknown(question, recipes, declared)
    changed = [change.path for change in question.changes]
    baseline = recipes.get(BASELINE)
    dead = [
        note.words
        for note in (baseline.notes if baseline is not None else ())
        if note.kind == "dead" and any(note.path == name or note.path.endswith(f".{name}") for name in changed)
    ]
    stepped = [recipe for recipe in recipes.values() if all(note.kind != "unseen" for note in recipe.notes)]
    read = len(stepped) == len((BASELINE, TREATMENT)) or question.target.fork is not None
    return ArmsRead(difference=difference, read=read, dead=tuple(dead))


def _refuse_unknown(question: Question, recipes: Mapping[str, Recipe], declared: Sequence[str]) -> None:
    trees = [recipe.root for recipe in recipes.values()]
    for change in question.changes:
        if _is_file(change):
            trees += [read_file(Path(side)).root for side in (change.before, change.after)]
    known = {path_text(path) for tree in trees for path, _ in leaves(tree)}
    for name in declared:
        if name not in ROLES and not any(f".{name}." in f".{path}." for path in known):
            raise SettingError(
                f"--declare {name}: no chunk and no setting is called that{nearest(name, [*ROLES, *known]) or '.'}",
                todo=f"A chunk ({', '.join(ROLES)}), or a setting's path or its end.",
            )


def refuse_confounded(difference: Difference, *, sealed: bool = False) -> None:
    """Refuse arms that differ in more than was declared; `sealed` says that a forecast of them is kept.

    Raises:
        ConfoundedError: they do.
    """
    if difference.confounders:
        raise ConfoundedError(
            "Not run: the arms differ in more than was declared.",
            why=difference_lines(difference),
            todo=(
                "Declare what you mean (--declare CHUNK), or make the arms equal in the rest.",
                *(["Your forecast is sealed: the same command with --declare does not ask again."] if sealed else []),
            ),
        )


def refuse_unread(question: Question) -> None:
    """Refuse arms of which nobody knows what else differs.

    Raises:
        ConfoundedError: always.
    """
    label = question.target.label
    raise ConfoundedError(
        f"Not run: {label} could not be read, so nobody knows what else differs between the arms.",
        why=f"Its arms did not both reach an optimizer step within {WITHIN_S:.0f} s, or failed before it.",
        todo=f"See why:  palate dry {question.target.file}    or leave --strict out.",
    )
