"""Which runs a question wants, and when two of them are the same run."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.question.files import SCRIPT, write

from palate.question.plan import Plan
from palate.question.question import build_question
from palate.question.target import Task, find_target
from palate.vocabulary import name_metric


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


def started(**task):
    """Give what makes a plan start something else, with its recipe and the hash of its code left as they are."""
    return lambda plan: replace(plan, target=replace(plan.target, task=Task(**task)))


@pytest.mark.parametrize(
    "other",
    [
        started(kind="command", argv=("/bin/sh", "-c", "touch stolen")),
        started(kind="command", argv=("/bin/sh", "train.py")),
        started(kind="function", file="/home/eve/train.py", name="fit"),
        started(kind="module", module="os", name="system"),
        started(kind="pickle", file="/home/eve/fit.pickle", name="fit"),
    ],
)
def test_the_task_is_in_the_key_where_the_hash_of_the_code_is_of_something_else(plan, other):
    old = replace(plan, target=replace(plan.target, task=replace(plan.target.task, warm=("numpy",))))
    assert old.keys == plan.keys  # the usual way to start the file of that code
    assert all(other(plan).keys[arm] != plan.keys[arm] for arm in plan.arms)


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


def test_two_functions_without_settings_that_stand_in_one_file_have_runs_of_their_own(tmp_path):
    code = "import palate\n@palate.experiment\ndef one(run): ...\n@palate.experiment\ndef two(run): ...\n"
    write(tmp_path, code)
    one, two = (find_target(f"{tmp_path / 'train.py'}:{name}") for name in ("one", "two"))
    assert one.code == two.code
    plans = [Plan(target=t, arms={"baseline": ()}, seeds=range(2), metric=name_metric("loss")) for t in (one, two)]
    assert plans[0].keys != plans[1].keys


@pytest.mark.parametrize(
    "label", ["../../x", "/etc/x", "a/../..", "x" * 5000, "\0", ".\n", "\x1b[2J", "..", "", "\ud800"]
)
def test_a_run_is_named_after_a_label_but_its_name_is_never_a_path(plan, label, tmp_path):
    named = replace(plan, target=replace(plan.target, label=label)).run_name("baseline", 0)
    assert (tmp_path / named).resolve().parent == tmp_path.resolve()
    assert named.isprintable() and not named.startswith((".", "-"))
    (tmp_path / named).mkdir()
