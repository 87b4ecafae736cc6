"""What a bank of baseline runs saves, and how often verdicts beside it are wrong (verdict room)."""

from collections.abc import Iterator

import numpy as np

from benchmarks.table import Row
from palate.verdict.bank import FIRST_LOOK, SLOPE_PRIOR
from palate.verdict.boundary import BANK, critical
from palate.verdict.pairs import FloatArray

USERS = 20_000
BUDGET, RUNS = 20, 20
SEED = 20_261_127

TODAY = {1: 14.2, 2: 7.4, 3: 5.2}
"""New runs to a verdict at 1, 2 and 3 seed sd by pairs alone, with baseline runs used again."""


def rows() -> Iterator[Row]:
    """Measure the rows of a bank: false verdicts by the ratio of the spreads, new runs, and one declared look."""
    rng = np.random.default_rng(SEED)
    for correlation in (0.0, 0.6):
        for ratio in (0.5, 1.0, 2.0):
            wrong = 100 * settled(rng, 0.0, ratio, correlation, RUNS)[1]
            name = f"bank of {RUNS}, A/A, the change {ratio:g} times as noisy, correlation {correlation:g}: false"
            yield Row(name=name, measured=wrong, unit="%", target=6.0)
    for runs in (8, 50):
        wrong = 100 * settled(rng, 0.0, 2.0, 0.0, runs)[1]
        yield Row(name=f"bank of {runs}, A/A, the change twice as noisy: false", measured=wrong, unit="%", target=6.0)
    for effect, today in TODAY.items():
        needed, share = settled(rng, float(effect), 1.0, 0.0, RUNS)
        told = f"bank of {RUNS}, new runs to a verdict at {effect} sd (pairs alone {today}; settled {share:.0%})"
        yield Row(name=told, measured=needed, unit="runs", target=today)
    needed, _ = settled(rng, 2.0, 1.0, 0.6, RUNS)
    yield Row(name="bank of 20, new runs at 2 sd, correlation .6", measured=needed, unit="runs", target=TODAY[2])
    crossed = abs(_statistic(rng, 2.0, 1.0, 0.0, RUNS, budget=3)[2]) > critical(3, 3, prior=BANK)
    power = float(np.mean(crossed))
    yield Row(
        name="bank of 20 + 3 runs in one look: seen at 2 sd", measured=100 * power, unit="%", target=87.0, at_least=True
    )


def settled(
    rng: np.random.Generator, effect: float, ratio: float, correlation: float, runs: int
) -> tuple[float, float]:
    """Return the mean number of new runs until the boundary is crossed, at most the budget, and how many cross it."""
    statistic = np.abs(_statistic(rng, effect, ratio, correlation, runs, budget=BUDGET))
    bounds = np.array([critical(n, BUDGET, prior=BANK) for n in range(1, BUDGET + 1)])
    crossed = statistic > bounds[:, None]
    some = crossed.any(axis=0)
    needed = np.where(some, crossed.argmax(axis=0) + 1, BUDGET)
    return float(needed.mean()), float(some.mean())


def _statistic(
    rng: np.random.Generator, effect: float, ratio: float, correlation: float, runs: int, *, budget: int
) -> FloatArray:
    """Return (budget, USERS) effect / standard error look by look, as `palate.verdict.bank.weigh` gives them."""
    bank = rng.standard_normal((runs, USERS))
    before = np.concatenate([bank, rng.standard_normal((max(budget - runs, 0), USERS))])[:budget]  # used again
    own = rng.standard_normal((budget, USERS))
    after = effect + ratio * (correlation * before + np.sqrt(1 - correlation**2) * own)
    told = np.zeros((budget, USERS))
    for n in range(FIRST_LOOK, budget + 1):
        every = np.concatenate([before[:n], bank[n:]])
        mean, variance = every.mean(axis=0), every.var(axis=0, ddof=1)
        off = before[:n] - before[:n].mean(axis=0)
        both = (off * (after[:n] - after[:n].mean(axis=0))).sum(axis=0)
        slope = np.clip(both / ((off**2).sum(axis=0) + SLOPE_PRIOR * variance), 0, 1)
        rest = after[:n] - slope * before[:n]
        within = ((rest - rest.mean(axis=0)) ** 2).sum(axis=0)
        error = (np.maximum(variance, within / (n - 1)) + within) / n**2 + (1 - slope) ** 2 * variance / len(every)
        told[n - 1] = (after[:n].mean(axis=0) - slope * (before[:n].mean(axis=0) - mean) - mean) / np.sqrt(error)
    return told
