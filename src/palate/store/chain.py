"""The sealed chain: every question, forecast, verdict and score of a project, each vouching for the one before.

A line is canonical JSON with its number, time, kind and body, the SHA-256 of the line before, and its own. Nothing
is ever changed or taken out: a correction is one more record. The chain shows tampering, it does not prevent it: who
can rewrite the whole file can rewrite the whole chain. So hand the head to a colleague, or note it in git.

Beside it lies an index, `chain.index`: what was verified once is not verified again, as long as its bytes have the
hash that they had then. The index can always be made anew, and `verify` does not look at it.
"""

import fcntl
import hashlib
import json
import os
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from palate.errors import ChainBrokenError, InputError, StoreError
from palate.store.bridge import is_bridged
from palate.store.private import make_folder, open_file, write_file

GENESIS = "0" * 64
_FIELDS = {"number", "at", "kind", "body", "previous", "hash"}
_NOBODY = "-"
"""Stands in the index for a record that is of no experiment."""

_SEAL_BYTES = 65
"""The end of a line of the index: a hash in 64 digits, and the line's end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One sealed record.

    Attributes:
        number: 0, 1, 2 ...
        at: when it was sealed, UTC.
        kind: question, forecast, skip, verdict, score ...
        body: what it says; plain JSON data.
        previous: hash of the record before, 64 zeros for the first.
        hash: SHA-256 over all the above.
    """

    number: int
    at: datetime
    kind: str
    body: dict[str, Any]
    previous: str
    hash: str


def hash_record(fields: dict[str, Any]) -> str:
    """Return the hash of a record's fields (without its hash), taken over canonical JSON.

    Raises:
        InputError: they hold an infinity or NaN.
    """
    try:
        text = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except ValueError as error:
        raise InputError(
            f"a {fields['kind']} is not sealed: {error}.", why="Infinities and NaN have no place in what is sealed."
        ) from error
    return hashlib.sha256(text.encode()).hexdigest()


