"""A regression by hand, logged to Weights & Biases, offline."""

import argparse
import random

import wandb

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.1)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--mode", default="offline")
args = parser.parse_args()
random.seed(args.seed)

run = wandb.init(project="line", config=vars(args), mode=args.mode, dir="wandb-files")
data = [(x / 10, 3 * x / 10 + random.gauss(0, 0.1)) for x in range(20)]
w = 0.0
for epoch in range(6):
    random.shuffle(data)
    for x, y in data:
        w -= args.lr * (w * x - y) * x
        wandb.log({"train/loss": (w * x - y) ** 2}, commit=False)
    val_loss = sum((w * x - y) ** 2 for x, y in data) / len(data)
    wandb.log({"epoch": epoch, "val_loss": val_loss, "weights": {"w": w}, "note": "a line"})
run.log({"final/val_loss": val_loss}, step=100)
wandb.finish()
