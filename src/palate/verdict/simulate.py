"""Make the boundary tables: `python -m palate.verdict.simulate > src/palate/verdict/boundaries.json`.

A boundary c_n is the multiple of s~/sqrt(n) that a mean difference must exceed at look n. Under the null hypothesis the
probability of ever exceeding it is `level`, of which a share (n/budget)^power is spent up to look n (group-sequential
error spending, Lan & DeMets 1983; Jennison & Turnbull 2000, ch. 7). Null paths are simulated with unit noise and the
statistic of `rule`. At each look the boundary is the quantile that exactly the due number of paths exceeds, among those
that have not crossed before.

The power is 1 for "better" and "worse". For "same" it is 3: it is spent late, because two arms can only be told to be
the same when many pairs are there, and what the first looks spend on it is lost.

- cold: both arms independent, s~^2 = (2 s_p^2 + SS) / n. With arms that correlate positively, the test is conservative.
- prior d0: the variance of a difference is drawn from its prior, d0 / chi^2(d0), s~^2 = (d0 + SS) / (d0 + n - 1);
  an infinite d0 is a known variance. The first look is at n = 1, where the boundary is at least `FIRST_LOOK` prior
  standard deviations.
- bank: 20 further runs of the baseline, and a treatment of twice its spread, independent of it: of the ratios from 1/2
  to 2 and correlations from 0 up, that is where the statistic of `bank` crosses most often. The first look is at n = 3.
"""

import json
import math
import sys
from typing import Literal

import numpy as np
import numpy.typing as npt

from palate.verdict.bank import FIRST_LOOK as BANK_FIRST_LOOK
from palate.verdict.bank import SLOPE_PRIOR
from palate.verdict.boundary import BANK, BUDGETS, PRIORS, RUNS, RUNS_FIRST_LOOK, SHARES, Prior

FloatArray = npt.NDArray[np.float64]

LEVELS = (0.05, 0.10)
POWERS: dict[float, float] = {0.05: 1.0, 0.10: 3.0}
"""How late a level is spent: the share of it up to look n is (n / budget)^power."""

RUNS_POWERS: dict[float, float] = {0.05: 0.5, 0.10: 3.0}
"""The same where the noise of one run is known: "better" and "worse" are then spent early."""

RUNS_DF = 4
"""How much the noise of one run differs between changes, as degrees of freedom, in the tables of a known noise."""

MOST_SHARED = 30
"""Largest budget for which levels are divided among several claims."""

PATHS = 1_000_000
SEED = 20_260_917
RUNS_SEED = 1
"""Second part of the seed of the tables for a known noise; those of a prior have its degrees of freedom."""
BANK_SEED = 3
BANK_RUNS, BANK_RATIO = 20, 2.0
"""Further baseline runs, and the spread of the treatment in units of the baseline's, in the tables of a bank."""

FIRST_LOOK = 5.0
"""Least boundary of a look at one pair."""


class Paths:
    """Running sums of simulated null differences, and of both arms for the cold rule."""

    def __init__(self, prior: float | Literal["runs"], rng: np.random.Generator, paths: int) -> None:
        self.prior, self.rng, self.paths = prior, rng, paths
        self.n = 0
        self.sigma = self._draw_sigma()
        self.sums = np.zeros((2, self.paths))
        self.squares = np.zeros((2, self.paths))
        self.difference_sum = np.zeros(self.paths)
        self.difference_squares = np.zeros(self.paths)

    def _draw_sigma(self) -> FloatArray:
        if self.prior == RUNS:
            return np.sqrt(RUNS_DF / self.rng.chisquare(RUNS_DF, self.paths))
        if self.prior == 0 or math.isinf(self.prior):
            return np.ones(self.paths)
        return np.sqrt(self.prior / self.rng.chisquare(self.prior, self.paths))

    def look(self) -> FloatArray:
        """Draw one more pair on every path; return |mean| * sqrt(n) / s~ (0 for a single pair without a prior)."""
        self.n += 1
        if self.prior and self.prior != RUNS:
            difference = self.sigma * self.rng.standard_normal(self.paths)
        else:
            arms = self.sigma * self.rng.standard_normal((2, self.paths))
            self.sums += arms
            self.squares += arms**2
            difference = arms[1] - arms[0]
        self.difference_sum += difference
        self.difference_squares += difference**2
        return self._statistic()

    def _statistic(self) -> FloatArray:
        n = self.n
        spread = np.maximum(self.difference_squares - self.difference_sum**2 / n, 0.0)
        if n == 1 and self.prior in (0, RUNS):
            return np.zeros(self.paths)
        if self.prior in (0, RUNS):
            unpaired = np.sum(self.squares - self.sums**2 / n, axis=0) / (n - 1)
            variance = ((np.maximum(unpaired, 2.0) if self.prior == RUNS else unpaired) + spread) / n
        elif math.isinf(self.prior):
            variance = np.ones(self.paths)
        else:
            variance = (self.prior + spread) / (self.prior + n - 1)
        return np.asarray(np.abs(self.difference_sum) / np.sqrt(n * variance))


