"""What is known of a chain without reading its records: where each ends, its kind, its experiment, and a few fields.

It lies beside the chain in `chain.index`, a line a record, and is a checkpoint: the last line says what the chain's
bytes hashed to when all up to there was verified, so that only what came later has to be. Its own bytes are sealed
with a key of the user's, so that one that is damaged, or that came from elsewhere with its chain, is made anew.
"""

import hashlib
import json
import os
from array import array
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from palate.store.config import user_key
from palate.store.private import replace_file

KEPT: Mapping[str, tuple[str, ...]] = {
    "question": (
        "margin", "metric.name", "metric.goal", "take", "data", "target.label", "visible", "changes", "edit.words",
    ),
    "verdict": ("kind", "variance", "n", "raw", "spread", "seed_sd"),
    "forecast": ("author", "evidence_seen", "sealed_as"),
    "revision": ("author", "evidence_seen", "sealed_as"),
    "score": ("author", "turn", "kind", "settled"),
    "skip": ("author",),
    "commitment": ("author",),
    "when": ("event.metric", "event.goal"),
}  # fmt: skip
"""The fields of a body that are kept in the index, by kind of record: what is asked of a whole past at once."""

_FORMAT = json.dumps(KEPT).encode()
"""What an index is sealed with: one of which other fields are kept is made anew."""

LONG_BYTES = 2_000
"""What is kept of one record is not longer: of a longer one nothing is kept, and it is read."""

CELLS = 5
_TOO_LONG = b"null"
"""Stands for the fields of a record of which nothing is kept."""

_NOBODY = "-"
_HASH_DIGITS = 16
_READ_BYTES = 1 << 20

Fields = list[Any]


