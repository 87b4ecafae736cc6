"""No bad file stops what is read of the others: it is named, left out, and said what to do about."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys

import pytest
from tests.store.transcript import call, environment, golden_copy

from palate.store import layout as lay
from palate.store.catalog import NAMED
from palate.store.project import Project
from palate.store.reader import read_journal
from palate.store.resume import resume

READING = (
    ["list"], ["list", "--runs"], ["list", "--runs", "--json"], ["show", "ef288c27"], ["show", "6232a204", "--json"],
    ["skill"], ["score"], ["forecast", "ef288c27", "--show"], ["forecast"], ["verdict", "7098c6cb"],
    ["recipe", "show", "0c6ffb21"], ["verify"], ["verify", "--full"],
)  # fmt: skip
QUICK = (["list", "--runs", "--json"], ["show", "ef288c27"], ["verify"])


def behind_its_checksum(tag, payload):
    """Put a record behind the others that has a right checksum and says what no record says."""

    def damage(journal):
        content = journal.read_bytes()
        form = lay.form_of(content)
        descriptor = os.open(journal, os.O_RDONLY)
        before = resume(descriptor, len(content), form)
        os.close(descriptor)
        journal.write_bytes(content[: before.end] + form.seal(tag, payload, before.crc)[0])

    return damage


def as_folder(journal):
    journal.unlink()
    journal.mkdir()


def as_link_to_nowhere(journal):
    journal.unlink()
    journal.symlink_to("/nowhere/at/all")


JOURNALS = {
    "no JSON": behind_its_checksum(lay.EVENT, b'{"kind": "rec'),
    "no UTF-8": behind_its_checksum(lay.EVENT, b'\xff\xfe"'),
    "no kind": behind_its_checksum(lay.EVENT, b"{}"),
    "a list": behind_its_checksum(lay.EVENT, b"[1]"),
    "too deep": behind_its_checksum(lay.EVENT, b"[" * 100_000),
    "settings that are none": behind_its_checksum(lay.EVENT, b'{"kind": "recipe", "settings": [1]}'),
    "an odd end": behind_its_checksum(lay.EVENT, b'{"kind": "ending", "exit": 7}'),
    "a seed beyond all": behind_its_checksum(lay.EVENT, b'{"kind": "recipe", "unix_s": 1.0, "seed": %d}' % 10**30),
    "a time that is none": behind_its_checksum(
        lay.EVENT, b'{"kind": "ending", "unix_s": 1.0, "exit": "ok", "elapsed_s": NaN}'
    ),
    "half a letter": behind_its_checksum(lay.EVENT, b'{"kind": "recipe", "label": "\\ud800", "settings": {}}'),
    "a bad step": behind_its_checksum(lay.STEP, b"\x01"),
    "a step of no shape": behind_its_checksum(lay.STEP, lay.STEP_BODY.pack(9, 1, 1)),
    "a bad key": behind_its_checksum(lay.KEY, lay.KEY_HEAD.pack(9) + b"\xff"),
    "empty": lambda journal: journal.write_bytes(b""),
    "of a newer palate": lambda journal: journal.write_bytes(b"palate\x07\nsomething else"),
    "a folder": as_folder,
    "a link to nowhere": as_link_to_nowhere,
}

FILES = {
    "recipes/012b905af47092ba.json": b'{"half',
    "inputs/22b7ddce21f12c5c.json": b"[1]",
    "goals.json": b"\xff\xfe",
    "runs/train-75a912-s0/received.json": b'{"half',
}


def everything_catalogued(project):
    connection = sqlite3.connect(project.catalog)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def flip_catalog(project):
    content = bytearray(project.catalog.read_bytes())
    for place in range(4096, len(content), 911):
        content[place] ^= 0x55
    project.catalog.write_bytes(content)


def half_migrate(project):
    connection = sqlite3.connect(project.catalog)
    connection.execute("DROP TABLE looked")
    connection.execute("DELETE FROM migrations WHERE number = 4")
    connection.commit()
    connection.close()


def endless_catalog(project):
    connection = sqlite3.connect(project.catalog)
    columns = [row[1] for row in connection.execute("PRAGMA table_info(runs)")]
    connection.execute("PRAGMA foreign_keys = OFF")
    connection.execute("DROP TABLE runs")
    rows = ", ".join(f"x AS {name}" for name in columns)
    endless = "WITH RECURSIVE more(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM more)"
    connection.execute(f"CREATE VIEW runs AS {endless} SELECT {rows} FROM more")
    connection.commit()
    connection.close()


CATALOGS = {
    "changed": flip_catalog,
    "cut": lambda project: project.catalog.write_bytes(project.catalog.read_bytes()[:20_000]),
    "empty": lambda project: project.catalog.write_bytes(b""),
    "half migrated": half_migrate,
    "a view that does not end": endless_catalog,
}


@pytest.fixture
def folder(tmp_path):
    return golden_copy(tmp_path)


@pytest.fixture(scope="module")
def usual(tmp_path_factory):
    place = golden_copy(tmp_path_factory.mktemp("usual"))
    return {" ".join(argv): call(argv, {}, place)["stdout"] for argv in READING}


def spare_journals(project):
    """Name journals of runs that no question needs: by-hand ones of their own, each a copy of a whole one."""
    source = project.journal("train-75a912-s0")
    for number in range(len(JOURNALS)):
        project.run_folder(f"spare-{number}").mkdir()
        shutil.copy(source, project.journal(f"spare-{number}"))
    return [project.journal(f"spare-{number}") for number in range(len(JOURNALS))]


def works(folder, calls, usual, left_out=()):
    """See that calls say what they always say, but for what is left out."""
    for argv in calls:
        said = call(argv, {}, folder)
        name = " ".join(argv)
        assert "Traceback" not in said["stderr"], name
        assert said["status"] == 0, (name, said["stderr"])
        if argv[0] not in ("list", "verify"):
            assert said["stdout"] == usual[name], name
        if argv[0] in ("list", "show", "verify"):
            named = [path for path in left_out if str(path).replace(str(folder), "<HERE>") in said["stderr"]]
            assert len(named) == min(len(left_out), NAMED)


def test_many_bad_journals_at_once_are_named_and_stop_nothing(folder, usual):
    project = Project(folder / ".palate")
    places = spare_journals(project)
    for place, damage in zip(places, JOURNALS.values(), strict=True):
        damage(place)
    works(folder, QUICK, usual, left_out=places)
    rows = json.loads(call(["list", "--runs", "--json", "--limit", "200"], {}, folder)["stdout"])["rows"]
    unread = {row["id"] for row in rows if row["integrity"]["status"] == "unread"}
    assert unread == {place.parent.name for place in places}
    doctor = call(["doctor", "--json"], {}, folder)
    checks = {check["name"]: check for check in json.loads(doctor["stdout"])["checks"]}
    assert doctor["status"] == 1
    assert not checks["journals"]["ok"]
    assert f"{len(places)} cannot be read" in checks["journals"]["told"]
    assert all(check["ok"] for name, check in checks.items() if name not in ("journals", "torch"))


@pytest.mark.parametrize("damage", CATALOGS)
def test_a_catalog_that_is_damaged_is_made_anew(damage, folder, usual):
    project = Project(folder / ".palate")
    call(["list"], {}, folder)
    everything_catalogued(project)
    CATALOGS[damage](project)
    works(folder, QUICK, usual)
    assert call(["list", "--runs", "--limit", "200"], {}, folder)["stdout"].count("\n") == len(
        list(project.runs.iterdir())
    )


def test_damaged_files_beside_are_left_out_and_doctor_names_them(folder, usual):
    for name, content in FILES.items():
        (folder / ".palate" / name).parent.mkdir(exist_ok=True)
        (folder / ".palate" / name).write_bytes(content)
    works(folder, (["list"], ["show", "ef288c27"], ["skill"], ["verify"]), usual)
    doctor = call(["doctor", "--json"], {}, folder)
    [files] = [check for check in json.loads(doctor["stdout"])["checks"] if check["name"] == "files"]
    assert not files["ok"]
    assert all(name in files["told"] for name in FILES)


@pytest.mark.parametrize("tail", [b'{"at": "2026-11-26T', bytes(300)])
def test_a_torn_last_line_of_the_chain_is_kept_beside_it_and_the_chain_goes_on(tail, folder, usual):
    chain = folder / ".palate" / "chain.jsonl"
    whole = chain.read_bytes()
    chain.write_bytes(whole + tail)
    said = call(["list"], {}, folder)
    assert said["status"] == 0
    assert "was not complete, as a power cut leaves it" in said["stderr"]
    assert chain.read_bytes() == whole
    assert (folder / ".palate" / "chain.torn-82").read_bytes() == tail
    again = call(["list"], {}, folder)
    assert again["stderr"] == ""  # said once
    works(folder, QUICK, usual)
    verified = call(["verify"], {}, folder)
    assert "chain.torn-82" in verified["stdout"]
    assert json.loads(call(["verify", "--json"], {}, folder)["stdout"])["torn"] == ["chain.torn-82"]


def test_of_a_chain_that_was_changed_the_rest_is_read_loudly_and_only_sealing_is_refused(folder, usual):
    chain = folder / ".palate" / "chain.jsonl"
    chain.write_bytes(chain.read_bytes().replace(b'"confidence": 80', b'"confidence": 90', 1))
    changed = chain.read_bytes()
    for argv in READING:
        said = call(argv, {}, folder)
        assert said["status"] == 1, argv
        assert "the seal is broken at record 1" in said["stderr"], argv
        assert "git" not in said["stderr"], argv
        if argv[0] != "verify":
            assert said["stdout"], argv
    run = call(["run", "train.py", "--metric", "val_acc", "-c", "gain=0.31", "--no-forecast"], {}, folder)
    assert run["status"] == 1
    assert chain.read_bytes() == changed


@pytest.mark.parametrize("content", [b"", b"junk", b"1 question - [] 00\n"])
def test_an_index_of_the_chain_that_is_damaged_is_made_anew(content, folder, usual):
    call(["list"], {}, folder)
    index = folder / ".palate" / "chain.index"
    right = index.read_bytes()
    index.write_bytes(content)
    assert "the index of the chain was missing or damaged" in call(["doctor"], {}, folder)["stdout"]
    works(folder, QUICK, usual)
    assert index.read_bytes() == right


def test_doctor_always_runs_and_removes_what_was_left(folder):
    home = folder / ".palate"
    earlier = [home / ".chain.index.4194303.1", home / "recipes" / ".abc.json.4194303"]
    left = [home / ".goals.json.4194303.1.palate", home / "runs" / "train-75a912-s0" / ".output.log.4194303.1.palate"]
    left += [*earlier, home / "claims" / "k-s0"]
    (home / "claims").mkdir()
    for path in left:
        path.write_text("{}")
        subprocess.run(["touch", "-d", "3 hours ago", str(path)], check=True)
    (home / "runs" / ".not-ours.json.1").write_text("")
    said = call(["doctor", "--json"], {}, folder)
    told = json.loads(said["stdout"])
    assert not any(path.exists() for path in left)
    assert "removed what processes that are gone had left" in told["mended"][0]
    assert (home / "runs" / ".not-ours.json.1").exists()


@pytest.mark.parametrize("damage", ['{"schema": 1, "schema": 2}', '{"half', "[" * 300 + "]" * 300, '{"a": 1e999}'])
def test_doctor_names_the_recipes_that_are_refused_where_they_are_used(folder, damage):
    recipe = folder / ".palate" / "recipes" / "012b905af47092ba.json"
    recipe.write_text(damage)
    told = json.loads(call(["doctor", "--json"], {}, folder)["stdout"])
    (check,) = [check for check in told["checks"] if check["name"] == "files"]
    assert not check["ok"]
    assert "recipes/012b905af47092ba.json: " in check["told"]


def test_a_check_of_doctor_that_fails_as_nobody_expected_is_a_bad_line(folder):
    chain = folder / ".palate" / "chain.jsonl"
    chain.unlink()
    chain.mkdir()
    (folder / ".palate" / "chain.index").unlink(missing_ok=True)
    said = call(["doctor", "--json"], {}, folder)
    assert said["status"] == 1
    assert "Traceback" not in said["stderr"]
    assert not {check["name"]: check["ok"] for check in json.loads(said["stdout"])["checks"]}["chain"]


def test_folders_of_runs_that_went_are_counted_and_what_was_read_of_them_stays(folder, usual):
    call(["list"], {}, folder)
    shutil.rmtree(folder / ".palate" / "runs")
    works(folder, (["list"], ["show", "ef288c27"]), usual)
    verified = json.loads(call(["verify", "--json"], {}, folder)["stdout"])
    assert verified["runs_gone"] == len(set(rested(folder)))


def rested(folder):
    for line in (folder / ".palate" / "chain.jsonl").read_text().splitlines():
        record = json.loads(line)
        if record["kind"] == "verdict":
            yield from (run for runs in record["body"]["runs"].values() for run in runs)


LOCKED = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA locking_mode = EXCLUSIVE")
connection.execute("BEGIN EXCLUSIVE")
connection.execute("DELETE FROM looked")
print("locked", flush=True)
sys.stdin.read()
"""


