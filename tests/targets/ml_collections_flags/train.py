"""A configuration with a flag for each field."""

import numpy as np
from absl import app, flags
from ml_collections import config_flags


def fit(lr, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(64, 4))
    y = x @ np.array([1.0, -2.0, 0.5, 0.0])
    w = np.zeros(4)
    for _ in range(20):
        w -= lr * x.T @ (x @ w - y) / len(x)
    print(f"lr={lr!r} seed={seed!r} loss={np.mean((x @ w - y) ** 2):.4f}")


config_flags.DEFINE_config_file("config", "configs/default.py")


def main(_):
    config = flags.FLAGS.config
    fit(config.optim.lr, config.seed)


if __name__ == "__main__":
    app.run(main)
