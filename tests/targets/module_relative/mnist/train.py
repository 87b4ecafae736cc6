"""python -m mnist.train"""

from . import config
from .data import batches


def main():
    w = 0.0
    for epoch in range(config.EPOCHS):
        for x in batches(config.SEED):
            w += config.LR * (x - w)
        print(f"epoch {epoch} lr={config.LR} seed={config.SEED} val_acc={w:.4f}")


if __name__ == "__main__":
    main()
