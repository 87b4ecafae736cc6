"""Hydra with a dataclass in its store."""

from dataclasses import dataclass

import hydra
import numpy as np
from hydra.core.config_store import ConfigStore


def fit(lr, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(64, 4))
    y = x @ np.array([1.0, -2.0, 0.5, 0.0])
    w = np.zeros(4)
    for _ in range(20):
        w -= lr * x.T @ (x @ w - y) / len(x)
    print(f"lr={lr!r} seed={seed!r} loss={np.mean((x @ w - y) ** 2):.4f}")


@dataclass
class Config:
    lr: float = 0.1
    seed: int = 0


ConfigStore.instance().store(name="config", node=Config)


@hydra.main(version_base=None, config_name="config")
def main(cfg: Config):
    fit(cfg.lr, cfg.seed)


if __name__ == "__main__":
    main()
