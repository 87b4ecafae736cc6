"""Logs to standard error by the logging module, with a bar of progress among the lines."""

import argparse
import logging
import random
import sys

logging.basicConfig(level=logging.INFO, format="%(asctime)s | %(levelname)s | %(name)s - %(message)s")
log = logging.getLogger("train")
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.3)
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
random.seed(args.seed)
f1 = 0.2
for epoch in range(4):
    for batch in range(5):
        sys.stderr.write(
            f"\rTraining:  {20 * batch}%|##   | {batch}/5 [00:00<00:00, 812.3it/s, loss={random.random()}]"
        )
    sys.stderr.write("\n")
    f1 += args.lr * (0.9 - f1) + random.gauss(0, 0.01)
    log.info("Epoch [%d/4] val_f1=%.4f best_f1=%.4f lr=%g", epoch + 1, f1, f1, args.lr)
