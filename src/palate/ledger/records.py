"""What is sealed, a type a kind: the words of its JSON stand here and nowhere else; light to import.

| kind         | type              | what it says                                                        |
|--------------|-------------------|---------------------------------------------------------------------|
| question     | SealedQuestion    | what is asked, with the reference forecast of that moment           |
| forecast     | SealedForecast    | what somebody said before the runs                                  |
| revision     | SealedForecast    | the one revision, after the reference forecast was shown            |
| arms         | SealedArms        | what differs between the arms that nobody declared, read later      |
| skip         | SealedSkip        | that somebody made no forecast                                      |
| commitment   | SealedPromise     | the hash alone of a colleague's forecast                            |
| verdict      | SealedVerdict     | what the runs said, and which runs                                  |
| score        | SealedScore       | how a forecast or a revision did                                    |
| void         | SealedVoid        | that a question counts for nobody, and why                          |
| when         | SealedWhen        | in which tenth of a run somebody expects something                  |
| when_score   | SealedWhenScore   | how that did                                                        |
| split        | SealedSplit       | whose gain it was, of several changes                               |
| confirmation | SealedConfirmation| what reruns at new seeds say of a verdict                           |
| redaction    | SealedRedaction   | which records were rewritten without their secrets                  |

What was adopted, dropped and claimed of a stack of changes (adoption, drop, claim) stands in `stack`.
"""

import importlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from palate.errors import InputError, RefusedError
from palate.forecast.answer import Forecast, Said, Spread, is_line
from palate.forecast.chances import Chances, Reference
from palate.question.branch import Fork
from palate.question.edit import Edit, spans_of
from palate.question.folder import Place
from palate.question.handover import Handover
from palate.question.incumbent import Incumbent
from palate.question.question import Question
from palate.question.target import Target, Task
from palate.recipe.codec import decode, encode
from palate.recipe.settings import Change
from palate.redaction import REDACTED, redact_text, sealed, sealed_all
from palate.store.chain import Record, hash_record
from palate.vocabulary import Arm, Metric

if TYPE_CHECKING:
    from palate.forecast.score import Score
    from palate.forecast.when import Event, When, WhenScore
    from palate.verdict.many import Confirmation
    from palate.verdict.rule import Verdict

BLIND, REPEAT, PART = "blind", "asked before", "part seen"
"""Classes of forecasts: nothing of the treatment was there; the same change was seen or tried before; some
of it was there, but nobody knew how much of a run that is."""

SHARES = (10, 25, 50, 75, 90, 100)
"""Classes of forecasts made after some of the treatment was seen, in percent of its budget."""

TEAM = "mean of all"
"""The mean of everybody's blind forecasts: it counts as one more forecaster, and beats nearly everybody in it."""

LONGEST_NAME = 80
Turn = Literal["forecast", "revision"]
"""The first answer, and the one revision after the reference forecast was shown."""

_NEVER = datetime.min.replace(tzinfo=UTC)
"""The time of what is not sealed yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Author:
    """Who forecasts: a name, and whether it is an agent's.

    Raises:
        InputError: a name that cannot stand in a line, or that is taken.
    """

    name: str
    agent: bool = False

    def __post_init__(self) -> None:
        plain = is_line(self.name) and self.name.strip() == self.name and 0 < len(self.name) <= LONGEST_NAME
        if not plain or self.name == TEAM:
            raise InputError(
                f"{self.name!r} cannot be the name of a forecaster.",
                why=f"It is a line of text, {LONGEST_NAME} characters at most, and not {TEAM!r}.",
                todo="--author ada   or   PALATE_AUTHOR=ada",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What of the treatment existed when somebody forecast, read from its journals.

    Attributes:
        points: metric points.
        samples: samples (images, texts) that were kept.
        share: of its budget that was run; None where nobody knows how long it is.
        ended: runs that ended: then the outcome is visible. It is not sealed.
        repeat: whether the same change was asked about before, or run by hand, and logged anything.
    """

    points: int = 0
    samples: int = 0
    share: float | None = None
    ended: int = 0
    repeat: bool = False

    @property
    def kind(self) -> str:
        """The class of a forecast made with it: "blind", up to "10 %" seen, and so on, never mixed with each other."""
        if not self.points and not self.samples:
            return REPEAT if self.repeat else BLIND
        if self.share is None:
            return PART
        return f"{next((share for share in SHARES if 100 * self.share <= share), SHARES[-1])} %"

    @property
    def words(self) -> str:
        """How much was seen, as it is said in a sentence; empty where nothing was."""
        words = {BLIND: "", REPEAT: "the same change tried before", PART: "part of the curve seen"}
        return words.get(self.kind, f"up to {self.kind} of the curve seen")

    def body(self) -> dict[str, Any]:
        """Return it as plain JSON data, as it is sealed with a forecast."""
        return {
            "evidence_seen": self.points,
            "samples_seen": self.samples,
            "share_seen": self.share,
            "asked_before": self.repeat,
        }

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> Self:
        """Undo `body`."""
        return cls(
            points=body["evidence_seen"],
            samples=body["samples_seen"],
            share=body["share_seen"],
            repeat=body["asked_before"],
        )