class Chain:
    """Append to, read and verify the sealed chain in one file.

    Attributes:
        path: the file.
        readers: objects that read this chain and keep what they have read (a `Ledger`), one of each type.
        generation: goes up where the file is no longer a continuation of what was read: readers start anew.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.readers: dict[type, Any] = {}
        self.generation = 0
        self._index = path.with_name("chain.index")
        self._mark: tuple[int, int, int] | None = None
        self._is_locked = False
        self._forget()

    def append(self, kind: str, body: dict[str, Any], *, now: datetime) -> Record:
        """Seal one record at the end. See `append_unless`."""
        sealed = self.append_unless(kind, body, lambda: None, now=now)
        assert sealed is not None
        return sealed

    def append_unless(
        self, kind: str, body: dict[str, Any], stop: Callable[[], object], *, now: datetime
    ) -> Record | None:
        """Seal one record at the end, unless what is sealed by then speaks against it.

        The chain is locked while `stop` looks at it, so of two processes that seal the same thing one sees the other's.

        Args:
            kind: of the record.
            body: what it says; plain JSON data.
            stop: reads this chain; what it raises is passed on, and where it returns anything true, nothing is sealed.
            now: when.

        Returns:
            the record; None where it was not sealed.

        Raises:
            InputError: `now` has no time zone, or the body holds what JSON cannot.
            ChainBrokenError: what stands there already does not hold.
            StoreError: the file cannot be written.
        """
        if now.tzinfo is None:
            raise InputError(f"{now} has no time zone; a sealed time is UTC.", todo="Pass datetime.now(UTC).")
        if self.path.exists() and not os.access(self.path, os.W_OK) and stop():
            return None  # nothing is to be sealed, so that it cannot be written does not matter
        with self._locked() as descriptor:
            if stop():
                return None
            last = self._last()
            at = max([now.astimezone(UTC), *([last.at] if last else [])])  # clocks may step back
            fields = {
                "number": len(self._ends),
                "at": at.isoformat(timespec="microseconds"),
                "kind": kind,
                "body": body,
                "previous": last.hash if last else GENESIS,
            }
            sealed = {**fields, "hash": hash_record(fields)}
            line = json.dumps(sealed, sort_keys=True, ensure_ascii=False).encode() + b"\n"
            _write_line(descriptor, line, self.path)
            record = _record(sealed)
            self._take(line, record)
            self._mark = _mark(os.fstat(descriptor))
            self._add_to_index()
        return record

    @contextmanager
    def exclusively(self) -> Iterator[None]:
        """Lock the chain against everybody else who seals, while its file is replaced.

        Raises:
            ChainBrokenError: what stands there does not hold.
            StoreError: the file cannot be written.
        """
        with self._locked():
            yield

    def __len__(self) -> int:
        """Return how many records there are."""
        self._refresh()
        return len(self._ends)

    def head(self) -> tuple[int, str]:
        """Return how many records there are, and the last one's hash: 64 zeros where nothing is sealed."""
        self._refresh()
        last = self._last()
        return len(self._ends), last.hash if last else GENESIS

    def hash_at(self, number: int) -> str | None:
        """Return the hash of the record of this number; None where there is none."""
        self._refresh()
        return self._record(number).hash if 0 <= number < len(self._ends) else None

    def records(self, kind: str | None = None, *, experiment: str | None = None, start: int = 0) -> list[Record]:
        """Read records, oldest first, verified; a file that has not changed is not read again.

        Args:
            kind: only those of this kind.
            experiment: only those of this experiment.
            start: only those from this number on.

        Raises:
            ChainBrokenError: a record was changed, moved, dropped or put in.
        """
        self._refresh()
        known = range(start, len(self._ends)) if experiment is None else self._numbers_of(experiment)
        numbers = [number for number in known if number >= start and kind in (None, self._kinds[number])]
        self._parse([number for number in numbers if number not in self._parsed])
        return [self._parsed[number] for number in numbers]

    def outline(self, start: int = 0) -> list[tuple[int, str, str]]:
        """List number, kind and experiment ("" where it is of none) of the records from `start` on, reading no body."""
        self._refresh()
        return list(zip(range(start, len(self._ends)), self._kinds[start:], self._experiments[start:], strict=True))

    def numbers(self, kind: str, start: int = 0) -> list[int]:
        """List the numbers of the records of a kind, from `start` on, reading no body."""
        self._refresh()
        return [number for number, known in enumerate(self._kinds[start:], start) if known == kind]

    def experiments(self, kind: str) -> frozenset[str]:
        """Name the experiments of which a record of a kind is there, reading no body."""
        self._refresh()
        return frozenset(name for name, known in zip(self._experiments, self._kinds, strict=True) if known == kind)

    def experiment_at(self, number: int) -> str:
        """Return the experiment of the record of one number, which is there, reading no body."""
        return self._experiments[number]

    def record(self, number: int) -> Record:
        """Read the record of one number, which is there."""
        return self._record(number)

    def line(self, number: int) -> bytes:
        """Return the line of the record of one number, which is there; quicker than to read it."""
        return self._text[self._ends[number - 1] if number else 0 : self._ends[number]]

    def verify(self) -> None:
        """Verify every record anew, whatever the index says.

        Raises:
            ChainBrokenError: a record was changed, moved, dropped or put in.
        """
        self._forget()
        self._refresh(trusting=False)

    def _forget(self) -> None:
        self.generation += 1
        self._mark = None
        self._text = b""
        self._digest = hashlib.sha256()
        self._index_digest = hashlib.sha256()
        self._seals: list[str] = []
        self._index_size = -1
        self._ends: list[int] = []
        self._kinds: list[str] = []
        self._experiments: list[str] = []
        self._by_experiment: dict[str, list[int]] = defaultdict(list)
        self._sorted = 0
        self._parsed: dict[int, Record] = {}

    def _numbers_of(self, experiment: str) -> list[int]:
        for number in range(self._sorted, len(self._ends)):
            self._by_experiment[self._experiments[number]].append(number)
        self._sorted = len(self._ends)
        return self._by_experiment.get(experiment, [])

    def _last(self) -> Record | None:
        return self._record(len(self._ends) - 1) if self._ends else None

    def _record(self, number: int) -> Record:
        if number not in self._parsed:
            self._parse([number])
        return self._parsed[number]

    def _parse(self, numbers: list[int]) -> None:
        """Parse the lines of records: of a thousand at once, a quarter quicker than of one after another."""
        for start in range(0, len(numbers), 1000):
            some = numbers[start : start + 1000]
            lines = json.loads(b"[%b]" % b",".join(map(self.line, some)))
            self._parsed.update(zip(some, map(_record, lines), strict=True))

    def _refresh(self, *, trusting: bool = True) -> None:
        """Take in what the file has that is not known yet."""
        if self._is_locked:  # nobody else can write now
            return
        try:
            if self._mark == _mark(self.path.stat()):
                return
            with self.path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH)  # a line that is being written is not a broken one
                self._read(file.fileno(), trusting=trusting)
        except (FileNotFoundError, NotADirectoryError):
            self._forget()
        except OSError as error:
            raise StoreError(f"{self.path} cannot be read: {error.strerror}.", todo="Fix its permissions.") from error

    def _read(self, descriptor: int, *, trusting: bool = True) -> None:
        mark = _mark(os.fstat(descriptor))
        if mark == self._mark:
            return
        grown = self._mark is not None and mark[0] == self._mark[0] and mark[1] > self._mark[1]
        text = os.pread(descriptor, mark[1], 0)
        if not (grown and text.startswith(self._text)):
            self._forget()
        self._text = text
        if not self._ends and trusting:
            self._trust_index(text)
        known = len(self._ends)
        self._verify_rest(text)
        self._mark = mark
        if len(self._ends) > known:
            self._write_index()

    def _trust_index(self, text: bytes) -> None:
        """Take what was verified before, where chain and index are, byte by byte, what they were then."""
        try:
            content = self._index.read_bytes()
            cells = content.decode().split()
            end = int(cells[-4])
        except (OSError, ValueError, IndexError):
            return
        if end > len(text) or len(cells) != 4 * content.count(b"\n"):
            return
        self._digest = hashlib.sha256(memoryview(text)[:end])
        self._index_digest = hashlib.sha256(memoryview(content)[:-_SEAL_BYTES])
        if f"{self._seal()}\n".encode() != content[-_SEAL_BYTES:]:
            self._digest, self._index_digest = hashlib.sha256(), hashlib.sha256()
            return
        self._index_digest.update(content[-_SEAL_BYTES:])
        self._ends = list(map(int, cells[0::4]))
        self._kinds = cells[1::4]
        self._experiments = ["" if experiment == _NOBODY else experiment for experiment in cells[2::4]]
        self._seals = cells[3::4]
        self._index_size = len(content)

    def _seal(self) -> str:
        """Return the hash of the chain's bytes and of what the index says of them."""
        return hashlib.sha256(self._digest.digest() + self._index_digest.digest()).hexdigest()

    def _verify_rest(self, text: bytes) -> None:
        """Verify the records that are not known yet, and take them in."""
        start = self._ends[-1] if self._ends else 0
        before = self._last()
        for line in text[start:].split(b"\n")[:-1]:
            before = _checked(line, len(self._ends), before, self.path)
            self._take(line + b"\n", before)
        if not text.endswith(b"\n") and text:
            raise _broken(self.path, len(self._ends), "its last line is not complete")

    def _take(self, line: bytes, record: Record) -> None:
        number = len(self._ends)
        end = (self._ends[-1] if self._ends else 0) + len(line)
        if end > len(self._text):  # sealed by this process just now
            self._text += line
        experiment = str(record.body.get("experiment") or "")
        self._ends.append(end)
        self._kinds.append(record.kind)
        self._experiments.append(experiment)
        self._parsed[number] = record
        self._digest.update(line)
        self._index_digest.update(self._row(number).encode())
        self._seals.append(self._seal())
        self._index_digest.update(f"{self._seals[-1]}\n".encode())

    def _row(self, number: int) -> str:
        """Return what the index says of a record, up to its seal: where it ends, its kind, its experiment."""
        return f"{self._ends[number]} {self._kinds[number]} {self._experiments[number] or _NOBODY} "

    def _add_to_index(self) -> None:
        """Add the last record to the index, or make it anew where somebody else wrote it; under the exclusive lock."""
        with suppress(OSError):  # a store that cannot be written goes without
            if self._index_size == self._index.stat().st_size:
                line = f"{self._row(len(self._ends) - 1)}{self._seals[-1]}\n".encode()
                with self._index.open("ab") as file:
                    file.write(line)
                self._index_size += len(line)
                return
        self._write_index()

    def _write_index(self) -> None:
        """Make the index anew; all who write it at once write the same."""
        content = "".join(f"{self._row(number)}{seal}\n" for number, seal in enumerate(self._seals))
        written = self._index.with_name(f".{self._index.name}.{os.getpid()}.{threading.get_ident()}")
        try:
            write_file(written, content)
            written.replace(self._index)
            self._index_size = len(content.encode())
        except OSError:
            with suppress(OSError):
                written.unlink(missing_ok=True)

    @contextmanager
    def _locked(self) -> Iterator[int]:
        try:
            make_folder(self.path.parent, top=True)
            descriptor = _open_locked(self.path)
        except OSError as error:
            raise _cannot_seal(self.path, error) from error
        try:
            self._read(descriptor)
            self._is_locked = True
            yield descriptor
        finally:
            self._is_locked = False
            os.close(descriptor)


