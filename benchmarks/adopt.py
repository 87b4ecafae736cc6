"""Adopt is not claim: what an agent gains with one budget of runs, by greed, by a verdict a change, and by odds.

A simulated agent has 300 runs. Of the changes that it tries, 70 % do next to nothing, 20 % harm and 10 % help by half
to two seed standard deviations. Effects add up here; `adopt_digits` has a real training, in which they do not.
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from benchmarks import adopt_digits
from benchmarks.table import Row
from palate.verdict.adopt import (
    CARRYING,
    DEFAULT_HARM,
    DEFAULT_HELP,
    SCALES,
    Level,
    Measured,
    Met,
    PastEffect,
    Prior,
    calibration,
    fit_prior,
    meet,
    weigh,
)
from palate.verdict.boundary import EQUIVALENCE_LEVEL, VERDICT_LEVEL, critical
from palate.verdict.pairs import make_pairs
from palate.verdict.rule import Terms, judge

RUNS, HELD_BACK, REPEATS, BUDGET = 300, 20, 60, 20
REFIT = 10
World = Callable[[np.random.Generator, int], np.ndarray]


def world(rng: np.random.Generator, n: int) -> np.ndarray:
    """Effects of changes, in seed sds: 70 % N(0, .1), 20 % harmful U(-2, 0), 10 % U(.5, 2)."""
    kind, effects = rng.random(n), rng.normal(0, 0.1, n)
    effects = np.where(kind < 0.2, -rng.uniform(0, 2, n), effects)
    return np.where(kind > 0.9, rng.uniform(0.5, 2, n), effects)


def hopeless(rng: np.random.Generator, n: int) -> np.ndarray:
    """Effects of changes of which none helps: 75 % nothing, 25 % harmful."""
    return np.where(rng.random(n) < 0.25, -rng.uniform(0, 2, n), 0.0)


def lively(rng: np.random.Generator, n: int) -> np.ndarray:
    """Effects where most changes do something: N(0, 1), unlike the default prior."""
    return rng.normal(0, 1, n)


def lucky(rng: np.random.Generator, n: int) -> np.ndarray:
    """Effects where half of the changes help: U(-1, 1), unlike the default prior."""
    return rng.uniform(-1, 1, n)


@dataclass(frozen=True)
class Session:
    """What an agent did: changes tried, true gain, gain claimed, whether it claimed one that is none."""

    tried: int
    gain: float
    claimed: float
    false: bool = False


def greedy(rng: np.random.Generator, effects: World = world) -> Session:
    """Keep whatever beats the best run so far, one run a change."""
    first = best = rng.normal()
    level = 0.0
    for effect in effects(rng, RUNS - 1):
        seen = level + effect + rng.normal()
        if seen > best:
            best, level = seen, level + effect
    return Session(RUNS - 1, level, best - first)


def by_verdict(rng: np.random.Generator, effects: World = world) -> Session:
    """Give each change a verdict of its own before it is kept; the baseline's runs are used again."""
    level, left, tried, claimed = 0.0, RUNS, 0, 0.0
    baseline: list[float] = []
    for effect in effects(rng, RUNS):
        values: list[float] = []
        better = False
        while len(values) < BUDGET and left > 0:
            if len(baseline) <= len(values):
                baseline.append(level + rng.normal())
                left -= 1
            values.append(level + effect + rng.normal())
            left -= 1
            n = len(values)
            if n < 2:
                continue
            mean, half, same = _looked(np.array(baseline[:n]), np.array(values), n)
            better = mean > half
            if abs(mean) > half or abs(mean) + same < 1.0:
                break
        tried += 1
        if better:
            level, claimed, baseline = level + effect, claimed + mean, values
        if left <= 0:
            break
    return Session(tried, level, claimed)


def _looked(baseline: np.ndarray, treatment: np.ndarray, n: int) -> tuple[float, float, float]:
    """Return the mean difference and the half-widths of the rule: of its interval and of that of equivalence."""
    d = treatment - baseline
    squares = float(((d - d.mean()) ** 2).sum())
    spread = math.sqrt((baseline.var(ddof=1) + treatment.var(ddof=1) + squares) / n)
    halves = [critical(n, BUDGET, level=level) * spread / math.sqrt(n) for level in (VERDICT_LEVEL, EQUIVALENCE_LEVEL)]
    return float(d.mean()), halves[0], halves[1]


