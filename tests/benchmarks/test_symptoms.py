"""The benchmark of symptoms: its intervals, its two parts, and the doctors beside it."""

import json
import random
import sys
from itertools import islice
from typing import get_args

import pytest

pytest.importorskip("torch")

from benchmarks.doctors import DOCTORS, NAMES, doctor_rows, thinned
from benchmarks.kitchen import SEEDS, healthy, prepare
from benchmarks.spoilt import WAYS, spoilt, way_of
from benchmarks.symptoms import KINDS, interval

from palate.cooking.seen import Kind


@pytest.mark.parametrize(
    ("count", "of", "said"),
    [
        (0, 500, "95 %: 0 to 0.762 %"),
        (10, 500, "95 %: 1.1 to 3.64 %"),
        (18, 18, "95 %: 82 to 100 %"),
        (16, 18, "95 %: 67 to 96.9 %"),
    ],
)
def test_intervals_are_those_of_wilson(count, of, said):
    """Values of statsmodels.stats.proportion.proportion_confint(method="wilson")."""
    assert interval(count, of) == said


def test_no_training_is_in_both_parts():
    development, held_out = ([*islice(healthy(part), 50)] for part in SEEDS)
    assert not {one.seed for one in development} & {one.seed for one in held_out}
    assert [*islice(healthy("held out"), 50)] == held_out


@pytest.mark.slow
def test_each_of_the_twelve_is_spoilt_in_each_of_its_ways():
    assert (*WAYS,) == KINDS == get_args(Kind)
    for kind, ways in WAYS.items():
        drawn = [*islice(spoilt(kind, "development"), len(ways))]
        assert [one.way for one in drawn] == [way.name for way in ways]
        for recipe in drawn:
            way_of(recipe).spoil(prepare(recipe), random.Random(0))


def test_a_doctors_rule_names_kinds_that_there_are():
    assert NAMES.keys() == DOCTORS.keys()
    assert {kind for rules in NAMES.values() for kinds in rules.values() for kind in kinds} <= set(KINDS)


def test_a_thin_log_has_the_mean_of_its_steps_and_every_evaluation():
    log = [{"step": 1, "loss": 1.0}, {"step": 1, "val_loss": 7.0}, {"step": 2, "loss": 2.0}, {"step": 3, "loss": 3.0}]
    assert thinned(log, 2) == [{"step": 1, "val_loss": 7.0}, {"step": 2, "loss": 1.5}]
    assert thinned(log, 1) == log


def test_where_no_doctor_is_installed_that_is_said_and_nothing_measured(tmp_path, capsys):
    assert [*doctor_rows([("", [{"step": 1, "loss": 1.0}])], tmp_path / "python")] == []
    assert "runmedic is not installed, so not measured" in capsys.readouterr().err


def test_warnings_and_right_names_are_counted(tmp_path):
    findings = [[["overfitting", True]], [], [["overfitting", False], ["no_warmup", True]], [["spikes", True]]]
    told = json.dumps({"trainspotter": {"version": "1", "findings": findings}})
    python = tmp_path / "python"
    python.write_text(f"#!{sys.executable}\nprint({told!r})\n")
    python.chmod(0o755)
    log = [{"step": 1, "loss": 1.0}]
    rows = {
        row.name: row.measured for row in doctor_rows([("", log), ("", log), ("overfit", log), ("leak", log)], python)
    }
    assert rows["trainspotter 1, a row in 1: 2 healthy, with a warning"] == 0.5
    assert rows["trainspotter 1, a row in 1: 2 spoilt, with a warning"] == 1
    assert rows["trainspotter 1, a row in 1: 2 spoilt, named right by a warning"] == 0
    assert rows["trainspotter 1, a row in 1: 2 spoilt, named right by a finding"] == 0.5
