"""A notebook's cells run as in Jupyter, in the run's own process; and palate is asked in a real kernel."""

import json
import os
import subprocess
import sys

import pytest
from tests.cli.workplace import Workplace

pytest.importorskip("IPython")
RUN = ("run", "train.ipynb", "--metric", "val_acc", "--no-forecast", "--pairs", "2")

LOGS = "for epoch in range(3):\n    print(f'epoch {epoch} val_acc={lr + seed / 1000:.4f}')"


@pytest.fixture
def workplace(tmp_path):
    return Workplace(tmp_path)


def write(workplace, *cells, name="train.ipynb"):
    """Write a notebook of some cells; one that is a pair has tags."""
    made = []
    for cell in cells:
        text, *tags = (cell,) if isinstance(cell, str) else cell
        made.append({"cell_type": "code", "metadata": {"tags": tags}, "outputs": [], "source": text.splitlines(True)})
    body = {"cells": made, "metadata": {"kernelspec": {"name": "python3", "language": "python"}}, "nbformat": 4}
    (workplace.folder / name).write_text(json.dumps(body))


def output_of(workplace, number=0):
    return sorted(workplace.folder.glob(".palate/runs/*/output.log"))[number].read_text()


def test_a_constant_and_the_seed_are_changed_in_the_runs_own_copy_and_what_cells_print_is_heard(workplace):
    write(workplace, "import random\nlr = 0.1\nseed = 0", LOGS)
    before = (workplace.folder / "train.ipynb").read_bytes()
    report = workplace.json(*RUN, "-c", "lr=0.5")
    assert report["verdict"]["kind"] == "better"
    assert report["verdict"]["effect"] == pytest.approx(0.4, rel=0.2)
    assert (workplace.folder / "train.ipynb").read_bytes() == before
    assert workplace.json(*RUN, "-c", "lr=0.5")["runs"]["made"] == 0


JUPYTER = (
    "%matplotlib inline\nimport asyncio, os, sys\nlr = 0.1\nseed = 0",
    "!echo from the shell\nnames = !ls\nassert 'train.ipynb' in names",
    "%%time\nnumbers = [1, 2]",
    "async def late():\n    await asyncio.sleep(0.01)\n    return 7\n\ntask = asyncio.create_task(late())",
    "assert await task == 7\nassert asyncio.get_running_loop().is_running()",
    "assert get_ipython() is not None and __name__ == '__main__' and '__file__' not in globals()",
    "import matplotlib.pyplot as plt\nplt.plot(numbers)\nplt.show()",
    ("1 / 0", "raises-exception"),
    ("raise ValueError('skipped')", "skip-execution"),
    "%env WHERE=here\n%cd sub\nimport near\nassert os.environ['WHERE'] == 'here' and near.HERE",
    LOGS,
    "41 + 1",
    "exit()",
    "raise ValueError('never reached')",
)


@pytest.mark.slow
def test_magics_shell_commands_top_level_await_figures_and_tags_are_as_in_jupyter(workplace):
    pytest.importorskip("matplotlib")
    write(workplace, *JUPYTER)
    (workplace.folder / "sub").mkdir()
    workplace.write("HERE = True\n", "near.py")
    workplace.environment["MPLCONFIGDIR"] = str(workplace.folder / ".palate" / "mpl")
    report = workplace.json(*RUN, "-c", "lr=0.5")
    assert report["verdict"]["kind"] == "better", output_of(workplace)
    printed = output_of(workplace)
    for words in ("from the shell", "Wall time", "Figure size", "ZeroDivisionError", "42"):
        assert words in printed


def test_a_cell_that_fails_is_named_with_its_first_line_and_its_cause(workplace):
    write(workplace, "lr = 0.1\nseed = 0", "", "# the loop\nrows = []\nvalue = rows[lr > 0]")
    said = workplace.json(*RUN, "-c", "lr=0.5", status=5)
    last = said["why"][-1]
    assert last == "| Cell 3 of train.ipynb failed, which begins with 'rows = []': IndexError: list index out of range"
    assert not any("nbclient" in line or "interactiveshell" in line for line in said["why"])


def test_a_notebook_in_a_folder_works_there_as_under_jupyter(workplace):
    (workplace.folder / "nb").mkdir()
    write(workplace, "import near\nopen('data.txt').read()\nlr = 0.1\nseed = 0", LOGS, name="nb/train.ipynb")
    workplace.write("", "nb/near.py")
    workplace.write("1", "nb/data.txt")
    words = ["nb/train.ipynb" if word == "train.ipynb" else word for word in RUN]
    assert workplace.json(*words, "-c", "lr=0.5")["verdict"]["kind"] == "better"


KERNEL = """
import json, sys
import nbformat
from nbclient import NotebookClient

cells = json.loads(sys.stdin.read())
notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(one) for one in cells])
NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
print(json.dumps(["".join(out.get("text", "") for out in cell.outputs) for cell in notebook.cells]))
"""

ASKS = (
    "import palate\nX = [0.1, 0.2]\n\n@palate.experiment(metric='val_acc', goal='max')\n"
    "def train(run, *, lr: float = 0.1, seed: int = 0):\n"
    "    for step in range(3):\n        run.log(step, val_acc=sum(X) * lr + seed / 1000)\n",
    "one = train.run(forecast=None, pairs=2, lr=0.5)\nprint(one.judgement.made, one.judgement.reused)",
    "again = train.run(forecast=None, pairs=2, lr=0.5)\nprint(again.judgement.made, again.judgement.reused)",
    "X = [5.0, 6.0]\nother = train.run(forecast=None, pairs=2, lr=0.5)",
    "print(other.judgement.made, other.judgement.reused)",
)


@pytest.mark.slow
def test_in_a_real_kernel_a_question_is_asked_and_what_is_replaced_in_the_kernel_is_not_used_again(tmp_path):
    pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", KERNEL],
        input=json.dumps(ASKS),
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "JUPYTER_PLATFORM_DIRS": "1", "PALATE_HOME": str(tmp_path / ".palate")},
        timeout=300,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    printed = [text.split() for text in json.loads(ended.stdout.splitlines()[-1]) if text]
    assert printed == [["4", "0"], ["0", "4"], ["4", "0"]]


TORCH = (
    "import torch\nlr = 0.1\nseed = 0\ntorch.manual_seed(seed)",
    "model = torch.nn.Linear(4, 1)\noptimizer = torch.optim.SGD(model.parameters(), lr=lr)\nx = torch.randn(8, 4)",
    "model(x).sum().backward()\noptimizer.step()\nprint('val_acc', lr)",
)


@pytest.mark.slow
def test_the_recipe_of_a_notebook_is_read_at_its_first_step_and_the_notebook_is_no_data_of_it(workplace):
    pytest.importorskip("torch")
    write(workplace, *TORCH)
    said = workplace.call("dry", "train.ipynb", "-c", "lr=0.2")
    assert "optimiser.lr 0.1 -> 0.2" in said.stdout
    assert "train.ipynb" not in said.stdout
