"""Forecasts of questions that are sealed already: by whoever asks next, person or agent, and their one revision."""

from datetime import UTC, datetime
from typing import Any

from palate.capture.place import commit_of
from palate.forecast.answer import Said
from palate.loop import ledger
from palate.loop.ledger import Author, Sealed, Story
from palate.loop.references import case_words
from palate.loop.report import forecast_document
from palate.loop.run import Reviser, Shown, keep, revise_said, seal_said
from palate.loop.seen import evidence_of
from palate.loop.skill import Standing, standings
from palate.loop.when import resolve_when
from palate.store.catalog import Catalog
from palate.store.project import Project


def forecast_question(
    project: Project, experiment: str, said: Said, *, author: Author, revise: Reviser = keep
) -> list[Sealed]:
    """Seal what somebody says of a question, and their revision where they make one.

    Args:
        project: where it is kept.
        experiment: its id, or the start of it.
        said: the gut answer.
        author: whose.
        revise: shown the reference and the nearest cases; may revise once.

    Raises:
        NotFoundError: there is no such experiment.
        OutcomeSeenError: the outcome is visible, or theirs is sealed already.
    """
    story = ledger.read_story(project.chain, experiment)
    with Catalog.open(project) as catalog:
        evidence = evidence_of(project, catalog, story.question)
        commit = commit_of(project.home.parent)
        gut = seal_said(project, catalog, story, said, author=author, evidence=evidence, commit=commit)
    cases = tuple(case_words(project.chain, gut.reference.nearest))
    second = revise(story.question, Shown(gut=gut, reference=gut.reference, cases=cases))
    if second is None or second == said:
        return [gut]
    return [gut, revise_question(project, story.question.experiment, second, author=author)]


def revise_question(project: Project, experiment: str, said: Said, *, author: Author) -> Sealed:
    """Seal somebody's one revision of their forecast.

    Raises:
        RefusedError: there is nothing to revise, or it was revised already.
        OutcomeSeenError: the outcome is visible.
    """
    story = ledger.read_story(project.chain, experiment)
    with Catalog.open(project) as catalog:
        evidence = evidence_of(project, catalog, story.question)
    return revise_said(project, story, said, author=author, evidence=evidence)


def void_question(project: Project, experiment: str, reason: str, *, author: Author) -> Story:
    """Void a question with a reason.

    Raises:
        InputError: no reason is given.
        RefusedError: it is void already.
    """
    story = ledger.read_story(project.chain, experiment)
    with Catalog.open(project) as catalog:
        ended = evidence_of(project, catalog, story.question).ended
    ledger.seal_void(project.chain, story, reason, author=author, ended=ended, now=datetime.now(UTC))
    return ledger.read_story(project.chain, experiment)


def skill_now(project: Project) -> list[Standing]:
    """Read everybody's standing, when-forecasts whose runs have ended scored first."""
    if project.chain.records("when"):
        with Catalog.open(project) as catalog:
            catalog.refresh()
            resolve_when(project, catalog, now=datetime.now(UTC))
    return standings(project.chain)


def story_document(story: Story, author: str) -> dict[str, Any]:
    """Give what may be seen of a question's forecasts as plain JSON data, schema `palate.forecast/1`."""
    mine, second = story.of(author), story.of(author, "revision")
    visible = story.visible(author)
    return {
        "schema": "palate.forecast/1",
        "experiment": story.question.experiment,
        "question": story.question.text,
        "forecast": forecast_document(mine) if mine else None,
        "revision": forecast_document(second) if second else None,
        "forecasts": [forecast_document(one) for one in visible],
        "hidden": len(story.forecasts) - len(visible) + len(story.committed),
        "skipped": list(story.skipped),
        "void": story.void["reason"] if story.void else None,
    }
