"""A store is its owner's alone, whatever the umask, and as open as its folder where a team opened that."""

import json
import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest

from palate.errors import StoreError
from palate.loop.claims import Claims
from palate.loop.journals import begin
from palate.loop.reuse import remember
from palate.question.question import build_question
from palate.question.target import find_target
from palate.store.catalog import Catalog
from palate.store.journal import write_event
from palate.store.private import close_to_others
from palate.store.project import Project
from palate.store.recipes import Recipes, Words
from palate.training.inputs import Received
from palate.training.output import Output
from palate.training.states import FileState
from palate.vocabulary import BASELINE

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@contextmanager
def umask(mode):
    before = os.umask(mode)
    try:
        yield
    finally:
        os.umask(before)


def fill(project, name="run-1"):
    """Write into a store what palate writes into it."""
    project.make()
    write_event(project.run_folder(name) / "journal", "recipe", key="k", label="l", seed=0, settings={})
    project.chain.append("skip", {"experiment": "e", "author": "ada", "agent": False}, now=NOW)
    project.remember_goal("acc", "max")
    Recipes(project.home).put_words(Words())
    with Catalog.open(project) as catalog:
        catalog.refresh()


def modes(project):
    """The modes of a store's folders and of its files."""
    paths = [project.home, *project.home.rglob("*")]
    folders = {stat.S_IMODE(path.stat().st_mode) for path in paths if path.is_dir()}
    return folders, {stat.S_IMODE(path.stat().st_mode) for path in paths if path.is_file()}


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o002, 0o077])
def test_a_store_is_made_for_its_owner_alone_whatever_the_umask(tmp_path, mask):
    project = Project(tmp_path / "deep" / ".palate")
    with umask(mask):
        fill(project)
    assert modes(project) == ({0o700}, {0o600})


def test_what_comes_into_a_shared_store_is_as_open_as_its_folder(tmp_path):
    project = Project(tmp_path / ".palate")
    project.home.mkdir()
    project.home.chmod(0o770)
    with umask(0o022):
        fill(project)
    assert modes(project) == ({0o770}, {0o660})


def test_a_store_of_before_stays_open_to_its_readers_until_it_is_closed(tmp_path):
    project = Project(tmp_path / ".palate")
    project.home.mkdir(mode=0o755)
    project.home.chmod(0o755)
    with umask(0o022):
        fill(project)
        fill(project, "run-2")
    assert modes(project) == ({0o755}, {0o644})
    outside = tmp_path / "outside"
    outside.write_text("")
    outside.chmod(0o644)
    (project.home / "link").symlink_to(outside)
    assert close_to_others(project.home) > 5
    assert stat.S_IMODE(outside.stat().st_mode) == 0o644
    (project.home / "link").unlink()
    assert modes(project) == ({0o700}, {0o600})
    assert close_to_others(project.home) == 0
    with umask(0o022):
        fill(project, "run-3")
    assert modes(project) == ({0o700}, {0o600})


def test_what_runs_claims_and_outputs_leave_in_a_shared_store_is_as_open_as_its_folder(tmp_path):
    project = Project(tmp_path / ".palate")
    project.home.mkdir()
    project.home.chmod(0o770)
    with umask(0o077):
        fill(project)
        script = tmp_path / "train.py"
        script.write_text("import palate\nlr = 1\npalate.log(0, acc=lr)\n")
        plan = build_question(find_target(str(script)), {"lr": 2}, metric="acc").plan
        order = begin(project, plan, BASELINE, 0)
        Output.open(order.folder / "output.log").close()
        claims = Claims(project.home)
        assert claims.take("k", 0, "run")
        with project.chain.path.open("ab") as file:
            file.write(b'{"half')
        project.chain.verify()
        assert project.chain.torn()
    assert modes(project) == ({0o770}, {0o660})
    claims.close()


def test_a_claim_that_another_person_made_for_themselves_is_still_theirs(tmp_path):
    holder = Claims(tmp_path)
    assert holder.take("k", 0, "run")
    path = tmp_path / "claims" / "k-s0"
    path.chmod(0o444)
    (tmp_path / "claims").chmod(0o777)
    tmp_path.chmod(0o755)
    code = (
        "import os, sys; from pathlib import Path; from palate.loop.claims import Claims\n"
        "os.chdir(sys.argv[1])\n"
        "if os.getuid() == 0:\n    os.setgid(65534)\n    os.setuid(65534)\n"
        "print(Claims(Path()).take('k', 0, 'other'))"
    )
    said = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert said.stdout == "False\n"


def test_what_several_threads_remember_at_once_is_all_remembered(tmp_path):
    project = Project(tmp_path / ".palate")
    project.make()
    received = [Received(files={f"f{k}": FileState("1", "1", "h")}, variables={}) for k in range(40)]

    def write(number):
        project.remember_goal(f"m{number}", "max")
        Recipes(project.home).put_words(Words())
        remember(project, "key", received[number])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(40)))
    assert len(project.goals) == 40
    assert len(json.loads((project.home / "inputs" / "key.json").read_text())["files"]) == 40
    assert [path for path in project.home.rglob("*") if path.name.endswith(".palate")] == []


def test_a_goal_that_cannot_be_remembered_is_an_error_that_says_so_and_leaves_nothing(tmp_path):
    project = Project(tmp_path / ".palate")
    project.make()
    (project.home / "goals.json").mkdir()
    with pytest.raises(StoreError, match="cannot be written: Is a directory"):
        project.remember_goal("acc", "max")
    assert sorted(path.name for path in project.home.iterdir()) == [".gitignore", "goals.json", "runs"]
