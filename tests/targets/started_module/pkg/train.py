"""Train as a module of a package."""

import random

from pkg.options import parse


def main():
    """Train."""
    args = parse()
    random.seed(args.seed)
    print(f"lr={args.lr} seed={args.seed}", flush=True)
    for epoch in range(2):
        print(f"epoch {epoch} val_acc: {0.5 + args.lr + random.gauss(0, 0.01):.6f}", flush=True)


if __name__ == "__main__":
    main()
