"""The sealed chain: every question, forecast, verdict and score of a project, each vouching for the one before.

A line is canonical JSON with its number, time, kind and body, the SHA-256 of the line before, and its own. Nothing
is ever changed or taken out: a correction is one more record. It shows tampering, it does not prevent it: who
can rewrite the whole file can rewrite the whole chain, so hand the head to a team mate, or note it in git.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from palate.errors import ChainBrokenError, InputError, StoreError

GENESIS = "0" * 64
_FIELDS = {"number", "at", "kind", "body", "previous", "hash"}


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
    """Hash a record's fields (without its hash) as canonical JSON."""
    try:
        text = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except ValueError as error:
        raise InputError(
            f"a {fields['kind']} is not sealed: {error}.", why="Infinities and NaN have no place in what is sealed."
        ) from error
    return hashlib.sha256(text.encode()).hexdigest()


class Chain:
    """Append to, read and verify the sealed chain in one file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read: tuple[tuple[int, int, int], tuple[Record, ...]] | None = None

    def append(self, kind: str, body: dict[str, Any], *, now: datetime) -> Record:
        """Seal one record at the end. See `append_unless`."""
        sealed = self.append_unless(kind, body, lambda _: None, now=now)
        assert sealed is not None
        return sealed

    def append_unless(
        self, kind: str, body: dict[str, Any], stop: Callable[[Sequence[Record]], object], *, now: datetime
    ) -> Record | None:
        """Seal one record at the end, unless what is sealed by then speaks against it.

        The chain is locked while `stop` looks at it, so of two processes that seal the same thing one sees the other's.

        Args:
            kind: of the record.
            body: what it says; plain JSON data.
            stop: given all records so far; what it raises is passed on, and where it gives anything true, nothing
                is sealed.
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
        with self._locked() as descriptor:
            records = self._known(descriptor)
            if stop(records):
                return None
            head = records[-1].hash if records else GENESIS
            at = max([now.astimezone(UTC), *(record.at for record in records[-1:])])  # clocks may step back
            fields = {
                "number": len(records),
                "at": at.isoformat(timespec="microseconds"),
                "kind": kind,
                "body": body,
                "previous": head,
            }
            sealed = {**fields, "hash": hash_record(fields)}
            _write_line(descriptor, json.dumps(sealed, sort_keys=True, ensure_ascii=False), self.path)
            self._read = (_mark(os.fstat(descriptor)), (*records, _record(sealed)))
        return _record(sealed)

    def records(self, kind: str | None = None) -> list[Record]:
        """Read all records (of one kind), oldest first, verified; a file that has not changed is not read again.

        Raises:
            ChainBrokenError: a record was changed, moved, dropped or put in.
        """
        try:
            with self.path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH)  # a line that is being written is not a broken one
                found = self._known(file.fileno())
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise StoreError(f"{self.path} cannot be read: {error.strerror}.", todo="Mend its permissions.") from error
        return [record for record in found if kind in (None, record.kind)]

    def _known(self, descriptor: int) -> tuple[Record, ...]:
        """Give the records of an open file, verified; parsed anew only where it has changed."""
        mark = _mark(os.fstat(descriptor))
        if self._read is None or self._read[0] != mark:
            self._read = (mark, tuple(_parse(_read_all(descriptor), self.path)))
        return self._read[1]

    @contextmanager
    def _locked(self) -> Iterator[int]:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise _cannot_seal(self.path, error) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield descriptor
        finally:
            os.close(descriptor)


def _mark(told: os.stat_result) -> tuple[int, int, int]:
    """Tell a file's state: another inode, size or time of change is another state."""
    return told.st_ino, told.st_size, told.st_mtime_ns


def _read_all(descriptor: int) -> bytes:
    return os.pread(descriptor, os.fstat(descriptor).st_size, 0)


def _write_line(descriptor: int, line: str, path: Path) -> None:
    size = os.fstat(descriptor).st_size
    payload = line.encode() + b"\n"
    try:
        written = os.write(descriptor, payload)
        if written < len(payload):
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


def _parse(text: bytes, path: Path) -> list[Record]:
    records: list[Record] = []
    head = GENESIS
    for number, line in enumerate(text.split(b"\n")[:-1]):
        records.append(_checked(line, number, head, records, path))
        head = records[-1].hash
    if text and not text.endswith(b"\n"):
        raise _broken(path, len(records), "its last line is not complete")
    return records


def _checked(line: bytes, number: int, head: str, before: list[Record], path: Path) -> Record:
    try:
        fields = json.loads(line)
    except ValueError as error:
        raise _broken(path, number, "it is no JSON") from error
    if not isinstance(fields, dict) or set(fields) != _FIELDS:
        raise _broken(path, number, "fields are missing or were added")
    if json.dumps(fields, sort_keys=True, ensure_ascii=False).encode() != line:
        raise _broken(path, number, "it is not written the way it was sealed")
    claimed = fields.pop("hash")
    if fields["number"] != number or fields["previous"] != head:
        raise _broken(path, number, "it does not follow the record before it")
    if hash_record(fields) != claimed:
        raise _broken(path, number, "its content was changed")
    record = _record({**fields, "hash": claimed})
    if before and record.at < before[-1].at:
        raise _broken(path, number, "it is dated before the record before it")
    return record


def _record(fields: dict[str, Any]) -> Record:
    return Record(**{**fields, "at": datetime.fromisoformat(fields["at"])})


def _broken(path: Path, number: int, how: str) -> ChainBrokenError:
    return ChainBrokenError(
        f"{path}: the seal is broken at record {number}: {how}.",
        why="From there on, nothing shows that forecasts came before their outcomes.",
        todo=(
            f"Each record is a line of that file, the first one number 0: look at line {number + 1}.",
            "Go back to a copy (git, backup), or start a new project folder.",
        ),
    )
