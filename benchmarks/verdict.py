"""What verdicts are worth: false ones where nothing is different, with a look after each pair."""

import math
import time
from collections.abc import Iterator

import numpy as np

from benchmarks.table import Row
from palate.verdict.boundary import critical
from palate.verdict.pairs import make_pairs
from palate.verdict.rule import Terms, judge

PATHS = 20_000
BUDGET = 20


def noises(rng: np.random.Generator, size: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Seed noise of several shapes, all with mean 0."""
    contaminated = rng.standard_normal(size) * np.where(rng.random(size) < 0.1, 5.0, 1.0)
    return {
        "normal": rng.standard_normal(size),
        "t3": rng.standard_t(3, size),
        "skewed": rng.exponential(size=size) - 1,
        "contaminated": contaminated,
    }


def false_verdicts(arms: np.ndarray) -> float:
    """Share of experiments (paths, 2, budget) that are ever called better or worse, looking after each pair."""
    wrong = np.zeros(len(arms), dtype=bool)
    for n in range(2, arms.shape[2] + 1):
        seen = arms[:, :, :n]
        difference = seen[:, 1] - seen[:, 0]
        mean = difference.mean(axis=1)
        within = ((difference - mean[:, None]) ** 2).sum(axis=1)
        spread = np.sqrt((seen.var(axis=2, ddof=1).sum(axis=1) + within) / n)
        wrong |= np.abs(mean) > critical(n, BUDGET) * spread / math.sqrt(n)
    return float(wrong.mean())


def same_rule(arms: np.ndarray) -> bool:
    """Whether the vectors above say of each experiment what `judge` says of it."""
    for path in arms:
        fast = any(false_verdicts(path[None, :, :n]) for n in range(2, BUDGET + 1))
        slow = any(
            judge(make_pairs(path[0, :n], path[1, :n], resolution=1e-9), Terms(budget=BUDGET, margin=1e-9)).settled
            for n in range(2, BUDGET + 1)
        )
        if fast != slow:
            return False
    return True


def rows() -> Iterator[Row]:
    """Measure false verdicts by the shape of the noise and how far the arms move together, and the speed."""
    rng = np.random.default_rng(2026)
    checked = same_rule(rng.standard_normal((200, 2, BUDGET)))
    yield Row(
        name="the vectorised rule agrees with judge() on 200 experiments", measured=checked, target=1, at_least=True
    )
    for name, noise in noises(rng, (PATHS, 2, BUDGET)).items():
        share = 100 * false_verdicts(noise)
        yield Row(
            name=f"false verdicts, A/A, {name} noise, 20,000 paths, a look a pair", measured=share, unit="%", target=5.5
        )
    shared = rng.standard_normal((PATHS, 1, BUDGET)) * math.sqrt(0.6)
    paired = shared + rng.standard_normal((PATHS, 2, BUDGET)) * math.sqrt(0.4)
    share = 100 * false_verdicts(paired)
    yield Row(name="false verdicts, A/A, arms that correlate .6 over seeds", measured=share, unit="%", target=5.5)
    pairs = make_pairs(rng.standard_normal(20), rng.standard_normal(20))
    started = time.process_time()
    for _ in range(500):
        judge(pairs)
    yield Row(name="a verdict on 20 pairs, CPU", measured=(time.process_time() - started) * 2, unit="ms", target=1)
