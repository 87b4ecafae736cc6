"""An arm is what the question says: changes and seeds that do not arrive are named, and runs that are not apart."""

from dataclasses import replace

import pytest
from benchmarks.planted import NOT_ARRIVED, STALE
from tests.cli.workplace import Workplace

from palate.errors import NotArrivedError
from palate.loop.arrival import (
    Apartness,
    arrival_words,
    fault_of,
    refuse_not_arrived,
    same_seed_words,
)
from palate.question.folder import Place
from palate.question.handover import Handover
from palate.question.question import build_question
from palate.question.target import find_target
from palate.training.inputs import Parsed, Received, Seeding
from palate.training.states import FileState


@pytest.fixture
def plan(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.py").write_text("lr = 0.1\nlog(torch.manual_seed(1337))\nimport palate\n")
    return build_question(find_target("t.py"), {"lr": 0.5}, metric="val_acc", budget=3).plan


def by_flag(plan):
    return replace(plan, target=replace(plan.target, how={"lr": Handover("flag", "--lr")}))


def parsed(value, **more):
    return Parsed(**{"values": {"lr": value}, "flags": {"--lr": "lr"}, "left": (), "types": {"lr": "float"}, **more})


def received(value=None, *, later=None, **more):
    return Received(parsed=(parsed(value),) if value else (), arguments={"lr": later or value} if value else {}, **more)


def test_a_constant_that_is_the_same_in_both_arms_did_not_arrive(plan):
    change = plan.arms["treatment"][0]
    same = Received(constants={"lr": "0.2"}, files={"conf.py": FileState(1, 1, "x"), "t.py": FileState(1, 1, "y")},
                    modules=("t.py",))  # fmt: skip
    words = fault_of(plan, change, same, same)
    assert words == "lr is 0.2 in both arms when the first metric is logged: it is set again, perhaps by conf.py."
    other = Received(constants={"lr": "0.5"})
    assert fault_of(plan, change, Received(constants={"lr": "0.1"}), other) == ""
    with pytest.raises(NotArrivedError, match=r"did not reach the training \(lr\)"):
        refuse_not_arrived(plan, "treatment", same, same)


def test_nothing_is_claimed_where_nothing_was_seen(plan):
    change = plan.arms["treatment"][0]
    for one, other in (
        (Received(), Received()),
        (Received(constants={"lr": "<Tensor>"}), Received(constants={"lr": "<Tensor>"})),
        (Received(constants={"lr": "0.1"}), Received()),
    ):
        assert fault_of(plan, change, one, other) == ""
    for one, other in ((received("0.1"), received("0.5")), (Received(), received("0.5"))):
        assert fault_of(by_flag(plan), change, one, other) == ""
    refuse_not_arrived(plan, "treatment", None, Received(constants={"lr": "0.1"}))


def test_a_flag_is_followed_from_the_command_line_to_the_first_point(plan):
    plan, change = by_flag(plan), plan.arms["treatment"][0]
    assert "lr is 0.1 in both arms" in fault_of(plan, change, received("0.1"), received("0.1"))
    words = fault_of(plan, change, received("0.1", later="0.3"), received("0.5", later="0.3"))
    assert words == "lr was read as 0.5, but is 0.3 in both arms when the first metric is logged."
    types = {"lr": "bool"}
    one = Received(parsed=(parsed("True", types=types),))
    assert "type=bool" in fault_of(plan, change, one, one)
    strange = Received(parsed=(Parsed(values={}, flags={"--rate": "rate"}, left=("--lr=0.5",), types={}),))
    assert fault_of(plan, change, strange, strange) == (
        "--lr was left over: the program does not know it. It knows: --rate."
    )


def test_a_change_that_did_nothing_is_said_to_have_arrived_or_not_to_have_been_seen(plan):
    assert arrival_words(plan, "treatment", None) == []
    arrived = arrival_words(plan, "treatment", Received(constants={"lr": "0.5"}))
    assert arrived == ["lr was 0.5 in force with the change, so it arrived, and changes nothing."]
    assert "could not be seen" in arrival_words(by_flag(plan), "treatment", Received())[0]


def test_a_seed_that_goes_nowhere_is_said_with_its_line_and_what_to_type(plan):
    fixed = Received(seeds=(Seeding(of="torch", value="1337", where="t.py:2"),))
    (words,) = same_seed_words(plan, {0: fixed})
    assert "t.py:2 seeds every run alike (log(torch.manual_seed(1337)))" in words
    assert 'torch.manual_seed(int(os.environ.get("PALATE_SEED", 1337)))' in words
    (words,) = same_seed_words(plan, {0: Received()})
    assert "t.py:2" not in words and "palate.seed_everything()" in words
    assert same_seed_words(plan, {0: Received(took_seed=("PALATE_SEED",))}) == []
    (words,) = same_seed_words(plan, {0: Received(took_seed=("PALATE_SEED",), drawn=("numpy",))})
    assert words.startswith("numpy draws random numbers that nothing seeds")
    assert same_seed_words(plan, {}) == []


def test_a_seed_of_zero_that_is_taken_for_none_is_noticed(plan):
    taken = replace(plan, target=replace(plan.target, seed_by=Handover("constant", "seed")))
    seeded = Received(seeds=(Seeding(of="random", value="1", where="t.py:2"),))
    (words,) = same_seed_words(taken, {0: Received(), 1: seeded})
    assert words.startswith("Seed 0 seeds nothing, other seeds do (t.py:2)")
    assert same_seed_words(taken, {0: seeded, 1: seeded}) == []


def test_runs_that_see_each_others_files_are_noticed(plan, tmp_path):
    place = Place(root=str(tmp_path))
    one = Received(wrote_outside={"/o/model.pt": True}, read_back=("/o/model.pt",))
    at_once = Apartness(plan, place)
    assert at_once.shared_at_once("a", one, 0, 2) == ("", set())
    assert at_once.shared_at_once("b", one, 1, 3) == ("/o/model.pt", {"a", "b"})
    in_turn = Apartness(plan, place)
    in_turn.shared_at_once("a", one, 0, 2)
    assert in_turn.shared_at_once("b", one, 2, 3) == ("", set())
    resumed = Received(files={"/o/model.pt": FileState(1, 1, "x")}, wrote_outside={"/o/model.pt": True})
    with pytest.raises(NotArrivedError, match=r"c read /o/model.pt, which another run had written"):
        in_turn.shared_at_once("c", resumed, 4, 5)


def test_a_cache_that_one_run_makes_and_the_others_read_is_no_fault(plan, tmp_path):
    apart = Apartness(plan, Place(root=str(tmp_path)))
    apart.shared_at_once("a", Received(wrote_outside={"/o/cache": False}, read_back=("/o/cache",)), 0, 2)
    cached = Received(files={"/o/cache": FileState(1, 1, "x")})
    assert apart.shared_at_once("b", cached, 1, 3) == ("", set())


ONLY_SAID = ("a checkpoint that brings its arguments", "a second parser with its own defaults")
"""Where nobody can know which value is used: it is said beside the verdict."""

PLANTED = {one.name: one for one in NOT_ARRIVED}


@pytest.mark.slow
@pytest.mark.parametrize("planted", NOT_ARRIVED, ids=list(PLANTED))
def test_what_does_not_arrive_is_named_before_the_second_pair(tmp_path, planted):
    planted.write(tmp_path)
    place = Workplace(tmp_path)
    words = ("--", *planted.arguments) if planted.arguments else ()
    options = ("--metric", "val_acc", "--no-forecast", "--pairs", "3", "--workers", "1")
    ended = place.call("run", planted.script, "-c", planted.change, *options, *words, PATH=python_first())
    if planted.words == ("arrives",):
        assert ended.returncode == 0, ended.stderr
        return
    assert any(word in ended.stdout + ended.stderr for word in planted.words), ended.stdout + ended.stderr
    runs = tmp_path / ".palate" / "runs"
    assert ended.returncode == 0 or not runs.exists() or len(list(runs.iterdir())) <= 3 + 2  # three measure the noise
    assert "Did nothing" not in ended.stdout or planted.name in ONLY_SAID


def python_first():
    import os
    import sys
    from pathlib import Path

    return os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))


@pytest.mark.slow
@pytest.mark.parametrize("stale", STALE, ids=[one.name for one in STALE])
def test_a_baseline_that_is_out_of_date_is_made_again_and_the_reason_is_said(tmp_path, stale):
    place = Workplace(tmp_path)
    for name, text in stale.files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        place.write(text, name)
    options = ("--metric", "val_acc", "--no-forecast", "--pairs", "2")
    first = place.json("run", next(iter(stale.files)), "-c", "lift=.001", *options, PATH=python_first())
    assert first["runs"]["made"] > 0
    for name, text in stale.later.items():
        place.write(text, name)
    environment = {**stale.environment, "PATH": python_first()}
    again = place.call("run", next(iter(stale.files)), "-c", "lift=.002", *options, **environment)
    assert ", 0 re-used" in again.stdout
    said = again.stdout + again.stderr  # a variable is a setting of the script: it stands in the line of the baseline
    assert stale.words.removesuffix(" was not set").lower() in said.lower()
