#!/usr/bin/env python
import random

import config

EPOCHS = 3
seed = 0

random.seed(seed)
w = 0.0
for epoch in range(EPOCHS):
    w += config.LR * (random.random() - w)
    print(f"epoch {epoch} lr={config.LR} seed={seed} val_acc={w:.4f}")
