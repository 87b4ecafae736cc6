"""Trainings of hours: they go on without a terminal, are watched, stopped, limited and taken up again."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.cli.test_ends import LEAVES, all_gone
from tests.training.deaths import left_over

from palate.store.locks import CLAIM
from palate.store.project import Project
from palate.training.family import is_there, send, with_descendants

pytestmark = pytest.mark.slow

TRAIN = """
import random, time
import palate
gain = 0.5
seed = 0
steps = 4
random.seed(seed)
for step in range(steps):
    time.sleep(0.15)
    palate.log(step, val_acc=0.3 + 0.4 * gain + random.gauss(0, 0.005))
"""

ASK = ("run", "train.py", "--metric", "val_acc", "-c", "gain=0.501", "--no-forecast", "--workers", "2")
FEW = ("--pairs", "4", "--margin", "0.00001")
"""Never settled, so that all of its pairs are made: eight runs."""


@pytest.fixture
def place(workplace):
    """A folder with a training of half a second; whatever is left at the end of a test is ended."""
    workplace.write(TRAIN)
    yield workplace
    for path in workplace.folder.glob(".palate/sittings/*/job.json"):
        job = json.loads(path.read_text())
        if b"palate" in _line_of(job["pid"]):
            send(job["pid"], signal.SIGKILL)
    for pid in left_over():
        send(pid, signal.SIGKILL)


def _line_of(pid):
    with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as file:  # noqa: PTH123
        return file.read()
    return b""


def document(place, *words, status=0):
    """Call palate in a process of its own; give the document that it prints."""
    ended = place.process(words[0], "--json", *words[1:])
    assert ended.returncode == status, ended.stderr
    return json.loads(ended.stdout)


def detached(place, *words):
    told = document(place, "run", "--detach", *ASK[1:], *words)
    assert told["schema"] == "palate.detach/1"
    return told


def state(place, name=""):
    (one,) = document(place, "watch", *([name] if name else []), "--once")["sittings"]
    return one


def until(looks, limit_s=60):
    """Wait until something is so."""
    until_s = time.monotonic() + limit_s
    while not (found := looks()):
        assert time.monotonic() < until_s
        time.sleep(0.05)
    return found


def kept(place, name):
    """Read what a sitting keeps, starting no process."""
    path = place.folder / ".palate" / "sittings" / name / "state.json"
    with contextlib.suppress(OSError, ValueError):
        return json.loads(path.read_text())
    return {"pairs": 0, "opened": False, "ending": None, "runs": []}


def finished_runs(place):
    return [run for run in place.json("list", "--runs")["rows"] if run["exit"] == "ok"]


def test_it_returns_at_once_and_goes_on_to_its_verdict_without_anybody(place):
    told = detached(place, *FEW)
    assert (told["life"], told["already"], told["detached"]) == ("goes", False, True)
    name, pid = told["experiment"], told["process"]["pid"]
    assert os.getsid(pid) == pid  # no terminal's hang-up gets there
    assert told["next"] == [f"palate watch {name}", f"palate stop {name}", f"palate show {name}"]
    again = detached(place, *FEW)
    assert (again["already"], again["process"]["pid"]) == (True, pid)
    watched = place.process("watch")  # no terminal: a line per change, and it ends with what it watches
    assert watched.returncode == 0
    assert re.findall(r"seed pairs (\d)/4", watched.stdout)[-1] == "4"
    assert "Cannot tell within 4 pairs" in watched.stdout
    assert all_gone([pid])
    assert len(finished_runs(place)) == 8
    assert place.json("show", name)["verdict"]["n"] == 4
    assert document(place, *ASK, *FEW, "--detach")["schema"] == "palate.report/1"  # nothing is left to run
    assert list(place.folder.glob(".palate/claims/*")) == []


def test_what_a_person_must_answer_is_asked_first_and_sealed_and_the_terminal_may_go(place):
    terminal = place.terminal(*(word for word in ASK if word != "--no-forecast"), *FEW, "--detach")
    terminal.expect("s skip")
    terminal.send("l8\r")
    terminal.expect("sealed [0-9a-f]{12}")
    terminal.expect(r"([0-9a-f]{8}) goes on in process (\d+)")
    name, pid = terminal.match[1], int(terminal.match[2])
    terminal.close(force=True)  # as ssh does that drops
    assert is_there(pid)
    until(lambda: kept(place, name)["ending"])
    assert place.json("show", name)["forecast"]["answer"] == "better"
    assert len(finished_runs(place)) == 8


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (("-c", "gian=1"), 2, "gian"),
        (("--forecast", "perhaps"), 2, "perhaps"),
        (("--pairs", "1"), 2, "1"),
        (("--hours", "0"), 2, "hours"),
        (("--no-forecast", "--ask"), 2, "--ask does not go with --detach"),
    ],
)
def test_faults_of_the_command_are_told_at_once_and_nothing_is_started(place, words, status, says):
    ended = place.process("run", "train.py", "--metric", "val_acc", "-c", "gain=0.6", *words, "--detach")
    assert ended.returncode == status
    assert says in ended.stderr
    assert not list(place.folder.glob(".palate/sittings/*"))


def test_who_stops_it_ends_its_runs_with_all_that_they_started(place):
    place.write(LEAVES)
    told = detached(place, "--margin", "0.01")
    name, pid = told["experiment"], told["process"]["pid"]
    until(lambda: len(left_over()) >= 4)
    family = with_descendants([pid])
    stopped = document(place, "stop", name)
    (one,) = stopped["sittings"]
    assert (one["life"], one["ending"]["how"], one["left"], one["killed"]) == ("ended", "stopped", [], False)
    assert one["ending"]["words"] == ["Stopped by palate stop."]
    assert one["processes"] >= len(family)
    assert not left_over()  # read back: nothing has to be waited for
    assert not any(is_there(one) for one in family)
    assert {run["exit"] for run in place.json("list", "--runs")["rows"]} == {"stopped"}
    assert document(place, "stop", name, status=3)["error"] == "NotFoundError"


@pytest.mark.parametrize("still", [False, True])
def test_a_foreground_process_of_another_terminal_is_stopped_too(place, still):
    place.write(LEAVES)
    with place.start(*ASK, "--margin", "0.01", stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        until(lambda: len(left_over()) >= 4)
        if still:
            process.send_signal(signal.SIGSTOP)
            until(lambda: "Ctrl-Z" in place.process("watch", "--once").stdout)
        (run, *_) = state(place)["runs"]
        ended = place.process("stop", run["id"])  # named by a run that it makes
        _, told = process.communicate(timeout=30)
    assert ended.returncode == 0, ended.stderr
    assert re.search(r"Stopped: \w+\. Runs ended: .*; 0 of 20 pairs are kept", ended.stdout)
    assert process.returncode == 130
    assert "Stopped. Nothing that finished is lost" in told
    assert not left_over()


def test_after_the_runs_that_go_no_more_are_started(place):
    place.write(TRAIN.replace("time.sleep(0.15)", "time.sleep(0.5)"))
    told = detached(place, *FEW)
    name = told["experiment"]
    until(lambda: len(kept(place, name)["runs"]) == 2)
    said = place.process("stop", name, "--after-runs")
    assert "starts no more runs. These go on to their end: train-" in said.stdout
    until(lambda: kept(place, name)["ending"])
    ended = state(place, name)
    assert (ended["ending"]["how"], ended["pairs"], ended["made"]) == ("limit", 1, 2)
    assert ended["ending"]["words"][0].startswith("Stopped as was asked: 1 of 4 pairs.")
    assert place.json("show", name)["verdict"]["settled"] is False
    assert place.json("list")["rows"][0]["verdict"] is None
    assert "stopped 1/4" in place.process("list").stdout
    assert all_gone([told["process"]["pid"]])


def test_a_process_that_is_killed_leaves_nothing_that_goes_and_one_word_goes_on(place):
    told = detached(place, *FEW)
    name, pid = told["experiment"], told["process"]["pid"]
    until(lambda: kept(place, name)["pairs"] == 2)
    family = with_descendants([pid])
    os.kill(pid, signal.SIGKILL)
    assert all_gone(family)
    shown = place.process("watch", "--once").stdout
    assert re.search(rf"Broke off +after .*: its process {pid} is gone without a word: killed", shown)
    assert "Pairs      [##########..........] 2 of 4" in shown
    assert "broken off 2/4" in place.process("list").stdout
    assert "Broke off" in place.process("show", name).stdout
    again = document(place, "resume")
    assert (again["experiment"], again["already"]) == (name, False)
    assert document(place, "resume", name)["already"] is True
    until(lambda: kept(place, name)["ending"])
    assert len(finished_runs(place)) == 8  # nothing that finished was made again
    assert place.process("resume").returncode == 3
    assert place.process("verify").returncode == 0


@pytest.mark.parametrize("after_s", [0.0, 0.15, 0.3, 0.45, 0.6, 0.8, 1.0, 1.3, 1.7, 2.5])
def test_killed_at_any_moment_it_loses_nothing_and_leaves_no_process(place, after_s):
    process = place.start(*ASK, *FEW, "--detach", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(after_s)
    family = with_descendants([process.pid])
    process.kill()  # while it reads, asks, seals, or hands over
    process.wait(timeout=10)
    for pid in _led_by_themselves(place.folder):  # what was handed over goes on, as it should: it is ended too
        family += with_descendants([pid])
        send(pid, signal.SIGKILL)
    assert all_gone([pid for pid in family if is_there(pid)])
    assert place.process("verify").returncode in (0, 3)  # 3: nothing was sealed yet
    made = len(finished_runs(place)) if (place.folder / ".palate").is_dir() else 0
    detached(place, *FEW)
    done = document(place, "watch")["sittings"][-1]
    assert (done["pairs"], done["ending"]["how"]) == (4, "done")
    assert len(finished_runs(place)) == 8
    assert done["made"] == 8 - made
    assert not [path for path in place.folder.glob(".palate/claims/*") if CLAIM.fullmatch(path.name)]
    assert place.process("verify").returncode == 0


def _led_by_themselves(folder):
    """List the processes in a folder that no terminal's end ends."""
    found = []
    for pid in (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()):
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/cwd").readlink() == folder and os.getsid(pid) == pid:
                found.append(pid)
    return found


