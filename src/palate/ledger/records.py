"""Who forecasts, and how much of the treatment they could have seen; light to import."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from palate.errors import InputError
from palate.forecast.answer import Said, is_line, said_of
from palate.forecast.chances import Chances, Reference, reference_of_body
from palate.forecast.score import Score
from palate.store.chain import Record
from palate.verdict.rule import Failures, Verdict

BLIND, REPEAT, PART = "blind", "asked before", "part seen"
"""Classes of forecasts: nothing of the treatment was there; the same change was seen or tried before; some
of it was there, but nobody knew how much of a run that is."""


SHARES = (10, 25, 50, 75, 90, 100)
"""Classes of forecasts made after some of the treatment was seen, in percent of its budget."""


TEAM = "mean of all"
"""The mean of what everybody forecast blind, one more forecaster: it beats nearly everybody in it."""


LONGEST_NAME = 80


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
        ended: runs that ended: then the outcome is visible.
        repeat: whether the same change was asked about before, and answered.
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
        return f"{next((one for one in SHARES if 100 * self.share <= one), SHARES[-1])} %"

    @property
    def words(self) -> str:
        """How much was seen, as it is said in a sentence; empty where nothing was."""
        seen = {BLIND: "", REPEAT: "the same change tried before", PART: "part of the curve seen"}
        return seen.get(self.kind, f"up to {self.kind} of the curve seen")

    def body(self) -> dict[str, Any]:
        """Write it as it is sealed with a forecast."""
        return {
            "evidence_seen": self.points,
            "samples_seen": self.samples,
            "share_seen": self.share,
            "asked_before": self.repeat,
        }


def evidence_of_body(body: Mapping[str, Any]) -> Evidence:
    """Undo `Evidence.body`."""
    return Evidence(
        points=body["evidence_seen"],
        samples=body["samples_seen"],
        share=body["share_seen"],
        repeat=body["asked_before"],
    )


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


def verdict_of(body: Mapping[str, Any]) -> Verdict:
    """Read a sealed verdict."""
    fields = {name: body[name] for name in Verdict.__slots__}
    return Verdict(**{**fields, "failures": Failures(**body["failures"])})


def score_of(body: Mapping[str, Any]) -> Score:
    """Read a sealed score."""
    fields = {name: body[name] for name in Score.__slots__}
    return Score(**{**fields, "chances": Chances(**body["chances"])})
