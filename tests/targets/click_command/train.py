"""click's options."""

import click
import numpy as np


def fit(lr, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(64, 4))
    y = x @ np.array([1.0, -2.0, 0.5, 0.0])
    w = np.zeros(4)
    for _ in range(20):
        w -= lr * x.T @ (x @ w - y) / len(x)
    print(f"lr={lr!r} seed={seed!r} loss={np.mean((x @ w - y) ** 2):.4f}")


@click.command()
@click.option("--lr", default=0.1, help="learning rate")
@click.option("--batch-size", "-b", type=int, default=8)
@click.option("--shuffle/--no-shuffle", default=True)
@click.option("--seed", type=int, default=0)
def main(lr, batch_size, shuffle, seed):
    fit(lr, seed)


main()
