"""Train, with a flag that is written with an underscore."""

import argparse
import random

parser = argparse.ArgumentParser()
parser.add_argument("--learning_rate", type=float, default=0.1)
parser.add_argument("--seed", type=int, default=0)
args, _ = parser.parse_known_args()

random.seed(args.seed)
print(f"lr={args.learning_rate} seed={args.seed}", flush=True)
for epoch in range(2):
    print(f"epoch {epoch} val_acc: {0.5 + args.learning_rate + random.gauss(0, 0.01):.6f}", flush=True)
