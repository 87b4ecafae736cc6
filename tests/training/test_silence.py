"""A run that produces nothing for long is said, once, then ever more seldom; what it does is told."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from palate.question.target import Order, Task
from palate.training.local import LocalLauncher
from palate.training.silence import Patience, Sight, Silence, doing, see


def looks(silence, sights):
    return [silence.look(Sight(grown=grown, cpu_s=cpu_s, doing="it sleeps"), now_s) for now_s, grown, cpu_s in sights]


def test_a_run_that_waits_is_said_after_a_minute_then_after_three_times_as_long():
    said = looks(Silence(Patience(), 0.0), [(second, 0, 0.0) for second in range(0, 700, 10)])
    assert [10 * place for place, words in enumerate(said) if words] == [60, 180, 540]
    assert said[6] == "has printed and logged nothing for 60 s and used no processor time for 60 s: it sleeps"


def test_a_run_that_computed_and_then_waits_is_said_a_minute_after_it_stopped():
    said = looks(Silence(Patience(), 0.0), [(second, 0, min(second, 100.0)) for second in range(0, 300, 10)])
    assert [10 * place for place, words in enumerate(said) if words] == [160]
    assert "for 3 min and used no processor time for" in said[16]


def test_what_only_wakes_up_now_and_then_is_idle():
    said = looks(Silence(Patience(), 0.0), [(second, 0, second * 0.005) for second in range(0, 100, 10)])
    assert any("used no processor time" in words for words in said)


def test_a_run_that_computes_has_ten_minutes():
    said = looks(Silence(Patience(), 0.0), [(second, 0, second * 0.9) for second in range(0, 1000, 10)])
    assert [10 * place for place, words in enumerate(said) if words] == [600]
    assert "but computes (9 min of processor time since)" in said[60]


def test_a_run_that_prints_is_left_alone_and_its_own_pace_counts():
    slow = [(second, second // 300, second * 0.9) for second in range(0, 1500, 10)]
    assert not any(looks(Silence(Patience(), 0.0), slow))
    waits = Silence(Patience(), 0.0)
    looks(waits, [(0, 0, 0.0), (50, 1, 0.0)])  # a pause of 50 s is usual for it
    assert not waits.look(Sight(grown=1, cpu_s=0.0), 50 + 120)
    assert waits.look(Sight(grown=1, cpu_s=0.0), 50 + 151)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what a process does")
def test_what_a_process_does_is_told():
    reads = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        until_s = time.monotonic() + 10
        while "waits" not in (told := doing(reads.pid)) and time.monotonic() < until_s:
            time.sleep(0.05)
    finally:
        reads.kill()
        reads.communicate(timeout=10)
    readable = Path(f"/proc/{os.getpid()}/syscall").exists()
    assert ("waits for input" if readable else "sleeps") in told
    assert "has ended" in doing(2**22 - 1)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what a process does")
def test_what_grows_and_the_processor_time_are_seen(tmp_path):
    (tmp_path / "output.log").write_text("12345")
    seen = see([os.getpid()], [tmp_path / "output.log", tmp_path / "journal"])
    assert seen.grown == 5
    assert seen.cpu_s > 0


WAITS = """
import time
import palate
@palate.experiment(metric="acc")
def train(run, *, seed=0):
    print("begins", flush=True)
    time.sleep(6)
    run.log(0, acc=1.0)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what a process does")
def test_a_run_that_waits_is_said_while_it_goes_and_not_ended(tmp_path):
    (tmp_path / "runs.py").write_text(WAITS)
    (tmp_path / "quiet").mkdir()
    task = Task(kind="function", file=str(tmp_path / "runs.py"), name="train")
    with LocalLauncher(task, patience=Patience(idle_s=1.0)) as launcher:
        launcher.submit(Order(id="quiet", folder=tmp_path / "quiet", seed=0, settings={}, takes_seed=True))
        ended, until_s = [], time.monotonic() + 30
        while not ended and time.monotonic() < until_s:
            ended = launcher.poll()
    assert [one.status for one in ended] == [0]
    assert "quiet has printed and logged nothing for" in launcher.words[0]
    assert "sleeps" in launcher.words[0]
    assert str(tmp_path / "quiet" / "output.log") in launcher.words[0]
    assert len(launcher.words) <= 2


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what a process does")
def test_code_that_hangs_while_it_is_loaded_is_said(tmp_path):
    (tmp_path / "runs.py").write_text("import time\ntime.sleep(5)\n" + WAITS)
    (tmp_path / "quiet").mkdir()
    task = Task(kind="function", file=str(tmp_path / "runs.py"), name="train")
    with LocalLauncher(task, patience=Patience(idle_s=1.0)) as launcher:
        launcher.submit(Order(id="quiet", folder=tmp_path / "quiet", seed=0, settings={}, takes_seed=True))
        until_s = time.monotonic() + 20
        while not launcher.words and time.monotonic() < until_s:
            launcher.poll()
    assert launcher.words[0].startswith("Loading the training's code has printed and logged nothing for")