def _open_locked(path: Path) -> int:
    """Open a chain and lock it; one that was replaced while this waited for the lock (see `bridge`) is opened anew."""
    while True:
        descriptor = open_file(path, os.O_RDWR | os.O_APPEND)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if os.fstat(descriptor).st_ino == path.stat().st_ino:
                return descriptor
        except FileNotFoundError:
            pass
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _mark(stat: os.stat_result) -> tuple[int, int, int]:
    """Return a file's state: another inode, size or time of change is another state."""
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def _write_line(descriptor: int, line: bytes, path: Path) -> None:
    size = os.fstat(descriptor).st_size
    try:
        written = os.write(descriptor, line)
        if written < len(line):
            raise OSError(28, "No space left on device")
        os.fsync(descriptor)
    except OSError as error:
        os.ftruncate(descriptor, size)
        raise _cannot_seal(path, error) from error


def _cannot_seal(path: Path, error: OSError) -> StoreError:
    return StoreError(
        f"{path} cannot be written: {error.strerror}.",
        why="Nothing was sealed; what was there is as it was.",
        todo="Free space, or choose a folder that can be written: PALATE_HOME=/path/to/folder",
    )


def _checked(line: bytes, number: int, before: Record | None, path: Path) -> Record:
    try:
        fields = json.loads(line)
    except ValueError as error:
        raise _broken(path, number, "it is not JSON") from error
    if not isinstance(fields, dict) or set(fields) != _FIELDS:
        raise _broken(path, number, "fields are missing or were added")
    if json.dumps(fields, sort_keys=True, ensure_ascii=False).encode() != line:
        raise _broken(path, number, "it is not written the way it was sealed")
    claimed = fields.pop("hash")
    if fields["number"] != number or fields["previous"] != (before.hash if before else GENESIS):
        raise _broken(path, number, "it does not follow the record before it")
    now = hash_record(fields)
    if now != claimed and not is_bridged(path, number, fields, claimed, now):
        raise _broken(path, number, "its content was changed")
    record = _record({**fields, "hash": claimed})
    if before and record.at < before.at:
        raise _broken(path, number, "it is dated before the record before it")
    return record


def _record(fields: dict[str, Any]) -> Record:
    return Record(
        number=fields["number"],
        at=datetime.fromisoformat(fields["at"]),
        kind=fields["kind"],
        body=fields["body"],
        previous=fields["previous"],
        hash=fields["hash"],
    )


def _broken(path: Path, number: int, how: str) -> ChainBrokenError:
    return ChainBrokenError(
        f"{path}: the seal is broken at record {number}: {how}.",
        why="From there on, nothing shows that forecasts came before their outcomes.",
        todo=(
            f"Each record is a line of that file, the first one number 0: look at line {number + 1}.",
            "Go back to a copy (git, backup), or start a new project folder.",
        ),
    )
