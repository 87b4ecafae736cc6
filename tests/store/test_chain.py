"""The chain shows every edit, move, drop and back-dating."""

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palate.errors import ChainBrokenError, InputError
from palate.store.chain import GENESIS, Chain, hash_record

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


@given(place=st.integers(0, 10_000), byte=st.integers(1, 255))
@settings(max_examples=70, deadline=None)
def test_every_one_byte_edit_is_caught(place, byte, tmp_path_factory):
    chain = make_chain(tmp_path_factory.mktemp("chain"))
    content = bytearray(chain.path.read_bytes())
    content[place % len(content)] ^= byte
    chain.path.write_bytes(content)
    with pytest.raises(ChainBrokenError):
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
