"""Trainings as people have them, started cold: `./scripts/bench starts`.

Each of `tests/targets` is copied into an empty folder and asked about as a newcomer would: once without a change, once
without a metric, once with both. What counts is what palate found without a flag, and whether the runs show that the
change and the seed got there.
"""

import contextlib
import importlib.util
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.training.test_commands import make_entry

from benchmarks.table import Row
from benchmarks.training import PEER_PYTHON, heard_rows
from palate.store.reader import read_journal

TARGETS = Path(__file__).parent.parent / "tests" / "targets"
LIMIT_S = 300
"""Seconds that one command may take."""

FOUND = 32
"""Of forty, so many are to be found whole."""


@dataclass(frozen=True, slots=True)
class Start:
    """A training of `tests/targets`, and how it is asked about.

    Attributes:
        change: the setting, and what it is changed to.
        metric: by which it is judged, as palate names it.
        words: what is typed behind the options: the target, and what goes to it.
        needs: libraries that it imports.
    """

    change: str
    metric: str = "loss"
    words: tuple[str, ...] = ("train.py",)
    needs: tuple[str, ...] = ()

    @property
    def setting(self) -> str:
        """The name of the setting."""
        return self.change.partition("=")[0]


def _with(*arguments: str) -> tuple[str, ...]:
    return ("train.py", "--", *arguments)


def _by(command: str, change: str, *needs: str) -> Start:
    """Return a training that is started by a command."""
    return Start(change, "val_acc", ("--", *command.split()), needs)


