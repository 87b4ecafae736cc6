"""Which way a metric is better: told by whole well-known names, by the project, or by a person; never guessed."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

import palate
from palate.errors import InputError
from palate.loop.metric import goal_for
from palate.vocabulary import goal_of_name, name_metric

HIGHER = (
    "val_acc", "acc@1", "eval_top1", "acc_top_1", "metrics/mAP50-95(B)", "val_map", "test/recall@10", "f1_macro",
    "macroF1", "rougeL", "rouge-L", "val_sparse_categorical_accuracy", "rollout/ep_rew_mean", "validation_0-auc",
    "neg_mean_squared_error", "exact_match,strict-match",
)  # fmt: skip
LOWER = (
    "val_mape", "val_loss", "valLoss", "train_loss_epoch", "val_loss/dataloader_idx_0", "top1_err", "wordErrorRate",
    "eval/loss", "rmse", "mlogloss", "mean_absolute_error", "best_val_loss", "val.fid", "perplexity",
)  # fmt: skip
UNKNOWN = (
    "val_foo", "score", "loss_weight", "lossless", "acc_std", "accelerator", "map_size", "epoch", "step", "time",
    "best", "mean", "latency_loss", "returns_count", "precision_loss_ratio", "mapping", "error_bars",
    "fid_score_ratio", "10", "@", "_",
)  # fmt: skip


@pytest.mark.parametrize("name", HIGHER)
def test_higher_is_better(name):
    assert goal_of_name(name) == "max"


@pytest.mark.parametrize("name", LOWER)
def test_lower_is_better(name):
    assert goal_of_name(name) == "min"


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_only_looks_like_a_metric_is_not_guessed(name):
    assert goal_of_name(name) is None
    with pytest.raises(InputError, match="is higher better, or lower"):
        name_metric(name)
    assert name_metric(name, "min").goal == "min"


@given(st.text(max_size=20))
def test_any_text_is_a_name_and_a_word_of_its_own_beside_it_makes_it_unknown(name):
    goal_of_name(name)
    assert goal_of_name(f"{name}_zzyzx") is None


def test_mean_absolute_errors_are_no_shares_and_accuracies_are():
    assert not name_metric("val_mean_absolute_error").points
    assert not name_metric("val_mape").points
    assert name_metric("val_acc").points
    assert name_metric("top1_err").points


@pytest.mark.slow
def test_torchmetrics_says_the_same_where_it_says_anything():
    torchmetrics = pytest.importorskip("torchmetrics")
    wrong_there = {"WordInfoPreserved", "SpectralDistortionIndex", "PerceptualPathLength", "DaviesBouldinScore"}
    told = {
        name: "max" if one.higher_is_better else "min"
        for name in dir(torchmetrics)
        if isinstance(getattr(one := getattr(torchmetrics, name), "higher_is_better", None), bool)
    }
    assert len(told) > 40
    assert {n: g for n, g in told.items() if goal_of_name(n) not in (g, None) and n not in wrong_there} == {}


def test_every_scorer_of_scikit_learn_is_higher_where_it_is_better():
    metrics = pytest.importorskip("sklearn.metrics")
    assert {name for name in metrics.get_scorer_names() if goal_of_name(name) == "min"} == set()


def test_a_lower_loss_is_better_in_a_comparison_too():
    baseline, treatment = [0.21, 0.22, 0.215, 0.212], [0.11, 0.12, 0.115, 0.118]
    assert str(palate.compare(baseline, treatment, metric="val_loss")).startswith("Better: -0.09")
    assert str(palate.compare(baseline, treatment, metric="zeta", goal="max")).startswith("Worse: -0.09")
    with pytest.raises(InputError, match="zeta: is higher better, or lower"):
        palate.compare(baseline, treatment, metric="zeta")


def test_a_comparison_that_nobody_told_the_direction_says_what_it_took():
    baseline, treatment = [0.21, 0.22, 0.215, 0.212], [0.11, 0.12, 0.115, 0.118]
    assert str(palate.compare(baseline, treatment)).endswith("(Higher was taken as better.)")
    for told in ({"goal": "min"}, {"metric": "val_loss"}):
        assert "taken" not in str(palate.compare(baseline, treatment, **told))


def test_the_project_remembers_the_goal_of_its_newest_question_of_a_metric(written):
    assert written.ledger.remembered_goal("val_loss") is None
    written.ask(written.question(lr=0.2))
    assert written.ledger.remembered_goal("val_loss") == "min"
    assert written.ledger.remembered_goal("val_los") is None
    assert goal_for(written.project, "val_loss") == "min"


def test_the_newest_question_of_a_metric_tells_and_odd_names_are_whole(written):
    question = written.question()
    for name, goal in (('a "b" \\ µ', "max"), ("zeta", "max"), ("zeta", "min")):
        written.ask(replace(question, metric=replace(question.metric, name=name, goal=goal)))
        assert written.ledger.remembered_goal(name) == goal
    assert written.ledger.remembered_goal('a "b" \\ µ') == "max"
    assert written.ledger.remembered_goal("a ") is None


def test_an_unknown_metric_is_asked_for_once_and_remembered(trained):
    asked = []

    def ask(name):
        asked.append(name)
        return "min"

    with pytest.raises(InputError, match="--goal"):
        goal_for(trained.project, "zeta")
    assert [goal_for(trained.project, "zeta", ask) for _ in range(3)] == ["min"] * 3
    assert goal_for(trained.project, "zeta") == "min"
    assert goal_for(trained.project, "val_loss", ask) == "min"
    assert asked == ["zeta"]


def test_a_damaged_memory_is_no_memory(trained):
    (trained.project.home / "goals.json").write_text('{"zeta": "up", "eta": "max"')
    assert trained.project.goals == {}
    (trained.project.home / "goals.json").write_text('{"zeta": "up", "eta": "max"}')
    assert trained.project.goals == {"eta": "max"}


def test_what_was_judged_the_other_way_before_is_not_guessed(written):
    question = written.question()
    written.ask(replace(question, metric=replace(question.metric, name="val_mape", goal="max")))
    with pytest.raises(InputError, match="is higher better") as refused:
        goal_for(written.project, "val_mape")
    assert refused.value.why == ("By its name lower is better, but in this project higher is better so far.",)
    assert goal_for(written.project, "val_mape", lambda _: "min") == "min"
    assert goal_for(written.project, "val_mape") == "min"
