"""Real curves on which to judge when a training was ended: four tasks, seven ways each, evaluated every 5 steps."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from mnist1d.data import get_dataset_args, make_dataset
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.optim import lr_scheduler

STEPS, EVERY, BATCH = 2_400, 5, 64
CONTEXT = 12
"""Characters that the language model sees."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """The validation cross entropy of one training: `values[k]` after `steps[k]` steps."""

    task: str
    way: str
    steps: tuple[int, ...]
    values: tuple[float, ...]

    def every(self, steps: int) -> "Curve":
        """Return it as evaluated only every so many steps."""
        kept = [place for place, step in enumerate(self.steps) if step % steps == 0]
        return replace(
            self, steps=tuple(self.steps[place] for place in kept), values=tuple(self.values[place] for place in kept)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What is trained: its examples, its network, and the learning rate that is usual for it."""

    name: str
    train: tuple[Tensor, Tensor]
    held_out: tuple[Tensor, Tensor]
    build: Callable[[], nn.Module]
    optimizer: Callable[..., torch.optim.Optimizer]
    lr: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How it is trained: times the usual learning rate, with a schedule, on a share of the examples."""

    name: str
    times: float
    schedule: str = "constant"
    share: float = 1.0


WAYS = (
    Way(name="constant, low", times=0.3),
    Way(name="constant, high", times=3),
    Way(name="cosine", times=1, schedule="cosine"),
    Way(name="cosine, high", times=3, schedule="cosine"),
    Way(name="step decay", times=1, schedule="step"),
    Way(name="step decay, high", times=3, schedule="step"),
    Way(name="constant, few examples", times=1, share=0.15),
)


def curves(seed: int = 1, tasks: tuple[str, ...] = ("cnn", "mlp", "digits", "text")) -> Iterator[Curve]:
    """Train each task in each way, on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for task in map(_task, tasks):
            for way in WAYS:
                yield _trained(task, way, seed)
    finally:
        torch.set_num_threads(threads)


def _trained(task: Task, way: Way, seed: int) -> Curve:
    torch.manual_seed(seed)
    x, y = task.train
    kept = torch.randperm(len(x))[: int(len(x) * way.share)]
    net = task.build()
    optimizer = task.optimizer(net.parameters(), lr=task.lr * way.times)
    schedule = _schedule(way, optimizer)
    steps, values = [], []
    for step in range(1, STEPS + 1):
        batch = kept[torch.randint(len(kept), (BATCH,))]
        loss = F.cross_entropy(net(x[batch]), y[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % EVERY == 0:
            steps.append(step)
            values.append(_evaluated(net, *task.held_out))
    return Curve(task=task.name, way=way.name, steps=tuple(steps), values=tuple(values))


@torch.no_grad()
def _evaluated(net: nn.Module, x: Tensor, y: Tensor) -> float:
    net.eval()
    loss = F.cross_entropy(net(x), y).item()
    net.train()
    return loss


def _schedule(way: Way, optimizer: torch.optim.Optimizer) -> lr_scheduler.LRScheduler:
    if way.schedule == "cosine":
        return lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    milestones = [STEPS // 2, STEPS * 3 // 4] if way.schedule == "step" else []
    return lr_scheduler.MultiStepLR(optimizer, milestones, gamma=0.1)


def _task(name: str) -> Task:
    return {"cnn": _cnn, "mlp": _mlp, "digits": _digits, "text": _text}[name]()


def _mnist1d() -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    made = make_dataset(get_dataset_args())
    x, x_test = (torch.tensor(made[name], dtype=torch.float32) for name in ("x", "x_test"))
    return (x, torch.tensor(made["y"])), (x_test, torch.tensor(made["y_test"]))


def _cnn() -> Task:
    train, held_out = _mnist1d()

    def build() -> nn.Module:
        return nn.Sequential(
            nn.Unflatten(1, (1, 40)),
            nn.Conv1d(1, 16, 5, stride=2, padding=2),
            nn.ReLU(),
            nn.Conv1d(16, 16, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv1d(16, 16, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(80, 10),
        )

    return Task(name="mnist1d CNN", train=train, held_out=held_out, build=build, optimizer=torch.optim.AdamW, lr=3e-3)


def _mlp() -> Task:
    train, held_out = _mnist1d()

    def build() -> nn.Module:
        return nn.Sequential(nn.Linear(40, 100), nn.ReLU(), nn.Linear(100, 100), nn.ReLU(), nn.Linear(100, 10))

    def sgd(parameters: Iterator[nn.Parameter], lr: float) -> torch.optim.Optimizer:
        return torch.optim.SGD(parameters, lr, momentum=0.9)

    return Task(name="mnist1d MLP", train=train, held_out=held_out, build=build, optimizer=sgd, lr=0.03)


def _digits() -> Task:
    x, y = load_digits(return_X_y=True)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    inputs, labels = torch.tensor(x, dtype=torch.float32)[order] / 16, torch.tensor(y)[order]

    def build() -> nn.Module:
        return nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Dropout(0.2), nn.Linear(64, 10))

    return Task(
        name="digits MLP",
        train=(inputs[:1000], labels[:1000]),
        held_out=(inputs[1000:], labels[1000:]),
        build=build,
        optimizer=torch.optim.Adam,
        lr=1e-3,
    )


def _text() -> Task:
    """Predict the next character of the standard library's sources, of which every installation has some."""
    folder = Path(json.__file__).parent
    text = "".join(path.read_text() for path in sorted(folder.glob("*.py")))
    codes = torch.tensor([min(ord(letter), 127) for letter in text])
    windows = codes.unfold(0, CONTEXT + 1, 1)
    cut = len(windows) * 4 // 5

    def build() -> nn.Module:
        return nn.Sequential(
            nn.Embedding(128, 12), nn.Flatten(), nn.Linear(12 * CONTEXT, 96), nn.ReLU(), nn.Linear(96, 128)
        )

    train, held_out = windows[:cut], windows[cut + CONTEXT :][::5]
    return Task(
        name="character LM",
        train=(train[:, :-1], train[:, -1]),
        held_out=(held_out[:, :-1], held_out[:, -1]),
        build=build,
        optimizer=torch.optim.AdamW,
        lr=2e-3,
    )
