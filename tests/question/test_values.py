"""What is typed reaches the training as what its setting takes: text as typed, numbers as numbers, switches off."""

import sys
from pathlib import Path
from unittest import mock

import pytest
from tests.question.files import write

from palate.errors import InputError, SettingError
from palate.question.target import find_target
from palate.recipe.settings import parse_assignments

FLAGS = """
import argparse
parser = argparse.ArgumentParser()
parser.add_argument("--version", default="1.9")
parser.add_argument("--tag", type=str)
parser.add_argument("--note")
parser.add_argument("--x", type=float, default=0)
parser.add_argument("--n", type=int, default=1)
parser.add_argument("--bias", type=float, default=0.0)
parser.add_argument("--shifts", type=float, nargs=2, default=[0.0, 0.0])
parser.add_argument("--names", nargs="+", default=["a"])
parser.add_argument("--ema", "-e", action="store_true")
parser.add_argument("--no-log", action="store_false", dest="log")
parser.add_argument("--warm", action=argparse.BooleanOptionalAction, default=False)
parser.add_argument("--fp16", type=bool, default=True)
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
"""


def arms(target, *changes):
    """Return what both arms' scripts read from their command lines."""
    declared = target.changes(parse_assignments(changes))
    read = []
    for some in ((), declared):
        order = target.order("id", Path("folder"), 7, some)
        names = {}
        with mock.patch.object(sys, "argv", ["train.py", *order.argv]):
            exec(compile(FLAGS, "train.py", "exec"), names)
        read.append(vars(names["args"]))
    return read, declared


@pytest.mark.parametrize(
    ("change", "arrives"),
    [
        ("version=1.10", "1.10"),
        ("version=12e4567", "12e4567"),
        ("version=true", "true"),
        ("version=007", "007"),
        ("version=None", "None"),
        ("version=-1", "-1"),
        ("version='a b'", "'a b'"),
        ("tag=1e3", "1e3"),
        ("note=1.10", "1.10"),
        ("note=", ""),
        ("x=.1", 0.1),
        ("x=1", 1.0),
        ("n=007", 7),
        ("bias=-1e-5", -1e-5),
        ("shifts=[-1e-5, 2]", [-1e-5, 2.0]),
        ("names=[1.10, true]", ["1.10", "true"]),
        ("ema=true", True),
        ("log=false", False),
        ("warm=true", True),
        ("fp16=true", True),
    ],
)
def test_what_is_typed_arrives_as_what_the_flag_takes(tmp_path, change, arrives):
    if change == "fp16=true":
        target = find_target(str(write(tmp_path, FLAGS.replace("type=bool, default=True", "type=bool, default=False"))))
    else:
        target = find_target(str(write(tmp_path, FLAGS)))
    (_, treatment), declared = arms(target, change)
    name = change.partition("=")[0]
    assert treatment[name] == arrives
    assert type(treatment[name]) is type(arrives)
    kept = declared[0].after
    assert (list(kept) if isinstance(kept, tuple) else kept) == arrives


@pytest.mark.parametrize("given", [["--ema"], ["-e"], ["--em"], ["--ema", "--x", "0.5"]])
def test_a_switch_that_both_arms_are_given_is_taken_away_where_the_change_turns_it_off(tmp_path, given):
    target = find_target(str(write(tmp_path, FLAGS)), given)
    (baseline, treatment), [declared] = arms(target, "ema=false")
    assert (declared.before, declared.after) == (True, False)
    assert (baseline["ema"], treatment["ema"]) == (True, False)
    assert baseline["x"] == treatment["x"]


