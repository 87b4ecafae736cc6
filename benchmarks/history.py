"""What the past may say of the noise, and what few runs can settle: false verdicts and pairs, against known truth.

Every figure stands beside what was measured before, where the past's differences of all families were pooled, "same"
was spent as early as "better", and budgets below 5 had the boundaries of 5.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.fooled.policies import Draws, FloatArray, palate_widths
from benchmarks.table import Row
from palate.verdict.history import Past, RunNoise, noise_of
from palate.verdict.pairs import make_pairs
from palate.verdict.rule import Terms, judge

PASTS, USERS = 250, 120
"""Pasts that are drawn, and users of each of them."""

PAST_COMPARISONS, PAST_PAIRS = 8, 8
BUDGET = 20
STEP = 1e-9
FAMILY = "lr up"


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """What users were told: shares in percent, and the Monte-Carlo error of the first."""

    apart: float
    error: float
    pairs: float
    open: float

    def named(self, name: str) -> str:
        """Name a row, with the error of its figure."""
        return f"{name} (+-{self.error:.2f})"


def arms(
    rng: np.random.Generator, size: tuple[int, ...], rho: float, *, effect: float = 0.0, ratio: float = 1.0
) -> tuple[FloatArray, FloatArray]:
    """Draw both arms, seed sd 1 (the treatment's: `ratio`), correlated over seeds."""
    shared = rng.standard_normal(size)
    own = rng.standard_normal((2, *size))
    one, other = (math.sqrt(rho) * shared + math.sqrt(1 - rho) * each for each in own)
    return one, ratio * other + effect


def past_of(rng: np.random.Generator, rhos: Sequence[float], *, family: str = FAMILY) -> list[Past]:
    """Draw past comparisons of one family, of arms that correlate so over seeds."""
    past = []
    for rho in rhos:
        pairs = make_pairs(*arms(rng, (PAST_PAIRS,), rho))
        variance = pairs.sum_of_squares / (PAST_PAIRS - 1)
        past.append(Past(variance=variance, df=PAST_PAIRS - 1, run_variance=pairs.arm_variance, family=family))
    return past


def settle(
    one: FloatArray, other: FloatArray, *, noise: RunNoise | None, margin: float = 1.0, budget: int = BUDGET
) -> tuple[FloatArray, FloatArray]:
    """Judge users (users, budget), a look after each pair; give 1 apart, 0 the same, NaN open, and the pairs used."""
    draws = Draws(baseline=one, treatment=other, step=STEP, margin=margin, noise=noise)
    told, used = np.full(len(one), np.nan), np.full(len(one), float(budget))
    for n in range(2, budget + 1):
        gap = np.abs((other - one)[:, :n].mean(1))
        wide, narrow = palate_widths(draws, n, budget)
        apart, small = gap > wide, gap + narrow < margin
        fresh = np.isnan(told) & (apart | small)
        told[fresh], used[fresh] = apart[fresh], n
    return told, used


def play(
    rng: np.random.Generator,
    past: Sequence[float] | None,
    rho: float,
    *,
    effect: float = 0.0,
    ratio: float = 1.0,
    budget: int = BUDGET,
    family: str = FAMILY,
) -> Played:
    """Play users of many pasts; cold without one."""
    apart, pairs, still = [], [], []
    for _ in range(PASTS):
        noise = None if past is None else noise_of(past_of(rng, past), family)
        one, other = arms(rng, (USERS, budget), rho, effect=effect, ratio=ratio)
        told, used = settle(one, other, noise=noise, budget=budget)
        apart.append(np.mean(told == 1))
        pairs.append(used.mean())
        still.append(np.isnan(told).mean())
    error = 100 * float(np.std(apart, ddof=1)) / math.sqrt(PASTS)
    return Played(
        apart=100 * float(np.mean(apart)), error=error, pairs=float(np.mean(pairs)), open=100 * np.mean(still)
    )


MIXED = (0.0, 0.6, 0.9, 0.0, 0.6, 0.9, 0.0, 0.6)
CASES: tuple[tuple[str, tuple[float, ...], float, float, float], ...] = (
    ("0 -> 0", (0.0,) * 8, 0.0, 1.0, 3.4),
    (".6 -> .6", (0.6,) * 8, 0.6, 1.0, 2.2),
    (".9 -> 0", (0.9,) * 8, 0.0, 1.0, 24.5),
    (".6 -> 0", (0.6,) * 8, 0.0, 1.0, 8.7),
    ("mixed 0/.6/.9 -> 0", MIXED, 0.0, 1.0, 7.3),
    ("0 -> 0, new arm twice as noisy", (0.0,) * 8, 0.0, 2.0, 13.1),
    (".6 -> .6, new arm twice as noisy", (0.6,) * 8, 0.6, 2.0, math.nan),
)
"""Past and new correlation of the arms, the noise of the new arm, and the false verdicts measured before, in %."""


def history_rows(rng: np.random.Generator) -> Iterator[Row]:
    """Count false verdicts by what the past was like, and the pairs that a true effect needs."""
    for name, past, rho, ratio, before in CASES:
        for words, family in (("", FAMILY), (", new family", "width up")):
            if words and name.startswith("0"):
                continue  # nothing is borrowed but one run's noise, whatever the family
            played = play(rng, past, rho, ratio=ratio, family=family)
            was = "" if math.isnan(before) or words else f", was {before:g}"
            name_ = played.named(f"history {name}{words}: false, A/A{was}")
            yield Row(name=name_, measured=played.apart, unit="%", target=6)
    for words, past, family in (("cold", None, ""), ("history", CASES[1][1], FAMILY), ("new family", CASES[1][1], "")):
        played = play(rng, past, 0.6, effect=2.0, family=family)
        target = 4.2 if words == "history" else None
        was = {"cold": 5.6, "history": 3.8}.get(words)
        yield Row(
            name=f".6 -> .6, 2 sd, {words}: pairs" + (f", was {was}" if was else ""),
            measured=played.pairs,
            target=target,
        )
    yield changed_noise_row(rng)


def changed_noise_row(rng: np.random.Generator) -> Row:
    """Count false verdicts of a project whose runs get three times as noisy midway, over the 8 questions after that."""
    false = []
    for _ in range(PASTS):
        past = past_of(rng, (0.3,) * 8)
        for _ in range(8):
            one, other = arms(rng, (USERS // 8, BUDGET), 0.3)
            told, _ = settle(3 * one, 3 * other, noise=noise_of(past, FAMILY), margin=3.0)
            false.append(np.mean(told == 1))
            pairs = make_pairs(3 * one[0, :PAST_PAIRS], 3 * other[0, :PAST_PAIRS])
            variance = pairs.sum_of_squares / (PAST_PAIRS - 1)
            past.append(Past(variance=variance, df=PAST_PAIRS - 1, run_variance=pairs.arm_variance, family=FAMILY))
    error = 100 * float(np.std(false, ddof=1)) / math.sqrt(len(false))
    name = f"noise three times as large midway: false, A/A (+-{error:.2f})"
    return Row(name=name, measured=100 * float(np.mean(false)), unit="%", target=6)


def few_rows(rng: np.random.Generator) -> Iterator[Row]:
    """Measure what 2, 3 and 4 pairs settle at 3 sd, and what stays open where "same" is spent late."""
    for budget, before, target in ((2, 18, 38), (3, 44, 57), (4, 71, 75)):
        played = play(rng, None, 0.0, effect=3.0, budget=budget)
        null = play(rng, None, 0.0, budget=budget)
        name = f"budget {budget}: power at 3 sd, was {before}"
        yield Row(name=played.named(name), measured=played.apart, unit="%", target=target, at_least=True)
        yield Row(name=null.named(f"budget {budget}: false, A/A"), measured=null.apart, unit="%", target=5.5)
    for name, effect, before, target in (("A/A", 0.0, 29, 17), (".5 sd", 0.5, 45, 35)):
        played = play(rng, None, 0.0, effect=effect)
        yield Row(
            name=f"open after 20 pairs, {name}, was {before} ({played.pairs:.1f} pairs)",
            measured=played.open,
            unit="%",
            target=target,
        )


def agrees_row(rng: np.random.Generator) -> Row:
    """Check the vectors above against `judge`, with and without a past."""
    noise = noise_of(past_of(rng, (0.6,) * 8), FAMILY)
    agree = total = 0
    for known in (None, noise):
        one, other = arms(rng, (60, BUDGET), 0.3, effect=0.7)
        _, used = settle(one, other, noise=known)
        terms = Terms(margin=1.0, noise=known, assumptions=False)
        for a, b, mine in zip(one, other, used, strict=True):
            pairs = make_pairs(a, b, resolution=STEP)
            theirs = next((n for n in range(1, BUDGET) if judge(pairs.first(n), terms).settled), BUDGET)
            agree, total = agree + (theirs == mine), total + 1
    return Row(
        name="the vectors agree with judge(), assumptions unchecked, on 120 users",
        measured=agree / total,
        target=1,
        at_least=True,
    )


def rows() -> Iterator[Row]:
    """Measure what history and few runs are worth."""
    rng = np.random.default_rng(20_261_127)
    yield agrees_row(rng)
    yield from history_rows(rng)
    yield from few_rows(rng)
