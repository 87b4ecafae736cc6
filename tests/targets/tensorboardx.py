"""A walk, logged with tensorboardX, without steps."""

import argparse
import random

from tensorboardX import SummaryWriter

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.1)
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
random.seed(args.seed)
writer = SummaryWriter(logdir="runs/walk")
x = 1.0
for _ in range(10):
    x -= args.lr * x + random.gauss(0, 0.01)
    writer.add_scalar(tag="loss", scalar_value=x * x)
writer.close()
