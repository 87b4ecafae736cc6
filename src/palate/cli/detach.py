"""Go on in a process of its own: what is started without a terminal, and how it is known that it goes."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from palate.cli.common import put_out
from palate.errors import RefusedError, RunsFailedError
from palate.loop.ask import Opening, Person
from palate.loop.attended import Attended, ending_kept, limited
from palate.loop.sittings import OUTPUT, SITTING, Held, Job, Sitting, argv_kept, newest_of, sit
from palate.loop.stopping import again
from palate.question.question import Question
from palate.redaction import known_secrets
from palate.store.private import open_file
from palate.store.project import Project
from palate.training.launch import Resources
from palate.training.limits import hours_words
from palate.training.outcome import tail_of

START_S = 60.0
"""Seconds that a process may take until it has its sitting: it imports palate, and no training."""

LOOK_S = 0.02


def job_of(question: Question, argv: list[str], *, hours: float | None, detached: bool) -> Job:
    """Return what a sitting is about.

    Args:
        question: what is asked.
        argv: what was typed behind `palate`.
        hours: that runs are started for at most.
        detached: whether it goes without a terminal.
    """
    settings = [dict(given) for given in question.plan.settings.values()]
    known = known_secrets(os.environ, question.target.settings, *settings, {"": list(question.target.argv)})
    return Job(
        experiment=question.experiment,
        text=question.text,
        argv=argv_kept(argv, known),
        folder=str(Path.cwd()),
        detached=detached,
        hours=hours,
        budget=question.budget,
        metric=question.metric.name,
    )


@contextmanager
def sitting_of(
    project: Project, opened: Opening, person: Person, *, held: Held | None, job: Job
) -> Iterator[tuple[Opening, Person, Held]]:
    """Sit beside a question that is open while its runs are made. See `sitting_beside`.

    Yields:
        the question with the sitting's limits, a person who keeps what happens, and the sitting.
    """
    question = opened.question
    seat = sitting_beside(project, question, opened.resources, person, held=held, job=job, changed=opened.changed)
    with seat as (resources, attended, mine):
        yield replace(opened, resources=resources), attended, mine


@contextmanager
def sitting_beside(
    project: Project,
    question: Question | None,
    resources: Resources,
    person: Person,
    *,
    held: Held | None,
    job: Job,
    changed: tuple[str, ...] = (),
) -> Iterator[tuple[Resources, Person, Held]]:
    """Sit beside a question while its runs are made: in the sitting that was handed over, else in one of its own.

    Args:
        project: where it is kept.
        question: what is asked; None where no question is judged.
        resources: what runs are carried out with.
        person: who asks.
        held: the sitting that this process was started for.
        job: what one of its own is about.
        changed: what is different since earlier runs, in words.

    Yields:
        the resources with the sitting's limits, a person who keeps what happens, and the sitting.

    Raises:
        RefusedError: the question is another one than that which was handed over.
    """
    project.make()
    seat = held or sit(project.home, job) or Held(None, -1, job)
    with ending_kept(seat):
        if held is not None:
            _refuse_another(held, job, changed)
        limits = limited(resources, seat, seat.job.hours)
        yield limits, Attended(person, seat, question, resources.workers), seat


def _refuse_another(held: Held, job: Job, changed: tuple[str, ...]) -> None:
    if held.job.experiment != job.experiment:
        because = "; ".join(changed[:3]) or "its code, its data or its settings are not what they were"
        raise RefusedError(
            f"This is another question than experiment {held.job.experiment}: {because}.",
            why="Its runs would not be alike, and no forecast of the new one was asked for.",
            todo=f"Ask it as a new one:  {held.job.typed}",
        )


def going(project: Project, experiment: str) -> Sitting | None:
    """Return the sitting of an experiment that goes, if any."""
    newest = newest_of(project.home).get(experiment)
    return newest if newest is not None and newest.goes else None


def start(project: Project, job: Job, argv: list[str]) -> Sitting | None:
    """Start a process for a job, without a terminal, in a session of its own, and see that it has taken over.

    Args:
        project: where it is kept.
        job: what it is about.
        argv: what is typed behind `palate`, secrets included.

    Returns:
        its sitting; None where another process took it meanwhile.

    Raises:
        RefusedError: no sitting can be kept, so nobody could watch or stop it.
        RunsFailedError: it ended at once.
    """
    held = sit(project.home, job, alone=True)
    if held is None:
        return None
    if held.folder is None or not held.is_kept:
        raise RefusedError(
            f"{project.home} cannot be written, so nobody could watch or stop what goes on.",
            todo="Make room, or run it here: without --detach.",
        )
    try:
        process = _process(held, held.folder, argv, Path(job.folder))
        _wait_until_taken(held.folder, process)
    except RunsFailedError as error:  # else it would seem to have been broken off, and be gone on with
        held.end("failed", f"{error.what}", *error.why)
        raise
    finally:
        held.close()
    return going(project, job.experiment) or newest_of(project.home).get(job.experiment)


def _process(held: Held, folder: Path, argv: list[str], place: Path) -> "subprocess.Popen[bytes]":
    as_module = Path(sys.argv[0]).name == "__main__.py"  # else the working folder is not looked in for modules
    command = [sys.executable, *([] if as_module else ["-P"]), "-m", "palate", *argv]
    log = open_file(folder / OUTPUT, os.O_WRONLY | os.O_APPEND | os.O_TRUNC)
    try:
        return subprocess.Popen(
            command,
            cwd=place,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(held.descriptor,),
            env={**os.environ, SITTING: f"{held.descriptor}:{folder}"},
            start_new_session=True,
        )
    finally:
        os.close(log)


def _wait_until_taken(folder: Path, process: "subprocess.Popen[bytes]") -> None:
    until_s = time.monotonic() + START_S
    while time.monotonic() < until_s:
        seen = next((one for one in newest_of(folder.parents[1]).values() if one.folder == folder), None)
        if seen is not None and seen.job.pid == process.pid:
            process.returncode = 0  # it is nobody's child any more: no word of it when this process ends
            return
        if process.poll() is not None:
            break
        time.sleep(LOOK_S)
    process.kill()
    process.wait()
    raise RunsFailedError(
        "The process that was to go on has ended at once.",
        why=[f"| {line}" for line in tail_of(folder / OUTPUT)],
        todo="Run it here to see more: without --detach.",
    )


def say_going(project: Project, experiment: str, *, as_json: bool) -> bool:
    """Say that an experiment goes already and how to watch it; return whether it does."""
    known = going(project, experiment)
    if known is not None:
        put_out(started_document(project, known, already=True), started_lines(known, already=True), as_json=as_json)
    return known is not None


def detach(project: Project, job: Job, argv: list[str], *, as_json: bool) -> None:
    """Go on in a process of its own, and say how to watch and stop it; where it goes already, say that.

    Args:
        project: where it is kept.
        job: what it is about.
        argv: what was typed behind `palate`.
        as_json: print one document.
    """
    if say_going(project, job.experiment, as_json=as_json):
        return
    project.make()
    started = start(project, job, argv)
    if started is None:  # somebody was faster
        say_going(project, job.experiment, as_json=as_json)
        return
    document, lines = started_document(project, started, already=False), started_lines(started, already=False)
    put_out(document, lines, as_json=as_json)


def await_opened(sitting: Sitting) -> Sitting:
    """Wait until a process has opened its question and makes its runs; return its sitting.

    Raises:
        RunsFailedError: it ended before, with what it said.
    """
    until_s = time.monotonic() + START_S
    while not (seen := again(sitting)).state.opened and seen.goes and time.monotonic() < until_s:
        time.sleep(LOOK_S)
    ending = seen.state.ending
    if not seen.goes and (ending is None or ending.how == "failed"):
        words = list(ending.words) if ending is not None else tail_of(seen.folder / OUTPUT)
        raise RunsFailedError(f"{seen.name} does not go on.", why=words, todo=f"Type it again:  {seen.job.typed}")
    return seen


def started_document(project: Project, sitting: Sitting, *, already: bool) -> dict[str, Any]:
    """Return what was started as plain JSON data, schema `palate.detach/1`."""
    name = sitting.name
    return {
        "schema": "palate.detach/1",
        "already": already,
        **sitting.document(),
        "project": str(project.home),
        "next": [f"palate watch {name}", f"palate stop {name}", f"palate show {name}"],
    }


def started_lines(sitting: Sitting, *, already: bool) -> list[str]:
    """Return what was started as lines for people."""
    job, name = sitting.job, sitting.name
    where = "" if job.here else f" on {job.host}"
    if not sitting.goes:
        return [f"{name} has ended already.", f"What it did:  palate watch {name}"]
    limit = "" if job.hours is None else f", {hours_words(job.hours)} at most"
    first = (
        f"{name} goes already: process {job.pid}{where}." if already else f"{name} goes on in process {job.pid}{limit}."
    )
    out = [f"What it prints: {sitting.folder / OUTPUT}"] if job.detached else []
    return [first, f"Watch it:  palate watch {name}", f"Stop it:   palate stop {name}", *out]
