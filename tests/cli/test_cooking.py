"""Forks, seasons and replays as a person meets them: real trainings, a real worker, the command line."""

import shutil
import subprocess
import sys
import time

import pytest
from tests.cli.workplace import Workplace

from palate.question.branch import Branch, capsule_path

pytestmark = pytest.mark.slow

TRAIN = """
import argparse, os, time
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset
import palate
from palate.cooking.stage import every
from palate.cooking.until import steps

torch.set_num_threads(1)
parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--steps", type=int, default=60)
parser.add_argument("--lr", type=float, default=.05)
parser.add_argument("--sleep", type=float, default=0)
options = parser.parse_args()
data = torch.Generator().manual_seed(0)
x = torch.randn(96, 8, generator=data)
y = (x[:, 0] * x[:, 1] > 0).long()
torch.manual_seed(options.seed)
net = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Dropout(.2), nn.Linear(16, 2))
opt = torch.optim.SGD(net.parameters(), lr=options.lr, momentum=.9)
other = torch.optim.SGD(net.parameters(), lr=.1)
sched = torch.optim.lr_scheduler.CosineAnnealingLR(opt, options.steps)
loader = DataLoader(TensorDataset(x, y), batch_size=16, shuffle=True)
LEFT_OUT = os.environ.get("LEFT_OUT")
parts = {} if LEFT_OUT else {"scheduler": sched}
run = palate.start("tiny", seed=options.seed, model=net, optimizer=opt, other=other, keep=every(10), **parts)
for xb, yb in run.steps(loader, until=steps(options.steps)):
    noise = run.knob("noise", .0, low=0, high=1)
    out = net(xb + noise * torch.randn_like(xb))
    loss = run.mix(ce=F.cross_entropy(out, yb), size=lambda: 1e-3 * out.pow(2).mean())
    opt.zero_grad(); loss.backward(); opt.step(); sched.step()
    time.sleep(options.sleep)
    if (run.step + 1) % 5 == 0:
        net.eval()
        with torch.no_grad():
            run.log(run.step, val_loss=F.cross_entropy(net(x), y).item())
        net.train()
"""


@pytest.fixture(scope="module")
def trunk(tmp_path_factory):
    """A place with one run made by hand, and the run's id."""
    place = Workplace(tmp_path_factory.mktemp("trunk"))
    place.write(TRAIN)
    by_hand(place)
    [run] = (place.folder / ".palate" / "runs").iterdir()
    return place, run.name


def by_hand(place, *arguments, **options):
    command = [sys.executable, "train.py", *arguments]
    subprocess.run(command, cwd=place.folder, env=place.environment, check=True, timeout=120, **options)


FORK = ("--metric", "val_loss", "--no-forecast", "--replicates", "2")


def test_a_fork_without_annealing_has_a_control_that_is_the_runs_own_future(trunk):
    place, run = trunk
    report = place.json("fork", run, "--at", "23", "--set", "noise=1", "--horizon", "20,37", *FORK)
    told = "\n".join(report["noticed"])
    assert "The control is the run's own future, bit for bit" in told
    assert f"said of {run} alone, from step 23 over 37 steps" in told
    assert "after 20 steps" in told and "after 37 steps" in told
    assert report["verdict"]["kind"] in ("worse", "unclear")
    [treated, *_] = report["runs"]["treatment"]
    shown = place.json("show", treated["id"])
    assert shown["received"]["turned"] == {"noise": "1.0"}


def test_a_fork_of_the_learning_rate_anneals_both_arms(trunk):
    place, run = trunk
    report = place.json("fork", run, "--at", "20", "--set", "lr=x3", "--horizon", "20", *FORK)
    assert "both arms annealed to zero" in "\n".join(report["noticed"])
    told = "\n".join(report["noticed"])
    assert f"A null fork of {run} is the run's own future, bit for bit" in told
    again = place.json("fork", run, "--at", "20", "--set", "lr=x3", "--horizon", "20", *FORK)
    assert again["runs"]["made"] == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--at", "20", "--set", "adv=.1"), "has no knob adv"),
        (("--at", "20", "--set", "lr=fast"), "that is no amount"),
        (("--at", "20"), "Nothing is changed"),
        (("--at", "90", "--set", "lr=x2"), "has no steps behind step 90"),
        (("--at", "20", "--set", "lr=x2", "--horizon", "100"), "goes beyond the end"),
        (("--at", "20", "--set", "lr=x2", "--horizon", "3"), "is below 10%"),
        (("--at", "20", "--set", "lr=x2", "--horizon", "soon"), "whole numbers"),
    ],
)
def test_a_fork_that_cannot_be_is_refused_before_anything_is_started(trunk, arguments, said):
    place, run = trunk
    refused = place.call("fork", run, *arguments, "--metric", "val_loss", "--no-forecast")
    assert refused.returncode != 0
    assert said in refused.stdout + refused.stderr


