import argparse

import numpy as np


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--lr", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rng = np.random.default_rng(args.seed)
    x = rng.normal(size=(64, 4))
    y = x @ np.array([1.0, -2.0, 0.5, 0.0])
    w = np.zeros(4)
    for _ in range(20):
        w -= args.lr * x.T @ (x @ w - y) / len(x)
    print(f"lr={args.lr!r} seed={args.seed!r} loss={np.mean((x @ w - y) ** 2):.4f}")
