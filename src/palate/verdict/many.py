"""Many verdicts of one project: how many flukes to expect, and which winners stand up to fresh runs; pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from palate.errors import InputError
from palate.verdict.pairs import Pairs
from palate.verdict.rule import beyond_budget
from palate.verdict.special import stdtr

FALSE_DISCOVERY_RATE = 0.10
ONE_SIDED = 0.025

Badge = Literal["confirmed", "contradicted", "provisional"]
"""Fresh runs agree; fresh runs say the opposite; fresh runs do not decide."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmation:
    """What fresh runs say of an earlier verdict: a fixed-n p-value, the fresh mean difference, and the badge."""

    badge: Badge
    p: float
    raw: float
    n: int


def expected_flukes(verdicts: int) -> float:
    """Give how many of the better ones to expect to be flukes at most, if nothing had any effect: .025 a verdict.

    >>> round(expected_flukes(12), 1)
    0.3
    """
    return ONE_SIDED * verdicts


def benjamini_hochberg(p: Sequence[float], rate: float = FALSE_DISCOVERY_RATE) -> list[bool]:
    """Choose the discoveries among which at most `rate` are false on average (Benjamini & Hochberg 1995).

    >>> benjamini_hochberg([.01, .04, .03, .5], .10)
    [True, True, True, False]
    """
    values = np.asarray(p, dtype=float)
    if not len(values):
        return []
    if not np.all((values >= 0) & (values <= 1)):
        raise InputError(f"p-values lie between 0 and 1, got {list(p)}.")
    order = np.argsort(values)
    passing = np.flatnonzero(values[order] <= rate * np.arange(1, len(values) + 1) / len(values))
    chosen = np.zeros(len(values), dtype=bool)
    if len(passing):
        chosen[order[: passing[-1] + 1]] = True
    return [bool(one) for one in chosen]


def e_benjamini_hochberg(e: Sequence[float], rate: float = FALSE_DISCOVERY_RATE) -> list[bool]:
    """Choose discoveries by e-values, whatever their dependence: the k largest with e >= m / (k rate).

    Wang & Ramdas (2022), the e-BH procedure.

    >>> e_benjamini_hochberg([50.0, 25.0, 1.0], .10)
    [True, True, False]
    """
    values = np.asarray(e, dtype=float)
    order = np.argsort(-values)
    passing = np.flatnonzero(values[order] * np.arange(1, len(values) + 1) * rate >= len(values))
    chosen = np.zeros(len(values), dtype=bool)
    if len(passing):
        chosen[order[: passing[-1] + 1]] = True
    return [bool(one) for one in chosen]


def confirm_all(fresh: Sequence[Pairs], signs: Sequence[int], *, strict: bool = False) -> list[Confirmation]:
    """Hold earlier winners against fresh pairs, all of them at once.

    Args:
        fresh: for each earlier verdict its fresh pairs, at seeds that the verdict did not use; 2 pairs at least.
        signs: +1 for an earlier "better", -1 for "worse".
        strict: by e-values, which hold under any dependence (shared baselines) and cost power.
    """
    p = [_p_value(pairs) for pairs in fresh]
    chosen = e_benjamini_hochberg([beyond_budget(pairs) for pairs in fresh]) if strict else benjamini_hochberg(p)
    return [
        Confirmation(badge=_badge(discovered, pairs.mean * sign), p=value, raw=pairs.mean, n=pairs.n)
        for discovered, pairs, sign, value in zip(chosen, fresh, signs, p, strict=True)
    ]


def _p_value(pairs: Pairs) -> float:
    """Paired t-test, two-sided, at a number of pairs fixed beforehand; ties all over say nothing."""
    spread = math.sqrt(pairs.sum_of_squares / (pairs.n - 1))
    if spread == 0:
        return 1.0
    return float(2 * stdtr(pairs.n - 1, -abs(pairs.mean) / spread * math.sqrt(pairs.n)))


def _badge(discovered: bool, agreement: float) -> Badge:
    if not discovered:
        return "provisional"
    return "confirmed" if agreement > 0 else "contradicted"
