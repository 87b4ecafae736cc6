"""However a Python training is started, palate finds setting, seed and metric with no more than -c and --metric."""

import importlib.util
import random
import re
import shutil
import socket
from dataclasses import dataclass
from pathlib import Path

import pytest

TARGETS = Path(__file__).parent.parent / "targets"
pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Started:
    """A training: what is typed, the setting, the metric, and what has to be installed."""

    typed: tuple[str, ...]
    change: str
    metric: str = "val_acc"
    needs: str = ""


STARTED = {
    "module_relative": Started(("-m", "mnist.train"), "LR=0.5"),
    "package_main": Started(("-m", "trainer"), "lr=0.5"),
    "linked_script": Started(("bin/train.py",), "LR=0.5"),
    "child_trainer": Started(("train.py",), "LR=0.5"),
    "process_pool": Started(("train.py",), "LR=0.5"),
    "notebook": Started(("train.ipynb",), "lr=0.5", needs="IPython"),
    "spawned_ranks": Started(("train.py",), "LR=0.2", "train_loss", "torch"),
    "spawn_workers": Started(("train.py",), "lr=0.5", needs="torch"),
}


@pytest.mark.parametrize("target", STARTED)
def test_setting_seed_and_metric_are_found(workplace, target):
    asked = STARTED[target]
    if asked.needs and importlib.util.find_spec(asked.needs) is None:
        pytest.skip(f"{asked.needs} is not installed")
    workplace.folder.joinpath("train.py").unlink()
    shutil.copytree(TARGETS / target, workplace.folder, symlinks=True, dirs_exist_ok=True)
    before = {path: path.read_bytes() for path in (TARGETS / target).rglob("*") if path.is_file()}
    words = ("run", *asked.typed, "-c", asked.change, "--metric", asked.metric, "--no-forecast", "--pairs", "2")
    report = workplace.json(*words)
    assert report["runs"]["made"] == 4
    printed = [path.read_text() for path in workplace.folder.glob(".palate/runs/*/output.log")]
    received = {re.search(r"lr=(\S+) seed=(\d+)", text).groups() for text in printed}
    assert received == {(rate, seed) for rate in ("0.1", asked.change.partition("=")[2]) for seed in ("0", "1")}
    for path, content in before.items():
        assert (workplace.folder / path.relative_to(TARGETS / target)).read_bytes() == content
    assert workplace.json(*words)["runs"]["made"] == 0, "nothing of it is an input that changes by itself"


def test_a_script_of_a_package_that_is_started_by_its_path_is_told_how_it_is_started(workplace):
    shutil.copytree(TARGETS / "module_relative", workplace.folder, dirs_exist_ok=True)
    words = ("run", "mnist/train.py", "-c", "LR=0.5", "--metric", "val_acc", "--no-forecast")
    said = workplace.json(*words, status=5)
    assert said["why"][-1].endswith("it is part of a package. Type: palate run -m mnist.train")


def test_a_module_that_is_typed_without_m_is_told_what_to_type(workplace):
    shutil.copytree(TARGETS / "module_relative", workplace.folder, dirs_exist_ok=True)
    said = workplace.json("run", "mnist.train", "-c", "LR=0.5", status=3)
    assert "palate run -m mnist.train" in said["todo"][0]


def test_what_a_script_raises_is_shown_without_the_frames_that_started_it(workplace):
    workplace.write("lr = 0.1\n\ndef fails():\n    raise ValueError('no such luck')\n\nfails()\n")
    said = workplace.json("run", "train.py", "-c", "lr=0.5", "--metric", "val_acc", "--no-forecast", status=5)
    assert said["why"][0] == "| Traceback (most recent call last):"
    assert said["why"][-1] == "| ValueError: no such luck"
    assert not any("worker.py" in line or "starting.py" in line for line in said["why"])


def test_an_edit_of_a_module_is_asked_about_against_another_copy_of_the_code(workplace):
    shutil.copytree(TARGETS / "module_relative", workplace.folder, dirs_exist_ok=True)
    shutil.copytree(TARGETS / "module_relative", workplace.folder / "other")
    train = workplace.folder / "mnist" / "train.py"
    train.write_text(train.read_text().replace("{w:.4f}", "{w + 5:.4f}"))
    words = (
        "run",
        "-m",
        "mnist.train",
        "--against",
        "other",
        "--metric",
        "val_acc",
        "--no-forecast",
        "--pairs",
        "2",
    )
    report = workplace.json(*words)
    assert report["verdict"]["kind"] == "better"


PORT = """
import random, socket, time
lr = 0.1
seed = 0
random.seed(seed)
with socket.socket() as one:
    one.bind(("127.0.0.1", {port}))
    one.listen()
    time.sleep(1.5)
print("epoch 1 val_acc", lr + random.random() / 100)
"""


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def test_runs_at_once_that_meet_at_one_port_are_made_again_one_at_a_time(workplace):
    workplace.write(PORT.format(port=free_port()))
    words = ("run", "train.py", "-c", "lr=0.5", "--metric", "val_acc", "--no-forecast", "--pairs", "2")
    said = workplace.call(*words, "--workers", "2")
    assert "Better" in said.stdout
    assert "use the same port: they are made again, one at a time. Next time: --workers 1" in said.stderr
    begun = len(list(workplace.folder.glob(".palate/runs/*")))
    assert f"{begun} runs made" in said.stdout, "those that were set aside took their time too"


