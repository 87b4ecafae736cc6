"""What runs take is measured: of their processes, of what torch and the driver tell, and of what the kernel counts."""

import json
import os
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from palate.question.target import Order, Task
from palate.training.local import LocalLauncher
from palate.training.usage import CONTEXT, Meter, Usage, events_file, memory_of, oom_kills, own_gpu, tell_own

MIB = 1 << 20


def torch_like(*reserved, initialized=True):
    cuda = SimpleNamespace(
        is_initialized=lambda: initialized,
        device_count=lambda: len(reserved),
        max_memory_reserved=lambda one: reserved[one],
        get_device_name=lambda one: f"GPU no {one}",
    )
    mps = SimpleNamespace(is_available=lambda: False)
    return SimpleNamespace(cuda=cuda, backends=SimpleNamespace(mps=mps))


def test_torch_tells_what_it_reserved_of_the_gpu_that_it_used_most():
    told = own_gpu({"torch": torch_like(3 << 30, 5 << 30)})
    assert told == {"gpu_peak": (5 << 30) + CONTEXT, "device": "GPU no 1"}


def test_torch_that_never_started_its_gpu_used_none_unless_another_package_may_have():
    idle = torch_like(initialized=False)
    assert own_gpu({"torch": idle}) == {"gpu_peak": 0}
    assert own_gpu({"torch": idle, "jax": object()}) is None
    assert own_gpu({}) == {"gpu_peak": 0}
    assert own_gpu({"torch": SimpleNamespace()}) is None


def test_the_real_torch_without_a_gpu_used_none(torch):
    assert own_gpu({"torch": torch}) == {"gpu_peak": 0}


def test_of_several_processes_that_tell_the_one_that_took_most_stands(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", torch_like(1 << 30))
    tell_own(tmp_path)
    monkeypatch.setitem(sys.modules, "torch", torch_like(initialized=False))
    tell_own(tmp_path)
    assert json.loads((tmp_path / "usage.json").read_text())["gpu_peak"] == (1 << 30) + CONTEXT


def test_what_a_newer_palate_wrote_is_read_without_what_is_unknown():
    assert Usage.read({"cpu_peak": 5, "unix_s": 1.0, "kind": "usage", "tpu_peak": 7}) == Usage(cpu_peak=5)


def test_gpu_hours_are_those_of_all_gpus_of_a_run_that_used_one():
    assert Usage(gpu_peak=1, gpus=2).gpu_hours(1800) == 1.0
    assert Usage(gpu_peak=0, gpus=2).gpu_hours(1800) == 0.0


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what a process has in memory")
def test_memory_of_several_processes_counts_what_they_share_once():
    mine = memory_of([os.getpid()])
    assert mine > 10 * MIB
    assert memory_of([os.getpid(), os.getpid()]) < 2 * mine


@pytest.mark.parametrize(
    ("groups", "file", "text"),
    [
        ("0::/user/run\n", "sys/fs/cgroup/user/run/memory.events", "low 0\noom 4\noom_kill 3\n"),
        ("0::/host/path\n", "sys/fs/cgroup/memory.events", "oom 4\noom_kill 3\n"),
        ("4:memory:/run\n0::/\n", "sys/fs/cgroup/memory/run/memory.oom_control", "under_oom 0\noom_kill 3\n"),
        ("", "proc/vmstat", "pgfault 99\noom_kill 3\n"),
    ],
    ids=["v2", "v2 in a container", "v1", "the whole system"],
)
def test_what_the_kernel_killed_for_want_of_memory_is_counted(tmp_path, groups, file, text):
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(groups)
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text(text)
    assert oom_kills(events_file(tmp_path), tmp_path) == 3


def test_only_kills_while_a_run_went_are_its_own(tmp_path):
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("0::/\n")
    events = tmp_path / "sys/fs/cgroup/memory.events"
    events.parent.mkdir(parents=True)
    events.write_text("oom_kill 3\n")
    meter = Meter(tmp_path, smi="")
    meter.begin("one")
    assert meter.end("one", tmp_path).oom_kills == 0
    meter.begin("two")
    events.write_text("oom_kill 4\n")
    assert meter.end("two", tmp_path).oom_kills == 1


def test_the_driver_tells_what_processes_of_a_run_hold_of_a_gpu(tmp_path):
    program = tmp_path / "nvidia-smi"
    mine = os.getpid()
    program.write_text(f"#!/bin/sh\necho '{mine}, GPU-a, 1024'\necho '7, GPU-a, 512'\necho '{mine}, GPU-b, 100'\n")
    program.chmod(0o755)
    meter = Meter(smi=str(program))
    meter.begin("run")
    until_s = time.monotonic() + 10
    while time.monotonic() < until_s and meter._runs["run"].gpu_peak is None:
        meter.look({"run": [mine, 7]}, gpus=True)
        time.sleep(0.05)
    assert meter.end("run", tmp_path).gpu_peak == (1024 + 512) * MIB


TAKES = """
import subprocess, sys
import palate
@palate.experiment(metric="acc")
def train(run, *, what="self", seed=0):
    held = "x = bytearray(200 << 20); import time; time.sleep(1.5)"
    if what == "self":
        exec(held)
    elif what == "child":
        subprocess.run([sys.executable, "-c", held])
    run.log(0, acc=1.0)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what a process has in memory")
def test_a_runs_peak_is_that_of_all_its_processes_and_is_kept(tmp_path):
    (tmp_path / "runs.py").write_text(TAKES)
    task = Task(kind="function", file=str(tmp_path / "runs.py"), name="train")
    ended = {}
    with LocalLauncher(task, workers=2) as launcher:
        for what in ("self", "child"):
            (tmp_path / what).mkdir()
            given = Order(id=what, folder=tmp_path / what, seed=0, settings={"what": what}, takes_seed=True)
            launcher.submit(given)
        until_s = time.monotonic() + 30
        while len(ended) < 2 and time.monotonic() < until_s:
            ended |= {one.id: one for one in launcher.poll()}
    for one in ended.values():
        assert 200 * MIB < one.usage.cpu_peak < 300 * MIB
        assert one.usage.cpu_s > 0
    assert ended["self"].usage.gpu_peak == 0
    assert ended["child"].usage.gpu_peak is None  # its process started another, which may have used one


def test_meters_need_no_torch_and_no_numpy():
    code = (
        "import sys, palate.training.usage as u; u.Meter(); sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0
