"""Many seeds at once: what they cost in single runs, and whether they come to the same; by CPU time, in one go.

The runs are made by palate's local engine, as `palate run` makes them: each is a process of its own that imports
nothing anew, makes its model and its data, and leaves a journal. What the engine itself costs is measured by a script
that does nothing, and left out of both.
"""

import resource
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.table import Row
from palate.cooking.lanes.meeting import Meeting
from palate.question.target import Order, Task
from palate.store.reader import read_journal
from palate.training.local import LocalLauncher
from palate.training.outcome import begin_run

SEEDS = 32
SINGLES = 4
STEPS = 3_000

TRAIN = """
import sys
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset
import palate
from palate.cooking import steps

hidden, number, length = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
torch.set_default_dtype(getattr(torch, number))
made = torch.Generator().manual_seed(1)
x = torch.randn(3000, 40, generator=made)
y = (x @ torch.randn(40, 10, generator=made) + 2 * torch.randn(3000, 10, generator=made)).argmax(1)
palate.seed_everything()
net = nn.Sequential(nn.Linear(40, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 10))
opt = torch.optim.AdamW(net.parameters(), lr=1e-3)
sched = torch.optim.lr_scheduler.CosineAnnealingLR(opt, length)
loader = DataLoader(TensorDataset(x[:2000], y[:2000]), batch_size=64, shuffle=True)
run = palate.start("mlp", model=net, optimizer=opt, scheduler=sched)
for xb, yb in run.steps(loader, until=steps(length)):
    loss = run.mix(ce=F.cross_entropy(net(xb), yb))
    opt.zero_grad()
    loss.backward()
    opt.step()
    sched.step()
    if (run.step + 1) % 500 == 0:
        with torch.no_grad():
            run.log(run.step, val_loss=F.cross_entropy(net(x[2000:]), y[2000:]).item())
"""


def rows() -> Iterator[Row]:
    """Measure the price of 32 seeds of three sizes, and how far a seed is from the same run alone."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "train.py").write_text(TRAIN)
        (folder / "nothing.py").write_text("import torch\n")
        idle_s, _ = _made(folder, "nothing.py", [], [0], together=False)
        for hidden, target in ((16, None), (32, 5.0), (64, None)):
            words = [str(hidden), "float32", str(STEPS)]
            one_s, alone = _made(folder, "train.py", words, range(SINGLES), together=False)
            all_s, lanes = _made(folder, "train.py", words, range(SEEDS), together=True)
            price = (all_s - idle_s) / ((one_s - idle_s) / SINGLES)
            name = f"MLP{hidden}, {SEEDS} seeds at once, the first made alone besides: single runs"
            yield Row(name=name, measured=price, target=target)
            apart = [abs(a - b) for a, b in zip(alone, lanes, strict=False)]
            spread = statistics.stdev(lanes)
            name = f"... val_loss, lane and run alone, {SINGLES} seeds, over the seed's sd"
            yield Row(name=name, measured=max(apart) / spread)
        words = ["32", "float64", "500"]
        _, alone = _made(folder, "train.py", words, range(SINGLES), together=False)
        _, lanes = _made(folder, "train.py", words, range(SINGLES), together=True)
        apart = [abs(a - b) for a, b in zip(alone, lanes, strict=True)]
        yield Row(name="float64, 500 steps: val_loss, lane and run alone, largest", measured=max(apart), target=1e-9)


def _made(
    folder: Path, script: str, words: list[str], seeds: Sequence[int], *, together: bool
) -> tuple[float, list[float]]:
    """Make runs in a worker of their own; return its CPU seconds, and the last val_loss of each."""
    place = Path(tempfile.mkdtemp(dir=folder))
    (place / "meet").mkdir()
    orders = []
    for seed in seeds:
        run = place / f"run-{seed}"
        run.mkdir()
        begin_run(run / "journal", key="key", label="mlp", seed=seed, settings={})
        text = Meeting(place / "meet", seed, len(seeds)).text() if together else ""
        order = Order(id=str(run), folder=run, seed=seed, settings={}, argv=tuple(words), lanes=text,
                      group="all" if together else "")  # fmt: skip
        orders.append(order)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with LocalLauncher(Task(kind="script", file=str(folder / script), warm=("torch",)), workers=1) as launcher:
        for order in orders:
            launcher.submit(order)
        ended = 0
        while ended < len(orders):
            ended += len(launcher.poll())
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    contents = [read_journal(order.folder / "journal") for order in orders]
    if together and any("price" not in event for one in contents for event in one.events if event["kind"] == "lanes"):
        raise RuntimeError("The seeds were not made together.")
    losses = [float(one.curves["val_loss"].values[-1]) for one in contents if "val_loss" in one.curves]
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, losses
