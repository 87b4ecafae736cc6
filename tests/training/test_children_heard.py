"""Processes that a Python script starts get its change and seed, and what they log is heard: once, and of rank 0."""

import importlib.util
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from palate.loop.reuse import NOTHING
from palate.question.folder import place_of
from palate.question.target import find_target
from palate.recipe.settings import parse_assignments
from palate.store.reader import read_event, read_journal
from palate.training.gathered import gather
from palate.training.inputs import take_received
from palate.training.launch import Engines, Resources
from palate.training.local import start_local
from palate.training.loggers import among
from palate.training.loggers.hearing import EVENT
from palate.training.outcome import begin_run, end_run

TARGETS = Path(__file__).parent.parent / "targets"


@dataclass
class Heard:
    """What is in the journal of a run that has ended."""

    status: int
    values: dict
    names: dict
    ambiguous: dict
    output: str


@pytest.fixture
def heard(tmp_path, monkeypatch):
    """Run scripts, given by their text, as palate does; return what was heard of the first."""

    def _heard(script, *changes, start="train.py", **files):
        project = tmp_path / "project"
        project.mkdir()
        monkeypatch.chdir(project)
        for name, text in {"train": script, **files}.items():
            path = Path(name).with_suffix(".sh" if text.startswith("#!") else ".py")
            path.write_text(text)
            path.chmod(0o755)
        return run_here(tmp_path / "home", start, *changes)

    return _heard


def run_here(home, start, *changes, words=()):
    target = find_target(start, words)
    folder = home / "run"
    journal = folder / "journal"
    begin_run(journal, key="k", label="l", seed=3, settings={})
    order = target.order("run", folder, 3, target.changes(parse_assignments(changes)))
    place = place_of(Path.cwd(), home)
    ended, until = [], time.monotonic() + 200
    with Engines(Resources(start=start_local, workers=1, threads=1, place=place)) as engines:
        engines.submit(target.task, order)
        while not ended and time.monotonic() < until:
            ended = engines.poll()
    output = folder / "output.log"
    assert ended, output.read_text()
    end_run(journal, ended[0], output)
    assert not (folder / among.FOLDER).exists()
    said = read_event(journal, EVENT) or {"names": {}, "ambiguous": {}}
    curves = {name: one.values.tolist() for name, one in read_journal(journal).curves.items()}
    return Heard(ended[0].status, curves, said["names"], said["ambiguous"], output.read_text())


FORKED = """
import multiprocessing, os, random, sys
lr = 0.1
seed = 0
print("loss 9.0")

def train(rank):
    random.seed(seed)
    for epoch in range(3):
        print(f"epoch {epoch} val_acc={lr + seed:.1f}")
    sys.stdout.flush()
    if rank == "killed":
        os.kill(os.getpid(), 9)

if __name__ == "__main__":
    process = multiprocessing.get_context("METHOD").Process(target=train, args=("killed",))
    process.start()
    process.join()
    print(f"test_acc {lr}")
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_process_of_multiprocessing_is_heard_also_when_it_is_killed(heard, method):
    run = heard(FORKED.replace("METHOD", method), "lr=0.5")
    assert run.status == 0, run.output
    assert run.values["val_acc"] == [3.5, 3.5, 3.5]
    assert run.values["test_acc"] == [0.5]
    assert run.values["loss"] == [9.0], "the script that a child imports anew says nothing twice"
    assert run.names["val_acc"] == "printed"
    assert not run.ambiguous


OUTER = """
import subprocess, sys
for place in range({count}):
    subprocess.run([sys.executable, "inner.py", str(place)], check=True)
{last}
"""
INNER = """
import csv, sys
with open(f"log{sys.argv[1]}.csv", "w", newline="") as file:
    log = csv.writer(file)
    log.writerow(["epoch", "val_acc"])
    for epoch in range(3):
        log.writerow([epoch, epoch / 10 + int(sys.argv[1])])
