# ruff: noqa: E501  the bodies of trainings
"""Many seeds at once: each run comes to what it comes to alone, or goes on alone and says why."""

import json
import math
import os
import random
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="lanes are of torch")

from palate.cooking.lanes.compare import apart_words
from palate.cooking.lanes.meeting import Meeting
from palate.question.target import Order, Task
from palate.store.reader import Content, read_journal
from palate.training.local import LocalLauncher
from palate.training.outcome import begin_run

LANES = 3

RUNNER = """
import sys, torch
with open(sys.argv[1]) as file:
    source = file.read()
exec(compile(source, sys.argv[1], "exec"), {"__name__": "__main__"})
"""

HEAD = """
import sys, torch, palate
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset
from palate.cooking import steps, plateau
seed = palate.seed_everything()
data = torch.Generator().manual_seed(9)
X = torch.randn(300, 6, generator=data); Y = (X[:, 0] + .5 * torch.randn(300, generator=data) > 0).long()
net = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Dropout(.2), nn.Linear(16, 2))
opt = torch.optim.Adam(net.parameters(), lr=1e-2)
loader = DataLoader(TensorDataset(X, Y), batch_size=20, shuffle=True)

def evaluate():
    net.eval()
    with torch.no_grad():
        loss = F.cross_entropy(net(X), Y).item()
    net.train()
    return loss
"""

LOOP = """
run = palate.start("net", model=net, optimizer=opt)
for x, y in run.steps(loader, until=steps(40)):
    loss = run.mix(ce=F.cross_entropy(net(x), y))
    opt.zero_grad(); loss.backward(); opt.step()
run.log(run.step, final=evaluate())
"""


class Together:
    """Makes runs of a body together, and each alone, in one warm worker."""

    def __init__(self, folder: Path) -> None:
        (folder / "train.py").write_text(RUNNER)
        self.folder, self.made = folder, 0
        self.launcher = LocalLauncher(Task(kind="script", file=str(folder / "train.py"), warm=("torch",)), workers=2)

    def make(self, body: str) -> list[Content]:
        """Return the journals of the runs of a body, whose seeds are 0, 1, ..., made together."""
        place = self._place(body)
        return self._run([self._order(place, seed, LANES) for seed in range(LANES)])

    def alone(self, body: str) -> list[Content]:
        """Return the journals of the same runs, each made alone."""
        place = self._place(body)
        return self._run([self._order(place, seed, 1) for seed in range(LANES)])

    def _place(self, body: str) -> Path:
        self.made += 1
        place = self.folder / str(self.made)
        place.mkdir()
        (place / "body.py").write_text(body)
        return place

    def _order(self, place: Path, seed: int, lanes: int) -> Order:
        folder, meet = place / f"run-{seed}", place / "meet"
        folder.mkdir()
        meet.mkdir(exist_ok=True)
        begin_run(folder / "journal", key="key", label="body", seed=seed, settings={})
        text = Meeting(meet, seed, lanes, worth=99, wait_s=5).text() if lanes > 1 else ""
        return Order(
            id=f"{self.made}-{seed}", folder=folder, seed=seed, settings={}, argv=(str(place / "body.py"),),
            lanes=text, group=str(meet) if text else "",
        )  # fmt: skip

    def _run(self, orders: list[Order]) -> list[Content]:
        for order in orders:
            self.launcher.submit(order)
        ended: dict[str, int] = {}
        while len(ended) < len(orders):
            ended.update({one.id: one.status for one in self.launcher.poll()})
        for order in orders:
            output = (order.folder / "output.log").read_text()
            assert ended[order.id] in (0, -9) or "on purpose" in output, output
        return [read_journal(order.folder / "journal") for order in orders]


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    made = Together(tmp_path_factory.mktemp("lanes"))
    with made.launcher:
        yield made


def lanes_of(content: Content) -> dict:
    """Return what a run noted last of being made with others; nothing where it noted nothing."""
    return next((one for one in reversed(content.events) if one["kind"] == "lanes"), {})


def assert_equal(made: list[Content], alone: list[Content], *, near: float = 1e-3) -> None:
    for one, other in zip(made, alone, strict=True):
        assert one.curves.keys() == other.curves.keys()
        for name, curve in other.curves.items():
            assert list(one.curves[name].steps) == list(curve.steps), name
            assert list(one.curves[name].values) == pytest.approx(list(curve.values), rel=near, abs=1e-6), name