def test_arguments_of_both_arms_are_read_as_the_script_reads_them(tmp_path):
    words = ["--no-warm", "--shifts", "0.5", "0.25", "--names", "1.10", "b", "--version", "2.10", "--x=.5", "--no-log"]
    target = find_target(str(write(tmp_path, FLAGS)), [*words, "--warm"])
    told = {name: target.settings[name] for name in ("warm", "shifts", "names", "version", "x", "log")}
    assert told == {
        "warm": True, "shifts": [0.5, 0.25], "names": ["1.10", "b"], "version": "2.10", "x": 0.5, "log": False,
    }  # fmt: skip
    (baseline, treatment), _ = arms(target, "log=true")
    assert {name: baseline[name] for name in told} == told
    assert {name: treatment[name] for name in told} == {**told, "log": True}


def test_a_flag_of_type_bool_cannot_be_turned_off_and_the_way_out_is_named(tmp_path):
    path = str(write(tmp_path, FLAGS))
    with pytest.raises(SettingError) as refused:
        find_target(path).changes(parse_assignments(["fp16=false"]))
    assert "bool('false') is True" in refused.value.why[0]
    assert "BooleanOptionalAction" in refused.value.why[0]
    with pytest.raises(InputError, match="type=bool"):
        find_target(path, ["--fp16", "False"])
    assert find_target(path, ["--fp16", "True"]).settings["fp16"] is True


def test_what_a_flag_does_not_take_is_refused(tmp_path):
    target = find_target(str(write(tmp_path, FLAGS)))
    for change, complaint in (
        ("n=1.5", "n is a whole number"), ("x=abc", "x is a number"), ("ema=1", "ema is true or false"),
        ("x=none", "cannot say None"), ("shifts=0.5", "it takes 2 values"), ("x=[1, 2]", "x is a number"),
    ):  # fmt: skip
        with pytest.raises(SettingError, match=complaint):
            target.changes(parse_assignments([change]))


ANNOTATED = """
import palate
from typing import Literal, Optional
@palate.experiment(metric="val_acc")
def train(run, *, x: float = 0, y=0, name: str = "a", tag: str | None = None, old: "Optional[str]" = None, any=None,
          sizes: list[float] = (), mode: Literal["1", "2"] = "1", seed=0):
    pass
"""


def test_types_come_from_annotations_and_then_from_defaults(tmp_path):
    target = find_target(str(write(tmp_path, ANNOTATED)))

    def after(change):
        return target.changes(parse_assignments([change]))[0].after

    assert after("x=.1") == 0.1
    assert after("x=0") == 0
    assert type(after("x=0")) is int  # the same recipe as the default's
    assert (after("name=1.10"), after("name=None"), after("mode=2")) == ("1.10", "None", "2")
    assert (after("tag=1.10"), after("tag=None"), after("old=none")) == ("1.10", None, None)
    assert after("any=1.10") == 1.1
    assert after("sizes=[1, 2]") == (1.0, 2.0)
    with pytest.raises(SettingError, match=r"give it the default 0\.0, or declare it a float"):
        after("y=.1")


def test_annotated_constants_have_the_type_that_they_say(tmp_path):
    target = find_target(str(write(tmp_path, "RATE: float = 0\nNAME = '1'\n")))
    changes = target.changes(parse_assignments(["RATE=.5", "NAME=1.10"]))
    assert [change.after for change in changes] == [0.5, "1.10"]


def test_a_command_gets_what_is_typed(tmp_path):
    target = find_target(str(write(tmp_path, 'echo "$@"', "train.sh")))
    for text, arrives in (("1.10", "1.10"), ("true", "true"), ("1e-3", "1e-3"), ("0.5", "0.5"), ("None", "None")):
        changes = target.changes(parse_assignments([f"x={text}"]))
        assert target.order("id", Path("folder"), 7, changes).argv == ("--x", arrives)
    assert target.changes(parse_assignments(["x=0.5"]))[0].after == 0.5


def test_values_given_in_python_are_what_they_are(tmp_path):
    target = find_target(str(write(tmp_path, ANNOTATED)))
    assert target.changes({"tag": None})[0].after is None
    assert target.changes({"x": 1})[0].after == 1.0
    assert target.changes({"name": 1.5})[0].after == "1.5"
