import argparse
import csv
import random

import config

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=1)
args = parser.parse_args()
random.seed(config.SEED)
w = 0.0
with open("log.csv", "w", newline="") as file:
    log = csv.DictWriter(file, ["epoch", "val_acc"])
    log.writeheader()
    for epoch in range(args.epochs):
        w += config.LR * (random.random() - w)
        log.writerow({"epoch": epoch, "val_acc": w})
print(f"lr={config.LR} seed={config.SEED}")