class BankPaths:
    """Running sums of simulated runs of both arms beside a bank, under no difference of their means."""

    def __init__(self, rng: np.random.Generator, paths: int) -> None:
        self.rng, self.paths, self.n = rng, paths, 0
        bank = rng.standard_normal((BANK_RUNS, paths))
        self.bank_sum, self.bank_squares = bank.sum(axis=0), (bank**2).sum(axis=0)
        self.a, self.b, self.aa, self.bb, self.ab = np.zeros((5, paths))

    def look(self) -> FloatArray:
        """Draw one more pair on every path; return |effect| / its standard error, as `bank.weigh` gives them."""
        self.n += 1
        one, other = self.rng.standard_normal(self.paths), BANK_RATIO * self.rng.standard_normal(self.paths)
        self.a += one
        self.b += other
        self.aa += one**2
        self.bb += other**2
        self.ab += one * other
        return self._statistic() if self.n >= BANK_FIRST_LOOK else np.zeros(self.paths)

    def _statistic(self) -> FloatArray:
        n, every = self.n, self.n + BANK_RUNS
        mean_a, mean_b, mean_all = self.a / n, self.b / n, (self.a + self.bank_sum) / every
        variance = (self.aa + self.bank_squares - every * mean_all**2) / (every - 1)
        off = self.aa - n * mean_a**2
        both = self.ab - n * mean_a * mean_b
        slope = np.clip(both / (off + SLOPE_PRIOR * variance), 0.0, 1.0)
        within = self.bb - n * mean_b**2 - 2 * slope * both + slope**2 * off
        error = (np.maximum(variance, within / (n - 1)) + within) / n**2 + (1 - slope) ** 2 * variance / every
        return np.asarray(np.abs(mean_b - slope * (mean_a - mean_all) - mean_all) / np.sqrt(error))


class _Spender:
    """The construction of one boundary: the paths that have not crossed yet, and how many may cross by each look."""

    def __init__(self, level: float, share: int, budget: int, first_look: int, paths: int, power: float = 1.0) -> None:
        self.level, self.share, self.budget = level, share, budget
        self.first_look, self.paths, self.power = first_look, paths, power
        self.alive = np.ones(self.paths, dtype=bool)
        self.crossed = 0
        self.bounds: list[float] = []

    def take(self, n: int, statistic: FloatArray, least: float) -> None:
        """Set the boundary of look n and drop the paths that cross it."""
        late = (n / self.budget) ** (self.power - 1)
        due = round(self.level / self.share * n / self.budget * late * self.paths) - self.crossed
        if n < self.first_look or due < 1:
            self.bounds.append(0.0)
            return
        alive = statistic[self.alive]
        bound = max(float(np.partition(alive, len(alive) - due)[len(alive) - due]), least)
        over = self.alive & (statistic > bound)
        self.crossed += int(over.sum())
        self.alive &= ~over
        self.bounds.append(bound)


def boundaries(
    prior: Prior, budgets: tuple[int, ...], *, paths: int, rng: np.random.Generator
) -> dict[str, list[float]]:
    """Simulate the boundaries of one prior (0 = cold): `level/share/budget` -> c_1 .. c_budget (0 = no look)."""
    simulated: Paths | BankPaths = BankPaths(rng, paths) if prior == "bank" else Paths(prior, rng, paths)
    first_look = BANK_FIRST_LOOK if prior == BANK else RUNS_FIRST_LOOK if prior == RUNS else 1 if prior else 2
    powers = RUNS_POWERS if prior == RUNS else POWERS
    shares = [(share, budget) for budget in budgets for share in SHARES if share == 1 or _shared(prior, budget)]
    spenders = [
        _Spender(level, share, budget, first_look, paths, powers[level]) for level in LEVELS for share, budget in shares
    ]
    for n in range(1, max(budgets) + 1):
        statistic = simulated.look()
        for spender in spenders:
            if n <= spender.budget:
                spender.take(n, statistic, FIRST_LOOK if n == 1 else 0.0)
    return {f"{s.level:g}/{s.share}/{s.budget}": [round(bound, 4) for bound in s.bounds] for s in spenders}


def _shared(prior: Prior, budget: int) -> bool:
    return prior == 0 and budget <= MOST_SHARED


def main() -> None:
    """Write all tables as one JSON document on standard output."""
    tables = {}
    known: list[Prior] = [*PRIORS, RUNS, BANK]
    seeds = {RUNS: RUNS_SEED, BANK: BANK_SEED}
    for prior in known:
        rng = np.random.default_rng([SEED, seeds[prior] if isinstance(prior, str) else int(prior)])
        print(f"prior {prior}", file=sys.stderr)
        tables[str(prior)] = boundaries(prior, BUDGETS, paths=PATHS, rng=rng)
    print(json.dumps({"seed": SEED, "paths": PATHS, "tables": tables}, indent=None))


if __name__ == "__main__":
    main()
