"""What is sealed of an experiment: its question, its forecast, its verdict, its score."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from palate.errors import NotFoundError, OutcomeSeenError
from palate.forecast.answer import Forecast
from palate.forecast.score import Chances, Score, base_rate
from palate.loop.question import Question, question_from_body
from palate.store.chain import Chain, Record
from palate.verdict.history import Past, effect_sd, noise_of
from palate.verdict.rule import Failures, Terms, Verdict
from palate.vocabulary import Arm

OUTCOMES = {
    "better": "better",
    "worse": "worse",
    "same": "same",
    "better_small": "same",
    "worse_small": "same",
    "nothing": "same",
    "failed": "crash",
}
"""What a settled verdict means for a forecast: "too small to matter" is "same", as its margin says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """A sealed forecast: what was said, by whom, against which reference, with how much seen."""

    forecast: Forecast
    reference: Chances
    author: str
    evidence_seen: int
    hash: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """All that is sealed of one experiment."""

    question: Question
    sealed: Sealed | None
    skipped: bool
    verdict: Verdict | None
    score: Score | None


def seal_question(chain: Chain, question: Question, *, now: datetime) -> None:
    """Seal a question, once."""
    asked = {record.body["experiment"] for record in chain.records("question")}
    if question.experiment not in asked:
        chain.append("question", question.body(), now=now)


def seal_forecast(
    chain: Chain, question: Question, forecast: Forecast, *, author: str, points_seen: int, ended: int, now: datetime
) -> Sealed:
    """Seal a forecast before its outcome.

    Args:
        chain: the sealed chain.
        question: what is forecast.
        forecast: the answer.
        author: who forecasts.
        points_seen: points of the treatment's curves that exist, read from its journals.
        ended: runs of the treatment that have ended.
        now: when.

    Raises:
        OutcomeSeenError: runs of the treatment have ended, or a forecast is sealed already.
    """
    _refuse_after_outcome(chain, question, ended)
    reference = reference_now(chain)
    body = {
        "experiment": question.experiment,
        "answer": forecast.answer,
        "confidence": forecast.confidence,
        "reference": asdict(reference),
        "author": author,
        "evidence_seen": points_seen,
        "margin": question.margin,
        "budget": question.budget,
    }
    return _sealed(chain.append("forecast", body, now=now))


def _refuse_after_outcome(chain: Chain, question: Question, ended: int) -> None:
    experiment = question.experiment
    if any(record.body["experiment"] == experiment for record in chain.records("forecast")):
        raise OutcomeSeenError(
            f"experiment {experiment} has a sealed forecast already.",
            why="A sealed forecast is not changed; it is scored as it stands.",
            todo=f"See it:  palate forecast {experiment}",
        )
    if ended:
        raise OutcomeSeenError(
            f"experiment {experiment}: runs of the treatment have ended ({ended}).",
            why="A forecast that comes after results are visible cannot be scored.",
            todo=(
                "Go on without one:  --no-forecast   (not scored, marked exploratory)",
                "Or ask a new question: another change, or another value.",
            ),
        )


def seal_skip(chain: Chain, question: Question, *, author: str, now: datetime) -> None:
    """Seal that no forecast was made, so that skipping the hard ones shows."""
    if not any(record.body["experiment"] == question.experiment for record in chain.records("skip")):
        chain.append("skip", {"experiment": question.experiment, "author": author}, now=now)


def seal_verdict(
    chain: Chain, question: Question, verdict: Verdict, runs: Mapping[Arm, list[str]], *, now: datetime
) -> None:
    """Seal a verdict with the runs that it rests on."""
    chain.append("verdict", {"experiment": question.experiment, **asdict(verdict), "runs": dict(runs)}, now=now)


def seal_score(chain: Chain, question: Question, score: Score, sealed: Sealed, *, now: datetime) -> None:
    """Seal a score."""
    body = {"experiment": question.experiment, "forecast": sealed.hash, **asdict(score)}
    chain.append("score", body, now=now)