def test_a_reboot_is_told_and_gone_on_after(place):
    told = detached(place, *FEW)
    name, pid = told["experiment"], told["process"]["pid"]
    until(lambda: kept(place, name)["pairs"] == 1)
    family = with_descendants([pid])
    os.kill(pid, signal.SIGKILL)
    assert all_gone(family)
    path = place.folder / ".palate" / "sittings" / name / "job.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "boot": "the one before", "pid": os.getpid()}))
    assert "the machine was started anew meanwhile" in place.process("watch", "--once").stdout
    assert place.process("resume").returncode == 0
    until(lambda: kept(place, name)["ending"])
    assert len(finished_runs(place)) == 8


def test_where_the_code_changed_meanwhile_it_is_another_question_and_is_not_gone_on_with(place):
    told = detached(place, *FEW)
    name = told["experiment"]
    until(lambda: kept(place, name)["pairs"] == 1)
    place.process("stop", name)
    place.write(TRAIN.replace("0.4 * gain", "0.3 * gain"))
    ended = place.process("resume", name)
    assert ended.returncode == 5
    assert f"This is another question than experiment {name}" in ended.stderr
    assert "Ask it as a new one:  palate run --json --detach train.py" in ended.stderr


def test_a_secret_that_was_typed_is_not_kept_and_has_to_be_typed_again(place):
    place.write(TRAIN.replace("seed = 0", "import sys\nsys.argv\nseed = 0"))
    told = detached(place, *FEW, "--", "--password", "hunter2-hunter2")
    name = told["experiment"]
    assert "[redacted]" in told["typed"]
    until(lambda: kept(place, name)["pairs"] == 1)
    place.process("stop", name)
    for path in place.folder.glob(".palate/sittings/*/*"):
        assert b"hunter2" not in path.read_bytes(), path
    ended = place.process("resume", name)
    assert ended.returncode == 2
    assert "Type it again, with the secret:  palate run --json --detach train.py" in ended.stderr


