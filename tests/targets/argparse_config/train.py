"""--config names a file whose values become defaults."""

import argparse

import numpy as np
import yaml


def fit(lr, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(64, 4))
    y = x @ np.array([1.0, -2.0, 0.5, 0.0])
    w = np.zeros(4)
    for _ in range(20):
        w -= lr * x.T @ (x @ w - y) / len(x)
    print(f"lr={lr!r} seed={seed!r} loss={np.mean((x @ w - y) ** 2):.4f}")


first = argparse.ArgumentParser(add_help=False)
first.add_argument("-c", "--config", default="")
given, rest = first.parse_known_args()
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.5)
parser.add_argument("--seed", type=int, default=0)
if given.config:
    with open(given.config) as file:
        parser.set_defaults(**yaml.safe_load(file))
args = parser.parse_args(rest)
fit(args.lr, args.seed)