print("recall=0.5")
"""


def test_a_program_that_the_script_starts_is_heard_with_its_tables(heard):
    run = heard(OUTER.format(count=1, last=""), inner=INNER)
    assert run.values == {"val_acc": [0.0, 0.1, 0.2], "recall": [0.5]}
    assert run.names == {"val_acc": "log0.csv", "recall": "printed"}


def test_a_constant_of_a_program_that_the_script_starts_is_a_setting_and_its_seed_is_the_runs(heard):
    outer = "import subprocess, sys\nsubprocess.run([sys.executable, 'inner.py'], check=True)\n"
    run = heard(outer, "inner.LR=0.5", inner="LR = 0.1\nSEED = 0\nprint('val_acc', LR + SEED)\n")
    assert run.values == {"val_acc": [3.5]}


def test_what_the_script_logs_itself_comes_before_what_its_processes_log(heard):
    run = heard(OUTER.format(count=2, last="print('val_acc=0.7')"), inner=INNER)
    assert run.values["val_acc"] == [0.7]
    assert "val_acc" not in run.ambiguous


def test_of_processes_that_log_other_values_under_one_name_each_is_named(heard):
    run = heard(OUTER.format(count=2, last=""), inner=INNER)
    assert run.ambiguous == {"val_acc": ["inner-1", "inner-2"]}
    assert run.values["inner-2/val_acc"] == [1.0, 1.1, 1.2]
    assert run.values["recall"] == [0.5], "they agree"


RANKS = """
import os, subprocess, sys
ranks = [subprocess.Popen([sys.executable, "inner.py"], env={**os.environ, "RANK": str(rank)}) for rank in range(3)]
assert not any(one.wait() for one in ranks)
"""


def test_of_programs_that_train_together_rank_0_is_heard(heard):
    run = heard(RANKS, inner="import os\nfor i in range(3):\n    print('loss', int(os.environ['RANK']) + i)\n")
    assert run.values == {"loss": [0.0, 1.0, 2.0]}


def test_of_a_command_the_program_and_what_that_starts_are_heard(heard):
    shell = f"#!/bin/sh\nexec {sys.executable} outer.py\n"
    run = heard(shell, start="train.sh", outer=OUTER.format(count=1, last="print('f1=0.3')"), inner=INNER)
    assert run.status == 0, run.output
    assert run.values["val_acc"] == [0.0, 0.1, 0.2]
    assert run.values["f1"] == [0.3]


PRE = "for i in range(2):\n    print(f'epoch {i} val_acc={i / 10}')\n    print('recall=0.4')\n"
FINE = "LR = 0.1\nfor i in range(3):\n    print(f'epoch {i} val_acc={i + LR}')\nprint('f1=0.3')\n"
AND = {"one after the other": "", "at once": "&"}


@pytest.mark.parametrize("how", AND)
def test_of_trainings_that_a_command_starts_each_is_named_where_they_log_one_name(heard, how):
    shell = f"#!/bin/sh\n{sys.executable} pre.py {AND[how]}\n{sys.executable} fine.py {AND[how]}\nwait\n"
    run = heard(shell, "LR=0.5", start="train.sh", pre=PRE, fine=FINE)
    assert run.status == 0, run.output
    assert sorted(run.ambiguous["val_acc"]) == ["fine", "pre"]
    assert run.values["fine/val_acc"] == [0.5, 1.5, 2.5]
    assert run.values["pre/val_acc"] == [0.0, 0.1]
    assert run.values["f1"] == [0.3]
    assert run.values["recall"] == [0.4, 0.4]
    assert {run.names[name] for name in ("f1", "recall", "val_acc")} == {"printed"}


def test_a_training_that_a_command_starts_several_times_is_numbered(heard):
    shell = f"#!/bin/sh\nfor fold in 0 1 2; do {sys.executable} fine.py $fold; done\n"
    fine = "import sys\nprint('val_acc', float(sys.argv[1]))\n"
    run = heard(shell, start="train.sh", fine=fine)
    assert run.ambiguous == {"val_acc": ["fine-1", "fine-2", "fine-3"]}
    assert run.values["fine-3/val_acc"] == [2.0]


def test_what_a_process_of_a_command_logs_comes_before_what_those_log_that_it_starts(heard):
    shell = f"#!/bin/sh\n{sys.executable} outer.py\n{sys.executable} fine.py\n"
    outer = OUTER.format(count=2, last="print('val_acc=0.7')")
    run = heard(shell, start="train.sh", outer=outer, inner=INNER, fine=FINE)
    assert run.ambiguous == {"val_acc": ["outer", "fine"]}
    assert run.values["outer/val_acc"] == [0.7]


def test_what_is_logged_by_palate_in_one_process_of_a_command_comes_before_what_another_prints(heard):
    shell = f"#!/bin/sh\n{sys.executable} pre.py\n{sys.executable} fine.py\n"
    run = heard(shell, start="train.sh", pre="import palate\npalate.log(val_acc=0.25)\n", fine=FINE)
    assert run.values["val_acc"] == [0.25]
    assert run.values["f1"] == [0.3]
    assert not run.ambiguous


def test_each_run_has_a_port_of_its_own_which_is_no_input_and_a_persons_own_stays(heard, monkeypatch, tmp_path):
    script = "import os\nprint('port', os.environ['MASTER_PORT'], os.environ.get('PET_MASTER_PORT'))\n"
    monkeypatch.delenv("MASTER_PORT", raising=False)
    run = heard(script)
    one, other = run.output.split()[1:3]
    assert one == other
    assert int(one) > 1023
    assert "MASTER_PORT" not in (tmp_path / "home" / "run" / "received.jsonl").read_text()
    monkeypatch.setenv("MASTER_PORT", "29511")
    assert run_here(tmp_path / "other", "train.py").output.split()[1:3] == ["29511", "None"]


def test_a_variable_that_is_set_inside_a_run_is_known_by_what_it_is_outside(heard, monkeypatch, tmp_path):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    monkeypatch.setenv("DEPTH", "3")
    reads = "import os\nprint('val_acc', int(os.environ['WORLD_SIZE']) * int(os.environ['DEPTH']))\n"
    heard(f"#!/bin/sh\nexport WORLD_SIZE=2\n{sys.executable} fine.py\n", start="train.sh", fine=reads)
    received = take_received(tmp_path / "home" / "run", place_of(Path.cwd(), tmp_path / "home"))
    assert received.variables["WORLD_SIZE"] == "2"
    assert received.outside == {"WORLD_SIZE": None}
    known = NOTHING.with_more(received).variables
    assert (known["WORLD_SIZE"], known["DEPTH"]) == (None, "3")


def test_each_program_of_a_command_is_noted_with_what_it_seeds(heard, tmp_path):
    shell = f"#!/bin/sh\n{sys.executable} pre.py\n{sys.executable} fine.py\n"
    seeds = "import lib\nSEED = {}\nlib.seed(SEED)\nprint('loss', 1.5)\n"
    lib = "import random\ndef seed(value):\n    random.seed(value)\n"
    heard(shell, start="train.sh", pre=seeds.format(0), fine=seeds.format(7), lib=lib)
    received = take_received(tmp_path / "home" / "run", place_of(Path.cwd(), tmp_path / "home"))
    assert received.programs == ("pre.py", "fine.py")
    assert [(one.program, one.value) for one in received.seeds] == [("pre.py", "3"), ("fine.py", "7")]


def test_what_a_shell_reads_is_an_input_of_the_run(heard, tmp_path):
    inner = f"#!/bin/sh\nexec {sys.executable} fine.py $(cat wd.txt)\n"
    heard("#!/bin/sh\nsh inner.sh\n", start="train.sh", inner=inner, fine="print('loss', 1.5)\n")
    Path("wd.txt").write_text("0")
    place = place_of(Path.cwd(), tmp_path / "home")
    received = take_received(tmp_path / "home" / "run", place, words=("sh", "train.sh"))
    assert {"train.sh", "inner.sh", "wd.txt"} <= received.files.keys()
    path = place.path("inner.sh")
    assert received.files["inner.sh"].is_now(path)
    Path("inner.sh").write_text(inner.replace("fine.py", "fine.py --wd 5"))
    assert not received.files["inner.sh"].is_now(path)


def test_constants_of_a_file_that_the_text_of_a_shell_starts_are_written_for_the_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("fine.py").write_text("LR = 0.1\nSEED = 0\nprint('val_acc', LR + SEED)\n")
    run = run_here(tmp_path / "home", "bash", "LR=0.5", words=["-c", f"{sys.executable} fine.py"])
    assert run.values == {"val_acc": [3.5]}


def test_a_program_that_a_script_starts_is_noted_with_what_it_seeds(heard, tmp_path):
    outer = "import random, subprocess, sys\nSEED = 0\nrandom.seed(SEED)\n"
    heard(f"{outer}subprocess.run([sys.executable, 'inner.py'], check=True)\n", inner="import random\nrandom.seed(7)\n")
    received = take_received(tmp_path / "home" / "run", place_of(Path.cwd(), tmp_path / "home"))
    assert set(received.programs) == {"train.py", "inner.py"}


LOKY = """
from joblib import Parallel, delayed
lr = 0.1

