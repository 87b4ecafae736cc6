"""A group of click's: the seed belongs to the group, the learning rate to the command."""

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


@click.group()
@click.option("--seed", type=int, default=0)
@click.pass_context
def cli(ctx, seed):
    ctx.obj = seed


@cli.command()
@click.option("--lr", type=float, default=0.1)
@click.pass_obj
def train(seed, lr):
    fit(lr, seed)


@cli.command("evaluate")
@click.option("--lr", type=float, default=0.9)
def evaluate(lr):
    fit(lr, 0)


if __name__ == "__main__":
    cli()
