"""Where runs go, as a person meets it: GPUs of a fake driver, memory that runs out, ranks, threads."""

import os
import sys
from pathlib import Path

import pytest
from tests.cli.workplace import Workplace

OPTIONS = ("--metric", "val_acc", "--no-forecast")

SMI = """#!{python}
import os, pathlib, sys
here = pathlib.Path({folder!r})
gone = (here / "gone").read_text().split() if (here / "gone").exists() else []
if sys.argv[1].startswith("--query-gpu"):
    for number in "01":
        if number not in gone:
            print(f"{{number}}, GPU-{{number}}, NVIDIA Fake, 81559, 12")
elif (here / "pids").exists():
    for pid in os.listdir(here / "pids"):
        print(f"{{pid}}, GPU-0, {{(here / 'pids' / pid).read_text()}}")
"""

TRAIN = """
import os, random, sys, time
import palate
if not sys.argv:
    import transformers
seed = 0
lift = 0.0
random.seed(seed)
seen = os.environ.get("CUDA_VISIBLE_DEVICES")
print("sees", seen, "OMP", os.environ["OMP_NUM_THREADS"], os.environ["MKL_NUM_THREADS"])
{more}
for step in range(3):
    palate.log(step, val_acc=0.5 + lift + random.gauss(0, 0.003))
"""


@pytest.fixture
def place(tmp_path):
    """A folder with a training that may use a GPU, and a driver that lists two."""
    here = Workplace(tmp_path)
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "nvidia-smi"
    program.write_text(SMI.format(python=sys.executable, folder=str(tmp_path)))
    program.chmod(0o755)
    here.environment["PATH"] = f"{program.parent}{os.pathsep}{here.environment['PATH']}"
    for name in ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        here.environment.pop(name, None)
    here.write(TRAIN.format(more=""))
    return here


def holds(place, mib, seconds=2.5):
    """Let the training hold memory of a GPU, as the driver tells it."""
    (place.folder / "pids").mkdir(exist_ok=True)
    told = str(place.folder / "pids")
    begins = f"file = os.path.join({told!r}, str(os.getpid()))\nopen(file, 'w').write('{mib}')\n"
    place.write(TRAIN.format(more=f"{begins}time.sleep({seconds})\nos.unlink(file)"))


def seen(place):
    lines = [
        one.read_text().splitlines()[0] for one in sorted((place.folder / ".palate" / "runs").glob("*/output.log"))
    ]
    return [line.split()[1] for line in lines if line.startswith("sees")]


def run(place, *words, **more):
    return place.call("run", "train.py", "-c", "lift=.1", "--pairs", "2", "--margin", "0.01", *OPTIONS, *words, **more)


def test_runs_that_use_no_gpu_are_placed_by_cores_once_the_first_has_ended(place):
    ended = run(place)
    assert ended.returncode == 0, ended.stderr
    assert "2 GPUs: 2 runs at a time." in ended.stderr
    assert "The first run used no GPU: from now on runs are placed by cores" in ended.stderr
    assert set(seen(place)[:1]) <= {"0", "1"}


def test_a_training_that_chooses_its_gpu_itself_is_told(place):
    place.write(TRAIN.format(more="os.environ['CUDA_VISIBLE_DEVICES'] = '7'\nsys.modules['jax'] = sys"))
    ended = run(place)
    assert ended.returncode == 0, ended.stderr
    assert "The training sets CUDA_VISIBLE_DEVICES=7 itself" in ended.stderr
    assert "runs are made one at a time" in ended.stderr


def test_a_training_that_asks_for_a_gpu_that_it_does_not_see_is_told(place):
    place.write(TRAIN.format(more="if lift:\n    raise RuntimeError('CUDA error: invalid device ordinal')"))
    assert "--workers 1 shows it all" in run(place).stderr


def test_a_number_a_gpu_without_any_gpu_is_told(place):
    assert (
        "No GPU was found: --per-gpu counts for nothing" in run(place, "--per-gpu", "2", CUDA_VISIBLE_DEVICES="").stderr
    )


