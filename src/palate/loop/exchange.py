"""Questions and sealed forecasts as files, for team mates who do not share a folder.

A file holds a question and, of forecasts, either the hash alone (a promise: nobody can read the answer, and nobody can
change it later) or the whole record, whose hash anybody can work out again. A promise that was taken in before the
outcome lets the opened forecast count after it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from palate.errors import ChainBrokenError, InputError, NotFoundError, OutcomeSeenError, PalateError, RefusedError
from palate.forecast.answer import said_body, said_of
from palate.forecast.chances import Reference
from palate.ledger.ledger import Story, find_story
from palate.ledger.records import Author, Evidence, Turn, evidence_of_body
from palate.ledger.seal import seal_question
from palate.loop.evidence import evidence_of
from palate.loop.reference import reference_for, reference_seen
from palate.question.question import Question, question_from_body
from palate.store.catalog import Catalog
from palate.store.chain import Chain, Record, hash_record
from palate.store.project import Project

SCHEMA = "palate.sealed/1"


PROMISE = "commitment"
"""The kind of record of a forecast of which only the hash is here."""


_FIELDS = ("number", "at", "kind", "body", "previous")


def read_export(path: Path) -> dict[str, Any]:
    """Read such a file.

    Raises:
        NotFoundError: it is not there.
        InputError: it is no file of sealed forecasts.
    """
    try:
        document = json.loads(path.read_text())
        if document["schema"] != SCHEMA:
            raise ValueError(f"its schema is {document['schema']!r}")
        for entry in document["forecasts"]:
            _read_entry(entry)
        if question_from_body(document["question"]).experiment != document["question"]["experiment"]:
            raise ValueError("its question is another one than it says")
    except FileNotFoundError as error:
        raise NotFoundError(f"{path}: there is no such file.", todo="palate forecast --import FILE") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.", todo="Mend its permissions.") from error
    except (ValueError, KeyError, TypeError, AttributeError, PalateError) as error:
        raise InputError(
            f"{path} is no file of sealed forecasts.",
            why=f"It is not what palate writes ({type(error).__name__}: {str(error).splitlines()[0]}).",
            todo="Have it written again:  palate forecast EXPERIMENT --export FILE",
        ) from error
    return dict(document)


def _read_entry(entry: Mapping[str, Any]) -> None:
    """Read an entry as it will be read later, so that nothing is sealed that cannot be read."""
    wanted = {"hash", *(_FIELDS if "body" in entry else ("author", "turn"))}
    if not wanted <= set(entry):
        raise ValueError(f"an entry lacks {', '.join(sorted(wanted - set(entry)))}")
    if "body" in entry:
        body = entry["body"]
        said_of(dict(body))
        evidence_of_body(body)
        Author(name=body["author"], agent=body["agent"])
        if missing := {"nonce", "margin", "seeds", "experiment"} - set(body):
            raise ValueError(f"a forecast lacks {', '.join(sorted(missing))}")


@dataclass(frozen=True, slots=True)
class Here:
    """What is known here of the question to which entries come in."""

    story: Story | None
    name: str
    evidence: Evidence
    reference: Reference

    def check(self, entry: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """Check one entry; give the kind and body that it is sealed with here."""
        promise = self.story.committed.get(entry["hash"]) if self.story is not None else None
        if promise is None and (self.evidence.ended or (self.story is not None and self.story.verdict is not None)):
            raise OutcomeSeenError(
                f"experiment {self.name}: runs of the treatment have ended ({self.evidence.ended}).",
                why="A forecast that comes in after results are visible cannot be scored, whenever it was made.",
                todo="Hand over promises before the runs:  palate forecast EXPERIMENT --export FILE --blind",
            )
        if "body" not in entry:
            return PROMISE, self._promised(entry)
        return entry["kind"], self._opened(entry, promise)

    def _promised(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        author, turn = Author(name=str(entry["author"])), _turn(entry["turn"])
        self._refuse_second(author.name, turn)
        body = {"experiment": self.name, "hash": entry["hash"], "author": author.name, "turn": turn}
        return {**body, **self.evidence.body(), "reference": self.reference.body()}

    def _opened(self, entry: Mapping[str, Any], promise: Mapping[str, Any] | None) -> dict[str, Any]:
        """Write the forecast anew from what it says: whoever it is from, and against this project's reference."""
        sent = entry["body"]
        hashed = hash_record({field: entry[field] for field in _FIELDS})
        if hashed != entry["hash"] or sent.get("experiment") != self.name:
            raise ChainBrokenError(
                f"The forecast {entry['hash'][:12]} of {sent.get('author')} was changed after it was sealed.",
                why="Its content does not have the hash that it claims.",
                todo="Have it exported again from the project where it was sealed.",
            )
        author, turn = Author(name=sent["author"], agent=bool(sent["agent"])), _turn(entry["kind"])
        if promise is None:
            self._refuse_second(author.name, turn)
        elif (promise["author"], promise["turn"]) != (author.name, turn):
            raise RefusedError(
                f"The promise {entry['hash'][:12]} was {promise['author']}'s {promise['turn']}, not this.",
                why="A promise is opened as what it was taken in as.",
                todo="Have it exported again by who promised it.",
            )
        there = evidence_of_body(sent)
        here = evidence_of_body(promise) if promise is not None else self.evidence
        seen = there if there.points > here.points else here
        reference = promise["reference"] if promise is not None else self.reference.body()
        told = {"experiment": self.name, **said_body(said_of(sent)), "author": author.name, "agent": author.agent}
        return {
            **told, **seen.body(), "reference": reference, "nonce": sent["nonce"], "margin": sent["margin"],
            "seeds": sent["seeds"], "sealed_as": entry["hash"], "sealed_at": entry["at"],
        }  # fmt: skip

    def _refuse_second(self, author: str, turn: Turn) -> None:
        if self.story is not None and (self.story.of(author, turn) or author in self.story.promised(turn)):
            raise double(self.name, author)


