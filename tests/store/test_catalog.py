"""The catalog holds what journals and chain hold, and can be made anew from them."""

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from palate.errors import ChainBrokenError, InputError, NotFoundError, StoreError
from palate.store.catalog import NAMED, NEWEST, Catalog, pack_curve, rebuild, unpack_curve
from palate.store.config import read_config
from palate.store.journal import Journal, write_event
from palate.store.migrations import MIGRATIONS
from palate.store.peek import runs_named
from palate.store.project import Project, find_project
from palate.store.reader import read_journal

GOLDEN = Path(__file__).parent / "golden" / "home"


@pytest.fixture
def project(tmp_path):
    made = Project(tmp_path / ".palate")
    made.make()
    for seed in range(3):
        journal = Journal.open(made.journal(f"run-{seed}"))
        journal.event("recipe", key="k", label="train", seed=seed, settings={"lr": 0.1})
        for step in range(10):
            journal.log(step, {"acc": step / 7 + seed, "loss": float("nan") if step == 9 else 1.0})
        journal.event("ending", exit="ok", elapsed_s=1.5)
        journal.close()
    made.chain.append("question", {"experiment": "abc"}, now=datetime.now(UTC))
    return made


def everything(project):
    with Catalog.open(project) as catalog:
        catalog.refresh()
        runs = catalog.runs()
        summaries = catalog.summaries([run.id for run in runs])
        curves = [catalog.curve(one.run_id, one.metric).values.tolist() for one in summaries if one.last is not None]
        return runs, summaries, curves


def test_journals_become_rows_once_and_again_only_when_they_grow(project):
    with Catalog.open(project) as catalog:
        assert catalog.refresh() == 3
        assert catalog.refresh() == 0
        journal = Journal.open(project.journal("run-1"))
        journal.log(10, {"acc": 99.0})
        journal.close()
        assert catalog.refresh() == 1
        summary = next(one for one in catalog.summaries(["run-1"]) if one.metric == "acc")
        assert (summary.n, summary.last, summary.most, summary.last_step) == (11, 99.0, 99.0, 10)


def test_a_rebuilt_catalog_equals_the_one_that_grew(project):
    before = everything(project)
    assert rebuild(project) == 3
    assert everything(project) == before


def test_nan_at_the_end_is_kept_as_what_it_was(project):
    _, summaries, _ = everything(project)
    summary = next(one for one in summaries if one.metric == "loss")
    assert (summary.last, summary.last_text, summary.least) == (None, "nan", 1.0)


def test_a_damaged_catalog_is_put_aside_and_made_anew(project):
    before = everything(project)
    project.catalog.write_bytes(b"no database" * 500)
    for suffix in ("-wal", "-shm"):
        project.catalog.with_name(project.catalog.name + suffix).unlink(missing_ok=True)
    assert everything(project) == before
    assert project.catalog.with_name("catalog.sqlite.damaged").exists()


def test_a_newer_catalog_is_left_alone_and_the_runs_are_read_from_their_journals(project, capfd):
    before = everything(project)
    connection = sqlite3.connect(project.catalog)
    with connection:
        connection.execute("INSERT INTO migrations VALUES (99, 'from the future')")
    connection.close()
    kept = project.catalog.read_bytes()
    assert everything(project) == before
    assert project.catalog.read_bytes() == kept
    told = capfd.readouterr().err
    assert "was written by a newer palate" in told
    assert "the runs are read from their journals" in told


@pytest.fixture
def old(tmp_path):
    """A project as a palate of before left it: its catalog holds the chain's records, and nothing was migrated."""
    home = tmp_path / "old" / ".palate"
    shutil.copytree(GOLDEN, home)
    return Project(home)


def query(path, text):
    connection = sqlite3.connect(path)
    try:
        return connection.execute(text).fetchall()
    finally:
        connection.close()


def dump(path):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return list(connection.iterdump())


