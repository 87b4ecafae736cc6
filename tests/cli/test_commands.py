"""palate is pointed at the command that a person types: the metric and the verdict are those of its training."""

import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

COMMANDS = Path(__file__).parent.parent / "targets"
QUICK = ("--metric", "val_acc", "--no-forecast", "--pairs", "2")


@pytest.fixture
def project(workplace, monkeypatch):
    """Return what copies a folder of commands into the workplace."""
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:/usr/bin:/bin")
    workplace.environment["PATH"] = os.environ["PATH"]

    def copied(name):
        shutil.copytree(COMMANDS / f"started_{name}", workplace.folder, dirs_exist_ok=True)
        (workplace.folder / "pyproject.toml").touch()
        return workplace

    return copied


def told(work, *words, status=0):
    """Call palate with --json in front of a command; give the document that it prints."""
    place = words.index("--")
    ended = work.call(*words[:place], "--json", *words[place:])
    assert ended.returncode == status, ended.stderr
    return json.loads(ended.stdout)


def needs(package):
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")


def test_make_is_judged_by_what_its_training_prints_and_its_runs_are_used_again(project):
    work = project("make")
    asked = ("run", "-c", "LR=0.3", *QUICK, "--", "make", "train")
    report = told(work, *asked)
    assert report["verdict"]["kind"] == "better"
    assert report["runs"] == {**report["runs"], "made": 4, "reused": 0}
    again = told(work, *asked)
    assert again["runs"] == {**again["runs"], "made": 0, "reused": 4}


def test_without_a_metric_the_command_itself_is_offered(project):
    said = told(project("make"), "run", "-c", "LR=0.3", "--", "make", "train", status=2)
    assert "palate run -c LR=0.3 --metric val_acc -- make train" in said["todo"]


def test_a_failing_recipe_is_no_usage_error_and_a_target_that_make_alone_knows_of_is(project):
    work = project("make")
    work.write("raise ValueError('no data')\n")
    said = told(work, "run", "-c", "LR=0.3", *QUICK, "--", "make", "train", status=5)
    assert "exit status 1" in said["what"]
    assert said["why"][-1] == "| ValueError: no data"
    work.write("LR ?= 0.1\nOTHER = ls\ninclude others.mk\n", "Makefile")
    work.write("\n", "others.mk")
    said = told(work, "run", "-c", "LR=0.3", *QUICK, "--", "make", "tarin", status=5)
    assert said["why"] == ["| make: *** No rule to make target 'tarin'.  Stop."]
    assert said["todo"][0].startswith("That is make's own word")


def test_two_ranks_are_judged_by_the_first_and_a_change_reaches_both(project):
    needs("torch")
    work = project("torchrun")
    ended = work.call("run", "-c", "lr=0.3", *QUICK, "--", "torchrun", "--nproc-per-node", "2", "train.py")
    assert ended.stdout.startswith("Better"), ended
    runs = sorted((work.folder / ".palate" / "runs").iterdir())
    assert len(runs) == 4
    for run in runs:
        assert {line.split(" rank")[0] for line in (run / "output.log").read_text().splitlines() if "rank=" in line}


REFUSES = """
import argparse
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.1)
args = parser.parse_args()
{}
print("epoch 0 val_acc: 0.5")
"""


def test_a_script_that_refuses_its_command_line_behind_torchrun_is_no_failure_of_the_change(project):
    needs("torch")
    work = project("torchrun")
    work.write(REFUSES.format("if args.lr > 0.2: parser.error('lr is odd')"))
    said = told(work, "run", "-c", "lr=0.3", *QUICK, "--", "torchrun", "--nproc-per-node", "2", "train.py", status=5)
    assert said["what"].startswith("The program refuses its command line (exit status 2")
    assert said["why"][-1].endswith("error: lr is odd")


def test_the_cause_of_a_failure_is_the_childs_own_last_line(project):
    needs("torch")
    work = project("torchrun")
    work.write(REFUSES.format("if args.lr > 0.2: raise ValueError('lr is odd')"))
    ended = work.call("run", "-c", "lr=0.3", *QUICK, "--", "torchrun", "--nproc-per-node", "2", "train.py")
    [first] = [line for line in ended.stdout.splitlines() if line.startswith("First failure")]
    assert first.endswith("ValueError: lr is odd")
    assert "====" not in ended.stdout + ended.stderr


def test_a_port_that_is_named_and_taken_is_the_cause(project):
    needs("torch")
    work = project("torchrun")
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        command = ("torchrun", "--nproc-per-node", "2", "--master-port", port, "train.py")
        ended = work.call("run", "-c", "lr=0.3", *QUICK, "--workers", "2", "--", *command)
    assert f"Port {port} is named by --master-port, so runs are made one at a time" in ended.stderr
    assert f"could not listen on port {port}: it is in use" in ended.stderr
    assert "leave --master-port out: palate gives each run a free port" in ended.stderr


def test_an_edit_of_what_a_command_starts_is_asked_about(project):
    work = project("shell_words")
    (work.folder / "train.sh").chmod(0o755)
    other = work.folder.parent / "other"
    shutil.copytree(work.folder, other, ignore=shutil.ignore_patterns(".palate"))
    code = (work.folder / "u.py").read_text()
    work.write(code.replace("0.5 + args", "0.9 + args"), "u.py")
    report = told(work, "run", "--against", str(other), *QUICK, "--", "nice", "bash", "train.sh")
    assert report["verdict"]["kind"] == "better"


def test_options_of_a_command_without_dashes_in_front_are_told_where_they_belong(project):
    said = project("torchrun").call("run", "-c", "lr=.2", "torchrun", "--nproc-per-node", "2", "train.py")
    assert said.returncode == 2
    assert "palate run -c lr=.2 -- torchrun --nproc-per-node 2 train.py" in said.stderr


def test_a_python_of_another_environment_is_heard_though_palate_is_not_in_it(project):
    other = Path(sys.base_prefix) / "bin" / "python3"
    if sys.prefix == sys.base_prefix or not other.exists():
        pytest.skip("there is no other environment")
    work = project("uv")
    work.write(f"PYTHONPATH=${{PYTHONPATH%%:*}} {other} train.py\n", "train.sh")
    report = told(work, "run", "-c", "LR=0.3", *QUICK, "--", "bash", "train.sh")
    assert report["verdict"]["kind"] == "better"
    outside = {**os.environ, "PYTHONPATH": ""}
    assert subprocess.run([other, "-c", "import palate"], env=outside, timeout=60, check=False).returncode == 1


def test_what_a_launcher_sets_within_a_run_is_no_input_of_it(project):
    needs("torch")
    work = project("torchrun")
    text = (work.folder / "train.py").read_text()
    work.write(
        text.replace("import torch\n", 'import os\n\nimport torch\n\nworld = int(os.environ["WORLD_SIZE"])\n', 1)
    )
    asked = ("run", "-c", "lr=0.3", *QUICK, "--", "torchrun", "--nproc-per-node", "2", "train.py")
    assert told(work, *asked)["runs"]["made"] == 4
    assert told(work, *asked)["runs"]["reused"] == 4
