"""Chains and catalogs changed at random: each change ends in a refusal, or in an outcome that is stated."""

import random
import sqlite3
from datetime import UTC, datetime

import pytest
from tests.store.transcript import call, golden_copy

from palate.errors import ChainBrokenError
from palate.ledger.ledger import Ledger
from palate.store.catalog import Catalog
from palate.store.chain import Chain, hash_record
from palate.store.project import Project


def flip(content, rng):
    place = rng.randrange(len(content))
    return content[:place] + bytes([content[place] ^ 1 << rng.randrange(8)]) + content[place + 1 :]


def cut(content, rng):
    return content[: rng.randrange(len(content))]


def drop_bytes(content, rng):
    place = rng.randrange(len(content))
    return content[:place] + content[place + rng.randint(1, 400) :]


def put_in(content, rng):
    place = rng.randrange(len(content))
    return content[:place] + rng.randbytes(rng.randint(1, 60)) + content[place:]


def drop_line(content, rng):
    lines = content.splitlines(keepends=True)
    del lines[rng.randrange(len(lines))]
    return b"".join(lines)


def swap_lines(content, rng):
    lines = content.splitlines(keepends=True)
    one, other = rng.randrange(len(lines)), rng.randrange(len(lines))
    lines[one], lines[other] = lines[other], lines[one]
    return b"".join(lines)


def repeat_line(content, rng):
    lines = content.splitlines(keepends=True)
    place = rng.randrange(len(lines))
    return b"".join([*lines[:place], lines[place], *lines[place:]])


def zero(content, rng):
    place = rng.randrange(len(content))
    return content[:place] + bytes(min(512, len(content) - place)) + content[place + 512 :]


def add_half_a_line(content, rng):
    return content + content.splitlines()[-1][: rng.randint(1, 200)]


