"""Scripts that log as public ones do are run as they are, and what they log is in the run's journal."""

import importlib.util
import shlex
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from palate.question.target import find_target
from palate.store.reader import read_event, read_journal
from palate.training.local import LocalLauncher
from palate.training.loggers.hearing import EVENT

TARGETS = Path(__file__).parent.parent / "targets"
pytestmark = pytest.mark.slow


@dataclass
class Heard:
    """What is in the journal of a run that has ended: curves, by whom they were logged, and what it printed."""

    status: int
    curves: dict
    names: dict
    ambiguous: dict
    output: str

    def steps(self, name):
        return self.curves[name].steps.tolist()

    def values(self, name):
        return self.curves[name].values.tolist()


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run a script, of tests/targets or as text, in a folder of its own; return what was heard of it."""
    monkeypatch.chdir(tmp_path)
    for name, value in {"KERAS_BACKEND": "torch", "WANDB_SILENT": "true", "GIT_PYTHON_REFRESH": "quiet",
                        "MPLCONFIGDIR": str(tmp_path), "HF_HUB_OFFLINE": "1", "TRACKIO_DIR": str(tmp_path / "trackio"),
                        "HF_HOME": str(tmp_path / "hf")}.items():  # fmt: skip
        monkeypatch.setenv(name, value)

    def _run(script, *arguments, needs=(), **settings):
        for package in needs:
            if importlib.util.find_spec(package) is None:
                pytest.skip(f"{package} is not installed: pip install {package}")
        shell = script.startswith("#!")
        path = tmp_path / ("train.sh" if shell else "train.py") if "\n" in script else TARGETS / f"{script}.py"
        if "\n" in script:
            path.write_text(script)
            path.chmod(0o755)
        target = find_target(str(path), arguments)
        folder = tmp_path / f"run{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        order = target.order(folder.name, folder, 3, target.changes(settings))
        ended = {}
        with LocalLauncher(target.task) as launcher:
            launcher.submit(order)
            until = time.monotonic() + 100
            while not ended and time.monotonic() < until:
                ended = {done.id: done for done in launcher.poll()}
        output = (folder / "output.log").read_text()
        assert ended, output
        journal = folder / "journal"
        curves = dict(read_journal(journal).curves) if journal.exists() else {}
        said = (read_event(journal, EVENT) if curves else None) or {"names": {}, "ambiguous": {}}
        return Heard(ended[folder.name].status, curves, said["names"], said["ambiguous"], output)

    return _run


@pytest.mark.parametrize("mode", ["offline", "disabled"])
def test_wandb(run, mode):
    heard = run("wandb_log", "--mode", mode, needs=["wandb"])
    assert heard.status == 0, heard.output
    assert heard.steps("val_loss") == [0, 1, 2, 3, 4, 5]
    assert heard.steps("train/loss") == [epoch for epoch in range(6) for _ in range(20)]
    assert heard.steps("final/val_loss") == [100]
    assert heard.values("final/val_loss") == heard.values("val_loss")[-1:]
    assert set(heard.names) == {"train/loss", "epoch", "val_loss", "weights/w", "final/val_loss"}
    assert set(heard.names.values()) == {"wandb"}


def test_the_summary_writer_of_torch(run):
    heard = run("summary_writer", needs=["torch", "tensorboard"])
    assert heard.status == 0, heard.output
    assert heard.steps("Loss/train") == list(range(20))
    assert heard.steps("Loss/test") == [20]
    assert heard.steps("norms/weight") == heard.steps("norms/bias") == list(range(20))
    assert set(heard.names.values()) == {"tensorboard"}


def test_tensorboardx_without_steps(run):
    heard = run("tensorboardx", needs=["tensorboardX"])
    assert heard.status == 0, heard.output
    assert heard.steps("loss") == list(range(10))


def test_what_the_pytorch_example_prints(run):
    heard = run("printed_mnist")
    assert heard.status == 0, heard.output
    assert len(heard.values("train_loss")) == 9
    assert len(heard.values("test_average_loss")) == 3
    assert 0.1 < heard.values("test_accuracy")[-1] < 1
    assert set(heard.names.values()) == {"printed"}


def test_what_nanogpt_prints(run):
    heard = run("printed_gpt", learning_rate=0.03)
    assert heard.status == 0, heard.output
    assert heard.steps("val_loss") == [0, 20, 40, 60]
    assert heard.steps("train_loss") == [0, 20, 40, 60]
    assert heard.steps("loss") == [0, 10, 20, 30, 40, 50]


def test_what_the_logging_module_writes_to_standard_error_and_no_bar_of_progress(run):
    heard = run("printed_bars")
    assert heard.status == 0, heard.output
    assert heard.steps("val_f1") == [1, 2, 3, 4]
    assert "loss" not in heard.curves


def test_mlflow(run):
    heard = run("mlflow_log", needs=["mlflow", "sqlalchemy"])
    assert heard.status == 0, heard.output
    assert heard.steps("val_loss") == [0, 1, 2, 3, 4]
    assert heard.steps("x") == heard.steps("abs_x") == [0, 10, 20, 30, 40]
    assert heard.values("final_loss") == heard.values("val_loss")[-1:]


def test_the_trainer_of_hugging_face(run):
    heard = run("hf_trainer", needs=["transformers", "accelerate"])
    assert heard.status == 0, heard.output
    assert heard.steps("loss") == [2, 4, 6, 8, 10, 12, 14, 16]
    assert heard.steps("eval_loss") == [8, 16]
    assert heard.names["eval_loss"] == "transformers"
    assert not heard.ambiguous


@pytest.mark.parametrize("logger", [(), ("--logger",)])
def test_lightning_with_and_without_a_logger(run, logger):
    heard = run("lightning_log", *logger, needs=["lightning", *(["tensorboard"] if logger else [])])
    assert heard.status == 0, heard.output
    assert len(heard.values("val_loss")) == 3
    assert heard.steps("train_loss") == [1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23]
    assert heard.names["val_loss"] == ("tensorboard" if logger else "lightning")  # who is called first, inside
    assert not heard.ambiguous


def test_keras(run):
    heard = run("keras_fit", needs=["keras"])
    assert heard.status == 0, heard.output
    for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
        assert heard.steps(name) == [0, 1, 2]
        assert heard.names[name] == "keras"
    assert heard.values("eval_accuracy") == heard.values("val_accuracy")[-1:]
    assert heard.names["test_accuracy"] == "printed"


def test_rows_of_a_csv_file_come_before_what_is_printed(run):
    heard = run("csv_rows")
    assert heard.status == 0, heard.output
    assert heard.steps("val_loss") == [1, 2, 3, 4, 5]
    assert heard.names == {"train_loss": "log.csv", "val_loss": "log.csv"}
    assert heard.values("val_loss")[-1] == pytest.approx(heard.values("train_loss")[-1] + 0.1, abs=1e-5)


def test_a_table_of_pandas_that_is_written_again_and_again_counts_once(run):
    heard = run("csv_pandas", needs=["pandas"])
    assert heard.status == 0, heard.output
    assert heard.steps("loss") == [0, 1, 2, 3, 4]
    assert heard.names == {"loss": "history.csv"}


def test_accelerate_without_a_tracker(run):
    heard = run("accelerate_log", needs=["accelerate"])
    assert heard.status == 0, heard.output
    assert heard.steps("train_loss") == list(range(10))
    assert heard.names == {"train_loss": "accelerate"}


def test_trackio(run):
    heard = run("trackio_log", needs=["trackio"])
    assert heard.status == 0, heard.output
    assert heard.steps("val_loss") == [0, 1, 2, 3, 4]
    assert heard.names == {"val_loss": "trackio"}


def test_lightgbm(run):
    heard = run("lightgbm_train", needs=["lightgbm"])
    assert heard.status == 0, heard.output
    assert heard.steps("valid/rmse") == list(range(8))


def test_xgboost(run):
    heard = run("xgboost_train", needs=["xgboost"])
    assert heard.status == 0, heard.output
    assert heard.steps("valid-rmse") == heard.steps("train-rmse") == list(range(8))


TWO = """
import sys, wandb, palate
from torch.utils.tensorboard import SummaryWriter
wandb.init(mode="disabled")
writer = SummaryWriter("runs")
for step in range(5):
    wandb.log({"loss": 1.0 - step / 10, "lr": 0.1, "mine": step, "acc": step / 10}, step=step)
    palate.log(step, mine=step * 1.0)
    writer.add_scalar("loss", 1.0 - step / 10, step)
    writer.add_scalar("acc", step / 10 + (step > 2), step)
    print(f"step {step}: loss={1.0 - step / 10:.1f} ppl={step}")
