"""Which metric is judged: what a script logs by itself is offered with the commands to type, and never guessed."""

import pytest

pytestmark = pytest.mark.slow

PRINTS = """
import random
gain = 0.5
seed = 0
random.seed(seed)
for epoch in range(4):
    print(f"epoch {epoch} loss {gain + random.random() / 100:.5f} score >> {gain:.3f} pts, val_acc: {1 - gain:.3f}")
"""

TWICE = """
from palate.training.loggers import patching
gain = 0.5
for step in range(4):
    patching.tell("wandb", {"loss": gain}, step)
    patching.tell("mlflow", {"loss": gain + step}, step)
"""


def test_without_a_metric_the_baseline_is_run_once_and_the_commands_are_named(workplace):
    workplace.write(PRINTS)
    said = workplace.json("run", "train.py", "-c", "gain=0.6", "--no-forecast", status=2)
    assert said["what"] == "train: which metric is judged?"
    assert "loss (printed)" in said["why"][0]
    assert said["todo"][0] == "palate run train.py -c gain=0.6 --metric val_acc"
    assert "palate run train.py -c gain=0.6 --metric loss" in said["todo"]
    asked = ("run", "train.py", "-c", "gain=0.6", "--metric", "loss", "--no-forecast", "--pairs", "2")
    report = workplace.json(*asked)
    assert report["verdict"]["kind"] == "worse"
    assert report["runs"]["reused"] == 1


def test_at_a_terminal_a_person_chooses_among_what_was_heard(workplace):
    workplace.write(PRINTS)
    screen = workplace.terminal("run", "train.py", "-c", "gain=0.6", "--no-forecast", "--pairs", "2")
    screen.expect("Which one is judged")
    screen.sendline("loss")
    screen.expect("Worse")
    screen.close()


def test_a_baseline_without_the_metric_says_who_logs_what_and_what_to_type(workplace):
    workplace.write(PRINTS)
    words = ("run", "train.py", "-c", "gain=0.6", "--metric", "wer", "--no-forecast")
    said = workplace.json(*words, status=5)
    assert "val_acc (printed)" in said["why"][0]
    assert said["todo"][0] == "palate run train.py -c gain=0.6 --metric val_acc"


def test_a_pattern_finds_a_metric_that_is_printed_in_another_form_and_another_pattern_makes_other_runs(workplace):
    workplace.write(PRINTS)
    words = ("run", "train.py", "-c", "gain=0.6", "--metric", "pts", "--goal", "max", "--pairs", "2", "--no-forecast")
    assert workplace.json(*words, "--metric-from", "score >> ([0-9.]+)")["runs"]["made"] == 4
    assert workplace.json(*words)["runs"]["made"] == 0
    assert workplace.json(*words, "--metric-from", "loss ([0-9.]+)")["runs"]["made"] == 4


@pytest.mark.parametrize("pattern", ["(", "no group", "(a)(b)"])
def test_a_pattern_that_finds_no_number_is_refused(workplace, pattern):
    words = ("run", "train.py", "-c", "gain=0.6", "--metric", "pts", "--metric-from", pattern, "--no-forecast")
    assert "--metric-from" in workplace.json(*words, status=2)["what"]


def test_a_metric_that_two_trackers_log_differently_is_refused_each_time_with_both_names(workplace):
    workplace.write(TWICE)
    words = ("run", "train.py", "-c", "gain=0.6", "--metric", "loss", "--no-forecast", "--pairs", "2")
    for _ in range(2):
        said = workplace.json(*words, status=5)
        assert "logged by wandb and mlflow, with different values" in said["what"]
        assert "palate run train.py -c gain=0.6 --metric mlflow/loss" in said["todo"]


def test_a_change_that_does_nothing_is_told_though_a_printed_number_of_the_machine_differs(workplace):
    workplace.write(
        PRINTS.replace("random\ngain", "os, random\nunused = 1\ngain") + '    print("memory in use:", os.getpid())\n'
    )
    words = ("run", "train.py", "-c", "unused=2", "--metric", "loss", "--no-forecast", "--pairs", "3")
    assert workplace.json(*words)["verdict"]["kind"] == "nothing"


def test_where_nothing_changes_what_can_be_changed_is_listed_and_nothing_is_run(workplace):
    workplace.write(PRINTS)
    said = workplace.json("run", "train.py", status=2)
    assert "gain" in "\n".join(said["why"])
    assert not list((workplace.folder / ".palate").glob("runs/*"))
