"""What is sealed of an experiment, read from the chain: question, forecasts, verdict, scores; light to import."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from palate.errors import NotFoundError
from palate.forecast.chances import Reference, reference_of_body
from palate.ledger.records import Sealed, Turn, evidence_of_body, sealed_of
from palate.question.question import Question, question_from_body
from palate.store.chain import Chain, Record


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

    def promised(self, turn: Turn) -> set[str]:
        """Name the team mates whose forecasts of a turn are promised but not opened yet."""
        return {body["author"] for body in self.committed.values() if body["turn"] == turn}

    def visible(self, author: str) -> tuple[Sealed, ...]:
        """Give the forecasts that somebody may see: all once their own is sealed or the outcome is there, else none."""
        if self.verdict is not None or self.of(author) is not None:
            return self.forecasts
        return ()


def remembered_margin(chain: Chain, metric: str) -> float | None:
    """Give the margin that this metric was last judged by in the project; None where it never had one."""
    asked = [record.body for record in chain.records("question") if record.body["metric"]["name"] == metric]
    return next((body["margin"] for body in reversed(asked) if body["margin"] is not None), None)


def find_story(chain: Chain, experiment: str) -> Story | None:
    """Read what is sealed of an experiment by its whole id; None where it was never asked."""
    records = chain.records()
    return story_of(records, experiment) if is_asked(records, experiment) else None


def read_story(chain: Chain, experiment: str) -> Story:
    """Read what is sealed of an experiment. See `story_of`."""
    return story_of(chain.records(), experiment)


def is_asked(records: Sequence[Record], experiment: str) -> bool:
    """Whether an experiment's question is sealed."""
    return any(record.kind == "question" and record.body["experiment"] == experiment for record in records)


def story_of(records: Sequence[Record], experiment: str) -> Story:
    """Collect what is sealed of an experiment.

    Args:
        records: of the chain.
        experiment: its id, or the start of it; "last" for the newest.

    Raises:
        NotFoundError: there is no such experiment, or several start so.
    """
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
        skipped=tuple(name for name in pages.skipped if name not in {one.author.name for one in pages.forecasts}),
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
        sealed = sealed_of(record)
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


def _find(records: Sequence[Record], experiment: str) -> Record:
    asked: dict[str, Record] = {}
    for record in records:
        if record.kind == "question":
            asked.setdefault(record.body["experiment"], record)
    if experiment == "last" and asked:
        return next(reversed(asked.values()))
    found = [record for name, record in asked.items() if experiment and name.startswith(experiment)]
    if len(found) == 1:
        return found[0]
    several = ", ".join(record.body["experiment"] for record in found[:5])
    raise NotFoundError(
        f"{experiment!r} is the start of several experiments: {several}."
        if found
        else f"no experiment {experiment!r}.",
        todo="palate list   shows them",
    )


Body = Mapping[str, Any]


class Book:
    """What the chain says that standings need; each forecast has one score, the first one.

    Args:
        chain: the sealed chain.
        still_open: scores, as they would be sealed now, of questions that were seen but have no verdict.
        begun: experiments without a verdict of which runs of the treatment have ended.
    """

    def __init__(self, chain: Chain, still_open: Sequence[Body], begun: frozenset[str]) -> None:
        self.chain = chain
        self.void = {record.body["experiment"]: record.body for record in chain.records("void")}
        self.said = {r.body.get("sealed_as", r.hash): r for r in chain.records("forecast")}
        self.closed = {r.body["experiment"] for r in chain.records("verdict")}
        self.begun = begun
        self.seen = self.closed | begun
        self.scores: dict[str, Body] = {}
        for body in (*(record.body for record in chain.records("score")), *still_open):
            if body["experiment"] not in self.void:
                self.scores.setdefault(body["forecast"], body)

    def classes(self) -> list[tuple[str, str]]:
        """List who forecast in which class, oldest first."""
        return list(dict.fromkeys((r.body["author"], evidence_of_body(r.body).kind) for r in self.said.values()))

    def forecasts_of(self, author: str, kind: str) -> list[Record]:
        """Give the gut answers that somebody sealed in a class, oldest first."""
        mine = (record for record in self.said.values() if record.body["author"] == author)
        return [record for record in mine if evidence_of_body(record.body).kind == kind]

    def revisions_of(self, author: str) -> dict[str, Body]:
        """Give the scores of somebody's revisions by experiment, whatever they had seen by then."""
        return {
            body["experiment"]: body
            for body in self.scores.values()
            if body["author"] == author and body["turn"] == "revision" and not body["provisional"]
        }

    def unopened(self, author: str) -> int:
        """Count somebody's promises whose outcome is there and which they did not open."""
        known = {*self.said, *(r.body.get("sealed_as", r.hash) for r in self.chain.records("revision"))}
        return sum(
            record.body["author"] == author
            and record.body["experiment"] in self.closed
            and record.body["hash"] not in known
            for record in self.chain.records("commitment")
        )


_ACTS = ("forecast", "skip", "commitment")


def asked_of(chain: Chain, author: str, begun: frozenset[str] = frozenset()) -> frozenset[str]:
    """Give the experiments that count in somebody's coverage.

    These are all that they forecast or skipped, and all that were asked since the first of these; but not what was
    never run, what was voided, or what was asked when its outcome could be seen already.

    Args:
        chain: the sealed chain.
        author: whose.
        begun: experiments of which runs have ended, though nothing of that is sealed yet.
    """
    mine = [r for kind in _ACTS for r in chain.records(kind) if r.body["author"] == author]
    joined = min((record.number for record in mine), default=None)
    if joined is None:
        return frozenset()
    void = {record.body["experiment"] for record in chain.records("void")}
    run = {record.body["experiment"] for kind in ("verdict", "score") for record in chain.records(kind)} | begun
    since = {
        record.body["experiment"]
        for record in chain.records("question")
        if record.number > joined and not record.body.get("visible")
    }
    return frozenset((since | {record.body["experiment"] for record in mine}) & run - void)
