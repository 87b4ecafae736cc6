"""One record of the chain: its fields, its hash, its line in the file, and the check of it; standard library only."""

import contextlib
import errno
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from palate.errors import ChainBrokenError, InputError, StoreError
from palate.store.bridge import KIND as REDACTION
from palate.store.bridge import is_bridged, rows_of
from palate.store.private import open_file

GENESIS = "0" * 64
_FIELDS = {"number", "at", "kind", "body", "previous", "hash"}
_DENIED, _FULL = (errno.EACCES, errno.EPERM, errno.EROFS), (errno.ENOSPC, errno.EDQUOT)


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


def seal_fields(number: int, at: datetime, kind: str, body: dict[str, Any], previous: str) -> dict[str, Any]:
    """Return the fields of a record with its hash.

    Raises:
        InputError: they hold an infinity or NaN.
    """
    time = at.isoformat(timespec="microseconds")
    fields = {"number": number, "at": time, "kind": kind, "body": body, "previous": previous}
    return {**fields, "hash": hash_record(fields)}


def line_of(fields: Mapping[str, Any]) -> bytes:
    """Return the line of a record's fields, its hash among them, the only way in which it is written."""
    return json.dumps(fields, sort_keys=True, ensure_ascii=False).encode() + b"\n"


def checked(line: bytes, number: int, before: Record | None, path: Path) -> Record:
    """Return the record of a line that follows the one before it.

    Raises:
        ChainBrokenError: it does not, or it is not what was sealed.
    """
    try:
        return _verified(line, number, before, path)
    except (ValueError, TypeError, KeyError, RecursionError, InputError) as error:
        raise broken(path, number, "it is not a record") from error


def _verified(line: bytes, number: int, before: Record | None, path: Path) -> Record:
    try:
        fields = json.loads(line)
    except ValueError as error:
        raise broken(path, number, "it is not JSON") from error
    if not isinstance(fields, dict) or set(fields) != _FIELDS:
        raise broken(path, number, "fields are missing or were added")
    if line_of(fields) != line + b"\n":
        raise broken(path, number, "it is not written the way it was sealed")
    claimed = fields.pop("hash")
    if fields["number"] != number or fields["previous"] != (before.hash if before else GENESIS):
        raise broken(path, number, "it does not follow the record before it")
    if not holds(fields, claimed, path):
        raise broken(path, number, "its content was changed")
    if fields["kind"] == REDACTION and rows_of(fields) is None:
        raise broken(path, number, "it is not what a redaction says")
    record = record_of({**fields, "hash": claimed})
    if before and record.at < before.at:
        raise broken(path, number, "it is dated before the record before it")
    return record


def record_of(fields: dict[str, Any]) -> Record:
    """Make a record from its fields."""
    return Record(
        number=fields["number"],
        at=datetime.fromisoformat(fields["at"]),
        kind=fields["kind"],
        body=fields["body"],
        previous=fields["previous"],
        hash=fields["hash"],
    )


def holds(fields: dict[str, Any], claimed: str, chain: Path) -> bool:
    """Return whether a record's content has the hash that it was sealed with, or a later one says why it has another.

    Args:
        fields: of the record, without its hash.
        claimed: the hash that its line says.
        chain: the file that it stands in.
    """
    now = hash_record(fields)
    return now == claimed or is_bridged(chain, fields["number"], fields, claimed, now)


def whole_record(line: bytes, chain: Path) -> Record | None:
    """Return the record of a line that has the hash that it claims, wherever it stands; None for any other."""
    try:
        fields = json.loads(line)
        claimed = fields.pop("hash")
        return record_of({**fields, "hash": claimed}) if holds(fields, claimed, chain) else None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, InputError):
        return None


def broken(path: Path, number: int, how: str) -> ChainBrokenError:
    """Say at which record the seal is broken, how, and what to do."""
    return ChainBrokenError(
        f"{path}: the seal is broken at record {number}: {how}.",
        why="From there on, nothing shows that forecasts came before their outcomes.",
        todo=(
            f"Each record is a line of that file, the first one number 0: look at line {number + 1}.",
            "Put back a copy of the file, if you have one (a backup, a colleague's).",
            "Else begin a new chain (forecasts so far then count for nobody):",
            f"  mv {path} {path}.broken && palate doctor --rebuild",
        ),
    )


def lines_of(descriptor: int, start: int) -> Iterator[bytes]:
    """Yield a file's lines from a byte on, each with its end; it is not held in memory as a whole."""
    with open(os.dup(descriptor), "rb", buffering=1 << 18) as file:  # noqa: PTH123  a descriptor
        file.seek(start)
        yield from file


def keep_beside(chain: Path, number: int, torn: bytes) -> Path:
    """Write an incomplete line into a new file beside the chain."""
    for more in ("", *(f".{k}" for k in range(1, 1000))):
        kept = chain.with_name(f"chain.torn-{number}{more}")
        try:
            descriptor = open_file(kept, os.O_WRONLY | os.O_EXCL)
        except FileExistsError:
            continue
        except OSError as error:
            raise cannot_seal(chain, error) from error
        try:
            write_line(descriptor, torn, kept)
        finally:
            os.close(descriptor)
        return kept
    raise StoreError(f"{chain}: its last line is torn, and a thousand such lines lie beside it.", todo="Remove some.")


def write_line(descriptor: int, line: bytes, path: Path) -> None:
    """Write a line at the end of a file, whole or not at all; where a half cannot be cut off, it is set aside later.

    Raises:
        StoreError: it cannot be written.
    """
    size = os.fstat(descriptor).st_size
    try:
        written = os.write(descriptor, line)
        if written < len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(descriptor)
    except OSError as error:
        with contextlib.suppress(OSError):  # what the first fault was is said
            os.ftruncate(descriptor, size)
        raise cannot_seal(path, error) from error


def mark_of(stat: os.stat_result) -> tuple[int, int, int]:
    """Return a file's state: another inode, size or time of change is another state."""
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def unreadable(path: Path, error: OSError) -> StoreError:
    """Say that the chain cannot be read."""
    todo = "Mend its permissions." if error.errno in _DENIED else "Put back a copy of it, or mend the disk."
    return StoreError(f"{path} cannot be read: {error.strerror}.", todo=todo)


def cannot_seal(path: Path, error: OSError) -> StoreError:
    """Say that nothing can be sealed."""
    return StoreError(
        f"{path} cannot be written: {error.strerror}.",
        why="Nothing was sealed; what was there is as it was.",
        todo=f"{_first(error)} a folder that can be written: PALATE_HOME=/path/to/folder",
    )


def _first(error: OSError) -> str:
    """Return how the sentence begins that says what to do."""
    if error.errno in _FULL:
        return "Free space, or choose"
    return "Mend its permissions, or choose" if error.errno in _DENIED else "Choose"