def terms_of(chain: Chain, question: Question) -> Terms:
    """Give the terms that a question is judged on: its margin and budget, and what the project knew when it was asked.

    Past comparisons count where metric, training code's name and data are the same. They are taken as they were when
    the question was sealed, so that a verdict does not change under a person's hands.
    """
    records = chain.records()
    asked = {record.body["experiment"]: record for record in records if record.kind == "question"}
    until = asked[question.experiment].number if question.experiment in asked else len(records)
    alike = {name for name, record in asked.items() if _comparable(record.body, question)}
    past = [
        _past(record.body)
        for record in records[:until]
        if record.kind == "verdict" and record.body["experiment"] in alike and record.body.get("variance")
    ]
    return Terms(budget=question.budget, margin=question.margin, noise=noise_of(past), effect_sd=effect_sd(past))


def _comparable(body: Mapping[str, Any], question: Question) -> bool:
    asked = question_from_body(body)
    return all(
        one == other
        for one, other in (
            (asked.metric.name, question.metric.name),
            (asked.take, question.take),
            (asked.data, question.data),
            (asked.target.name, question.target.name),
        )
    )


def _past(body: Mapping[str, Any]) -> Past:
    error = body["spread"] / math.sqrt(body["n"])
    return Past(variance=body["variance"], df=body["n"] - 1, effect=body["raw"], standard_error=error)


def remembered_margin(chain: Chain, metric: str) -> float | None:
    """Give the margin that this metric was last judged by in the project; None where it never had one."""
    asked = [record.body for record in chain.records("question") if record.body["metric"]["name"] == metric]
    return next((body["margin"] for body in reversed(asked) if body["margin"] is not None), None)


def reference_now(chain: Chain) -> Chances:
    """Give the reference forecast from the project's verdicts so far."""
    kinds = (OUTCOMES.get(record.body["kind"]) for record in chain.records("verdict"))
    return base_rate(Counter(kind for kind in kinds if kind))


def read_story(chain: Chain, experiment: str) -> Story:
    """Read what is sealed of an experiment.

    Args:
        chain: the sealed chain.
        experiment: its id, or the start of it; "last" for the newest.

    Raises:
        NotFoundError: there is no such experiment, or several start so.
    """
    records = chain.records()
    asked = _find(records, experiment)
    mine = [record for record in records if record.body.get("experiment") == asked.body["experiment"]]
    last = {record.kind: record for record in mine}
    return Story(
        question=question_from_body(asked.body),
        sealed=_sealed(last["forecast"]) if "forecast" in last else None,
        skipped="skip" in last,
        verdict=_verdict(last["verdict"].body) if "verdict" in last else None,
        score=_score(last["score"].body) if "score" in last else None,
    )


def _find(records: list[Record], experiment: str) -> Record:
    asked = [record for record in records if record.kind == "question"]
    if experiment == "last" and asked:
        return asked[-1]
    found = [record for record in asked if record.body["experiment"].startswith(experiment)]
    if len(found) == 1:
        return found[0]
    several = ", ".join(record.body["experiment"] for record in found[:5])
    raise NotFoundError(
        f"{experiment!r} is the start of several experiments: {several}."
        if found
        else f"no experiment {experiment!r}.",
        todo="palate list   shows them",
    )


def _sealed(record: Record) -> Sealed:
    body = record.body
    return Sealed(
        forecast=Forecast(answer=body["answer"], confidence=body["confidence"]),
        reference=Chances(**body["reference"]),
        author=body["author"],
        evidence_seen=body["evidence_seen"],
        hash=record.hash,
        at=record.at,
    )


def _verdict(body: Mapping[str, Any]) -> Verdict:
    fields = {name: body[name] for name in Verdict.__slots__}
    return Verdict(**{**fields, "failures": Failures(**body["failures"])})


def _score(body: Mapping[str, Any]) -> Score:
    return Score(bits=body["bits"], brier=body["brier"])
