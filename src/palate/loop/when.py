"""When-forecasts on runs: in which tenth something happens, sealed before it does, scored when the run ends."""

import secrets
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from palate.errors import InputError, NotFoundError, OutcomeSeenError
from palate.forecast.when import NEVER, Event, FloatArray, When, possible, score_when, strip_rate, tenth_of
from palate.ledger.ledger import Ledger
from palate.ledger.records import Author, Evidence, SealedWhen, SealedWhenScore, Subject
from palate.ledger.verify import SKEW_S
from palate.loop.reference import PAST_RUNS
from palate.store.catalog import Catalog
from palate.store.chain import Chain
from palate.vocabulary import TREATMENT


@dataclass(frozen=True, slots=True, kw_only=True)
class Awaited:
    """A run in which something is awaited, and how far it is.

    Attributes:
        subject: which run.
        event: what is awaited.
        total: steps that it is planned to have.
        evidence: what of it exists, earlier attempts at the same seed included.
        reference: (11,) where it happened in past runs, over the answers that are still open.
    """

    subject: Subject
    event: Event
    total: float
    evidence: Evidence
    reference: FloatArray


def await_event(catalog: Catalog, pointed: str, event: Event, total: float | None) -> Awaited:
    """Find the run that a person points at, and what can be said of it already.

    Args:
        catalog: of the project, refreshed.
        pointed: a run that goes, or an experiment: then its treatment's first run is meant.
        event: what is awaited.
        total: steps that it is planned to have; as past runs of the training if None.

    Raises:
        NotFoundError: there is no such run or experiment.
        OutcomeSeenError: the run has ended, or what is awaited has happened.
        InputError: nobody knows how long it is.
    """
    subject = _find(catalog, pointed)
    past = _past(catalog, event, subject.label)
    planned = total or (statistics.median(float(steps[-1]) for steps, _ in past) if past else None)
    if not planned:
        raise _unknown_length(pointed, event)
    steps, place, points = _seen(catalog, subject, event)
    if event.reach is not None and place is not None:
        raise OutcomeSeenError(
            f"{event.words} already, at step {steps[place]:g}.",
            why="A forecast that comes after results are visible cannot be scored.",
            todo="Ask for a value that it has not reached:  --reach",
        )
    best = None if place is None else tenth_of(float(steps[place]), planned)
    share = min(float(steps[-1]) / planned, 1.0) if len(steps) else None
    open_ = possible(event, seen=share or 0.0, best=best)
    happened = [NEVER if at is None else tenth_of(float(run_steps[at]), planned) for run_steps, at in past]
    return Awaited(
        subject=subject,
        event=event,
        total=float(planned),
        evidence=Evidence(points=points, share=share),
        reference=strip_rate([_answer(tenth, open_, best) for tenth in happened], open_),
    )


def seal_when(chain: Chain, awaited: Awaited, when: When, *, author: Author, now: datetime) -> SealedWhen:
    """Seal a when-forecast; one for each person, run, metric and event.

    Raises:
        OutcomeSeenError: this person has one already.
        ForecastTextError: the answer is not open any more.
    """
    score_when(when, awaited.reference, when.tenth)  # refuses what is past
    forecast = SealedWhen(
        subject=awaited.subject,
        event=awaited.event,
        total=awaited.total,
        when=when,
        author=author,
        evidence=awaited.evidence,
        reference=awaited.reference.tolist(),
        nonce=secrets.token_hex(16),
    )

    def refuse() -> None:
        if any(known.about == forecast.about for known in Ledger.of(chain).whens()):
            raise OutcomeSeenError(
                f"{author.name} has a sealed forecast of when {awaited.event.words} already.",
                why="A sealed forecast is not changed; it is scored as it stands.",
                todo="palate skill",
            )

    record = chain.append_unless(SealedWhen.KIND, forecast.body(), refuse, now=now)
    assert record is not None
    return SealedWhen.read(record)


def resolve_when(ledger: Ledger, catalog: Catalog, *, now: datetime) -> int:
    """Score the when-forecasts whose runs have ended; return how many were scored now."""
    done = {score.forecast for score in ledger.when_scores()}
    waiting = [sealed for sealed in ledger.whens() if sealed.hash not in done]
    return sum(_resolve(ledger.chain, catalog, sealed, now) for sealed in waiting)


