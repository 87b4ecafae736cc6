"""Seal questions, forecasts, revisions, skips, voids and verdicts; light to import.

What is refused is refused while the chain is locked: of two processes that seal at once, one sees the other's record.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from palate.errors import InputError, OutcomeSeenError, RefusedError
from palate.forecast.answer import Said, said_typed
from palate.forecast.chances import Reference
from palate.ledger.ledger import Ledger, SealedExperiment
from palate.ledger.records import (
    Author,
    Evidence,
    SealedArms,
    SealedForecast,
    SealedQuestion,
    SealedSkip,
    SealedVerdict,
    SealedVoid,
)
from palate.question.question import Question
from palate.store.chain import Chain
from palate.vocabulary import Arm

if TYPE_CHECKING:
    from palate.verdict.rule import Verdict


def seal_question(
    chain: Chain,
    question: Question,
    *,
    now: datetime,
    reference: Reference | None = None,
    commit: str | None = None,
    visible: bool = False,
    trusted: bool = True,
) -> None:
    """Seal a question, once, with the reference forecast of that moment, and the commit of its code.

    `visible` says that its outcome could be seen already: then nobody can forecast it, and it is in nobody's coverage.
    `trusted` says that it was asked here; one that came from elsewhere is marked.
    """
    sealed = SealedQuestion(question=question, reference=reference, commit=commit, visible=visible, trusted=trusted)

    def is_asked() -> bool:
        return Ledger.of(chain).find(question.experiment) is not None

    chain.append_unless(SealedQuestion.KIND, sealed.body(), is_asked, now=now)


def seal_arms(chain: Chain, question: Question, *, now: datetime) -> None:
    """Seal what was read of a question's arms after it was sealed, once; nothing where nothing was found.

    What was sealed with the question stands, and nothing is added once its outcome is there.
    """

    def is_known() -> bool:
        sealed = Ledger.of(chain).read(question.experiment)
        known = sealed.question
        return sealed.judged or bool(known.confounders or known.chunks)

    if question.confounders or question.chunks:
        arms = SealedArms(experiment=question.experiment, confounders=question.confounders, chunks=question.chunks)
        chain.append_unless(SealedArms.KIND, arms.body(), is_known, now=now)


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
) -> SealedForecast:
    """Seal a first answer before its outcome.

    Args:
        chain: the sealed chain.
        question: what is forecast; sealed before.
        said: the answer.
        author: who forecasts.
        evidence: what exists of the treatment at this moment.
        reference: the reference forecast of this moment.
        nonce: random text, so that nobody can guess the answer from the record's hash.
        now: when.
        commit: of the code.

    Raises:
        OutcomeSeenError: the outcome is visible, or this author's forecast is sealed already.
        RefusedError: the question is void.
    """

    def refuse() -> None:
        experiment = Ledger.of(chain).read(question.experiment)
        refuse_closed(experiment, evidence)
        if experiment.of(author.name) is not None or author.name in experiment.promised("forecast"):
            raise _double(experiment, author, said)

    forecast = _forecast(question, said, author, evidence, reference, nonce)
    return _append(chain, replace(forecast, commit=commit), refuse, now)


def seal_revision(
    chain: Chain, question: Question, said: Said, *, author: Author, evidence: Evidence, nonce: str, now: datetime
) -> SealedForecast:
    """Seal the one revision of a first answer; both are kept and scored apart.

    Raises:
        RefusedError: there is no first answer, or it was revised already.
        OutcomeSeenError: the outcome is visible.
    """
    first = Ledger.of(chain).read(question.experiment).of(author.name)
    if first is None:
        raise RefusedError(
            f"{author.name} has no forecast of {question.experiment} to revise.",
            todo=f"palate forecast {question.experiment} {said_typed(said)}",
        )

    def refuse() -> None:
        experiment = Ledger.of(chain).read(question.experiment)
        refuse_closed(experiment, evidence)
        if experiment.of(author.name, "revision") is not None:
            raise RefusedError(
                f"{author.name} revised the forecast of {question.experiment} already.",
                why="There is one revision: after that, an answer says more of patience than of judgement.",
                todo=f"See both:  palate forecast {question.experiment}",
            )

    revision = _forecast(question, said, author, evidence, first.reference, nonce)
    return _append(chain, replace(revision, turn="revision", revises=first.hash), refuse, now)


def seal_skip(chain: Chain, experiment: str, *, author: Author, now: datetime) -> bool:
    """Seal that somebody made no forecast, so that skipping the hard ones shows; return whether it was sealed now.

    Where they have a forecast, or skipped before, there is nothing to seal.
    """

    def has_decided() -> bool:
        sealed = Ledger.of(chain).read(experiment)
        return author.name in sealed.skipped or sealed.of(author.name) is not None

    skip = SealedSkip(experiment=experiment, author=author)
    return chain.append_unless(SealedSkip.KIND, skip.body(), has_decided, now=now) is not None


def seal_void(
    chain: Chain, experiment: SealedExperiment, reason: str, *, author: Author, evidence: Evidence, now: datetime
) -> None:
    """Void a question: its forecasts count for nobody; the reason, and how much was seen by then, stay.

    Raises:
        InputError: no reason is given.
        RefusedError: it is void already.
    """
    name = experiment.id
    if not reason.strip():
        raise InputError(
            f"{name} is not voided: no reason is given.",
            why="A question that vanishes without a reason is how one keeps only the forecasts that came true.",
            todo=f'palate forecast {name} --void "the data were mislabelled"',
        )

    def refuse() -> None:
        void = Ledger.of(chain).read(name).void
        if void is not None:
            raise RefusedError(
                f"{name} is void already, by {void.author}: {void.reason}",
                why="What is void stays void, with its first reason.",
                todo=f"palate show {name}",
            )

    seen = bool(evidence.points or evidence.samples or evidence.ended) or experiment.judged
    reason = " ".join(reason.split())
    void = SealedVoid(experiment=name, reason=reason, author=author.name, evidence=evidence, seen=seen)
    chain.append_unless(SealedVoid.KIND, void.body(), refuse, now=now)


def seal_verdict(
    chain: Chain, question: Question, verdict: "Verdict", runs: Mapping[Arm, list[str]], *, now: datetime
) -> None:
    """Seal a verdict with the runs that it rests on, once; the first one stands."""

    def is_judged() -> bool:
        return Ledger.of(chain).read(question.experiment).judged

    sealed = SealedVerdict(experiment=question.experiment, verdict=verdict, runs=runs, as_logged=question.as_logged)
    chain.append_unless(SealedVerdict.KIND, sealed.body(), is_judged, now=now)


def refuse_closed(experiment: SealedExperiment, evidence: Evidence) -> None:
    """Refuse a forecast of what is void, or of what can be seen.

    Raises:
        RefusedError: the question is void.
        OutcomeSeenError: runs of the treatment have ended, or the verdict is sealed.
    """
    if experiment.void is not None:
        raise RefusedError(
            f"experiment {experiment.id} is void: {experiment.void.reason}",
            why="Its forecasts count for nobody.",
            todo="Ask a new question: palate run ...",
        )
    refuse_seen(experiment.id, evidence.ended, judged=experiment.judged)


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


def _double(experiment: SealedExperiment, author: Author, said: Said) -> OutcomeSeenError:
    return OutcomeSeenError(
        f"experiment {experiment.id} has a sealed forecast of {author.name} already.",
        why="A sealed forecast is not changed; it is scored as it stands.",
        todo=(
            f"See it:            palate forecast {experiment.id}",
            f"Revise it, once:   palate forecast {experiment.id} --revise={said}",
        ),
    )


def _append(chain: Chain, forecast: SealedForecast, refuse: Callable[[], None], now: datetime) -> SealedForecast:
    record = chain.append_unless(forecast.turn, forecast.body(), refuse, now=now)
    assert record is not None
    return replace(forecast, hash=record.hash, number=record.number, at=record.at)


def _forecast(
    question: Question, said: Said, author: Author, evidence: Evidence, reference: Reference, nonce: str
) -> SealedForecast:
    return SealedForecast(
        experiment=question.experiment,
        said=said,
        author=author,
        evidence=evidence,
        reference=reference,
        margin=question.margin,
        seeds=(question.plan.seeds.start, question.plan.seeds.stop),
        nonce=nonce,
    )
