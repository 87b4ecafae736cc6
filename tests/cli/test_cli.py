"""The commands, as a person or a script calls them: real processes, real runs."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pexpect
import pytest

SCRIPT = """
import os, random, sys, time
import palate
gain = 0.5
noise = 0.01
mode = "train"
pause = 0.0
seed = 0
random.seed(seed)
level = 0.2
for step in range(5):
    level += gain * (0.9 - level) + random.gauss(0, noise)
    time.sleep(pause)
    if mode == "nan":
        level = float("nan")
    if mode == "crash" and step == 2:
        raise RuntimeError("out of luck")
    palate.log(step, val_acc=level, loss=1 - level)
"""


class Shop:
    """A folder to call palate in."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.environment = {**os.environ, "COLUMNS": "200", "PALATE_HOME": str(self.folder / ".palate")}

    def write(self, text, name="train.py"):
        (self.folder / name).write_text(text)
        return name

    def call(self, *words, **more):
        return subprocess.run(
            [sys.executable, "-m", "palate", *words], cwd=self.folder, env={**self.environment, **more},
            capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120,
        )  # fmt: skip

    def json(self, *words, status=0):
        ended = self.call(*words, "--json")
        assert ended.returncode == status, ended.stderr
        return json.loads(ended.stdout)


@pytest.fixture
def shop(tmp_path):
    made = Shop(tmp_path)
    made.write(SCRIPT)
    return made


RUN = ("run", "train.py", "--metric", "val_acc")


def test_a_plain_script_goes_through_the_whole_loop(shop):
    report = shop.json(*RUN, "-c", "gain=0.1", "--forecast", "worse:80")
    assert report["schema"] == "palate.report/1"
    assert report["verdict"]["kind"] == "worse"
    assert report["forecast"]["evidence_seen"] == 0
    assert report["score"]["bits"] > 0
    seeds = [run["seed"] for run in report["runs"]["baseline"]]
    assert seeds == list(range(len(seeds)))
    assert len({run["value"] for run in report["runs"]["baseline"]}) == len(seeds)  # the script's own `seed` was set
    experiment = report["experiment"]
    assert shop.json("verdict", experiment)["verdict"]["kind"] == "worse"
    assert shop.json("show", experiment)["verdict"]["n"] == report["verdict"]["n"]
    assert shop.json("show", report["runs"]["baseline"][0]["id"])["exit"] == "ok"
    assert shop.json("forecast", experiment)["forecast"]["forecast"] == {"answer": "worse", "confidence": 80}
    assert shop.json("score")["scored"][0]["verdict"] == "worse"
    assert shop.json("list")["rows"][0]["verdict"] == "worse"
    assert len(shop.json("list", "--runs")["rows"]) >= 2 * report["verdict"]["n"]
    assert shop.json("verify")["kinds"] == {"question": 1, "forecast": 1, "verdict": 1, "score": 1}
    assert all(check["ok"] for check in shop.json("doctor")["checks"])


def test_the_same_command_again_runs_nothing_and_a_new_change_reuses_the_baseline(shop):
    first = shop.json(*RUN, "-c", "gain=0.1", "--forecast", "worse:80")
    again = shop.json(*RUN, "-c", "gain=0.1", "--forecast", "worse:80")
    assert again["runs"]["made"] == 0
    assert again["verdict"] == first["verdict"]
    other = shop.json(*RUN, "-c", "gain=0.2", "--no-forecast")
    assert other["runs"]["reused"] >= first["verdict"]["n"]
    assert other["runs"]["baseline"][0]["id"] == first["runs"]["baseline"][0]["id"]


def test_editing_the_default_in_the_file_is_the_same_recipe_and_editing_code_is_not(shop):
    shop.json(*RUN, "-c", "gain=0.1", "--no-forecast")
    shop.write(SCRIPT.replace("gain = 0.5", "gain = 0.1"))
    assert shop.json(*RUN, "-c", "gain=0.5", "--no-forecast")["runs"]["made"] == 0
    shop.write(SCRIPT.replace("1 - level", "2 - level"))
    assert shop.json(*RUN, "-c", "gain=0.1", "--no-forecast")["runs"]["reused"] == 0


