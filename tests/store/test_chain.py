"""The chain shows every edit, move, drop and back-dating."""

import errno
import fcntl
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palate.errors import ChainBrokenError, InputError, StoreError
from palate.store.chain import GENESIS, Chain, hash_record
from palate.store.chain_records import cannot_seal, unreadable, write_line

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def make_chain(folder, n=5):
    chain = Chain(folder / "chain.jsonl")
    for i in range(n):
        chain.append("forecast", {"experiment": f"e{i}", "confidence": 50 + i}, now=NOW + timedelta(seconds=i))
    return chain


def test_records_follow_each_other_from_genesis(tmp_path):
    records = make_chain(tmp_path).records()
    assert [record.number for record in records] == [0, 1, 2, 3, 4]
    assert [record.previous for record in records] == [GENESIS, *(record.hash for record in records[:-1])]
    assert make_chain(tmp_path / "other").records("verdict") == []


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A chain that is edited and put right again."""
    return make_chain(tmp_path_factory.mktemp("whole"))


@contextmanager
def edited(path, place, byte):
    content = path.read_bytes()
    changed = bytearray(content)
    changed[place % len(content)] ^= byte
    path.write_bytes(changed)
    try:
        yield
    finally:
        path.write_bytes(content)


@given(place=st.integers(0, 10_000), byte=st.integers(1, 255))
@settings(max_examples=70, deadline=None)
def test_every_one_byte_edit_is_caught(place, byte, whole):
    chain = Chain(whole.path)
    assert len(chain) == 5
    with edited(chain.path, place, byte), pytest.raises(ChainBrokenError):
        chain.records()


@pytest.mark.parametrize(
    "tamper",
    [
        lambda lines: lines[1:],
        lambda lines: lines[:2] + lines[3:],
        lambda lines: [lines[1], lines[0], *lines[2:]],
        lambda lines: [*lines, lines[-1]],
        lambda lines: [*lines[:-1], lines[-1].replace("54", "90")],
    ],
)
def test_reorder_drop_and_repeat_are_caught_and_the_record_is_named(tmp_path, tamper):
    chain = make_chain(tmp_path)
    chain.path.write_text("".join(line + "\n" for line in tamper(chain.path.read_text().splitlines())))
    with pytest.raises(ChainBrokenError, match="record"):
        chain.records()


def test_a_record_dated_back_with_a_right_hash_is_caught(tmp_path):
    chain = make_chain(tmp_path)
    head = chain.records()[-1]
    fields = {
        "number": 5,
        "at": (NOW - timedelta(days=1)).isoformat(),
        "kind": "forecast",
        "body": {},
        "previous": head.hash,
    }
    with chain.path.open("a") as file:
        file.write(json.dumps({**fields, "hash": hash_record(fields)}, sort_keys=True) + "\n")
    with pytest.raises(ChainBrokenError, match="dated before"):
        chain.records()


def test_nothing_is_appended_to_a_broken_chain(tmp_path):
    chain = make_chain(tmp_path)
    chain.path.write_text(chain.path.read_text().replace("52", "97"))
    before = chain.path.read_bytes()
    with pytest.raises(ChainBrokenError):
        chain.append("forecast", {}, now=NOW)
    assert chain.path.read_bytes() == before


def test_a_time_without_a_zone_is_refused(tmp_path):
    with pytest.raises(InputError, match="time zone"):
        make_chain(tmp_path).append("forecast", {}, now=datetime(2026, 1, 1))


def test_a_clock_that_steps_back_does_not_break_the_chain(tmp_path):
    chain = make_chain(tmp_path)
    chain.append("verdict", {}, now=NOW - timedelta(hours=1))
    assert len(chain.records()) == 6


SEAL_MANY = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from palate.store.chain import Chain
for i in range(20):
    Chain(Path(sys.argv[1])).append("skip", {"i": i}, now=datetime.now(UTC))
"""


def test_processes_that_seal_at_once_leave_one_whole_chain(tmp_path):
    path = tmp_path / "chain.jsonl"
    workers = [subprocess.Popen([sys.executable, "-c", SEAL_MANY, str(path)]) for _ in range(4)]
    assert [worker.wait() for worker in workers] == [0, 0, 0, 0]
    assert len(Chain(path).records()) == 80


def test_a_reader_that_comes_while_half_a_line_stands_there_waits_for_the_other_half(tmp_path):
    """With large records a reader used to see half a line."""
    path = tmp_path / "chain.jsonl"
    for _ in range(2):
        Chain(path).append("x", {"t": "y"}, now=datetime.now(UTC))
    whole = path.read_bytes()
    with path.open("r+b", buffering=0) as writer, ThreadPoolExecutor(1) as beside:
        fcntl.flock(writer, fcntl.LOCK_EX)
        writer.truncate(len(whole) - 20)
        reading = beside.submit(Chain(path).records)
        with pytest.raises(TimeoutError):
            reading.result(0.2)
        writer.seek(0, os.SEEK_END)
        writer.write(whole[-20:])
        fcntl.flock(writer, fcntl.LOCK_UN)
        assert len(reading.result(10)) == 2