@pytest.mark.slow
def test_runs_that_use_a_gpu_have_one_each_and_what_they_took_is_told(place):
    holds(place, 60_000)
    ended = run(place)
    assert ended.returncode == 0, ended.stderr
    assert sorted(seen(place)) == ["0", "0", "1", "1"]
    assert "59.1 GiB" not in ended.stderr
    assert "58.6 GiB of its GPU (GPU" in ended.stdout
    assert "GPU-hours in all" in ended.stdout
    report = place.json("show", "last")
    assert report["cost"]["gpu_peak"] == 60_000 << 20
    assert report["cost"]["gpu_hours"] > 0
    shown = place.json("show", report["runs"]["baseline"][0]["id"])
    assert shown["usage"]["gpu_peak"] == 60_000 << 20
    assert "58.6 GiB of its GPU" in place.call("show", report["runs"]["baseline"][0]["id"]).stdout


@pytest.mark.slow
def test_small_runs_share_a_gpu_as_far_as_there_are_cores(place):
    holds(place, 1000, seconds=1.5)
    ended = run(place, "--per-gpu", "2")
    assert ended.returncode == 0, ended.stderr
    assert "2 GPUs: 4 runs at a time." in ended.stderr
    assert sorted(seen(place)) == ["0", "0", "1", "1"]


@pytest.mark.parametrize(
    ("words", "more", "sees"),
    [
        (("--per-gpu", "0"), {}, "-1"),
        (("--workers", "1"), {}, "0,1"),
        ((), {"CUDA_VISIBLE_DEVICES": "GPU-1"}, "GPU-1"),
        ((), {"CUDA_VISIBLE_DEVICES": ""}, "OMP"),
    ],
    ids=["hidden", "one at a time", "chosen", "none"],
)
def test_the_persons_word_on_gpus_stands(place, words, more, sees):
    ended = run(place, *words, **more)
    assert ended.returncode == 0, ended.stderr
    assert seen(place)[0] == sees


def test_a_script_that_imports_nothing_of_the_kind_is_placed_by_cores_at_once(place):
    place.write(TRAIN.format(more="").replace("    import transformers\n", "    pass\n"))
    ended = run(place)
    assert "GPU" not in ended.stderr
    assert set(seen(place)) == {"None"}


@pytest.mark.parametrize(
    ("words", "more", "threads"),
    [
        (("--workers", "1"), {"OMP_NUM_THREADS": "1"}, ["1", "1"]),
        (("--workers", "1"), {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "3"}, ["1", "3"]),
        (("--workers", "1"), {"OMP_NUM_THREADS": "5,2"}, ["5,2", "5"]),
        (("--threads", "2"), {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "3"}, ["2", "2"]),
    ],
)
def test_the_persons_threads_reach_the_runs_unless_overruled(place, words, more, threads):
    assert run(place, *words, **more).returncode == 0
    printed = next((place.folder / ".palate" / "runs").glob("*/output.log")).read_text()
    assert printed.split()[3:5] == threads


MEMORY = "raise MemoryError('Unable to allocate 7.45 GiB for an array with shape (1000000000,) and data type float64')"


def test_a_change_that_runs_out_of_memory_alone_is_an_outcome_with_its_size(place):
    place.write(TRAIN.format(more=f"if lift:\n    {MEMORY}"))
    ended = run(place, "--workers", "1")
    assert "Failed: 2 of 2 runs with the change failed" in ended.stdout
    assert "out of memory: it asked for 7.45 GiB" in ended.stdout
    assert "Out of memory: 2 of 2 with the change, 0 of 2 without." in ended.stdout
    assert place.json("show", "last")["runs"]["treatment"][0]["ending"] == "out of memory"


