"""A walk, logged to mlflow, in files."""

import argparse
import random

import mlflow

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.1)
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
random.seed(args.seed)
mlflow.set_tracking_uri("sqlite:///mlflow.db")
with mlflow.start_run():
    mlflow.log_params(vars(args))
    x = 1.0
    for epoch in range(5):
        x -= args.lr * x + random.gauss(0, 0.01)
        mlflow.log_metric("val_loss", x * x, step=epoch)
        mlflow.log_metrics({"x": x, "abs_x": abs(x)}, step=10 * epoch)
    mlflow.log_metric("final_loss", x * x)
