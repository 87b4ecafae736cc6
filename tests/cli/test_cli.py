"""The commands, as a person or a script calls them: real runs, and a real process for each way to end."""

import json
import resource
import signal
import subprocess
import sys
import time

import pexpect
import pytest
from tests.cli.workplace import RUN, SCRIPT

from palate.cli import COMMANDS


def test_a_plain_script_goes_through_the_whole_loop(workplace):
    workplace.real_workers = True
    report = workplace.json(*RUN, "-c", "gain=0.1", "--forecast", "worse:80")
    assert report["schema"] == "palate.report/1"
    assert report["verdict"]["kind"] == "worse"
    assert report["forecast"]["evidence_seen"] == 0
    assert report["score"]["bits"] > 0
    seeds = [run["seed"] for run in report["runs"]["baseline"]]
    assert seeds == list(range(len(seeds)))
    assert len({run["value"] for run in report["runs"]["baseline"]}) == len(seeds)  # the script's own `seed` was set
    experiment = report["experiment"]
    assert workplace.json("verdict", experiment)["verdict"]["kind"] == "worse"
    assert workplace.json("show", experiment)["verdict"]["n"] == report["verdict"]["n"]
    assert workplace.json("show", report["runs"]["baseline"][0]["id"])["exit"] == "ok"
    said = workplace.json("forecast", experiment)["forecast"]
    assert (said["answer"], said["confidence"], said["kind"]) == ("worse", 80, "blind")
    told = workplace.json("score")
    assert told["scored"][0]["verdict"] == "worse"
    assert told["reference"]["questions"] == 1
    assert "bits over a guess of 1/3 on 1 question" in workplace.call("score").stdout
    assert workplace.json("list")["rows"][0]["verdict"] == "worse"
    assert len(workplace.json("list", "--runs")["rows"]) >= 2 * report["verdict"]["n"]
    assert workplace.json("verify")["kinds"] == {"question": 1, "forecast": 1, "verdict": 1, "score": 1}
    assert all(check["ok"] for check in workplace.json("doctor")["checks"])


def test_the_same_command_again_runs_nothing_and_a_new_change_reuses_the_baseline(workplace):
    first = workplace.json(*RUN, "-c", "gain=0.1", "--forecast", "worse:80")
    again = workplace.json(*RUN, "-c", "gain=0.1", "--forecast", "worse:80")
    assert again["runs"]["made"] == 0
    assert again["verdict"] == first["verdict"]
    other = workplace.json(*RUN, "-c", "gain=0.2", "--no-forecast")
    assert other["runs"]["reused"] >= first["verdict"]["n"]
    assert other["runs"]["baseline"][0]["id"] == first["runs"]["baseline"][0]["id"]


@pytest.mark.slow
def test_editing_the_default_in_the_file_is_the_same_recipe_and_editing_code_is_not(workplace):
    workplace.json(*RUN, "-c", "gain=0.1", "--no-forecast")
    workplace.write(SCRIPT.replace("gain = 0.5", "gain = 0.1"))
    assert workplace.json(*RUN, "-c", "gain=0.5", "--no-forecast")["runs"]["made"] == 0
    workplace.write(SCRIPT.replace("1 - level", "2 - level"))
    assert workplace.json(*RUN, "-c", "gain=0.1", "--no-forecast")["runs"]["reused"] == 0


def test_a_forecast_after_the_outcome_is_refused_with_status_4(workplace):
    workplace.json(*RUN, "-c", "gain=0.1", "--no-forecast")
    refused = workplace.call(*RUN, "-c", "gain=0.1", "--forecast", "worse:80")
    assert refused.returncode == 4
    assert "cannot be scored" in refused.stderr
    sealed = workplace.json(*RUN, "-c", "gain=0.3", "--forecast", "worse:60")
    assert workplace.call("forecast", sealed["experiment"], "worse:97").returncode == 4


