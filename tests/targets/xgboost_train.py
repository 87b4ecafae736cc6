"""Boosted trees with XGBoost."""

import argparse

import numpy as np
import xgboost as xgb

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.3)
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
rng = np.random.default_rng(args.seed)
x = rng.normal(size=(300, 4))
y = x.sum(1) + rng.normal(size=300)
train, valid = xgb.DMatrix(x[:200], y[:200]), xgb.DMatrix(x[200:], y[200:])
params = {"eta": args.lr, "seed": args.seed, "nthread": 1}
xgb.train(params, train, num_boost_round=8, evals=[(train, "train"), (valid, "valid")], verbose_eval=False)