def by_odds(
    rng: np.random.Generator,
    effects: World = world,
    *,
    first: int = 1,
    most: int = 2,
    luck: bool = True,
    told: list[tuple[float, bool]] | None = None,
) -> Session:
    """Keep what the odds say, after one or two runs a change; then claim the stack by one verdict at fresh seeds.

    `luck` is whether what its runs had of luck is taken off a baseline that was adopted for them.
    """
    level, left, tried = 0.0, RUNS - HELD_BACK, 0
    start = 4
    incumbent, left = Level(mean=float(rng.normal(level, 1, start).mean()), variance=1 / start), left - start
    past: list[PastEffect] = []
    prior, heard = Prior(), [] if told is None else told
    for effect in effects(rng, RUNS):
        if left < first:
            break
        values: list[float] = []
        while True:
            more = first if not values else 1
            values += list(level + effect + rng.normal(0, 1, more))
            left -= more
            met = _meet(incumbent, values, prior)
            odds = weigh(met.measured, prior)
            if odds.advice != "run more" or len(values) >= most or left <= 0:
                break
        tried += 1
        heard += [(odds.helps, bool(effect > 0))] if tried > REFIT else []
        error = math.sqrt(met.measured.variance / len(values))
        past.append(PastEffect(mean=met.measured.mean, error=error, df=met.measured.df))
        kept = odds.gain > CARRYING
        level += effect if kept else 0.0
        if luck:
            incumbent = met.treatment if kept else met.baseline
        else:  # believed as it was measured
            incumbent = Level(mean=float(np.mean(values)), variance=1 / len(values)) if kept else incumbent
        if tried % REFIT == 0:
            prior = fit_prior(past)
    claimed, better = claim(rng, level)
    return Session(tried, level, claimed, false=better and level <= 0)


def _meet(incumbent: Level, values: list[float], prior: Prior) -> Met:
    mean, n = float(np.mean(values)), len(values)
    return meet(incumbent, mean, n, noise=1.0, df=10 + n - 1, unit=1.0, prior=prior)


def claim(rng: np.random.Generator, level: float) -> tuple[float, bool]:
    """Give the stack one verdict with what was held back; return the effect that it states, and whether it is one."""
    pairs = HELD_BACK // 2
    return verdict_on(rng.normal(0, 1, pairs), rng.normal(level, 1, pairs))


def verdict_on(baseline: np.ndarray, treatment: np.ndarray) -> tuple[float, bool]:
    """Return the size over all pairs, and whether the first look that settles it says better."""
    terms = Terms(budget=len(baseline), margin=1e-9)
    looks = (
        judge(make_pairs(baseline[:n], treatment[:n], resolution=1e-9), terms) for n in range(2, len(baseline) + 1)
    )
    settled = next((verdict.kind for verdict in looks if verdict.settled), "unclear")
    return float((treatment - baseline).mean()), settled.startswith("better")


def _play(policy: Callable[..., Session], effects: World = world, **options: object) -> list[Session]:
    return [policy(np.random.default_rng([2026, i]), effects, **options) for i in range(REPEATS)]


def _mean(sessions: list[Session], name: str) -> float:
    return float(np.mean([getattr(one, name) for one in sessions]))


def session_rows() -> Iterator[Row]:
    """Play the agents with equal runs."""
    told: list[tuple[float, bool]] = []
    played = {
        "greedy": _play(greedy),
        "a verdict a change": _play(by_verdict),
        "odds after 1-2 runs": _play(by_odds, told=told),
        "odds after 2 pairs": _play(by_odds, first=2, most=2),
        "odds after 2 pairs, luck of the baseline left out": _play(by_odds, first=2, most=2, luck=False),
    }
    for name, sessions in played.items():
        for what, unit in (("tried", "changes"), ("gain", "seed sds"), ("claimed", "seed sds")):
            yield Row(name=f"300 runs, {name}: {what}", measured=_mean(sessions, what), unit=unit)
    odds, greed = played["odds after 1-2 runs"], played["greedy"]
    times = _mean(odds, "gain") / _mean(greed, "gain")
    yield Row(name="odds: true gain, times greedy at equal runs", measured=times, target=1.4, at_least=True)
    off = 100 * abs(_mean(odds, "claimed") / _mean(odds, "gain") - 1)
    yield Row(name="odds: the claim of the stack is off its true gain by", measured=off, unit="%", target=5)
    off = 100 * (_mean(greed, "claimed") / _mean(greed, "gain") - 1)
    yield Row(name="greedy: what it claims is above its true gain by", measured=off, unit="%")
    none = [by_odds(np.random.default_rng([7, i]), hopeless) for i in range(3 * REPEATS)]
    false = 100 * _mean(none, "false")
    yield Row(name="odds, no change helps: false claims about the stack", measured=false, unit="%", target=5)
    yield from calibration_rows("world of the sessions, learned as it goes", told, target=False)


