"""Experiments from Python: in a file, in a notebook cell, called once."""

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

import palate
from palate.recipe.codec import Unread, encode
from palate.store.reader import read_journal

ROOT = Path(__file__).parents[1]

FILE = """
import random
import palate

@palate.experiment(metric="acc")
def train(run, *, gain=0.5, seed=0):
    rng = random.Random(seed)
    for step in range(3):
        run.log(step, acc=gain + rng.gauss(0, 0.01))

if __name__ == "__main__":
    print(train.run(gain=0.7, forecast="better:90").headline)
"""

CELL = """
import random
import palate

OFFSET = 0.1

def level(gain, rng):
    return OFFSET + gain + rng.gauss(0, 0.01)

@palate.experiment(metric="acc")
def train(run, *, gain=0.5):
    rng = random.Random(run.seed)
    for step in range(3):
        run.log(step, acc=level(gain, rng))

report = train.run(gain=0.7, forecast="better:90")
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder that Python code in this process is run in, as ada."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PALATE_HOME", str(tmp_path / ".palate"))
    monkeypatch.setenv("PALATE_AUTHOR", "ada")
    yield tmp_path
    sys.modules.pop("mine", None)


def call(folder, *command):
    environment = {**os.environ, "PALATE_HOME": str(folder / ".palate")}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)


def test_a_file_runs_its_own_experiment(tmp_path):
    (tmp_path / "mine.py").write_text(FILE)
    ended = call(tmp_path, sys.executable, "mine.py")
    assert ended.stdout.startswith("Better: "), ended.stderr


def test_a_file_that_runs_its_experiment_on_import_is_told_why_not(here):
    (here / "mine.py").write_text(FILE.replace('if __name__ == "__main__":', "if True:"))
    with pytest.raises(palate.RunsFailedError, match='if __name__ == "__main__":'):
        runpy.run_path(str(here / "mine.py"), run_name="__main__")


def test_a_notebook_cell_runs_through_cloudpickle_and_its_baseline_is_reused(here):
    notebook = {"__name__": "__main__"}
    exec(compile(CELL, "<ipython-input-1>", "exec"), notebook)
    assert notebook["report"].headline.startswith("Better: ")
    assert notebook["train"].run(gain=0.9, forecast=None).judgement.reused > 0


def test_calling_an_experiment_trains_once_in_a_run_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").write_text("")

    @palate.experiment
    def train(run, *, gain=0.5):
        run.log(0, acc=gain)

    first, second = train(gain=0.25), train()
    for run, gain in ((first, 0.25), (second, 0.5)):  # also within one second
        journal = read_journal(run.folder / "journal")
        assert journal.curves["acc"].values.tolist() == [gain]
        assert journal.last_event("recipe")["settings"] == {"gain": gain}
        assert journal.last_event("ending")["exit"] == "ok"


def test_a_script_on_its_own_logs_to_a_run_of_its_own(tmp_path):
    (tmp_path / "own.py").write_text("import palate\nfor step in range(3):\n    palate.log(step, acc=0.5)\n")
    assert call(tmp_path, sys.executable, "own.py").returncode == 0
    (journal,) = (tmp_path / ".palate").glob("runs/*/journal")
    assert len(read_journal(journal).curves["acc"]) == 3


def test_a_second_process_of_a_run_is_told_to_log_from_one_only(tmp_path):
    script = (
        "import subprocess, sys, os, palate\npalate.log(0, acc=1.0)\n"
        "os.environ['PALATE_RUN_DIR'] = str(palate.training.run.current_run().folder)\n"
        "sys.exit(subprocess.call([sys.executable, '-c', 'import palate; palate.log(1, acc=2.0)']))\n"
    )
    (tmp_path / "two.py").write_text(script)
    ended = call(tmp_path, sys.executable, "two.py")
    assert "Log from one process only" in ended.stderr


def test_seed_everything_seeds_what_is_imported_and_refuses_what_numpy_cannot_take():
    import random

    import numpy as np

    assert palate.seed_everything(3) == 3
    first = (random.random(), np.random.rand())
    palate.seed_everything(3)
    assert (random.random(), np.random.rand()) == first
    with pytest.raises(palate.InputError):
        palate.seed_everything(-1)


def test_settings_declared_by_a_script_are_given_back_as_changed(monkeypatch):
    assert palate.settings(lr=0.1, width=3).lr == 0.1
    monkeypatch.setenv("PALATE_SETTINGS", '{"lr": 0.5}')
    assert vars(palate.settings(lr=0.1, width=3)) == {"lr": 0.5, "width": 3}
    monkeypatch.setenv("PALATE_SETTINGS", '{"rl": 0.5}')
    with pytest.raises(palate.InputError, match="no such setting"):
        palate.settings(lr=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("example", [("plain_script.py", "hidden=4", "val_loss"), ("digits.py", "lr=1e-4", "val_acc")])
def test_the_examples_run(tmp_path, example):
    name, change, metric = example
    command = [
        "run",
        str(ROOT / "examples" / name),
        "-c",
        change,
        "--metric",
        metric,
        "--forecast",
        "worse:70",
        "--pairs",
        "5",
    ]
    ended = call(tmp_path, sys.executable, "-m", "palate", *command)
    assert ended.returncode == 0, ended.stderr
    assert "You said worse, 70 %" in ended.stdout


ASKED = """
import palate
from mine import train

asked = train.run(gain=0.7, forecast=palate.Forecast(answer="better", confidence=80, why="more"), ask_only=True)
name = asked.question.experiment
sealed = palate.seal(name, {"quantiles": [0.1, 0.2, 0.3]}, author="robo", agent=True)
palate.seal(name, "better:90", author="robo", revise=True)
try:
    palate.seal(name, "same:60", author="robo")
except palate.OutcomeSeenError as error:
    print("refused:", error.what)
print(sealed.author, sealed.reference.chances)
report = train.run(gain=0.7, forecast=None)
standings = palate.skill()
print([(one.author, one.agent, one.revised) for one in standings])
print(standings)
print(len(palate.skill(author="nobody")), "<pre>" in standings._repr_html_(), len(standings.figure().data))
"""


def test_forecasts_are_sealed_and_judged_from_python(here, capsys):
    (here / "mine.py").write_text(FILE)
    (here / "ask.py").write_text(ASKED)
    runpy.run_path(str(here / "ask.py"), run_name="__main__")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("refused: experiment ")
    assert "name='robo', agent=True" in lines[1]
    assert "('ada', False, 0)" in lines[2]
    assert "('robo', True, 1)" in lines[2]
    assert lines[3].startswith("ada: can't tell yet, +")
    assert lines[-1].startswith("0 True ")


def test_a_default_that_only_the_script_can_tell_stays_what_it_is(monkeypatch):
    n = Unread(type="source", text="os.cpu_count()")
    monkeypatch.setenv("PALATE_SETTINGS", json.dumps({"lr": encode(0.2), "n": encode(n)}))
    assert vars(palate.settings(lr=0.1, n=8)) == {"lr": 0.2, "n": 8}
