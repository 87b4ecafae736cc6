"""The catalog holds what journals and chain hold, and can be made anew from them."""

import shutil
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime

import numpy as np
import pytest
from sqlalchemy import create_engine, inspect

from palate.errors import CatalogNewerError, InputError, NotFoundError, StoreError
from palate.store import schema
from palate.store.catalog import Catalog, pack_curve, rebuild, unpack_curve
from palate.store.config import read_config
from palate.store.journal import Journal
from palate.store.project import Project, find_project
from palate.store.reader import read_journal


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
        curves = {r["id"]: catalog.curve(r["id"], "acc").values.tolist() for r in runs}
        return runs, catalog.summaries([r["id"] for r in runs]), catalog.records(), curves


def test_journals_become_rows_once_and_again_only_when_they_grow(project):
    with Catalog.open(project) as catalog:
        assert catalog.refresh() == 3
        assert catalog.refresh() == 0
        journal = Journal.open(project.journal("run-1"))
        journal.log(10, {"acc": 99.0})
        journal.close()
        assert catalog.refresh() == 1
        row = next(r for r in catalog.summaries(["run-1"]) if r["metric"] == "acc")
        assert (row["n"], row["last"], row["most"], row["last_step"]) == (11, 99.0, 99.0, 10)


def test_a_rebuilt_catalog_equals_the_one_that_grew(project):
    before = everything(project)
    assert rebuild(project) == 3
    assert everything(project) == before


def test_nan_at_the_end_is_kept_as_what_it_was(project):
    _, summaries, _, _ = everything(project)
    row = next(r for r in summaries if r["metric"] == "loss")
    assert (row["last"], row["last_text"], row["least"]) == (None, "nan", 1.0)


def test_a_damaged_catalog_is_put_aside_and_made_anew(project):
    before = everything(project)
    project.catalog.write_bytes(b"no database" * 500)
    for suffix in ("-wal", "-shm"):
        project.catalog.with_name(project.catalog.name + suffix).unlink(missing_ok=True)
    assert everything(project) == before
    assert project.catalog.with_name("catalog.sqlite.damaged").exists()


def test_a_newer_catalog_is_refused_and_left_alone(project):
    everything(project)
    connection = sqlite3.connect(project.catalog)
    with connection:
        connection.execute("INSERT INTO migrations VALUES (99, 'from the future')")
    connection.close()
    with pytest.raises(CatalogNewerError, match="newer palate"):
        Catalog.open(project)


def test_migrations_end_at_the_schema_that_the_code_reads(project):
    everything(project)
    engine = create_engine(f"sqlite:///{project.catalog}")
    found = inspect(engine)
    for table in schema.metadata.sorted_tables:
        columns = {column["name"]: str(column["type"]) for column in found.get_columns(table.name)}
        assert columns == {column.name: str(column.type.compile(engine.dialect)) for column in table.columns}
        assert {i["name"] for i in found.get_indexes(table.name)} == {index.name for index in table.indexes}
    engine.dispose()


def test_a_run_is_found_by_the_start_of_its_id(project):
    with Catalog.open(project) as catalog:
        catalog.refresh()
        assert catalog.find_run("run-2")["seed"] == 2
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
    told = subprocess.run([sys.executable, "-c", EIGHT, str(project.home)], capture_output=True, text=True)
    assert (told.stdout.split(), told.stderr) == (["3"] * 8, "")


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
    found = read_config(tmp_path, {"PALATE_WORKERS": "2"}, tmp_path / "user.toml")
    assert (found["pairs"].value, found["workers"].value, found["author"].value) == (8, 2, "ann")
    assert found["workers"].source == "PALATE_WORKERS"
    assert found["threads"].source == "default"


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
