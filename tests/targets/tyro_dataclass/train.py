"""Dataclasses within dataclasses, by tyro."""

from dataclasses import dataclass, field

import numpy as np
import tyro


def fit(lr, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(64, 4))
    y = x @ np.array([1.0, -2.0, 0.5, 0.0])
    w = np.zeros(4)
    for _ in range(20):
        w -= lr * x.T @ (x @ w - y) / len(x)
    print(f"lr={lr!r} seed={seed!r} loss={np.mean((x @ w - y) ** 2):.4f}")


@dataclass
class Optim:
    lr: float = 0.1
    nesterov: bool = False


@dataclass
class Args:
    optim: Optim = field(default_factory=Optim)
    batch_size: int = 8
    seed: int = 0


args = tyro.cli(Args)
fit(args.optim.lr, args.seed)
