"""Writes a row an epoch into log.csv."""

import argparse
import csv
import random

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.1)
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
random.seed(args.seed)
x = 1.0
with open("log.csv", "w", newline="") as file:
    log = csv.DictWriter(file, fieldnames=["epoch", "train_loss", "val_loss", "note"])
    log.writeheader()
    for epoch in range(1, 6):
        x -= args.lr * x + random.gauss(0, 0.01)
        log.writerow({"epoch": epoch, "train_loss": x * x, "val_loss": f"{x * x + 0.1:.5f}", "note": "warm"})
        file.flush()
        print(f"epoch {epoch}: val_loss={x * x + 0.1:.2f}")