def test_a_forecast_after_the_outcome_is_refused_with_status_4(shop):
    shop.json(*RUN, "-c", "gain=0.1", "--no-forecast")
    refused = shop.call(*RUN, "-c", "gain=0.1", "--forecast", "worse:80")
    assert refused.returncode == 4
    assert "cannot be scored" in refused.stderr
    sealed = shop.json(*RUN, "-c", "gain=0.3", "--forecast", "worse:60")
    assert shop.call("forecast", sealed["experiment"], "worse:97").returncode == 4


def test_a_change_that_crashes_or_gives_nan_is_an_outcome(shop):
    crashed = shop.json(*RUN, "-c", "mode=crash", "--forecast", "crash:80")
    assert crashed["verdict"]["kind"] == "failed"
    assert "out of luck" in crashed["runs"]["treatment"][0]["detail"]
    assert crashed["score"]["bits"] > 1
    gone = shop.json(*RUN, "-c", "mode=nan", "--no-forecast")
    assert gone["verdict"]["kind"] == "failed"
    assert gone["runs"]["treatment"][0]["ending"] == "nan"


def test_a_change_that_is_not_wired_in_did_nothing(shop):
    shop.write(SCRIPT + "unused = 3\n")
    report = shop.json(*RUN, "-c", "unused=4", "--forecast", "same:90")
    assert report["verdict"]["kind"] == "nothing"
    assert "Is the change wired in?" in report["verdict"]["words"]


def test_seeds_that_change_nothing_are_said_to(shop):
    shop.write(SCRIPT.replace("random.seed(seed)", "random.seed(1)").replace("seed = 0\n", ""))
    report = shop.json(*RUN, "-c", "gain=0.1", "--no-forecast", "--pairs", "3")
    assert report["verdict"]["reason"] == "frozen_seeds"
    assert "the seed changes nothing" in report["verdict"]["words"]


def test_two_changes_at_once_are_never_credited_to_one(shop):
    report = shop.json(*RUN, "-c", "gain=0.1", "-c", "noise=0.02", "--no-forecast")
    assert report["verdict"]["words"].startswith("Two things changed at once")


def test_a_timeout_is_an_outcome(shop):
    report = shop.json(*RUN, "-c", "pause=30.0", "--timeout", "1", "--no-forecast")
    assert report["verdict"]["kind"] == "failed"
    assert report["runs"]["treatment"][0]["ending"] == "timeout"


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (("run", "train.py", "-c", "gain=0.1"), 2, "which metric is judged?"),
        ((*RUN, "-c", "gian=0.1", "--no-forecast"), 2, "did you mean gain?"),
        ((*RUN, "-c", "gain=high", "--no-forecast"), 2, "gain is a number (0.5), not text"),
        ((*RUN, "-c", "gain=0.5", "--no-forecast"), 2, "gain is 0.5 already"),
        ((*RUN, "--no-forecast"), 2, "No change was declared"),
        ((*RUN, "-c", "gain=0.1"), 2, "--forecast better:80"),
        ((*RUN, "-c", "gain=0.1", "--forecast", "better:120"), 2, "120 % cannot be a confidence"),
        ((*RUN, "-c", "gain=0.1", "--forecast", "same:50", "--no-forecast"), 2, "contradict"),
        ((*RUN, "-c", "gain=0.1", "--no-forecast", "--margin", "0"), 2, "no difference that could matter"),
        ((*RUN, "-c", "gain=0.1", "--no-forecast", "--margin", "-1"), 2, "no difference that could matter"),
        (("run", "none.py", "-c", "a=1", "--metric", "acc"), 3, "no such file"),
        (("run", "train.py", "-c", "gain=0.1", "--metric", "val_acc2", "--no-forecast"), 5, "did you mean val_acc?"),
        (("run", "train.py", "-c", "gain=0.1", "--metric", "zeta", "--no-forecast"), 2, "is higher better, or lower?"),
        ((*RUN, "-c", "gain=0.1", "--no-forecast", "--data", "none.csv"), 3, "declared as data"),
        (("verdict",), 3, "no experiment 'last'"),
        (("show", "zzz"), 3, "no run 'zzz'"),
        (("log", "1", "acc=1"), 2, "outside of a run"),
        (("compare", "", ""), 2, "is empty"),
        (("compare", "1,2", "1"), 2, "make no pairs"),
        (("compare", "1,nan", "1,2"), 2, "no number as value 2"),
        (("compare", "1,two", "1,2"), 2, "no list of numbers"),
        (("rnu",), 2, "Did you mean `palate run`?"),
        (("run",), 2, "Missing argument"),
    ],
)
def test_bad_input_is_told_in_the_house_style_with_its_status(shop, words, status, told):
    ended = shop.call(*words, "--json")
    assert ended.returncode == status
    assert told in ended.stderr
    assert "Traceback" not in ended.stderr
    assert json.loads(ended.stdout)["schema"] == "palate.error/1"