def _turn(kind: object) -> Turn:
    if kind == "forecast":
        return "forecast"
    if kind == "revision":
        return "revision"
    raise InputError(f"{kind!r} is no forecast.", why="Only forecasts and revisions are exchanged.")


def double(name: str, author: str) -> RefusedError:
    """Say that one person has two forecasts of a question."""
    return RefusedError(
        f"{author} has another forecast of {name} here, or has promised one.",
        why="One person, one forecast: two of the same name cannot both count.",
        todo="Forecast under another name: PALATE_AUTHOR=name palate forecast ...",
    )


_OURS = ("reference", "commit", "visible")
"""What a question is sealed with here and is not handed on: the reference would anchor whoever reads the file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What was taken in from a file.

    Attributes:
        experiment: which question.
        question: whether it was new here.
        promised: forecasts of which only the hash came.
        opened: forecasts that came whole.
        known: entries that were here already.
    """

    experiment: str
    question: bool
    promised: int
    opened: int
    known: int


def export_story(chain: Chain, story: Story, author: Author, *, blind: bool) -> dict[str, Any]:
    """Give a question with this author's forecasts as one JSON document.

    Args:
        chain: where it is sealed.
        story: of the question.
        author: whose forecasts; others' are theirs to hand on.
        blind: give their hashes alone.
    """
    name = story.question.experiment
    mine = [
        record
        for record in chain.records()
        if record.kind in ("forecast", "revision")
        and record.body["experiment"] == name
        and record.body["author"] == author.name
        and "sealed_as" not in record.body
    ]
    return {
        "schema": SCHEMA,
        "question": {name: value for name, value in story.asked.body.items() if name not in _OURS},
        "forecasts": [_promise(record) if blind else _whole(record) for record in mine],
    }


def take_in(project: Project, document: Mapping[str, Any], *, now: datetime) -> Taken:
    """Seal what a team mate sealed elsewhere, each entry once; nothing is sealed where one of them is refused.

    The question is written anew from what it asks, with this project's own reference: its words and the one to beat are
    not the team mate's to choose.

    Raises:
        ChainBrokenError: a forecast does not have the hash that it claims.
        InputError: an entry is no forecast.
        OutcomeSeenError: its outcome is visible here, and it was never promised before.
        RefusedError: somebody of that name has another forecast here.
    """
    chain, question = project.chain, question_from_body(document["question"])
    story = find_story(chain, question.experiment)
    known = _known(story)
    fresh = [entry for entry in document["forecasts"] if _mark(entry) not in known]
    bodies = _checked_all(project, fresh, story, question)
    if story is None:
        seal_question(chain, question, now=now, reference=reference_for(chain, question))
    for kind, body in bodies:
        chain.append(kind, body, now=now)
    promised = sum(kind == PROMISE for kind, _ in bodies)
    return Taken(
        experiment=question.experiment,
        question=story is None,
        promised=promised,
        opened=len(bodies) - promised,
        known=len(document["forecasts"]) - len(fresh),
    )


def _known(story: Story | None) -> set[tuple[str, bool]]:
    """Give what is here already: hashes, and whether they were opened."""
    if story is None:
        return set()
    opened = {(one.hash, whole) for one in story.forecasts for whole in (True, False)}
    return opened | {(one, False) for one in story.committed}


def _mark(entry: Mapping[str, Any]) -> tuple[str, bool]:
    return entry["hash"], "body" in entry


def _checked_all(
    project: Project, entries: Sequence[Mapping[str, Any]], story: Story | None, question: Question
) -> list[tuple[str, dict[str, Any]]]:
    """Check all entries before any is sealed; give the kinds and bodies that they are sealed with here."""
    if not entries:
        return []
    with Catalog.open(project) as catalog:
        evidence = evidence_of(project, catalog, question)
        reference = reference_seen(project.chain, catalog, question, evidence)
    here = Here(story, question.experiment, evidence, reference)
    found = [here.check(entry) for entry in entries]
    claims = [(body["author"], body.get("turn", kind), kind == PROMISE) for kind, body in found]
    if len(set(claims)) < len(claims):
        raise double(question.experiment, claims[0][0])
    return found


def _promise(record: Record) -> dict[str, Any]:
    return {"hash": record.hash, "author": record.body["author"], "turn": record.kind}


def _whole(record: Record) -> dict[str, Any]:
    return {
        "number": record.number,
        "at": record.at.isoformat(timespec="microseconds"),
        "kind": record.kind,
        "body": record.body,
        "previous": record.previous,
        "hash": record.hash,
    }