def train(fold):
    print(f"fold_acc={lr}", flush=True)
    return lr

if __name__ == "__main__":
    print("val_acc", sum(Parallel(2, backend="loky")(delayed(train)(fold) for fold in range(2))) / 2)
"""


@pytest.mark.slow
def test_workers_of_joblib_have_the_change(heard):
    if importlib.util.find_spec("joblib") is None:
        pytest.skip("joblib is not installed")
    run = heard(LOKY, "lr=0.5")
    assert run.values["val_acc"] == [0.5]
    assert set(run.values.get("fold_acc", [0.5])) == {0.5}


@pytest.mark.slow
@pytest.mark.parametrize("target", ["spawned_ranks", "spawn_workers"])
def test_ranks_and_loaders_of_torch(target, tmp_path, monkeypatch):
    pytest.importorskip("torch")
    shutil.copytree(TARGETS / target, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    run = run_here(tmp_path / "home", "train.py")
    assert run.status == 0, run.output
    if target == "spawned_ranks":
        printed = [float(line.split()[-1]) for line in run.output.splitlines() if "train_loss" in line]
        assert len(run.values["train_loss"]) == 3
        assert run.values["train_loss"][-1] == min(printed), "rank 1 prints one more"
    else:
        assert len(run.values["val_acc"]) == 2
        assert run.values["train_loss"] == [3.0]
        assert "val_loss" not in run.values
    assert not run.ambiguous


TORCHRUN = """
import subprocess, sys
command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "inner.py"]
subprocess.run(command, check=True)
"""
RANK = """
import torch, torch.distributed as dist
dist.init_process_group("gloo")
one = torch.tensor([float(dist.get_rank())])
dist.all_reduce(one)
print(f"val_acc={one.item() + dist.get_rank()}", flush=True)
dist.destroy_process_group()
"""


@pytest.mark.slow
def test_torchrun_that_the_script_starts(heard):
    pytest.importorskip("torch")
    run = heard(TORCHRUN, inner=RANK)
    assert run.status == 0, run.output
    assert run.values["val_acc"] == [1.0]


def test_what_is_no_line_of_palates_in_the_notes_of_a_process_is_passed_over(tmp_path):
    journal = tmp_path / "journal"
    begin_run(journal, key="k", label="l", seed=3, settings={})
    notes = tmp_path / among.FOLDER
    notes.mkdir()
    lines = [b'{"who": "x", "told": ""}', b"[1", b"[]", b"7", b'[1.0, "hear"]', b'[1.0, "table", "t", 3, false]',
             b'[1.0, "found", {"loss": "x"}, null, null]', b'[2.0, "hear", "wandb", {"loss": 0.5}, 3]',
             b'[2.0, "hear", "wandb", {"\\ud800": 1.0}, 3]', b'[2.0, "hear", "wan']  # fmt: skip
    (notes / "1-1.jsonl").write_bytes(b"\n".join(lines))
    (notes / "2-2.jsonl").write_bytes(b"")
    gather(journal)
    assert read_journal(journal).curves["loss"].values.tolist() == [0.5]
    assert not notes.exists()
