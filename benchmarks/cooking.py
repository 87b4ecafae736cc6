"""Cooking: what palate costs a loop, what goes on bit for bit, how fast a run hears: `./scripts/bench cooking`."""

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks import forks, lanes, symptoms, until
from benchmarks.table import Row
from palate.cooking.commands import Inbox, answers, ask
from palate.question.branch import Branch, capsule_path, parse_amount
from palate.store.reader import read_journal

STEPS = 20_000
TRAINED = 500
"""Steps of a training that are measured at once."""

SEASONS = 10

TRAIN = """
import argparse, time
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset
from mnist1d.data import get_dataset_args, make_dataset
import palate
from palate.cooking import every, steps

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--steps", type=int, default=1500)
options = parser.parse_args()
torch.set_num_threads(1)
torch.manual_seed(options.seed)
asked = get_dataset_args()
asked.num_samples = 2000
data = make_dataset(asked)
x, y, xt, yt = (torch.tensor(data[name]) for name in ("x", "y", "x_test", "y_test"))
x, xt = x.float(), xt.float()
net = nn.Sequential(
    nn.Unflatten(1, (1, 40)), nn.Conv1d(1, 16, 5, 2), nn.ReLU(), nn.Conv1d(16, 16, 3, 2), nn.ReLU(), nn.Flatten(),
    nn.Linear(128, 10),
)
opt = torch.optim.Adam(net.parameters(), lr=1e-2)
sched = torch.optim.lr_scheduler.CosineAnnealingLR(opt, options.steps)
run = palate.start("mnist1d", seed=options.seed, model=net, optimizer=opt, scheduler=sched)
loader = DataLoader(TensorDataset(x, y), batch_size=64, shuffle=True)
for xb, yb in run.steps(loader, until=steps(options.steps)):
    loss = run.mix(ce=F.cross_entropy(net(xb), yb))
    opt.zero_grad()
    loss.backward()
    opt.step()
    sched.step()
    if (run.step + 1) % 100 == 0:
        with torch.no_grad():
            run.log(run.step, val_loss=F.cross_entropy(net(xt), yt).item())
"""


def rows() -> Iterator[Row]:
    """Measure the loop, the capsules, what goes on bit for bit, seasons, forks."""
    yield from loop_rows()
    yield from capsule_rows()
    yield from bitwise_rows()
    yield from season_rows()
    yield from fork_rows()
    yield from lanes.rows()
    yield from until.rows()  # the decisions behind them, each measured in a file of its own
    yield from forks.fork_rows()
    yield from symptoms.symptom_rows()


@contextlib.contextmanager
def _project() -> Iterator[Path]:
    """A folder with a project of its own, in which this process works meanwhile."""
    before, home = Path.cwd(), os.environ.get("PALATE_HOME")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["PALATE_HOME"] = str(Path(folder) / ".palate")
        os.chdir(folder)
        try:
            yield Path(folder)
        finally:
            os.chdir(before)
            os.environ.pop("PALATE_HOME")
            if home is not None:
                os.environ["PALATE_HOME"] = home


def loop_rows() -> Iterator[Row]:
    """Measure what a step costs more: of a loop that does nothing but sum its terms, and of one that trains."""
    yield from _bare_loop_rows()
    yield from _training_loop_rows()


