"""The local launcher runs orders in clean processes; what ends one run ends that run alone."""

import os
import signal
import time
from pathlib import Path

import pytest

from palate.errors import RunsFailedError, SetupFailedError
from palate.question.target import Order, Task
from palate.store.reader import read_journal
from palate.training.devices import Device
from palate.training.family import is_there, with_descendants
from palate.training.local import LocalLauncher
from palate.training.placing import Places, Wish, share_out

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
        while len(pids := with_descendants([launcher.worker])) < 2:
            launcher.poll()
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


ODD = """
import os, subprocess, sys, time
import palate
@palate.experiment(metric="acc")
def train(run, *, what="log", seed=0):
    if what == "flood":
        while True:
            os.write(1, b"y\\n" * 8000)
    elif what == "hold":
        subprocess.Popen("trap '' TERM; while :; do echo on; sleep .05; done", shell=True, start_new_session=True)
    elif what == "number":
        os.system("ls -l /proc/self/fd > " + os.environ["PALATE_RUN_DIR"] + "/numbers")
    elif what == "order":
        print("first")
        print("second", file=sys.stderr)
        os.system("echo third")
        os.write(2, bytes(range(256)))
    else:
        time.sleep(0.5)
    print("quiet")
"""


@pytest.fixture
def odd(tmp_path):
    (tmp_path / "odd.py").write_text(ODD)
    return Task(kind="function", file=str(tmp_path / "odd.py"), name="train")


def printed(folder, run_id):
    return (folder / run_id / "output.log").read_bytes()


@pytest.mark.slow
def test_runs_that_flood_keep_neither_the_others_nor_their_own_end_waiting(tmp_path, odd):
    with LocalLauncher(odd, workers=3, timeout_s=8) as launcher:
        ended = carry_out(launcher, [order(tmp_path, name, name[:-1]) for name in ("flood1", "flood2", "quiet1")])
    assert {one.id: one.timed_out for one in ended.values()} == {"flood1": True, "flood2": True, "quiet1": False}
    assert printed(tmp_path, "quiet1") == b"quiet\n"
    assert all(printed(tmp_path, name).startswith(b"y\ny\n") for name in ("flood1", "flood2"))
    assert (tmp_path / "flood1" / "output.log").stat().st_size <= 64 << 20


@pytest.mark.slow
def test_a_run_that_floods_is_stopped_at_once_when_nobody_wants_it(tmp_path, odd):
    with LocalLauncher(odd, workers=2) as launcher:
        for one in (order(tmp_path, "flood", "flood"), order(tmp_path, "quiet", "quiet")):
            launcher.submit(one)
        while not (tmp_path / "flood" / "output.log").exists():
            launcher.poll()
        launcher.stop("flood")
        assert [one.id for one in carry_out(launcher, [])] == []
        ended = []
        while not ended:
            ended = launcher.poll()
        assert [one.id for one in ended] == ["quiet"]


@pytest.mark.slow
def test_what_keeps_the_pipe_open_ends_with_its_run_and_keeps_nobody_waiting(tmp_path, odd):
    with LocalLauncher(odd) as launcher:
        ended = carry_out(launcher, [order(tmp_path, "hold", "hold")])
    assert ended["hold"].status == 0
    assert b"on\n" in printed(tmp_path, "hold")


def test_what_is_printed_stays_in_its_order_byte_for_byte(tmp_path, odd):
    with LocalLauncher(odd) as launcher:
        carry_out(launcher, [order(tmp_path, "order", "order")])
    assert printed(tmp_path, "order") == b"first\nsecond\nthird\n" + bytes(range(256)) + b"quiet\n"


def test_a_program_that_a_run_starts_has_no_descriptor_of_the_workers(tmp_path, odd):
    with LocalLauncher(odd, workers=2) as launcher:
        carry_out(launcher, [order(tmp_path, name, name) for name in ("log", "number")])
    lines = (tmp_path / "number" / "numbers").read_text().splitlines()[1:]
    numbers = {line.split()[8]: line.split()[10] for line in lines}
    assert {number for number, leads in numbers.items() if leads.startswith(("pipe:", "socket:"))} == {"2"}
    assert not any("output.log" in leads for leads in numbers.values())


def test_code_that_floods_when_it_is_imported_leaves_a_log_of_bounded_size(tmp_path):
    text = RUNS + "sys.stdout.write('loading\\n' * 2_000_000)\nsys.stderr.write('done\\n')\n"
    (tmp_path / "runs.py").write_text(text)
    task = Task(kind="function", file=str(tmp_path / "runs.py"), name="train")
    with LocalLauncher(task) as launcher:
        ended = carry_out(launcher, [order(tmp_path, "r", "log")])
        assert launcher._log.seek(0, os.SEEK_END) <= 1 << 20
    assert ended["r"].status == 0
    assert printed(tmp_path, "r") == b"doing log\n"