def test_an_old_catalog_is_migrated_and_says_what_one_made_anew_says(old):
    [(count, head)] = query(old.catalog, "SELECT number + 1, hash FROM records ORDER BY number DESC LIMIT 1")
    ids = {row[0] for row in query(old.catalog, "SELECT id FROM runs")}
    assert len(query(old.catalog, "SELECT * FROM migrations")) == 1
    before = dump(old.catalog)
    with Catalog.open(old) as catalog:
        assert {run.id for run in catalog.runs()} == ids  # before any journal is looked at
        assert query(old.catalog, "SELECT number, hash FROM sealed") == [(count, head)]
        migrated = everything(old)
    assert old.chain.hash_at(count - 1) == head
    assert [row[0] for row in query(old.catalog, "SELECT number FROM migrations")] == [1, 2, 3, 4]
    assert query(old.catalog, "SELECT name FROM sqlite_master WHERE name = 'records'") == []
    assert query(old.catalog, "SELECT number, hash FROM sealed") == [old.chain.head()]
    kept = old.catalog.with_suffix(".before-002.sqlite")
    assert query(kept, "SELECT COUNT(*) FROM records") == [(count,)]
    assert dump(kept) == before
    rebuild(old)
    assert everything(old) == migrated


def test_a_migrated_catalog_has_the_schema_of_one_made_anew(old, project):
    for one in (old, project):
        Catalog.open(one).close()
    names = "SELECT type, name, tbl_name FROM sqlite_master ORDER BY type, name"
    assert query(old.catalog, names) == query(project.catalog, names)
    for _, table, _ in query(old.catalog, names.replace("ORDER", "WHERE type = 'table' ORDER")):
        columns = f"PRAGMA table_info({table})"
        assert query(old.catalog, columns) == query(project.catalog, columns)
    assert len(MIGRATIONS) == len(query(old.catalog, "SELECT * FROM migrations"))


def test_a_chain_that_was_cut_before_an_old_catalog_was_migrated_is_noticed(old):
    [(count,)] = query(old.catalog, "SELECT COUNT(*) FROM records")
    lines = old.chain.path.read_text().splitlines(keepends=True)
    old.chain.path.write_text("".join(lines[: count - 1]))
    with Catalog.open(old) as catalog:
        catalog.refresh()
    refuses_to_seal(old, f"remembers {count} records")


def refuses_to_seal(project, match):
    """See that a chain is read on, and that nothing is sealed into it."""
    sealed = len(project.chain)
    with pytest.raises(ChainBrokenError, match=match):
        project.chain.append("skip", {"experiment": "later"}, now=datetime.now(UTC))
    assert len(project.chain) == sealed


def cut(project):
    lines = project.chain.path.read_text().splitlines(keepends=True)
    project.chain.path.write_text("".join(lines[:-1]))


def test_a_chain_that_lost_its_end_is_noticed_when_the_catalog_is_refreshed(project):
    project.chain.append("skip", {"experiment": "abc"}, now=datetime.now(UTC))
    everything(project)
    cut(project)
    again = Project(project.home)  # as another process opens it
    for one in (project, again):
        with Catalog.open(one) as catalog:
            catalog.refresh()
            assert len(catalog.runs()) == 3
        refuses_to_seal(one, "the catalog remembers 2 records")
    assert rebuild(again) == 3  # if it is meant to be so
    with Catalog.open(again) as catalog:
        assert catalog.refresh() == 0


def test_a_chain_that_was_cut_and_went_on_is_noticed(project):
    project.chain.append("skip", {"experiment": "abc"}, now=datetime.now(UTC))
    everything(project)
    cut(project)
    for name in ("d", "e"):
        project.chain.append("skip", {"experiment": name}, now=datetime.now(UTC))
    with Catalog.open(project) as catalog:
        catalog.refresh()
    refuses_to_seal(project, "remembers 2 records")


