"""Anchors: the head of the sealed chain noted in git, where whoever rewrites the chain has no hand.

A note under refs/notes/palate on the commit that is checked out says which chain it is (by its first record), how many
records there were and what the last one's hash was. Pushed with the code, it dates the chain by the forge's clock and
shows a chain that was cut. Chains of other projects and team mates have notes of their own beside it.
"""

import re
import subprocess
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from palate.errors import InputError, NotFoundError, StoreError
from palate.store.chain import Chain

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
