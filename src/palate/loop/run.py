"""The loop in one call: seal, cook, judge, score; for the command line and for notebooks alike."""

import contextlib
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from palate.capture.place import commit_of
from palate.forecast.answer import Said
from palate.forecast.chances import Reference
from palate.ledger import seal as ledger
from palate.ledger.ledger import Story, find_story, read_story
from palate.ledger.records import Author, Evidence, Sealed
from palate.ledger.seal import seal_verdict
from palate.loop.ask import Opening
from palate.loop.confounders import Inside, look_inside, read_arms, with_hidden
from palate.loop.evidence import evidence_of
from palate.loop.judge import Cooked, Session, look_now
from palate.loop.reference import case_words, reference_for, reference_seen
from palate.loop.report import Report, forecast_document, report_of
from palate.loop.runner import Watcher
from palate.loop.score import seal_scores
from palate.loop.when import resolve_when
from palate.question.question import Question
from palate.store.catalog import Catalog
from palate.store.project import Project
from palate.training.launch import Kitchen

Informer = Callable[[Question, Inside], None]
"""Told, before anything is sealed, of what was seen of the two arms; raises to stop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What is shown after the gut answer, for one revision.

    Attributes:
        gut: what was said.
        reference: the one to beat.
        cases: the nearest past cases, a line each.
    """

    gut: Sealed
    reference: Reference
    cases: tuple[str, ...]


Reviser = Callable[[Question, Shown], Said | None]
"""Shows the reference and asks for a revision; None keeps the gut answer."""


def keep(_: Question, __: Shown) -> None:
    """Keep the gut answer."""


def run_question(
    project: Project,
    opened: Opening,
    *,
    kitchen: Kitchen,
    watcher: Watcher,
    declared: tuple[str, ...] = (),
    inform: Informer = lambda *_: None,
    revise: Reviser = keep,
    run: bool = True,
) -> Report:
    """Seal what was said, run until settled, judge and score.

    Args:
        project: where it is kept.
        opened: the question with its gut answer.
        kitchen: what runs are carried out with.
        watcher: told of progress.
        declared: chunks or paths that are meant to change besides the changes themselves.
        inform: told of what differs between the arms.
        revise: asked for the one revision, where a person was asked for the gut answer.
        run: False to seal the question and what was said, and run nothing.

    Raises:
        ConfoundedError: the arms differ in more than was declared, and that was refused.
        OutcomeSeenError: a forecast is given, but its outcome can be seen.
        RunsFailedError: the training did not deliver.
    """
    started_s = time.monotonic()
    question = _look_inside(project, opened, kitchen, declared, inform)
    for one in _seal(project, question, opened, revise):
        watcher.sealed(one)
    session = Session(project, question, kitchen, watcher)
    with opened.pool or contextlib.nullcontext():
        cooked = session.settle(opened.pool) if run else session.look()
    close_question(project, question, cooked)
    elapsed_s = time.monotonic() - started_s
    told = report_of(project, question, cooked, elapsed_s, author=opened.author.name, changed=opened.changed)
    return told if run else replace(told, asked_only=True)


def _look_inside(
    project: Project, opened: Opening, kitchen: Kitchen, declared: tuple[str, ...], inform: Informer
) -> Question:
    """Read what really differs between the arms, tell of it, and put what confounds them into the question."""
    question = opened.question
    recipes = read_arms(project, question, kitchen, opened.pool)
    inside = look_inside(question, recipes, declared)
    told = with_hidden(question, inside.difference, recipes)
    story = find_story(project.chain, question.experiment)
    if story is not None and read_evidence(project, question).ended:
        told = replace(told, confounders=story.question.confounders)  # what is declared after the outcome is nothing
    inform(told, inside)
    return told


def read_evidence(project: Project, question: Question) -> Evidence:
    """Read what of the treatment exists at this moment."""
    with Catalog.open(project) as catalog:
        return evidence_of(project, catalog, question)


