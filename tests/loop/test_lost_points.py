"""A run that lost points gives no result: it is made again, its pair is left out, and that is said."""

import json
import os
import subprocess
import sys

import pytest
from tests.loop.trained_project import Recorder

from palate.loop.ask import Noticed
from palate.loop.attended import Attended
from palate.loop.sittings import Job, sit
from palate.store.layout import OWED, OWED_AT
from palate.store.reader import read_journal
from palate.training.debug import DebugLauncher
from palate.training.launch import Ended, Resources
from palate.training.outcome import describe_exit, lost_words
from palate.vocabulary import Integrity

FILLS_THE_DISK = """
import os, random, resource, signal
import palate
full = ""
seed = 0
rng = random.Random(seed)
level = rng.gauss(0.7, 0.01)
for step in range(300):
    if step == 150 and (full == "yes" or full and not os.path.exists(full)):
        if full != "yes":
            open(full, "w").close()
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        journal = os.path.join(os.environ["PALATE_RUN_DIR"], "journal")
        resource.setrlimit(resource.RLIMIT_FSIZE, (os.path.getsize(journal) + 5, resource.RLIM_INFINITY))
    palate.log(step, val_acc=level * step / 300)
"""


def palate(folder, *argv):
    environment = {**os.environ, "PALATE_AUTHOR": "ada", "COLUMNS": "120"}
    environment.pop("PALATE_RUN_DIR", None)
    return subprocess.run(
        [sys.executable, "-m", "palate", *argv], cwd=folder, env=environment, capture_output=True, text=True,
        timeout=200, stdin=subprocess.DEVNULL,
    )  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "train.py").write_text(FILLS_THE_DISK)
    (tmp_path / ".git").mkdir()
    return tmp_path


def asked(folder, change, *more):
    line = ["run", "train.py", "--metric", "val_acc", "-c", change, "--no-forecast", "--workers", "1", *more]
    return palate(folder, *line)


def sealed(folder):
    chain = folder / ".palate" / "chain.jsonl"
    return [json.loads(line)["kind"] for line in chain.read_text().splitlines()]


@pytest.mark.slow
def test_equal_arms_of_which_one_always_finds_the_disk_full_get_no_verdict(folder):
    done = asked(folder, "full=yes", "--pairs", "2")
    assert done.returncode == 0, done.stderr
    assert "Worse" not in done.stdout
    assert "Seed 0 is left out: train-" in done.stdout
    assert "found no room" in done.stdout
    assert "verdict" not in sealed(folder)
    report = json.loads(asked(folder, "full=yes", "--pairs", "2", "--json").stdout)
    assert report["verdict"]["n"] == 0
    assert [one["ending"] for one in report["runs"]["lost"]] == ["lost points"] * 2
    assert report["runs"]["treatment"] == []
    assert (report["runs"]["reused"], report["runs"]["made"]) == (2, 4)  # those that lost points are made again
    lost = report["runs"]["lost"][0]["id"]
    assert "and counts for nothing" in palate(folder, "show", lost).stdout
    assert "Seed 1 is left out" in palate(folder, "verdict").stdout


@pytest.mark.slow
def test_a_run_that_found_the_disk_full_once_is_made_again_and_never_used(folder):
    report = json.loads(asked(folder, f"full={folder / 'was full'}", "--pairs", "2", "--json").stdout)
    assert (report["runs"]["made"], report["runs"].get("lost")) == (5, None)
    assert [one["ending"] for one in report["runs"]["treatment"]] == ["finished"] * 2
    used = {one["id"] for arm in ("baseline", "treatment") for one in report["runs"][arm]}
    journals = list((folder / ".palate" / "runs").glob("*/journal"))
    (lost,) = (place.parent.name for place in journals if not read_journal(place).integrity.counts)
    assert len(journals) == 5
    assert lost not in used
    assert f'"{lost}"' not in (folder / ".palate" / "chain.jsonl").read_text()