@dataclass(frozen=True, slots=True)
class _Codec:
    """How a field is written and read: under its own name, or spread over the body (`spread`)."""

    write: Callable[[Any], Any]
    read: Callable[[Any], Any]
    spread: bool = False


def _under(write: Callable[[Any], Any], read: Callable[[Any], Any]) -> Mapping[str, Any]:
    """Say of a field how its value is written and read."""
    return {"codec": _Codec(write, read)}


def _spread(write: Callable[[Any], Any], read: Callable[[Any], Any]) -> Mapping[str, Any]:
    """Say of a field how it is spread over the body, and read from it."""
    return {"codec": _Codec(write, read, spread=True)}


_PLAIN = _Codec(lambda value: value, lambda value: value)
_STAMP = {"stamp": True}
"""Of a field that is not written by its name: it is the record's own (number, at, hash), or `body` writes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """A sealed record: its fields are its JSON's, in their order, each under its name unless it is spread."""

    KIND: ClassVar[str]

    def body(self) -> dict[str, Any]:
        """Return it as plain JSON data, as it is sealed."""
        body: dict[str, Any] = {}
        for name, codec in _codecs_of(type(self)):  # type: ignore[arg-type]  # mypy: a class is not Hashable
            if codec is not None:
                written = codec.write(getattr(self, name))
                body |= written if codec.spread else {name: written}
        return body

    @classmethod
    def read(cls, record: Record) -> Self:
        """Undo `body`; fields that an old record lacks have their default."""
        body, values = record.body, {}
        for name, codec in _codecs_of(cls):  # type: ignore[arg-type]
            if codec is None:
                values[name] = getattr(record, name)
            elif codec.spread:
                values[name] = codec.read(body)
            elif name in body:
                values[name] = body[name] if codec is _PLAIN else codec.read(body[name])
        return cls(**values)


@cache
def _codecs_of(kind: type[Sealed]) -> tuple[tuple[str, _Codec | None], ...]:
    """Return how each field of a sealed kind is written; None for the record's own."""
    return tuple((f.name, None if "stamp" in f.metadata else f.metadata.get("codec", _PLAIN)) for f in fields(kind))


def _author_body(author: Author) -> dict[str, Any]:
    return {"author": author.name, "agent": author.agent}


def _author_of(body: Mapping[str, Any]) -> Author:
    return _author(body["author"], body["agent"])


@cache
def _author(name: str, agent: bool) -> Author:
    """Return an author; a long past names the same few again and again."""
    return Author(name=name, agent=agent)


