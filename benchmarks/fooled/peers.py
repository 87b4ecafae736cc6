"""The same users, told what other libraries say: `python -m benchmarks.fooled.peers POLICY USERS`, one JSON line.

Each by its documentation's defaults, on 5 runs an arm: rliable's probability of improvement with a bootstrap interval
(a claim where it leaves .5), deepsig's almost stochastic order (a claim where eps_min < .2), baycomp's Bayesian t-test
(a claim where a side, or the region of practical equivalence, has .95). They are slow, so fewer users are asked.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import asdict

import numpy as np

from benchmarks.fooled.play import play
from benchmarks.fooled.policies import NO_CLAIM, Claims, Draws, FloatArray

RUNS = 5
Reading = Callable[[FloatArray, FloatArray, float], int]


def improvement(a: FloatArray, b: FloatArray, _: float) -> int:
    """rliable: P(improvement) and its 95 % interval."""
    from rliable import library, metrics

    told = {"b,a": (b[:, None], a[:, None])}
    _, intervals = library.get_interval_estimates(told, metrics.probability_of_improvement, reps=200)
    low, high = intervals["b,a"].ravel()
    return 1 if low > 0.5 else -1 if high < 0.5 else NO_CLAIM


def stochastic_order(a: FloatArray, b: FloatArray, _: float) -> int:
    """deepsig: almost stochastic order, either way round."""
    from deepsig import aso

    options = {"num_bootstrap_iterations": 100, "show_progress": False, "seed": 1, "num_jobs": 1}
    if aso(b, a, **options) < 0.2:
        return 1
    return -1 if aso(a, b, **options) < 0.2 else NO_CLAIM


def bayesian(a: FloatArray, b: FloatArray, margin: float) -> int:
    """baycomp: two on one data set, the margin as region of practical equivalence."""
    import baycomp

    if np.ptp(b - a) == 0:
        return NO_CLAIM
    left, rope, right = baycomp.two_on_single(a, b, rope=margin)
    return -1 if left > 0.95 else 0 if rope > 0.95 else 1 if right > 0.95 else NO_CLAIM


READINGS: dict[str, Reading] = {"improvement": improvement, "stochastic_order": stochastic_order, "bayesian": bayesian}


def policy(reading: Reading) -> Callable[[Draws], Claims]:
    """Ask a library about each user's first five runs an arm."""

    def ask(draws: Draws) -> Claims:
        told = [reading(a[:RUNS], b[:RUNS], draws.margin) for a, b in zip(draws.baseline, draws.treatment, strict=True)]
        return np.array(told, dtype=np.int64), np.full(len(told), RUNS)

    return ask


if __name__ == "__main__":
    name, users = sys.argv[1], int(sys.argv[2])
    told = play({name: policy(READINGS[name])}, users=users, with_history=False)[name]
    print(json.dumps({group: asdict(told[group]) for group in ("all", "null")}))