QUALIFY = {
    "dropout, a pass after another, evaluated behind the loop": HEAD + LOOP,
    "clipped, scheduled, summed up, evaluated within, lists and totals": HEAD
    + """
sched = torch.optim.lr_scheduler.CosineAnnealingLR(opt, 40)
run = palate.start("net", model=net, optimizer=opt, scheduler=sched)
total, history, best = 0.0, [], None
for number, (x, y) in enumerate(run.steps(loader, until=steps(40))):
    loss = run.mix(ce=F.cross_entropy(net(x), y, label_smoothing=.1), l2=lambda: net[0].weight.square().sum())
    opt.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(net.parameters(), .5)
    opt.step()
    sched.step()
    total += loss.item()
    if number % 10 == 9:
        history.append(round(loss.item(), 4))
        run.log(run.step, val=evaluate(), rate=sched.get_last_lr()[0])
        print(f"{loss:.3f} {loss.item():.3f}")
run.log(run.step, mean=total / 40, last=history[-1], many=len(history), x=float(x.sum()), end=evaluate())
""",
    "epochs, BatchNorm, convolution, SGD with momentum, evaluated by a loader": HEAD
    + """
net = nn.Sequential(nn.Conv1d(1, 4, 3), nn.BatchNorm1d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 2))
opt = torch.optim.SGD(net.parameters(), lr=.05, momentum=.9, nesterov=True, weight_decay=1e-3)
held = DataLoader(TensorDataset(X[:60], Y[:60]), batch_size=30)
run = palate.start("net", model=net, optimizer=opt)
seen = []
for epoch in run.epochs(3):
    for x, y in run.steps(DataLoader(TensorDataset(X, Y), batch_size=10, shuffle=True)):
        loss = run.mix(ce=F.cross_entropy(net(x.unsqueeze(1)), y))
        opt.zero_grad(); loss.backward(); opt.step()
        seen.append(loss.item())
        if run.step % 15 == 0:
            net.eval()
            with torch.no_grad():
                right = sum((net(a.unsqueeze(1)).argmax(1) == b).sum().item() for a, b in held)
            net.train()
            run.log(run.step, right=right / 60)
    run.log(run.step, epoch_loss=sum(seen[-30:]) / 30)
    net.eval(); run.log(run.step, val=float(F.cross_entropy(net(X.unsqueeze(1)), Y))); net.train()
""",
    "random numbers in the loop, a generator of its own, numbers for batches": HEAD
    + """
mine = torch.Generator().manual_seed(seed + 5)
run = palate.start("net", model=net, optimizer=opt, mine=mine)
for step in run.steps(range(40)):
    rows = torch.randint(0, 300, (20,), generator=mine)
    x = X[rows] + .1 * torch.randn(20, 6)
    x = F.dropout(x, .1) * torch.rand_like(x)
    loss = F.mse_loss(net(x)[:, 0], Y[rows].float())
    opt.zero_grad(set_to_none=False); loss.backward(); opt.step()
    run.log(step, mse=loss)
run.log(run.step, final=evaluate(), drawn=torch.rand(1).item(), mine=torch.rand(1, generator=mine).item())
""",
    "letters: embedding, tied weights, layer norm, accumulated gradients, an average of the weights": HEAD
    + """
class Letters(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(12, 8)
        self.norm = nn.LayerNorm(8)
        self.out = nn.Linear(8, 12, bias=False)
        self.out.weight = self.embed.weight
        self.calls = 0
    def forward(self, letters):
        self.calls += 1
        return self.out(self.norm(self.embed(letters)).cumsum(1))
net = Letters()
average = torch.optim.swa_utils.AveragedModel(net, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(.9))
opt = torch.optim.AdamW(net.parameters(), lr=3e-3)
text = torch.randint(0, 12, (400, 9), generator=data)
run = palate.start("letters", model=net, optimizer=opt, average=average)
for (line,) in run.steps(DataLoader(TensorDataset(text), batch_size=16, shuffle=True, drop_last=True), until=steps(40)):
    logits = net(line[:, :-1])
    loss = run.mix(nll=F.cross_entropy(logits.reshape(-1, 12), line[:, 1:].reshape(-1)))
    (loss / 2).backward()
    if run.step % 2:
        opt.step(); opt.zero_grad()
        average.update_parameters(net)
run.log(run.step, calls=net.calls, average=average.module.embed.weight.abs().sum().item())
""",
    "inside of a function, what it left is used": HEAD
    + """
def train(run, net, opt):
    total = count = 0
    kept = {}
    for x, y in run.steps(loader, until=steps(40)):
        loss = F.cross_entropy(net(x), y)
        opt.zero_grad(); loss.backward(); opt.step()
        total += loss.item() * len(x); count += len(x)
        kept["last"] = loss.item()
    return total / count, kept
run = palate.start("net", model=net, optimizer=opt)
mean, kept = train(run, net, opt)
run.log(run.step, mean=mean, final=evaluate(), **kept)
""",
    "objects, aliases, closures, defaults and hooks that the loop changes": HEAD
    + """
import collections, functools, heapq
class Meter:
    made = []
    def __init__(self): self.total = self.count = 0; self.kept = []
    def add(self, value): self.total += value; self.count += 1; self.kept.append(value)
class Timer:
    entered = 0
    def __enter__(self): self.entered += 1
    def __exit__(self, *_): pass
def counted(step, seen=[]):
    global called
    called += 1
    seen.append(step)
    return len(seen)
def counter():
    count = 0
    def more():
        nonlocal count
        count += 1
        return count
    return more
def add_to(kept, value): kept.append(value)
def hooked(module, inputs, output): stats["hook"] += 1
meter, timer, called, more, heap, pair = Meter(), Timer(), 0, counter(), [], ([], [])
alias, stats, append = {"loss": []}, collections.Counter(), pair[0].append
part = functools.partial(add_to, []); tally = torch.zeros(50); rolling = collections.deque(maxlen=5)
net[0].register_forward_hook(hooked)
net.history = []
scale = 1 + seed / 9
net.alpha = 1.0 + seed
class Options: pass
options, state = Options(), {"seed": seed, "best": 0.0}
options.seed, options.best = seed, 0.0
run = palate.start("net", model=net, optimizer=opt)
for x, y in run.steps(loader, until=steps(40)):
    with timer:
        loss = scale * net.alpha * F.cross_entropy(net(x), y)
    opt.zero_grad(); loss.backward(); opt.step()
    value = loss.item()
    meter.add(value); counted(run.step); more(); append(value); part(value); rolling.append(value)
    for name, kept in alias.items(): kept.append(value)
    heapq.heappush(heap, run.step)
    options.best = value; state["best"] = value
    setattr(meter, "last", value); net.history.append(value); Meter.made.append(1)
    tally[run.step] = 1
    if run.step == 30: run.log(run.step, late=value * scale, alpha=value * net.alpha)
run.log(run.step, total=meter.total, count=meter.count, kept=sum(meter.kept), last=meter.last, entered=timer.entered,
        seen=counted(0), called=called, more=more(), heap=len(heap), pair=sum(pair[0]), alias=sum(alias["loss"]),
        part=len(part.args[0]), tally=tally.sum().item(), hook=stats["hook"], made=len(Meter.made),
        history=sum(net.history), rolling=sum(rolling), best=options.best + state["best"],
        kept_seed=options.seed + state["seed"])
""",
    "numbers that live over epochs, gradients that are added up over the end of a pass": HEAD
    + """
run = palate.start("net", model=net, optimizer=opt)
total, many = 0.0, 0
loader = DataLoader(TensorDataset(X, Y), batch_size=12, shuffle=True)
for epoch in run.epochs(3):
    for x, y in run.steps(loader):
        loss = F.cross_entropy(net(x), y)
        (loss / 4).backward()
        total += loss.item(); many += 1
        if many % 4 == 0:
            opt.step(); opt.zero_grad()
        run.log(mean=total / many)
run.log(run.step, final=evaluate(), norm=net[0].weight.grad.norm().item())
""",
}


