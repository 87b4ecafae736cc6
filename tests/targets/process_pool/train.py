import multiprocessing
import random
from concurrent.futures import ProcessPoolExecutor

LR = 0.1
SEED = 0


def train(fold):
    rng, w = random.Random(SEED * 100 + fold), 0.0
    for _ in range(20):
        w += LR * (rng.random() - w)
    return w, LR, SEED


if __name__ == "__main__":
    context = multiprocessing.get_context("forkserver")
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        folds = list(pool.map(train, range(4)))
    print(f"lr={folds[0][1]} seed={folds[0][2]}")
    print(f"val_acc={sum(fold[0] for fold in folds) / 4:.4f}")