STARTS = {
    "argparse_plain": Start("learning_rate=0.2"),
    "argparse_elsewhere": Start("lr=0.2"),
    "argparse_package": Start("lr=0.2"),
    "argparse_subcommands": Start("lr=0.2", words=_with("train")),
    "argparse_config": Start("lr=0.2", words=_with("-c", "fast.yaml")),
    "argparse_short": Start("l=0.2"),
    "argparse_positional": Start("lr=0.2", words=_with("mnist")),
    "argparse_many": Start("lrs=[0.1, 0.2]"),
    "click_command": Start("lr=0.2"),
    "click_group": Start("lr=0.2", words=_with("train")),
    "typer_run": Start("learning_rate=0.2", needs=("typer",)),
    "tyro_dataclass": Start("optim.lr=0.2", needs=("tyro",)),
    "fire_function": Start("lr=0.2", needs=("fire",)),
    "absl_flags": Start("learning_rate=0.2", needs=("absl",)),
    "simple_parsing_dataclass": Start("learning_rate=0.2", needs=("simple_parsing",)),
    "hf_parser": Start("learning_rate=0.2", needs=("transformers",)),
    "jsonargparse_cli": Start("lr=0.2", needs=("jsonargparse",)),
    "hydra_main": Start("optimizer.lr=2e-1", needs=("hydra",)),
    "hydra_structured": Start("lr=0.2", needs=("hydra",)),
    "gin_bindings": Start("train.lr=0.2", needs=("gin",)),
    "ml_collections_flags": Start("config.optim.lr=0.2", needs=("ml_collections",)),
    "constants_plain": Start("LEARNING_RATE=0.2"),
    "constants_main": Start("lr=0.2"),
    "dictionary": Start("params.learning_rate=0.2"),
    "class_config": Start("Config.lr=0.2"),
    "dataclass_config": Start("TrainConfig.lr=0.2"),
    "config_module": Start("config.LR=0.2"),
    "config_class_elsewhere": Start("Settings.lr=0.2"),
    "source_folder": Start("lr=0.2"),
    "attribute_config": Start("optim.lr=0.2"),
    "configurator": Start("learning_rate=0.2", words=_with("config/fast.py")),
    "environment": Start("lr=0.2"),
    "argv_places": Start("lr=0.2"),
    "own_parser": Start("step=0.2"),
    "module_relative": Start("LR=0.5", "val_acc", ("-m", "mnist.train")),
    "package_main": Start("lr=0.5", "val_acc", ("-m", "trainer")),
    "linked_script": Start("LR=0.5", "val_acc", ("bin/train.py",)),
    "child_trainer": Start("LR=0.5", "val_acc"),
    "process_pool": Start("LR=0.5", "val_acc"),
    "notebook": Start("lr=0.5", "val_acc", ("train.ipynb",), ("IPython",)),
    "spawned_ranks": Start("LR=0.2", "train_loss", needs=("torch",)),
    "spawn_workers": Start("lr=0.5", "val_acc", needs=("torch",)),
    "started_torchrun": _by("torchrun --nproc-per-node 2 train.py", "lr=0.2", "torch"),
    "started_accelerate": _by("accelerate launch --num_processes 1 --cpu train.py", "learning_rate=0.2", "accelerate"),
    "started_uv": _by(f"uv run --offline --no-project --python {sys.executable} train.py", "LR=0.2", "uv"),
    "started_make": _by("make train", "LR=0.2"),
    "started_shell_words": _by("bash train.sh", "learning_rate=0.2"),
    "started_shell_variables": _by("bash train.sh", "LR=0.2"),
    "started_module": _by("python -m pkg.train", "lr=0.2"),
    "started_module as a console entry point": _by("mytrain", "lr=0.2"),
    "started_environment": _by("env LR=0.1 python train.py", "LR=0.2"),
    "accelerate_log.py": Start("lr=0.02", "train_loss", needs=("accelerate", "torch")),
    "csv_pandas.py": Start("lr=0.2", "loss", needs=("pandas",)),
    "csv_rows.py": Start("lr=0.2", "val_loss"),
    "hf_trainer.py": Start("learning_rate=3e-2", "eval_loss", needs=("transformers", "accelerate")),
    "keras_fit.py": Start("lr=3e-2", "val_loss", needs=("keras", "torch")),
    "lightgbm_train.py": Start("lr=0.2", "valid/rmse", needs=("lightgbm",)),
    "lightning_log.py": Start("lr=0.01", "val_loss", needs=("lightning",)),
    "mlflow_log.py": Start("lr=0.2", "val_loss", needs=("mlflow",)),
    "printed_bars.py": Start("lr=0.1", "val_f1"),
    "printed_gpt.py": Start("learning_rate=0.03", "val_loss"),
    "printed_mnist.py": Start("lr=0.3", "test_accuracy"),
    "summary_writer.py": Start("lr=0.02", "Loss/test", needs=("torch", "tensorboard")),
    "tensorboardx.py": Start("lr=0.2", "loss", needs=("tensorboardX",)),
    "trackio_log.py": Start("lr=0.2", "val_loss", needs=("trackio",)),
    "wandb_log.py": Start("lr=0.2", "val_loss", needs=("wandb",)),
    "xgboost_train.py": Start("lr=0.1", "valid-rmse", needs=("xgboost",)),
}
"""The trainings, by their names in `tests/targets`; one that is started in another way too says how behind them."""


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of one: what was found without a flag, whether the runs show it, and what was said where not."""

    name: str
    setting: bool = False
    seed: bool = False
    metric: bool = False
    right: bool = False
    said: str = ""

    @property
    def found(self) -> bool:
        """Whether all three were found."""
        return self.setting and self.seed and self.metric

    def words(self) -> str:
        """Say what is missing."""
        lacks = [what for what in ("setting", "seed", "metric", "right") if not getattr(self, what)]
        return f"{self.name}: no {', '.join(lacks)}; {self.said}"


def rows() -> Iterator[Row]:
    """Measure what is found of each training, what starting costs, and what hearing costs."""
    yield from found_rows()
    yield from cost_rows()
    yield first_row()
    yield from heard_rows()


def found_rows() -> Iterator[Row]:
    """Try each training, two at a time; what falls short is told on standard error."""
    with ThreadPoolExecutor(2) as pool:
        tried = list(pool.map(try_one, STARTS))
    for one in tried:
        if not (one.found and one.right):
            print(one.words(), file=sys.stderr, flush=True)
    whole = sum(one.found and one.right for one in tried)
    yield Row(
        name=f"trainings of {len(tried)} with setting, seed and metric found without a flag, and right in the runs",
        measured=whole, target=FOUND * len(tried) / 40, at_least=True,
    )  # fmt: skip
    for what in ("setting", "seed", "metric", "right"):
        yield Row(name=f"of them with the {what}", measured=sum(getattr(one, what) for one in tried))


def try_one(name: str) -> Tried:
    """Ask about one of `tests/targets` in an empty folder."""
    start = STARTS[name]
    python = _python_with(start.needs)
    if python is None:
        return Tried(name, said=f"{', '.join(start.needs)}: not installed here")
    with tempfile.TemporaryDirectory() as place:
        folder, target = Path(place) / "project", TARGETS / name.partition(" as ")[0]
        if target.is_dir():
            shutil.copytree(target, folder, symlinks=True)
        else:
            folder.mkdir()
            shutil.copy(target, folder / "train.py")
        if "mytrain" in start.words:
            make_entry(folder)
        listed = _palate(python, folder, "run", *start.words)
        offered = _palate(python, folder, "run", "-c", start.change, "--no-forecast", *start.words)
        asked = ("-c", start.change, "--metric", start.metric, "--no-forecast", "--pairs", "2", "--json")
        judged = _palate(python, folder, "run", *asked, *start.words)
        return Tried(
            name,
            setting=bool(
                re.search(rf"^ *([\w.]+\.)?{re.escape(start.setting)} ", listed.stderr, re.MULTILINE | re.IGNORECASE)
            ),
            seed="The seed of a run:" in listed.stderr and "no setting for it" not in listed.stderr,
            metric=re.search(rf"\b{re.escape(start.metric)}\b", offered.stderr) is not None,
            right=judged.returncode == 0 and _differ(folder, json.loads(judged.stdout), start.metric),
            said="" if judged.returncode == 0 else judged.stderr[-500:],
        )


def _differ(folder: Path, report: dict[str, Any], metric: str) -> bool:
    """Return whether the runs of a report differ by their arm, and by their seed."""
    last: dict[str, list[float]] = {}
    for arm in ("baseline", "treatment"):
        journals = [folder / ".palate" / "runs" / run["id"] / "journal" for run in report["runs"][arm]]
        last[arm] = [float(read_journal(journal).curves[metric].values[-1]) for journal in journals]
    pairs = list(zip(last["baseline"], last["treatment"], strict=True))
    arms, seeds = all(one != other for one, other in pairs), all(len(set(some)) == len(some) for some in last.values())
    return len(pairs) >= 2 and arms and seeds


def _python_with(libraries: Sequence[str]) -> str | None:
    """Return an interpreter that has palate and some libraries: this one, or that of the peers; None without any."""
    if all(importlib.util.find_spec(one) for one in libraries):
        return sys.executable
    look = f"import importlib.util, sys; sys.exit(not all(map(importlib.util.find_spec, {list(libraries)})))"
    if PEER_PYTHON.exists() and subprocess.run([PEER_PYTHON, "-c", look], timeout=LIMIT_S).returncode == 0:
        return str(PEER_PYTHON)
    return None


def _palate(python: str, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    with contextlib.suppress(subprocess.TimeoutExpired):
        return subprocess.run(
            [python, "-m", "palate", *words],
            cwd=folder, env=_environment(folder, python), capture_output=True, text=True, timeout=LIMIT_S,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    return subprocess.CompletedProcess(words, 1, "", f"no end within {LIMIT_S} s")


def _environment(folder: Path, python: str) -> dict[str, str]:
    place = str(folder.parent)
    quiet = {"WANDB_MODE": "offline", "WANDB_SILENT": "true", "WANDB_DIR": place, "TRACKIO_DIR": place}
    away = {
        "HF_HUB_OFFLINE": "1",
        "GRADIO_ANALYTICS_ENABLED": "False",
        "HF_HOME": place,
        "KERAS_BACKEND": "torch",
    }
    more = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "GIT_PYTHON_REFRESH": "quiet"}
    path = os.pathsep.join([str(folder / "bin"), str(Path(python).parent), os.environ.get("PATH", "")])
    installed = {"PYTHONPATH": str(folder)} if (folder / "mytrain-1.0.dist-info").exists() else {}
    return {**os.environ, **quiet, **away, **more, **installed, "MPLCONFIGDIR": place, "PATH": path}


PLAIN = """
import argparse, random
import torch
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.1)
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)
w = torch.zeros(4)
for epoch in range(5):
    w += args.lr * torch.randn(4)
    print(f"epoch {epoch} val_loss: {w.square().mean():.6f}")