def some(names, *fast):
    """Mark all but a few as slow."""
    return [name if name in fast else pytest.param(name, marks=pytest.mark.slow) for name in names]


@pytest.mark.parametrize("name", some(QUALIFY, "clipped, scheduled, summed up, evaluated within, lists and totals"))
def test_runs_made_together_come_to_what_each_comes_to_alone(together, name):
    made, alone = together.make(QUALIFY[name]), together.alone(QUALIFY[name])
    assert [lanes_of(one).get("alone") for one in made] == [None] * LANES
    assert [lanes_of(one)["lane"] for one in made] == list(range(LANES))
    assert_equal(made, alone)


LONE = {
    "a plain number of Python's": (HEAD + LOOP.replace("loss.backward()", "loss.backward(); z = float(loss)"), "float"),
    "left by break": (HEAD + LOOP.replace("opt.step()", "opt.step()\n    if run.step == 20: break"), "break"),
    "a branch": (HEAD + LOOP.replace("opt.step()", "opt.step()\n    if loss > .6: opt.step()"), "differs from run"),
    "numpy": (HEAD + LOOP.replace("opt.step()", "opt.step(); z = loss.detach().numpy()"), "numpy"),
    "Python's random numbers": (
        "import random\n" + HEAD + LOOP.replace("opt.step()", "opt.step(); z = random.random()"), "random numbers"),
    "data by seed": (
        HEAD + "X = X + torch.randn(300, 6)\nloader = DataLoader(TensorDataset(X, Y), 20)\n" + LOOP, "data"),
    "held out by seed": (
        HEAD + "Z = X[torch.randperm(300)[:50]]\n"
        + LOOP.replace("opt.step()", "opt.step()\n    if run.step == 30: run.log(run.step, z=net(Z).sum().item())"),
        "Z differs"),
    "a default that is held out by seed": (
        HEAD + "def look(z=X[torch.randperm(300)[:50]]): return net(z).sum().item()\n"
        + LOOP.replace("opt.step()", "opt.step()\n    if run.step == 30: run.log(run.step, z=look())"), "(z=...) differs"),
    "an iterator of held-out batches": (
        HEAD + "held = iter(DataLoader(TensorDataset(X, Y), 20, shuffle=True))\n"
        + LOOP.replace("opt.step()", "opt.step()\n    if run.step > 30: run.log(z=net(next(held)[0]).sum().item())"),
        "cannot be compared"),
    "two loaders at once": (
        HEAD + LOOP.replace("(x, y) in", "x, y in").replace("for x, y in run.steps(loader, until=steps(40))",
            "for (x, y), _ in zip(run.steps(loader, until=steps(40)), DataLoader(X, 2))"), "besides run.steps"),
    "a file": (
        HEAD + LOOP.replace("opt.step()", "opt.step(); (run.folder / 'x').write_text('x')"),
        "files"),
    "a saved model": (
        HEAD + LOOP.replace("opt.step()", "opt.step()\n    if run.step == 20: torch.save(net.state_dict(), run.folder / 'x.pt')"),
        "stored"),
    "a scheduler that is no part": (
        HEAD + "sched = torch.optim.lr_scheduler.StepLR(opt, 5)\n"
        + LOOP.replace("opt.step()", "opt.step(); sched.step()"),
        "sched is used"),
    "a number made of text": (
        HEAD + LOOP.replace("opt.step()", "opt.step(); run.log(run.step, z=float(f'{loss.item():.3f}'))"), "could not convert"),
    "frozen within": (
        HEAD + LOOP.replace("opt.step()", "opt.step(); net[0].weight.requires_grad = run.step < 20"), "trained is changed"),
    "seeded within": (HEAD + LOOP.replace("opt.step()", "opt.step(); run.step == 20 and torch.manual_seed(1)"), "seeded"),
    "wrong in the first steps": (
        HEAD + "import os; own = os.getpid()\n" + LOOP.replace("opt.zero", "loss = loss + .3 * net[0].weight.sum() * (os.getpid() != own); opt.zero"), "a weight is not what"),
    "wrong later": (
        HEAD + "import os; own = os.getpid()\n"
        + LOOP.replace("opt.step()", "opt.step() if run.step < 20 or os.getpid() == own else None"), "its lane"),
    "a generator that is no part": (
        HEAD + "g = torch.Generator().manual_seed(seed)\n"
        + LOOP.replace("net(x)", "net(x + torch.randn(20, 6, generator=g))"), "g is used"),
    "LBFGS": (HEAD.replace("Adam(net.parameters(), lr=1e-2)", "LBFGS(net.parameters())")
              + LOOP.replace("opt.step()", "opt.step(lambda: loss)"), "LBFGS"),
    "until a plateau": (HEAD + LOOP.replace("steps(40)", "steps(40) | plateau('ce')"), "another step"),
    "a loader with an order of its own": (
        HEAD + "loader = DataLoader(TensorDataset(X, Y), batch_sampler=[[1, 2, 3]] * 50)\n" + LOOP, "sampler"),
    "data with noise": (
        HEAD + "class Noisy(TensorDataset):\n    def __getitem__(self, i): return X[i] + torch.rand(1), Y[i]\n"
        "loader = DataLoader(Noisy(X, Y), 20)\n" + LOOP, "data are a Noisy"),
    "a short loop": (HEAD + LOOP.replace("steps(40)", "steps(9)"), "fewer than"),
    "one fails before the loop": (HEAD + "if seed == 1: raise SystemExit('on purpose')\n" + LOOP, "did not come"),
    "the first fails before the loop": (HEAD + "if seed == 0: raise SystemExit('on purpose')\n" + LOOP, "run"),
    "one is killed in its first step": (
        HEAD + "import os\n" + LOOP.replace("opt.step()", "opt.step(); os.environ['PALATE_SEED'] == '1' and os.kill(os.getpid(), 9)"), "ended"),
    "one fails after it": (HEAD + LOOP + "if seed == 0: raise SystemExit('on purpose')\n", ""),
}  # fmt: skip