def test_a_script_that_fails_at_import_is_a_fault_and_the_mended_one_runs(shop):
    shop.write("import no_such_package\n" + SCRIPT)
    failed = shop.call(*RUN, "-c", "gain=0.1", "--forecast", "worse:80")
    assert failed.returncode == 5
    assert "No module named 'no_such_package'" in failed.stderr
    assert "Traceback" not in failed.stderr.replace("| Traceback", "")
    shop.write(SCRIPT)
    assert shop.json(*RUN, "-c", "gain=0.1", "--forecast", "worse:80")["verdict"]["kind"] == "worse"


def test_identical_lists_did_nothing_and_clear_ones_get_a_verdict(shop):
    assert shop.json("compare", "1,2,3", "1,2,3")["verdict"]["kind"] == "nothing"
    (shop.folder / "a.txt").write_text("0.912\n0.915\n0.910\n0.913\n0.911\n0.914\n")
    told = shop.call("compare", "a.txt", "[0.921, 0.919, 0.924, 0.922, 0.920, 0.925]", "--resolution", "0.001")
    assert told.stdout.startswith("Better: ")


def test_a_shell_script_can_be_run_and_logs_by_the_command(shop):
    shell = f"""#!/usr/bin/env bash
lr=1
[ "${{1:-}}" = --lr ] && lr=$2
{sys.executable} -c "print($PALATE_SEED % 7 / 100 + $lr)" > value
for step in 1 2; do {sys.executable} -m palate log $step acc=$(cat value) > /dev/null; done
"""
    shop.write(shell, "train.sh")
    report = shop.json(
        "run", "train.sh", "-c", "lr=2", "--metric", "acc", "--no-forecast", "--pairs", "5", "--workers", "1"
    )
    assert report["verdict"]["kind"] == "better"


def test_a_read_only_folder_is_told_before_anything_runs(shop):
    (shop.folder / "blocker").write_text("")
    ended = shop.call(*RUN, "-c", "gain=0.1", "--no-forecast", PALATE_HOME=str(shop.folder / "blocker" / "x"))
    assert ended.returncode == 1
    assert "cannot be written" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_ctrl_c_stops_cleanly_and_the_same_command_goes_on(shop):
    command = [sys.executable, "-m", "palate", *RUN, "-c", "gain=0.45", "--pairs", "8", "--margin", "0.0001"]
    slow = SCRIPT.replace("pause = 0.0", "pause = 0.1")
    shop.write(slow)
    process = subprocess.Popen(
        [*command, "--no-forecast"], cwd=shop.folder, env=shop.environment, stderr=subprocess.PIPE, text=True
    )
    while "seed pairs 2" not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    told = process.stderr.read()
    assert process.wait(20) == 130
    process.stderr.close()
    assert "type the same command again to go on" in told
    assert "Traceback" not in told
    kept = shop.json("verdict")
    assert kept["runs"]["reused"] >= 4
    going = shop.json(*RUN, "-c", "gain=0.45", "--pairs", "8", "--margin", "0.0001", "--no-forecast")
    assert going["experiment"] == kept["experiment"]
    assert going["runs"]["reused"] >= 4
    assert len(shop.json("verify")["kinds"]) >= 2


def test_a_tampered_chain_is_named_by_verify(shop):
    shop.json(*RUN, "-c", "gain=0.1", "--forecast", "worse:80")
    chain = shop.folder / ".palate" / "chain.jsonl"
    chain.write_text(chain.read_text().replace('"confidence": 80', '"confidence": 97'))
    refused = shop.call("verify")
    assert refused.returncode == 1
    assert "broken at record 1" in refused.stderr


def keys(child, *presses):
    for press in presses:
        time.sleep(0.15)
        child.send(press)


