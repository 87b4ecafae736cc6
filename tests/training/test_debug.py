"""The engine for debugging runs orders in this process, one after another, and leaves the process as it was."""

import os
import sys

import pytest
from tests.training.test_local import RUNS, order

from palate.errors import RunsFailedError
from palate.question.target import Order, Task
from palate.store.reader import read_journal
from palate.training import run as training_run
from palate.training.debug import DebugLauncher, start_debug
from palate.training.launch import Resources


@pytest.fixture
def task(tmp_path):
    (tmp_path / "runs.py").write_text(RUNS)
    return Task(kind="function", file=str(tmp_path / "runs.py"), name="train")


def carry_out(task, orders):
    ended = []
    with start_debug(task, Resources(start=start_debug)) as launcher:
        for one in orders:
            launcher.submit(one)
        while len(ended) < len(orders):
            ended += launcher.poll()
    return ended


def test_runs_are_carried_out_in_this_process_in_their_order_each_when_it_is_polled_for(tmp_path, task):
    launcher = DebugLauncher(task)
    for i in range(2):
        launcher.submit(order(tmp_path, f"r{i}", "log", seed=i + 3))
    assert [ended.id for ended in launcher.poll()] == ["r0"]
    assert [ended.id for ended in launcher.poll()] == ["r1"]
    assert launcher.poll() == []
    curves = [read_journal(tmp_path / f"r{i}" / "journal").curves for i in range(2)]
    assert [c["seed"].values[0] for c in curves] == [3, 4]
    assert [c["pid"].values[0] for c in curves] == [os.getpid()] * 2
    assert (tmp_path / "r0" / "output.log").read_text() == "doing log\n"


def test_what_a_run_raises_ends_it_alone(tmp_path, task):
    ended = carry_out(task, [order(tmp_path, f"r{i}", kind) for i, kind in enumerate(["raise", "log"])])
    assert [one.status for one in ended] == [1, 0]
    assert not any(one.timed_out for one in ended)
    assert "ValueError: no such luck" in (tmp_path / "r0" / "output.log").read_text()


@pytest.mark.parametrize(("leave", "status"), [("3", 3), ("None", 0), ("'no data'", 1)])
def test_a_script_that_leaves_has_the_status_that_it_leaves_with(tmp_path, leave, status):
    (tmp_path / "leave.py").write_text(f"import sys\nlevel = 1\nsys.exit({leave})\n")
    (tmp_path / "r").mkdir()
    one = Order(id="r", folder=tmp_path / "r", seed=0, settings={}, constants={"level": 2})
    assert [ended.status for ended in carry_out(Task(kind="script", file=str(tmp_path / "leave.py")), [one])] == [
        status
    ]


def test_the_text_that_a_script_leaves_with_is_in_its_output(tmp_path):
    (tmp_path / "leave.py").write_text("raise SystemExit('no data')\n")
    (tmp_path / "r").mkdir()
    carry_out(
        Task(kind="script", file=str(tmp_path / "leave.py")),
        [Order(id="r", folder=tmp_path / "r", seed=0, settings={})],
    )
    assert "no data" in (tmp_path / "r" / "output.log").read_text()


def test_the_process_is_left_as_it_was(tmp_path):
    text = "import os, sys\nos.environ['LEFT'] = '1'\nsys.path.append('x')\nsys.argv.append('y')\nwidth = 1\n"
    (tmp_path / "wild.py").write_text(text + "import palate\npalate.log(0, width=width)\n")
    (tmp_path / "r").mkdir()
    one = Order(id="r", folder=tmp_path / "r", seed=0, settings={}, constants={"width": 5})
    before = sys.argv[:], sys.path[:], dict(os.environ), sys.modules["__main__"]
    assert [ended.status for ended in carry_out(Task(kind="script", file=str(tmp_path / "wild.py")), [one])] == [0]
    assert (sys.argv, sys.path, dict(os.environ), sys.modules["__main__"]) == before
    assert read_journal(tmp_path / "r" / "journal").curves["width"].values.tolist() == [5.0]
    assert training_run._current is None


def test_runs_that_wait_can_be_forgotten(tmp_path, task):
    launcher = DebugLauncher(task)
    for i in range(3):
        launcher.submit(order(tmp_path, f"r{i}", "log"))
    launcher.stop("r1")
    assert [ended.id for ended in launcher.poll()] == ["r0"]
    launcher.stop()
    launcher.stop()
    assert launcher.poll() == []


def test_a_command_has_no_part_in_this_process():
    with pytest.raises(RunsFailedError, match="a program of its own"):
        DebugLauncher(Task(kind="command", argv=("/bin/true",)))
