"""A lock ends with its process, is of the file that is there, and is done without where a file system has none."""

import os
import subprocess
import sys
import threading

import pytest

from palate.loop.claims import Claims
from palate.store.leftovers import remove_leftovers
from palate.store.locks import folder_locked, is_at, lock, remove_unheld

WITHOUT_LOCKS = """
import ctypes, errno, platform, struct, sys
FLOCK = {"x86_64": 73, "aarch64": 32}[platform.machine()]
SECCOMP, FILTER, NO_NEW_PRIVILEGES = 22, 2, 38

def step(code, true, false, value):
    return struct.pack("HBBI", code, true, false, value)

def without_locks():
    # the kernel itself answers each flock as a file system does that has no locks
    steps = step(0x20, 0, 0, 0) + step(0x15, 0, 1, FLOCK) + step(0x06, 0, 0, 0x00050000 | errno.ENOLCK)
    steps += step(0x06, 0, 0, 0x7FFF0000)
    kept = ctypes.create_string_buffer(steps, len(steps))
    program = struct.pack("HxxxxxxP", len(steps) // 8, ctypes.addressof(kept))
    libc = ctypes.CDLL(None, use_errno=True)
    return not libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0) and not libc.prctl(SECCOMP, FILTER, program, 0, 0)

if not without_locks():
    print("cannot be tried here")
    sys.exit(0)

from datetime import UTC, datetime
from pathlib import Path
from palate.loop.claims import Claims
from palate.store.journal import write_event
from palate.store.project import Project

project = Project(Path(sys.argv[1]))
project.make()
for number in range(2):
    project.chain.append("skip", {"author": "ada"}, now=datetime.now(UTC))
project.chain.verify()
project.remember_goal("acc", "max")
one, other = Claims(project.home), Claims(project.home)
print(len(project.chain), dict(project.goals), one.take("k", 0, "r"), other.take("k", 0, "r"))
write_event(project.journal("r"), "recipe", key="k", label="l", seed=0, settings={})
"""


def test_where_a_file_system_has_no_locks_everybody_goes_on_and_the_chain_says_so_once(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_LOCKS, str(tmp_path / ".palate")], capture_output=True, text=True, check=False
    )
    if done.stdout != "cannot be tried here\n":
        assert done.stdout == "2 {'acc': 'max'} True True\n", done.stderr
        assert done.stderr.count("without locks: seal from one process at a time") == 1


def test_a_file_that_was_replaced_is_not_the_one_that_is_locked(tmp_path):
    path = tmp_path / "k-s0"
    path.write_text("")
    descriptor = os.open(path, os.O_RDWR)
    assert lock(descriptor)
    assert is_at(descriptor, path)
    assert not remove_unheld(path)
    path.unlink()
    path.write_text("")
    assert not is_at(descriptor, path)
    assert remove_unheld(path)
    assert not remove_unheld(path)
    os.close(descriptor)


@pytest.mark.slow
def test_a_claim_that_is_held_is_never_removed_whoever_looks_meanwhile(tmp_path):
    over = threading.Event()

    def look():
        while not over.is_set():
            remove_leftovers(tmp_path)

    looking = [threading.Thread(target=look) for _ in range(3)]
    for one in looking:
        one.start()
    claims, gone = Claims(tmp_path), 0
    for _ in range(3000):
        if claims.take("k", 0, "run"):
            gone += not (tmp_path / "claims" / "k-s0").exists()
            claims.release("k", 0)
    over.set()
    for one in looking:
        one.join()
    assert gone == 0


def test_a_folder_is_of_one_at_a_time(tmp_path):
    order = []

    def second():
        with folder_locked(tmp_path):
            order.append("second")

    with folder_locked(tmp_path):
        waiting = threading.Thread(target=second)
        waiting.start()
        waiting.join(0.05)
        order.append("first")
    waiting.join()
    assert order == ["first", "second"]
