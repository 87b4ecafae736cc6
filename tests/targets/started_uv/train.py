"""Train in an environment that uv brings, with constants."""

import random

LR = 0.1
SEED = 0

random.seed(SEED)
print(f"lr={LR} seed={SEED}", flush=True)
for epoch in range(2):
    print(f"epoch {epoch} val_acc: {0.5 + LR + random.gauss(0, 0.01):.6f}", flush=True)
