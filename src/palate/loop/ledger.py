"""What is sealed of an experiment: its question, its forecasts, its verdict, its scores; light to import."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from palate.errors import InputError, NotFoundError, OutcomeSeenError, RefusedError
from palate.forecast.answer import Said, said_body, said_of
from palate.forecast.chances import Reference, reference_of_body
from palate.loop.question import Question, question_from_body
from palate.store.chain import Chain, Record

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

BLIND = "blind"
SHARES = (10, 25, 50, 75, 90, 100)
"""Classes of forecasts made after some of the treatment was seen, in percent of its budget."""

Turn = Literal["forecast", "revision"]
"""The gut answer, and the one revision after the reference was shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Author:
    """Who forecasts: a name, and whether it is an agent's."""

    name: str
    agent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What of the treatment existed when somebody forecast, read from its journals.

    Attributes:
        points: metric points.
        samples: samples (images, texts) that were kept.
        share: of its budget that was run; None where nobody knows how long it is.
        ended: runs that ended: then the outcome is visible.
    """

    points: int = 0
    samples: int = 0
    share: float | None = None
    ended: int = 0

    @property
    def kind(self) -> str:
        """The class of a forecast made with it: "blind", or "10 %" and so on, never mixed with each other."""
        if not self.points and not self.samples:
            return BLIND
        share = 100.0 if self.share is None else 100 * self.share
        return f"{next((one for one in SHARES if share <= one), SHARES[-1])} %"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """A sealed forecast.

    Attributes:
        said: what was said.
        reference: the one to beat, as it was sealed with it.
        author: by whom.
        evidence: with how much seen.
        turn: the gut answer, or its revision.
        hash, number, at: of its record.
        mate: whether a team mate sealed it elsewhere.
    """

    said: Said
    reference: Reference
    author: Author
    evidence: Evidence
    turn: Turn
    hash: str
    number: int
    at: datetime
    mate: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """All that is sealed of one experiment.

    Attributes:
        question: what is asked.
        reference: the one to beat, sealed with the question; None in records of before there was one.
        forecasts: everybody's, oldest first, gut answers and revisions.
        skipped: who skipped.
        committed: by hash, team mates' forecasts that are promised but not opened yet: their records.
        verdict: the verdict's record, where it is settled or its budget is spent.
        scores: by the hash of the forecast, its score's record.
        void: why it does not count, and since when.
        asked: the question's record.
    """

    question: Question
    reference: Reference | None
    forecasts: tuple[Sealed, ...]
    skipped: tuple[str, ...]
    committed: Mapping[str, Mapping[str, Any]]
    verdict: Mapping[str, Any] | None
    scores: Mapping[str, Mapping[str, Any]]
    void: Mapping[str, Any] | None
    asked: Record

    def of(self, author: str, turn: Turn = "forecast") -> Sealed | None:
        """Give somebody's gut answer, or their revision."""
        return next((one for one in self.forecasts if one.author.name == author and one.turn == turn), None)

    def visible(self, author: str) -> tuple[Sealed, ...]:
        """Give the forecasts that somebody may see: all once their own is sealed or the outcome is there, else none."""
        if self.verdict is not None or self.of(author) is not None:
            return self.forecasts
        return ()


def seal_question(
    chain: Chain, question: Question, *, now: datetime, reference: Reference | None = None, commit: str | None = None
) -> None:
    """Seal a question, once, with the reference forecast and the commit of its code."""
    if not is_asked(chain, question.experiment):
        told = {"reference": reference.body() if reference else None, "commit": commit}
        chain.append("question", {**question.body(), **told}, now=now)


