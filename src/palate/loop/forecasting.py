"""Questions that are sealed already: forecast by whoever asks next, void, and how everybody does so far."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from palate.loop import ledger
from palate.loop.forecaster import Author
from palate.loop.judge import look_now
from palate.loop.report import forecast_document
from palate.loop.resolve import score_body, score_sealed
from palate.loop.run import read_evidence
from palate.loop.session import Cooked
from palate.loop.skill import Standing, standings
from palate.loop.story import Story, read_story
from palate.loop.when import resolve_when
from palate.store.catalog import Catalog
from palate.store.project import Project
from palate.vocabulary import TREATMENT


def void_question(project: Project, experiment: str, reason: str, *, author: Author) -> None:
    """Void a question with a reason.

    Raises:
        InputError: no reason is given.
        RefusedError: it is void already.
    """
    story = read_story(project.chain, experiment)
    evidence = read_evidence(project, story.question)
    ledger.seal_void(project.chain, story, reason, author=author, evidence=evidence, now=datetime.now(UTC))


def skip_question(project: Project, experiment: str, *, author: Author) -> bool:
    """Seal that somebody makes no forecast; give whether it was sealed now.

    Raises:
        OutcomeSeenError: the outcome is visible: then not forecasting is no choice any more.
        RefusedError: the question is void.
    """
    story = read_story(project.chain, experiment)
    ledger.refuse_closed(story, read_evidence(project, story.question))
    return ledger.seal_skip(project.chain, story.question, author=author, now=datetime.now(UTC))


def skill_now(project: Project) -> list[Standing]:
    """Read everybody's standing, as it is with all that is known by now.

    When-forecasts whose runs have ended are scored first. Questions of which pairs were seen but that were never
    settled count by the pairs that there are: leaving off where it starts badly must not pay.
    """
    with Catalog.open(project) as catalog:
        catalog.refresh()
        if project.chain.records("when"):
            resolve_when(project, catalog, now=datetime.now(UTC))
    begun = list(_begun(project))
    scores = [body for story, cooked in begun for body in _open_scores(story, cooked)]
    return standings(project.chain, scores, frozenset(story.question.experiment for story, _ in begun))


def _begun(project: Project) -> Iterator[tuple[Story, Cooked]]:
    """Give the forecast questions without a verdict of which runs of the treatment have ended, judged as they stand."""
    chain = project.chain
    closed = {r.body["experiment"] for kind in ("verdict", "void") for r in chain.records(kind)}
    forecast = dict.fromkeys(record.body["experiment"] for record in chain.records("forecast"))
    for name in forecast:
        if name not in closed:
            story = read_story(chain, name)
            cooked = look_now(project, story.question)
            if cooked.results[TREATMENT]:
                yield story, cooked


def _open_scores(story: Story, cooked: Cooked) -> Iterator[Mapping[str, Any]]:
    """Score the forecasts of a question without a verdict by the pairs that have ended."""
    for sealed in story.forecasts if cooked.verdict.n else ():
        found = score_sealed(sealed, story, cooked)
        if found is not None:
            yield score_body(sealed, story, found, cooked)


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
