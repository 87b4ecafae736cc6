"""A function that typer makes a command of."""

from typing import Annotated

import numpy as np
import typer


def fit(lr, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(64, 4))
    y = x @ np.array([1.0, -2.0, 0.5, 0.0])
    w = np.zeros(4)
    for _ in range(20):
        w -= lr * x.T @ (x @ w - y) / len(x)
    print(f"lr={lr!r} seed={seed!r} loss={np.mean((x @ w - y) ** 2):.4f}")


def main(
    learning_rate: float = 0.1,
    batch_size: Annotated[int, typer.Option("--batch", "-b")] = 8,
    augment: bool = False,
    seed: int = typer.Option(0, help="random seed"),
):
    fit(learning_rate, seed)


if __name__ == "__main__":
    typer.run(main)
