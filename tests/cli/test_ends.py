"""However palate itself ends, and whoever else asks at the same time: nothing is left over, no run is made twice."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import time

import pytest
from tests.training.deaths import SLEEP, left_over

from palate.training.family import children_of, is_there, send, with_descendants

pytestmark = pytest.mark.slow

LEAVES = f"""
import os, subprocess, sys, time
import palate
gain = 0.5
seed = 0
print("begins", flush=True)
palate.log(0, val_acc=gain)
subprocess.Popen(["sleep", "{SLEEP}"])
subprocess.run("(env -i setsid sleep {SLEEP} </dev/null >/dev/null 2>&1 &)", shell=True)
open(os.environ["PALATE_RUN_DIR"] + "/goes", "w")
time.sleep(60)
"""

ASK = ("run", "train.py", "--metric", "val_acc", "-c", "gain=0.9", "--no-forecast", "--workers", "2")


@pytest.fixture(autouse=True)
def _nothing_left():
    """Let a test that fails leave nothing to the next one."""
    yield
    for pid in left_over():
        send(pid, signal.SIGKILL)


@contextlib.contextmanager
def started(workplace, *words):
    """Start palate; end it with the test."""
    options = {"stderr": subprocess.PIPE, "stdout": subprocess.DEVNULL, "text": True}
    with workplace.start(*words, **options) as process:
        try:
            yield process
        finally:
            process.kill()


def goes(workplace, process, runs=2):
    """Wait until so many runs go; give all processes of palate."""
    until_s = time.monotonic() + 60
    while len(list(workplace.folder.glob(".palate/runs/*/goes"))) < runs:
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < until_s
        time.sleep(0.05)
    while len(left_over()) < 2 * runs:
        time.sleep(0.05)
    return with_descendants(children_of(process.pid))


def all_gone(pids, limit_s=20):
    """Wait until processes are gone, and what they left over."""
    until_s = time.monotonic() + limit_s
    while time.monotonic() < until_s:
        if not left_over() and not any(is_there(pid) for pid in pids):
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_nothing_of_its_runs_survives_palate_however_it_is_ended(workplace, number):
    workplace.write(LEAVES)
    with started(workplace, *ASK) as process:
        pids = goes(workplace, process)
        process.send_signal(number)
        _, told = process.communicate(timeout=30)
    assert all_gone(pids)
    if number != signal.SIGKILL:
        assert process.returncode == 130
        assert "Stopped. Nothing that finished is lost" in told
        assert [run["exit"] for run in workplace.json("list", "--runs")["rows"]] == ["stopped", "stopped"]


@pytest.mark.parametrize("which", ["worker", "keeper"])
def test_a_worker_that_is_killed_takes_its_runs_with_it_and_the_question_stops_in_words(workplace, which):
    workplace.write(LEAVES)
    with started(workplace, *ASK) as process:
        pids = goes(workplace, process)
        keeper = next(pid for pid in children_of(process.pid) if children_of(pid))
        os.kill(keeper if which == "keeper" else children_of(keeper)[0], signal.SIGKILL)
        _, told = process.communicate(timeout=30)
    assert process.returncode == 5
    assert "RunsFailedError: The process that starts the runs has ended: SIGKILL." in told
    assert {run["exit"] for run in workplace.json("list", "--runs")["rows"]} == {"stopped"}
    kept = [pid for pid in pids if is_there(pid)]
    assert all_gone(pids) if which == "worker" else set(kept) <= set(left_over())


LATE = f"""
import subprocess, time
import palate
@palate.experiment(metric="acc")
def train(run, *, x=1, seed=0): pass
subprocess.Popen(["sleep", "{SLEEP}"])
time.sleep(60)
"""


def test_nothing_survives_that_is_still_being_loaded(workplace):
    workplace.write(LATE, "late.py")
    with started(workplace, "run", "late.py", "-c", "x=2", "--no-forecast") as process:
        while not left_over():
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.05)
        pids = with_descendants(children_of(process.pid))
        process.kill()
        process.communicate(timeout=30)
    assert all_gone(pids)


QUICK = """
import random, time
import palate
gain = 0.5
seed = 0
random.seed(seed)
time.sleep(0.3)
palate.log(0, val_acc=gain + random.gauss(0, 0.3))
"""


def test_who_waits_for_anothers_run_says_so_and_can_be_stopped(workplace):
    workplace.write(LEAVES)
    with started(workplace, *ASK, "--pairs", "2") as first, started(workplace, *ASK, "--pairs", "2") as second:
        until_s = time.monotonic() + 60
        while len(list(workplace.folder.glob(".palate/runs/*/goes"))) < 4 and time.monotonic() < until_s:
            time.sleep(0.05)  # two runs each
        with started(workplace, *ASK, "--pairs", "2") as third:
            lines = iter(third.stderr.readline, "")
            waits = next(line for line in lines if "Waits for" in line)
            assert re.search(r"Waits for train-\w+-s0, which process (\d+) makes\.", waits)
            third.send_signal(signal.SIGINT)
            third.communicate(timeout=30)
            assert third.returncode == 130
        assert (first.poll(), second.poll()) == (None, None)


@pytest.mark.parametrize("moved", [".palate", "run"])
def test_a_folder_that_is_moved_while_runs_go_is_told_in_words_and_not_made_anew(workplace, moved):
    workplace.write(LEAVES.replace("time.sleep(60)", "time.sleep(2)"))
    with started(workplace, *ASK, "--pairs", "2") as process:
        pids = goes(workplace, process)
        home = workplace.folder / ".palate"
        if moved == ".palate":
            home.rename(workplace.folder / "moved")
        else:
            for folder in list((home / "runs").iterdir()):
                shutil.rmtree(folder)
        _, told = process.communicate(timeout=60)
    assert all_gone(pids)
    if moved == ".palate":
        assert process.returncode == 1
        assert "StoreError: " in told and " is gone: it was moved or removed while runs went." in told
        assert not home.exists()
    else:
        assert process.returncode == 0
        assert told.count("is lost: ") == 2
        assert runs_of(workplace) == (4, 4)


def runs_of(workplace):
    """Count the runs that were made, by what they are of: their names without a number behind them."""
    names = [folder.name for folder in workplace.folder.glob(".palate/runs/*")]
    return len(names), len({re.sub(r"(-s\d+)-\d+$", r"\1", name) for name in names})


def asked(workplace, gains, *words):
    """Ask questions at once, each in a process of its own, and wait for them."""
    processes = [
        workplace.start("run", "train.py", "--metric", "val_acc", "-c", f"gain={gain}", "--no-forecast", *words,
                        stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for gain in gains
    ]  # fmt: skip
    told = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes), told
    return told


def test_two_that_ask_the_same_make_each_run_once(workplace):
    workplace.write(QUICK)
    asked(workplace, [0.6, 0.6], "--pairs", "5", "--margin", "0.01", "--workers", "1")
    made, needed = runs_of(workplace)
    assert made == needed == 10
    assert list(workplace.folder.glob(".palate/claims/*")) == []


def test_several_that_share_a_baseline_make_it_once(workplace):
    workplace.write(QUICK)
    asked(workplace, [0.6, 0.65, 0.7], "--pairs", "3", "--margin", "0.01", "--workers", "1")
    made, needed = runs_of(workplace)
    assert made == needed == 12
