"""What is sealed of an experiment, read from the chain: question, forecasts, verdict, scores; light to import."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from palate.errors import NotFoundError
from palate.forecast.answer import Said, said_of
from palate.forecast.chances import Reference, reference_of_body
from palate.loop.forecaster import Author, Evidence, evidence_of_body
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


def outcome_of(verdict: Mapping[str, Any]) -> str | None:
    """Give what a verdict means for a forecast; None where it is open, or where the baseline itself failed."""
    failures = verdict.get("failures") or {}
    if verdict["kind"] == "failed" and failures.get("baseline") == failures.get("baseline_runs"):
        return None
    return OUTCOMES.get(verdict["kind"])


Turn = Literal["forecast", "revision"]
"""The gut answer, and the one revision after the reference was shown."""


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

    def __str__(self) -> str:
        return f"{self.author.name}: {self.said.words}   sealed {self.hash[:12]}"


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


def sealed_of(record: Record) -> Sealed:
    """Read a forecast's record; one that a team mate sealed elsewhere keeps the hash that it had there."""
    body = record.body
    return Sealed(
        said=said_of(body),
        reference=reference_of_body(body["reference"]),
        author=Author(name=body["author"], agent=body["agent"]),
        evidence=evidence_of_body(body),
        turn="revision" if record.kind == "revision" else "forecast",
        hash=body.get("sealed_as", record.hash),
        number=record.number,
        at=datetime.fromisoformat(body["sealed_at"]) if "sealed_at" in body else record.at,
        mate="sealed_as" in body,
    )
