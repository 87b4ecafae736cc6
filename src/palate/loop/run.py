"""The loop in one call: ask, seal, cook, judge, score; for the command line and for notebooks alike."""

import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from palate.errors import RefusedError
from palate.forecast.answer import Forecast
from palate.forecast.score import Observed, Score, chances_of, score
from palate.loop import ledger
from palate.loop.evidence import collect
from palate.loop.hidden import Inside, look_inside, read_arms, with_fresh_data, with_hidden
from palate.loop.opposed import opposed_words
from palate.loop.question import Question
from palate.loop.report import Report, outlook_of
from palate.loop.session import Cooked, Session
from palate.loop.stove import Kitchen, Watcher, start_pool
from palate.store.catalog import Catalog
from palate.store.project import Project
from palate.store.shelf import Shelf
from palate.training.pool import Pool
from palate.training.worker import INSIDE

Informer = Callable[[Question, Inside], None]
"""Told, before the forecast, of what was seen of the two arms; raises to stop."""

Asker = Callable[[Question], Forecast | None]
"""Asks a person; None is a skip."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stand:
    """Where a question stands before its runs.

    Attributes:
        sealed: its forecast, where one was sealed.
        skipped: whether a forecast was skipped.
        points_seen: points of the treatment that exist.
        ended: runs of the treatment that have ended.
    """

    sealed: ledger.Sealed | None
    skipped: bool
    points_seen: int
    ended: int


def stand_of(project: Project, question: Question) -> Stand:
    """Read where a question stands: what is sealed, and what of its outcome can be seen already."""
    asked = {record.body["experiment"] for record in project.chain.records("question")}
    story = ledger.read_story(project.chain, question.experiment) if question.experiment in asked else None
    with Catalog.open(project) as catalog:
        results = collect(catalog, question)
        runs = [row["id"] for row in catalog.runs([question.run_key("treatment")])]
        points = sum(row["n"] for row in catalog.summaries(runs))
    return Stand(
        sealed=story.sealed if story else None,
        skipped=story.skipped if story else False,
        points_seen=points,
        ended=len(results["treatment"]),
    )


def run_question(
    project: Project,
    question: Question,
    *,
    kitchen: Kitchen,
    watcher: Watcher,
    author: str,
    ask: Asker,
    forecast: Forecast | None = None,
    declared: tuple[str, ...] = (),
    inform: Informer = lambda *_: None,
) -> Report:
    """Ask, seal, run until settled, judge and score.

    Args:
        project: where it is kept.
        question: what is asked.
        kitchen: what runs are carried out with.
        watcher: told of progress.
        author: who forecasts.
        ask: asks the person where no forecast is given and none is sealed; gives None for a skip.
        forecast: the forecast, given beforehand.
        declared: chunks or paths that are meant to change besides the changes themselves.
        inform: told of what differs between the arms.

    Raises:
        ConfoundedError: the arms differ in more than was declared, and that was refused.
        OutcomeSeenError: a forecast is given, but its outcome can be seen.
        RunsFailedError: the training did not deliver.
    """
    if os.environ.get(INSIDE):
        raise RefusedError(
            "palate was asked to run experiments from inside one of its own runs.",
            why="The file starts its experiment when it is imported.",
            todo='Put the call under:  if __name__ == "__main__":',
        )
    started_s = time.monotonic()
    project.make()
    question, changed = with_fresh_data(project, question)
    stand = stand_of(project, question)
    warm = _start_early(question, kitchen, stand)
    with warm or contextlib.nullcontext():
        question = _look_inside(project, question, stand, kitchen, warm, declared, inform)
        sealed = _seal(project, question, stand, author=author, ask=ask, forecast=forecast)
        if sealed is not None:
            watcher.sealed(sealed)
        cooked = Session(project, question, kitchen, watcher).settle(warm)
    return _report(project, question, cooked, time.monotonic() - started_s, changed=changed)


def _look_inside(
    project: Project,
    question: Question,
    stand: Stand,
    kitchen: Kitchen,
    warm: Pool | None,
    declared: tuple[str, ...],
    inform: Informer,
) -> Question:
    """Read what really differs between the arms, tell of it, and put what confounds them into the question."""
    recipes = read_arms(project, question, kitchen, warm)
    inside = look_inside(question, recipes, declared)
    told = with_hidden(question, inside.difference, recipes)
    if stand.ended and (known := _sealed_confounders(project, question)) is not None:
        told = replace(told, confounders=known)  # what is declared after the outcome declares nothing
    inform(told, inside)
    return told


def _sealed_confounders(project: Project, question: Question) -> tuple[str, ...] | None:
    asked = project.chain.records("question")
    body = next((r.body for r in asked if r.body["experiment"] == question.experiment), None)
    return None if body is None else tuple(body.get("confounders", ()))


def _start_early(question: Question, kitchen: Kitchen, stand: Stand) -> Pool | None:
    """Import torch while the person thinks; not where all runs may be there already."""
    return start_pool(question, kitchen) if stand.ended == 0 else None


def _seal(
    project: Project, question: Question, stand: Stand, *, author: str, ask: Asker, forecast: Forecast | None
) -> ledger.Sealed | None:
    """Seal the question, and the forecast where one is made; give the one sealed now."""
    given = forecast
    if given is None and stand.sealed is None and not stand.skipped and not stand.ended:
        given = ask(question)
    now = datetime.now(UTC)
    ledger.seal_question(project.chain, question, now=now)
    if given is not None and not (stand.sealed and stand.sealed.forecast == given):
        return ledger.seal_forecast(
            project.chain,
            question,
            given,
            author=author,
            points_seen=stand.points_seen,
            ended=stand.ended,
            now=now,
        )
    if given is None and stand.sealed is None:
        ledger.seal_skip(project.chain, question, author=author, now=now)
    return None


def _report(
    project: Project, question: Question, cooked: Cooked, elapsed_s: float, *, changed: tuple[str, ...] = ()
) -> Report:
    story = ledger.read_story(project.chain, question.experiment)
    done = cooked.verdict.settled or cooked.verdict.reason == "budget"
    now = datetime.now(UTC)
    if done and story.verdict is None:
        runs = {arm: [by_seed[seed].id for seed in sorted(by_seed)] for arm, by_seed in cooked.results.items()}
        ledger.seal_verdict(project.chain, question, cooked.verdict, runs, now=now)
    scored = story.score
    if done and scored is None and story.sealed is not None:
        scored = score_sealed(story.sealed, cooked)
        if scored is not None:
            ledger.seal_score(project.chain, question, scored, story.sealed, now=now)
    with Catalog.open(project) as catalog:
        catalog.refresh()
        opposed = opposed_words(catalog, question, cooked.results, cooked.verdict)
    return Report(
        opposed=tuple(opposed),
        question=question,
        cooked=cooked,
        outlook=outlook_of(cooked),
        sealed=story.sealed,
        score=scored,
        forecasts=len(project.chain.records("score")),
        elapsed_s=elapsed_s,
        fresh_data=changed,
        data_known=Shelf(project.home).find(question.run_key("baseline")) is not None,
    )


def score_sealed(sealed: ledger.Sealed, cooked: Cooked) -> Score | None:
    """Score a sealed forecast against what the runs gave; None where they gave nothing to score by."""
    verdict = cooked.verdict
    settled = ledger.OUTCOMES.get(verdict.kind)
    chances = chances_of(sealed.forecast, sealed.reference)
    if verdict.kind == "failed":
        seen = Observed(difference=None, standard_error=0.0, margin=1.0, seed_sd=1.0, settled="crash")
        return score(chances, sealed.reference, seen)
    if verdict.kind == "nothing":
        seen = Observed(difference=0.0, standard_error=1e-3, margin=1.0, seed_sd=1.0, settled="same")
        return score(chances, sealed.reference, seen)
    error, margin, seed_sd = verdict.standard_error, verdict.margin, verdict.seed_sd
    if verdict.raw is None or not error or not margin or not seed_sd:
        return None
    seen = Observed(difference=verdict.raw, standard_error=error, margin=margin, seed_sd=seed_sd, settled=settled)
    return score(chances, sealed.reference, seen)


def judge_now(project: Project, experiment: str) -> Report:
    """Judge an experiment by the runs that are there, running none.

    Raises:
        NotFoundError: there is no such experiment.
    """
    story = ledger.read_story(project.chain, experiment)
    quiet = Session(project, story.question, Kitchen(workers=0, threads=1), _Silent())
    return _report(project, story.question, quiet.look(), 0.0)


class _Silent:
    """A watcher that says nothing."""

    def sealed(self, *_: object) -> None: ...
    def started(self, *_: object) -> None: ...
    def tick(self, *_: object) -> None: ...
    def ended(self, *_: object) -> None: ...
    def looked(self, *_: object) -> None: ...


SILENT: Watcher = _Silent()

__all__ = ["SILENT", "Asker", "Stand", "judge_now", "run_question", "score_sealed", "stand_of"]
