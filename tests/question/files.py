"""Files that declare something to be trained, and a way to write them."""

from pathlib import Path

SCRIPT = """
import argparse
import palate
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=3 * 1e-4)
parser.add_argument("--weight-decay", "-w", default=0.1)
parser.add_argument("--amp", action="store_true")
parser.add_argument("--seed", type=int, default=1)
epochs: int = 5
counter = 0
for epoch in range(epochs):
    counter += 1
config = palate.settings(width=32)
WIDTHS = [1, 2]
_private = 3
"""

FUNCTION = """
import palate
from torch import nn
LIMIT = 3
@palate.experiment(metric="val_acc", goal="max", resolution=1 / 1000)
def train(run, *, lr=1e-3, act=nn.ReLU, seed=0, epochs=2 * 10):
    pass
"""


def write(folder, text, name="train.py"):
    path = Path(folder) / name
    path.write_text(text)
    return path