@pytest.mark.slow
def test_a_line_that_is_being_written_by_another_process_is_not_a_broken_one(tmp_path):
    path = tmp_path / "chain.jsonl"
    code = (
        "import sys; from datetime import UTC, datetime; from pathlib import Path\n"
        "from palate.store.chain import Chain\n"
        "for i in range(60): Chain(Path(sys.argv[1])).append('x', {'t': 'y' * 40000}, now=datetime.now(UTC))"
    )
    writer = subprocess.Popen([sys.executable, "-c", code, str(path)])
    while writer.poll() is None:
        Chain(path).records()
    assert writer.returncode == 0
    assert len(Chain(path).records()) == 60


class Counting(Chain):
    """A chain that counts the records that it verifies one by one."""

    verified = 0

    def _take(self, line, record):
        type(self).verified += 1
        return super()._take(line, record)


def count_verified(path, read=Chain.records):
    """Open a chain anew; return how many records it verified one by one, and what was read."""

    class Fresh(Counting):
        verified = 0

    result = read(Fresh(path))
    return Fresh.verified, result


def index_of(chain):
    return chain.path.with_name("chain.index")


def test_what_was_verified_once_is_not_verified_again_while_the_index_lies_beside_it(tmp_path):
    chain = make_chain(tmp_path)
    whole = chain.records()
    assert count_verified(chain.path) == (0, whole)
    index_of(chain).unlink()
    assert count_verified(chain.path) == (5, whole)
    assert count_verified(chain.path) == (0, whole)  # it was made anew
    Chain(chain.path).append("skip", {"experiment": "e9"}, now=NOW + timedelta(seconds=9))
    assert count_verified(chain.path)[0] == 0
    assert count_verified(chain.path, Chain.verify) == (6, None)  # `verify` does not look at it


def test_only_what_another_palate_sealed_without_an_index_is_verified(tmp_path):
    chain = make_chain(tmp_path)
    kept = index_of(chain).read_bytes()
    Chain(chain.path).append("skip", {"experiment": "e9"}, now=NOW + timedelta(seconds=9))
    index_of(chain).write_bytes(kept)
    assert count_verified(chain.path)[0] == 1
    assert count_verified(chain.path)[0] == 0


@given(place=st.integers(0, 10_000), byte=st.integers(1, 255))
@settings(max_examples=70, deadline=None)
def test_every_one_byte_edit_is_caught_by_who_opens_the_chain_anew_with_the_index_beside_it(place, byte, whole):
    assert index_of(whole).exists()
    with edited(whole.path, place, byte):
        for read in (Chain.records, Chain.outline, Chain.head, len):
            with pytest.raises(ChainBrokenError):
                read(Chain(whole.path))
    assert len(Chain(whole.path)) == 5


def test_a_cut_chain_is_read_as_what_is_left_whatever_the_index_says(tmp_path):
    chain = make_chain(tmp_path)
    whole = chain.records()
    lines = chain.path.read_text().splitlines(keepends=True)
    chain.path.write_text("".join(lines[:3]))
    assert Chain(chain.path).records() == whole[:3] == chain.records()
    assert count_verified(chain.path)[0] == 0  # the index was made anew
    chain.path.write_text("".join(lines[:3])[:-1])
    with pytest.raises(ChainBrokenError, match="not complete"):
        Chain(chain.path).records()


def foreign(index):
    other = make_chain(index.parent / "other", 7)
    return index_of(other).read_bytes()