def is_asked(chain: Chain, experiment: str) -> bool:
    """Whether an experiment's question is sealed."""
    return any(record.body["experiment"] == experiment for record in chain.records("question"))


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
        evidence: what exists of the treatment.
        reference: the one to beat.
        nonce: random text, so that nobody can guess the answer from the record's hash.
        now: when.
        commit: of the code.

    Raises:
        OutcomeSeenError: the outcome is visible, or this author's forecast is sealed already.
    """
    story = read_story(chain, question.experiment)
    _refuse_closed(story, evidence)
    if story.of(author.name) is not None:
        raise OutcomeSeenError(
            f"experiment {question.experiment} has a sealed forecast of {author.name} already.",
            why="A sealed forecast is not changed; it is scored as it stands.",
            todo=(
                f"See it:            palate forecast {question.experiment}",
                f"Revise it, once:   palate forecast {question.experiment} --revise {said}",
            ),
        )
    body = _forecast_body(story, said, author, evidence, reference) | {"nonce": nonce, "commit": commit}
    return _sealed(chain.append("forecast", body, now=now))


def seal_revision(
    chain: Chain, question: Question, said: Said, *, author: Author, evidence: Evidence, nonce: str, now: datetime
) -> Sealed:
    """Seal the one revision of a gut answer; both are kept and scored apart.

    Raises:
        RefusedError: there is no gut answer, or it was revised already.
        OutcomeSeenError: the outcome is visible.
    """
    story = read_story(chain, question.experiment)
    _refuse_closed(story, evidence)
    gut = story.of(author.name)
    if gut is None:
        raise RefusedError(
            f"{author.name} has no forecast of {question.experiment} to revise.",
            todo=f"palate forecast {question.experiment} {said}",
        )
    if story.of(author.name, "revision") is not None:
        raise RefusedError(
            f"{author.name} revised the forecast of {question.experiment} already.",
            why="There is one revision: after that, an answer says more of patience than of judgement.",
            todo=f"See both:  palate forecast {question.experiment}",
        )
    body = _forecast_body(story, said, author, evidence, gut.reference) | {"revises": gut.hash, "nonce": nonce}
    return _sealed(chain.append("revision", body, now=now))


def seal_skip(chain: Chain, question: Question, *, author: Author, now: datetime) -> None:
    """Seal that somebody made no forecast, so that skipping the hard ones shows."""
    if author.name not in read_story(chain, question.experiment).skipped:
        body = {"experiment": question.experiment, "author": author.name, "agent": author.agent}
        chain.append("skip", body, now=now)


def seal_void(chain: Chain, story: Story, reason: str, *, author: Author, ended: int, now: datetime) -> None:
    """Void a question: its forecasts count for nobody; the reason, and whether the outcome was visible, stay.

    Raises:
        InputError: no reason is given.
        RefusedError: it is void already.
    """
    if not reason.strip():
        raise InputError(
            f"{story.question.experiment} is not voided: no reason is given.",
            why="A question that vanishes without a reason is how one keeps only the forecasts that came true.",
            todo=f'palate forecast {story.question.experiment} --void "the data were mislabelled"',
        )
    if story.void is not None:
        raise RefusedError(f"{story.question.experiment} is void already: {story.void['reason']}")
    seen = bool(ended) or story.verdict is not None
    body = {"experiment": story.question.experiment, "reason": reason.strip(), "author": author.name}
    chain.append("void", {**body, "outcome_seen": seen}, now=now)


def _refuse_closed(story: Story, evidence: Evidence) -> None:
    experiment = story.question.experiment
    if story.void is not None:
        raise RefusedError(f"experiment {experiment} is void: {story.void['reason']}")
    if evidence.ended or story.verdict is not None:
        raise OutcomeSeenError(
            f"experiment {experiment}: runs of the treatment have ended ({evidence.ended}).",
            why="A forecast that comes after results are visible cannot be scored.",
            todo=(
                "Go on without one:  --no-forecast   (not scored, marked exploratory)",
                "Or ask a new question: another change, or another value.",
            ),
        )


def _forecast_body(
    story: Story, said: Said, author: Author, evidence: Evidence, reference: Reference
) -> dict[str, Any]:
    return {
        "experiment": story.question.experiment,
        "question": story.asked.hash,
        **said_body(said),
        "author": author.name,
        "agent": author.agent,
        "evidence_seen": evidence.points,
        "samples_seen": evidence.samples,
        "share_seen": evidence.share,
        "reference": reference.body(),
        "margin": story.question.margin,
        "seeds": [story.question.seeds.start, story.question.seeds.stop],
    }


def remembered_margin(chain: Chain, metric: str) -> float | None:
    """Give the margin that this metric was last judged by in the project; None where it never had one."""
    asked = [record.body for record in chain.records("question") if record.body["metric"]["name"] == metric]
    return next((body["margin"] for body in reversed(asked) if body["margin"] is not None), None)


def find_story(chain: Chain, experiment: str) -> Story | None:
    """Read what is sealed of an experiment by its whole id; None where it was never asked."""
    return read_story(chain, experiment) if is_asked(chain, experiment) else None


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
    name = asked.body["experiment"]
    pages = _Pages()
    for record in records:
        if record.body.get("experiment") == name and (take := _TAKES.get(record.kind)) is not None:
            take(pages, record)
    reference = asked.body.get("reference")
    return Story(
        question=question_from_body(asked.body),
        reference=reference_of_body(reference) if reference else None,
        forecasts=tuple(pages.forecasts),
        skipped=tuple(pages.skipped),
        committed=pages.committed,
        verdict=pages.verdict,
        scores=pages.scores,
        void=pages.void,
        asked=asked,
    )


@dataclass(slots=True)
class _Pages:
    """What is found while the chain is read."""

    forecasts: list[Sealed] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    committed: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    verdict: Mapping[str, Any] | None = None
    scores: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    void: Mapping[str, Any] | None = None

    def take_forecast(self, record: Record) -> None:
        sealed = _sealed(record)
        self.committed.pop(sealed.hash, None)
        self.forecasts.append(sealed)

    def take_skip(self, record: Record) -> None:
        self.skipped.append(record.body["author"])

    def take_commitment(self, record: Record) -> None:
        self.committed[record.body["hash"]] = record.body

    def take_verdict(self, record: Record) -> None:
        self.verdict = record.body

    def take_score(self, record: Record) -> None:
        self.scores[record.body["forecast"]] = record.body

    def take_void(self, record: Record) -> None:
        self.void = {**record.body, "at": record.at}


_TAKES: dict[str, Callable[[_Pages, Record], None]] = {
    "forecast": _Pages.take_forecast,
    "revision": _Pages.take_forecast,
    "skip": _Pages.take_skip,
    "commitment": _Pages.take_commitment,
    "verdict": _Pages.take_verdict,
    "score": _Pages.take_score,
    "void": _Pages.take_void,
}


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
    """Read a forecast's record; one that a team mate sealed elsewhere keeps the hash that it had there."""
    body = record.body
    return Sealed(
        said=said_of(body),
        reference=reference_of_body(body["reference"]),
        author=Author(name=body["author"], agent=body["agent"]),
        evidence=Evidence(points=body["evidence_seen"], samples=body["samples_seen"], share=body["share_seen"]),
        turn="revision" if record.kind == "revision" else "forecast",
        hash=body.get("sealed_as", record.hash),
        number=record.number,
        at=record.at,
        mate="sealed_as" in body,
    )