def test_a_change_that_crashes_or_gives_nan_is_an_outcome(workplace):
    crashed = workplace.json(*RUN, "-c", "mode=crash", "--forecast", "crash:80")
    assert crashed["verdict"]["kind"] == "failed"
    assert "out of luck" in crashed["runs"]["treatment"][0]["detail"]
    assert crashed["score"]["bits"] > 1
    gone = workplace.json(*RUN, "-c", "mode=nan", "--no-forecast")
    assert gone["verdict"]["kind"] == "failed"
    assert gone["runs"]["treatment"][0]["ending"] == "nan"


def test_a_change_that_is_not_wired_in_did_nothing(workplace):
    workplace.write(SCRIPT + "unused = 3\n")
    report = workplace.json(*RUN, "-c", "unused=4", "--forecast", "same:90")
    assert report["verdict"]["kind"] == "nothing"
    assert "Is the change wired in?" in report["verdict"]["words"]


def test_seeds_that_change_nothing_are_said_to(workplace):
    workplace.write(SCRIPT.replace("random.seed(seed)", "random.seed(1)").replace("seed = 0\n", ""))
    report = workplace.json(*RUN, "-c", "gain=0.1", "--no-forecast", "--pairs", "3")
    assert report["verdict"]["reason"] == "frozen_seeds"
    assert "the seed changes nothing" in report["verdict"]["words"]


@pytest.mark.slow
def test_two_changes_at_once_are_never_credited_to_one(workplace):
    report = workplace.json(*RUN, "-c", "gain=0.1", "-c", "noise=0.02", "--no-forecast")
    assert report["verdict"]["words"].startswith("Two things changed at once")


@pytest.mark.slow
def test_a_timeout_is_an_outcome(workplace):
    report = workplace.json(*RUN, "-c", "pause=30.0", "--timeout", "1", "--no-forecast")
    assert report["verdict"]["kind"] == "failed"
    assert report["runs"]["treatment"][0]["ending"] == "timeout"


@pytest.mark.parametrize(
    ("words", "status", "complaint"),
    [
        (("run", "train.py", "-c", "gain=0.1"), 2, "which metric is judged?"),
        ((*RUN, "-c", "gian=0.1", "--no-forecast"), 2, "did you mean gain?"),
        ((*RUN, "-c", "gain=high", "--no-forecast"), 2, "gain is a number (0.5), not text"),
        ((*RUN, "-c", "gain=0.5", "--no-forecast"), 2, "gain is 0.5 already"),
        ((*RUN, "--no-forecast"), 2, "No change was declared"),
        ((*RUN, "-c", "gain=0.1"), 2, "--forecast better:80"),
        ((*RUN, "-c", "gain=0.1", "--forecast", "better:120"), 2, "120 % cannot be a confidence"),
        ((*RUN, "-c", "gain=0.1", "--forecast", "same:50", "--no-forecast"), 2, "contradict"),
        ((*RUN, "-c", "gain=0.1", "--no-forecast", "--margin", "0"), 2, "not a difference that could matter"),
        ((*RUN, "-c", "gain=0.1", "--no-forecast", "--margin", "-1"), 2, "not a difference that could matter"),
        (("run", "none.py", "-c", "a=1", "--metric", "acc"), 3, "no such file"),
        (
            ("run", "train.py", "-c", "gain=0.1", "--metric", "val_acc2", "--goal", "max", "--no-forecast"),
            5,
            "did you mean val_acc?",
        ),
        (("run", "train.py", "-c", "gain=0.1", "--metric", "zeta", "--no-forecast"), 2, "is higher better, or lower?"),
        ((*RUN, "-c", "gain=0.1", "--no-forecast", "--data", "none.csv"), 3, "declared as data"),
        (("verdict",), 3, "no experiment 'last'"),
        (("show", "zzz"), 3, "no run 'zzz'"),
        (("show", "last", "--output"), 2, "goes with a run"),
        (("log", "1", "acc=1"), 2, "outside of a run"),
        (("compare", "", ""), 2, "is empty"),
        (("compare", "1,2", "1"), 2, "cannot be paired"),
        (("compare", "1,nan", "1,2"), 2, "something other than a number as value 2"),
        (("compare", "1,two", "1,2"), 2, "is not a list of numbers"),
        (("rnu",), 2, "Did you mean `palate run`?"),
        (("run",), 2, "Missing argument"),
    ],
)
def test_bad_input_is_told_in_the_house_style_with_its_status(workplace, words, status, complaint):
    ended = workplace.call(*words, "--json")
    assert ended.returncode == status
    assert complaint in ended.stderr
    assert "Traceback" not in ended.stderr
    assert json.loads(ended.stdout)["schema"] == "palate.error/1"


