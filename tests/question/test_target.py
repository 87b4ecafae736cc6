"""What is run, and how a changed setting is handed over to it."""

from pathlib import Path

import pytest
from tests.question.files import FUNCTION, SCRIPT, write

from palate.errors import InputError, NotFoundError, SettingError
from palate.question.target import OTHER_ARGUMENTS, find_target


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
    assert made.argv == ("--lr=0.01", "--amp", "--seed=7")
    assert made.constants == {"epochs": 9}
    assert made.settings == {"width": 64}


def test_a_function_gets_its_settings_and_seed(tmp_path):
    target = find_target(str(write(tmp_path, FUNCTION)))
    made = order(target, lr=1)
    assert made.takes_seed
    assert made.settings["lr"] == 1.0
    assert type(made.settings["lr"]) is float


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


def test_a_file_outside_of_the_folder_is_run_where_it_is(tmp_path, monkeypatch):
    (tmp_path / "project").mkdir()
    write(tmp_path, SCRIPT)
    monkeypatch.chdir(tmp_path / "project")
    [name] = [path.name for path in tmp_path.glob("*.py")]
    assert find_target(f"../{name}").task.file == str(tmp_path / name)
