"""What a verdict is worth where its assumptions do not hold: shapes of noise, bad seeds, order, and equal values."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from benchmarks.table import Row
from palate.verdict.boundary import critical
from palate.verdict.pairs import FloatArray, Pairs
from palate.verdict.rule import Terms, Verdict, judge
from palate.verdict.shape import sign_boundary
from palate.verdict.words import headline
from palate.vocabulary import Metric

BUDGET = 20
USERS = 6_000
SEEN = 400
"""Users of whom all 20 pairs are looked at, for what is detected."""

STEP = 1e-9
TERMS = Terms(budget=BUDGET, margin=STEP)
BEFORE = Terms(budget=BUDGET, margin=STEP, assumptions=False)
SCORE = Metric(name="score", goal="max")
BAD = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What users were told: the claim (0 none), pairs used, whether it is on the typical run, whether words say so."""

    claim: FloatArray
    pairs: FloatArray
    typical: FloatArray
    said: FloatArray


def shapes(rng: np.random.Generator, users: int = USERS) -> dict[str, FloatArray]:
    """Draw (users, 2, 20) runs of arms with equal means, by the shape of their noise."""
    size = (users, 2, BUDGET)
    normal = rng.standard_normal
    drawn = {"normal": normal(size), "t3": rng.standard_t(3, size), "skewed in both": rng.exponential(size=size) - 1}
    for ratio in (3.0, 10.0):
        drawn[f"unequal 1:{ratio:g}"] = normal(size) * np.array([1.0, ratio])[:, None]
    drawn["bimodal"] = np.where(rng.random(size) < 0.5, -1.0, 1.0) + 0.1 * normal(size)
    mild, strong = normal(size), 0.3 * normal(size)
    mild[:, 1] = rng.exponential(size=(users, BUDGET)) - 1
    tail = np.exp(normal((users, BUDGET)))
    strong[:, 1] = (tail - math.exp(0.5)) / math.sqrt((math.e - 1) * math.e)
    drawn |= {"skewed in one arm (exponential)": mild, "skewed in one arm (log-normal v normal of .3 sd)": strong}
    for typical in (1.0, 2.0):
        spoilt = normal(size)
        bad = rng.random((users, BUDGET)) < BAD
        spoilt[:, 1] += np.where(bad, -typical * (1 - BAD) / BAD, typical)
        drawn[f"10 % bad seeds in one arm, typical +{typical:g} sd"] = spoilt
    chained = normal(size)
    for i in range(1, BUDGET):
        chained[:, :, i] = 0.3 * chained[:, :, i - 1] + math.sqrt(1 - 0.09) * chained[:, :, i]
    return drawn | {"successive seeds correlated .3": chained}


def play(arms: FloatArray, terms: Terms) -> Told:
    """Let each user look after every pair, until `judge` claims a difference.

    Only looks at which a mean or the signs could cross their boundary are judged: at others there is no claim.
    """
    possible = _possible(arms)
    told = Told(**{name: np.zeros(len(arms)) for name in ("claim", "pairs", "typical", "said")})
    for user, path in enumerate(arms):
        told.pairs[user] = BUDGET
        for n in np.flatnonzero(possible[user]).tolist():
            verdict = judge(pairs_of(path, n), terms)
            if verdict.kind in ("better", "worse"):
                told.claim[user] = 1 if verdict.kind == "better" else -1
                told.pairs[user], told.typical[user] = n, verdict.about == "typical"
                told.said[user] = "typical" in headline(verdict, SCORE)
                break
    return told


def _possible(arms: FloatArray) -> np.ndarray:
    """Return (users, 21) the looks at which the mean or the signs cross."""
    crossed = np.zeros((len(arms), BUDGET + 1), dtype=bool)
    for n in range(2, BUDGET + 1):
        seen = arms[:, :, :n]
        gap = seen[:, 1] - seen[:, 0]
        mean = gap.mean(axis=1)
        within = ((gap - mean[:, None]) ** 2).sum(axis=1)
        spread = np.sqrt((seen.var(axis=2, ddof=1).sum(axis=1) + within) / n)
        ups = (gap > 0).sum(axis=1)
        crossed[:, n] = np.abs(mean) > 0.999 * critical(n, BUDGET) * spread / math.sqrt(n)
        crossed[:, n] |= np.maximum(ups, n - ups) >= sign_boundary(BUDGET)[n - 1]
    return crossed


def pairs_of(path: FloatArray, n: int) -> Pairs:
    """Return the first n pairs of a user."""
    return Pairs(baseline=path[0, :n], treatment=path[1, :n], resolution=STEP)


