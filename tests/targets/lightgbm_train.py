"""Boosted trees with LightGBM."""

import argparse

import lightgbm as lgb
import numpy as np

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.1)
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
rng = np.random.default_rng(args.seed)
x = rng.normal(size=(300, 4))
y = x.sum(1) + rng.normal(size=300)
train = lgb.Dataset(x[:200], y[:200])
valid = lgb.Dataset(x[200:], y[200:], reference=train)
params = {"objective": "regression", "metric": "rmse", "learning_rate": args.lr, "seed": args.seed, "verbose": -1}
lgb.train({**params, "num_threads": 1}, train, num_boost_round=8, valid_sets=[valid], valid_names=["valid"])
