"""Train with what the environment says."""

import os
import random

lr = float(os.environ.get("LR", "0.3"))
seed = 0

random.seed(seed)
print(f"lr={lr} seed={seed}", flush=True)
for epoch in range(2):
    print(f"epoch {epoch} val_acc: {0.5 + lr + random.gauss(0, 0.01):.6f}", flush=True)
