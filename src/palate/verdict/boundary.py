"""Critical values of the sequential test, from the tables in `boundaries.json`; quick to import, without numpy.

The tables are made by `simulate`. "Cold" means without a prior for the noise: no past comparisons are known.
"""

import bisect
import json
import math
from functools import cache
from importlib import resources
from typing import Literal

from palate.errors import InputError

VERDICT_LEVEL = 0.05
"""Error probability of "better" and "worse", over all looks."""

EQUIVALENCE_LEVEL = 0.10
"""Level of the two one-sided tests for "same": each has half of it. It is spent late: see `simulate`."""

RUNS: Literal["runs"] = "runs"
"""Names the tables for a known noise of one run, in the place of a prior's degrees of freedom."""

RUNS_FIRST_LOOK = 3
"""The first look where the noise of one run is known: two pairs cannot show that a change makes runs noisier."""

BANK: Literal["bank"] = "bank"
"""Names the tables for pairs beside a bank of baseline runs."""

Prior = float | Literal["runs", "bank"]
"""What is known: degrees of freedom of a prior for the differences (0: cold), the noise of one run, or a bank."""

PRIORS = (0, 2, 4, 6, 10)
"""Degrees of freedom of the noise prior for which there are tables."""

BUDGETS = (2, 3, 4, 5, 8, 12, 20, 30, 50, 100)
"""Pairs at most for which there are tables."""

SHARES = (1, 2, 3, 4, 5, 6, 8, 10, 15, 21, 28)
"""Numbers of claims among which a level may be divided (Holm): tables for the cold rule only, up to 30 pairs."""


RAISED = 3.1
"""Boundary of a raised budget at its last pair, in standard errors: 5.5 % at most, the first looks included."""

RAISED_FEW = 2.5
"""By how much that boundary is wider where pairs are few, as their spread is not known well: 1 + 2.5 / n."""


def check_margin(margin: float | None) -> None:
    """Refuse a margin that is not a positive number.

    Raises:
        InputError: the margin is zero, negative or not finite.
    """
    if margin is not None and not (math.isfinite(margin) and margin > 0):
        raise InputError(
            f"a margin of {margin} is not a difference that could matter.",
            todo="Give the smallest difference that matters, in the metric's unit: --margin 0.005",
        )


def check_budget(budget: int) -> None:
    """Refuse a budget for which there is no boundary.

    Raises:
        InputError: fewer than 2 pairs, or more than 100.
    """
    if budget > BUDGETS[-1] or budget < 2:
        raise InputError(
            f"a budget of {budget} pairs has no boundary.",
            why="Boundaries are made for 2 to 100 pairs.",
            todo=f"Choose one of them, best one of {', '.join(map(str, BUDGETS))}: --pairs 20",
        )


@cache
def _tables() -> dict[str, dict[str, list[float]]]:
    text = (resources.files("palate.verdict") / "boundaries.json").read_text()
    tables: dict[str, dict[str, list[float]]] = json.loads(text)["tables"]
    return tables


def critical(n: int, budget: int, *, level: float = VERDICT_LEVEL, prior: Prior = 0.0, share: int = 1) -> float:
    """Return c_n: a mean difference is significant beyond c_n * s~ / sqrt(n). Infinite where look n does not exist.

    Between two tables, the larger budget and the weaker prior are used: both are conservative.

    Args:
        n: pairs so far, 1 .. budget.
        budget: pairs that may be run at most.
        level: probability of ever crossing under the null hypothesis, .05 or .10, two-sided.
        prior: degrees of freedom of the noise prior, 0 when cold; `RUNS` where the noise of one run is known, `BANK`
            beside a bank.
        share: claims made at once, among which the level is divided (only when cold, up to 30 pairs).

    >>> round(critical(2, 20), 1) > critical(20, 20)
    True
    """
    bounds = _bounds(budget, level, prior, share)
    return (bounds[n - 1] or float("inf")) if 1 <= n <= budget else float("inf")


def _bounds(budget: int, level: float, prior: Prior, share: int) -> list[float]:
    check_budget(budget)
    table_budget = BUDGETS[bisect.bisect_left(BUDGETS, budget)]
    known = prior if isinstance(prior, str) else str(PRIORS[max(bisect.bisect_right(PRIORS, prior) - 1, 0)])
    known_share = SHARES[min(bisect.bisect_left(SHARES, share), len(SHARES) - 1)]
    return _tables()[known][f"{level:g}/{known_share}/{table_budget}"]


def raised_critical(n: int, budget: int) -> float:
    """Return c_n beyond a first budget whose looks are spent: 3.1 (1 + 2.5 / n) sqrt(budget / n).

    It spends .5 % in all, late, as O'Brien and Fleming's does: most of what is left to see is seen at the end. The
    constants were found by simulation: the first budget's boundary and then this one are ever crossed under the null
    hypothesis in 5.5 % at most, from 5, 8, 20 or 50 pairs to 8 to 100 (`benchmarks/terms.py`).

    Args:
        n: pairs so far, more than the first budget.
        budget: the raised one.

    >>> round(raised_critical(100, 100), 2), round(raised_critical(25, 100), 2)
    (3.18, 6.82)
    """
    return RAISED * (1 + RAISED_FEW / n) * math.sqrt(budget / n)
