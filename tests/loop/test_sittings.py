"""A sitting tells who lives by its lock, never by a number alone, and is handed to a process that is started."""

import contextlib
import json
import os
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from tests.loop.test_runner import carry_out
from tests.loop.trained_project import Recorder

from palate.cli.detach import start
from palate.errors import RunsFailedError
from palate.loop.attended import Attended, ending_kept
from palate.loop.sittings import Held, Job, State, argv_kept, newest_of, sit, sittings_of
from palate.loop.stopping import stop_now
from palate.training.debug import start_debug
from palate.training.family import began_ticks, boot_id
from palate.training.launch import Resources
from palate.training.limits import Limits

JOB = Job(experiment="3f9c12ab", text="lr 1 -> 2?", argv=("run", "train.py"), folder="/", budget=5, metric="acc")

HOLDS = """
import sys, time
from pathlib import Path
from palate.loop.sittings import Job, sit
held = sit(Path(sys.argv[1]), Job(experiment="3f9c12ab", text="lr 1 -> 2?", argv=(), folder="/", budget=5))
print("sits", flush=True)
time.sleep(600)
"""


@pytest.fixture
def elsewhere(tmp_path):
    """A process that holds a sitting."""
    process = subprocess.Popen([sys.executable, "-c", HOLDS, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "sits\n"
    yield process
    process.kill()
    process.wait(timeout=10)
    process.stdout.close()


def change_job(sitting, **changes):
    path = sitting.folder / "job.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def life(home):
    (one,) = sittings_of(home)
    return one.life


def test_it_goes_as_long_as_its_process_and_is_broken_off_where_that_said_nothing(tmp_path, elsewhere):
    assert life(tmp_path) == "goes"
    elsewhere.kill()
    elsewhere.wait()
    (one,) = sittings_of(tmp_path)
    assert one.life == "interrupted"
    assert one.can_go_on
    assert f"its process {elsewhere.pid} is gone without a word" in one.cause()


def test_after_a_reboot_it_says_so(tmp_path, elsewhere):
    elsewhere.kill()
    elsewhere.wait()
    (one,) = sittings_of(tmp_path)
    change_job(one, boot="another start", pid=os.getpid(), ticks=began_ticks(os.getpid()))
    (one,) = sittings_of(tmp_path)
    assert one.life == "interrupted"
    assert one.cause() == "the machine was started anew meanwhile"


def test_a_number_that_is_another_process_now_is_not_stopped(tmp_path, elsewhere):
    bystander = subprocess.Popen(["sleep", "600"])
    try:
        elsewhere.kill()
        elsewhere.wait()
        (one,) = sittings_of(tmp_path)
        change_job(one, pid=bystander.pid)  # its number was given to somebody else, who began later
        (one,) = sittings_of(tmp_path)
        assert not one.job.is_process
        assert stop_now(one).processes == 0
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_what_somebody_else_holds_gets_a_place_beside_it_or_none_where_it_is_to_be_alone(tmp_path, elsewhere):
    assert sit(tmp_path, JOB, alone=True) is None
    held = sit(tmp_path, JOB)
    assert held.folder.name == "3f9c12ab-2"
    assert [one.life for one in sittings_of(tmp_path)] == ["goes", "goes"]
    held.end("done", "Better.")
    held.close()
    elsewhere.kill()
    elsewhere.wait()
    again = sit(tmp_path, JOB, alone=True)
    assert again.folder.name == "3f9c12ab"
    assert newest_of(tmp_path)["3f9c12ab"].life == "goes"
    again.close()


def test_whoever_only_looks_takes_nothing_from_anybody(tmp_path):
    for _ in range(30):
        looks = subprocess.Popen([sys.executable, "-c", "pass"])
        held = sit(tmp_path, JOB, alone=True)
        assert life(tmp_path) == "goes"
        held.close()
        looks.wait()
        assert life(tmp_path) == "interrupted"


def test_one_that_was_begun_on_another_machine_goes_there_until_it_is_silent(tmp_path):
    held = sit(tmp_path, JOB)
    held.tell(State(opened=True, pairs=2))
    held.close()
    (one,) = sittings_of(tmp_path)
    change_job(one, host="gpu2")
    assert life(tmp_path) == "elsewhere"
    state = json.loads((one.folder / "state.json").read_text())
    (one.folder / "state.json").write_text(json.dumps({**state, "at_unix_s": time.time() - 3600}))
    (one,) = sittings_of(tmp_path)
    assert one.life == "interrupted"
    assert "on gpu2 is gone" in one.cause()


def test_half_a_sitting_or_one_of_nonsense_stops_nobody(tmp_path):
    held = sit(tmp_path, JOB)
    held.close()
    (held.folder / "state.json").write_text('{"pairs": ')
    assert sittings_of(tmp_path)[0].state == State()
    for nonsense in ("", "[]", '{"experiment": 1}', '{"argv": 3}', "{" * 100_000):
        (held.folder / "job.json").write_text(nonsense)
        assert sittings_of(tmp_path) == []
    sit(tmp_path, JOB, alone=True).close()
    assert len(sittings_of(tmp_path)) == 1


def test_a_folder_that_cannot_be_written_leaves_it_unseen_and_stops_nothing(tmp_path):
    (tmp_path / "sittings").write_text("no folder")
    held = sit(tmp_path, JOB)
    held.tell(State(pairs=1))
    held.end("done")
    held.close()
    assert not held.is_kept
    assert sittings_of(tmp_path) == []


@pytest.mark.parametrize(
    ("argv", "kept"),
    [
        (["run", "t.py", "-c", "lr=1", "--", "--name", "x"], ("run", "t.py", "-c", "lr=1", "--", "--name", "x")),
        (["run", "t.py", "-c", "api_key=hunter2x"], ("run", "t.py", "-c", None)),
        (["run", "t.py", "--", "--password", "hunter2x"], ("run", "t.py", "--", "--password", None)),
        (["run", "t.py", "--", "--password=hunter2x"], ("run", "t.py", "--", None)),
        (["run", "t.py", "--", "of-the-environment"], ("run", "t.py", "--", None)),
    ],
)
def test_secrets_that_were_typed_are_not_kept(argv, kept):
    assert argv_kept(argv, ("of-the-environment",)) == kept


def test_it_keeps_what_is_done_so_far(trained):
    question, person = trained.question(budget=3), Recorder()
    held = sit(trained.project.home, JOB)
    seen = []

    class Looks(Recorder):
        def watch(self, event):
            seen.append(sittings_of(trained.project.home)[0].state)
            super().watch(event)

    carry_out(trained, question, Attended(Looks(), held, question, 1))
    assert [state.made for state in seen][-1] == 6
    assert any(run.arm == "treatment" and run.seed == 2 for state in seen for run in state.runs)
    assert seen[-1].runs == ()
    assert set(seen[-1].took_s) == {"baseline", "treatment"}
    assert person.events == []
    held.close()


@pytest.mark.parametrize(
    ("fault", "how", "words"),
    [
        (None, "done", ()),
        (KeyboardInterrupt(), "stopped", ("Stopped by Ctrl-C.",)),
        (KeyboardInterrupt("SIGHUP"), "stopped", ("Stopped by SIGHUP: its terminal was closed.",)),
        (MemoryError("no room"), "failed", ("MemoryError: no room",)),
    ],
)
def test_it_says_how_it_ended(tmp_path, fault, how, words):
    held = sit(tmp_path, JOB)
    with pytest.raises(type(fault)) if fault is not None else contextlib.nullcontext(), ending_kept(held):
        if fault is not None:
            raise fault
    (one,) = sittings_of(tmp_path)
    assert (one.life, one.state.ending.how, one.state.ending.words) == ("ended", how, words)


def test_sittings_that_came_to_their_end_do_not_pile_up(tmp_path):
    for number in range(205):
        held = sit(tmp_path, Job(experiment=f"{number:08x}", text="", argv=(), folder="/"))
        held.end("done" if number else "failed")
        held.close()
    names = {one.name for one in sittings_of(tmp_path)}
    assert len(names) <= 201
    assert {"00000000", f"{204:08x}"} <= names  # one that can go on is kept


def test_no_run_is_started_once_somebody_asked_for_no_more(trained):
    asked = []
    resources = Resources(start=start_debug, limits=Limits(asked=lambda: len(asked) > 0))
    looks, runner = carry_out(
        trained,
        trained.question(budget=3),
        resources=resources,
        enough=lambda _: asked.append(1) if trained.runs else 0,
    )
    assert looks[-1] == (1, 0)
    assert runner.made == 1


def test_hours_that_are_over_end_what_goes_and_are_no_outcome(trained):
    resources = Resources(start=start_debug, limits=Limits(1e-9))
    looks, runner = carry_out(trained, trained.question(budget=3), resources=resources)
    assert looks == [(0, 0)]
    assert (runner.made, resources.limits.stopped) == (0, "after 3.6e-06 s")


def test_a_held_sitting_knows_its_process(tmp_path):
    held = sit(tmp_path, JOB)
    assert isinstance(held, Held)
    assert held.job.is_process
    assert held.job.boot == boot_id()
    held.close()


def test_one_that_nobody_took_over_has_failed_and_was_not_broken_off(trained):
    """Its process ends at once: nothing was begun that could be gone on with."""
    with pytest.raises(RunsFailedError, match="ended at once"):
        start(trained.project, replace(JOB, folder=str(trained.folder)), ["run", "--no-such-option"])
    (one,) = sittings_of(trained.project.home)
    assert (one.life, one.state.ending.how) == ("ended", "failed")
    assert "No such option" in str(one.state.ending.words)