"""

FEW, MANY = 2, 10
"""Pairs of two questions: what one of twenty runs costs is told by their difference."""


def cost_rows() -> Iterator[Row]:
    """Measure, in processor time, what a question costs over running its script by hand, once and for each run."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "train.py").write_text(PLAIN)
        plain_s = min(_cpu_s(folder, sys.executable, "train.py") for _ in range(5))
        few_s, many_s = (min(_question_s(folder, pairs) for _ in range(3)) for pairs in (FEW, MANY))
    run_s = (many_s - few_s) / 2 / (MANY - FEW)
    yield Row(name="python train.py, which imports torch", measured=plain_s, unit="s")
    yield Row(
        name="palate run: start-up beside python train.py, once", measured=few_s - 2 * FEW * run_s - plain_s, unit="s",
        target=1.3,
    )  # fmt: skip
    yield Row(name="palate run: a further run beside python train.py", measured=run_s - plain_s, unit="s", target=0.1)


def _question_s(folder: Path, pairs: int) -> float:
    """Return the processor time of a question with so many pairs, all of which are made."""
    shutil.rmtree(folder / ".palate", ignore_errors=True)
    asked = ("-c", "lr=0.1000001", "--metric", "val_loss", "--margin", "1e-12", "--no-forecast", "--pairs", str(pairs))
    return _cpu_s(folder, sys.executable, "-m", "palate", "run", "train.py", *asked)


def _cpu_s(folder: Path, *command: str) -> float:
    """Return the processor time of a command and of all that it waited for."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, cwd=folder, capture_output=True, check=True, timeout=LIMIT_S)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def first_row() -> Row:
    """Measure how long it takes from a script of one's own to its first verdict, and say by how many commands."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        shutil.copy(TARGETS / "printed_mnist.py", folder / "train.py")
        began_s = time.monotonic()
        offered = _palate(sys.executable, folder, "run", "train.py", "-c", "lr=0.05", "--no-forecast")
        [typed] = [line for line in offered.stderr.splitlines() if "--metric test_accuracy" in line]
        words = typed[typed.index("palate run") :].split()[1:]
        judged = _palate(sys.executable, folder, *words, "--no-forecast", "--json")
        took_s = time.monotonic() - began_s
        kind = json.loads(judged.stdout)["verdict"]["kind"]
    return Row(name=f"a script of one's own to its first verdict ({kind}), 2 commands", measured=took_s, unit="s")
