"""Constants in the main block."""

import numpy as np


def fit(lr, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(64, 4))
    y = x @ np.array([1.0, -2.0, 0.5, 0.0])
    w = np.zeros(4)
    for _ in range(20):
        w -= lr * x.T @ (x @ w - y) / len(x)
    print(f"lr={lr!r} seed={seed!r} loss={np.mean((x @ w - y) ** 2):.4f}")


if __name__ == "__main__":
    lr = 0.1
    seed = 0
    fit(lr, seed)
