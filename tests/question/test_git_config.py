"""What a received repository's own configuration names is not started by looking at its state."""

from tests.question.test_edit import git, write

from palate.capture.place import commit_of, git_state, run_git
from palate.question.edit import edit_between


def test_neither_a_file_watcher_nor_a_text_converter_of_the_repository_is_started(tmp_path, monkeypatch):
    spy = tmp_path / "spy.sh"
    spy.write_text(f'#!/bin/sh\ntouch {tmp_path}/stolen\ncat "$1" 2>/dev/null\n')
    spy.chmod(0o755)
    folder = tmp_path / "repo"
    folder.mkdir()
    git(folder, "init", "-q")
    write(folder, train_dot_py="lr = 1.0\n", _dot_gitattributes="*.py diff=spy\n", _dot_gitignore=".palate\n")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "one")
    write(folder, train_dot_py="lr = 1.0\nwidth = 2\n")
    for name, value in (("core.fsmonitor", spy), ("diff.spy.textconv", spy), ("diff.external", spy)):
        git(folder, "config", name, str(value))
    monkeypatch.chdir(folder)
    assert git_state(folder)["uncommitted"]
    edit_between("train.py", (), home=folder / ".palate", against="HEAD")
    assert not (tmp_path / "stolen").exists()


def test_neither_hooks_nor_a_way_to_fetch_what_is_missing_are_started(tmp_path, monkeypatch):
    spy = tmp_path / "spy.sh"
    spy.write_text(f"#!/bin/sh\necho $0 >> {tmp_path}/stolen\ncat\n")
    spy.chmod(0o755)
    folder = tmp_path / "repo"
    folder.mkdir()
    git(folder, "init", "-q")
    write(folder, train_dot_py="lr = 1.0\n", _dot_gitignore=".palate\n")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "one")
    for name in ("reference-transaction", "post-index-change", "pre-commit"):
        (folder / ".git" / "hooks" / name).symlink_to(spy)
    for name, value in (
        ("extensions.partialClone", "origin"),
        ("remote.origin.promisor", "true"),
        ("remote.origin.url", "."),
        ("remote.origin.uploadpack", f"{spy}; false"),
    ):
        git(folder, "config", name, value)
    write(folder, train_dot_py="lr = 1.0\nwidth = 2\n")
    monkeypatch.chdir(folder)
    assert git_state(folder)["commit"]
    edit_between("train.py", (), home=folder / ".palate", against="HEAD")
    run_git(folder, "notes", "--ref=palate", "append", "-m", "head", "HEAD")
    run_git(folder, "show", "0" * 39 + "1")
    assert not (tmp_path / "stolen").exists()


def test_a_folder_that_looks_like_a_repository_is_none(tmp_path):
    git(tmp_path, "init", "-q", "--bare", "exp")
    write(tmp_path / "exp", train_dot_py="lr = 1.0\n")
    assert commit_of(tmp_path / "exp") is None
    assert run_git(tmp_path / "exp", "notes", "list").returncode
