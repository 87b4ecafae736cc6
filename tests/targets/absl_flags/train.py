"""absl's flags."""

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


FLAGS = flags.FLAGS
flags.DEFINE_float("learning_rate", 0.1, "Learning rate.")
flags.DEFINE_boolean("augment", True, "Whether to augment.")
flags.DEFINE_integer("seed", 0, "Random seed.")


def main(_):
    fit(FLAGS.learning_rate, FLAGS.seed)


if __name__ == "__main__":
    app.run(main)