DAMAGES = {
    "missing": lambda index: None,
    "empty": lambda index: b"",
    "no text": lambda index: b"\xff\x00\n" * 9,
    "of another chain": foreign,
    "cut in a line": lambda index: index.read_bytes()[:-30],
    "cut between lines": lambda index: b"".join(index.read_bytes().splitlines(keepends=True)[:3]),
    "of the end alone": lambda index: index.read_bytes().splitlines(keepends=True)[-1],
    "a line twice": lambda index: index.read_bytes() + index.read_bytes().splitlines(keepends=True)[-1],
    "all lines twice": lambda index: index.read_bytes() * 2,
    "another kind": lambda index: index.read_bytes().replace(b" forecast ", b" skip ", 1),
    "another experiment": lambda index: index.read_bytes().replace(b" e1 ", b" e2 ", 1),
    "other numbers": lambda index: b"".join(b"x" + line for line in index.read_bytes().splitlines(keepends=True)),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_an_index_that_is_not_this_chains_changes_nothing_and_is_made_anew(tmp_path, damage):
    chain = make_chain(tmp_path)
    whole, outline = chain.records(), chain.outline()
    right, index = index_of(chain).read_bytes(), index_of(chain)
    content = DAMAGES[damage](index)
    index.unlink()
    if content is not None:
        index.write_bytes(content)
    fresh = Chain(chain.path)
    assert (fresh.outline(), fresh.records()) == (outline, whole)
    assert [fresh.records(experiment=f"e{k}") for k in range(5)] == [[record] for record in whole]
    assert (Chain(chain.path).outline(), Chain(chain.path).records()) == (outline, whole)
    assert index.read_bytes() == right


def test_two_who_seal_in_turn_keep_the_index_right(tmp_path):
    one, other = Chain(tmp_path / "chain.jsonl"), Chain(tmp_path / "chain.jsonl")
    for k in range(6):
        (one, other)[k % 2].append("skip", {"experiment": f"e{k}"}, now=NOW + timedelta(seconds=k))
    grown = index_of(one).read_bytes()
    assert count_verified(one.path)[1] == one.records() == other.records()
    assert count_verified(one.path)[0] == 0
    index_of(one).unlink()
    Chain(one.path).records()
    assert index_of(one).read_bytes() == grown


def test_readers_that_come_at_once_leave_a_right_index(tmp_path):
    """Several look at what somebody sealed elsewhere: the index holds each record once."""
    chain = make_chain(tmp_path)
    readers = [Chain(chain.path) for _ in range(4)]
    for reader in readers:
        reader.records()
    right = index_of(chain).read_bytes().splitlines()
    kept = index_of(chain).read_bytes()
    chain.append("skip", {"experiment": "e9"}, now=NOW + timedelta(seconds=9))
    index_of(chain).write_bytes(kept)  # as a palate that knows no index leaves it
    for reader in readers:
        assert len(reader.records()) == 6
    lines = index_of(chain).read_bytes().splitlines()
    assert lines[:5] == right
    assert len(lines) == 6
    assert len(Chain(chain.path).records()) == 6


def test_a_chain_in_a_folder_that_cannot_be_written_is_read_without_an_index(tmp_path):
    chain = make_chain(tmp_path)
    whole = chain.records()
    index_of(chain).unlink()
    index_of(chain).mkdir()  # whoever may write anywhere cannot write this either
    (index_of(chain) / "kept").write_text("")
    assert Chain(chain.path).records() == whole
    chain.append("skip", {}, now=NOW + timedelta(seconds=9))
    assert len(Chain(chain.path).records()) == 6


@pytest.mark.skipif(os.getuid() == 0, reason="who is root writes everywhere")
def test_a_read_only_folder_works(tmp_path):
    chain = make_chain(tmp_path)
    index_of(chain).unlink()
    tmp_path.chmod(0o500)
    try:
        assert len(Chain(chain.path).records()) == 5
        assert not index_of(chain).exists()
    finally:
        tmp_path.chmod(0o700)


def test_who_has_the_chain_locked_and_seals_into_it_is_refused_and_does_not_wait_for_ever(tmp_path):
    chain = Chain(tmp_path / "chain.jsonl")
    chain.append("skip", {"author": "ada"}, now=NOW)

    def seals():
        chain.append("skip", {"author": "bob"}, now=NOW)

    with chain.exclusively(), pytest.raises(StoreError, match="locked by who wants to seal"):
        seals()
    with pytest.raises(StoreError, match="locked by who wants to seal"):
        chain.append_unless("skip", {"author": "cleo"}, seals, now=NOW)
    chain.append("skip", {"author": "dan"}, now=NOW)
    assert [record.body["author"] for record in chain.records()] == ["ada", "dan"]


def test_a_line_that_can_neither_be_written_nor_cut_off_is_an_error_that_says_why(tmp_path):
    reader, writer = os.pipe()
    os.close(reader)
    with pytest.raises(StoreError, match="cannot be written: Broken pipe"):
        write_line(writer, b"{}\n", tmp_path / "chain.jsonl")
    os.close(writer)


@pytest.mark.parametrize(
    ("number", "todo"),
    [(errno.ENOSPC, "Free space, or choose"), (errno.EROFS, "Mend its permissions, or choose"), (errno.EIO, "Choose")],
)
def test_what_to_do_is_about_what_happened(tmp_path, number, todo):
    error = OSError(number, os.strerror(number))
    assert cannot_seal(tmp_path, error).todo[0].startswith(todo)
    assert ("permissions" in unreadable(tmp_path, error).todo[0]) == (number == errno.EROFS)
