"""The state of the code is read whatever lies beside it: broken links, pipes, files of any size."""

import os
import subprocess
import sys

import pytest

from palate.capture.files import Files
from palate.capture.place import git_state


@pytest.fixture
def repository(tmp_path):
    def git(*words):
        subprocess.run(["git", "-C", str(tmp_path), *words], check=True, capture_output=True)

    git("init", "-q")
    (tmp_path / "train.py").write_text("lr = 0.1\n")
    (tmp_path / "weights.bin").write_bytes(bytes(range(256)))
    git("add", ".")
    git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "first")
    return tmp_path


def test_what_is_not_committed_counts_tracked_or_not(repository):
    clean = git_state(repository)
    assert set(clean) == {"commit"}
    (repository / "conf.yaml").write_text("lr: 1\n")
    one = git_state(repository)
    (repository / "conf.yaml").write_text("lr: 2\n")
    two = git_state(repository)
    (repository / "train.py").write_text("lr = 0.2\n")
    three = git_state(repository)
    (repository / "weights.bin").write_bytes(bytes(255))
    four = git_state(repository)
    (repository / "weights.bin").write_bytes(bytes(254))
    states = [one, two, three, four, git_state(repository)]
    assert len({state["uncommitted"] for state in states}) == 5
    assert {state["commit"] for state in states} == {clean["commit"]}
    assert git_state(repository) == states[-1]


def test_what_cannot_be_read_is_left_out_and_named(repository):
    (repository / "conf.yaml").symlink_to("nowhere.yaml")
    os.mkfifo(repository / "pipe.yaml")
    (repository / "around.json").symlink_to("around.json")
    state = git_state(repository)
    assert state["unread"] == ["around.json", "conf.yaml"]  # git lists no pipes
    assert "uncommitted" not in state


MEMORY = """
import resource, sys
from pathlib import Path
from palate.capture.place import git_state
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
state = git_state(Path(sys.argv[1]))
print("uncommitted" in state, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_a_large_file_that_is_not_committed_takes_no_memory(repository):
    for name in ("untracked.json", "weights.bin"):
        with (repository / name).open("wb") as file:
            file.truncate(200 << 20)
    said = subprocess.run([sys.executable, "-c", MEMORY, str(repository)], capture_output=True, text=True, check=True)
    known, mebibytes = said.stdout.split()
    assert known == "True"
    assert int(mebibytes) < 20


def test_a_data_file_that_cannot_be_read_any_more_is_said(tmp_path):
    (tmp_path / "a.csv").write_text("1")
    files = Files()
    files.hear(str(tmp_path / "a.csv"), "r", 0)
    files.hear("/proc/self/mem", "r", 0)
    assert list(files.hashes(tmp_path)) == ["a.csv"]
    files.opened = {"/proc/self/mem": None}  # a regular file that refuses to be read from its start
    assert files.hashes(tmp_path) == {"/proc/self/mem": "not readable: Input/output error"}