class ChainIndex:
    """The rows of an index, and its file.

    Attributes:
        path: the file.
        ends: by number, the byte where the record ends.
        kinds: by number.
        experiments: by number, "" where it is of none.
        digest: of the chain's bytes up to the last record's end.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._size = -1
        self.forget()

    def forget(self) -> None:
        """Know nothing."""
        self.ends = array("Q")
        self.kinds: list[str] = []
        self.experiments: list[str] = []
        self.digest = hashlib.sha256()
        self._kept: list[bytes] = []
        self._seals: list[bytes] = []
        self._own = hashlib.sha256(_FORMAT + user_key())
        self._by_kind: dict[str, list[int]] = defaultdict(list)
        self._by_experiment: dict[str, list[int]] = defaultdict(list)
        self._sorted = self._sorted_by_experiment = 0

    def __len__(self) -> int:
        """Return how many records are known."""
        return len(self.ends)

    @property
    def end(self) -> int:
        """The byte where the last known record ends."""
        return self.ends[-1] if self.ends else 0

    def span(self, number: int) -> tuple[int, int]:
        """Return where a record's line begins and ends."""
        return (self.ends[number - 1] if number else 0), self.ends[number]

    def of_kind(self, kind: str) -> list[int]:
        """List the numbers of the records of a kind."""
        self._sort()
        return self._by_kind.get(kind, [])

    def of_experiment(self, experiment: str) -> list[int]:
        """List the numbers of an experiment's records."""
        start, self._sorted_by_experiment = self._sorted_by_experiment, len(self.ends)
        for number, name in enumerate(self.experiments[start:], start):
            self._by_experiment[name].append(number)
        return self._by_experiment.get(experiment, [])

    def count_kinds(self) -> dict[str, int]:
        """Count the records of each kind, in the order in which they first came."""
        self._sort()
        return {kind: len(numbers) for kind, numbers in self._by_kind.items() if kind}

    def kept(self, numbers: list[int]) -> Iterator[tuple[int, Fields | None]]:
        """Yield, for records of these numbers, the fields that are kept; None where the record itself is to be read."""
        for start in range(0, len(numbers), 1000):
            some = numbers[start : start + 1000]
            yield from zip(some, json.loads(b"[%b]" % b",".join(self._kept[number] for number in some)), strict=True)

    def newest(self, kind: str, holding: str, *, with_first: bool = False) -> Iterator[tuple[int, Fields | None]]:
        """Yield the kept fields of the records of a kind, the newest first; None as in `kept`.

        Args:
            kind: of the records.
            holding: only those that hold this text.
            with_first: only those of which the first field is there.
        """
        text, without = _spaceless(holding), b"[null," if with_first else b"\n"
        for number in reversed(self.of_kind(kind)):
            cell = self._kept[number]
            if not cell.startswith(without) and (text in cell or cell == _TOO_LONG):
                yield number, json.loads(cell)

    def take(self, line: bytes, kind: str, body: Mapping[str, Any]) -> None:
        """Take in the next record: its line in the chain, and what is asked of it."""
        self.digest.update(line)
        experiment = str(body.get("experiment") or "")
        self._add(self.end + len(line), kind, experiment, _written(fields_of(kind, body)))

    def skip(self, line: bytes) -> None:
        """Take in a line that is no whole record, so that those behind it keep their numbers."""
        self.digest.update(line)
        self._add(self.end + len(line), "", "", _TOO_LONG)

    def _add(self, end: int, kind: str, experiment: str, kept: bytes) -> None:
        self.ends.append(end)
        self.kinds.append(kind)
        self.experiments.append(experiment)
        self._kept.append(kept)
        row = self._row(len(self.ends) - 1)
        self._own.update(row)
        seal = (self.digest.hexdigest()[:_HASH_DIGITS] + self._own.hexdigest()[:_HASH_DIGITS]).encode()
        self._own.update(seal + b"\n")
        self._seals.append(seal)

    def _row(self, number: int) -> bytes:
        name = _cell(self.experiments[number])
        return f"{self.ends[number]} {_cell(self.kinds[number])} {name} ".encode() + self._kept[number] + b" "

    def _sort(self) -> None:
        start, self._sorted = self._sorted, len(self.ends)
        for number, kind in enumerate(self.kinds[start:], start):
            self._by_kind[kind].append(number)

    def load(self) -> None:
        """Take in what the file says, where it is whole; else know nothing. What it says of the chain is to be checked.

        A line that was cut off by a power cut is left out: what it said is verified again.
        """
        self.forget()
        try:
            if not self.path.is_file():
                return
            content = self.path.read_bytes()
        except OSError:
            return
        self._size = len(content)
        content = content[: content.rfind(b"\n") + 1]
        cells = content.split()
        if not cells or len(cells) != CELLS * content.count(b"\n"):
            return
        seal_at = len(content) - 1 - len(cells[-1])
        own = hashlib.sha256(_FORMAT + user_key())
        own.update(memoryview(content)[:seal_at])
        try:
            self._take_cells(cells)
        except (ValueError, OverflowError):
            self.forget()
            return
        if own.hexdigest()[:_HASH_DIGITS].encode() != cells[-1][_HASH_DIGITS:]:
            self.forget()
            return
        own.update(cells[-1] + b"\n")
        self._own = own

    def _take_cells(self, cells: list[bytes]) -> None:
        self.ends = array("Q", map(int, cells[0::CELLS]))
        kinds = {cell: _text(cell) for cell in set(cells[1::CELLS])}
        self.kinds = list(map(kinds.__getitem__, cells[1::CELLS]))
        names = {cell: _text(cell) for cell in set(cells[2::CELLS])}
        self.experiments = list(map(names.__getitem__, cells[2::CELLS]))
        self._kept = cells[3::CELLS]
        self._seals = cells[4::CELLS]

    def is_of(self, descriptor: int) -> bool:
        """Return whether the chain's bytes are those that the index was made of; read in parts, never as a whole."""
        digest, at = hashlib.sha256(), 0
        buffer = memoryview(bytearray(_READ_BYTES))
        while at < self.end:
            got = os.preadv(descriptor, [buffer[: min(_READ_BYTES, self.end - at)]], at)
            if not got:
                return False
            digest.update(buffer[:got])
            at += got
        self.digest = digest
        return digest.hexdigest()[:_HASH_DIGITS].encode() == self._seals[-1][:_HASH_DIGITS] if self._seals else True

    def add_last(self) -> None:
        """Write the last row behind the others, or the file anew where somebody else wrote it."""
        with suppress(OSError):  # a store that cannot be written goes without
            if self._size == self.path.stat().st_size:
                line = self._row(len(self.ends) - 1) + self._seals[-1] + b"\n"
                with self.path.open("ab") as file:
                    file.write(line)
                self._size += len(line)
                return
        self.write()

    def write(self) -> None:
        """Write the file anew; all who do so at once write the same."""
        written = b"".join(self._row(number) + seal + b"\n" for number, seal in enumerate(self._seals))
        with suppress(OSError):  # a store that cannot be written goes without
            replace_file(self.path, written, synced=False)
            self._size = len(written)


def fields_of(kind: str, body: Mapping[str, Any]) -> Fields:
    """Return the fields of a record's body that are kept of its kind; None for each that it lacks."""
    return [_at(body, path.split(".")) for path in KEPT.get(kind, ())]


def _written(fields: Fields) -> bytes:
    text = _spaceless(fields)
    return text if len(text) <= LONG_BYTES else _TOO_LONG


def _spaceless(data: object) -> bytes:
    return json.dumps(data, separators=(",", ":")).replace(" ", "\\u0020").encode()


def _at(body: object, names: list[str]) -> Any:
    for name in names:
        body = body.get(name) if isinstance(body, dict) else None
    return body


def _cell(text: str) -> str:
    """Write a word so that no space is in it."""
    plain = json.dumps(text)[1:-1].replace(" ", "\\u0020")
    return {"": _NOBODY, _NOBODY: "\\u002d"}.get(plain, plain)


def _text(cell: bytes) -> str:
    """Undo `_cell`."""
    word = cell.decode()
    if word == _NOBODY:
        return ""
    return str(json.loads(f'"{word}"')) if "\\" in word else word
