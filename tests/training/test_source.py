"""What a file declares is read without running it."""

from pathlib import Path

import pytest

from palate.errors import InputError, NotFoundError, SettingError
from palate.question.fingerprint import code_of_file, data_of
from palate.question.source import read_source
from palate.question.target import OTHER_ARGUMENTS, find_target, target_from_body
from palate.recipe.codec import Unread
from palate.recipe.settings import with_changes

SCRIPT = """
import argparse
import palate
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=3 * 1e-4)
parser.add_argument("--weight-decay", "-w", default=0.1)
parser.add_argument("--amp", action="store_true")
parser.add_argument("--seed", type=int, default=1)
epochs: int = 5
counter = 0
for epoch in range(epochs):
    counter += 1
config = palate.settings(width=32)
WIDTHS = [1, 2]
_private = 3
"""

FUNCTION = """
import palate
from torch import nn
LIMIT = 3
@palate.experiment(metric="val_acc", goal="max", resolution=1 / 1000)
def train(run, *, lr=1e-3, act=nn.ReLU, seed=0, epochs=2 * 10):
    pass
"""


def write(folder, text, name="train.py"):
    path = Path(folder) / name
    path.write_text(text)
    return path


def test_a_scripts_settings_are_its_flags_its_declared_ones_and_its_constants(tmp_path):
    source = read_source(write(tmp_path, SCRIPT))
    values = {name: setting.value for name, setting in source.settings.items()}
    assert values == {
        "lr": pytest.approx(3e-4), "weight_decay": 0.1, "amp": False, "epochs": 5, "width": 32, "WIDTHS": [1, 2],
    }  # fmt: skip
    assert source.seed_name == "seed"


def test_a_functions_settings_are_its_defaults_and_what_is_no_literal_stays_source_text(tmp_path):
    function = read_source(write(tmp_path, FUNCTION)).functions["train"]
    assert {n: s.value for n, s in function.settings.items()} == {
        "lr": 1e-3, "act": Unread(type="source", text="nn.ReLU"), "epochs": 20,
    }  # fmt: skip
    assert function.takes_seed
    assert (function.metric, function.goal, function.resolution) == ("val_acc", "max", 0.001)


def test_what_the_decorator_cannot_say_without_running_is_refused(tmp_path):
    with pytest.raises(InputError, match="readable without running"):
        read_source(write(tmp_path, FUNCTION.replace("1 / 1000", "1 / len(test)")))


def code(folder, text, **files):
    for name, content in files.items():
        write(folder, content, f"{name}.py")
    return code_of_file(read_source(write(folder, text)), "train")


def test_a_setting_is_recipe_and_not_code_while_everything_else_is_code(tmp_path):
    one = code(tmp_path, FUNCTION)
    assert code(tmp_path, FUNCTION.replace("lr=1e-3", "lr=5e-3")) == one
    assert code(tmp_path, FUNCTION.replace("import palate", "import palate  # a comment")) == one
    assert code(tmp_path, FUNCTION.replace("LIMIT = 3", "LIMIT = 4")) != one
    assert code(tmp_path, FUNCTION.replace("pass", "return 1")) != one


def test_a_local_module_counts_as_code_with_its_constants(tmp_path):
    text = "import helper\n" + FUNCTION
    one = code(tmp_path, text, helper="from deep import x\nWIDTH = 1", deep="x = 1")
    assert code(tmp_path, text, helper="from deep import x\nWIDTH = 2") != one
    assert code(tmp_path, text, helper="from deep import x\nWIDTH = 1") == one
    assert code(tmp_path, text, deep="x = 2") != one


def test_data_counts_by_content(tmp_path):
    write(tmp_path, "a", "x.csv")
    one = data_of(["x.csv"], tmp_path)
    write(tmp_path, "b", "x.csv")
    assert data_of(["x.csv"], tmp_path) != one
    assert data_of([], tmp_path) == ""
    with pytest.raises(NotFoundError, match="declared as data"):
        data_of(["y.csv"], tmp_path)


def test_command_line_arguments_of_both_arms_are_part_of_the_baseline(tmp_path):
    path = str(write(tmp_path, SCRIPT))
    target = find_target(path, ["--lr", "0.5", "--amp", "--other=3"])
    assert (target.settings["lr"], target.settings["amp"]) == (0.5, True)
    assert target.settings[OTHER_ARGUMENTS] == ("--other=3",)


def order(target, **changes):
    return target.order("id", Path("folder"), 7, target.changes(changes))


def test_each_kind_of_setting_is_handed_over_its_own_way(tmp_path):
    target = find_target(str(write(tmp_path, SCRIPT)))
    made = order(target, lr=0.01, amp=True, epochs=9, width=64)
    assert made.argv == ("--lr", "0.01", "--amp", "--seed", "7")
    assert made.constants == {"epochs": 9}
    assert made.settings == {"width": 64}


def test_a_function_gets_its_settings_and_seed(tmp_path):
    target = find_target(str(write(tmp_path, FUNCTION)))
    made = order(target, lr=1)
    assert made.takes_seed
    assert made.settings["lr"] == 1.0
    assert type(made.settings["lr"]) is float


def test_a_target_survives_being_sealed(tmp_path):
    target = find_target(str(write(tmp_path, FUNCTION)))
    assert target_from_body(target.body()) == target


def test_what_cannot_be_found_is_told_with_what_can(tmp_path):
    path = str(write(tmp_path, FUNCTION + FUNCTION.replace("def train", "def tune")))
    with pytest.raises(InputError, match="declares 2 experiments: train, tune"):
        find_target(path)
    with pytest.raises(NotFoundError, match="no experiment 'fit'"):
        find_target(f"{path}:fit")
    with pytest.raises(NotFoundError, match="no such file"):
        find_target(str(tmp_path / "none.py"))
    with pytest.raises(NotFoundError, match="no such module"):
        find_target("no.such.module:train")
    with pytest.raises(InputError, match="cannot be read as Python"):
        find_target(str(write(tmp_path, "def (", "broken.py")))
    with pytest.raises(SettingError, match="did you mean lr"):
        find_target(f"{path}:train").changes({"lr2": 1})


def test_with_changes_leaves_the_baseline_alone():
    baseline = {"a": 1}
    assert with_changes(baseline, ()) == {"a": 1}
    assert baseline == {"a": 1}
