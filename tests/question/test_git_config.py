"""What a received repository's own configuration names is not started by looking at its state."""

from tests.question.test_edit import git, write

from palate.capture.place import git_state
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
