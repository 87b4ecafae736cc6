"""Predict how many more pairs a verdict will need, from the posterior of effect and noise after the pairs so far."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from palate.verdict.boundary import BANK, EQUIVALENCE_LEVEL, RUNS_FIRST_LOOK, Prior, critical
from palate.verdict.history import Noise, RunNoise
from palate.verdict.pairs import Pairs
from palate.verdict.rule import COLD_DF, PRIOR_EFFECT_SDS, Verdict, estimate_spread, prior_spread, table_of

FloatArray = npt.NDArray[np.float64]

DRAWS = 400
"""Simulated futures."""

LIKELY = 0.5
"""Chance of a verdict within the budget below which remedies are named."""

PAIRING_WORTH = 0.1
"""Correlation of the arms below which pairing by seed does not help."""

HALF_CHANCE, SURE_EXTRA = 2.3, 1.6
"""Effects that a budget confirms with 50 % and with 95 % chance, in s_d / sqrt(budget): 2.3, and 1.6 more."""


def smallest_confirmable(spread: float, budget: int) -> tuple[float, float]:
    """Return the effects that a budget of pairs confirms with 50 % and with 95 % chance.

    Args:
        spread: standard deviation of a difference, s_d.
        budget: pairs that may be run at most.
    """
    unit = spread / math.sqrt(budget)
    return HALF_CHANCE * unit, (HALF_CHANCE + SURE_EXTRA) * unit


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """The prediction for further pairs.

    Attributes:
        chance: probability of a verdict within the budget.
        low, high: 10 % and 90 % quantiles of the further pairs until a verdict; None where no simulation has one.
        remedies: what would lead to a verdict, where the budget likely does not: "a larger margin" ...
    """

    chance: float
    low: int | None
    high: int | None
    remedies: tuple[str, ...] = ()


def look_ahead(
    pairs: Pairs, verdict: Verdict, *, rng: np.random.Generator, noise: Noise | RunNoise | None = None
) -> Outlook:
    """Simulate the rule on 400 futures drawn from the posterior of effect and noise.

    Args:
        pairs: the pairs so far, at least 2.
        verdict: their verdict, for its margin, spread and budget.
        rng: source of the draws.
        noise: the noise prior, as given to `judge`.
    """
    more = verdict.budget - pairs.n
    if (
        verdict.noise == "conflict"
        or verdict.bank is not None
        or (isinstance(noise, RunNoise) and verdict.budget < RUNS_FIRST_LOOK)
    ):
        noise = None
    if more < 1 or verdict.spread is None or verdict.margin is None:
        return Outlook(chance=0.0, low=None, high=None)
    means, spreads = _futures(pairs, verdict.spread, more, rng, noise)
    table = table_of(noise)
    if verdict.bank is not None:  # as sure as the pairs are beside it now, they are taken to stay
        table, spreads = BANK, spreads * (verdict.spread / max(estimate_spread(pairs), 1e-300))
        means = means + (verdict.raw or 0.0) - pairs.mean
    crossed = _crossings(means, spreads, pairs.n, verdict.budget, verdict.margin, table)
    settles = crossed.any(axis=1)
    chance = float(settles.mean())
    remedies = _remedies(pairs, verdict) if chance < LIKELY else ()
    if not settles.any():
        return Outlook(chance=0.0, low=None, high=None, remedies=remedies)
    low, high = np.quantile(crossed.argmax(axis=1)[settles] + 1, [0.1, 0.9])
    return Outlook(chance=chance, low=int(low), high=math.ceil(high), remedies=remedies)


def _remedies(pairs: Pairs, verdict: Verdict) -> tuple[str, ...]:
    """Name what would lead to a verdict, judged by the pairs so far."""
    spread, margin = verdict.spread or 0.0, verdict.margin or 0.0
    remedies = []
    if abs(pairs.mean) > margin / 2:
        needed = math.ceil((HALF_CHANCE * spread / abs(pairs.mean)) ** 2)
        remedies.append(f"a bigger budget (about {max(needed, verdict.budget + 1)} pairs)")
    if smallest_confirmable(spread, verdict.budget)[0] > margin:
        remedies.append("a larger margin")
    if pairs.step > spread / 2:
        remedies.append("a metric with finer steps")
    if (verdict.correlation or 0.0) < PAIRING_WORTH:
        remedies.append("a split drawn by the seed, so that pairing helps")
    return tuple(remedies)


def _futures(
    pairs: Pairs, spread: float, more: int, rng: np.random.Generator, noise: Noise | RunNoise | None
) -> tuple[FloatArray, FloatArray]:
    """Draw (400, more) means and spreads s~ after each further pair."""
    known = (noise.d0 if isinstance(noise, Noise) else COLD_DF) + pairs.n - 1
    sigma = spread * np.sqrt(known / rng.chisquare(known, DRAWS))
    prior = (PRIOR_EFFECT_SDS * pairs.seed_sd) ** 2
    weight = prior / (prior + sigma**2 / pairs.n)
    delta = rng.normal(weight * pairs.mean, sigma * np.sqrt(weight / pairs.n))
    drawn = delta[:, None] + sigma[:, None] * rng.standard_normal((DRAWS, more))
    n = pairs.n + np.arange(1, more + 1)
    sums = pairs.mean * pairs.n + np.cumsum(drawn, axis=1)
    squares = pairs.sum_of_squares + pairs.n * pairs.mean**2 + np.cumsum(drawn**2, axis=1)
    within = np.maximum(squares - sums**2 / n, 0.0)
    prior_squares, prior_df = prior_spread(pairs, noise)
    df = prior_df + n - 1
    return sums / n, np.maximum(np.sqrt((prior_squares + within) / df), pairs.step)


def _crossings(
    means: FloatArray, spreads: FloatArray, n: int, budget: int, margin: float, prior: Prior
) -> npt.NDArray[np.bool_]:
    """Return (400, more) whether each further look would give a verdict."""
    looks = range(n + 1, budget + 1)
    bounds = np.array([critical(look, budget, prior=prior) / math.sqrt(look) for look in looks])
    equal = np.array([critical(look, budget, level=EQUIVALENCE_LEVEL, prior=prior) / math.sqrt(look) for look in looks])
    apart = np.abs(means) > bounds * spreads
    alike = np.abs(means) + equal * spreads < margin
    return np.asarray(apart | alike)