@pytest.mark.slow
def test_a_catalog_that_stays_locked_is_read_without(folder):
    call(["list"], {}, folder)
    project = Project(folder / ".palate")
    holder = subprocess.Popen(
        [sys.executable, "-c", LOCKED, str(project.catalog)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout.readline() == "locked\n"
    try:
        said = call(["list", "--runs"], {}, folder)
    finally:
        holder.communicate()
    assert said["status"] == 0
    assert "the runs are read from their journals" in said["stderr"]
    assert len(said["stdout"].splitlines()) == 50


@pytest.mark.slow
@pytest.mark.parametrize("damage", JOURNALS)
def test_each_bad_journal_alone_stops_nothing(damage, folder, usual):
    project = Project(folder / ".palate")
    place = spare_journals(project)[0]
    JOURNALS[damage](place)
    works(folder, READING, usual, left_out=[place])


def test_whole_journals_are_whole(folder):
    assert read_journal(folder / ".palate" / "runs" / "train-75a912-s0" / "journal").integrity.status == "whole"


def test_a_process_of_its_own_says_the_same_of_a_bad_journal(folder):
    journal = folder / ".palate" / "runs" / "train-75a912-s0" / "journal"
    JOURNALS["no JSON"](journal)
    ended = subprocess.run(
        [sys.executable, "-m", "palate", "list"], cwd=folder, env=environment(folder, {}), capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 0
    assert str(journal) in ended.stderr


def test_what_is_linked_into_a_store_is_not_palates_to_change(folder, tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir()
    names = ("notes.txt", "0a1b2c3d-s0", "id_rsa")
    for name in names:
        (mine / name).write_text("kept")
    (folder / ".palate" / "claims").symlink_to(mine)
    call(["doctor"], {}, folder)
    ended = call(
        ["run", "train.py", "--metric", "val_acc", "-c", "gain=0.31", "--no-forecast", "--pairs", "2"], {}, folder
    )
    assert "is a link" in ended["stderr"]
    assert {path.name: path.read_text() for path in mine.iterdir()} == dict.fromkeys(names, "kept")


@pytest.mark.parametrize("content", ["my thesis, no final newline", '{"a": 1', ""])
def test_a_file_that_is_linked_in_the_chains_place_stays_as_it_is(content, folder, tmp_path):
    (tmp_path / "thesis.txt").write_text(content)
    chain = folder / ".palate" / "chain.jsonl"
    chain.unlink()
    chain.symlink_to(tmp_path / "thesis.txt")
    for argv in (["list"], ["verify"], ["doctor"]):
        assert "Traceback" not in call(argv, {}, folder)["stderr"]
    assert (tmp_path / "thesis.txt").read_text() == content


@pytest.mark.parametrize(
    "name", ["chain.jsonl", "chain.index", "goals.json", "recipes/0.json", "inputs/0.json", "runs/x/journal"]
)
def test_a_pipe_in_the_place_of_a_file_keeps_nobody_waiting(name, folder):
    path = folder / ".palate" / name
    path.parent.mkdir(exist_ok=True, parents=True)
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    for argv in (["list"], ["doctor"]):
        done = subprocess.run(
            [sys.executable, "-m", "palate", *argv],
            cwd=folder,
            env=environment(folder, {}),
            capture_output=True,
            timeout=60,
        )
        assert b"Traceback" not in done.stderr