@pytest.mark.slow
def test_a_script_that_fails_at_import_is_a_fault_and_the_mended_one_runs(workplace):
    workplace.write("import no_such_package\n" + SCRIPT)
    failed = workplace.call(*RUN, "-c", "gain=0.1", "--forecast", "worse:80")
    assert failed.returncode == 5
    assert "No module named 'no_such_package'" in failed.stderr
    assert "Traceback" not in failed.stderr.replace("| Traceback", "")
    workplace.write(SCRIPT)
    assert workplace.json(*RUN, "-c", "gain=0.1", "--forecast", "worse:80")["verdict"]["kind"] == "worse"


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (0, ("compare", "1,2,3", "1,2,3")),
        (1, ("verify", "--against", f"1:{'0' * 64}")),
        (2, ("rnu",)),
        (3, ("run", "none.py", "-c", "a=1", "--metric", "acc")),
        (4, ("forecast", "last", "better:60")),
        (5, ("dry", "broken.py")),
    ],
)
def test_a_process_ends_with_the_status_and_says_what_the_same_call_within_python_does(workplace, status, words):
    """The other tests call the command line within their own process; what they see is what a shell sees."""
    workplace.write("raise SystemExit('no data')", "broken.py")
    if "last" in words:
        workplace.json(*RUN, "-c", "gain=0.1", "--ask", "--forecast", "worse:80")
    ended, within = workplace.process(*words), workplace.call(*words)
    assert (ended.returncode, within.returncode) == (status, status), ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.stdout == within.stdout
    assert bool(ended.stderr) == bool(within.stderr)


def test_equal_lists_are_said_to_be_equal_and_clear_ones_get_a_verdict(workplace):
    equal = workplace.json("compare", "1,2,3", "1,2,3")["verdict"]
    assert (equal["kind"], equal["reason"]) == ("unclear", "ties")
    (workplace.folder / "a.txt").write_text("0.912\n0.915\n0.910\n0.913\n0.911\n0.914\n")
    ended = workplace.call("compare", "a.txt", "[0.921, 0.919, 0.924, 0.922, 0.920, 0.925]", "--resolution", "0.001")
    assert ended.stdout.startswith("Better: ")


@pytest.mark.slow
def test_a_shell_script_can_be_run_and_logs_by_the_command(workplace):
    shell = f"""#!/usr/bin/env bash
lr=1
[ "${{1:-}}" = --lr ] && lr=$2
{sys.executable} -c "print($PALATE_SEED % 7 / 100 + $lr)" > value
for step in 1 2; do {sys.executable} -m palate log $step acc=$(cat value) > /dev/null; done
"""
    workplace.write(shell, "train.sh")
    report = workplace.json(
        "run", "train.sh", "-c", "lr=2", "--metric", "acc", "--no-forecast", "--pairs", "5", "--workers", "1"
    )
    assert report["verdict"]["kind"] == "better"