def rows() -> Iterator[Row]:
    """Measure false verdicts by shape, before and after, what is detected, what it costs, and equal values."""
    rng = np.random.default_rng(2026_1127)
    for name, arms in shapes(rng).items():
        yield from shape_rows(name, arms)
    yield from cost_rows(rng)
    yield from tie_rows(rng)


def shape_rows(name: str, arms: FloatArray) -> Iterator[Row]:
    """Count wrong claims: of the mean any, of the typical run those against the sign of the median difference."""
    before, after = play(arms, BEFORE), play(arms, TERMS)
    error = 100 * math.sqrt(0.05 * 0.95 / len(arms))
    yield _share(f"A/A, {name}: false, assumptions unchecked (+- {error:.1f})", before.claim != 0)
    typical, claimed = _typical_sign(name), after.claim != 0
    wrong = claimed & ((after.typical == 0) | (after.claim != typical))
    unseen = any(words in name for words in ("log-normal", "bad seeds", "successive"))
    yield _share(f"A/A, {name}: false, checked", wrong, most=None if unseen else 6.5)
    if unseen and typical:
        yield _share(f"{name}: claims that say they are of typical runs", after.said[claimed], least=80)
        yield _share(f"{name}: claims that are wrong of the typical run", claimed & (after.claim != typical), most=6)
    yield from detection_rows(name, arms)


def _typical_sign(name: str) -> int:
    """Return the sign of the median difference of a shape."""
    return 1 if "bad seeds" in name else -1 if "one arm" in name else 0


def detection_rows(name: str, arms: FloatArray) -> Iterator[Row]:
    """Count how often the shape is named from all 20 pairs."""
    found = [judge(pairs_of(path, BUDGET), TERMS) for path in arms[:SEEN]]
    if "bad seeds" in name:
        there = np.array([np.any(path[1] < -4) for path in arms[:SEEN]])
        named = np.array([bool(one.shape.low[1]) for one in found])
        yield _share(f"{name}: bad seeds that are among 20 pairs are named", named[there], least=80)
    for words, has in _DETECTED.items():
        if words in name:
            yield _share(f"{name}: named from 20 pairs", np.array([has(one) for one in found]), least=80)
    if name == "normal":
        any_named = np.array([not one.shape.plain for one in found])
        yield _share("normal: something is named from 20 pairs", any_named, most=10)


_DETECTED = {
    "bimodal": lambda one: bool(one.shape.groups),
    "1:10": lambda one: bool(one.shape.spread_ratio),
    "log-normal": lambda one: one.shape.uneven,
    "successive": lambda one: bool(one.shape.dependence),
}


def cost_rows(rng: np.random.Generator) -> Iterator[Row]:
    """Hold the pairs to a verdict against those without the checks, for effects of 1, 2 and 3 sd in normal noise."""
    for effect in (1.0, 2.0, 3.0):
        arms = rng.standard_normal((USERS // 3, 2, BUDGET))
        arms[:, 1] += effect
        before, after = play(arms, BEFORE), play(arms, TERMS)
        more = 100 * (after.pairs.mean() / before.pairs.mean() - 1)
        means = f"{before.pairs.mean():.2f} unchecked, {after.pairs.mean():.2f} checked"
        name = f"pairs to a verdict at {effect:g} sd: {means}, more"
        yield Row(name=name, measured=more, unit="%", target=5)


def tie_rows(rng: np.random.Generator) -> Iterator[Row]:
    """Count who is told that a change did nothing: a metric in steps of 1/16, a true gain of 1 seed sd (1/16)."""
    arms = np.round((rng.standard_normal((USERS, 2, BUDGET)) + np.array([0.0, 1.0])[:, None]) + 8) / 16
    tied = arms[:, 0, 0] == arms[:, 1, 0]
    yield _share("coarse metric, gain of 1 sd: first pairs that tie", tied)
    for words, known in (("values alone", None), ("curves that differ", False)):
        said: list[Verdict] = [
            judge(Pairs(baseline=p[0, :n], treatment=p[1, :n]), Terms(budget=BUDGET), bit_identical=known)
            for p in arms[tied][:500]
            for n in (1, 2, 3)
        ]
        wrong = np.array([one.kind == "nothing" for one in said])
        yield _share(f"coarse metric, first pair tied, {words}: told 'did nothing'", wrong, most=0)


def _share(name: str, which: np.ndarray, *, most: float | None = None, least: float | None = None) -> Row:
    """Return a row of a share in percent, with the most or the least it should be."""
    measured = float(100 * np.mean(which)) if len(which) else 0.0
    target = most if least is None else least
    return Row(name=name, measured=measured, unit="%", target=target, at_least=least is not None)
