"""Train the runs that the fooled-rate benchmark draws from: `python -m benchmarks.fooled.train`.

Five small real tasks, about ten arms each, 60 to 200 seeds an arm, all seeds of an arm at once in batched matrices.
What is kept of each run is its test accuracy and, for each test example, whether it was right. A seed draws the
initialisation and the order of the data, the same for every arm of a shape, so that seeds pair.
"""

import itertools
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from mnist1d.data import get_dataset_args, make_dataset
from sklearn.datasets import load_breast_cancer, load_digits
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from benchmarks.fooled import STORED


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What an arm is trained by."""

    hidden: int = 32
    lr: float = 1e-2
    decay: float = 0.0
    dropout: float = 0.0
    smoothing: float = 0.0
    batch: int = 50
    steps: int = 300
    init: float = 1.0
    noise: float = 0.0
    stream: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A task: its data, its network, its arms, its seeds."""

    load: Callable[[], tuple[Tensor, Tensor, int]]
    base: Recipe
    arms: dict[str, dict[str, float]]
    seeds: int
    split_by_seed: bool = False
    convolutions: bool = False
    classes: int = 10
    lanes: int = field(default=50)


def digits() -> tuple[Tensor, Tensor, int]:
    """Give scikit-learn's digits: (1797, 64), labels, and how many are for testing."""
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    return torch.tensor(x[order] / 16, dtype=torch.float32), torch.tensor(y[order]), 597


