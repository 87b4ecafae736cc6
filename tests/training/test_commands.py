"""Commands as people type them are run as they are: a change of a setting arrives, and so does the seed of a run."""

import importlib.util
import os
import re
import shlex
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from palate.question.folder import place_of
from palate.question.target import find_target
from palate.recipe.settings import parse_assignments
from palate.training.launch import Engines, Resources
from palate.training.local import start_local

COMMANDS = Path(__file__).parent.parent / "targets"
PRINTED = re.compile(r"lr=([\d.e-]+) seed=(\d+)")
HERE = str(Path(sys.executable).parent)


@dataclass(frozen=True)
class Way:
    """A command, and how it is asked about.

    Attributes:
        folder: with its files: tests/targets/started_FOLDER.
        command: as typed.
        change: the setting, and what it is changed to.
        handed: how the change is handed over.
        needs: a package without which it does not run.
        processes: that print what they got.
    """

    folder: str
    command: str
    change: str
    handed: str
    needs: str = ""
    processes: int = 1


PARALLEL = "accelerate launch --multi_gpu --num_processes 2 --num_machines 1 --mixed_precision no --dynamo_backend no"
UV = "uv run --offline --no-project --python {python}"
WAYS = {
    "torchrun": Way("torchrun", "torchrun --nproc-per-node 2 train.py --epochs 1", "lr=0.2", "--lr", "torch", 2),
    "torch.distributed.run": Way(
        "torchrun", "python -m torch.distributed.run --nproc_per_node=2 train.py", "lr=0.2", "--lr", "torch", 2
    ),
    "accelerate": Way("accelerate", f"{PARALLEL} train.py", "learning_rate=0.2", "--learning_rate", "accelerate", 2),
    "accelerate, one": Way(
        "accelerate", "accelerate launch --cpu train.py", "learning_rate=0.2", "--learning_rate", "accelerate"
    ),
    "uv": Way("uv", f"{UV} train.py", "LR=0.2", "constant", "uv"),
    "uv, python": Way("uv", f"{UV} python train.py", "LR=0.2", "constant", "uv"),
    "make": Way("make", "make train", "LR=0.2", "words LR={value}"),
    "make, with a value": Way("make", "make -s train LR=0.1", "LR=0.2", "words LR={value}"),
    "shell, words": Way("shell_words", "./train.sh", "learning_rate=.2", "--learning_rate"),
    "shell, variables": Way("shell_variables", "bash train.sh", "LR=0.2", "environment LR"),
    "text": Way("shell_variables", "bash -c 'python train.py --lr ${LR:-0.1} --width 1 --seed $PALATE_SEED'",
                "LR=0.2", "environment LR"),
    "module": Way("module", "python -m pkg.train", "lr=0.2", "--lr"),
    "entry": Way("module", "mytrain", "lr=0.2", "--lr"),
    "variable in front": Way("environment", "LR=.1 python train.py", "LR=0.2", "environment LR"),
    "env": Way("environment", "env LR=0.1 CUDA_VISIBLE_DEVICES=0 nice -n 1 python -u train.py", "LR=.2",
               "environment LR"),
}  # fmt: skip


def make_entry(folder):
    """Put a console entry point into a folder, as an installer does, with its metadata beside the package."""
    (folder / "bin").mkdir()
    program = folder / "bin" / "mytrain"
    program.write_text(
        f"#!{sys.executable}\nimport sys\nfrom pkg.train import main\n"
        'if __name__ == "__main__":\n    sys.exit(main())\n'
    )
    program.chmod(0o755)
    metadata = folder / "mytrain-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: mytrain\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[console_scripts]\nmytrain = pkg.train:main\n")


@pytest.fixture(params=sorted(WAYS))
def way(request, tmp_path, monkeypatch):
    found = WAYS[request.param]
    if found.needs and importlib.util.find_spec(found.needs) is None:
        pytest.skip(f"{found.needs} is not installed")
    folder = tmp_path / "project"
    shutil.copytree(COMMANDS / f"started_{found.folder}", folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PATH", f"{folder / 'bin'}:{HERE}:/usr/bin:/bin")
    if found.command == "mytrain":
        make_entry(folder)
        monkeypatch.syspath_prepend(str(folder))
        monkeypatch.setenv("PYTHONPATH", f"{folder}:{os.environ.get('PYTHONPATH', '')}")
    if (folder / "train.sh").exists():
        (folder / "train.sh").chmod(0o755)
    return found


def received(target, orders, home, workers=1):
    """Run a target with some seeds and changes; give what each run printed."""
    printed = {}
    with Engines(Resources(start=start_local, workers=workers, threads=1, place=place_of(Path.cwd(), home))) as engines:
        for name, (seed, changes) in orders.items():
            (home / name).mkdir(parents=True)
            engines.submit(target.task, target.order(name, home / name, seed, changes))
        while len(printed) < len(orders):
            for ended in engines.poll():
                printed[ended.id] = (home / ended.id / "output.log").read_text()
    return printed


@pytest.mark.slow
def test_a_change_and_a_seed_arrive(way, tmp_path):
    words = shlex.split(way.command.replace("{python}", sys.executable))
    target = find_target(words[0], words[1:])
    [change] = target.changes(parse_assignments([way.change]))
    assert str(target.hands(change.path)) == way.handed
    assert float(change.before) == 0.1
    orders = {"plain": (0, ()), "changed": (0, (change,)), "seeded": (7, (change,))}
    printed = received(target, orders, tmp_path / "home")
    values = {name: [tuple(map(float, found)) for found in PRINTED.findall(text)] for name, text in printed.items()}
    expected = {"plain": (0.1, 0), "changed": (0.2, 0), "seeded": (0.2, 7)}
    assert values == {name: [one] * way.processes for name, one in expected.items()}, printed