def test_trunks_are_different_runs_of_one_training(trunk, tmp_path):
    place, run = trunk
    options = ("--at", "20", "--set", "lr=x2", "--metric", "val_loss", "--no-forecast")
    assert "named twice" in place.call("fork", run, run, *options).stderr
    assert "One pair cannot be judged" in place.call("fork", run, *options, "--replicates", "1").stderr
    before = set((place.folder / ".palate" / "runs").iterdir())
    by_hand(place, "--seed", "3", "--lr", ".2")
    [other] = set((place.folder / ".palate" / "runs").iterdir()) - before
    assert "not of the same training" in place.call("fork", run, other.name, *options).stderr


def test_a_run_that_somebody_else_started_or_in_another_folder_starts_nothing(trunk, tmp_path):
    place, run = trunk
    shutil.copytree(place.folder, tmp_path / "copy")
    options = ("--at", "20", "--set", "lr=x2", "--metric", "val_loss", "--no-forecast")
    assert "was not started by you at this place" in Workplace(tmp_path / "copy").call("fork", run, *options).stderr
    inner = Workplace(place.folder / "inner")
    inner.folder.mkdir()
    inner.environment["PALATE_HOME"] = place.environment["PALATE_HOME"]
    assert f"was started in another folder, {place.folder}" in inner.call("fork", run, *options).stderr


def test_a_fork_goes_on_with_the_code_of_another_training_only_if_the_parts_are_alike(trunk, tmp_path):
    place, run = trunk
    other = Workplace(tmp_path)
    other.write(TRAIN.replace("nn.Linear(8, 16)", "nn.Linear(8, 12)").replace("nn.Linear(16, 2)", "nn.Linear(12, 2)"))
    capsule = capsule_path(place.folder / ".palate" / "runs" / run, 20)
    environment = {**other.environment, "PALATE_BRANCH": Branch(capsule=str(capsule), at=20).text()}
    command = [sys.executable, "train.py"]
    ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 1
    assert "The capsule is of another training." in ended.stderr
    assert "[12, 8] and [16, 8] are the shapes" in ended.stderr


def test_a_run_that_goes_is_seasoned_and_says_what_is_in_force(tmp_path):
    place = Workplace(tmp_path)
    place.write(TRAIN)
    command = [sys.executable, "train.py", "--steps", "100000", "--sleep", ".002"]
    training = subprocess.Popen(command, cwd=tmp_path, env=place.environment)
    try:
        wait_for(lambda: list((tmp_path / ".palate").glob("runs/*/capsules/00000010.json")))
        told = place.json("season", "last", "lr=x0.5", "size=2", "noise=.25", "--why", "too sharp")
        applied, in_force = told["answers"]
        assert [applied["kind"], in_force["kind"]] == ["applied", "in-force"]
        assert applied["before"]["size"] == 1 and applied["after"]["size"] == 2
        assert in_force["in_force"]["size"] == 2 and in_force["in_force"]["noise"] == 0.25
        assert in_force["in_force"]["lr"] == pytest.approx(applied["before"]["lr"] / 2, rel=1e-3)
        refused = place.call("season", "last", "noise=3", "adv=1", "lr=x0.5")
        assert "out of its range, 0 to 1" in refused.stderr and "adv: there is no such knob" in refused.stderr
        undone = place.json("season", "last", "--undo")
        assert undone["answers"][1]["in_force"]["noise"] == 0
        assert undone["answers"][1]["in_force"]["lr"] == pytest.approx(applied["before"]["lr"], rel=1e-2)
    finally:
        training.kill()
        training.wait()
    run = told["run"]
    events = journal_events(place, run)
    assert [one["why"] for one in events if one["kind"] == "season"] == ["too sharp", ""]
    assert "does not go any more" in place.call("season", run, "lr=x2").stderr
    cooked = place.json("cook", run, "--write", "cooked.yaml")
    assert list(cooked["turns"]) == [str(one["step"]) for one in events if one["kind"] == "season"]


def wait_for(found, within_s=60):
    until = time.monotonic() + within_s
    while not found():
        assert time.monotonic() < until
        time.sleep(0.05)


def journal_events(place, run):
    from palate.store.reader import read_journal

    return read_journal(place.folder / ".palate" / "runs" / run / "journal").events


def test_what_was_cooked_is_judged_on_new_seeds_beside_the_plain_training(tmp_path):
    place = Workplace(tmp_path)
    place.write(TRAIN)
    place.write("train: train.py\narguments: []\nturns: {10: {noise: 1}, 30: {lr: x0.5}}\n", "cooked.yaml")
    report = place.json("cook", "cooked.yaml", "--seeds", "2", "--metric", "val_loss", "--no-forecast")
    assert report["runs"]["made"] == 4
    assert "noise at 10 as it is -> 1, lr at 30 as it is -> x0.5" in report["question"]
    plain = place.json("run", "train.py", "-c", "lr=.1", "--metric", "val_loss", "--no-forecast", "--pairs", "2")
    assert plain["runs"]["reused"] == 2


def test_whether_a_training_can_be_taken_up_is_tried_and_what_lacks_is_named(trunk):
    place, _ = trunk
    found = place.json("doctor", "--resume", "train.py")
    assert found["exact"] and found["points"] > 10
    place.environment["LEFT_OUT"] = "1"
    try:
        said = place.call("doctor", "--resume", "train.py").stdout
    finally:
        del place.environment["LEFT_OUT"]
    assert "Not the same" in said
    assert "a scheduler: CosineAnnealingLR" in said