CHANGES = (flip, cut, drop_bytes, put_in, drop_line, swap_lines, repeat_line, zero, add_half_a_line)
NOW = datetime(2027, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def golden(tmp_path_factory):
    folder = golden_copy(tmp_path_factory.mktemp("fuzz"))
    call(["list"], {}, folder)
    connection = sqlite3.connect(folder / ".palate" / "catalog.sqlite")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return folder


def change_chain(folder, seed):
    """Change the chain once, or a few times; give what it was and what it is, and whether its index stays."""
    rng = random.Random(seed)
    path = folder / ".palate" / "chain.jsonl"
    whole = changed = path.read_bytes()
    for _ in range(rng.choice((1, 1, 1, 3))):
        changed = rng.choice(CHANGES)(changed or b"\n", rng)
    return whole, changed, rng.random() < 0.7


def verify_changed(path, whole, changed):
    """Verify every record of a changed chain; what it then holds is what was sealed, and nothing else."""
    chain = Chain(path)
    try:
        chain.verify()
    except ChainBrokenError:
        return "broken"
    lines = path.read_bytes().splitlines(keepends=True)
    assert lines == whole.splitlines(keepends=True)[: len(lines)]  # all, or what is left of a cut one
    tail = changed[len(b"".join(lines)) :]
    assert not tail or any(torn.read_bytes() == tail for torn in chain.torn())
    return "reads"


def try_chain(folder, seed):
    """Read a changed chain in every way; give how it ended, and put everything back."""
    whole, changed, keeps_index = change_chain(folder, seed)
    path = folder / ".palate" / "chain.jsonl"
    index = path.with_name("chain.index")
    kept = index.read_bytes()
    path.write_bytes(changed)
    if not keeps_index:
        index.unlink()
    try:
        outcome = verify_changed(path, whole, changed)
        reads_what_is_whole(Chain(path), whole)
        if outcome == "broken":
            with pytest.raises(ChainBrokenError):
                Chain(path).append("skip", {"author": "ada", "experiment": "x"}, now=NOW)
        return outcome
    finally:
        path.write_bytes(whole)
        index.write_bytes(kept)
        for torn in path.parent.glob("chain.torn-*"):
            torn.unlink()


def reads_what_is_whole(chain, whole):
    """See that a ledger reads on, and that each record that it reads is one that was sealed."""
    sealed = set(whole.splitlines())
    ledger = Ledger.of(chain)
    for experiment in ledger.experiments():
        for record in experiment.records:
            assert hash_record(
                {
                    "number": record.number,
                    "at": record.at.isoformat(timespec="microseconds"),
                    "kind": record.kind,
                    "body": record.body,
                    "previous": record.previous,
                }
            ) == record.hash  # fmt: skip
            assert any(record.hash.encode() in line for line in sealed)


@pytest.mark.parametrize("start", range(0, 100, 25))
def test_a_hundred_changed_chains_end_in_a_refusal_or_hold_what_was_sealed(start, golden, capfd):
    outcomes = [try_chain(golden, seed) for seed in range(start, start + 25)]
    assert set(outcomes) <= {"reads", "broken"}
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.slow
def test_a_thousand_changed_chains_end_in_a_refusal_or_hold_what_was_sealed(golden):
    outcomes = [try_chain(golden, seed) for seed in range(1000, 2000)]
    assert set(outcomes) == {"reads", "broken"}


def change_and_call(folder, seed, calls):
    """Call the command line on a changed chain; no call may end in a traceback, and a broken seal is said."""
    whole, changed, _ = change_chain(folder, seed)
    path = folder / ".palate" / "chain.jsonl"
    catalog = (folder / ".palate" / "catalog.sqlite").read_bytes()
    path.write_bytes(changed)
    try:
        for argv in calls:
            said = call(argv, {}, folder)
            assert "Traceback" not in said["stderr"], (seed, argv, said["stderr"])
            assert said["status"] in (0, 1, 3), (seed, argv)
            if argv[0] in ("list", "show", "skill", "verify"):  # which open the catalog, and so notice a cut
                assert said["status"] or changed[: len(whole)] == whole, (seed, argv)
    finally:
        path.write_bytes(whole)
        for part in path.parent.glob("catalog.sqlite*"):
            part.unlink()
        (folder / ".palate" / "catalog.sqlite").write_bytes(catalog)
        for torn in path.parent.glob("chain.torn-*"):
            torn.unlink()


CALLS = (["list"], ["show", "6232a204"], ["score"], ["skill"], ["forecast", "6232a204", "--show"], ["verify", "--full"])


@pytest.mark.parametrize("seed", range(8))
def test_no_command_ends_in_a_traceback_on_a_changed_chain(seed, golden):
    change_and_call(golden, seed, CALLS)


@pytest.mark.slow
def test_no_command_ends_in_a_traceback_on_two_hundred_changed_chains(golden):
    for seed in range(100, 300):
        change_and_call(golden, seed, CALLS)


def rows_of(project):
    with Catalog.open(project) as catalog:
        catalog.refresh()
        runs = catalog.runs()
        return runs, catalog.summaries([run.id for run in runs])


def try_catalog(folder, seed):
    """Change the catalog's file; see that doctor makes it anew and that all it says is what it said."""
    rng = random.Random(seed)
    project = Project(folder / ".palate")
    whole = project.catalog.read_bytes()
    right = rows_of(project)
    changed = cut(whole, rng) if seed % 3 == 0 else whole
    for _ in range(0 if seed % 3 == 0 else rng.choice((1, 4, 64))):
        changed = flip(changed, rng)
    for part in project.home.glob("catalog.sqlite*"):
        part.unlink()
    project.catalog.write_bytes(changed)
    said = call(["list", "--runs"], {}, folder)
    assert (said["status"], "Traceback" in said["stderr"]) == (0, False), said["stderr"]
    doctor = call(["doctor", "--json"], {}, folder)
    assert "Traceback" not in doctor["stderr"]
    try:
        assert rows_of(Project(folder / ".palate")) == right
    finally:
        for part in project.home.glob("catalog.sqlite*"):
            part.unlink()
        project.catalog.write_bytes(whole)


@pytest.mark.parametrize("seed", range(6))
def test_a_changed_catalog_is_made_anew(seed, golden):
    try_catalog(golden, seed)


@pytest.mark.slow
def test_two_hundred_changed_catalogs_are_made_anew(golden):
    for seed in range(100, 300):
        try_catalog(golden, seed)