"""


def test_a_name_that_several_log_counts_once_and_where_their_values_differ_each_is_named(run):
    heard = run(TWO, needs=["wandb", "tensorboard"])
    assert heard.status == 0, heard.output
    assert heard.steps("mine") == [0, 1, 2, 3, 4]
    assert heard.steps("loss") == [0, 1, 2, 3, 4]
    assert heard.ambiguous == {"acc": ["wandb", "tensorboard"]}
    assert heard.values("wandb/acc") == [0.0, 0.1, 0.2, 0.3, 0.4]
    assert heard.values("tensorboard/acc") == [0.0, 0.1, 0.2, 1.3, 1.4]
    assert heard.names["ppl"] == "printed"
    assert "mine" not in heard.names


def test_a_script_that_fails_keeps_what_it_printed_and_its_own_error(run):
    heard = run('for epoch in range(3):\n    print("epoch", epoch, "loss", 0.5)\nraise ValueError("no such luck")\n')
    assert heard.status == 1
    assert heard.steps("loss") == [0, 1, 2]
    assert "ValueError: no such luck" in heard.output


def test_a_tracker_that_is_not_imported_stays_out_of_the_process(run):
    heard = run('import sys\nprint("loaded", [m for m in ("wandb", "mlflow", "pandas") if m in sys.modules])\n')
    assert heard.status == 0, heard.output
    assert "loaded []" in heard.output
    assert not heard.curves


def test_what_a_tracker_refuses_is_refused_and_not_heard(run):
    script = 'import wandb\nwandb.init(mode="offline", dir="w")\nwandb.log({"loss": 1.0})\nwandb.log([1])\n'
    heard = run(script, needs=["wandb"])
    assert heard.status == 1
    assert "TypeError" in heard.output
    assert heard.values("loss") == [1.0]


def test_a_shell_script_that_starts_python_is_heard_of_one_process_and_palate_log_comes_first(run, tmp_path):
    (tmp_path / "inner.py").write_text(
        "import os\nrank = int(os.environ['RANK'])\n"
        "for epoch in range(3):\n    print(f'epoch {epoch} loss {0.5 + rank} acc=1')\n"
    )
    python = shlex.quote(sys.executable)
    script = (
        f"#!/bin/sh\n{python} -m palate log 7 acc=0.25\nRANK=1 {python} inner.py & RANK=0 {python} inner.py\nwait\n"
    )
    heard = run(script)
    assert heard.status == 0, heard.output
    assert heard.output.count("epoch 2") == 2
    assert heard.values("loss") == [0.5, 0.5, 0.5]
    assert heard.values("acc") == [0.25]
