"""Many verdicts of one project: tests of earlier verdicts on new runs; pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from palate.errors import InputError
from palate.verdict.lazy import special
from palate.verdict.pairs import Pairs
from palate.verdict.rule import beyond_budget

FALSE_DISCOVERY_RATE = 0.10
Badge = Literal["confirmed", "contradicted", "provisional"]
"""The new runs agree; they show the opposite; they do not decide."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmation:
    """A test of an earlier verdict on new runs: the badge, a p-value for a fixed number of pairs, and the new mean."""

    badge: Badge
    p: float
    raw: float
    n: int


def benjamini_hochberg(p: Sequence[float], rate: float = FALSE_DISCOVERY_RATE) -> list[bool]:
    """Return which hypotheses are rejected at a false discovery rate (Benjamini & Hochberg 1995).

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
    """Return which hypotheses are rejected by e-BH (Wang & Ramdas 2022): the k largest, where e >= m / (k rate).

    The false discovery rate holds under any dependence of the e-values.

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


def confirm_all(new: Sequence[Pairs], signs: Sequence[int], *, strict: bool = False) -> list[Confirmation]:
    """Test earlier verdicts on new pairs, all at once, with a controlled false discovery rate.

    Args:
        new: for each earlier verdict its new pairs, at seeds that the verdict did not use; 2 pairs at least.
        signs: +1 for an earlier "better", -1 for "worse".
        strict: use e-values: valid under any dependence (shared baselines), with less power.
    """
    p = [_p_value(pairs) for pairs in new]
    chosen = e_benjamini_hochberg([beyond_budget(pairs) for pairs in new]) if strict else benjamini_hochberg(p)
    return [
        Confirmation(badge=_badge(discovered, pairs.mean * sign), p=value, raw=pairs.mean, n=pairs.n)
        for discovered, pairs, sign, value in zip(chosen, new, signs, p, strict=True)
    ]


def _p_value(pairs: Pairs) -> float:
    """Return the two-sided p-value of the paired t-test for a fixed number of pairs; 1 if all differences are equal."""
    spread = math.sqrt(pairs.sum_of_squares / (pairs.n - 1))
    if spread == 0:
        return 1.0
    return float(2 * special.stdtr(pairs.n - 1, -abs(pairs.mean) / spread * math.sqrt(pairs.n)))


def _badge(discovered: bool, agreement: float) -> Badge:
    if not discovered:
        return "provisional"
    return "confirmed" if agreement > 0 else "contradicted"
