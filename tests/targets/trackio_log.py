"""A walk, logged to trackio."""

import argparse
import random

import trackio

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.1)
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
random.seed(args.seed)
trackio.init(project="walk", config=vars(args))
x = 1.0
for _ in range(5):
    x -= args.lr * x + random.gauss(0, 0.01)
    trackio.log({"val_loss": x * x})
trackio.finish()
