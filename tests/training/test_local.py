"""The local launcher runs orders in clean processes; what ends one run ends that run alone."""

import time
from pathlib import Path

import pytest

from palate.errors import SetupFailedError
from palate.question.target import Order, Task
from palate.store.reader import read_journal
from palate.training.family import GONE, state_of, with_descendants
from palate.training.local import LocalLauncher, share_out

RUNS = """
import os, signal, sys, time
import palate
shared = []
@palate.experiment(metric="acc")
def train(run, *, what="log", seed=0):
    print("doing", what)
    if what == "segfault":
        os.kill(os.getpid(), signal.SIGSEGV)
    elif what == "exit":
        os._exit(3)
    elif what == "raise":
        raise ValueError("no such luck")
    elif what == "sleep":
        time.sleep(60)
    elif what == "grandchild":
        import subprocess
        subprocess.run(["sleep", "60"])
    shared.append(1)
    run.log(0, acc=len(shared), seed=seed, pid=os.getpid())
"""


def order(folder, run_id, what, seed=0):
    place = Path(folder) / run_id
    place.mkdir()
    return Order(id=run_id, folder=place, seed=seed, settings={"what": what}, takes_seed=True)


@pytest.fixture
def task(tmp_path):
    (tmp_path / "runs.py").write_text(RUNS)
    return Task(kind="function", file=str(tmp_path / "runs.py"), name="train")


def is_there(pid):
    return state_of(pid) not in ("", *GONE)


def carry_out(launcher, orders, limit_s=30.0):
    for one in orders:
        launcher.submit(one)
    ended, started = {}, time.monotonic()
    while len(ended) < len(orders) and time.monotonic() - started < limit_s:
        ended |= {done.id: done for done in launcher.poll()}
    return ended


def test_each_run_starts_clean_and_has_its_seed(tmp_path, task):
    with LocalLauncher(task, workers=2, threads=1) as launcher:
        ended = carry_out(launcher, [order(tmp_path, f"r{i}", "log", seed=i) for i in range(5)])
    assert {done.status for done in ended.values()} == {0}
    curves = [read_journal(tmp_path / f"r{i}" / "journal").curves for i in range(5)]
    assert [c["seed"].values[0] for c in curves] == [0, 1, 2, 3, 4]
    assert [c["acc"].values[0] for c in curves] == [1.0] * 5  # nothing left behind by the run before


def test_what_ends_one_run_never_takes_the_others_down(tmp_path, task):
    kinds = ["segfault", "log", "exit", "log", "raise", "log"]
    with LocalLauncher(task, workers=2, threads=1) as launcher:
        ended = carry_out(launcher, [order(tmp_path, f"r{i}", kind) for i, kind in enumerate(kinds)])
    assert [ended[f"r{i}"].status for i in range(6)] == [-11, 0, 3, 0, 1, 0]
    assert "ValueError: no such luck" in (tmp_path / "r4" / "output.log").read_text()


def test_a_run_that_takes_too_long_is_ended_with_all_that_it_started(tmp_path, task):
    with LocalLauncher(task, workers=2, threads=1, timeout_s=0.5) as launcher:
        ended = carry_out(launcher, [order(tmp_path, "slow", "grandchild"), order(tmp_path, "quick", "log")])
    assert ended["slow"].timed_out
    assert ended["slow"].elapsed_s < 10
    assert ended["quick"].status == 0


def test_leaving_the_launcher_ends_what_still_runs(tmp_path, task):
    with LocalLauncher(task, workers=1, threads=1) as launcher:
        launcher.submit(order(tmp_path, "slow", "sleep"))
        while not (tmp_path / "slow" / "output.log").exists():
            launcher.poll()
        pids = with_descendants([launcher.worker])
    assert len(pids) == 2
    assert not any(is_there(pid) for pid in pids)


@pytest.mark.parametrize("fault", ["import no_such_package", "raise SystemExit(4)", "1 / 0"])
def test_code_that_cannot_be_loaded_is_told_with_its_traceback(tmp_path, fault):
    (tmp_path / "runs.py").write_text(RUNS + fault)
    task = Task(kind="function", file=str(tmp_path / "runs.py"), name="train")
    with (
        LocalLauncher(task, workers=1, threads=1) as launcher,
        pytest.raises(SetupFailedError, match="cannot be loaded"),
    ):
        carry_out(launcher, [order(tmp_path, "r", "log")])


def test_closing_twice_is_fine(task):
    launcher = LocalLauncher(task, workers=1, threads=1)
    launcher.stop()
    launcher.stop()


@pytest.mark.parametrize(
    ("cores", "workers", "threads", "shared"),
    [
        (2, None, None, (2, 1)),
        (16, 4, None, (4, 4)),
        (2, None, 2, (1, 2)),
        (2, 8, None, (8, 1)),
        (1, None, None, (1, 1)),
    ],
)
def test_cores_are_shared_out(cores, workers, threads, shared):
    assert share_out(cores, workers, threads) == shared
