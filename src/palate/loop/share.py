"""Questions and sealed forecasts as files, for team mates who do not share a folder.

A file holds a question and, of forecasts, either the hash alone (a promise: nobody can read the answer, and nobody can
change it later) or the whole record, whose hash anybody can work out again. A promise that was taken in before the
outcome lets the opened forecast count after it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from palate.errors import ChainBrokenError, InputError, OutcomeSeenError, RefusedError
from palate.loop.ledger import Author, Evidence, Story, find_story
from palate.loop.question import question_from_body
from palate.loop.seen import evidence_of
from palate.store.catalog import Catalog
from palate.store.chain import Chain, Record, hash_record
from palate.store.project import Project

SCHEMA = "palate.sealed/1"
_FIELDS = ("number", "at", "kind", "body", "previous")


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
        "question": story.asked.body,
        "forecasts": [_promise(record) if blind else _whole(record) for record in mine],
    }


def read_export(path: Path) -> dict[str, Any]:
    """Read such a file.

    Raises:
        InputError: it is not there, or it is no file of sealed forecasts.
    """
    try:
        document = json.loads(path.read_text())
        if document["schema"] != SCHEMA or not isinstance(document["forecasts"], list):
            raise ValueError("another schema")
        if question_from_body(document["question"]).experiment != document["question"]["experiment"]:
            raise ValueError("its question is another one than it says")
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} is no file of sealed forecasts.",
            why=f"It is not what palate writes ({type(error).__name__}: {error}).",
            todo="Have it written again:  palate forecast EXPERIMENT --export FILE",
        ) from error
    return dict(document)


def take_in(project: Project, document: Mapping[str, Any], *, now: datetime) -> Taken:
    """Seal what a team mate sealed elsewhere, each entry once; nothing is sealed where one of them is refused.

    Raises:
        ChainBrokenError: a forecast does not have the hash that it claims.
        OutcomeSeenError: its outcome is visible here, and it was never promised before.
        RefusedError: somebody of that name has another forecast here.
    """
    chain, name = project.chain, document["question"]["experiment"]
    story = find_story(chain, name)
    known = _known(story)
    fresh = [entry for entry in document["forecasts"] if _mark(entry) not in known]
    evidence = _evidence(project, document) if fresh else Evidence()
    bodies = [_checked(entry, story, evidence, document["question"]) for entry in fresh]
    if story is None:
        chain.append("question", dict(document["question"]), now=now)
    for kind, body in bodies:
        chain.append(kind, body, now=now)
    promised = sum(kind == "commitment" for kind, _ in bodies)
    return Taken(
        experiment=name,
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


def _evidence(project: Project, document: Mapping[str, Any]) -> Evidence:
    """Read what of the treatment exists here, at the moment at which a forecast comes in."""
    with Catalog.open(project) as catalog:
        return evidence_of(project, catalog, question_from_body(document["question"]))


def _checked(
    entry: Mapping[str, Any], story: Story | None, evidence: Evidence, question: Mapping[str, Any]
) -> tuple[str, dict[str, Any]]:
    """Check one entry; give the kind and body that it is sealed with here."""
    name = question["experiment"]
    promise = story.committed.get(entry["hash"]) if story is not None else None
    if promise is None and (evidence.ended or (story is not None and story.verdict is not None)):
        raise OutcomeSeenError(
            f"experiment {name}: runs of the treatment have ended ({evidence.ended}).",
            why="A forecast that comes in after results are visible cannot be scored, whenever it says it was made.",
            todo="Hand over promises before the runs:  palate forecast EXPERIMENT --export FILE --blind",
        )
    seen = {"evidence_seen": evidence.points, "samples_seen": evidence.samples, "share_seen": evidence.share}
    if "body" not in entry:
        return "commitment", {"experiment": name, "hash": entry["hash"], "author": entry["author"], **seen}
    _refuse_changed(entry, name)
    _refuse_double(entry, story)
    told = {**entry["body"], **_most(entry["body"], promise or seen)}
    if not told["evidence_seen"]:
        told["reference"] = (story.asked.body if story is not None else question)["reference"]
    return entry["kind"], {**told, "sealed_as": entry["hash"], "sealed_at": entry["at"]}


def _refuse_changed(entry: Mapping[str, Any], name: str) -> None:
    if hash_record({field: entry[field] for field in _FIELDS}) != entry["hash"] or entry["body"]["experiment"] != name:
        raise ChainBrokenError(
            f"The forecast {entry['hash'][:12]} of {entry['body'].get('author')} was changed after it was sealed.",
            why="Its content does not have the hash that it claims.",
            todo="Have it exported again from the project where it was sealed.",
        )


def _refuse_double(entry: Mapping[str, Any], story: Story | None) -> None:
    author, turn = entry["body"]["author"], entry["kind"]
    if story is not None and story.of(author, turn) is not None:
        raise RefusedError(
            f"{author} has another {turn} of {story.question.experiment} here.",
            why="One person, one forecast: two of the same name cannot both count.",
            todo="Forecast under another name: PALATE_AUTHOR=name palate forecast ...",
        )


def _most(body: Mapping[str, Any], here: Mapping[str, Any]) -> dict[str, Any]:
    """Take what existed here, when it came in or was promised, where that is more than where it was sealed."""
    fields = ("evidence_seen", "samples_seen", "share_seen")
    return {field: here[field] for field in fields} if here["evidence_seen"] > body["evidence_seen"] else {}


def _promise(record: Record) -> dict[str, Any]:
    return {"hash": record.hash, "author": record.body["author"]}


def _whole(record: Record) -> dict[str, Any]:
    return {
        "number": record.number,
        "at": record.at.isoformat(timespec="microseconds"),
        "kind": record.kind,
        "body": record.body,
        "previous": record.previous,
        "hash": record.hash,
    }
