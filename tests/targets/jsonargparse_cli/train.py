"""A function's parameters, by jsonargparse."""

import numpy as np
from jsonargparse import CLI


def fit(lr, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(64, 4))
    y = x @ np.array([1.0, -2.0, 0.5, 0.0])
    w = np.zeros(4)
    for _ in range(20):
        w -= lr * x.T @ (x @ w - y) / len(x)
    print(f"lr={lr!r} seed={seed!r} loss={np.mean((x @ w - y) ** 2):.4f}")


def main(lr: float = 0.1, batch_size: int = 8, amp: bool = False, seed: int = 0):
    fit(lr, seed)


if __name__ == "__main__":
    CLI(main)
