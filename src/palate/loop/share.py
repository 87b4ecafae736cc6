"""Questions and sealed forecasts as files, for team mates who do not share a folder.

A file holds a question and, of forecasts, either the hash alone (a promise: nobody can read the answer, and nobody can
change it later) or the whole record, whose hash anybody can work out again. A promise that was taken in before the
outcome lets the opened forecast count after it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from palate.loop.entries import PROMISE, SCHEMA, Here, double
from palate.loop.forecaster import Author
from palate.loop.ledger import seal_question
from palate.loop.question import Question, question_from_body
from palate.loop.references import reference_for, reference_seen
from palate.loop.seen import evidence_of
from palate.loop.story import Story, find_story
from palate.store.catalog import Catalog
from palate.store.chain import Chain, Record
from palate.store.project import Project

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