def test_a_port_that_another_program_has_is_no_outcome_of_the_change(workplace):
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        workplace.write(PORT.format(port=held.getsockname()[1]))
        words = ("run", "train.py", "-c", "lr=0.5", "--metric", "val_acc", "--no-forecast", "--workers", "1")
        said = workplace.json(*words, status=5)
    assert "could not listen on a port: it is in use" in said["what"]


PRINTS_FIRST = """
import random
learning_rate = 0.1
seed = 0
batch_size = 8
config = {"learning_rate": "0.3"}
def override():
    for line in open("overrides.txt"):
        print(f"Overriding: {line.strip()}")
        exec(line, globals())
print(f"epochs: 3, batch_size: {batch_size}, learning_rate: {learning_rate}")
override()
random.seed(seed)
for epoch in range(3):
    print(f"epoch {epoch} val_loss: {1 - learning_rate + random.gauss(0, .01):.5f}")
"""


def test_a_configuration_that_is_printed_is_no_metric_and_hides_no_change(workplace):
    """A constant that is set again after lines with numbers were printed has not been used by then."""
    workplace.write(PRINTS_FIRST)
    (workplace.folder / "overrides.txt").write_text("batch_size = 16\nlearning_rate = learning_rate * 2\n")
    words = ("run", "train.py", "-c", "learning_rate=0.3", "--no-forecast", "--pairs", "2")
    said = workplace.json(*words, status=2)
    assert "palate run train.py -c learning_rate=0.3 --metric val_loss" in said["todo"]
    assert not any("batch_size" in line or "learning_rate (" in line for line in said["todo"])
    assert workplace.json(*words, "--metric", "val_loss")["verdict"]["kind"] == "better"


def test_a_setting_that_is_handed_over_as_typed_is_no_confounder_where_there_is_no_other(workplace):
    pytest.importorskip("torch")
    workplace.write(
        "import os, sys, torch\n"
        "given = dict(word.lstrip('-').split('=') for word in sys.argv[1:])\n"
        "torch.manual_seed(int(os.environ['PALATE_SEED']))\n"
        "w = torch.nn.Parameter(torch.randn(3))\n"
        "o = torch.optim.SGD([w], lr=0.1, momentum=float(given.get('m', 0)))\n"
        "for e in range(3):\n"
        "    loss = (w ** 2).sum(); o.zero_grad(); loss.backward(); o.step()\n"
        "    print(f'epoch {e} val_loss: {loss.item():.5f}')\n"
    )
    report = workplace.json("run", "train.py", "-c", "m=0.9", "--metric", "val_loss", "--no-forecast", "--pairs", "2")
    assert report["confounders"] == []


def test_a_seed_that_a_cell_fixes_is_the_runs(workplace):
    pytest.importorskip("IPython")
    shutil.copytree(TARGETS / "notebook", workplace.folder, dirs_exist_ok=True)
    notebook = workplace.folder / "train.ipynb"
    text = notebook.read_text()
    assert "random.seed(seed)" in text
    notebook.write_text(
        text.replace("random.seed(seed)", "random.seed(123)")
        .replace("seed = 0", "start = 0")
        .replace("{seed}", "{start}")
    )
    ended = workplace.call("run", "train.ipynb", "-c", "lr=0.5", "--metric", "val_acc", "--no-forecast", "--pairs", "2")
    assert "goes nowhere" not in ended.stderr
    assert "each run's stands in place of the numbers in its seeding calls" in ended.stderr
    printed = [path.read_text() for path in workplace.folder.glob(".palate/runs/*/output.log")]
    assert len(set(printed)) == len(printed) == 4


FIXED = """
import random
rank = 4
random.seed({number})
lr = 0.1
print(random.random())
for epoch in range(3):
    print(f"epoch {{epoch}} val_acc: {{lr + random.gauss(0, .01):.6f}}")
"""


@pytest.mark.parametrize(("number", "adds"), [("1337", 0), ("1337 + rank", 4), ("a=7", 0)])
def test_a_number_that_a_script_seeds_itself_with_is_the_runs_seed(workplace, number, adds):
    workplace.write(FIXED.format(number=number))
    assert "The seed of a run: written into the calls that seed the script" in workplace.call("run", "train.py").stderr
    report = workplace.json("run", "train.py", "-c", "lr=0.5", "--metric", "val_acc", "--no-forecast", "--pairs", "2")
    assert report["verdict"]["kind"] == "better"
    printed = {path.read_text().splitlines()[0] for path in workplace.folder.glob(".palate/runs/*/output.log")}
    assert printed == {str(random.Random(seed + adds).random()) for seed in (0, 1)}
