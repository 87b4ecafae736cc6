"""What the project's past says of noise and effects: the terms that a question is judged on, and verdicts as sealed."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from palate.loop.question import Question, question_from_body
from palate.store.chain import Chain, Record
from palate.verdict.history import Past, effect_sd, noise_of
from palate.verdict.rule import Failures, Terms, Verdict
from palate.vocabulary import Arm


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


def seal_verdict(
    chain: Chain, question: Question, verdict: Verdict, runs: Mapping[Arm, list[str]], *, now: datetime
) -> None:
    """Seal a verdict with the runs that it rests on, once; the first one stands."""

    def known(records: Sequence[Record]) -> bool:
        return any(record.kind == "verdict" and record.body["experiment"] == question.experiment for record in records)

    body = {"experiment": question.experiment, **asdict(verdict), "runs": dict(runs)}
    chain.append_unless("verdict", body, known, now=now)


def verdict_of(body: Mapping[str, Any]) -> Verdict:
    """Read a sealed verdict."""
    fields = {name: body[name] for name in Verdict.__slots__}
    return Verdict(**{**fields, "failures": Failures(**body["failures"])})


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
