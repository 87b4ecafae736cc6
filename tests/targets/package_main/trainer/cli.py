import argparse
import random

from .model import step


def main():
    parser = argparse.ArgumentParser("trainer")
    parser.add_argument("--lr", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=3)
    args = parser.parse_args()
    rng, w = random.Random(args.seed), 0.0
    for epoch in range(args.epochs):
        w = step(w, rng.random(), args.lr)
        print(f"epoch {epoch} lr={args.lr} seed={args.seed} val_acc={w:.4f}")
