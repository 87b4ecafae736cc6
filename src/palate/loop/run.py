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
from palate.loop.hidden import Inside, look_inside, read_arms, with_hidden
from palate.loop.kitchen import Kitchen
from palate.loop.ledger import Author, Evidence, Sealed, Story
from palate.loop.opening import Opening
from palate.loop.opposed import opposed_words
from palate.loop.question import Question
from palate.loop.references import case_words, reference_for, reference_seen
from palate.loop.report import Report, outlook_of
from palate.loop.resolve import score_of, score_sealed, seal_scores
from palate.loop.seen import evidence_of
from palate.loop.session import Cooked, Session
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
    with Catalog.open(project) as catalog:
        evidence = evidence_of(project, catalog, opened.question)
        question = _look_inside(project, opened, evidence, kitchen, declared, inform)
        sealed = _seal(project, catalog, question, opened, evidence, revise)
    for one in sealed:
        watcher.sealed(one)
    session = Session(project, question, kitchen, watcher)
    with opened.pool or contextlib.nullcontext():
        cooked = session.settle(opened.pool) if run else session.look()
    elapsed_s = time.monotonic() - started_s
    return _report(project, question, cooked, elapsed_s, author=opened.author.name, changed=opened.changed)


def _look_inside(
    project: Project,
    opened: Opening,
    evidence: Evidence,
    kitchen: Kitchen,
    declared: tuple[str, ...],
    inform: Informer,
) -> Question:
    """Read what really differs between the arms, tell of it, and put what confounds them into the question."""
    question = opened.question
    recipes = read_arms(project, question, kitchen, opened.pool)
    inside = look_inside(question, recipes, declared)
    told = with_hidden(question, inside.difference, recipes)
    story = ledger.find_story(project.chain, question.experiment)
    if evidence.ended and story is not None:
        told = replace(told, confounders=story.question.confounders)  # what is declared after the outcome is nothing
    inform(told, inside)
    return told


def _seal(
    project: Project, catalog: Catalog, question: Question, opened: Opening, evidence: Evidence, revise: Reviser
) -> list[Sealed]:
    """Seal the question with the reference, then what was said; give the forecasts sealed now."""
    chain, author = project.chain, opened.author
    commit = commit_of(project.home.parent)
    blind = reference_for(chain, question)
    ledger.seal_question(chain, question, now=datetime.now(UTC), reference=blind, commit=commit)
    story = ledger.read_story(chain, question.experiment)
    mine = story.of(author.name)
    if opened.said is None:
        if mine is None:
            ledger.seal_skip(chain, question, author=author, now=datetime.now(UTC))
        return []
    if mine is not None and mine.said == opened.said:
        return []
    gut = seal_said(project, catalog, story, opened.said, author=author, evidence=evidence, commit=commit)
    shown = Shown(gut=gut, reference=gut.reference, cases=tuple(case_words(chain, gut.reference.nearest)))
    second = revise(question, shown) if opened.asked else None
    if second is None or second == gut.said:
        return [gut]
    return [gut, revise_said(project, story, second, author=author, evidence=evidence)]


def seal_said(
    project: Project,
    catalog: Catalog,
    story: Story,
    said: Said,
    *,
    author: Author,
    evidence: Evidence,
    commit: str | None = None,
) -> Sealed:
    """Seal a gut answer against the reference of its moment: the question's own where nothing was seen yet."""
    if evidence.kind == ledger.BLIND and story.reference is not None:
        reference = story.reference
    else:
        reference = reference_seen(project.chain, catalog, story.question, evidence)
    return ledger.seal_forecast(
        project.chain,
        story.question,
        said,
        author=author,
        evidence=evidence,
        reference=reference,
        nonce=secrets.token_hex(16),
        now=datetime.now(UTC),
        commit=commit,
    )


def revise_said(project: Project, story: Story, said: Said, *, author: Author, evidence: Evidence) -> Sealed:
    """Seal the one revision."""
    return ledger.seal_revision(
        project.chain,
        story.question,
        said,
        author=author,
        evidence=evidence,
        nonce=secrets.token_hex(16),
        now=datetime.now(UTC),
    )


def judge_now(project: Project, experiment: str, author: str) -> Report:
    """Judge an experiment by the runs that are there, running none.

    Args:
        project: where it is kept.
        experiment: its id, or the start of it.
        author: who asks; others' forecasts stay hidden until theirs is sealed.

    Raises:
        NotFoundError: there is no such experiment.
    """
    story = ledger.read_story(project.chain, experiment)
    quiet = Session(project, story.question, Kitchen(workers=0, threads=1), _Silent())
    return _report(project, story.question, quiet.look(), 0.0, author=author)


def _report(
    project: Project,
    question: Question,
    cooked: Cooked,
    elapsed_s: float,
    *,
    author: str,
    changed: tuple[str, ...] = (),
) -> Report:
    chain = project.chain
    if cooked.verdict.settled or cooked.verdict.reason == "budget":
        _seal_end(project, question, cooked)
    story = ledger.read_story(chain, question.experiment)
    sealed = {one.hash: score_of(story.scores[one.hash]) for one in story.forecasts if one.hash in story.scores}
    open_ = () if story.void else [one for one in story.visible(author) if one.hash not in sealed]
    early = {one.hash: score_sealed(one, story, cooked) for one in open_}
    with Catalog.open(project) as catalog:
        catalog.refresh()
        resolve_when(project, catalog, now=datetime.now(UTC))
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
        counted=sum(r.body["author"] == author and r.body["turn"] == "forecast" for r in chain.records("score")),
        elapsed_s=elapsed_s,
        fresh_data=changed,
        data_known=Shelf(project.home).find(question.run_key("baseline")) is not None,
    )


def _seal_end(project: Project, question: Question, cooked: Cooked) -> None:
    """Seal the verdict and the scores, each once."""
    chain, now = project.chain, datetime.now(UTC)
    story = ledger.find_story(chain, question.experiment)
    if story is None:
        return
    if story.verdict is None:
        runs = {arm: [by_seed[seed].id for seed in sorted(by_seed)] for arm, by_seed in cooked.results.items()}
        seal_verdict(chain, question, cooked.verdict, runs, now=now)
    seal_scores(chain, story, cooked, now=now)


class _Silent:
    """A watcher that says nothing."""

    def sealed(self, *_: object) -> None: ...
    def started(self, *_: object) -> None: ...
    def tick(self, *_: object) -> None: ...
    def ended(self, *_: object) -> None: ...
    def looked(self, *_: object) -> None: ...


SILENT: Watcher = _Silent()

__all__ = ["SILENT", "Reviser", "Shown", "judge_now", "revise_said", "run_question", "seal_said"]