def test_runs_are_listed_oldest_first_and_only_so_many_of_the_newest(project):
    with Catalog.open(project) as catalog:
        catalog.refresh()
        runs = catalog.runs()
        assert catalog.newest(2) == runs[1:]
        assert catalog.newest_finished("train", 2) == runs[1:]
        assert catalog.newest_finished("other", 2) == []
        assert catalog.runs(["k"]) == runs
        assert catalog.runs(["no key"]) == []
        assert catalog.count_runs() == 3
        [first, *_] = runs
        assert (first.id, first.key, first.label, first.seed, first.settings) == ("run-0", "k", "train", 0, {"lr": 0.1})
        assert (first.finished, first.failed, first.ended, first.going, first.planned) == (
            True,
            False,
            True,
            False,
            True,
        )


def test_a_run_is_found_by_the_start_of_its_id(project):
    with Catalog.open(project) as catalog:
        catalog.refresh()
        assert catalog.find_run("run-2").seed == 2
        with pytest.raises(NotFoundError, match="several"):
            catalog.find_run("run")
        with pytest.raises(NotFoundError, match="no run"):
            catalog.find_run("walk")
        with pytest.raises(NotFoundError, match="no metric"):
            catalog.curve("run-2", "speed")


def test_a_curve_survives_packing(project):
    curve = read_journal(project.journal("run-0")).curves["loss"]
    back = unpack_curve(pack_curve(curve))
    np.testing.assert_array_equal(back.values, curve.values)
    np.testing.assert_array_equal(back.steps, curve.steps)
    np.testing.assert_array_equal(back.elapsed_s, curve.elapsed_s)


EIGHT = """
import os, sys, traceback
from pathlib import Path
from palate.store.catalog import Catalog
from palate.store.project import Project
wait, go = os.pipe()
for _ in range(8):
    if os.fork():
        continue
    os.close(go)
    os.read(wait, 1)  # until all are there
    try:
        with Catalog.open(Project(Path(sys.argv[1]))) as catalog:
            catalog.refresh()
            os.write(1, b"%d\\n" % len(catalog.runs()))
    except BaseException:
        traceback.print_exc()
    os._exit(0)
os.close(go)
for _ in range(8):
    os.wait()
"""


def test_eight_fresh_processes_open_one_fresh_store(project):
    for part in project.home.glob("catalog*"):
        part.unlink()
    ended = subprocess.run([sys.executable, "-c", EIGHT, str(project.home)], capture_output=True, text=True)
    assert (ended.stdout.split(), ended.stderr) == (["3"] * 8, "")


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be written"):
        Project(tmp_path / "file" / ".palate").make()


def test_the_project_is_the_nearest_folder_or_beside_the_nearest_project_file(tmp_path):
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    (tmp_path / "a" / "pyproject.toml").write_text("")
    assert find_project(deep, {}).home == tmp_path / "a" / ".palate"
    (tmp_path / ".palate").mkdir()
    assert find_project(deep, {}).home == tmp_path / ".palate"
    assert find_project(deep, {"PALATE_HOME": str(tmp_path / "x")}).home == tmp_path / "x"


def test_preferences_come_from_the_nearest_layer_that_has_them(tmp_path):
    (tmp_path / "pyproject.toml").write_text("[tool.palate]\npairs = 8\nworkers = 3\n")
    (tmp_path / "user.toml").write_text("pairs = 5\nauthor = 'ann'\n")
    config = read_config(tmp_path, {"PALATE_WORKERS": "2"}, tmp_path / "user.toml")
    assert (config["pairs"].value, config["workers"].value, config["author"].value) == (8, 2, "ann")
    assert config["workers"].source == "PALATE_WORKERS"
    assert config["threads"].source == "default"


def test_unknown_and_unreadable_preferences_are_told_together(tmp_path):
    (tmp_path / "pyproject.toml").write_text("[tool.palate]\npears = 8\n")
    with pytest.raises(InputError) as caught:
        read_config(tmp_path, {"PALATE_PAIRS": "many"}, tmp_path / "none.toml")
    assert "pears" in str(caught.value)
    assert "many" in str(caught.value)