def _known(kind: type, body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a dataclass that a body has: what a newer palate added is left out."""
    return {name: body[name] for name in _names_of(kind) if name in body}


@cache
def _names_of(kind: type) -> tuple[str, ...]:
    return tuple(one.name for one in fields(kind))


def _plain_read(module: str, name: str) -> Callable[[Mapping[str, Any]], Any]:
    """Return a reader of a dataclass of plain fields, which is imported when it is first read (numpy)."""

    def read(body: Mapping[str, Any]) -> Any:
        kind = getattr(importlib.import_module(module), name)
        return kind(**_known(kind, body))

    return read


def _verdict_of(body: Mapping[str, Any]) -> "Verdict":
    from palate.verdict.rule import Failures, Verdict  # numpy

    failures = Failures(**_known(Failures, body["failures"]))
    return Verdict(**{**_known(Verdict, body), "failures": failures})


def _score_of(body: Mapping[str, Any]) -> "Score":
    from palate.forecast.score import Score  # numpy

    return Score(**{**_known(Score, body), "chances": _chances_of(body["chances"])})


def _chances_of(body: Mapping[str, float]) -> Chances:
    return Chances(**_known(Chances, body))


_AUTHOR = _spread(_author_body, _author_of)
_EVIDENCE = _spread(Evidence.body, Evidence.read)
_REFERENCE = _under(lambda reference: reference_body(reference), lambda body: reference_of(body))
_MAYBE_REFERENCE = _under(lambda one: one and reference_body(one), lambda body: body and reference_of(body))
_SAID = _spread(lambda said: said_body(said), lambda body: said_of(body))
_QUESTION = _spread(lambda question: question_body(question), lambda body: question_of(body))
_SUBJECT = _spread(asdict, lambda body: Subject(**_known(Subject, body)))
_EVENT = _under(asdict, _plain_read("palate.forecast.when", "Event"))
_CHANCES = _under(lambda chances: [round(float(chance), 9) for chance in chances], list)


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedQuestion(Sealed):
    """A question as it is sealed.

    Attributes:
        question: what is asked.
        reference: the reference forecast of that moment; None in records of before there was one.
        commit: of the code.
        visible: whether its outcome could be seen already: then nobody can forecast it.
        trusted: whether it was asked here; written only where it came from elsewhere.
    """

    KIND = "question"
    question: Question = field(metadata=_QUESTION)
    reference: Reference | None = field(default=None, metadata=_MAYBE_REFERENCE)
    commit: str | None = None
    visible: bool = False
    trusted: bool = field(
        default=True,
        metadata=_spread(lambda trusted: {} if trusted else {"trusted": False}, lambda body: body.get("trusted", True)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedForecast(Sealed):
    """A forecast, or its revision, as it is sealed.

    Attributes:
        experiment: of which question.
        said: what was said.
        author: by whom.
        evidence: with how much seen.
        reference: the reference forecast that it is scored against.
        margin, seeds: of the question.
        nonce: random text, so that nobody can guess the answer from the record's hash.
        commit: of the code.
        revises: of a revision, the hash of the first answer.
        turn: the first answer, or its revision: the kind of its record.
        colleague: whether a colleague sealed it in another project: its hash and time are those that it had there.
        hash, number, at: of its record.
    """

    experiment: str
    said: Said = field(metadata=_SAID)
    author: Author = field(metadata=_AUTHOR)
    evidence: Evidence = field(metadata=_EVIDENCE)
    reference: Reference = field(metadata=_REFERENCE)
    margin: float | None = None
    seeds: tuple[int, ...] = field(default=(), metadata=_under(list, tuple))
    nonce: str = ""
    commit: str | None = field(default=None, metadata=_STAMP)
    revises: str | None = field(default=None, metadata=_STAMP)
    turn: Turn = field(default="forecast", metadata=_STAMP)
    colleague: bool = field(default=False, metadata=_STAMP)
    hash: str = field(default="", metadata=_STAMP)
    number: int = field(default=-1, metadata=_STAMP)
    at: datetime = field(default=_NEVER, metadata=_STAMP)

    def __str__(self) -> str:
        return f"{self.author.name}: {self.said.words}   sealed {self.hash[:12]}"

    @property
    def kind(self) -> str:
        """The class that it is judged in: blind, part seen ..."""
        return self.evidence.kind

    def body(self) -> dict[str, Any]:
        """Return it as plain JSON data, as it is sealed."""
        body = Sealed.body(self)
        if self.colleague:
            return {**body, "sealed_as": self.hash, "sealed_at": self.at.isoformat(timespec="microseconds")}
        return {**body, "commit": self.commit} if self.turn == "forecast" else {**body, "revises": self.revises}

    @classmethod
    def read(cls, record: Record) -> Self:
        """Read a forecast's or a revision's record."""
        body = record.body
        return cls(
            experiment=body["experiment"],
            said=said_of(body),
            author=_author_of(body),
            evidence=Evidence.read(body),
            reference=reference_of(body["reference"]),
            margin=body.get("margin"),
            seeds=tuple(body.get("seeds", ())),
            nonce=body.get("nonce", ""),
            commit=body.get("commit"),
            revises=body.get("revises"),
            turn="revision" if record.kind == "revision" else "forecast",
            colleague="sealed_as" in body,
            hash=body.get("sealed_as", record.hash),
            number=record.number,
            at=datetime.fromisoformat(body["sealed_at"]) if "sealed_at" in body else record.at,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedAnswer:
    """What standings need of a first answer: read in a fifth of the time, as there are thousands.

    Attributes:
        experiment: of which question.
        author: by whom.
        kind: the class that it is judged in.
        answer: what was said; None for quantiles.
        hash: of its record, or the one that it had in a colleague's project.
    """

    experiment: str
    author: Author
    kind: str
    answer: str | None
    hash: str

    @classmethod
    def read(cls, record: Record) -> Self:
        """Read a forecast's record."""
        body = record.body
        return cls(
            experiment=body["experiment"],
            author=_author_of(body),
            kind=Evidence.read(body).kind,
            answer=body.get("answer"),
            hash=body.get("sealed_as", record.hash),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedSkip(Sealed):
    """That somebody made no forecast of a question, so that skipping the hard ones shows."""

    KIND = "skip"
    experiment: str
    author: Author = field(metadata=_AUTHOR)


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedArms(Sealed):
    """What was read of a question's arms after it was sealed with a first answer, and before any of its runs.

    Attributes:
        experiment: of which question.
        confounders: what differs between the arms that nobody declared, in words.
        chunks: by name, the chunks that differ: their ids in the baseline and with the change.
    """

    KIND = "arms"
    experiment: str
    confounders: tuple[str, ...] = field(metadata=_under(list, tuple))
    chunks: Mapping[str, tuple[str, str]] = field(
        metadata=_under(
            lambda chunks: {role: list(pair) for role, pair in chunks.items()},
            lambda chunks: {role: (pair[0], pair[1]) for role, pair in chunks.items()},
        )
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedPromise(Sealed):
    """The hash of a colleague's forecast: the answer is hidden, and cannot be changed any more.

    Attributes:
        experiment: of which question.
        hash: of the record that the colleague sealed.
        author: the colleague's name.
        turn: the first answer, or its revision.
        evidence: what of the treatment existed here when it came in.
        reference: the reference forecast of that moment.
    """

    KIND = "commitment"
    experiment: str
    hash: str
    author: str
    turn: Turn
    evidence: Evidence = field(metadata=_EVIDENCE)
    reference: Reference = field(metadata=_REFERENCE)


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedVerdict(Sealed):
    """A verdict, with the runs that it rests on by arm, and the number of its record.

    Attributes:
        as_logged: whether its runs showed a metric that is named like a share to be none; written only where it is so.
    """

    KIND = "verdict"
    experiment: str
    verdict: "Verdict" = field(metadata=_spread(asdict, _verdict_of))
    runs: Mapping[Arm, Sequence[str]] = field(default_factory=dict)
    as_logged: bool = field(
        default=False,
        metadata=_spread(
            lambda as_logged: {"as_logged": True} if as_logged else {}, lambda body: shows_as_logged(body)
        ),
    )
    number: int = field(default=-1, metadata=_STAMP)


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedScore(Sealed):
    """How a forecast, or its revision, did.

    Attributes:
        experiment: of which question.
        forecast: the hash of what is scored.
        author: whose.
        turn: the first answer, or its revision.
        kind: the class that it is judged in.
        settled: what the verdict means for a forecast; None where it is open.
        pairs: seed pairs that it rests on.
        runs: names the pair of arms: questions that share all their runs (another margin, another metric) make one bet.
        score: the numbers.
        number: of its record.
    """

    KIND = "score"
    experiment: str
    forecast: str
    author: Author = field(metadata=_AUTHOR)
    turn: Turn
    kind: str
    settled: str | None
    pairs: int | None = None
    runs: str
    score: "Score" = field(metadata=_spread(asdict, _score_of))
    number: int = field(default=-1, metadata=_STAMP)


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedVoid(Sealed):
    """That a question counts for nobody.

    Attributes:
        experiment: which.
        reason: why.
        author: who says so.
        evidence: what of the treatment existed.
        seen: whether anything of the outcome could be seen by then.
    """

    KIND = "void"
    experiment: str
    reason: str = field(metadata=_under(redact_text, str))
    author: str
    evidence: Evidence = field(metadata=_EVIDENCE)
    seen: bool


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
class SealedWhen(Sealed):
    """A when-forecast as it is sealed.

    Attributes:
        subject: of which run.
        event: what is expected.
        total: steps that the run is planned to have.
        when: in which tenth, and how sure.
        author: who says so.
        evidence: how much of the run was seen.
        reference: (11,) the reference forecast: chances of the ten tenths and of never.
        nonce: random text, so that nobody can guess the answer from the record's hash.
        hash, at: of its record.
    """

    KIND = "when"
    subject: Subject = field(metadata=_SUBJECT)
    event: "Event" = field(metadata=_EVENT)
    total: float
    when: "When" = field(metadata=_spread(asdict, _plain_read("palate.forecast.when", "When")))
    author: Author = field(metadata=_AUTHOR)
    evidence: Evidence = field(metadata=_EVIDENCE)
    reference: Sequence[float] = field(metadata=_CHANCES)
    nonce: str = ""
    hash: str = field(default="", metadata=_STAMP)
    at: datetime = field(default=_NEVER, metadata=_STAMP)

    @property
    def about(self) -> tuple[Any, ...]:
        """What one person may forecast once: a run, a metric, an event."""
        subject = self.subject
        return self.author.name, subject.key or subject.run, subject.seed, self.event.metric, self.event.reach


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedWhenScore(Sealed):
    """How a when-forecast did.

    Attributes:
        forecast: the hash of what is scored.
        run: in which run.
        runs: names the run and the metric: forecasts of both make one bet.
        author: whose.
        kind: the class that it is judged in.
        happened: the tenth in which it happened; 10 for never.
        score: the numbers.
    """

    KIND = "when_score"
    forecast: str
    run: str
    runs: str
    author: Author = field(metadata=_AUTHOR)
    kind: str
    happened: int
    score: "WhenScore" = field(metadata=_spread(asdict, _plain_read("palate.forecast.when", "WhenScore")))


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedSplit(Sealed):
    """Whose gain it was, of several changes: the report of a split without its counts of runs."""

    KIND = "split"
    experiment: str
    question: str
    metric: Metric = field(metadata=_under(asdict, lambda body: Metric(**_known(Metric, body))))
    effects: Sequence[Mapping[str, Any]]
    cells: Mapping[Arm, float]
    seeds: int
    seeds_lost: int
    words: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedConfirmation(Sealed):
    """What reruns at new seeds say of a verdict."""

    KIND = "confirmation"
    experiment: str
    confirmation: "Confirmation" = field(metadata=_spread(asdict, _plain_read("palate.verdict.many", "Confirmation")))


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedRedaction(Sealed):
    """That records were rewritten without their secrets: the bridge over which a chain goes on (see `store.bridge`).

    Attributes:
        replaced: of each record its number, its kind, the hash that it was sealed with, and that of its content now.
        secrets: the kinds of secrets that were taken out, of files too.
        files: how many files beside the chain were rewritten or removed.
        head: the chain's head before.
        author: who did it.
    """

    KIND = "redaction"
    replaced: Sequence[Mapping[str, Any]]
    secrets: Sequence[str]
    files: int
    head: str
    author: Author = field(metadata=_AUTHOR)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A forecast as it is handed to a colleague: its hash alone, or its whole record.

    Attributes:
        hash: of the record.
        author: whose it is.
        turn: the kind of the record, as it is claimed.
        record: the whole record; None where only its hash is handed over.
    """

    hash: str
    author: str
    turn: str
    record: Record | None = None

    @classmethod
    def of(cls, record: Record) -> Self:
        """Return a sealed forecast as it is handed over whole."""
        return cls(hash=record.hash, author=author_of_record(record), turn=record.kind, record=record)

    def blind(self) -> Self:
        """Return the hash alone."""
        return replace(self, record=None)

    @property
    def experiment(self) -> str:
        """The experiment that the whole record is of."""
        return experiment_of_record(self.record) if self.record is not None else ""

    @property
    def forecast(self) -> SealedForecast:
        """The forecast that the whole record holds."""
        assert self.record is not None
        return SealedForecast.read(self.record)

    @property
    def holds(self) -> bool:
        """Whether the whole record has the hash that it claims."""
        return self.record is not None and hash_record(_fields_of(self.record)) == self.hash

    def body(self) -> dict[str, Any]:
        """Return it as plain JSON data.

        Raises:
            RefusedError: its content cannot be handed over: it has a secret, or was rewritten without one.
        """
        if self.record is None:
            return {"hash": self.hash, "author": self.author, "turn": self.turn}
        why = str(self.record.body.get("why", ""))
        rewritten = REDACTED in why and not self.holds
        if rewritten or redact_text(why) != why:
            raise RefusedError(
                f"The forecast {self.hash[:12]} can be handed over by its hash alone.",
                why="It was rewritten without a secret." if rewritten else "The reason that it gives holds a secret.",
                todo="palate forecast EXPERIMENT --export FILE --blind",
            )
        return {**_fields_of(self.record), "hash": self.hash}

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> Self:
        """Undo `body`; what will be read of it later is read now, so that nothing is sealed that cannot be read.

        Raises:
            ValueError, KeyError, TypeError: it is not what `body` writes.
        """
        whole = ("number", "at", "kind", "body", "previous")
        wanted = {"hash", *(whole if "body" in body else ("author", "turn"))}
        if not wanted <= set(body):
            raise ValueError(f"an entry lacks {', '.join(sorted(wanted - set(body)))}")
        if "body" not in body:
            return cls(hash=body["hash"], author=str(body["author"]), turn=body["turn"])
        inner = body["body"]
        said_of(dict(inner))
        Evidence.read(inner)
        author = Author(name=inner["author"], agent=inner["agent"])
        if missing := {"nonce", "margin", "seeds", "experiment"} - set(inner):
            raise ValueError(f"a forecast lacks {', '.join(sorted(missing))}")
        fields = {name: body[name] for name in (*whole, "hash")}
        record = Record(**{**fields, "at": datetime.fromisoformat(body["at"])})
        return cls(hash=body["hash"], author=author.name, turn=body["kind"], record=record)


def _fields_of(record: Record) -> dict[str, Any]:
    """Return what a record's hash is taken over."""
    return {
        "number": record.number,
        "at": record.at.isoformat(timespec="microseconds"),
        "kind": record.kind,
        "body": record.body,
        "previous": record.previous,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """A question with sealed forecasts of it, as a file for colleagues; it carries no reference forecast.

    Attributes:
        question: what is asked.
        sent: the forecasts.
    """

    SCHEMA: ClassVar = "palate.sealed/1"
    question: Question
    sent: tuple[Sent, ...]

    def body(self) -> dict[str, Any]:
        """Return it as plain JSON data."""
        question = json.loads(json.dumps(question_body(self.question), sort_keys=True))  # as it stands in the chain
        return {"schema": self.SCHEMA, "question": question, "forecasts": [sent.body() for sent in self.sent]}

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> Self:
        """Undo `body`.

        Raises:
            ValueError, KeyError, TypeError, AttributeError, PalateError: it is not what `body` writes.
        """
        if body["schema"] != cls.SCHEMA:
            raise ValueError(f"its schema is {body['schema']!r}")
        sent = tuple(Sent.read(entry) for entry in body["forecasts"])
        question = question_of(body["question"])
        if question.experiment != body["question"]["experiment"]:
            raise ValueError("its question is another one than it says")
        return cls(question=question, sent=sent)


def author_of_record(record: Record) -> str:
    """Return the name of who sealed a forecast, a skip or a promise, reading nothing else of it."""
    return str(record.body["author"])


def experiment_of_record(record: Record) -> str:
    """Return the experiment that a record is of, reading nothing else of it."""
    return str(record.body["experiment"])


def shows_as_logged(body: Mapping[str, Any]) -> bool:
    """Whether a question's or a verdict's body says that its metric is shown as it is logged."""
    return bool(body.get("as_logged"))


def likeness_of(question: Question) -> tuple[str, ...]:
    """Return what makes two questions comparable: metric, value that counts, data, and the name of what is trained."""
    return question.metric.name, question.take, question.data, question.target.name


OUTCOME_OF = {
    "better": "better",
    "worse": "worse",
    "same": "same",
    "better_small": "same",
    "worse_small": "same",
    "nothing": "same",
    "failed": "crash",
}
"""What a settled verdict means for a forecast: "too small to matter" is "same", as its margin says."""


def outcome_of(verdict: "Verdict") -> str | None:
    """Return what a verdict means for a forecast; None where it is open, or where the baseline itself failed."""
    failures = verdict.failures
    if verdict.kind == "failed" and failures.baseline == failures.baseline_runs:
        return None
    return OUTCOME_OF.get(verdict.kind)


def question_body(question: Question) -> dict[str, Any]:
    """Return a question as plain JSON data, complete enough to be run from; its secrets are sealed.

    A question that came in with open secrets, from a project of before they were sealed, keeps its id and its keys.
    """
    clean = without_secrets(question)
    changes = [{"path": c.path, "before": encode(c.before), "after": encode(c.after)} for c in clean.changes]
    return {
        "experiment": question.experiment,
        "text": clean.text,
        "target": target_body(clean.target),
        "changes": changes,
        "metric": asdict(question.metric),
        "take": question.take,
        "margin": question.margin,
        **({"margin_from": question.margin_from} if question.margin_from else {}),
        **({"margin_runs": question.margin_runs} if question.margin_runs else {}),
        "budget": question.budget,
        **({"first_seed": question.first_seed} if question.first_seed else {}),
        **({"spent": list(question.spent)} if question.spent else {}),
        **({"bank": list(question.bank)} if question.bank else {}),
        "data": question.data,
        "confounders": list(question.confounders),
        "chunks": {role: list(pair) for role, pair in question.chunks.items()},
        "recipes": dict(question.plan.recipes),
        **({"inputs": dict(question.inputs)} if question.inputs else {}),
        **({"edit": edit_body(question.edit)} if question.edit is not None else {}),
        **({"as_logged": True} if question.as_logged else {}),
        **({"kept": dict(clean.kept)} if clean.kept else {}),
    }


def without_secrets(question: Question) -> Question:
    """Return a question with its secrets sealed, under the id and the keys that it has; itself where it has none."""
    target = _sealed_target(question.target)
    edit = question.edit and replace(question.edit, target=_sealed_target(question.edit.target))
    clean = replace(question, target=target, edit=edit, changes=_sealed_changes(question.changes))
    if question.kept or clean.plan.keys == question.plan.keys:
        return clean
    return replace(clean, kept={"experiment": question.experiment, **question.plan.keys})


def _sealed_target(target: Target) -> Target:
    incumbent = target.incumbent and replace(target.incumbent, changes=_sealed_changes(target.incumbent.changes))
    argv = sealed("", tuple(target.argv))
    return replace(target, settings=sealed_all(target.settings), argv=argv, incumbent=incumbent)


def _sealed_changes(changes: Sequence[Change]) -> tuple[Change, ...]:
    return tuple(
        replace(one, before=sealed(one.path, one.before), after=sealed(one.path, one.after)) for one in changes
    )


def question_of(body: Mapping[str, Any]) -> Question:
    """Undo `question_body`."""
    changes = tuple(
        Change(path=c["path"], before=decode(c["before"]), after=decode(c["after"])) for c in body["changes"]
    )
    return Question(
        target=target_of(body["target"]),
        changes=changes,
        metric=Metric(**_known(Metric, body["metric"])),
        take=body["take"],
        margin=body["margin"],
        margin_from=body.get("margin_from", ""),
        margin_runs=body.get("margin_runs", 0),
        spent=tuple(body.get("spent", ())),
        bank=tuple(body.get("bank", ())),
        budget=body["budget"],
        first_seed=body.get("first_seed", 0),
        data=body["data"],
        confounders=tuple(body.get("confounders", ())),
        chunks={role: (pair[0], pair[1]) for role, pair in body.get("chunks", {}).items()},
        inputs=body.get("inputs", {}),
        edit=edit_of(body["edit"]) if "edit" in body else None,
        as_logged=shows_as_logged(body),
        kept=body.get("kept", {}),
    )


def edit_body(edit: Edit) -> dict[str, Any]:
    """Return an edit as plain JSON data."""
    fields = {name: getattr(edit, name) for name in Edit.__slots__}
    lines = {name: [list(span) for span in spans_of(numbers)] for name, numbers in edit.lines.items()}
    return {**fields, "target": target_body(edit.target), "lines": lines}


def edit_of(body: Mapping[str, Any]) -> Edit:
    """Undo `edit_body`."""
    lines = {
        name: tuple(number for first, last in spans for number in range(first, last + 1))
        for name, spans in body["lines"].items()
    }
    return Edit(**{**_known(Edit, body), "target": target_of(body["target"]), "lines": lines})


_TASK_FIELDS = {
    "function": ("file", "name"),
    "module": ("module", "name"),
    "pickle": ("file", "name"),
    "script": ("file", "warm"),
    "command": ("argv",),
}
"""What is written of a task, by its kind."""


_NOT_SEALED = ("kinds", "sources", "unread", "fork", "open", "closed", "incumbent")
"""Fields of a target that say something of the file as it is now."""


def target_body(target: Target) -> dict[str, Any]:
    """Return a target as plain JSON data."""
    fields = {name: getattr(target, name) for name in Target.__slots__ if name not in _NOT_SEALED}
    task = {"kind": target.task.kind, **{name: getattr(target.task, name) for name in _TASK_FIELDS[target.task.kind]}}
    if target.task.kind == "script" and target.task.module:
        task["module"] = target.task.module
    if target.task.kind == "command" and target.task.file:  # whose settings are known
        task["file"] = target.task.file
    if target.task.place is not None:  # another state of the code than the person's
        task["place"] = target.task.place.body()
    return {
        **fields,
        "task": task,
        "settings": {name: encode(value) for name, value in target.settings.items()},
        "argv": [encode(word) for word in target.argv],
        "data": [redact_text(path) for path in target.data],
        "how": {name: str(handover) for name, handover in target.how.items()},
        "seed_by": "" if target.seed_by is None else str(target.seed_by),
        **({"fork": target.fork.body()} if target.fork is not None else {}),
        **({"incumbent": target.incumbent.body()} if target.incumbent is not None else {}),
    }


def target_of(body: Mapping[str, Any]) -> Target:
    """Undo `target_body`; its task is not started before somebody vouches for it."""
    task: Any = {name: tuple(value) if isinstance(value, list) else value for name, value in body["task"].items()}
    place = Place.read(task["place"]) if "place" in task else None
    return Target(
        **{
            **_known(Target, body),
            "task": Task(**{**_known(Task, task), "place": place, "vouched": False}),
            "settings": {name: decode(value) for name, value in body["settings"].items()},
            "how": {name: Handover.read(text) for name, text in body["how"].items()},
            "seed_by": Handover.read(body["seed_by"]) if body["seed_by"] else None,
            "choices": {name: tuple(values) for name, values in body["choices"].items()},
            "argv": tuple(decode(word) for word in body["argv"]),
            "data": tuple(body["data"]),
            "fork": Fork.read(body["fork"]) if "fork" in body else None,
            "incumbent": Incumbent.read(body["incumbent"]) if "incumbent" in body else None,
        }
    )


def reference_body(reference: Reference) -> dict[str, Any]:
    """Return a reference forecast as plain JSON data."""
    return {
        "chances": asdict(reference.chances),
        "unit": reference.unit,
        "members": {name: asdict(chances) for name, chances in reference.members.items()},
        "weights": dict(reference.weights),
        "nearest": list(reference.nearest),
        "outcomes": reference.outcomes,
    }


def reference_of(body: Mapping[str, Any]) -> Reference:
    """Undo `reference_body`."""
    return Reference(
        chances=_chances_of(body["chances"]),
        unit=body["unit"],
        members={name: _chances_of(chances) for name, chances in body["members"].items()},
        weights=body["weights"],
        nearest=tuple(body["nearest"]),
        outcomes=body["outcomes"],
    )


def said_body(said: Said) -> dict[str, Any]:
    """Return what was said as plain JSON data."""
    if isinstance(said, Spread):
        return {"quantiles": [said.low, said.middle, said.high], "why": redact_text(said.why)}
    return {"answer": said.answer, "confidence": said.confidence, "size": said.size, "why": redact_text(said.why)}


def said_of(body: Mapping[str, Any]) -> Said:
    """Undo `said_body`."""
    if "quantiles" in body:
        low, middle, high = body["quantiles"]
        return Spread(low=low, middle=middle, high=high, why=body.get("why", ""))
    return Forecast(
        answer=body["answer"], confidence=body["confidence"], size=body.get("size"), why=body.get("why", "")
    )