def calibration_rows(words: str, told: list[tuple[float, bool]], *, target: bool) -> Iterator[Row]:
    """Show of changes that were told a chance around 80 % how many helped, and how far chances are off on average."""
    near = [better for chance, better in told if 0.75 <= chance < 0.85]
    if near:
        share = 100 * sum(near) / len(near)
        name = f"told 75-85 %, helped ({words})"
        yield Row(name=name, measured=share, unit="%")
        off = abs(share - 100 * float(np.mean([chance for chance, _ in told if 0.75 <= chance < 0.85])))
        yield Row(name=f"  off what was told ({words})", measured=off, unit="points", target=5 if target else None)
    bands = calibration(told)
    count = sum(band.count for band in bands)
    off = 100 * sum(band.count * abs(band.told - band.better / band.count) for band in bands) / count
    yield Row(name=f"  all bands, off by on average ({words})", measured=off, unit="points")


def world_rows() -> Iterator[Row]:
    """Calibrate odds of single changes: by the default prior alone and after 60 past changes, in several worlds."""
    rng = np.random.default_rng(11)
    for words, effects, known in (
        ("a world like the default prior", like_the_default, 0),
        ("the world of the sessions, default prior alone", world, 0),
        ("the world of the sessions, 60 past changes", world, 60),
        ("every change does something, default prior alone", lively, 0),
        ("every change does something, 60 past changes", lively, 60),
        ("half of the changes help, default prior alone", lucky, 0),
        ("half of the changes help, 60 past changes", lucky, 60),
    ):
        told: list[tuple[float, bool]] = []
        for _ in range(40 if known else 4):
            chances = _chances(fit_prior(_seen(rng, effects(rng, known))))
            tried = effects(rng, 20_000)
            means = tried + rng.standard_t(11, len(tried))
            told += list(zip(np.interp(means, MEANS, chances).tolist(), (tried > 0).tolist(), strict=True))
        yield from calibration_rows(words, told, target=words in LIKE)


def like_the_default(rng: np.random.Generator, n: int) -> np.ndarray:
    """Effects drawn from the default prior; of its widest component, from the half-Cauchy that it is."""
    weights = np.array([*DEFAULT_HELP, *DEFAULT_HARM])
    which = rng.choice(len(weights), size=n, p=weights / weights.sum())
    scale, sign = np.array([*SCALES, *SCALES])[which], np.where(which < len(SCALES), 1.0, -1.0)
    wide = which % len(SCALES) == len(SCALES) - 1
    return sign * scale * np.abs(np.where(wide, rng.standard_cauchy(n), rng.standard_normal(n)))


LIKE = ("a world like the default prior", "the world of the sessions, 60 past changes")
"""Worlds like the prior, where odds must hold; in others it is shown what happens."""

MEANS = np.linspace(-8, 8, 161)


def _seen(rng: np.random.Generator, effects: np.ndarray) -> list[PastEffect]:
    """Look at effects by 2 pairs each; the noise is known as well as the project knows it."""
    return [PastEffect(mean=float(effect + rng.standard_t(11)), error=1.0, df=11) for effect in effects]


def _chances(prior: Prior) -> list[float]:
    """Return the chance that a change helps, by the mean of 2 pairs."""
    return [weigh(Measured(mean=mean, variance=2.0, df=11, n=2, unit=1.0), prior).helps for mean in MEANS.tolist()]


def reused_rows() -> Iterator[Row]:
    """Ask about a change that does nothing, on a baseline that was adopted for two lucky runs, which are used again."""
    rng = np.random.default_rng(5)
    wrong, total = 0, 0
    while total < 1500:
        start, runs = rng.normal(0, 1, BUDGET), rng.normal(0, 1, BUDGET)
        if runs[:2].mean() - start[:2].mean() < 1.0:
            continue  # not adopted
        total += 1
        treatment = rng.normal(0, 1, BUDGET)
        for n in range(2, BUDGET + 1):
            mean, half, _ = _looked(runs[:n], treatment[:n], n)
            if abs(mean) > half:
                wrong += 1
                break
    name = "A/A on a baseline that was adopted for 2 lucky pairs: false verdicts"
    yield Row(name=name, measured=100 * wrong / total, unit="%", target=6)


def rows() -> Iterator[Row]:
    """Measure what odds are worth to an agent, and whether they come true."""
    begun_s = time.process_time()
    yield from session_rows()
    yield from world_rows()
    yield from reused_rows()
    yield from adopt_digits.rows()
    spent = time.process_time() - begun_s
    yield Row(name="adopting: CPU seconds of these rows", measured=spent, unit="s", target=300)


if __name__ == "__main__":
    from benchmarks.table import put_out

    put_out("verdict", rows(), as_json=False)
