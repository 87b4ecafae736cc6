"""Transformers' parser of dataclasses."""

from dataclasses import dataclass, field

import numpy as np
from transformers import HfArgumentParser


def fit(lr, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(64, 4))
    y = x @ np.array([1.0, -2.0, 0.5, 0.0])
    w = np.zeros(4)
    for _ in range(20):
        w -= lr * x.T @ (x @ w - y) / len(x)
    print(f"lr={lr!r} seed={seed!r} loss={np.mean((x @ w - y) ** 2):.4f}")


@dataclass
class ModelArguments:
    width: int = field(default=8, metadata={"help": "width of the network"})


@dataclass
class OptimArguments:
    learning_rate: float = field(default=0.1, metadata={"help": "learning rate"})
    adafactor: bool = False
    seed: int = 0


parser = HfArgumentParser((ModelArguments, OptimArguments))
model_args, optim_args = parser.parse_args_into_dataclasses()
fit(optim_args.learning_rate, optim_args.seed)