def test_hours_end_it_and_asked_with_more_it_goes_on_in_the_same_question(place):
    place.write(TRAIN.replace("time.sleep(0.15)", "time.sleep(0.3)"))
    ended = place.process(*ASK, *FEW, "--hours", str(4 / 3600))
    assert ended.returncode == 0
    done, budget = map(int, re.search(r"Stopped \w+ 4 s[^:]*: (\d) of (\d) pairs\.", ended.stdout).groups())
    assert 1 <= done < budget == 4
    assert "Cannot tell yet" in ended.stdout
    assert place.json("list")["rows"][0]["verdict"] is None  # nothing is sealed that more hours could change
    report = place.json(*ASK, *FEW, "--hours", "1")
    assert report["experiment"] == place.json("list")["rows"][0]["experiment"]
    assert report["verdict"]["n"] == 4
    assert "stopped" not in report
    assert report["runs"]["reused"] >= 2 * done
    assert len(place.json("list")["rows"]) == 1
    assert len(finished_runs(place)) == 8


def test_a_run_that_is_longer_than_the_hours_is_ended_after_the_grace_and_is_no_outcome(place):
    place.write(TRAIN.replace("time.sleep(0.15)", "time.sleep(60)"))
    began_s = time.monotonic()
    report = document(place, *ASK, *FEW, "--hours", str(2 / 3600))
    assert time.monotonic() - began_s < 20
    assert report["stopped"] == "after 2 s"
    assert report["verdict"]["reason"] == "no_pairs"
    assert {run["exit"] for run in place.json("list", "--runs")["rows"]} == {"stopped"}


