"""Verify the seal: the chain itself, its head as it was noted elsewhere, and forecasts against the runs' own clocks.

The head can be noted in git, on the commit that is checked out, under refs/notes/palate. The note says which chain it
is (by its first record), how many records there were, and what the last one's hash was. Whoever rewrites the chain does
not rewrite the note. Pushed with the code, it dates the chain by the forge's clock and shows a chain that was cut.
Chains of other projects and colleagues have notes of their own beside it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from palate.capture.place import git, run_git
from palate.errors import ChainBrokenError, InputError, NotFoundError, StoreError
from palate.ledger.ledger import TURNS, Ledger
from palate.ledger.records import SealedQuestion, SealedVerdict
from palate.store.catalog import Catalog
from palate.store.chain import GENESIS, Chain, Record
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
    count, head = chain.head()
    if not count:
        raise NotFoundError("Nothing is sealed yet, so there is nothing to anchor.", todo="palate try")
    commit = _git(folder, "rev-parse", "HEAD")
    if not commit:
        raise NotFoundError(
            f"{folder} is in no git repository with a commit.",
            todo="git init, and commit your code; or hand the head to a colleague (palate verify prints it).",
        )
    anchor = Anchor(number=count - 1, hash=head, at=now.isoformat(timespec="seconds"), where=commit[:12])
    line = f"palate {(chain.hash_at(0) or GENESIS)[:12]} {anchor.number} {anchor.hash} {anchor.at}"
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


def read_strange(chain: Chain, folder: Path) -> list[Anchor]:
    """Read the newest head of each other chain that was noted in the folder's repository: perhaps this one's past."""
    first = (chain.hash_at(0) or GENESIS)[:12]
    newest = {name: anchor for name, anchor in _all_anchors(folder) if name != first}  # they come by rising number
    return list(newest.values())


def refuse_lost(project: Project) -> None:
    """Refuse to read a chain of which the notes in git know more records than are there.

    Of one whose seal is broken in itself what is whole is read, and it is said: that is told once.

    Raises:
        ChainBrokenError: it was cut, or is gone.
    """
    chain, folder = project.chain, project.home.parent
    chain.go_on()
    if chain.broken is not None:
        return
    if not len(chain):
        for anchor in read_strange(chain, folder):
            raise _is_gone(chain, anchor)
    for anchor in broken_anchors(chain, read_anchors(chain, folder)):
        raise _is_broken(chain, anchor)


def _is_gone(chain: Chain, anchor: Anchor) -> ChainBrokenError:
    return ChainBrokenError(
        f"{chain.path}: the seal is broken: nothing is sealed here, but {anchor.number + 1} records were noted.",
        why=f"Their head is noted in git ({anchor.at}, {anchor.where}): it was deleted or moved, or is elsewhere.",
        todo="Put back a copy that holds it (a backup, a colleague's).",
    )


def _is_broken(chain: Chain, anchor: Anchor) -> ChainBrokenError:
    return ChainBrokenError(
        f"{chain.path}: the seal is broken: record {anchor.number} is not the one that was noted"
        f" ({anchor.where}, {anchor.hash[:12]}).",
        why="The chain was made anew, or cut, after its head was noted.",
        todo="Put back a copy that holds it (a backup, a colleague's).",
    )


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
        anew: records that were verified one by one; the others' bytes have the hash that they had when they were.
        torn: files in which incomplete last lines were kept.
        strange: the newest head of each other chain that is noted in the same repository.
    """

    records: int
    kinds: dict[str, int]
    head: str
    anchors: tuple[Anchor, ...]
    gone: int
    anew: int
    torn: tuple[str, ...] = ()
    strange: tuple[Anchor, ...] = ()


def verify(project: Project, heads: Sequence[Anchor] = (), *, full: bool = False) -> Verified:
    """Verify the chain, its anchors, and its forecasts against the runs' own clocks.

    Args:
        project: whose chain.
        heads: further heads, as handed over.
        full: verify every record anew and look at every journal again, whatever was seen before. Else the bytes of what
            was verified before must have the hash that they had then, and what came since is verified.

    Raises:
        ChainBrokenError: a record was changed, moved, dropped or dated back; a noted head is not in the chain; or a
            forecast says that it saw nothing when runs of its treatment had logged.
    """
    chain = project.chain
    if full:
        chain.verify()
    count, head = chain.head()
    refuse_lost(project)
    anchors = [*read_anchors(chain, project.home.parent), *heads]
    for anchor in broken_anchors(chain, anchors):
        raise _is_broken(chain, anchor)
    with Catalog.open(project) as catalog:
        catalog.refresh(everything=full)
        if chain.broken is not None:
            raise chain.broken
        note_chain(Ledger.of(chain), catalog, start=0 if full else catalog.noted())
        for number, experiment, run in catalog.contradicted(SKEW_S):
            if Ledger.of(chain).read(experiment).void is None:
                raise _is_contradicted(number, experiment, run)
        gone = catalog.count_gone()
    return Verified(
        records=count,
        kinds=chain.count_kinds(),
        head=head,
        anchors=tuple(anchors),
        gone=gone,
        anew=count - chain.trusted,
        torn=tuple(path.name for path in chain.torn()),
        strange=tuple(read_strange(chain, project.home.parent)),
    )


def note_chain(ledger: Ledger, catalog: Catalog, *, start: int) -> None:
    """Note in the catalog what the chain says of runs, from a record on: what was noted is not read again."""
    chain = ledger.chain
    count = len(chain)
    if count <= start:
        return
    asked = ledger.asked()
    blind = [
        (number, asked[experiment].number)
        for kind in TURNS
        for number, (_, seen, colleague) in chain.kept(kind, start)
        if not seen and colleague is None and (experiment := chain.experiment_at(number)) in asked
    ]
    forecasts = chain.each([forecast for forecast, _ in blind])
    before = chain.each([max(forecast - 1, 0) for forecast, _ in blind])
    questions = map(SealedQuestion.read, chain.each([question for _, question in blind]))
    rows = (
        (record.number, sealed.question.experiment, sealed.question.plan.keys[TREATMENT], _sealed_s(record, previous))
        for record, previous, sealed in zip(forecasts, before, questions, strict=True)
    )
    verdicts = map(SealedVerdict.read, chain.each(chain.numbers(SealedVerdict.KIND, start)))
    resting = (run for sealed in verdicts for runs in sealed.runs.values() for run in runs)
    catalog.note(count, rows, resting)


def _sealed_s(record: Record, before: Record) -> float:
    """Return when a record was sealed, in Unix seconds; long ago where its clock stood behind that of the one before.

    Such a record has the time of the one before, which may be later than it was: no run can be held against it.
    """
    return 0.0 if record.at == before.at and record.number != before.number else record.at.timestamp()


def _is_contradicted(number: int, experiment: str, run: str) -> ChainBrokenError:
    return ChainBrokenError(
        f"The forecast of {experiment} (record {number}) says that nothing was seen, but {run} had logged by then.",
        why="The run's own journal is older than the seal: the forecast is not blind.",
        todo=f'Void the question:  palate forecast {experiment} --void "forecast after the run had begun"',
    )
