"""The `try` task with a clock inside: what a run's own training takes, whatever surrounds it."""

import time

import palate
from palate.examples import mnist1d_cnn


@palate.experiment(metric="val_acc")
def train(run: palate.Run) -> None:
    """Train as `palate try` does, and log the seconds that it took."""
    started = time.perf_counter()
    mnist1d_cnn.train.function(run)
    run.log(1000, own_s=time.perf_counter() - started)
