"""The sealed chain: every question, forecast, verdict and score of a project, each vouching for the one before.

A line is canonical JSON with its number, time, kind and body, the SHA-256 of the line before, and its own. Nothing
is ever changed or taken out: a correction is one more record. The chain shows tampering, it does not prevent it: who
can rewrite the whole file can rewrite the whole chain. So hand the head to a colleague, or note it in git.

Beside it lies an index (see `chain_index`): what was verified once is not verified again, as long as its bytes have the
hash that they had then. The index can always be made anew. The file itself is never held in memory as a whole.

A last line that a power cut left incomplete is kept beside the chain, in `chain.torn-N`, and the chain goes on without
it. Of a chain that was changed, what is whole can still be read, once `go_on` has said so; nothing is sealed into it.
"""

import errno
import json
import os
import stat
import sys
import threading
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from palate.errors import ChainBrokenError, InputError, StoreError
from palate.store.chain_index import ChainIndex, Fields, fields_of
from palate.store.chain_records import (
    GENESIS,
    Record,
    broken,
    cannot_seal,
    checked,
    hash_record,
    keep_beside,
    line_of,
    lines_of,
    mark_of,
    record_of,
    seal_fields,
    unreadable,
    whole_record,
    write_line,
)
from palate.store.locks import is_at, lock
from palate.store.private import make_folder, open_file

__all__ = ["GENESIS", "Chain", "Record", "hash_record"]

BEGINS = b'{"at":'
"""What each line begins with."""

PARSED_MOST, READ_AT_ONCE = 2_000, 500
"""Records that are kept as they were read, and that are read at once."""


