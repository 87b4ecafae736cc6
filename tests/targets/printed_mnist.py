"""Prints what the PyTorch example for MNIST prints."""

import argparse
import random


def train(args, epoch, level):
    for batch in range(0, 60, 20):
        level += args.lr * (1 - level) * 0.3 + random.gauss(0, 0.005)
        print(f"Train Epoch: {epoch} [{batch * 100}/6000 ({batch / 60:.0%})]\tLoss: {1 - level:.6f}")
    return level


def test(level):
    correct = int(10000 * level)
    print(f"\nTest set: Average loss: {1 - level:.4f}, Accuracy: {correct}/{10000} ({100.0 * correct / 10000:.0f}%)\n")


parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.5)
parser.add_argument("--seed", type=int, default=1)
args = parser.parse_args()
random.seed(args.seed)
level = 0.1
for epoch in range(1, 4):
    level = train(args, epoch, level)
    test(level)
