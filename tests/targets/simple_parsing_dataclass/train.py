"""A dataclass whose fields simple-parsing makes options of."""

from dataclasses import dataclass

import numpy as np
from simple_parsing import ArgumentParser


def fit(lr, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(64, 4))
    y = x @ np.array([1.0, -2.0, 0.5, 0.0])
    w = np.zeros(4)
    for _ in range(20):
        w -= lr * x.T @ (x @ w - y) / len(x)
    print(f"lr={lr!r} seed={seed!r} loss={np.mean((x @ w - y) ** 2):.4f}")


@dataclass
class HParams:
    learning_rate: float = 0.1
    batch_size: int = 8
    seed: int = 0


parser = ArgumentParser()
parser.add_arguments(HParams, dest="hparams")
args = parser.parse_args()
fit(args.hparams.learning_rate, args.hparams.seed)
