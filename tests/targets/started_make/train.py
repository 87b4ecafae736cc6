"""Train as a Makefile starts it."""

import argparse
import random

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, required=True)
parser.add_argument("--seed", type=int, default=5)
args = parser.parse_args()

random.seed(args.seed)
print(f"lr={args.lr} seed={args.seed}", flush=True)
for epoch in range(2):
    print(f"epoch {epoch} val_acc: {0.5 + args.lr + random.gauss(0, 0.01):.6f}", flush=True)