@pytest.mark.parametrize("name", some(LONE, "left by break", "held out by seed", "one fails before the loop"))
def test_a_run_that_cannot_be_made_with_others_goes_on_alone_and_says_why(together, name):
    body, why = LONE[name]
    made, alone = together.make(body), together.alone(body)
    came = [one for one in made if "ce" in one.curves]
    assert len(came) >= 2
    if why:
        assert all(why in lanes_of(one)["alone"] for one in came), [lanes_of(one) for one in came]
    assert_equal(made, alone, near=0 if why else 1e-3)


def test_a_run_alone_notes_whether_it_could_be_made_with_others(together, tmp_path):
    noted = {}
    for name, body in {"can": HEAD + LOOP, "cannot": LONE["left by break"][0]}.items():
        (tmp_path / name).mkdir()
        (tmp_path / f"{name}.py").write_text(body)
        begin_run(tmp_path / name / "journal", key="key", label="body", seed=0, settings={})
        order = Order(id=name, folder=tmp_path / name, seed=0, settings={}, argv=(str(tmp_path / f"{name}.py"),),
                      lanes="ask")  # fmt: skip
        together._run([order])
        noted[name] = lanes_of(read_journal(tmp_path / name / "journal"))
    assert noted["can"]["can"] is True
    assert noted["cannot"]["can"] is False and "break" in noted["cannot"]["why"]


