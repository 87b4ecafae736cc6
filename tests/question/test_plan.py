"""Which runs a question wants, and when two of them are the same run."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.question.files import SCRIPT, write

from palate.question.plan import Plan
from palate.question.question import build_question
from palate.question.target import find_target


@pytest.fixture
def plan(tmp_path) -> Plan:
    """A plan with two arms, of a script."""
    return build_question(find_target(str(write(tmp_path, SCRIPT))), {"lr": 0.5}, metric="val_acc", budget=7).plan


def test_both_arms_are_wanted_at_as_many_seeds_as_the_budget(plan):
    assert list(plan.arms) == ["baseline", "treatment"]
    assert [change.path for change in plan.arms["treatment"]] == ["lr"]
    assert plan.arms["baseline"] == ()
    assert plan.seeds == range(7)
    assert plan.settings["treatment"] == {**plan.settings["baseline"], "lr": 0.5}
    assert plan.recipes["baseline"] != plan.recipes["treatment"]


@pytest.mark.parametrize(
    "other",
    [
        lambda plan: replace(plan, data="others"),
        lambda plan: replace(plan, target=replace(plan.target, code="other")),
        lambda plan: replace(plan, target=replace(plan.target, versions={"numpy": "0"})),
        lambda plan: replace(plan, target=replace(plan.target, folder="elsewhere")),
        lambda plan: replace(plan, target=replace(plan.target, settings={**plan.target.settings, "width": 33})),
    ],
)
def test_whatever_decides_a_run_but_its_seed_is_in_its_key(plan, other):
    assert all(other(plan).keys[arm] != plan.keys[arm] for arm in plan.arms)


@pytest.mark.parametrize(
    "other",
    [
        lambda plan: replace(plan, seeds=range(7, 14)),
        lambda plan: replace(plan, take="best"),
        lambda plan: replace(plan, metric=replace(plan.metric, name="val_loss")),
        lambda plan: replace(plan, target=replace(plan.target, label="another name")),
    ],
)
def test_how_runs_are_read_and_which_seeds_are_wanted_is_not(plan, other):
    assert other(plan).keys == plan.keys


def test_an_arm_that_sets_what_is_so_already_is_the_same_run(plan):
    same = replace(plan, arms={**plan.arms, "again": ()})
    assert same.keys["again"] == same.keys["baseline"] != same.keys["treatment"]


def test_an_order_is_an_arm_at_a_seed(plan):
    order = plan.order("treatment", 3, "train-s3", Path("folder"))
    assert (order.id, order.seed, order.known["lr"]) == ("train-s3", 3, 0.5)
    assert order.argv[:1] == ("--lr=0.5",)
    assert "--lr" not in plan.order("baseline", 3, "train-s3", Path("folder")).argv
