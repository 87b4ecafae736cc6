"""Seal questions, forecasts, revisions, skips and voids; light to import.

What is refused is refused while the chain is locked: of two processes that seal at once, one sees the other's record.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from palate.errors import InputError, OutcomeSeenError, RefusedError
from palate.forecast.answer import Said, said_body, said_typed
from palate.forecast.chances import Reference
from palate.ledger.ledger import Story, is_asked, story_of
from palate.ledger.records import Author, Evidence, Sealed, Turn, sealed_of
from palate.question.question import Question
from palate.store.chain import Chain, Record
from palate.verdict.rule import Verdict
from palate.vocabulary import Arm


def seal_question(
    chain: Chain,
    question: Question,
    *,
    now: datetime,
    reference: Reference | None = None,
    commit: str | None = None,
    visible: bool = False,
) -> None:
    """Seal a question, once, with the reference forecast of that moment, and the commit of its code.

    `visible` says that its outcome could be seen already: then nobody can forecast it, and it is in nobody's coverage.
    """
    told = {"reference": reference.body() if reference else None, "commit": commit, "visible": visible}

    def known(records: Sequence[Record]) -> bool:
        return is_asked(records, question.experiment)

    chain.append_unless("question", {**question.body(), **told}, known, now=now)


def seal_forecast(
    chain: Chain,
    question: Question,
    said: Said,
    *,
    author: Author,
    evidence: Evidence,
    reference: Reference,
    nonce: str,
    now: datetime,
    commit: str | None = None,
) -> Sealed:
    """Seal a gut answer before its outcome.

    Args:
        chain: the sealed chain.
        question: what is forecast; sealed before.
        said: the answer.
        author: who forecasts.
        evidence: what exists of the treatment at this moment.
        reference: the one to beat, of this moment.
        nonce: random text, so that nobody can guess the answer from the record's hash.
        now: when.
        commit: of the code.

    Raises:
        OutcomeSeenError: the outcome is visible, or this author's forecast is sealed already.
        RefusedError: the question is void.
    """

    def refuse(records: Sequence[Record]) -> None:
        story = story_of(records, question.experiment)
        refuse_closed(story, evidence)
        if story.of(author.name) is not None or author.name in story.promised("forecast"):
            raise _double(story, author, said)

    body = _forecast_body(question, said, author, evidence, reference) | {"nonce": nonce, "commit": commit}
    return _append(chain, "forecast", body, refuse, now)


def seal_revision(
    chain: Chain, question: Question, said: Said, *, author: Author, evidence: Evidence, nonce: str, now: datetime
) -> Sealed:
    """Seal the one revision of a gut answer; both are kept and scored apart.

    Raises:
        RefusedError: there is no gut answer, or it was revised already.
        OutcomeSeenError: the outcome is visible.
    """
    gut = story_of(chain.records(), question.experiment).of(author.name)
    if gut is None:
        raise RefusedError(
            f"{author.name} has no forecast of {question.experiment} to revise.",
            todo=f"palate forecast {question.experiment} {said_typed(said)}",
        )

    def refuse(records: Sequence[Record]) -> None:
        story = story_of(records, question.experiment)
        refuse_closed(story, evidence)
        if story.of(author.name, "revision") is not None:
            raise RefusedError(
                f"{author.name} revised the forecast of {question.experiment} already.",
                why="There is one revision: after that, an answer says more of patience than of judgement.",
                todo=f"See both:  palate forecast {question.experiment}",
            )

    body = _forecast_body(question, said, author, evidence, gut.reference) | {"revises": gut.hash, "nonce": nonce}
    return _append(chain, "revision", body, refuse, now)


def seal_skip(chain: Chain, question: Question, *, author: Author, now: datetime) -> bool:
    """Seal that somebody made no forecast, so that skipping the hard ones shows; give whether it was sealed now.

    Where they have a forecast, or skipped before, there is nothing to seal.
    """

    def known(records: Sequence[Record]) -> bool:
        story = story_of(records, question.experiment)
        return author.name in story.skipped or story.of(author.name) is not None

    body = {"experiment": question.experiment, "author": author.name, "agent": author.agent}
    return chain.append_unless("skip", body, known, now=now) is not None


def seal_void(chain: Chain, story: Story, reason: str, *, author: Author, evidence: Evidence, now: datetime) -> None:
    """Void a question: its forecasts count for nobody; the reason, and how much was seen by then, stay.

    Raises:
        InputError: no reason is given.
        RefusedError: it is void already.
    """
    name = story.question.experiment
    if not reason.strip():
        raise InputError(
            f"{name} is not voided: no reason is given.",
            why="A question that vanishes without a reason is how one keeps only the forecasts that came true.",
            todo=f'palate forecast {name} --void "the data were mislabelled"',
        )

    def refuse(records: Sequence[Record]) -> None:
        void = story_of(records, name).void
        if void is not None:
            raise RefusedError(
                f"{name} is void already, by {void['author']}: {void['reason']}",
                why="What is void stays void, with its first reason.",
                todo=f"palate show {name}",
            )

    body = {"experiment": name, "reason": " ".join(reason.split()), "author": author.name, **evidence.body()}
    seen = bool(evidence.points or evidence.samples or evidence.ended) or story.verdict is not None
    chain.append_unless("void", {**body, "seen": seen}, refuse, now=now)


def refuse_closed(story: Story, evidence: Evidence) -> None:
    """Refuse a forecast of what is void, or of what can be seen.

    Raises:
        RefusedError: the question is void.
        OutcomeSeenError: runs of the treatment have ended, or the verdict is sealed.
    """
    experiment = story.question.experiment
    if story.void is not None:
        raise RefusedError(
            f"experiment {experiment} is void: {story.void['reason']}",
            why="Its forecasts count for nobody.",
            todo="Ask a new question: palate run ...",
        )
    refuse_seen(experiment, evidence.ended, judged=story.verdict is not None)


def refuse_seen(experiment: str, ended: int, *, judged: bool = False) -> None:
    """Refuse a forecast whose outcome can be seen.

    Args:
        experiment: of which.
        ended: runs of the treatment that have ended.
        judged: whether the verdict is sealed.

    Raises:
        OutcomeSeenError: any has ended, or the verdict is sealed.
    """
    if ended or judged:
        seen = f"runs of the treatment have ended ({ended})" if ended else "its verdict is sealed"
        raise OutcomeSeenError(
            f"experiment {experiment}: {seen}.",
            why="A forecast that comes after results are visible cannot be scored.",
            todo=(
                "Go on without one:  palate run ... --no-forecast   (not scored, marked exploratory)",
                "Or ask a new question: another change, or another value.",
            ),
        )


def _double(story: Story, author: Author, said: Said) -> OutcomeSeenError:
    name = story.question.experiment
    return OutcomeSeenError(
        f"experiment {name} has a sealed forecast of {author.name} already.",
        why="A sealed forecast is not changed; it is scored as it stands.",
        todo=(
            f"See it:            palate forecast {name}",
            f"Revise it, once:   palate forecast {name} --revise={said}",
        ),
    )


def _append(chain: Chain, turn: Turn, body: dict[str, Any], refuse: Any, now: datetime) -> Sealed:
    record = chain.append_unless(turn, body, refuse, now=now)
    assert record is not None
    return sealed_of(record)


def _forecast_body(
    question: Question, said: Said, author: Author, evidence: Evidence, reference: Reference
) -> dict[str, Any]:
    return {
        "experiment": question.experiment,
        **said_body(said),
        "author": author.name,
        "agent": author.agent,
        **evidence.body(),
        "reference": reference.body(),
        "margin": question.margin,
        "seeds": [question.seeds.start, question.seeds.stop],
    }


def seal_verdict(
    chain: Chain, question: Question, verdict: Verdict, runs: Mapping[Arm, list[str]], *, now: datetime
) -> None:
    """Seal a verdict with the runs that it rests on, once; the first one stands."""

    def known(records: Sequence[Record]) -> bool:
        return any(record.kind == "verdict" and record.body["experiment"] == question.experiment for record in records)

    body = {"experiment": question.experiment, **asdict(verdict), "runs": dict(runs)}
    chain.append_unless("verdict", body, known, now=now)