def test_the_hours_that_were_left_are_those_that_it_goes_on_with(place):
    told = detached(place, *FEW, "--hours", "2")
    name = told["experiment"]
    until(lambda: kept(place, name)["pairs"] == 1)
    os.kill(told["process"]["pid"], signal.SIGKILL)
    until(lambda: not is_there(told["process"]["pid"]))
    again = document(place, "resume")
    assert 1.9 < again["hours"] < 2
    document(place, "stop")
    assert document(place, "resume", "--hours", "5")["hours"] == 5


def test_what_goes_on_prints_the_hours_that_it_goes_on_with(place):
    assert place.process(*ASK, *FEW, "--hours", str(1 / 3600)).returncode == 0
    assert document(place, "resume", "--hours", "5")["hours"] == 5
    (printed,) = place.folder.glob(".palate/sittings/*/output.log")
    assert until(lambda: "Hours      5 h: no pair" in printed.read_text())


@pytest.mark.parametrize("columns", [80, 40])
def test_it_is_watched_at_a_terminal_and_goes_on_when_one_leaves(place, columns):
    place.write(TRAIN.replace("steps = 4", "steps = 60"))
    told = detached(place, *FEW)
    name = told["experiment"]
    terminal = place.terminal("watch", rows=24, columns=columns)
    terminal.expect("Pairs      ")
    terminal.expect("Run        baseline seed 0")
    terminal.expect("step [1-9]")
    assert max(len(re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line)) for line in terminal.before.split("\r\n")) <= columns
    terminal.send("q")
    terminal.expect("It goes on. Watch it: palate")
    terminal.expect_exact("\r\n")
    terminal.wait()
    assert terminal.exitstatus == 0
    terminal = place.terminal("watch", name, columns=columns)
    terminal.expect("leaves it going")
    terminal.sendintr()
    terminal.expect("It goes on")
    terminal.wait()
    assert is_there(told["process"]["pid"])
    assert place.process("stop").returncode == 0


def test_a_margin_that_would_have_to_be_measured_is_asked_for_as_nobody_waits(place):
    refused = place.process(*ASK, "--detach")
    assert refused.returncode == 2
    assert "No margin is known for val_acc" in refused.stderr
    assert "--margin 0.005" in refused.stderr
    assert not list(place.folder.glob(".palate/runs/*"))


def test_several_that_go_are_listed_and_none_is_guessed(place):
    place.write(TRAIN.replace("steps = 4", "steps = 600"))
    one, other = detached(place, "--margin", "0.01"), detached(place, "--margin", "0.02")
    refused = place.process("watch", "--json")
    assert refused.returncode == 2
    assert "2 are meant" in refused.stderr
    assert place.process("stop").returncode == 2
    assert {it["experiment"] for it in document(place, "watch", "--once")["sittings"]} == {
        one["experiment"], other["experiment"],
    }  # fmt: skip
    terminal = place.terminal("watch")
    terminal.expect(r"2  \w{8}  \d of 20 pairs")
    terminal.expect("Which")
    terminal.sendline("1")
    terminal.expect("leaves it going")
    terminal.send("q")
    terminal.wait()
    for it in (one, other):
        assert place.process("stop", it["experiment"]).returncode == 0


FULL = r"""
set -e
mount -t tmpfs -o size=2m none "$PALATE_HOME"
palate() { "$PYTHON" -m palate "$@"; }
dd if=/dev/zero of="$PALATE_HOME/fill" bs=4096 2>/dev/null || true
palate "$@" --detach >/dev/null 2>full.err && echo started
rm "$PALATE_HOME/fill"
palate "$@" --detach --json > started.json
while ! grep -q '"pairs": [12]' "$PALATE_HOME"/sittings/*/state.json; do sleep .05; done
dd if=/dev/zero of="$PALATE_HOME/fill" bs=4096 2>/dev/null || true
palate watch --json > watched.json || true
rm "$PALATE_HOME/fill"
palate watch --once > seen.txt
palate resume --json > resumed.json || true
palate watch --json > done.json
palate verify > verified.txt
"""


