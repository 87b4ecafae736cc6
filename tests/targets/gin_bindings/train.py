"""gin, whose bindings come by a flag."""

import gin
import numpy as np
from absl import app, flags


def fit(lr, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(64, 4))
    y = x @ np.array([1.0, -2.0, 0.5, 0.0])
    w = np.zeros(4)
    for _ in range(20):
        w -= lr * x.T @ (x @ w - y) / len(x)
    print(f"lr={lr!r} seed={seed!r} loss={np.mean((x @ w - y) ** 2):.4f}")


flags.DEFINE_multi_string("gin_file", ["config.gin"], "Files of bindings.")
flags.DEFINE_multi_string("gin_bindings", [], "Bindings.")
FLAGS = flags.FLAGS


@gin.configurable
def train(lr=0.5, seed=0):
    fit(lr, seed)


def main(_):
    gin.parse_config_files_and_bindings(FLAGS.gin_file, FLAGS.gin_bindings)
    train()


if __name__ == "__main__":
    app.run(main)
