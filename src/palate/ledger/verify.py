"""Walk the seal: the chain itself, what was noted of it elsewhere, and forecasts held against the runs' own clocks."""

import math
import re
import subprocess
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from palate.errors import ChainBrokenError, InputError, NotFoundError, StoreError
from palate.question.question import question_from_body
from palate.store.catalog import Catalog
from palate.store.chain import GENESIS, Chain
from palate.store.project import Project
from palate.vocabulary import TREATMENT

REF = "palate"


GIT_S = 20.0


_LINE = re.compile(r"palate ([0-9a-f]{12}) (\d+) ([0-9a-f]{64}) (\S+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """A head that was noted.

    Attributes:
        number: of the last record then.
        hash: of that record.
        at: when it was noted, as the note says.
        where: the commit, or who handed it over.
    """

    number: int
    hash: str
    at: str
    where: str


def anchor_head(chain: Chain, folder: Path, *, now: datetime) -> Anchor:
    """Note the head of the chain on the commit that is checked out, beside earlier notes.

    Raises:
        NotFoundError: there is no repository, no commit, or nothing sealed yet.
        StoreError: git refuses.
    """
    records = chain.records()
    if not records:
        raise NotFoundError("Nothing is sealed yet, so there is nothing to anchor.", todo="palate try")
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None:
        raise NotFoundError(
            f"{folder} is in no git repository with a commit.",
            todo="git init, and commit your code; or hand the head to a team mate (palate verify prints it).",
        )
    found = Anchor(
        number=records[-1].number, hash=records[-1].hash, at=now.isoformat(timespec="seconds"), where=commit[:12]
    )
    line = f"palate {records[0].hash[:12]} {found.number} {found.hash} {found.at}"
    done = _run(folder, "notes", f"--ref={REF}", "append", "-m", line, "HEAD")
    if done.returncode:
        raise StoreError(
            "git does not take the note.",
            why=done.stderr.strip().splitlines()[-3:],
            todo="Tell git who you are (git config user.name, user.email), then type it again.",
        )
    return found


def read_anchors(chain: Chain, folder: Path) -> list[Anchor]:
    """Read the heads of a chain that were noted in the folder's repository; none where there is no repository.

    A chain that was made anew from its first record on is another chain to these notes: hand the head to a team mate
    besides, who can hold it against what is there (`palate verify --against`).
    """
    mine = [record.hash[:12] for record in chain.records()[:1]]
    return [anchor for name, anchor in _all_anchors(folder) if name in mine]


def _all_anchors(folder: Path) -> list[tuple[str, Anchor]]:
    listed = _git(folder, "notes", f"--ref={REF}", "list") or ""
    commits = [line.split()[1] for line in listed.splitlines() if len(line.split()) == 2]
    notes = {commit: _git(folder, "notes", f"--ref={REF}", "show", commit) or "" for commit in commits}
    found = [
        (told[1], Anchor(number=int(told[2]), hash=told[3], at=told[4], where=commit[:12]))
        for commit, text in notes.items()
        for told in _LINE.finditer(text)
    ]
    return sorted(found, key=lambda pair: (pair[1].number, pair[1].at))


def parse_head(text: str) -> Anchor:
    """Read a head as a team mate was given it: `41:3f9c...`, number and hash (or its start, 12 digits or more).

    Raises:
        InputError: it is none.
    """
    told = re.fullmatch(r"(\d+):([0-9a-f]{12,64})", text.strip().lower())
    if told is None:
        raise InputError(
            f"{text!r} is no head of a chain.",
            why="It is a record's number and its hash, 12 digits of it or more, as `palate verify` prints them.",
            todo="--against 41:3f9c41aa70ec",
        )
    return Anchor(number=int(told[1]), hash=told[2], at="", where="handed over")


def broken_anchors(chain: Chain, anchors: list[Anchor]) -> list[Anchor]:
    """Give the anchors that the chain does not hold: the record of that number is another one, or is gone."""
    records = chain.records()
    return [
        anchor
        for anchor in anchors
        if anchor.number >= len(records) or not records[anchor.number].hash.startswith(anchor.hash)
    ]


def _git(folder: Path, *words: str) -> str | None:
    try:
        done = _run(folder, *words)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _run(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["git", "-C", str(folder), *words], capture_output=True, text=True, timeout=GIT_S, check=False
    )


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