def test_a_store_can_be_moved(project, tmp_path):
    before = everything(project)
    moved = Project(tmp_path / "elsewhere")
    shutil.move(project.home, moved.home)
    assert everything(moved) == before


def test_a_run_whose_journal_cannot_be_read_is_named_and_stops_nothing(project, capfd):
    before = everything(project)
    (project.runs / "odd" / "journal").mkdir(parents=True)
    for name, target in (("loop", "journal"), ("nowhere", "no such file")):
        (project.runs / name).mkdir()
        (project.runs / name / "journal").symlink_to(project.runs / name / target)
    (project.runs / "file").write_text("")
    (project.runs / "begun").mkdir()
    for name, content in {"empty": b"", "newer": b"palate\x02\nwhat", "text": b"no journal"}.items():
        (project.runs / name).mkdir()
        project.journal(name).write_bytes(content)
    bad = {"odd", "loop", "nowhere", "empty", "newer", "text"}
    runs, summaries, curves = everything(project)
    assert [run for run in runs if run.id not in bad] == before[0]
    assert (summaries, curves) == before[1:]
    assert {run.id for run in runs if run.integrity.status == "unread"} == bad
    assert {run.integrity.why for run in runs if run.id in ("odd", "empty", "nowhere")} == {
        "it is not a file", "it is empty", "it is a link to nowhere",
    }  # fmt: skip
    told = capfd.readouterr().err
    assert sum(str(project.journal(name)) in told for name in bad) == NAMED
    assert f"{len(bad) - NAMED} more runs cannot be read" in told
    with Catalog.open(project) as catalog:
        assert catalog.refresh() == 0  # what could not be read is tried again, and is no news
        project.journal("empty").write_bytes(project.journal("run-0").read_bytes())
        shutil.copytree(project.run_folder("run-0"), project.run_folder("begun"), dirs_exist_ok=True)
        assert catalog.refresh() == 2


def test_the_last_value_is_that_of_the_highest_step_and_of_equal_ones_the_later(project):
    write_event(project.journal("run-9"), "recipe", key="", label="x", seed=0, settings={})
    journal = Journal.open(project.journal("run-9"))
    for step, value in ((0, 0.1), (5, 0.5), (10, 0.6), (10, 0.7), (3, 0.3), (4, 0.4)):
        journal.log(step, {"acc": value})
    journal.close()
    with Catalog.open(project) as catalog:
        catalog.refresh()
        [summary] = catalog.summaries(["run-9"])
        curve = catalog.curve("run-9", "acc")
    assert (summary.last, summary.last_step, summary.n) == (0.7, 10, 6)
    assert curve.steps.tolist() == [0, 5, 10, 10, 3, 4]
    assert curve.by_step().steps.tolist() == [0, 3, 4, 5, 10]
    assert curve.by_step().values.tolist() == [0.1, 0.3, 0.4, 0.5, 0.7]


UNDO_4 = (
    *(f"DROP INDEX {name}" for name in ("runs_by_first", "runs_going", "runs_unread", "summaries_by_end",
      "journals_awaited", "journals_gone")),
    *(f"ALTER TABLE runs DROP COLUMN {name}" for name in ("integrity", "lost_points", "why_lost", "first_unix_s",
      "checksum")),
    *(f"ALTER TABLE summaries DROP COLUMN {name}" for name in ("label", "checksum")),
    *(f"ALTER TABLE journals DROP COLUMN {name}" for name in ("mtime_ns", "gone")),
    *(f"DROP TABLE {name}" for name in ("looked", "blind", "resting")),
    "CREATE INDEX summaries_by_metric ON summaries (metric)",
)  # fmt: skip


