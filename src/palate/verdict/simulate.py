"""Make the boundary tables: `python -m palate.verdict.simulate > src/palate/verdict/boundaries.json`.

A boundary c_n is the multiple of s~/sqrt(n) that a mean difference must exceed at look n. Under the null hypothesis the
probability of ever exceeding it is `level`, which is spent linearly over the looks: a share n/budget of it up to look n
(group-sequential error spending, Lan & DeMets 1983; Jennison & Turnbull 2000, ch. 7). Null paths are simulated with
unit noise and the statistic of `rule`. At each look the boundary is the quantile that exactly the due number of paths
exceeds, among those that have not crossed before.

- cold: both arms independent, s~^2 = (2 s_p^2 + SS) / n. With arms that correlate positively, the test is conservative.
- prior d0: the variance of a difference is drawn from its prior, d0 / chi^2(d0), s~^2 = (d0 + SS) / (d0 + n - 1);
  an infinite d0 is a known variance. The first look is at n = 1, where the boundary is at least `FIRST_LOOK` prior
  standard deviations.
"""

import json
import math
import sys

import numpy as np
import numpy.typing as npt

from palate.verdict.boundary import BUDGETS, PRIORS, SHARES

FloatArray = npt.NDArray[np.float64]

LEVELS = (0.05, 0.10)
MOST_SHARED = 30
"""Largest budget for which levels are divided among several claims."""

PATHS = 1_000_000
SEED = 20_260_917
FIRST_LOOK = 5.0
"""Least boundary of a look at one pair."""


class Paths:
    """Running sums of simulated null differences, and of both arms for the cold rule."""

    def __init__(self, prior: float, rng: np.random.Generator, paths: int) -> None:
        self.prior, self.rng, self.paths = prior, rng, paths
        self.n = 0
        self.sigma = self._draw_sigma()
        self.sums = np.zeros((2, self.paths))
        self.squares = np.zeros((2, self.paths))
        self.difference_sum = np.zeros(self.paths)
        self.difference_squares = np.zeros(self.paths)

    def _draw_sigma(self) -> FloatArray:
        if self.prior == 0 or math.isinf(self.prior):
            return np.ones(self.paths)
        return np.sqrt(self.prior / self.rng.chisquare(self.prior, self.paths))

    def look(self) -> FloatArray:
        """Draw one more pair on every path; return |mean| * sqrt(n) / s~ (0 for a single pair without a prior)."""
        self.n += 1
        if self.prior:
            difference = self.sigma * self.rng.standard_normal(self.paths)
        else:
            arms = self.rng.standard_normal((2, self.paths))
            self.sums += arms
            self.squares += arms**2
            difference = arms[1] - arms[0]
        self.difference_sum += difference
        self.difference_squares += difference**2
        return self._statistic()

    def _statistic(self) -> FloatArray:
        n = self.n
        spread = np.maximum(self.difference_squares - self.difference_sum**2 / n, 0.0)
        if math.isinf(self.prior):
            variance = np.ones(self.paths)
        elif self.prior:
            variance = (self.prior + spread) / (self.prior + n - 1)
        elif n == 1:
            return np.zeros(self.paths)
        else:
            arms = np.sum(self.squares - self.sums**2 / n, axis=0) / (2 * (n - 1))
            variance = (2 * arms + spread) / n
        return np.asarray(np.abs(self.difference_sum) / np.sqrt(n * variance))


class _Spender:
    """The construction of one boundary: the paths that have not crossed yet, and how many may cross by each look."""

    def __init__(self, level: float, share: int, budget: int, first_look: int, paths: int) -> None:
        self.level, self.share, self.budget = level, share, budget
        self.first_look, self.paths = first_look, paths
        self.alive = np.ones(self.paths, dtype=bool)
        self.crossed = 0
        self.bounds: list[float] = []

    def take(self, n: int, statistic: FloatArray, least: float) -> None:
        """Set the boundary of look n and drop the paths that cross it."""
        due = round(self.level / self.share * n / self.budget * self.paths) - self.crossed
        if n < self.first_look or due < 1:
            self.bounds.append(0.0)
            return
        alive = statistic[self.alive]
        bound = max(float(np.partition(alive, len(alive) - due)[len(alive) - due]), least)
        over = self.alive & (statistic > bound)
        self.crossed += int(over.sum())
        self.alive &= ~over
        self.bounds.append(bound)


def boundaries(prior: int, budgets: tuple[int, ...], *, paths: int, rng: np.random.Generator) -> dict[str, list[float]]:
    """Simulate the boundaries of one prior (0 = cold): `level/share/budget` -> c_1 .. c_budget (0 = no look)."""
    simulated = Paths(prior, rng, paths)
    first_look = 1 if prior else 2
    shares = [(share, budget) for budget in budgets for share in SHARES if share == 1 or _shared(prior, budget)]
    spenders = [_Spender(level, share, budget, first_look, paths) for level in LEVELS for share, budget in shares]
    for n in range(1, max(budgets) + 1):
        statistic = simulated.look()
        for spender in spenders:
            if n <= spender.budget:
                spender.take(n, statistic, FIRST_LOOK if n == 1 else 0.0)
    return {f"{s.level:g}/{s.share}/{s.budget}": [round(bound, 4) for bound in s.bounds] for s in spenders}


def _shared(prior: int, budget: int) -> bool:
    return prior == 0 and budget <= MOST_SHARED


def main() -> None:
    """Write all tables as one JSON document on standard output."""
    tables = {}
    for prior in PRIORS:
        rng = np.random.default_rng([SEED, prior])
        print(f"prior {prior}", file=sys.stderr)
        tables[str(prior)] = boundaries(prior, BUDGETS, paths=PATHS, rng=rng)
    print(json.dumps({"seed": SEED, "paths": PATHS, "tables": tables}, indent=None))


if __name__ == "__main__":
    main()
