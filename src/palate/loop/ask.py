"""From what a person declares to a report: preferences read, target found, question built, loop run."""

import getpass
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from palate.errors import RefusedError
from palate.forecast.answer import Said
from palate.ledger.ledger import Story, find_story
from palate.ledger.records import Author
from palate.loop.confounders import with_fresh_data
from palate.question.fingerprint import data_of
from palate.question.question import Question, build_question
from palate.question.target import Target
from palate.store.config import Origin
from palate.store.project import Project
from palate.training.launch import Kitchen, start_pool
from palate.training.local import Pool, count_cores, share_out
from palate.training.worker import INSIDE
from palate.vocabulary import TREATMENT

Config = Mapping[str, Origin]


def kitchen_of(
    config: Config, *, workers: int | None = None, threads: int | None = None, timeout_s: float | None = None
) -> Kitchen:
    """Set up what runs are carried out with: flags first, then preferences, then the machine's cores."""
    shared = share_out(count_cores(), workers or config["workers"].value, threads or config["threads"].value)
    return Kitchen(workers=shared[0], threads=shared[1], timeout_s=timeout_s or config["timeout_s"].value)


def author_of(config: Config, name: str | None = None, agent: bool | None = None) -> Author:
    """Name who forecasts: as given, else as configured, else the login name; and whether it is an agent."""
    is_agent = bool(config["agent"].value) if agent is None else agent
    return Author(name=name or str(config["author"].value or _login_name()), agent=is_agent)


def _login_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container's user without a name
        return f"user {os.getuid()}"


def question_of(target: Target, changes: Mapping[str, Any], *, data: tuple[str, ...] = (), **options: Any) -> Question:
    """Build the question for a target, its data fingerprinted. See `build_question` for the options."""
    return build_question(target, changes, data=data_of((*target.data, *data), Path.cwd()), **options)


Ask = Callable[[Question], Said | None]
"""Asks a person for the gut answer; None is a skip."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """A question that is about to be run.

    Attributes:
        question: as it is asked of the data that are there now.
        author: who forecasts.
        said: the gut answer that was given now; None where one is sealed already, or none is made.
        asked: whether a person was asked for it just now, and so can be asked for a revision.
        changed: files that changed since earlier runs, which are therefore not used again.
        pool: a worker that is warming up; None where all runs may be there already.
    """

    question: Question
    author: Author
    said: Said | None
    asked: bool
    changed: tuple[str, ...] = ()
    pool: Pool | None = None


@contextmanager
def opening(
    project: Project, question: Question, *, author: Author, ask: Ask, kitchen: Kitchen, said: Said | None = None
) -> Iterator[Opening]:
    """Open a question: look at what is sealed, warm the worker, ask for the gut answer where one is missing.

    Args:
        project: where it is kept.
        question: what is asked.
        author: who forecasts.
        ask: asks the person; only called where they have no forecast, did not skip, and no outcome can be seen.
        kitchen: what runs are carried out with.
        said: the forecast, given beforehand.

    Raises:
        RefusedError: it is called from inside one of palate's own runs, or the question is void.
    """
    _refuse_inside()
    project.make()
    question, changed = with_fresh_data(project, question)
    story = find_story(project.chain, question.experiment)
    _refuse_void(story)
    touched = treatment_is_touched(project, question)
    pool = None if touched else start_pool(question.target, kitchen)
    try:
        wanted = said is None and _is_missing(story, author) and not (touched and _has_ended(project, question))
        told = ask(question) if wanted else said
        yield Opening(
            question=question, author=author, said=told, asked=wanted and told is not None, changed=changed, pool=pool
        )
    finally:
        if pool is not None:
            pool.close()


def treatment_is_touched(project: Project, question: Question) -> bool:
    """Whether any run with the treatment's key was ever begun, told by the names of the runs' folders alone."""
    key = question.run_key(TREATMENT)[:6]
    with os.scandir(project.runs) as entries:
        return any(f"-{key}-s" in entry.name for entry in entries)


def _has_ended(project: Project, question: Question) -> bool:
    from palate.loop.evidence import evidence_of  # slow, and rarely needed here
    from palate.store.catalog import Catalog

    with Catalog.open(project) as catalog:
        return evidence_of(project, catalog, question).ended > 0


def _is_missing(story: Story | None, author: Author) -> bool:
    return story is None or (
        story.of(author.name) is None and author.name not in story.skipped and story.verdict is None
    )


def _refuse_inside() -> None:
    if os.environ.get(INSIDE):
        raise RefusedError(
            "palate was asked to run experiments from inside one of its own runs.",
            why="The file starts its experiment when it is imported.",
            todo='Put the call under:  if __name__ == "__main__":',
        )


def _refuse_void(story: Story | None) -> None:
    if story is not None and story.void is not None:
        raise RefusedError(
            f"experiment {story.question.experiment} is void: {story.void['reason']}",
            why="What was voided is not run again as the same question.",
            todo="Mend what was wrong (other code or data, other question), or ask with another margin or budget.",
        )
