"""The loop in one call: seal, cook, judge, score; for the command line and for notebooks alike."""

import contextlib
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from palate.capture.place import commit_of
from palate.forecast.answer import Said
from palate.forecast.chances import Reference
from palate.loop import ledger
from palate.loop.forecaster import BLIND, Author, Evidence
from palate.loop.hidden import Inside, look_inside, read_arms, with_hidden
from palate.loop.kitchen import Kitchen
from palate.loop.opening import Opening
from palate.loop.opposed import opposed_words
from palate.loop.question import Question
from palate.loop.references import case_words, reference_for, reference_seen
from palate.loop.report import Report, outlook_of
from palate.loop.resolve import score_of, score_sealed, seal_scores
from palate.loop.seen import evidence_of
from palate.loop.session import Cooked, Session
from palate.loop.story import Sealed, find_story, read_story
from palate.loop.stove import Watcher
from palate.loop.terms import seal_verdict
from palate.loop.when import resolve_when
from palate.store.catalog import Catalog
from palate.store.project import Project
from palate.store.shelf import Shelf

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
    told = _report(project, question, cooked, elapsed_s, author=opened.author.name, changed=opened.changed)
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
    return _report(project, question, cooked, 0.0, author=author)


def look_now(project: Project, question: Question) -> Cooked:
    """Judge the runs that are there, sealing nothing."""
    return Session(project, question, Kitchen(workers=0, threads=1), SILENT).look()


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


def _report(
    project: Project,
    question: Question,
    cooked: Cooked,
    elapsed_s: float,
    *,
    author: str,
    changed: tuple[str, ...] = (),
) -> Report:
    story = read_story(project.chain, question.experiment)
    sealed = {one.hash: score_of(story.scores[one.hash]) for one in story.forecasts if one.hash in story.scores}
    open_ = () if story.void else [one for one in story.visible(author) if one.hash not in sealed]
    early = {one.hash: score_sealed(one, story, cooked) for one in open_}
    with Catalog.open(project) as catalog:
        catalog.refresh()
        opposed = opposed_words(catalog, question, cooked.results, cooked.verdict)
    return Report(
        opposed=tuple(opposed),
        question=question,
        cooked=cooked,
        outlook=outlook_of(cooked),
        story=story,
        author=author,
        scores={**{name: found for name, found in early.items() if found is not None}, **sealed},
        final=frozenset(sealed),
        counted=_counted(project, author),
        elapsed_s=elapsed_s,
        fresh_data=changed,
        data_known=Shelf(project.home).find(question.run_key("baseline")) is not None,
    )


def _counted(project: Project, author: str) -> int:
    """Count the blind gut answers of somebody that calibration can be told from: those with a settled outcome."""
    scores = [record.body for record in project.chain.records("score")]
    return sum(
        one["author"] == author and one["turn"] == "forecast" and one["kind"] == BLIND and one["settled"] is not None
        for one in scores
    )


class _Silent:
    """A watcher that says nothing."""

    def sealed(self, *_: object) -> None: ...
    def started(self, *_: object) -> None: ...
    def tick(self, *_: object) -> None: ...
    def ended(self, *_: object) -> None: ...
    def looked(self, *_: object) -> None: ...


SILENT: Watcher = _Silent()