def _resolve(chain: Chain, catalog: Catalog, sealed: SealedWhen, now: datetime) -> bool:
    run, event = _ended(catalog, sealed), sealed.event
    steps, values = _curve(catalog, run, event.metric)
    place = event.place(values)
    if not run or (place is None and event.reach is None):
        return False
    happened = NEVER if place is None else tenth_of(float(steps[place]), sealed.total)
    score = SealedWhenScore(
        forecast=sealed.hash,
        run=run,
        runs=f"{run} {event.metric}",
        author=sealed.author,
        kind=sealed.evidence.kind,
        happened=happened,
        score=score_when(sealed.when, np.array(sealed.reference), happened),
    )

    def is_scored() -> bool:
        return any(known.forecast == sealed.hash for known in Ledger.of(chain).when_scores())

    return chain.append_unless(SealedWhenScore.KIND, score.body(), is_scored, now=now) is not None


def _ended(catalog: Catalog, sealed: SealedWhen) -> str:
    """Find the run that a forecast is about, once it has ended by itself; "" before that.

    Where it had not begun, it is the first one of its key and seed that began after the seal and logged something.
    """
    subject, sealed_s = sealed.subject, sealed.at.timestamp()
    for run in catalog.runs([subject.key]) if subject.key else [catalog.find_run(subject.run)]:
        later = run.seed == subject.seed and run.started_unix_s >= sealed_s - SKEW_S and bool(subject.key)
        if (run.id == subject.run or later) and run.ended and catalog.summaries([run.id]):
            return run.id
    return ""


def _find(catalog: Catalog, pointed: str) -> Subject:
    ledger = Ledger.of(catalog.project.chain)
    try:
        experiment = ledger.find(pointed) or ledger.read(pointed)
    except NotFoundError:
        return _of_run(catalog, pointed)
    question = experiment.question
    key, seed = question.plan.keys[TREATMENT], question.plan.seeds.start
    begun = [run for run in catalog.runs([key]) if run.seed == seed]
    if any(run.ended for run in begun) or experiment.judged:
        raise _is_over(f"experiment {experiment.id}: the treatment's first run has ended.", experiment.id)
    going = [run.id for run in begun if run.going]
    return Subject(
        run=going[-1] if going else "", key=key, seed=seed, label=question.target.label, experiment=experiment.id
    )


def _of_run(catalog: Catalog, pointed: str) -> Subject:
    run = catalog.find_run(pointed)
    twins = [twin for twin in catalog.runs([run.key]) if twin.seed == run.seed] if run.planned else [run]
    over = [twin.id for twin in twins if twin.ended]
    if over or not run.going:
        raise _is_over(f"{run.id} has ended, or was run before.", (over or [run.id])[0])
    return Subject(run=run.id, key=run.key, seed=run.seed, label=run.label)


def _is_over(what: str, name: str) -> OutcomeSeenError:
    return OutcomeSeenError(
        what,
        why="A forecast that comes after results are visible cannot be scored.",
        todo=f"See it:  palate show {name}",
    )


def _unknown_length(pointed: str, event: Event) -> InputError:
    return InputError(
        f"{pointed}: how many steps will it have?",
        why=f"No finished run of the same training that logged {event.metric} tells, so nobody knows what a tenth is.",
        todo="Say it: --steps 2000",
    )


def _seen(catalog: Catalog, subject: Subject, event: Event) -> tuple[FloatArray, int | None, int]:
    """Return what exists of a run: its furthest steps, where the event is in them, and how many points of any metric.

    Earlier attempts at the same seed that were stopped count: the next one will go as they did.
    """
    attempts = catalog.runs([subject.key]) if subject.key else [catalog.find_run(subject.run)]
    runs = [run.id for run in attempts if run.seed == subject.seed]
    summaries = catalog.summaries(runs)
    curves = [_curve(catalog, run, event.metric) for run in runs]
    steps, values = max(curves, key=lambda curve: len(curve[0]), default=(np.empty(0), np.empty(0)))
    place = event.place(values) if len(values) else None
    last = max((summary.last_step for summary in summaries), default=0)
    if len(summaries) and (not len(steps) or last > steps[-1]):
        steps = np.append(steps, float(last))
    return steps, place, sum(summary.n for summary in summaries)


def _past(catalog: Catalog, event: Event, label: str) -> list[tuple[FloatArray, int | None]]:
    """Return, of finished runs of a training, their steps and where in them it happened."""
    past = []
    for run in catalog.newest_finished(label, PAST_RUNS):
        steps, values = _curve(catalog, run.id, event.metric)
        if len(steps) > 1 and steps[-1] > 0:
            past.append((steps, event.place(values)))
    return past


def _answer(tenth: int, open_: Sequence[bool], best: int | None) -> int:
    """Read a past run's answer as one to a run that is part seen: what came earlier there would be the best so far."""
    return tenth if open_[tenth] or best is None else best


def _curve(catalog: Catalog, run: str, metric: str) -> tuple[FloatArray, FloatArray]:
    try:
        curve = catalog.curve(run, metric).by_step()
    except NotFoundError:
        return np.empty(0), np.empty(0)
    return curve.steps.astype(float), curve.values