def test_an_old_catalog_reads_those_journals_again_whose_steps_go_back(old):
    journal = Journal.open(old.journal("run-9"))
    for step, value in ((10, 0.7), (3, 0.3)):
        journal.log(step, {"acc": value})
    journal.close()
    rebuild(old)
    connection = sqlite3.connect(old.catalog)
    connection.execute("UPDATE summaries SET last = 0.3 WHERE run_id = 'run-9'")
    for undo in UNDO_4:
        connection.execute(undo)
    connection.execute("DELETE FROM migrations WHERE number >= 3")
    connection.commit()
    connection.close()
    with Catalog.open(old) as catalog:
        assert catalog.refresh() == 2  # and that with a torn end
        assert catalog.summaries(["run-9"])[0].last == 0.7


def grow(project, run):
    journal = Journal.open(project.journal(run))
    journal.log(11, {"acc": 99.0})
    journal.close()


def test_what_has_ended_is_looked_at_again_where_it_is_new_or_asked_for(project):
    for number in range(NEWEST):
        shutil.copytree(project.run_folder("run-2"), project.run_folder(f"copy-{number}"))
    with Catalog.open(project) as catalog:
        assert catalog.refresh() == 3 + NEWEST
        grow(project, "run-0")
        assert catalog.refresh() == 0  # it ended, and others are newer
        assert catalog.refresh(keys=["another"]) == 0
        assert catalog.refresh(keys=["k"]) == 1
        grow(project, "run-0")
        assert catalog.refresh(everything=True) == 1
        shutil.rmtree(project.run_folder("run-0"))
        assert catalog.refresh() == 0
        assert catalog.gone() == ["run-0"]
        assert len(catalog.runs()) == 3 + NEWEST  # what was read of it stays
        shutil.copytree(project.run_folder("run-1"), project.run_folder("run-0"))
        catalog.refresh()
        assert catalog.gone() == []


def test_a_row_that_was_changed_makes_the_catalog_anew(project, capfd):
    before = everything(project)
    connection = sqlite3.connect(project.catalog)
    with connection:
        connection.execute("UPDATE summaries SET last = last + 1 WHERE metric = 'acc'")
    connection.close()
    assert everything(project) == before
    assert "was damaged: it is put aside" in capfd.readouterr().err


def test_folders_of_runs_are_found_by_a_part_of_their_names(project):
    assert sorted(runs_named(project.runs, "run-")) == ["run-0", "run-1", "run-2"]
    assert runs_named(project.runs, "-s") == []
    shutil.copytree(project.run_folder("run-0"), project.run_folder("other-s0"))
    assert runs_named(project.runs, "-s") == ["other-s0"]


def test_the_copy_before_a_migration_has_what_sqlite_keeps_beside_the_file(old):
    with Catalog.open(old) as catalog:
        catalog.refresh()
    rebuild(old)
    writer = sqlite3.connect(old.catalog)
    writer.execute("PRAGMA journal_mode = WAL")
    writer.execute("PRAGMA wal_autocheckpoint = 0")
    for table, column in (("migrations", "number = 4"),):
        writer.execute(f"DELETE FROM {table} WHERE {column}")
    writer.execute("CREATE TABLE beside (word TEXT)")
    writer.execute("INSERT INTO beside VALUES ('kept')")
    writer.commit()
    with contextlib.suppress(Exception):  # the columns are there already: only the copy is looked at
        Catalog(old)
    writer.close()
    assert query(old.catalog.with_suffix(".before-004.sqlite"), "SELECT word FROM beside") == [("kept",)]


def test_a_damaged_catalog_of_which_only_a_copy_can_be_used_stops_no_reader(project):
    before = everything(project)
    content = bytearray(project.catalog.read_bytes())
    for place in range(4096, len(content), 4096):
        content[place : place + 64] = os.urandom(64)
    project.catalog.write_bytes(content)
    with Catalog(project, in_memory=True)._filled(OSError(30, "Read-only file system")) as catalog:
        catalog.refresh()
        assert catalog.runs() == before[0]
        catalog.note(0, [], [])