def test_a_change_that_asks_for_more_than_there_is_is_an_outcome_beside_others_too(place):
    huge = "raise MemoryError('Unable to allocate 900. TiB for an array with shape (123,) and data type float64')"
    place.write(TRAIN.format(more=f"time.sleep(.5)\nif lift:\n    {huge}"))
    ended = run(place, "--workers", "2", CUDA_VISIBLE_DEVICES="")
    assert "out of memory: it asked for" in ended.stdout
    assert "made again" not in ended.stderr


def test_runs_that_are_out_of_memory_beside_others_are_made_again_with_fewer(place):
    crowded = (
        f"held = {str(place.folder)!r} + '/held'\n"
        "try:\n"
        "    os.mkdir(held)\n"
        "except FileExistsError:\n"
        f"    {MEMORY}\n"
        "time.sleep(1)\nos.rmdir(held)"
    )
    place.write(TRAIN.format(more=crowded))
    ended = run(place, "--workers", "2", CUDA_VISIBLE_DEVICES="")
    assert ended.returncode == 0, ended.stderr
    assert "ran out of memory beside 1 other run: it asked for 7.45 GiB. It is made again, 1 at a time" in ended.stderr
    assert "Better" in ended.stdout, (ended.stdout, ended.stderr)


LOST = "raise RuntimeError('CUDA error: no CUDA-capable device is detected')"


@pytest.mark.parametrize("gone", ["1", "0 1"], ids=["one of two", "both"])
def test_a_gpu_that_goes_is_no_outcome(place, gone):
    file = place.folder / "gone"
    place.write(
        TRAIN.format(
            more=f"if lift and seen in {gone.split()!r}:\n    open({str(file)!r}, 'w').write({gone!r})\n    {LOST}\n"
            "time.sleep(.3)"
        )
    )
    ended = run(place, "--per-gpu", "1")
    assert "CUDA error: no CUDA-capable device is detected" in ended.stderr
    if gone == "1":
        assert ended.returncode == 0, ended.stderr
        assert "That is no outcome: it is made again, on another GPU." in ended.stderr
        assert "Failed" not in ended.stdout
    else:
        assert ended.returncode == 5
        assert "there is no other GPU to make the run again on" in ended.stderr
        assert not place.json("show", "last")["runs"]["treatment"]  # it counts for nothing later, too


DDP = """
import argparse, os, random
import torch
import torch.distributed as dist
parser = argparse.ArgumentParser()
parser.add_argument("--lift", type=float, default=0.0)
lift = parser.parse_args().lift
dist.init_process_group("gloo")
rank, ranks = dist.get_rank(), dist.get_world_size()
random.seed(int(os.environ["PALATE_SEED"]))
for epoch in range(3):
    part = torch.tensor(0.25 + lift / 2 + random.gauss(0, 0.003))
    dist.all_reduce(part)
    if rank == 0:
        print(f"epoch {epoch} val_acc {part.item():.4f}", flush=True)
    else:
        print("only rank 0 tells", flush=True)
dist.destroy_process_group()
"""


@pytest.mark.slow
def test_of_two_ranks_that_train_together_the_first_is_heard(place, torch):
    place.write(DDP, "ddp.py")
    torchrun = Path(sys.executable).parent / "torchrun"
    place.write(f'#!/bin/sh\nexec {torchrun} --standalone --nproc-per-node 2 ddp.py "$@"\n', "run.sh")
    (place.folder / "run.sh").chmod(0o755)
    ended = place.call(
        "run", "./run.sh", "-c", "lift=.1", "--pairs", "2", "--workers", "1", *OPTIONS, CUDA_VISIBLE_DEVICES=""
    )
    assert ended.returncode == 0, ended.stderr + ended.stdout
    assert "Better" in ended.stdout, (ended.stdout, ended.stderr)
    baseline = place.json("show", "last")["runs"]["baseline"][0]["id"]
    metrics = {one["metric"]: one for one in place.json("show", baseline)["metrics"]}
    assert metrics["val_acc"]["n"] == 3
