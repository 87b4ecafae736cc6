"""The first use of a run: by many threads at once, in a forked child, by a call that is refused."""

import subprocess
import sys

import pytest

from palate.store.reader import read_journal

THREADS = """
import os, sys, threading
import palate
from palate.training.run import Run
given = sys.argv[1] == "given"
if given:
    os.environ["PALATE_RUN_DIR"] = sys.argv[2] + "/given"
barrier, faults = threading.Barrier(8), []
own = Run(__import__("pathlib").Path(sys.argv[2], "own"))
def use(number):
    barrier.wait()
    try:
        palate.log(number, loss=1.0)
        own.log(number, loss=2.0)
    except BaseException as fault:
        faults.append(repr(fault))
threads = [threading.Thread(target=use, args=(number,)) for number in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(faults or "ok", flush=True)
"""

TWICE = """
import threading
import palate
barrier = threading.Barrier(4)
@palate.experiment
def train(run, *, lr=0.1):
    run.log(loss=lr)
def use():
    barrier.wait()
    folders.append(train().folder)
folders = []
threads = [threading.Thread(target=use) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(len(set(folders)), flush=True)
"""

FORKED = """
import os, threading, time
import palate
from palate.training import run as training_run
from palate.errors import JournalTakenError
held, go = threading.Event(), threading.Event()
def hold():
    with training_run._first_use:
        held.set()
        go.wait(30)
thread = threading.Thread(target=hold)
thread.start()
held.wait(30)
child = os.fork()
if not child:
    palate.log(loss=1.0)  # a run of its own, whoever held what when it was forked
    training_run.close_current()
    os._exit(0)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
go.set()
thread.join()
journal = training_run.current_run().journal
with journal._lock:
    child = os.fork()
    if not child:
        try:
            palate.log(loss=1.0)
        except JournalTakenError:
            os._exit(7)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""

REFUSED = """
import palate
for step, metrics in ((1, {"loss": "x"}), ("x", {"loss": 1.0}), (2**70, {"loss": 1.0}), (1, {})):
    try:
        palate.log(step, **metrics)
    except palate.PalateError as error:
        print(type(error).__name__)
from pathlib import Path
print(Path(".palate").exists(), flush=True)
"""


def said(folder, text, *arguments):
    words = [sys.executable, "-c", text, *arguments]
    ended = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout.split()


def test_threads_that_come_first_together_share_one_run(tmp_path):
    (tmp_path / "setup.cfg").write_text("")
    for attempt in range(2):
        assert said(tmp_path, THREADS, "own", str(tmp_path / f"by hand {attempt}")) == ["ok"]
    assert len(list((tmp_path / ".palate" / "runs").iterdir())) == 2
    assert said(tmp_path, THREADS, "given", str(tmp_path)) == ["ok"]
    for name in ("given", "own"):
        assert len(read_journal(tmp_path / name / "journal").curves["loss"]) == 8


def test_functions_that_train_together_have_a_run_each(tmp_path):
    (tmp_path / "setup.cfg").write_text("")
    assert said(tmp_path, TWICE) == ["4"]
    journals = list((tmp_path / ".palate" / "runs").glob("*/journal"))
    assert [len(read_journal(journal).curves["loss"]) for journal in journals] == [1] * 4


def test_a_child_that_was_forked_while_a_lock_was_held_goes_on(tmp_path):
    (tmp_path / "setup.cfg").write_text("")
    assert said(tmp_path, FORKED) == ["0", "7"]


def test_a_first_row_that_is_refused_opens_no_run(tmp_path):
    (tmp_path / "setup.cfg").write_text("")
    assert said(tmp_path, REFUSED) == ["InputError"] * 4 + ["False"]


HANDLED = """
import signal, sys
import palate
from palate.training import run as training_run
calls = [0]
def trace(frame, event, _):
    if "palate" not in frame.f_code.co_filename or frame.f_code.co_name in ("_find_and_load", "__del__"):
        return None
    if event == "line":
        calls[0] += 1
        if calls[0] == int(sys.argv[1]):
            sys.settrace(None)
            palate.log(100, handled=0.5)
    return trace
sys.settrace(trace)
palate.log(1, loss=1.0)
sys.settrace(None)
palate.log(2, loss=2.0)
print(calls[0])
"""


@pytest.mark.parametrize("at", range(1, 200, 23))
def test_a_signal_handler_that_logs_during_the_first_use_shares_its_run(at, tmp_path):
    (tmp_path / "setup.cfg").write_text("")
    said(tmp_path, HANDLED, str(at))
    (journal,) = (tmp_path / ".palate" / "runs").glob("*/journal")
    curves = read_journal(journal).curves
    assert curves["loss"].values.tolist() == [1.0, 2.0]
    assert curves["handled"].values.tolist() == [0.5]
    assert len(list((tmp_path / ".palate" / "runs").iterdir())) == 1
