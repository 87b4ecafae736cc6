"""The sealed chain as standings read it: who said what, in which class, and the scores of that."""

from collections.abc import Mapping, Sequence
from typing import Any

from palate.loop.forecaster import evidence_of_body
from palate.store.chain import Chain, Record

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
