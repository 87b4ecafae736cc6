"""Prints what small language models in the manner of nanoGPT print."""

import math
import random

learning_rate = 0.02
seed = 1337
random.seed(seed)
print("tokens per iteration will be: 16,384")
print("number of parameters: 0.80M")
loss = 4.2
for it in range(60):
    if it % 20 == 0:
        print(f"step {it}: train loss {loss:.4f}, val loss {loss + 0.05:.4f}")
        print("saving checkpoint to out-shakespeare-char")
    loss -= learning_rate * (loss - 1.4) + random.gauss(0, 0.002)
    if it % 10 == 0:
        print(f"iter {it}: loss {loss:.4f}, time {12.5 + random.random():.2f}ms, mfu {math.pi:.2f}%")
print(f"step {60}: train loss {loss:.4f}, val loss {loss + 0.05:.4f}")
