"""When-forecasts on runs: in which tenth something happens, sealed before it does, scored when the run ends."""

import secrets
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import numpy as np

from palate.errors import InputError, NotFoundError, OutcomeSeenError
from palate.forecast.when import NEVER, Event, FloatArray, When, possible, score_when, strip_rate, tenth_of
from palate.ledger.ledger import find_story, read_story
from palate.ledger.records import Author, Evidence, evidence_of_body
from palate.store.catalog import Catalog
from palate.store.chain import Chain, Record
from palate.store.project import Project
from palate.vocabulary import TREATMENT

MOST = 400
"""Past runs, the newest, that the reference knows."""

SKEW_S = 2.0
"""Seconds by which clocks of machines that share a folder may differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """The run that a when-forecast is about.

    Attributes:
        run: its id; "" where it has not begun.
        key, seed: which run it is: its recipe with all that decides it, and its seed.
        label: of the training.
        experiment: whose treatment's first run it is; "" where a run was pointed at.
    """

    run: str
    key: str
    seed: int | None
    label: str
    experiment: str = ""


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


def await_event(project: Project, catalog: Catalog, pointed: str, event: Event, total: float | None) -> Awaited:
    """Find the run that a person points at, and what can be said of it already.

    Args:
        project: where it is kept.
        catalog: of the project, refreshed.
        pointed: a run that goes, or an experiment: then its treatment's first run is meant.
        event: what is awaited.
        total: steps that it is planned to have; as past runs of the training if None.

    Raises:
        NotFoundError: there is no such run or experiment.
        OutcomeSeenError: the run has ended, or what is awaited has happened.
        InputError: nobody knows how long it is.
    """
    subject = _find(project, catalog, pointed)
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
    happened = [NEVER if at is None else tenth_of(float(told[at]), planned) for told, at in past]
    return Awaited(
        subject=subject,
        event=event,
        total=float(planned),
        evidence=Evidence(points=points, share=share),
        reference=strip_rate([_answer(tenth, open_, best) for tenth in happened], open_),
    )


def seal_when(chain: Chain, awaited: Awaited, when: When, *, author: Author, now: datetime) -> Record:
    """Seal a when-forecast; one for each person, run, metric and event.

    Raises:
        OutcomeSeenError: this person has one already.
        ForecastTextError: the answer is not open any more.
    """
    score_when(when, awaited.reference, when.tenth)  # refuses what is past
    body = {
        **asdict(awaited.subject),
        "event": asdict(awaited.event),
        "total": awaited.total,
        "tenth": when.tenth,
        "confidence": when.confidence,
        "author": author.name,
        "agent": author.agent,
        **awaited.evidence.body(),
        "reference": [round(float(chance), 9) for chance in awaited.reference],
        "nonce": secrets.token_hex(16),
    }

    def refuse(records: Sequence[Record]) -> None:
        if any(record.kind == "when" and _name(record.body) == _name(body) for record in records):
            raise OutcomeSeenError(
                f"{author.name} has a sealed forecast of when {awaited.event.words} already.",
                why="A sealed forecast is not changed; it is scored as it stands.",
                todo="palate skill",
            )

    sealed = chain.append_unless("when", body, refuse, now=now)
    assert sealed is not None
    return sealed


def resolve_when(project: Project, catalog: Catalog, *, now: datetime) -> int:
    """Score the when-forecasts whose runs have ended; give how many were scored now."""
    chain = project.chain
    done = {record.body["forecast"] for record in chain.records("when_score")}
    waiting = [record for record in chain.records("when") if record.hash not in done]
    return sum(_resolve(chain, catalog, record, now) for record in waiting)


def _resolve(chain: Chain, catalog: Catalog, record: Record, now: datetime) -> bool:
    body = record.body
    run, event = _ended(catalog, record), Event(**body["event"])
    steps, values = _curve(catalog, run, event.metric)
    place = event.place(values)
    if not run or (place is None and event.reach is None):
        return False
    happened = NEVER if place is None else tenth_of(float(steps[place]), body["total"])
    when = When(tenth=body["tenth"], confidence=body["confidence"])
    found = score_when(when, np.array(body["reference"]), happened)
    told = {
        "forecast": record.hash,
        "run": run,
        "runs": f"{run} {event.metric}",
        "author": body["author"],
        "agent": body["agent"],
        "kind": evidence_of_body(body).kind,
        "happened": happened,
        **asdict(found),
    }

    def known(records: Sequence[Record]) -> bool:
        return any(one.kind == "when_score" and one.body["forecast"] == record.hash for one in records)

    return chain.append_unless("when_score", told, known, now=now) is not None


def _ended(catalog: Catalog, record: Record) -> str:
    """Find the run that a forecast is about, once it has ended by itself; "" before that.

    Where it had not begun, it is the first one of its key and seed that began after the seal and logged something.
    """
    body, sealed_s = record.body, record.at.timestamp()
    rows = catalog.runs([body["key"]]) if body["key"] else [catalog.find_run(body["run"])]
    for row in rows:
        mine = row["id"] == body["run"] or (
            row["seed"] == body["seed"] and row["started_unix_s"] >= sealed_s - SKEW_S and bool(body["key"])
        )
        if mine and row["exit"] not in (None, "stopped") and catalog.summaries([row["id"]]):
            return str(row["id"])
    return ""


def _find(project: Project, catalog: Catalog, pointed: str) -> Subject:
    story = find_story(project.chain, pointed)
    if story is None:
        try:
            story = read_story(project.chain, pointed)
        except NotFoundError:
            return _of_run(catalog, pointed)
    question = story.question
    key, seed = question.run_key(TREATMENT), question.seeds.start
    begun = [row for row in catalog.runs([key]) if row["seed"] == seed]
    if any(row["exit"] not in (None, "stopped") for row in begun) or story.verdict is not None:
        raise _is_over(f"experiment {question.experiment}: the treatment's first run has ended.", question.experiment)
    going = [row["id"] for row in begun if row["exit"] is None]
    return Subject(
        run=going[-1] if going else "", key=key, seed=seed, label=question.target.label, experiment=question.experiment
    )


def _of_run(catalog: Catalog, pointed: str) -> Subject:
    row = catalog.find_run(pointed)
    twins = [one for one in catalog.runs([row["key"]]) if one["seed"] == row["seed"]] if row["key"] else [row]
    over = [one["id"] for one in twins if one["exit"] not in (None, "stopped")]
    if over or row["exit"] is not None:
        raise _is_over(f"{row['id']} has ended, or was run before.", (over or [row["id"]])[0])
    return Subject(run=row["id"], key=row["key"], seed=row["seed"], label=row["label"])


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
    """Give what exists of a run: its furthest steps, where the event is in them, and how many points of any metric.

    Earlier attempts at the same seed that were stopped count: the next one will go as they did.
    """
    rows = catalog.runs([subject.key]) if subject.key else [catalog.find_run(subject.run)]
    runs = [row["id"] for row in rows if row["seed"] == subject.seed]
    summaries = catalog.summaries(runs)
    curves = [_curve(catalog, run, event.metric) for run in runs]
    steps, values = max(curves, key=lambda told: len(told[0]), default=(np.empty(0), np.empty(0)))
    place = event.place(values) if len(values) else None
    last = max((row["last_step"] for row in summaries), default=0)
    if len(summaries) and (not len(steps) or last > steps[-1]):
        steps = np.append(steps, float(last))
    return steps, place, sum(row["n"] for row in summaries)


def _past(catalog: Catalog, event: Event, label: str) -> list[tuple[FloatArray, int | None]]:
    """Give, of finished runs of a training, their steps and where in them it happened."""
    found = []
    for row in [row for row in catalog.runs() if row["key"] and row["label"] == label and row["exit"] == "ok"][-MOST:]:
        steps, values = _curve(catalog, row["id"], event.metric)
        if len(steps) > 1 and steps[-1] > 0:
            found.append((steps, event.place(values)))
    return found


def _answer(tenth: int, open_: Sequence[bool], best: int | None) -> int:
    """Read a past run's answer as one to a run that is part seen: what came earlier there would be the best so far."""
    return tenth if open_[tenth] or best is None else best


def _curve(catalog: Catalog, run: str, metric: str) -> tuple[FloatArray, FloatArray]:
    try:
        told = catalog.curve(run, metric)
    except NotFoundError:
        return np.empty(0), np.empty(0)
    return told.steps.astype(float), told.values


def _name(body: Mapping[str, Any]) -> tuple[Any, ...]:
    event = body["event"]
    return body["author"], body["key"] or body["run"], body["seed"], event["metric"], event["reach"]