def _bare_loop_rows() -> Iterator[Row]:
    """Measure what a step costs more with steps, mix of four terms, taste and the look for commands."""
    import torch

    from palate.cooking import every, steps
    from palate.training.run import close_current, start

    torch.set_num_threads(1)
    terms = [torch.tensor(0.1 * place) for place in range(4)]
    batches = [torch.zeros(8, 2)] * 1000

    def bare() -> None:
        for _ in range(STEPS // len(batches)):
            for _ in batches:
                a, b, c, d = terms
                a + 0.5 * b + 2.0 * c + d

    with _project():
        parameter = torch.nn.Parameter(torch.zeros(1))
        run = start("bench", optimizer=torch.optim.SGD([parameter], lr=0.1), keep=every(10**9))
        live = run.live
        live.seasoning.mixer.weights.update(b=0.5, c=2.0)

        def held() -> None:
            for _ in run.steps(batches, until=steps(STEPS)):
                a, b, c, d = terms
                run.mix(a=a, b=b, c=c, d=d)
                run.taste(every=10**9)

        list(run.steps(batches[:10]))  # the first capsule, and the look for forgotten parts, come once
        live.holding.keeper.wait()
        spent = _in_turn([bare, held], STEPS, turns=5)
        inbox, looked = Inbox(run.folder), []
        for _ in range(2000):
            started = time.perf_counter_ns()
            inbox.look()
            looked.append((time.perf_counter_ns() - started) / 1e3)
        close_current()
    name = "steps, mix of 4 terms, taste, look for commands, all logged"
    yield Row(name=f"{name}: CPU a step more than bare", measured=spent[1] - spent[0], unit="us", target=20)
    look_us = statistics.median(looked)
    yield Row(name="one look for commands, median", measured=look_us, unit="us")
    yield Row(name="... a step, at 200 steps a second", measured=look_us * 5 / 200, unit="us", target=1)


def _training_loop_rows() -> Iterator[Row]:
    """Measure the same where a model is trained, its optimizer's step is hooked into and symptoms are watched for.

    A real step leaves no line of palate's code in the processor's cache, so that each costs several times as much.
    """
    import torch

    from palate.cooking import every, steps
    from palate.training.run import close_current, start

    torch.set_num_threads(1)
    batches = [torch.randn(8, 4) for _ in range(TRAINED)]

    def step_of(net: Any, optimizer: Any, batch: Any, mix: Callable[..., Any]) -> None:
        a, b, c, d = net(batch).mean(0)
        loss = mix(a=a, b=b, c=c, d=d)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    pairs = [(net, torch.optim.SGD(net.parameters(), lr=1e-3)) for net in (torch.nn.Linear(4, 4) for _ in range(2))]

    def bare() -> None:
        for batch in batches:
            step_of(*pairs[0], batch, lambda a, b, c, d: a + 0.5 * b + 2.0 * c + d)

    with _project():
        net, optimizer = pairs[1]
        run = start("bench", model=net, optimizer=optimizer, keep=every(10**9))
        run.live.seasoning.mixer.weights.update(b=0.5, c=2.0)
        given = iter(run.steps(batches, until=steps(10**9)))

        def held() -> None:
            for _ in batches:
                step_of(net, optimizer, next(given), run.mix)
                run.taste(every=10**9)

        held()
        run.live.holding.keeper.wait()
        spent = _in_turn([bare, held], TRAINED, turns=40)
        close_current()
    yield Row(name="a training step of 4 terms: CPU, bare", measured=spent[0], unit="us")
    name = "... attached, with hooks and symptoms: CPU a step more than bare"
    yield Row(name=name, measured=spent[1] - spent[0], unit="us")


def _in_turn(works: list[Callable[[], None]], steps: int, *, turns: int) -> list[float]:
    """Return the least CPU time a step of each, which take turns: what else the machine does hits all alike."""
    spent = [[_cpu_us(work) / steps for work in works] for _ in range(turns)]
    return [min(one) for one in zip(*spent, strict=True)]


def _cpu_us(work: Callable[[], None]) -> float:
    started = time.process_time_ns()
    work()
    return (time.process_time_ns() - started) / 1e3


def capsule_rows() -> Iterator[Row]:
    """Measure how long a training of 10 million parameters waits for a capsule."""
    import torch
    from torch import nn

    from palate.cooking import every
    from palate.training.run import close_current, start

    net = nn.Sequential(*(nn.Linear(1000, 1000) for _ in range(10)))
    optimizer = torch.optim.Adam(net.parameters())
    waits = []
    with _project() as folder:
        run = start("bench", model=net, optimizer=optimizer, keep=every(1))
        for _, batch in enumerate(run.steps([torch.randn(4, 1000)] * 8)):
            waits.append(run.live.holding.keeper.cost_s)
            loss = net(batch).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            run.live.holding.keeper.wait()
        waits.append(run.live.holding.keeper.cost_s)
        size = max(path.stat().st_size for path in folder.rglob("*.pt"))
        close_current()
    yield Row(name="capsule of 10 M parameters with Adam: bytes", measured=size / 1e6, unit="MB")
    yield Row(name="... the loop waits, median", measured=1e3 * statistics.median(waits[3:]), unit="ms", target=50)
    yield Row(name="... the first one, whose memory is new", measured=1e3 * max(waits[:3]), unit="ms")


def bitwise_rows() -> Iterator[Row]:
    """Count trainings that are not bit for bit what they are without palate, or were before they were taken up."""
    from tests.cooking import trainings
    from tests.cooking.test_live import LOADERS, LOOP, OPTIMIZER, SHUFFLED, TRAININGS, digests, run_of

    bodies = {**{name: text + OPTIMIZER + LOOP for name, text in LOADERS.items()},
              **{name: SHUFFLED + text for name, text in TRAININGS.items()}}  # fmt: skip
    unlike, not_taken_up, tried = [], [], 0
    for name, body in bodies.items():
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            trainings.run(folder, body, bare=True)
            bare = digests(folder)
            trainings.run(folder, body)
            unlike += [name] if digests(folder) != bare else []
            trunk = run_of(folder)
            for step in (3, 8):
                tried += 1
                branch = Branch(capsule=str(capsule_path(trunk, step)), at=step)
                trainings.run(folder, body, environment={"PALATE_BRANCH": branch.text()})
                not_taken_up += [f"{name} at {step}"] if digests(folder) != bare else []
    yield Row(name=f"{len(bodies)} trainings, attached: not bit for bit the bare one", measured=len(unlike), target=0)
    yield Row(name=f"{tried} taken up in new processes: not bit for bit", measured=len(not_taken_up), target=0)


def _write(folder: Path) -> dict[str, str]:
    (folder / "train.py").write_text(TRAIN)
    return {**os.environ, "PALATE_HOME": str(folder / ".palate")}


def season_rows() -> Iterator[Row]:
    """Measure how long a run takes to answer a command, and to say what is in force."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        command = [sys.executable, "train.py", "--steps", "1000000"]
        training = subprocess.Popen(command, cwd=folder, env=_write(folder))
        try:
            run = _first(lambda: next(iter(folder.glob(".palate/runs/*/capsules/00000050.json")), None)).parents[1]
            applied, in_force = [], []
            for turn in range(SEASONS):
                started = time.monotonic()
                amounts = {"lr": parse_amount("lr", "x0.9" if turn % 2 else "x1.1")}
                name = ask(run, amounts, author="bench")
                _first(lambda name=name: answers(run, name).get("applied"))
                applied.append(time.monotonic() - started)
                _first(lambda name=name: answers(run, name).get("in-force"))
                in_force.append(time.monotonic() - started)
        finally:
            training.kill()
            training.wait()
    yield Row(name="a season: asked until applied, median", measured=statistics.median(applied), unit="s", target=0.5)
    yield Row(name="... until it says what is in force, longest", measured=max(in_force), unit="s", target=0.6)


def _first(found: Callable[[], Any], within_s: float = 120) -> Any:
    until = time.monotonic() + within_s
    while (value := found()) is None:
        if time.monotonic() > until:
            raise TimeoutError
        time.sleep(0.005)
    return value


def fork_rows() -> Iterator[Row]:
    """Measure the study of a fork: two arms, four replicates, 600 steps each; and how fast an arm is at its step."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        environment = _write(folder)
        subprocess.run([sys.executable, "train.py"], cwd=folder, env=environment, check=True)
        [trunk] = (folder / ".palate" / "runs").iterdir()
        words = ["fork", trunk.name, "--at", "900", "--set", "lr=x0.3", "--horizon", "600", "--replicates", "4"]
        options = ["--metric", "val_loss", "--no-forecast", "--margin", "1e-9", "--plain", "--json"]
        started = time.monotonic()
        told = subprocess.run(
            [sys.executable, "-m", "palate", *words, *options],
            cwd=folder, env=environment, check=True, capture_output=True, text=True,
        )  # fmt: skip
        took_s, report = time.monotonic() - started, json.loads(told.stdout)
        made = report["runs"]["made"]
        starts = [_seconds_to_door(folder / ".palate" / "runs" / one["id"]) for one in report["runs"]["baseline"]]
        exact = any("bit for bit" in line for line in report["noticed"])
    yield Row(name=f"fork of mnist1d, {made} arms of 600 steps, wall", measured=took_s, unit="s", target=15)
    yield Row(name="... an arm is at its step after, median", measured=statistics.median(starts), unit="s", target=3)
    yield Row(name="... controls that are not the run's own future", measured=int(not exact), target=0)


def _seconds_to_door(run: Path) -> float:
    events = read_journal(run / "journal").events
    begun = next(one["unix_s"] for one in events if one["kind"] == "recipe")
    return float(next(one["unix_s"] for one in events if one["kind"] == "resumed") - begun)