def test_code_that_is_not_loaded_in_time_is_told_where_time_is_limited(tmp_path):
    (tmp_path / "runs.py").write_text("print('downloading', flush=True)\nimport time\ntime.sleep(60)\n")
    task = Task(kind="function", file=str(tmp_path / "runs.py"), name="train")
    with LocalLauncher(task, timeout_s=1, load_s=0.1) as launcher:
        while not launcher._log.seek(0, os.SEEK_END):
            launcher.poll()
        with pytest.raises(SetupFailedError) as caught:
            carry_out(launcher, [order(tmp_path, "r", "log")])
    assert "was not loaded within 0.1 s" in str(caught.value)
    assert "| downloading" in str(caught.value)


def test_a_worker_that_dies_when_it_loads_the_code_is_told_with_what_it_printed(tmp_path):
    (tmp_path / "runs.py").write_text("import os\nprint('on the way', flush=True)\nos.kill(os.getpid(), 9)\n")
    task = Task(kind="function", file=str(tmp_path / "runs.py"), name="train")
    with LocalLauncher(task) as launcher, pytest.raises(SetupFailedError, match="its process ended: SIGKILL") as caught:
        carry_out(launcher, [order(tmp_path, "r", "log")])
    assert "| on the way" in str(caught.value)


def test_a_worker_that_is_killed_is_told_and_takes_its_runs_with_it(tmp_path, task):
    with LocalLauncher(task, workers=1) as launcher:
        launcher.submit(order(tmp_path, "slow", "sleep"))
        while len(pids := with_descendants([launcher.worker])) < 2:
            launcher.poll()
        os.kill(launcher.worker, signal.SIGKILL)
        with pytest.raises(RunsFailedError, match="has ended: SIGKILL"):
            carry_out(launcher, [order(tmp_path, "next", "log")])
    assert not any(is_there(pid) for pid in pids)


def test_a_keeper_that_is_killed_is_told_and_nothing_of_its_runs_lives_on(tmp_path):
    """The processes of a run that left its session and hear no signals have nobody above them any more."""
    script = tmp_path / "run.sh"
    script.write_text("trap '' HUP TERM INT\nnohup sleep 60 &\nsetsid sleep 60 &\nsleep 60\n")
    with LocalLauncher(Task(kind="command", argv=("sh", str(script)))) as launcher:
        launcher.submit(order(tmp_path, "slow", "sleep"))
        while len(pids := with_descendants([launcher.worker])) < 5:
            launcher.poll()
        os.kill(launcher._process.pid, signal.SIGKILL)
        with pytest.raises(RunsFailedError, match="has ended: SIGKILL"):
            carry_out(launcher, [order(tmp_path, "next", "log")])
        assert not any(is_there(pid) for pid in pids)


def test_a_run_whose_folder_is_gone_ends_and_stops_nobody(tmp_path, task):
    gone = order(tmp_path, "gone", "log")
    gone.folder.rmdir()
    with LocalLauncher(task, workers=2) as launcher:
        ended = carry_out(launcher, [gone, order(tmp_path, "r", "log")])
    assert ended["r"].status == 0


def test_a_run_that_cannot_be_started_ends_and_says_why(tmp_path):
    (tmp_path / "runs.py").write_text(RUNS + "import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, (16, 16))\n")
    task = Task(kind="function", file=str(tmp_path / "runs.py"), name="train")
    with LocalLauncher(task, workers=8) as launcher:
        for i in range(8):
            launcher.submit(order(tmp_path, f"r{i}", "sleep"))
        ended = []
        while not ended:
            ended = launcher.poll()
        assert {one.status for one in ended} == {71}
    assert b"could not be started: Too many open files" in printed(tmp_path, ended[0].id)


LOADS = """
import os, signal
import palate, torch
from torch.utils.data import DataLoader
@palate.experiment(metric="acc")
def train(run, *, what="log", seed=0):
    run.log(0, acc=1.0)
    for batch in DataLoader(torch.arange(1000), num_workers=2, persistent_workers=True):
        if what == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.slow
@pytest.mark.usefixtures("torch")
def test_loader_workers_of_a_run_that_is_killed_are_gone_when_its_end_is_told(tmp_path):
    from palate.training.outcome import end_run

    (tmp_path / "loads.py").write_text(LOADS)
    task = Task(kind="function", file=str(tmp_path / "loads.py"), name="train")
    orders = [order(tmp_path, f"{what}{i}", what) for i, what in enumerate(["kill", "log"] * 3)]
    with LocalLauncher(task, workers=2) as launcher:
        for one in orders:
            launcher.submit(one)
        ended = []
        while len(ended) < len(orders):
            for done in launcher.poll():
                folder = tmp_path / done.id
                end_run(folder / "journal", done, folder / "output.log")  # nobody else has it
                ended.append(done)
    assert {one.status for one in ended if one.id.startswith("kill")} == {-9}
    assert {one.status for one in ended if one.id.startswith("log")} == {0}


def test_an_engine_that_is_stopped_gives_back_the_places_of_the_runs_that_went(tmp_path, task):
    """The next question of the same command has the same places."""
    places = Places(Wish(), cores=2, find=lambda: (Device(id="0", total=1 << 34, used=0, by_bus=True),))
    with LocalLauncher(task, workers=1, threads=1, places=places) as launcher:
        launcher.submit(order(tmp_path, "slow", "sleep"))
        until_s = time.monotonic() + 30
        while places.has_room() and time.monotonic() < until_s:
            launcher.poll()
        assert not places.has_room()
    assert places.has_room()
