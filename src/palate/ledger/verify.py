"""Verify the seal: the chain itself, its head as it was noted elsewhere, and forecasts against the runs' own clocks.

The head can be noted in git, on the commit that is checked out, under refs/notes/palate. The note says which chain it
is (by its first record), how many records there were, and what the last one's hash was. Whoever rewrites the chain does
not rewrite the note. Pushed with the code, it dates the chain by the forge's clock and shows a chain that was cut.
Chains of other projects and colleagues have notes of their own beside it.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from palate.capture.place import git, run_git
from palate.errors import ChainBrokenError, InputError, NotFoundError, StoreError
from palate.ledger.ledger import Ledger
from palate.ledger.records import SealedForecast, SealedVerdict
from palate.store.catalog import Catalog, RunRow
from palate.store.chain import GENESIS, Chain
from palate.store.project import Project
from palate.vocabulary import TREATMENT

REF = "palate"

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
    if not commit:
        raise NotFoundError(
            f"{folder} is in no git repository with a commit.",
            todo="git init, and commit your code; or hand the head to a colleague (palate verify prints it).",
        )
    anchor = Anchor(
        number=records[-1].number, hash=records[-1].hash, at=now.isoformat(timespec="seconds"), where=commit[:12]
    )
    line = f"palate {records[0].hash[:12]} {anchor.number} {anchor.hash} {anchor.at}"
    done = run_git(folder, "notes", f"--ref={REF}", "append", "-m", line, "HEAD")
    if done is None or done.returncode:
        raise StoreError(
            "git does not take the note.",
            why=done.stderr.decode(errors="replace").strip().splitlines()[-3:] if done else "It does not answer.",
            todo="Tell git who you are (git config user.name, user.email), then type it again.",
        )
    return anchor


def read_anchors(chain: Chain, folder: Path) -> list[Anchor]:
    """Read the heads of a chain that were noted in the folder's repository; none where there is no repository.

    A chain that was made anew from its first record on is another chain to these notes: hand the head to a colleague
    besides, who can hold it against what is there (`palate verify --against`).
    """
    first = (chain.hash_at(0) or GENESIS)[:12]
    return [anchor for name, anchor in _all_anchors(folder) if name == first]


def _all_anchors(folder: Path) -> list[tuple[str, Anchor]]:
    listed = _git(folder, "notes", f"--ref={REF}", "list")
    commits = [line.split()[1] for line in listed.splitlines() if len(line.split()) == 2]
    notes = {commit: _git(folder, "notes", f"--ref={REF}", "show", commit) for commit in commits}
    anchors = [
        (line[1], Anchor(number=int(line[2]), hash=line[3], at=line[4], where=commit[:12]))
        for commit, text in notes.items()
        for line in _LINE.finditer(text)
    ]
    return sorted(anchors, key=lambda pair: (pair[1].number, pair[1].at))


def parse_head(text: str) -> Anchor:
    """Read a head as a colleague was given it: `41:3f9c...`, number and hash (or its start, 12 digits or more).

    Raises:
        InputError: it is not one.
    """
    head = re.fullmatch(r"(\d+):([0-9a-f]{12,64})", text.strip().lower())
    if head is None:
        raise InputError(
            f"{text!r} is not the head of a chain.",
            why="It is a record's number and its hash, 12 digits of it or more, as `palate verify` prints them.",
            todo="--against 41:3f9c41aa70ec",
        )
    return Anchor(number=int(head[1]), hash=head[2], at="", where="handed over")


def broken_anchors(chain: Chain, anchors: list[Anchor]) -> list[Anchor]:
    """Return the anchors that the chain does not hold: the record of that number is another one, or is gone."""
    return [anchor for anchor in anchors if not (chain.hash_at(anchor.number) or "").startswith(anchor.hash)]


def _git(folder: Path, *words: str) -> str:
    return (git(folder, *words) or b"").decode(errors="replace").strip()


SKEW_S = 2.0
"""Seconds by which clocks of machines that share a folder may differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What was seen of a chain that holds.

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


def verify(project: Project, heads: Sequence[Anchor] = ()) -> Verified:
    """Verify the chain from its first record on, its anchors, and its forecasts against the runs' own clocks.

    Args:
        project: whose chain.
        heads: further heads, as handed over.

    Raises:
        ChainBrokenError: a record was changed, moved, dropped or dated back; a noted head is not in the chain; or a
            forecast says that it saw nothing when runs of its treatment had logged.
    """
    chain = project.chain
    chain.verify()
    anchors = [*read_anchors(chain, project.home.parent), *heads]
    for anchor in broken_anchors(chain, anchors):
        raise ChainBrokenError(
            f"{chain.path}: the seal is broken: record {anchor.number} is not the one that was noted"
            f" ({anchor.where}, {anchor.hash[:12]}).",
            why="The chain was made anew, or cut, after its head was noted.",
            todo="Go back to a copy that holds it (git, backup, a colleague's).",
        )
    with Catalog.open(project) as catalog:
        catalog.refresh()
        for forecast, run in _contradicted(Ledger.of(chain), catalog):
            raise _is_contradicted(forecast, run)
    count, head = chain.head()
    return Verified(
        records=count,
        kinds=dict(Counter(kind for _, kind, _ in chain.outline())),
        head=head,
        anchors=tuple(anchors),
        gone=_gone(project),
    )


def _gone(project: Project) -> int:
    """Count runs that verdicts rest on and whose journals are not here."""
    verdicts = [SealedVerdict.read(record) for record in project.chain.records(SealedVerdict.KIND)]
    named = {run for sealed in verdicts for runs in sealed.runs.values() for run in runs}
    return sum(not project.journal(run).exists() for run in named)


def _is_contradicted(forecast: SealedForecast, run: str) -> ChainBrokenError:
    name = forecast.experiment
    return ChainBrokenError(
        f"The forecast of {name} (record {forecast.number}) says that nothing was seen, but {run} had logged by then.",
        why="The run's own journal is older than the seal: the forecast is not blind.",
        todo=f'Void the question:  palate forecast {name} --void "forecast after the run had begun"',
    )


def _contradicted(ledger: Ledger, catalog: Catalog) -> Iterator[tuple[SealedForecast, str]]:
    """Yield blind forecasts, sealed here, that came after the first point of a run of their treatment, with the run."""
    for experiment in ledger.experiments("forecast"):
        blind = [one for one in experiment.forecasts if not one.evidence.points and not one.colleague]
        if not blind or experiment.void is not None:
            continue
        runs = catalog.runs([experiment.question.plan.keys[TREATMENT]])
        first_s = {run.id: _first_point_s(catalog, run) for run in runs}
        for forecast in blind:
            before_s = forecast.at.timestamp() - SKEW_S
            late = [run for run, logged_s in first_s.items() if logged_s < before_s]
            if late:
                yield forecast, late[0]


def _first_point_s(catalog: Catalog, run: RunRow) -> float:
    """Return when a run logged its first point, in seconds since 1970; infinity where it never did."""
    metrics = [summary.metric for summary in catalog.summaries([run.id])]
    firsts = [float(catalog.curve(run.id, metric).elapsed_s[0]) for metric in metrics]
    return run.started_unix_s + min(firsts, default=math.inf)