def test_it_is_said_how_many_points_were_lost():
    assert lost_words(Integrity(status="lost points", lost_points=1)) == "lost 1 point"
    assert "nobody knows how many" in lost_words(Integrity(status="lost points", lost_points=None, why="damage"))


@pytest.mark.parametrize(("number", "name"), [(9, "SIGKILL"), (40, "signal 40")])
def test_a_signal_without_a_name_is_told_by_its_number(number, name, tmp_path):
    ended = Ended(id="r", status=-number, elapsed_s=1.0, timed_out=False)
    assert describe_exit(ended, tmp_path / "output") == f"killed by {name}"


class Losing(DebugLauncher):
    """An engine in which runs lose five points, as the disk was full when they ended."""

    def __init__(self, task, loses):
        super().__init__(task)
        self._loses = loses

    def _carry_out(self, order):
        ended = super()._carry_out(order)
        if self._loses(order):
            with (order.folder / "journal").open("r+b") as journal:
                journal.seek(OWED_AT)
                journal.write(OWED.pack(9, 9, 9))
        return ended


def losing(loses):
    return Resources(start=lambda task, _: Losing(task, loses))


def test_the_pair_of_a_run_that_keeps_losing_points_is_left_out_and_the_others_are_judged(trained):
    person = Recorder()
    always = losing(lambda order: order.known["gain"] == 0.9 and order.seed == 1)
    report = trained.run(trained.question(budget=6), person, resources=always)
    (lost,) = report.judgement.lost
    assert (lost.seed, lost.outcome.detail) == (1, "lost 5 points (the disk was full, and 5 points found no room)")
    assert lost.id.endswith("-s1-2")  # made again once
    assert 1 not in report.judgement.results["treatment"]
    assert report.judgement.verdict.kind == "better"
    assert report.judgement.verdict.failures.treatment == 0
    assert f"Seed 1 is left out: {lost.id} lost 5 points" in str(report)
    (verdict,) = (record for record in trained.project.chain.records() if record.kind == "verdict")
    assert not any("-s1" in run for run in verdict.body["runs"]["treatment"])


def test_where_nothing_but_lost_points_is_there_the_question_stays_open(trained):
    report = trained.run(trained.question(budget=2), resources=losing(lambda order: order.known["gain"] == 0.9))
    assert (report.judgement.verdict.n, report.judgement.done) == (0, False)
    assert "The same command makes these runs again" in str(report)
    assert not any(record.kind == "verdict" for record in trained.project.chain.records())
    again = trained.run(trained.question(budget=2))
    assert (again.judgement.made, again.judgement.reused, again.judgement.lost) == (2, 2, ())


def test_a_run_that_lost_points_once_is_made_again(trained):
    seen = []
    once = losing(lambda order: seen.append(order.seed) is None and len(seen) == 2)
    person = Recorder()
    report = trained.run(trained.question(budget=2), person, resources=once)
    assert (report.judgement.made, report.judgement.lost) == (5, ())
    assert sum("it is made again" in event.words for event in person.of(Noticed)) == 1
    other = trained.run(trained.question(budget=2, metric="loss"))
    assert (other.judgement.made, other.judgement.reused) == (0, 4)


def test_a_run_that_is_made_again_is_told_to_go_no_more(trained, tmp_path):
    """Whoever looks on sees one run at a time, as there is; see also what meets at one port, in tests/cli."""
    seen, begun = [], []
    once = losing(lambda order: seen.append(order.seed) is None and len(seen) == 2)
    held = sit(tmp_path / "home", Job(experiment="3f9c12ab", text="", argv=(), folder="/", budget=2))

    class Looks(Recorder):
        def watch(self, event):
            super().watch(event)
            begun.append(len(held.state.runs))

    trained.run(trained.question(budget=2), Attended(Looks(), held, None, 9), resources=once)
    held.close()
    assert max(begun) == 1
    assert held.state.runs == ()
    assert held.state.workers == 1, "as runs are placed, not as was thought before"
