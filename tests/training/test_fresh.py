"""What cannot be forked runs in processes of its own, by itself and with a word."""

import time
from pathlib import Path

import pytest

from palate.question.target import Order, Task
from palate.store.reader import read_journal
from palate.training.fresh import has_cuda_started, why_fresh
from palate.training.local import LocalLauncher


@pytest.mark.parametrize(
    ("modules", "threads", "cuda", "why"),
    [
        ({}, 1, False, ""),
        ({"torch": None, "numpy": None}, 1, False, ""),
        ({}, 2, False, "starts threads"),
        ({"torch": None}, 9, True, "starts CUDA"),
        ({"jax": None}, 1, False, "imports JAX"),
        ({"tensorflow": None}, 40, False, "imports TensorFlow"),
    ],
)
def test_what_does_not_survive_a_fork_is_named(modules, threads, cuda, why):
    assert why_fresh(modules, threads=threads, cuda=cuda) == why


def test_torch_alone_has_not_started_cuda(torch):
    assert not has_cuda_started({"torch": torch})


JAX = """
import queue, threading
asked, answered = queue.Queue(), queue.Queue()
def serve():
    while True:
        answered.put(asked.get() * 2)
threading.Thread(target=serve, daemon=True).start()
def double(x):
    asked.put(x)
    return answered.get(timeout=20)
"""

QUIET_JAX = """
import os
loaded_in = os.getpid()
def double(x):
    if os.getpid() != loaded_in:
        raise RuntimeError("os.fork() is incompatible with multithreaded code, and JAX is multithreaded")
    return 2 * x
"""

TRAIN = """
import os
os.environ["LEFT_BEHIND"] = "by the first import"
import jax
import palate
@palate.experiment(metric="acc")
def train(run, *, lr=.1, seed=0):
    run.log(0, acc=jax.double(lr))
"""


@pytest.mark.parametrize("stand_in", [JAX, QUIET_JAX], ids=["with a thread", "that only refuses a fork"])
def test_a_function_whose_file_imports_jax_runs_and_the_worker_forgets_it(tmp_path, stand_in):
    (tmp_path / "jax.py").write_text(stand_in)
    (tmp_path / "train.py").write_text(TRAIN)
    task = Task(kind="function", file=str(tmp_path / "train.py"), name="train")
    ended = {}
    with LocalLauncher(task, workers=2) as launcher:
        for name in ("a", "b", "c"):
            (tmp_path / name).mkdir()
            launcher.submit(Order(id=name, folder=tmp_path / name, seed=0, settings={"lr": 0.2}, takes_seed=True))
        until_s = time.monotonic() + 60
        while len(ended) < 3 and time.monotonic() < until_s:
            ended |= {one.id: one for one in launcher.poll()}
        assert launcher.alone == "imports JAX"
        status = Path(f"/proc/{launcher.worker}/status")
        threads = "Threads:\t1\n" in status.read_text() if status.exists() else True
    assert {one.status for one in ended.values()} == {0}
    assert read_journal(tmp_path / "b" / "journal").curves["acc"].values[0] == 0.4
    assert threads
