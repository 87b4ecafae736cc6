"""A tree of settings that is filled attribute by attribute in a function, in the manner of yacs and minGPT."""

import sys
from ast import literal_eval

import numpy as np


class CfgNode:
    def merge(self, words):
        for word in words:
            path, value = word.lstrip("-").split("=", 1)
            node = self
            *parts, last = path.split(".")
            for part in parts:
                node = getattr(node, part)
            assert hasattr(node, last), f"{path} is not in the config"
            setattr(node, last, literal_eval(value))


def get_config():
    C = CfgNode()
    C.system = CfgNode()
    C.system.seed = 0
    C.optim = CfgNode()
    C.optim.lr = 0.1
    C.optim.steps = 20
    return C


if __name__ == "__main__":
    config = get_config()
    config.merge(sys.argv[1:])
    rng = np.random.default_rng(config.system.seed)
    x = rng.normal(size=(64, 4))
    y = x @ np.array([1.0, -2.0, 0.5, 0.0])
    w = np.zeros(4)
    for _ in range(config.optim.steps):
        w -= config.optim.lr * x.T @ (x @ w - y) / len(x)
    print(f"lr={config.optim.lr!r} seed={config.system.seed!r} loss={np.mean((x @ w - y) ** 2):.4f}")