def test_a_forecast_is_three_key_presses_at_a_terminal(shop):
    child = pexpect.spawn(
        sys.executable, ["-m", "palate", *RUN, "-c", "gain=0.1"], cwd=str(shop.folder), env=shop.environment,
        dimensions=(40, 180), encoding="utf-8", timeout=60,
    )  # fmt: skip
    child.expect("val_acc\\?")
    keys(child, "\x1b[D", "8", "\r")
    child.expect("Worse:")
    child.expect("You said worse, 80 %")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0


def test_skipping_is_one_key_and_is_counted(shop):
    child = pexpect.spawn(
        sys.executable, ["-m", "palate", *RUN, "-c", "gain=0.1"], cwd=str(shop.folder), env=shop.environment,
        dimensions=(40, 180), encoding="utf-8", timeout=60,
    )  # fmt: skip
    child.expect("val_acc\\?")
    keys(child, "s")
    child.expect("No forecast was sealed")
    child.expect(pexpect.EOF)
    child.close()
    assert shop.json("score")["coverage"] == 0
    assert shop.json("verify")["kinds"]["skip"] == 1


def test_every_command_has_help_with_its_options(shop):
    listed = shop.call("--help").stdout
    for name in (
        "try",
        "run",
        "forecast",
        "verdict",
        "score",
        "compare",
        "log",
        "verify",
        "doctor",
        "config",
        "list",
        "show",
    ):
        assert f"  {name} " in listed
        told = shop.call(name, "--help").stdout
        assert "--json" in told


def test_a_margin_is_asked_for_once_a_project(shop):
    first = shop.json(*RUN, "-c", "gain=0.1", "--no-forecast", "--margin", "0.02")
    second = shop.json(*RUN, "-c", "gain=0.2", "--no-forecast")
    assert (first["verdict"]["margin"], second["verdict"]["margin"]) == (0.02, 0.02)


def test_config_says_who_decided(shop):
    (shop.folder / "pyproject.toml").write_text("[tool.palate]\npairs = 7\n")
    told = shop.json("config")["preferences"]["pairs"]
    assert told == {"value": 7, "origin": str(shop.folder / "pyproject.toml")}


@pytest.mark.slow
@pytest.mark.parametrize(("task", "said"), [("mnist1d", "better:80"), ("digits", "worse:70")])
def test_try_trains_for_real_and_ends_with_a_verdict_and_a_score(shop, task, said):
    started = time.monotonic()
    report = shop.json("try", "--task", task, "--forecast", said)
    assert time.monotonic() - started < 300  # a hang, not a timing
    assert report["schema"] == "palate.try/1"
    assert report["verdict"]["kind"] == said.partition(":")[0]
    assert report["score"]["bits"] > 0
    peak_kib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    assert peak_kib < 1.5 * 2**20


OPTIONS = """
import argparse
import palate
parser = argparse.ArgumentParser()
parser.add_argument("--n-layers", type=int, default=2, dest="L")
parser.add_argument("--opt", choices=["sgd", "adam"], default="sgd")
parser.add_argument("--betas", nargs=2, type=float, default=[0.9, 0.99])
parser.add_argument("--warm", action=argparse.BooleanOptionalAction, default=True)
parser.add_argument("--lr", type=float, default=0.1)
parser.add_argument("--seed", type=int, default=0)
a = parser.parse_args()
level = a.L + 10 * (a.opt == "adam") + 100 * (not a.warm) + a.betas[0] + (a.seed * 7 % 5) / 100
palate.log(0, score=level)
"""


@pytest.mark.parametrize("change", ["n-layers=4", "L=4", "n_layers=4", "opt=adam", "warm=false", "betas=[1.9, 0.99]"])
def test_every_way_of_spelling_a_flag_reaches_the_script(shop, change):
    shop.write(OPTIONS, "opts.py")
    report = shop.json("run", "opts.py", "-c", change, "--metric", "score", "--no-forecast", "--pairs", "5")
    assert report["verdict"]["raw"] > 0.9


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("-c", "opt=adagrad"), "it is one of sgd, adam"),
        (("-c", "betas=0.5"), "it takes 2 values"),
        (("-c", "lr=None"), "cannot say None"),
        (("-c", "lr=0.2", "--", "--seed", "5"), "--seed is set by palate"),
        (("-c", "lr=0.2", "--margin", "nan"), "no difference that could matter"),
    ],
)
def test_what_the_script_would_refuse_is_refused_before_anything_is_sealed(shop, words, told):
    shop.write(OPTIONS, "opts.py")
    ended = shop.call("run", "opts.py", "--metric", "score", "--no-forecast", *words)
    assert (ended.returncode, told in ended.stderr) == (2, True), ended.stderr
    assert not (shop.folder / ".palate").exists()


