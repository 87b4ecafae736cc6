"""Walk the seal: the chain itself, what was noted of it elsewhere, and forecasts held against the runs' own clocks."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from palate.errors import ChainBrokenError
from palate.loop.anchor import Anchor, broken_anchors, read_anchors
from palate.loop.question import question_from_body
from palate.store.catalog import Catalog
from palate.store.chain import GENESIS
from palate.store.project import Project
from palate.vocabulary import TREATMENT

SKEW_S = 2.0
"""Seconds by which clocks of machines that share a folder may differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Walked:
    """What was found of a chain that holds.

    Attributes:
        records: how many.
        kinds: how many of each.
        head: hash of the last.
        anchors: heads noted elsewhere, all of which it holds.
        gone: runs that verdicts rest on and that are not here any more.
    """

    records: int
    kinds: dict[str, int]
    head: str
    anchors: tuple[Anchor, ...]
    gone: int


def walk(project: Project, heads: Sequence[Anchor] = ()) -> Walked:
    """Walk the chain, its anchors and its forecasts.

    Args:
        project: whose chain.
        heads: further heads, as handed over.

    Raises:
        ChainBrokenError: a record was changed, moved, dropped or dated back; a noted head is not in the chain; or a
            forecast says that it saw nothing when runs of its treatment had logged.
    """
    chain = project.chain
    records = chain.records()
    anchors = [*read_anchors(chain, project.home.parent), *heads]
    for anchor in broken_anchors(chain, anchors):
        raise ChainBrokenError(
            f"{chain.path}: the seal is broken: record {anchor.number} is not the one that was noted"
            f" ({anchor.where}, {anchor.hash[:12]}).",
            why="The chain was made anew, or cut, after its head was noted.",
            todo="Go back to a copy that holds it (git, backup, a team mate's).",
        )
    with Catalog.open(project) as catalog:
        catalog.refresh()
        _refuse_contradicted(_contradicted(project, catalog))
    return Walked(
        records=len(records),
        kinds=dict(Counter(record.kind for record in records)),
        head=records[-1].hash if records else GENESIS,
        anchors=tuple(anchors),
        gone=_gone(project),
    )


def _gone(project: Project) -> int:
    """Count runs that verdicts rest on and whose journals are not here."""
    named = {
        run for verdict in project.chain.records("verdict") for arm in verdict.body["runs"].values() for run in arm
    }
    return sum(not project.journal(run).exists() for run in named)


def _refuse_contradicted(found: Iterator[tuple[int, str, str]]) -> None:
    for number, experiment, run in found:
        raise ChainBrokenError(
            f"The forecast of {experiment} (record {number}) says that nothing was seen, but {run} had logged by then.",
            why="The run's own journal is older than the seal: the forecast is not blind.",
            todo=f'Void the question:  palate forecast {experiment} --void "forecast after the run had begun"',
        )


def _contradicted(project: Project, catalog: Catalog) -> Iterator[tuple[int, str, str]]:
    """Give blind forecasts and revisions, sealed here, that came after the first point of a run of their treatment."""
    chain = project.chain
    void = {record.body["experiment"] for record in chain.records("void")}
    asked = {record.body["experiment"]: record.body for record in chain.records("question")}
    runs: dict[str, list[tuple[str, float]]] = {}
    for record in (*chain.records("forecast"), *chain.records("revision")):
        body, name = record.body, record.body["experiment"]
        if body["evidence_seen"] or name in void or "sealed_as" in body:
            continue
        if name not in runs:
            key = question_from_body(asked[name]).run_key(TREATMENT)
            runs[name] = [(run["id"], _first_point_s(catalog, run)) for run in catalog.runs([key])]
        late = [run for run, first_s in runs[name] if first_s < record.at.timestamp() - SKEW_S]
        if late:
            yield record.number, name, late[0]


def _first_point_s(catalog: Catalog, run: dict[str, Any]) -> float:
    """Give when a run logged its first point, in seconds since 1970; infinity where it never did."""
    names = [row["metric"] for row in catalog.summaries([run["id"]])]
    firsts = [float(catalog.curve(run["id"], name).elapsed_s[0]) for name in names]
    return float(run["started_unix_s"]) + min(firsts, default=math.inf)