def test_a_read_only_folder_is_told_before_anything_runs(workplace):
    (workplace.folder / "blocker").write_text("")
    ended = workplace.call(*RUN, "-c", "gain=0.1", "--no-forecast", PALATE_HOME=str(workplace.folder / "blocker" / "x"))
    assert ended.returncode == 1
    assert "cannot be written" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_ctrl_c_stops_cleanly_and_the_same_command_goes_on(workplace):
    command = (*RUN, "-c", "gain=0.45", "--pairs", "8", "--margin", "0.0001", "--no-forecast")
    workplace.write(SCRIPT.replace("pause = 0.0", "pause = 0.1"))
    process = workplace.start(*command, stderr=subprocess.PIPE, text=True)
    while "seed pairs 2" not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    words = process.stderr.read()
    assert process.wait(20) == 130
    process.stderr.close()
    assert "type the same command again to go on" in words
    assert "Traceback" not in words
    kept = workplace.json("verdict")
    assert kept["runs"]["reused"] >= 4
    going = workplace.json(*command)
    assert going["experiment"] == kept["experiment"]
    assert going["runs"]["reused"] >= 4
    assert len(workplace.json("verify")["kinds"]) >= 2


def test_a_tampered_chain_is_named_by_verify(workplace):
    workplace.json(*RUN, "-c", "gain=0.1", "--forecast", "worse:80")
    chain = workplace.folder / ".palate" / "chain.jsonl"
    chain.write_text(chain.read_text().replace('"confidence": 80', '"confidence": 97'))
    refused = workplace.call("verify")
    assert refused.returncode == 1
    assert "broken at record 1" in refused.stderr


def keys(child, *presses):
    for press in presses:
        time.sleep(0.15)
        child.send(press)


def test_a_forecast_is_three_key_presses_at_a_terminal(workplace):
    child = workplace.terminal(*RUN, "-c", "gain=0.1")
    child.expect("val_acc\\?")
    keys(child, "\x1b[D", "8", "\r")
    child.expect("Worse:")
    child.expect("You said worse, 80 %")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0


@pytest.mark.slow
def test_skipping_is_one_key_and_is_counted(workplace):
    child = workplace.terminal(*RUN, "-c", "gain=0.1")
    child.expect("val_acc\\?")
    keys(child, "s")
    child.expect("exploratory, not scored, counted as skipped")
    child.expect(pexpect.EOF)
    child.close()
    assert workplace.json("score")["coverage"] == 0
    assert workplace.json("verify")["kinds"]["skip"] == 1


def test_every_command_has_help_with_its_options(workplace):
    listed = workplace.call("--help").stdout
    for name in COMMANDS:
        page = workplace.call(name, "--help")
        assert page.returncode == 0
        assert f"  {name} " in listed
        assert page.stdout.startswith(f"Usage: palate {name} ")
        assert "--json" in page.stdout or "Commands" in page.stdout


def test_a_margin_is_asked_for_once_a_project(workplace):
    first = workplace.json(*RUN, "-c", "gain=0.1", "--no-forecast", "--margin", "0.02")
    second = workplace.json(*RUN, "-c", "gain=0.2", "--no-forecast")
    assert (first["verdict"]["margin"], second["verdict"]["margin"]) == (0.02, 0.02)


def test_config_says_who_decided(workplace):
    (workplace.folder / "pyproject.toml").write_text("[tool.palate]\npairs = 7\n")
    pairs = workplace.json("config")["preferences"]["pairs"]
    assert pairs == {"value": 7, "origin": str(workplace.folder / "pyproject.toml")}


@pytest.mark.slow
@pytest.mark.parametrize(("task", "said"), [("mnist1d", "better:80"), ("digits", "worse:70")])
def test_try_trains_for_real_and_ends_with_a_verdict_and_a_score(workplace, task, said):
    started = time.monotonic()
    report = workplace.json("try", "--task", task, "--forecast", said)
    assert time.monotonic() - started < 300  # a hang, not a timing
    assert report["schema"] == "palate.try/1"
    assert report["verdict"]["kind"] == said.partition(":")[0]
    assert report["score"]["bits"] > 0
    peak_kib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    assert peak_kib < 1.5 * 2**20