def test_a_failure_is_told_with_what_the_run_said_last(shop):
    told = shop.call(*RUN, "-c", "mode=crash", "--no-forecast")
    assert "exit status 1: RuntimeError: out of luck" in told.stdout
    assert "palate show train-" in told.stdout


@pytest.mark.slow
def test_two_changes_are_split_and_credited(shop):
    text = """
import palate
lr = 0.1
width = 8
seed = 0
acc = 0.02 * (lr > 0.1) + 0.01 * (width > 8) + 0.03 * (lr > 0.1) * (width > 8)
palate.log(0, val_acc=0.5 + acc + (seed * 7 % 5) / 1000 + hash((lr, width, seed)) % 7 / 7000)
"""
    shop.write(text, "two.py")
    split = shop.json("run", "two.py", "-c", "lr=0.2", "-c", "width=16", "--split", "--metric", "val_acc")
    told = {row["effect"]: row["verdict"]["kind"] for row in split["effects"]}
    assert told == {"lr": "better", "width": "better", "lr x width": "better"}
    assert any("together" in line for line in split["words"])
    both = shop.json("run", "two.py", "-c", "lr=0.2", "-c", "width=16", "--metric", "val_acc", "--no-forecast")
    assert both["runs"]["made"] == 0
    noise = shop.json("noise", "two.py", "--metric", "val_acc", "--runs", "6")
    assert noise["seed_sd_interval"][0] < noise["seed_sd"] < noise["seed_sd_interval"][1]
    held = shop.json("confirm")["verdicts"]
    assert [one["badge"] for one in held] == ["confirmed"]
    assert "flukes among the 1 better ones" in shop.call("list").stdout
    assert shop.json("confirm")["verdicts"] == held


def test_a_metric_that_says_the_opposite_is_shown_beside_the_verdict(shop):
    shop.write(SCRIPT.replace("loss=1 - level", "latency_loss=2 + level"))
    report = shop.json(*RUN, "-c", "gain=0.1", "--no-forecast")
    assert report["verdict"]["kind"] == "worse"
    assert [told.partition(":")[0] for told in report["opposed"]] == ["But latency_loss is better"]


def test_what_examples_disagree_on_is_a_floor_for_few_pairs(shop):
    text = """
import palate
@palate.experiment(metric="acc", resolution=0.01)
def train(run, *, gain=0, keep=True):
    right = [(i * 37 + run.seed + 50 * (gain > 0)) % 100 < 50 + 20 * gain for i in range(100)]
    run.log(0, acc=sum(right) / 100 + run.seed / 1000)
    if keep:
        run.examples(right)
"""
    shop.write(text, "ex.py")
    kept = shop.json("run", "ex.py", "-c", "gain=1", "--no-forecast", "--pairs", "5")
    assert kept["verdict"]["spread"] >= 0.05
    shop.write(text.replace("keep=True", "keep=False"), "ex.py")
    bare = shop.json("run", "ex.py", "-c", "gain=1", "--no-forecast", "--pairs", "5")
    assert bare["verdict"]["spread"] < 0.05


def test_groups_of_runs_are_compared_paired_by_seed(shop):
    report = shop.json(*RUN, "-c", "gain=0.1", "--no-forecast")
    baseline, treatment = (report["runs"][arm][0]["id"].rpartition("-s")[0] for arm in ("baseline", "treatment"))
    told = shop.json("compare", baseline, treatment, "--metric", "val_acc")
    assert told["verdict"]["kind"] == "worse"
    assert told["verdict"]["n"] == report["verdict"]["n"]


def test_after_five_verdicts_the_noise_they_showed_is_borrowed(shop):
    for gain in (0.1, 0.15, 0.2, 0.25, 0.3):
        assert shop.json(*RUN, "-c", f"gain={gain}", "--no-forecast")["verdict"]["noise"] == "cold"
    told = shop.call(*RUN, "-c", "gain=0.4", "--no-forecast")
    assert "pairs confirm" in told.stderr
    assert shop.json("verdict")["verdict"]["noise"] == "history"
