"""A run is claimed by who makes it: one at a time, as long as its process lives, and no longer."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time

import pytest
from tests.loop.test_runner import carry_out
from tests.loop.trained_project import DEBUG, Recorder

from palate.errors import RunsFailedError, StoreError
from palate.loop.ask import Noticed, RunStarted
from palate.loop.claims import Claims
from palate.loop.journals import begin
from palate.loop.runner import Runner
from palate.training.debug import DebugLauncher
from palate.training.launch import Resources
from palate.vocabulary import BASELINE

HOLDS = """
import sys, time
from pathlib import Path
from palate.loop.claims import Claims
claims = Claims(Path(sys.argv[1]))
print(claims.take(sys.argv[2], 0, sys.argv[3]), flush=True)
time.sleep(600)
"""


def holds_elsewhere(home, key="k", run="train-k-s0"):
    """Start a process that holds a claim."""
    words = [sys.executable, "-c", HOLDS, str(home), key, run]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "True\n"
    return process


def test_one_has_a_claim_at_a_time_and_gives_it_back(tmp_path):
    one, other = Claims(tmp_path), Claims(tmp_path)
    assert one.take("k", 0, "train-k-s0")
    assert not other.take("k", 0, "train-k-s0")
    assert not one.take("k", 0, "train-k-s0")
    assert other.take("k", 1, "train-k-s1")
    holder = other.holder("k", 0)
    assert (holder.pid, holder.run, holder.here, holder.stopped) == (os.getpid(), "train-k-s0", True, False)
    one.release("k", 0)
    assert other.holder("k", 0) is None
    assert other.take("k", 0, "train-k-s0")
    other.close()
    assert list((tmp_path / "claims").iterdir()) == []


def test_a_claim_ends_with_its_process_and_leaves_no_file(tmp_path):
    process = holds_elsewhere(tmp_path)
    mine = Claims(tmp_path)
    assert not mine.take("k", 0, "mine")
    mine.close()
    assert len(list((tmp_path / "claims").iterdir())) == 1  # it is held
    process.send_signal(signal.SIGSTOP)
    while not mine.holder("k", 0).stopped:
        time.sleep(0.01)
    process.kill()
    process.wait()
    process.stdout.close()
    assert len(list((tmp_path / "claims").iterdir())) == 1
    assert mine.take("k", 0, "mine")
    mine.release("k", 0)
    process = holds_elsewhere(tmp_path, key="other")
    process.kill()
    process.wait()
    process.stdout.close()
    mine.close()
    assert list((tmp_path / "claims").iterdir()) == []


def test_a_forked_process_does_not_hold_it(tmp_path):
    claims = Claims(tmp_path)
    assert claims.take("k", 0, "train")
    child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,))
    child.start()
    claims.release("k", 0)
    assert Claims(tmp_path).take("k", 0, "train")
    child.kill()
    child.join()


def test_where_no_claims_can_be_kept_everybody_goes_on_without(tmp_path):
    (tmp_path / "claims").write_text("no folder")
    one, other = Claims(tmp_path), Claims(tmp_path)
    assert one.take("k", 0, "train")
    assert other.take("k", 0, "train")
    assert other.holder("k", 0) is None
    one.close()


def test_what_another_makes_is_waited_for_last_and_taken_over_when_it_dies(trained):
    question = trained.question(budget=2)
    key = question.plan.keys["baseline"]
    process = holds_elsewhere(trained.project.home, key, "train-x-s0")

    class Kills(Recorder):
        def watch(self, event):
            super().watch(event)
            if isinstance(event, Noticed):
                process.kill()

    person = Kills()
    looks, _ = carry_out(trained, question, person)
    process.wait()
    process.stdout.close()
    assert looks == [(0, 0), (0, 1), (1, 1), (1, 2), (2, 2)]
    assert person.started == [("treatment", 0), ("baseline", 1), ("treatment", 1), ("baseline", 0)]
    assert [event.words for event in person.of(Noticed)] == [
        f"Waits for train-x-s0, which process {process.pid} makes."
    ]
    assert list((trained.project.home / "claims").iterdir()) == []


def test_what_a_process_makes_that_stands_still_is_made_here(trained):
    question = trained.question(budget=2)
    process = holds_elsewhere(trained.project.home, question.plan.keys["baseline"])
    process.send_signal(signal.SIGSTOP)
    while not Claims(trained.project.home).holder(question.plan.keys["baseline"], 0).stopped:
        time.sleep(0.01)
    person = Recorder()
    looks, _ = carry_out(trained, question, person)
    assert looks[-1] == (2, 2)
    assert person.started[0] == ("baseline", 0)
    process.kill()
    process.wait()
    process.stdout.close()


def test_two_that_go_on_in_turn_make_each_run_once_and_look_at_what_the_other_made(trained):
    question, looks = trained.question(budget=3), []
    with trained.catalog() as one, trained.catalog() as other:
        runners = [Runner(catalog, question.plan, resources=DEBUG, person=Recorder()) for catalog in (one, other)]
        going = [iter(runner) for runner in runners]
        while going:
            for runner in list(going):
                results = next(runner, None)
                if results is None:
                    going.remove(runner)
                else:
                    looks.append(tuple(len(by_seed) for by_seed in results.values()))
        for runner in runners:
            with runner:
                pass
    assert len(trained.runs) == 6
    assert [runner.made + runner.reused for runner in runners] == [6, 6]
    assert sum(runner.made for runner in runners) == 6
    assert looks[:4] == [(0, 0), (0, 0), (1, 0), (1, 0)]  # what the other made is looked at first
    assert looks[-2:] == [(3, 3), (3, 3)]


class Vanishing(DebugLauncher):
    """An engine whose runs lose their folder as often as is said."""

    times = 1

    def poll(self):
        ended = super().poll()
        for one in ended:
            if type(self).times > 0:
                type(self).times -= 1
                (self.runs / one.id / "journal").unlink()
        return ended


def vanishing(trained, times):
    kind = type("Kind", (Vanishing,), {"times": times, "runs": trained.project.runs})
    return Resources(start=lambda task, _: kind(task))


def test_a_run_whose_journal_vanishes_is_said_to_be_lost_and_made_again_once(trained):
    person = Recorder()
    looks, _ = carry_out(trained, trained.question(budget=2), person, resources=vanishing(trained, 1))
    assert looks[-1] == (2, 2)
    assert len(person.of(RunStarted)) == 5
    (noticed,) = person.of(Noticed)
    assert "is lost: " in noticed.words
    assert "It is made again." in noticed.words


def test_a_run_that_is_lost_twice_stops_the_question(trained):
    with pytest.raises(RunsFailedError, match="as the one before it was"):
        carry_out(trained, trained.question(budget=2), resources=vanishing(trained, 2))


@pytest.mark.slow
def test_a_journal_that_another_process_holds_is_that_runs_fault(trained):
    from palate.store.journal import Journal

    held = []

    class Holding(DebugLauncher):
        def poll(self):
            ended = super().poll()
            if ended and not held:
                held.append(Journal.open(trained.project.journal(ended[0].id)))
            return ended

    person = Recorder()
    resources = Resources(start=lambda task, _: Holding(task))
    looks, _ = carry_out(trained, trained.question(budget=2), person, resources=resources)
    held[0].close()
    assert looks[-1] == (2, 2)
    assert "another process has" in person.of(Noticed)[0].words


def test_a_project_that_is_moved_while_runs_go_stops_the_question_and_is_not_made_anew(trained):
    class Moving(DebugLauncher):
        def poll(self):
            ended = super().poll()
            trained.project.home.rename(trained.folder / "moved")
            return ended

    with pytest.raises(StoreError, match="is gone"):
        carry_out(trained, trained.question(budget=2), resources=Resources(start=lambda task, _: Moving(task)))
    assert not trained.project.runs.exists()


def test_a_folder_of_another_run_is_not_removed_where_this_ones_cannot_be_made(trained):
    plan = trained.question().plan
    seed = 10 ** (254 - len(plan.run_name(BASELINE, 0)))  # so that the next name is too long
    theirs = trained.project.run_folder(plan.run_name(BASELINE, seed))
    theirs.mkdir()
    with pytest.raises(StoreError, match="File name too long"):
        begin(trained.project, plan, BASELINE, seed)
    assert theirs.is_dir()