class Chain:
    """Append to, read and verify the sealed chain in one file.

    Attributes:
        path: the file.
        readers: objects that read this chain and keep what they have read (a `Ledger`), one of each type.
        generation: goes up where the file is no longer a continuation of what was read: readers start anew.
        broken: why nothing can be sealed; None where the seal holds, as far as was looked.
        trusted: records that were taken as they were when they were last verified, their bytes having the same hash.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.readers: dict[type, Any] = {}
        self.generation = 0
        self.broken: ChainBrokenError | None = None
        self._index = ChainIndex(path.with_name("chain.index"))
        self._mark: tuple[int, int, int] | None = None
        self._locked_by: int | None = None
        self._said: set[str] = set()
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
                It seals nothing itself.
            now: when.

        Returns:
            the record; None where it was not sealed.

        Raises:
            InputError: `now` has no time zone, or the body holds what JSON cannot.
            ChainBrokenError: what stands there already does not hold.
            StoreError: the file cannot be written, or this thread has locked it already.
        """
        if now.tzinfo is None:
            raise InputError(f"{now} has no time zone; a sealed time is UTC.", todo="Pass datetime.now(UTC).")
        cannot = self.broken is not None or (self.path.exists() and not os.access(self.path, os.W_OK))
        if cannot and stop():
            return None  # nothing is to be sealed, so that it cannot be does not matter
        with self._locked() as descriptor:
            if stop():
                return None
            last = self._last()
            at = max([now.astimezone(UTC), *([last.at] if last else [])])  # clocks may step back
            sealed = seal_fields(len(self._index), at, kind, body, last.hash if last else GENESIS)
            line = line_of(sealed)
            write_line(descriptor, line, self.path)
            record = record_of(sealed)
            self._take(line, record)
            self._mark = mark_of(os.fstat(descriptor))
            self._index.add_last()
        return record

    @contextmanager
    def exclusively(self) -> Iterator[None]:
        """Lock the chain against everybody who seals, while its file is replaced.

        Raises:
            ChainBrokenError: what stands there does not hold.
            StoreError: the file cannot be written, or this thread has locked it already.
        """
        with self._locked():
            yield

    def __len__(self) -> int:
        """Return how many records there are."""
        self._refresh()
        return len(self._index)

    def head(self) -> tuple[int, str]:
        """Return how many records there are, and the last one's hash: 64 zeros where nothing is sealed."""
        self._refresh()
        last = self._last()
        return len(self._index), last.hash if last else GENESIS

    def hash_at(self, number: int) -> str | None:
        """Return the hash of the record of this number; None where there is none."""
        self._refresh()
        there = 0 <= number < len(self._index) and self._index.kinds[number]
        return self.record(number).hash if there else None

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
        if experiment is not None:
            numbers = [n for n in self._index.of_experiment(experiment) if kind in (None, self._index.kinds[n])]
        elif kind is not None:
            numbers = self._index.of_kind(kind)
        else:
            numbers = [number for number in range(start, len(self._index)) if self._index.kinds[number]]
        return list(self.each([number for number in numbers if number >= start], keep=experiment is not None))

    def each(self, numbers: Sequence[int], *, keep: bool = False) -> Iterator[Record]:
        """Yield the records of these numbers, which are there; only a few are in memory at a time.

        Args:
            numbers: of the records.
            keep: whether they will soon be asked for again.
        """
        for start in range(0, len(numbers), READ_AT_ONCE):
            some = numbers[start : start + READ_AT_ONCE]
            read = {number: self._parsed[number] for number in some if number in self._parsed}
            missing = [number for number in some if number not in read]
            read |= dict(zip(missing, self._parse(missing), strict=True))
            if keep:
                self._keep(read)
            yield from (read[number] for number in some)

    def outline(self, start: int = 0) -> list[tuple[int, str, str]]:
        """List number, kind and experiment ("" where it is of none) of the records from `start` on, reading no body."""
        self._refresh()
        index = self._index
        return list(zip(range(start, len(index)), index.kinds[start:], index.experiments[start:], strict=True))

    def numbers(self, kind: str, start: int = 0) -> list[int]:
        """List the numbers of the records of a kind, from `start` on, reading no body."""
        self._refresh()
        numbers = self._index.of_kind(kind)
        return numbers[bisect_left(numbers, start) :]

    def kept(self, kind: str, start: int = 0) -> Iterator[tuple[int, Fields]]:
        """Yield the numbers of the records of a kind with the fields of them that the index keeps (`KEPT`)."""
        return self.kept_of(kind, self.numbers(kind, start))

    def kept_of(self, kind: str, numbers: list[int]) -> Iterator[tuple[int, Fields]]:
        """Yield, as `kept`, records of a kind by their numbers."""
        for number, fields in self._index.kept(numbers):
            yield number, fields if fields is not None else fields_of(kind, self.record(number).body)

    def newest_kept(self, kind: str, holding: str, *, with_first: bool = False) -> Iterator[tuple[int, Fields]]:
        """Yield, as `kept`, records of a kind that may hold a text, the newest first; see `ChainIndex.newest`."""
        self._refresh()
        for number, fields in self._index.newest(kind, holding, with_first=with_first):
            yield number, fields if fields is not None else fields_of(kind, self.record(number).body)

    def experiments(self, kind: str) -> frozenset[str]:
        """Name the experiments of which a record of a kind is there, reading no body."""
        self._refresh()
        return frozenset(self._index.experiments[number] for number in self._index.of_kind(kind))

    def count_kinds(self) -> dict[str, int]:
        """Count the records of each kind, in the order in which they first came."""
        self._refresh()
        return self._index.count_kinds()

    def experiment_at(self, number: int) -> str:
        """Return the experiment of the record of one number, which is there, reading no body."""
        return self._index.experiments[number]

    def record(self, number: int) -> Record:
        """Read the record of one number, which is there."""
        return next(self.each([number], keep=True))

    def verify(self) -> None:
        """Verify every record anew, whatever the index says.

        Raises:
            ChainBrokenError: a record was changed, moved, dropped or put in.
        """
        self._forget()
        self.broken = None
        self._refresh(trusting=False)

    def go_on(self) -> None:
        """Let what is whole of a chain be read although its seal is broken; that it is, is said loudly, once."""
        try:
            self._refresh()
        except ChainBrokenError as error:
            self.refuse(error)
            self._take_what_is_whole()

    def refuse(self, error: ChainBrokenError) -> None:
        """Seal nothing from now on, for a reason that is said on standard error, once."""
        self.broken = error
        self.say(f"palate: THE SEAL IS BROKEN, so nothing is sealed; what is whole is read.\n{_indented(error)}")

    @contextmanager
    def where_possible(self) -> Iterator[None]:
        """Seal in a block what is due, where that can be; a reader goes on without, and is told why."""
        try:
            yield
        except StoreError as error:
            if not isinstance(error, ChainBrokenError):  # which is said where it is seen
                self.say(f"palate: nothing is sealed now: {error.what}")

    def say(self, text: str) -> None:
        """Say something on standard error, once."""
        if text not in self._said:
            self._said.add(text)
            print(text, file=sys.stderr)

    def has_index(self) -> bool:
        """Whether the index that lies beside the chain is whole; it is needed where something was sealed."""
        index = ChainIndex(self._index.path)
        index.load()
        return bool(len(index)) or not self.path.exists() or not self.path.stat().st_size

    def torn(self) -> list[Path]:
        """List the files in which incomplete last lines were kept."""
        return sorted(self.path.parent.glob("chain.torn-*"))

    def _forget(self) -> None:
        self.generation += 1
        self._mark = None
        self._index.forget()
        self._parsed: dict[int, Record] = {}
        self.trusted = 0

    def _last(self) -> Record | None:
        return self.record(len(self._index) - 1) if len(self._index) else None

    def _keep(self, read: dict[int, Record]) -> None:
        if len(self._parsed) + len(read) > PARSED_MOST:
            self._parsed.clear()
        self._parsed.update(read)

    def _parse(self, numbers: Sequence[int]) -> list[Record]:
        """Parse the lines of records: of many at once, a quarter quicker than of one after another."""
        if not numbers:
            return []
        try:
            with self.path.open("rb") as file:
                spans = [self._index.span(number) for number in numbers]
                lines = [os.pread(file.fileno(), end - start, start) for start, end in spans]
            return [record_of(fields) for fields in json.loads(b"[%b]" % b",".join(lines))]
        except OSError as error:
            raise unreadable(self.path, error) from error
        except (ValueError, KeyError, TypeError) as error:  # changed since it was verified, a moment ago
            raise broken(self.path, numbers[0], "it, or one soon after it, was changed just now") from error

    def _refresh(self, *, trusting: bool = True) -> None:
        """Take in what the file has that is not known yet."""
        if self._locked_by is not None:  # nobody else can write now
            return
        try:
            known = self.path.stat()
            if self._mark == mark_of(known):
                return
            if not stat.S_ISREG(known.st_mode):  # a pipe would never end
                raise OSError(errno.EINVAL, "it is no file")
            with self.path.open("rb") as file:
                lock(file.fileno(), shared=True, wait=True)  # a line that is being written is not a broken one
                torn = self._read(file.fileno(), trusting=trusting)
        except (FileNotFoundError, NotADirectoryError):
            self._forget()
        except OSError as error:
            raise unreadable(self.path, error) from error
        else:
            if torn:
                self._mend()

    def _mend(self) -> None:
        """Set an incomplete last line aside, where the store can be written; where it cannot, it is left out."""
        try:
            with self._locked():
                pass
        except StoreError as error:
            if isinstance(error, ChainBrokenError):
                raise
            self.say(f"palate: {self.path}: its last line is not complete, and is left out: it was never sealed.")

    def _read(self, descriptor: int, *, trusting: bool = True) -> bytes:
        """Take in what is new, and return what stands behind the last whole line."""
        mark = mark_of(os.fstat(descriptor))
        if mark == self._mark:
            return b""
        try:
            return self._take_in(descriptor, mark, trusting=trusting)
        except ChainBrokenError:
            self._forget()
            raise

    def _take_in(self, descriptor: int, mark: tuple[int, int, int], *, trusting: bool) -> bytes:
        known_end = self._index.end
        grown = self._mark is not None and mark[0] == self._mark[0] and mark[1] > self._mark[1]
        if not (grown and self._index.is_of(descriptor)):
            self._forget()
        if not len(self._index) and trusting:
            self._index.load()
            known_end = max(known_end, self._index.end)
            if self._index.end > mark[1] or not self._index.is_of(descriptor):
                self._index.forget()
            self.trusted = len(self._index)
        known = len(self._index)
        torn = self._verify_rest(descriptor, known_end)
        self._mark = mark
        if len(self._index) > known:
            self._index.write()
        return torn

    def _verify_rest(self, descriptor: int, known_end: int) -> bytes:
        """Verify the records that are not known yet, and take them in; return an incomplete line behind them.

        Args:
            descriptor: of the file.
            known_end: up to where it was once verified: what is incomplete there was whole, and was changed.
        """
        before = self._last()
        for line in lines_of(descriptor, self._index.end):
            if not line.endswith(b"\n"):
                if self._index.end < known_end:
                    raise broken(self.path, len(self._index), "its last line is not complete")
                return line
            before = checked(line[:-1], len(self._index), before, self.path)
            self._take(line, before)
        return b""

    def _take(self, line: bytes, record: Record) -> None:
        self._keep({len(self._index): record})
        self._index.take(line, record.kind, record.body)

    def _take_what_is_whole(self) -> None:
        """Read a broken chain line by line, leaving out what does not have the hash that it claims."""
        self._forget()
        try:
            with self.path.open("rb") as file:
                self._mark = mark_of(os.fstat(file.fileno()))
                for line in lines_of(file.fileno(), 0):
                    record = whole_record(line, self.path)
                    if record is None:
                        self._index.skip(line)
                    else:
                        self._index.take(line, record.kind, record.body)
        except OSError as error:
            raise unreadable(self.path, error) from error

    @contextmanager
    def _locked(self) -> Iterator[int]:
        me = threading.get_ident()
        if self._locked_by == me:
            raise StoreError(
                f"{self.path} is locked by who wants to seal into it.",
                why="Within `exclusively`, and in a `stop`, nothing is sealed: it would wait for itself for ever.",
                todo="Seal before it or after it.",
            )
        try:
            make_folder(self.path.parent, top=True)
            descriptor, is_locked = _open_locked(self.path)
        except OSError as error:
            raise cannot_seal(self.path, error) from error
        try:
            if not is_locked:
                self.say(f"palate: {self.path} is on a file system without locks: seal from one process at a time.")
            if self.broken is not None:
                raise self.broken
            torn = self._read(descriptor) or self._torn_end(descriptor)
            if torn:
                self._set_aside(descriptor, torn)
            self._locked_by = me
            yield descriptor
        finally:
            self._locked_by = None
            os.close(descriptor)

    def _torn_end(self, descriptor: int) -> bytes:
        """Return what stands behind the last whole line of a file that was read already."""
        return os.pread(descriptor, os.fstat(descriptor).st_size - self._index.end, self._index.end)

    def _set_aside(self, descriptor: int, torn: bytes) -> None:
        """Keep an incomplete last line beside the chain, and cut it off; one that lacks its end alone gets it."""
        number = len(self._index)
        try:
            record = checked(torn, number, self._last(), self.path)
        except ChainBrokenError:
            if not number and not torn.startswith(BEGINS):  # nothing was ever read from it: it is something else
                raise
            kept = keep_beside(self.path, number, torn)
            os.ftruncate(descriptor, self._index.end)
            self.say(
                f"palate: the last line of {self.path} was not complete, as a power cut leaves it: {len(torn)} bytes.\n"
                f"  They are kept in {kept.name}; the chain goes on from record {number}."
            )
        else:
            write_line(descriptor, b"\n", self.path)
            self._take(torn + b"\n", record)
            self._index.write()
        self._mark = mark_of(os.fstat(descriptor))


def _indented(error: ChainBrokenError) -> str:
    return "\n".join(f"  {line}" for line in (error.what, *error.todo))


def _open_locked(path: Path) -> tuple[int, bool]:
    """Open a chain and lock it; one that was replaced while this waited for the lock (see `bridge`) is opened anew.

    Returns:
        the descriptor, and whether it is locked: not where the file system has no locks.
    """
    while True:
        descriptor = open_file(path, os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW)  # what a link leads to is not palate's
        try:
            is_locked = lock(descriptor, wait=True)
            if is_at(descriptor, path):
                return descriptor, is_locked
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
