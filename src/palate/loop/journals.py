"""The journals of a plan's runs: each is begun in a folder of its own, and ended where it can be."""

import contextlib
import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from palate.errors import JournalTakenError, StoreError
from palate.question.plan import Plan
from palate.question.target import Order
from palate.store.private import make_new_folder
from palate.store.project import Project
from palate.training.launch import Ended
from palate.training.outcome import begin_run, end_run, stop_run
from palate.vocabulary import Arm

FREE_S = 2.0
"""Seconds that are waited for the journal of a run that has ended."""

LOOK_S = 0.01


def begin(project: Project, plan: Plan, arm: Arm, seed: int) -> Order:
    """Make a run's folder and journal; return its order.

    Raises:
        StoreError: they cannot be made, or the project's folder is gone.
    """
    if not project.runs.is_dir():
        raise _gone(project.home)
    name = project.run_folder(plan.run_name(arm, seed))
    plan.order(arm, seed, name.name, name)  # refused before anything is begun
    key, label, settings = plan.keys[arm], plan.target.label, plan.settings[arm]
    folder = None
    try:
        folder = _make_first_free(name)
        begin_run(folder / "journal", key=key, label=label, seed=seed, settings=settings)
    except OSError as error:
        if folder is not None:  # else there is none of this run, and another's is not touched
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise StoreError(
            f"{folder or name} cannot be written: {error.strerror}.",
            why="The run was not started; what was made before is kept.",
            todo="Make room, then type the same command again.",
        ) from error
    pattern = project.patterns.get(plan.metric.name, "")
    order = plan.order(arm, seed, folder.name, folder)
    return replace(order, metric_from=f"{plan.metric.name}={pattern}") if pattern else order


def _make_first_free(name: Path) -> Path:
    """Make the first folder that is not there; where two want the same at once, one gets the next."""
    for folder in _names(name):
        with contextlib.suppress(FileExistsError):
            make_new_folder(folder)
            break
    return folder


def attempts(project: Project, plan: Plan, arm: Arm, seed: int) -> list[str]:
    """List the runs that were begun of an arm at a seed, by whoever."""
    folders = _names(project.run_folder(plan.run_name(arm, seed)))
    return [folder.name for folder in itertools.takewhile(Path.exists, folders)]


def write_ending(project: Project, ended: Ended) -> str:
    """Write into a run's journal how it ended; return why that cannot be, "" where it was.

    Raises:
        StoreError: the project's folder is gone.
    """
    journal = project.journal(ended.id)
    if not project.runs.is_dir():
        raise _gone(project.home)
    if not journal.is_file():
        return f"{journal} was removed while it ran"
    try:
        _once_free(end_run, journal, ended, project.output(ended.id))
    except JournalTakenError:
        return f"another process has {journal} and does not let it go"
    return ""


def write_stop(project: Project, run_id: str) -> bool:
    """Write into a run's journal that it was stopped; return whether there is one.

    Raises:
        StoreError: it cannot be written.
    """
    journal = project.journal(run_id)
    there = journal.is_file()
    if there:
        _once_free(stop_run, journal)
    return there


def _once_free(write: Callable[..., None], *arguments: object) -> None:
    """Write into a journal as soon as its lock is free: a process that was just killed may still be on its way out."""
    until_s = time.monotonic() + FREE_S
    while True:
        try:
            return write(*arguments)
        except JournalTakenError:
            if time.monotonic() > until_s:
                raise
        time.sleep(LOOK_S)


def _names(folder: Path) -> Iterator[Path]:
    """Yield what a run's folder may be called: its name, then with a number behind it."""
    yield folder
    for attempt in itertools.count(2):
        yield folder.with_name(f"{folder.name}-{attempt}")


def _gone(home: Path) -> StoreError:
    return StoreError(
        f"{home} is gone: it was moved or removed while runs went.",
        why="Nothing is made anew in its place: what was sealed would look as if it had never been.",
        todo="Put it back, then type the same command again.",
    )
