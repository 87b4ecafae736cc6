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
from palate.loop.ledger import Author, Evidence, read_story
from palate.store.catalog import Catalog
from palate.store.chain import Chain, Record
from palate.store.project import Project
from palate.vocabulary import TREATMENT

MOST = 400
"""Past runs, the newest, that the reference knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Awaited:
    """A run in which something is awaited, and how far it is.

    Attributes:
        run: its id; "" where it has not begun.
        key, seed, label: which run it is.
        event: what is awaited.
        total: steps that it is planned to have.
        evidence: what of it exists.
        best: the tenth of the best value so far; None where nothing is there.
        reference: (11,) where it happened in past runs, over the answers that are still open.
    """

    run: str
    key: str
    seed: int | None
    label: str
    event: Event
    total: float
    evidence: Evidence
    best: int | None
    reference: FloatArray


def await_event(project: Project, catalog: Catalog, subject: str, event: Event, total: float | None) -> Awaited:
    """Find the run that a person points at, and what can be said of it already.

    Args:
        project: where it is kept.
        catalog: of the project, refreshed.
        subject: a run that goes, or an experiment: then its treatment's first run is meant.
        event: what is awaited.
        total: steps that it is planned to have; as past runs of the training if None.

    Raises:
        NotFoundError: there is no such run or experiment.
        OutcomeSeenError: the run has ended, or what is awaited has happened.
        InputError: nobody knows how long it is.
    """
    run, key, seed, label = _find(project, catalog, subject)
    past = _past(catalog, event, label)
    planned = total or (statistics.median(length for length, _ in past) if past else None)
    if not planned or planned <= 0:
        raise InputError(
            f"{subject}: how many steps will it have?",
            why="No finished run of the same training tells, so nobody knows what a tenth of it is.",
            todo="Say it: --steps 2000",
        )
    steps, values = _curve(catalog, run, event.metric)
    place = event.place(values)
    if event.reach is not None and place is not None:
        raise OutcomeSeenError(f"{run}: {event.words} already, at step {steps[place]:g}.")
    best = None if place is None or event.reach is not None else tenth_of(float(steps[place]), planned)
    share = min(float(steps[-1]) / planned, 1.0) if len(steps) else None
    open_ = possible(event, seen=share or 0.0, best=best)
    return Awaited(
        run=run,
        key=key,
        seed=seed,
        label=label,
        event=event,
        total=float(planned),
        evidence=Evidence(points=len(steps), share=share),
        best=best,
        reference=strip_rate([_answer(tenth, open_, best) for _, tenth in past], open_),
    )


def seal_when(chain: Chain, awaited: Awaited, when: When, *, author: Author, now: datetime) -> Record:
    """Seal a when-forecast; one for each person, run and event.

    Raises:
        OutcomeSeenError: this person has one already.
        ForecastTextError: the answer is not open any more.
    """
    score_when(when, awaited.reference, when.tenth)  # refuses what is past
    known = {_name(record.body) for record in chain.records("when")}
    body = {
        "run": awaited.run,
        "key": awaited.key,
        "seed": awaited.seed,
        "label": awaited.label,
        "event": asdict(awaited.event),
        "total": awaited.total,
        "tenth": when.tenth,
        "confidence": when.confidence,
        "author": author.name,
        "agent": author.agent,
        "evidence_seen": awaited.evidence.points,
        "share_seen": awaited.evidence.share,
        "reference": [round(float(chance), 9) for chance in awaited.reference],
        "nonce": secrets.token_hex(16),
    }
    if _name(body) in known:
        raise OutcomeSeenError(
            f"{author.name} has a sealed forecast of when {awaited.event.words} already.",
            why="A sealed forecast is not changed; it is scored as it stands.",
            todo="palate skill",
        )
    return chain.append("when", body, now=now)


def resolve_when(project: Project, catalog: Catalog, *, now: datetime) -> int:
    """Score the when-forecasts whose runs have ended; give how many were scored now."""
    chain = project.chain
    done = {record.body["forecast"] for record in chain.records("when_score")}
    waiting = [record for record in chain.records("when") if record.hash not in done]
    return sum(_resolve(chain, catalog, record, now) for record in waiting)


def when_of(body: Mapping[str, Any]) -> When:
    """Read what was said."""
    return When(tenth=body["tenth"], confidence=body["confidence"])


def event_of(body: Mapping[str, Any]) -> Event:
    """Read what was awaited."""
    return Event(**body["event"])


def _resolve(chain: Chain, catalog: Catalog, record: Record, now: datetime) -> bool:
    body = record.body
    run = _ended(catalog, body)
    if run is None:
        return False
    event = event_of(body)
    steps, values = _curve(catalog, run, event.metric)
    place = event.place(values)
    happened = NEVER if place is None else tenth_of(float(steps[place]), body["total"])
    if place is None and event.reach is None:
        return False
    found = score_when(when_of(body), np.array(body["reference"]), happened)
    kind = Evidence(points=body["evidence_seen"], share=body["share_seen"]).kind
    told = {"forecast": record.hash, "run": run, "author": body["author"], "agent": body["agent"], "kind": kind}
    chain.append("when_score", {**told, "happened": happened, **asdict(found)}, now=now)
    return True


def _ended(catalog: Catalog, body: Mapping[str, Any]) -> str | None:
    """Find the run that a forecast is about, once it has ended by itself."""
    rows = catalog.runs([body["key"]]) if body["key"] else [catalog.find_run(body["run"])]
    mine = [row for row in rows if row["id"] == body["run"] or (body["key"] and row["seed"] == body["seed"])]
    return next((row["id"] for row in mine if row["exit"] not in (None, "stopped")), None)


def _find(project: Project, catalog: Catalog, subject: str) -> tuple[str, str, int | None, str]:
    try:
        question = read_story(project.chain, subject).question
    except NotFoundError:
        row = catalog.find_run(subject)
        if row["exit"] is not None:
            raise OutcomeSeenError(
                f"{row['id']} has ended.",
                why="A forecast that comes after results are visible cannot be scored.",
                todo=f"See it:  palate show {row['id']}",
            ) from None
        return row["id"], row["key"], row["seed"], row["label"]
    key, seed = question.run_key(TREATMENT), question.seeds.start
    begun = [row for row in catalog.runs([key]) if row["seed"] == seed]
    if any(row["exit"] not in (None, "stopped") for row in begun):
        raise OutcomeSeenError(f"experiment {subject}: the treatment's first run has ended.")
    going = [row["id"] for row in begun if row["exit"] is None]
    return (going[-1] if going else ""), key, seed, question.target.label


def _past(catalog: Catalog, event: Event, label: str) -> list[tuple[float, int]]:
    """Give, of finished runs of a training, how many steps they had and where it happened."""
    found = []
    for row in [row for row in catalog.runs() if row["label"] == label and row["exit"] == "ok"][-MOST:]:
        steps, values = _curve(catalog, row["id"], event.metric)
        if len(steps) > 1 and steps[-1] > 0:
            place = event.place(values)
            found.append((float(steps[-1]), NEVER if place is None else tenth_of(float(steps[place]), steps[-1])))
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