def cancer() -> tuple[Tensor, Tensor, int]:
    """Give scikit-learn's breast cancer data, standardised."""
    x, y = load_breast_cancer(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    x = (x - x.mean(0)) / x.std(0)
    return torch.tensor(x[order], dtype=torch.float32), torch.tensor(y[order]), 200


def mnist1d() -> tuple[Tensor, Tensor, int]:
    """Give mnist1d as its generator makes it: (5000, 40), the last 1,000 for testing."""
    made = make_dataset(get_dataset_args())
    x, y = np.concatenate([made["x"], made["x_test"]]), np.concatenate([made["y"], made["y_test"]])
    return torch.tensor(x, dtype=torch.float32), torch.tensor(y), 1000


COMMON: dict[str, dict[str, float]] = {
    "base": {},
    "same": {"stream": 1},
    "lr_up": {"lr": 1.5},
    "lr_down": {"lr": 0.75},
    "lr_far_down": {"lr": 0.4},
    "narrow": {"hidden": 0.75},
    "wide": {"hidden": 1.5},
    "dropout": {"dropout": 0.2},
    "smoothing": {"smoothing": 0.1},
    "decay": {"decay": 0.05},
    "batch": {"batch": 2.0},
    "init": {"init": 0.5},
}
FEWER = {name: COMMON[name] for name in ("base", "same", "lr_up", "lr_down", "narrow", "wide", "smoothing", "dropout")}

TASKS = {
    "digits": Task(load=digits, base=Recipe(), arms=COMMON, seeds=200),
    "digits_split": Task(load=digits, base=Recipe(), arms=COMMON, seeds=200, split_by_seed=True),
    "cancer": Task(load=cancer, base=Recipe(hidden=8, batch=32, steps=150), arms=COMMON, seeds=200, classes=2),
    "mnist1d_mlp": Task(load=mnist1d, base=Recipe(hidden=64, batch=100, steps=800), arms=COMMON, seeds=100),
    "mnist1d_cnn": Task(
        load=mnist1d, base=Recipe(hidden=8, batch=64, steps=400), arms=FEWER, seeds=60, convolutions=True
    ),
}
SPLIT = {"lr": {"lr": 1.5}, "width": {"hidden": 1.5}, "smoothing": {"smoothing": 0.1}}
CELLS: dict[str, dict[str, float]] = {
    "+".join(chosen): {name: x for factor in chosen for name, x in SPLIT[factor].items()}
    for k in range(len(SPLIT) + 1)
    for chosen in itertools.combinations(SPLIT, k)
}
"""Three changes of one task in all combinations, "" being the baseline: whose gain is it?"""

TASKS["split"] = replace(TASKS["mnist1d_mlp"], arms=CELLS)
_FACTORS = ("lr", "hidden", "batch", "init")


def recipe_of(task: Task, arm: str) -> Recipe:
    """Give an arm's recipe: factors multiply the base's, the rest replaces it."""
    changes = task.arms[arm]
    values = {name: getattr(task.base, name) * x if name in _FACTORS else x for name, x in changes.items()}
    whole = {name: int(x) if name in ("hidden", "batch", "steps", "stream") else x for name, x in values.items()}
    return replace(task.base, **whole)  # type: ignore[arg-type]


def train_arm(task: Task, recipe: Recipe) -> tuple[np.ndarray, np.ndarray]:
    """Train all seeds; give accuracies (seeds,) and which examples were right (seeds, tests)."""
    data = task.load()
    parts = [
        _train(task, recipe, data, list(range(first, min(first + task.lanes, task.seeds))))
        for first in range(0, task.seeds, task.lanes)
    ]
    right = np.concatenate(parts)
    return right.mean(axis=1), right


def _train(task: Task, recipe: Recipe, data: tuple[Tensor, Tensor, int], seeds: list[int]) -> np.ndarray:
    x, y, tests = data
    makers = [torch.Generator().manual_seed(1000 * seed + 7 + 500_009 * recipe.stream) for seed in seeds]
    order = torch.stack([_order(len(x), seed if task.split_by_seed else None) for seed in seeds])
    train, test = order[:, :-tests], order[:, -tests:]
    weights = _initialise(task, recipe, x.shape[1], makers)
    optimizer = torch.optim.AdamW(weights, lr=recipe.lr, weight_decay=recipe.decay)
    drop = torch.Generator().manual_seed(99 + recipe.stream)
    for step in range(recipe.steps):
        places = torch.stack(
            [torch.randint(train.shape[1], (200,), generator=maker)[: recipe.batch] for maker in makers]
        )
        chosen = torch.gather(train, 1, places)
        optimizer.param_groups[0]["lr"] = recipe.lr * (1 - step / recipe.steps)
        out = _forward(task, weights, x[chosen], recipe.dropout, drop)
        loss = F.cross_entropy(
            out.flatten(0, 1), y[chosen].flatten(), label_smoothing=recipe.smoothing, reduction="sum"
        )
        optimizer.zero_grad()
        (loss / recipe.batch).backward()
        optimizer.step()
    with torch.no_grad():
        return np.asarray((_forward(task, weights, x[test], 0.0, drop).argmax(-1) == y[test]).numpy())


def _order(examples: int, seed: int | None) -> Tensor:
    if seed is None:
        return torch.arange(examples)
    return torch.randperm(examples, generator=torch.Generator().manual_seed(seed))


def _initialise(task: Task, recipe: Recipe, features: int, makers: list[torch.Generator]) -> list[Tensor]:
    hidden = recipe.hidden
    shapes = [(features, hidden), (hidden, task.classes)]
    if task.convolutions:
        shapes = [(5, hidden), (3 * hidden, 2 * hidden), (2 * hidden * 10, task.classes)]
    weights = []
    for fan_in, fan_out in shapes:
        scale = recipe.init * (2 / fan_in) ** 0.5
        drawn = torch.stack([torch.randn(fan_in, fan_out, generator=maker) for maker in makers]) * scale
        weights += [drawn.requires_grad_(), torch.zeros(len(makers), 1, fan_out, requires_grad=True)]
    return weights


def _forward(task: Task, weights: list[Tensor], x: Tensor, dropout: float, drop: torch.Generator) -> Tensor:
    """Give (lanes, examples, classes) from x (lanes, examples, features)."""
    if task.convolutions:
        x = _convolve(x.unsqueeze(-1), weights[0], weights[1], 5)
        x = _convolve(x, weights[2], weights[3], 3).flatten(2)
        hidden, weights = x, weights[2:]
    else:
        hidden = F.relu(torch.baddbmm(weights[1], x, weights[0]))
    if dropout:
        hidden = hidden * (torch.rand(hidden.shape, generator=drop) >= dropout) / (1 - dropout)
    return torch.baddbmm(weights[3], hidden, weights[2])


def _convolve(x: Tensor, weight: Tensor, bias: Tensor, width: int) -> Tensor:
    """Convolve with stride 2, one filter bank a lane: (lanes, n, length, c) -> (lanes, n, length / 2, filters)."""
    lanes, n, _, _ = x.shape
    windows = F.pad(x, (0, 0, width // 2, width // 2)).unfold(2, width, 2).flatten(3)
    out = F.relu(torch.baddbmm(bias, windows.flatten(1, 2), weight))
    return out.view(lanes, n, -1, out.shape[-1])


def main() -> None:
    """Train everything, or the tasks named, and store it."""
    torch.set_num_threads(1)
    wanted = sys.argv[1:] or list(TASKS)
    stored: dict[str, np.ndarray] = {}
    if sys.argv[1:]:
        with np.load(STORED) as kept:
            stored = {name: kept[name] for name in kept.files}
    for name in wanted:
        task = TASKS[name]
        started = time.process_time()
        for arm in task.arms:
            scores, right = train_arm(task, recipe_of(task, arm))
            stored[f"{name}/{arm}/score"] = scores.astype(np.float32)
            stored[f"{name}/{arm}/right"] = np.packbits(right, axis=1)
            print(f"{name:<14}{arm:<14}{scores.mean():.4f} +- {scores.std(ddof=1):.4f}", file=sys.stderr, flush=True)
        print(f"{name}: {time.process_time() - started:.0f} CPU-s", file=sys.stderr, flush=True)
    np.savez_compressed(STORED, **stored)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
