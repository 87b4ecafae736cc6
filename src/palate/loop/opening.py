"""How a question opens: what is known of it, and the gut answer, before anything slow happens; light to import.

The person is asked before numpy, the catalog or torch are there: the prompt must not wait, and nothing that could
anchor an answer has been worked out yet. The warm worker starts while they think.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from palate.errors import RefusedError
from palate.forecast.answer import Said
from palate.loop.forecaster import Author
from palate.loop.fresh import with_fresh_data
from palate.loop.kitchen import Kitchen, start_pool
from palate.loop.question import Question
from palate.loop.story import Story, find_story
from palate.store.project import Project
from palate.training.pool import Pool
from palate.training.worker import INSIDE
from palate.vocabulary import TREATMENT

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
    from palate.loop.seen import evidence_of  # slow, and rarely needed here
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
