"""The question is built from the declared change, and an edited one is another one."""

from dataclasses import replace

import pytest
from tests.question.files import FUNCTION, SCRIPT, write

from palate.errors import InputError, SettingError
from palate.question.question import build_question, metric_of
from palate.question.target import find_target


@pytest.fixture
def target(tmp_path):
    return find_target(str(write(tmp_path, SCRIPT)))


def test_the_text_says_what_changes_and_what_is_judged(target):
    one = build_question(target, {"width": 64}, metric="val_acc")
    assert one.text == "width 32 -> 64, all else equal: val_acc against the baseline?"
    two = build_question(target, {"width": 64, "epochs": 9}, metric="val_acc")
    assert two.text == "width 32 -> 64, epochs 5 -> 9, 2 changes at once: val_acc against the baseline?"


def test_the_same_question_has_the_same_id_and_an_edited_one_another(target):
    def ask(changes=None, **options):
        return build_question(target, changes or {"width": 64}, **{"metric": "val_acc", **options}).experiment

    same = ask()
    assert ask() == same
    edited = [
        ask({"width": 65}), ask(metric="val_loss"), ask(take="best"), ask(margin=0.01), ask(budget=8), ask(data="d"),
        ask(goal="min"),
    ]  # fmt: skip
    assert len({same, *edited}) == len(edited) + 1
    question = build_question(target, {"width": 64}, metric="val_acc")
    assert replace(question, confounders=("x",), chunks={"data": ("a", "b")}).experiment == same


def test_without_a_change_or_a_metric_there_is_no_question(target):
    with pytest.raises(SettingError, match="Nothing changes") as caught:
        build_question(target, {"width": 32}, metric="val_acc")
    assert "width is 32 already" in str(caught.value)
    with pytest.raises(SettingError, match="Nothing changes"):
        build_question(target, {}, metric="val_acc")
    with pytest.raises(InputError, match="which metric is judged"):
        build_question(target, {"width": 64})
    with pytest.raises(InputError, match="higher better, or lower"):
        build_question(target, {"width": 64}, metric="zeta")


@pytest.mark.parametrize("options", [{"margin": 0.0}, {"margin": -1.0}, {"budget": 1}, {"budget": 101}])
def test_a_margin_of_nothing_and_a_budget_without_a_boundary_are_refused(target, options):
    with pytest.raises(InputError):
        build_question(target, {"width": 64}, metric="val_acc", **options)


def test_what_the_target_declares_of_its_metric_holds_for_that_metric_alone(tmp_path):
    target = find_target(str(write(tmp_path, FUNCTION)))
    assert (metric_of(target, "val_acc").goal, metric_of(target, "val_acc").resolution) == ("max", 0.001)
    assert metric_of(target, "val_acc", "min").goal == "min"
    assert metric_of(target, "val_loss").resolution is None
    assert build_question(target, {"lr": 0.5}).metric.name == "val_acc"
