"""A store is its owner's alone, whatever the umask, and as open as its folder where a team opened that."""

import os
import stat
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest

from palate.store.catalog import Catalog
from palate.store.journal import write_event
from palate.store.private import close_to_others
from palate.store.project import Project
from palate.store.recipes import Recipes, Words

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