def test_a_meeting_is_told_to_a_process_once(monkeypatch):
    text = Meeting(Path("/somewhere"), 1, 3).text()
    monkeypatch.setenv("PALATE_LANES", text)
    met = Meeting.of_process()
    assert met is not None and (met.lane, met.lanes) == (1, 3)
    assert json.loads(text)["folder"] == "/somewhere"
    assert Meeting.of_process() is None


SETTLED_LATE = (
    """
import argparse
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=1e-2)
options = parser.parse_args()
"""
    + HEAD.replace("lr=1e-2", "lr=options.lr")
    + LOOP.replace("steps(40)", "steps(400)").replace("final", "val_loss")
)


@pytest.mark.slow
def test_palate_run_makes_seeds_together_by_itself_behind_the_first_pairs(tmp_path):
    (tmp_path / "train.py").write_text(SETTLED_LATE)
    command = [sys.executable, "-m", "palate", "run", "train.py", "-c", "lr=1.0001e-2", "--metric", "val_loss"]
    options = ["--no-forecast", "--margin", "1e-9", "--pairs", "8", "--json"]
    environment = {**os.environ, "PALATE_HOME": str(tmp_path / ".palate")}
    told = subprocess.run(
        [*command, *options], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert told.returncode == 0, told.stderr
    # All that were made, also those that the verdict did not wait for.
    journals = sorted((tmp_path / ".palate" / "runs").glob("*/journal"))
    noted = {path.parent.name: lanes_of(read_journal(path)) for path in journals}
    assert sum(bool(one.get("can")) for one in noted.values()) >= 2  # the first of each arm is asked
    met = [one for one in noted.values() if "lane" in one]
    assert len(met) >= 5 and all(one["price"] < one["lanes"] for one in met), (noted, told.stderr)
    assert not list((tmp_path / ".palate" / "runs").glob("*/lanes"))


@pytest.mark.parametrize("lanes", [3, 8])
def test_another_seeds_rows_are_apart_and_a_little_rounding_is_not(lanes):
    drawn = random.Random(lanes)
    for _ in range(200):
        curves = [[drawn.gauss(1.0, 0.1) for _ in range(30)] for _ in range(lanes)]
        spread = [{"loss": statistics.pstdev(at)} for at in zip(*curves, strict=True)]
        first, other = ([(step, {"loss": value}) for step, value in enumerate(curve)] for curve in curves[:2])
        rounded = [(step, {"loss": row["loss"] * (1 + 1e-5 * step)}) for step, row in first]
        assert apart_words(first, other, spread)
        assert not apart_words(first, rounded, spread)


def test_rows_are_apart_by_their_steps_their_names_and_what_is_not_finite():
    one, spread = [(0, {"loss": 1.0})], [{"loss": 0.1}]
    assert "rows" in apart_words(one, [*one, *one], spread)
    assert "step 0" in apart_words(one, [(1, {"loss": 1.0})], spread)
    assert "acc" in apart_words(one, [(0, {"acc": 1.0})], spread)
    assert apart_words([(0, {"loss": math.nan})], [(0, {"loss": 1.0})], spread)
    assert not apart_words([(0, {"loss": math.nan})], [(0, {"loss": math.nan})], spread)
