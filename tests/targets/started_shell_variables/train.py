"""Train as a shell script says."""

import argparse
import random

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float)
parser.add_argument("--width", type=int)
parser.add_argument("--seed", type=int)
args = parser.parse_args()

random.seed(args.seed)
print(f"lr={args.lr} seed={args.seed} width={args.width}", flush=True)
for epoch in range(2):
    value = 0.5 + args.lr + args.width / 1000 + random.gauss(0, 0.01)
    print(f"epoch {epoch} val_acc: {value:.6f}", flush=True)