def _seal(project: Project, question: Question, opened: Opening, revise: Reviser) -> list[Sealed]:
    """Seal the question with the reference of its moment, then what was said; give the forecasts sealed now."""
    chain, author = project.chain, opened.author
    commit = commit_of(project.home.parent)
    visible = read_evidence(project, question).ended
    if opened.said is not None and find_story(chain, question.experiment) is None:
        ledger.refuse_seen(question.experiment, visible)  # before the question is sealed: a refusal leaves no trace
    reference = reference_for(chain, question)
    ledger.seal_question(
        chain, question, now=datetime.now(UTC), reference=reference, commit=commit, visible=visible > 0
    )
    mine = read_story(chain, question.experiment).of(author.name)
    if opened.said is None:
        if mine is None and not visible:
            ledger.seal_skip(chain, question, author=author, now=datetime.now(UTC))
        return []
    if mine is not None and mine.said == opened.said:
        return []
    return forecast_question(project, question, opened.said, author=author, revise=revise if opened.asked else keep)


def forecast_question(
    project: Project, question: Question, said: Said, *, author: Author, revise: Reviser = keep
) -> list[Sealed]:
    """Seal a gut answer against the reference of its moment, then the one revision, where one is made.

    What exists of the treatment is read right before each seal: runs may have gone on while the person thought.

    Raises:
        OutcomeSeenError: the outcome is visible, or theirs is sealed already.
        RefusedError: the question is void.
    """
    with Catalog.open(project) as catalog:
        evidence = evidence_of(project, catalog, question)
        reference = reference_seen(project.chain, catalog, question, evidence)
    gut = ledger.seal_forecast(
        project.chain,
        question,
        said,
        author=author,
        evidence=evidence,
        reference=reference,
        nonce=secrets.token_hex(16),
        now=datetime.now(UTC),
        commit=commit_of(project.home.parent),
    )
    cases = tuple(case_words(project.chain, reference.nearest))
    second = revise(question, Shown(gut=gut, reference=reference, cases=cases))
    if second is None or second == said:
        return [gut]
    return [gut, revise_forecast(project, question, second, author=author)]


def revise_forecast(project: Project, question: Question, said: Said, *, author: Author) -> Sealed:
    """Seal the one revision of a forecast.

    Raises:
        RefusedError: there is nothing to revise, or it was revised already.
        OutcomeSeenError: the outcome is visible.
    """
    evidence, nonce = read_evidence(project, question), secrets.token_hex(16)
    return ledger.seal_revision(
        project.chain, question, said, author=author, evidence=evidence, nonce=nonce, now=datetime.now(UTC)
    )


def judge_now(project: Project, experiment: str, author: str) -> Report:
    """Judge an experiment by the runs that are there, running none; seal verdict and scores where they are due.

    Args:
        project: where it is kept.
        experiment: its id, or the start of it.
        author: who asks; others' forecasts stay hidden until theirs is sealed.

    Raises:
        NotFoundError: there is no such experiment.
    """
    question = read_story(project.chain, experiment).question
    cooked = look_now(project, question)
    close_question(project, question, cooked)
    return report_of(project, question, cooked, 0.0, author=author)


def close_question(project: Project, question: Question, cooked: Cooked) -> None:
    """Seal verdict and scores, each once, where no more runs will be made; score the when-forecasts that are due."""
    chain, now = project.chain, datetime.now(UTC)
    if cooked.done:
        seal_verdict(chain, question, cooked.verdict, _runs_of(cooked), now=now)
        story = read_story(chain, question.experiment)
        seal_scores(chain, story, cooked, now=now)
    if chain.records("when"):
        with Catalog.open(project) as catalog:
            catalog.refresh()
            resolve_when(project, catalog, now=now)


def _runs_of(cooked: Cooked) -> dict[str, list[str]]:
    return {arm: [by_seed[seed].id for seed in sorted(by_seed)] for arm, by_seed in cooked.results.items()}


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
