"""What a project knows beyond one question: splits, noise, confirmation, history, other metrics."""

import pytest
from tests.cli.workplace import RUN, SCRIPT

pytestmark = pytest.mark.slow


def test_two_changes_are_split_and_credited(workplace):
    text = """
import palate
lr = 0.1
width = 8
seed = 0
acc = 0.02 * (lr > 0.1) + 0.01 * (width > 8) + 0.03 * (lr > 0.1) * (width > 8)
palate.log(0, val_acc=0.5 + acc + (seed * 7 % 5) / 1000 + hash((lr, width, seed)) % 7 / 7000)
"""
    workplace.write(text, "two.py")
    split = workplace.json("run", "two.py", "-c", "lr=0.2", "-c", "width=16", "--split", "--metric", "val_acc")
    verdicts = {row["effect"]: row["verdict"]["kind"] for row in split["effects"]}
    assert verdicts == {"lr": "better", "width": "better", "lr x width": "better"}
    assert any("together" in line for line in split["words"])
    both = workplace.json("run", "two.py", "-c", "lr=0.2", "-c", "width=16", "--metric", "val_acc", "--no-forecast")
    assert both["runs"]["made"] == 0
    noise = workplace.json("noise", "two.py", "--metric", "val_acc", "--runs", "6")
    assert noise["seed_sd_interval"][0] < noise["seed_sd"] < noise["seed_sd_interval"][1]
    badges = workplace.json("confirm")["verdicts"]
    assert [one["badge"] for one in badges] == ["confirmed"]
    assert "flukes among the 1 better" in workplace.call("list").stdout
    assert workplace.json("confirm")["verdicts"] == badges


def test_a_metric_that_says_the_opposite_is_shown_beside_the_verdict(workplace):
    workplace.write(SCRIPT.replace("loss=1 - level", "ce_loss=2 + level"))
    report = workplace.json(*RUN, "-c", "gain=0.1", "--no-forecast")
    assert report["verdict"]["kind"] == "worse"
    assert [words.partition(":")[0] for words in report["opposed"]] == ["But ce_loss is better"]


def test_what_examples_disagree_on_is_a_floor_for_few_pairs(workplace):
    text = """
import palate
@palate.experiment(metric="acc", resolution=0.01)
def train(run, *, gain=0, keep=True):
    right = [(i * 37 + run.seed + 50 * (gain > 0)) % 100 < 50 + 20 * gain for i in range(100)]
    run.log(0, acc=sum(right) / 100 + run.seed / 1000)
    if keep:
        run.examples(right)
"""
    workplace.write(text, "ex.py")
    kept = workplace.json("run", "ex.py", "-c", "gain=1", "--no-forecast", "--pairs", "5")
    assert kept["verdict"]["spread"] >= 0.05
    workplace.write(text.replace("keep=True", "keep=False"), "ex.py")
    bare = workplace.json("run", "ex.py", "-c", "gain=1", "--no-forecast", "--pairs", "5")
    assert bare["verdict"]["spread"] < 0.05


def test_groups_of_runs_are_compared_paired_by_seed(workplace):
    report = workplace.json(*RUN, "-c", "gain=0.1", "--no-forecast")
    baseline, treatment = (report["runs"][arm][0]["id"].rpartition("-s")[0] for arm in ("baseline", "treatment"))
    compared = workplace.json("compare", baseline, treatment, "--metric", "val_acc")
    assert compared["verdict"]["kind"] == "worse"
    assert compared["verdict"]["n"] == report["verdict"]["n"]


def test_after_five_verdicts_the_noise_they_showed_is_borrowed(workplace):
    for gain in (0.1, 0.15, 0.2, 0.25, 0.3):
        assert workplace.json(*RUN, "-c", f"gain={gain}", "--no-forecast")["verdict"]["noise"] == "cold"
    ended = workplace.call(*RUN, "-c", "gain=0.4", "--no-forecast")
    assert "pairs confirm" in ended.stderr
    assert workplace.json("verdict")["verdict"]["noise"] == "history"