@pytest.mark.skipif(os.getuid() != 0 or not shutil.which("unshare"), reason="who mounts is root")
def test_a_disk_that_fills_up_ends_it_in_words_and_with_room_it_goes_on(place):
    (place.folder / ".palate").mkdir()
    words = ["unshare", "-m", "bash", "-c", FULL, "full", *ASK, *FEW]
    environment = {**place.environment, "PYTHON": sys.executable}
    ended = subprocess.run(words, cwd=place.folder, env=environment, capture_output=True, text=True, timeout=180)
    if "mount" in ended.stderr:
        pytest.skip("nothing can be mounted here")
    assert ended.returncode == 0, ended.stderr
    assert "started" not in ended.stdout
    assert "Error: " in (place.folder / "full.err").read_text()
    assert "Traceback" not in (place.folder / "full.err").read_text()
    (done,) = json.loads((place.folder / "done.json").read_text())["sittings"]
    assert (done["pairs"], done["ending"]["how"]) == (4, "done")


def test_the_processes_of_a_run_know_nothing_of_the_sitting(place):
    place.write(TRAIN + "\nimport os, json\nprint(json.dumps([n for n in os.environ if 'SITTING' in n]))\n")
    told = detached(place, *FEW)
    until(lambda: kept(place, told["experiment"])["ending"])
    project = Project(place.folder / ".palate")
    outputs = [project.output(run["id"]).read_text() for run in finished_runs(place)]
    assert set(outputs) == {"[]\n"}


def test_what_another_seed_does_is_measured_without_a_terminal_too(place):
    told = document(place, "noise", "--detach", "train.py", "--metric", "val_acc", "--runs", "12")
    name = told["experiment"]
    assert (told["unit"], told["budget"]) == ("runs", 12)
    until(lambda: kept(place, name).get("made"))
    stopped = place.process("stop", name, "--after-runs")
    assert stopped.returncode == 0, stopped.stderr
    (seen,) = document(place, "watch", name)["sittings"]
    assert seen["ending"]["how"] == "failed"
    assert re.search(r"Stopped after \d+ of 12 runs, as was asked", seen["ending"]["words"][0])
    document(place, "resume", name)
    (seen,) = document(place, "watch", name)["sittings"]
    assert seen["ending"]["how"] == "done"
    assert "Another seed alone moves val_acc by" in seen["ending"]["words"][0]
    assert len(finished_runs(place)) == 12


def test_winners_are_rerun_without_a_terminal_too(place):
    better = document(place, *ASK[:4], "-c", "gain=0.9", "--no-forecast", "--pairs", "5")
    assert better["verdict"]["kind"] == "better"
    told = document(place, "confirm", "--detach")
    assert (told["experiment"], told["unit"], told["budget"]) == ("confirm", "runs", 10)
    assert document(place, "confirm", "--detach")["already"] is True
    (seen,) = document(place, "watch", "confirm")["sittings"]
    assert (seen["ending"]["how"], seen["made"]) == ("done", 10)
    assert "better, confirmed" in place.process("list").stdout or "confirmed" in seen["ending"]["words"][0]


def test_a_split_goes_on_without_a_terminal_too(place):
    place.write(TRAIN.replace("gain = 0.5", "gain = 0.5\nlift = 0.0").replace("0.3 + ", "0.3 + lift + "))
    words = ("run", "--detach", "train.py", "--metric", "val_acc", "-c", "gain=0.9", "-c", "lift=0.1", "--split")
    told = document(place, *words, "--no-forecast", "--pairs", "3", "--workers", "2")
    (seen,) = document(place, "watch", told["experiment"])["sittings"]
    assert seen["ending"]["how"] == "done"
    assert seen["made"] >= 8
    assert any(line.startswith("gain") for line in seen["ending"]["words"])


def test_where_the_connection_drops_without_detach_it_says_so_and_goes_on_by_one_word(place):
    place.write(TRAIN.replace("time.sleep(0.15)", "time.sleep(0.3)"))
    terminal = place.terminal(*ASK, *FEW)
    (path,) = until(lambda: list(place.folder.glob(".palate/sittings/*/state.json")))
    name = path.parent.name
    until(lambda: kept(place, name)["pairs"] == 1)
    family = with_descendants([terminal.pid])
    terminal.close(force=True)
    assert all_gone(family)
    (seen,) = document(place, "watch", "--once")["sittings"]
    assert (seen["life"], seen["ending"]["how"]) == ("ended", "stopped")
    assert seen["ending"]["words"] == ["Stopped by SIGHUP: its terminal was closed."]
    document(place, "resume")
    (seen,) = document(place, "watch")["sittings"]
    assert (seen["pairs"], seen["ending"]["how"]) == (4, "done")
