"""What raising a budget after looks costs: false verdicts, and power, of the ways to judge what comes then."""

from collections.abc import Iterator

import numpy as np

from benchmarks.table import Row
from palate.verdict.boundary import critical, raised_critical

SEED, RUNS = 20_261_127, 2_000_000
"""Pairs drawn for each row: 20,000 users up to 100 pairs, 100,000 up to 20."""

RAISES = ((20, 100), (20, 50), (20, 30), (5, 8), (5, 20), (5, 100), (8, 30), (50, 100))


def crossings(first: int, raised: int, effect: float) -> dict[str, float]:
    """Return the share of users who ever read a difference: looks after each pair, arms uncorrelated, sd 1.

    All judge by the first budget's boundary up to it. Behind it they judge by the raised budget's own boundary (as it
    was before), by an e-value of 200, or by the boundary of what is left.
    """
    rng = np.random.default_rng(SEED)
    one, other = rng.standard_normal((2, RUNS // raised, raised))
    other += effect
    n, differences = np.arange(1, raised + 1), other - one
    mean = differences.cumsum(1) / n
    squares = (differences**2).cumsum(1) - n * mean**2
    within = sum((arm**2).cumsum(1) - arm.cumsum(1) ** 2 / n for arm in (one, other))
    with np.errstate(all="ignore"):
        spread = np.sqrt((within / (n - 1) + squares) / n)  # cold: 2 s_p^2 with one degree of freedom
        z = np.abs(mean) * np.sqrt(n) / spread
        signal = n * mean**2
        evidence = -0.5 * np.log1p(n) + n / 2 * (np.log(squares + signal) - np.log(squares + signal / (1 + n)))
    z[:, 0] = 0
    bounds = np.array([critical(int(k), first) for k in n[:first]])
    told = (z[:, :first] > bounds).any(1)
    own = np.array([critical(int(k), raised) for k in n[first:]])
    left = np.array([raised_critical(int(k), raised) for k in n[first:]])
    return {
        "first budget alone": float(told.mean()),
        "the raised budget's own boundary (before)": float((told | (z[:, first:] > own).any(1)).mean()),
        "an e-value of 200": float((told | (evidence[:, first:] > np.log(200)).any(1)).mean()),
        "the boundary of what is left": float((told | (z[:, first:] > left).any(1)).mean()),
    }


def rows() -> Iterator[Row]:
    """Measure false verdicts of each way and raise, then power at .3 and .5 sd."""
    for first, raised in RAISES:
        for way, share in crossings(first, raised, 0.0).items():
            target = 5.5 if way == "the boundary of what is left" else None
            name = f"budget raised {first} -> {raised} after looks, false: {way}"
            yield Row(name=name, measured=100 * share, unit="%", target=target)
    for effect in (0.3, 0.5):
        for way, share in crossings(20, 100, effect).items():
            yield Row(name=f"budget raised 20 -> 100, power at {effect:g} sd: {way}", measured=100 * share, unit="%")
