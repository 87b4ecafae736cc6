"""Verdicts against simulated truth: coverage, how many runs they need against what is possible, history gone wrong."""

import math
from collections.abc import Iterator

import numpy as np

from benchmarks.fooled.policies import BUDGET, NO_CLAIM, Draws, FloatArray, palate, palate_widths
from benchmarks.table import Row
from palate.verdict.history import Noise, RunNoise
from palate.verdict.many import confirm_all
from palate.verdict.outlook import LIKELY, look_ahead
from palate.verdict.pairs import make_pairs
from palate.verdict.rule import Failures, Terms, judge
from palate.verdict.words import headline
from palate.vocabulary import name_metric

USERS = 20_000
PROJECTS = 300
OUTLOOKS = 400
STEP = 1e-9
KL = 0.95 * math.log(0.95 / 0.025) + 0.05 * math.log(0.05 / 0.975)
"""kl(.95, .025): what any test pays to be right 95 % of the time and wrong 2.5 % of it."""


def draw(effect: float, rho: float, rng: np.random.Generator, users: int = USERS) -> tuple[FloatArray, FloatArray]:
    """Draw (users, 20) values of both arms, seed sd 1, correlated over seeds."""
    shared = rng.normal(0, math.sqrt(rho), (users, BUDGET))
    own = rng.normal(0, math.sqrt(1 - rho), (2, users, BUDGET))
    return shared + own[0], shared + own[1] + effect


def play(effect: float, rho: float, rng: np.random.Generator, *, margin: float, noise: Noise | None = None) -> Draws:
    """Set up users of one effect."""
    baseline, treatment = draw(effect, rho, rng)
    return Draws(baseline=baseline, treatment=treatment, step=STEP, margin=margin, noise=noise)


def rows() -> Iterator[Row]:
    """Measure everything that needs a known truth."""
    rng = np.random.default_rng(20_261_123)
    yield from coverage_rows(rng)
    yield from run_rows(rng)
    yield from wrong_history_rows(rng)
    yield outlook_row(rng)
    yield from project_rows(rng)
    yield from fork_rows(rng)
    yield crash_row(rng)


def coverage_rows(rng: np.random.Generator) -> Iterator[Row]:
    """Count how often the interval at the stop holds the effect."""
    for effect in (0.0, 0.5, 1.0, 2.0):
        draws = play(effect, 0.3, rng, margin=1.0)
        _, used = palate(draws)
        held = np.zeros(USERS, dtype=bool)
        for n in range(2, BUDGET + 1):
            mine = used == n
            gap = (draws.treatment[mine, :n] - draws.baseline[mine, :n]).mean(1)
            held[mine] = np.abs(gap - effect) <= palate_widths(draws, n)[0][mine]
        share = 100 * held.mean()
        yield Row(
            name=f"interval at the stop holds an effect of {effect} sd",
            measured=share,
            unit="%",
            target=95,
            at_least=True,
        )


def run_rows(rng: np.random.Generator) -> Iterator[Row]:
    """Hold the pairs used against lower bounds, for effects of 1 to 3 seed sds, arms that correlate .6."""
    rho = 0.6
    sd = math.sqrt(2 * (1 - rho))
    for effect in (1.0, 2.0, 3.0):
        theta2 = (effect / sd) ** 2
        pairs = float(palate(play(effect, rho, rng, margin=STEP))[1].mean())
        bound = max(2.0, KL / (math.log1p(theta2) / 2))
        yield Row(
            name=f"cold: pairs / unknown-variance bound, {effect:g} sd ({pairs:.1f} pairs)",
            measured=pairs / bound,
            target=1.6,
        )
    for effect in (1.0, 2.0, 3.0):
        theta2 = (effect / sd) ** 2
        known = play(effect, rho, rng, margin=STEP, noise=Noise(d0=6, variance=sd**2))
        pairs = float(palate(known)[1].mean())
        oracle = max(2.0, KL / (theta2 / 2))
        yield Row(
            name=f"history d0 = 6: pairs / oracle SPRT, {effect:g} sd ({pairs:.1f} pairs)",
            measured=pairs / oracle,
            target=1.7,
        )


def wrong_history_rows(rng: np.random.Generator) -> Iterator[Row]:
    """Count false verdicts, from the first pair on, where the past says that runs vary 2 or 3 times less than they do.

    Before, a prior for the differences was wrong so: 13.6 and 22.5 % from the first pair on.
    """
    for times, target, before in ((2, 11, 13.6), (3, 16, 22.5)):
        noise = RunNoise(run_variance=1 / times**2)
        claim, _ = palate(play(0.0, 0.0, rng, margin=STEP, noise=noise))
        false = 100 * float(((claim != NO_CLAIM) & (claim != 0)).mean())
        name = f"false verdicts where history is wrong by {times} times, from one pair on, was {before}"
        yield Row(name=name, measured=false, unit="%", target=target)
    yield first_pair_row(rng)


def first_pair_row(rng: np.random.Generator) -> Row:
    """Count verdicts at one and two pairs with a known noise, where the vectors above do not look: there are none."""
    terms = Terms(noise=RunNoise(run_variance=1e-6), margin=STEP)
    settled = 0
    for _ in range(PROJECTS):
        (baseline,), (treatment,) = draw(0.0, 0.0, rng, users=1)
        pairs = make_pairs(baseline, treatment, resolution=STEP)
        settled += judge(pairs.first(1), terms).settled
    return Row(name="verdicts at one pair, history wrong by 1,000 times, of 300", measured=settled, target=0)


def outlook_row(rng: np.random.Generator) -> Row:
    """Count how often the 80 % range of "N more pairs", told after 4 pairs, holds what it took.

    All who are told a range count: one whose budget ends before a verdict took more than any range that ends before it.
    """
    inside = total = 0
    terms = Terms(margin=1.0)
    while total < OUTLOOKS:
        (baseline,), (treatment,) = draw(rng.normal(0, 2.0), 0.3, rng, users=1)
        pairs = make_pairs(baseline, treatment)
        now = judge(pairs.first(4), terms)
        if now.settled:
            continue
        ahead = look_ahead(pairs.first(4), now, rng=rng)
        if ahead.low is None or ahead.high is None or ahead.chance < LIKELY:
            continue  # told the chance, and no range
        took = next((n - 4 for n in range(5, BUDGET + 1) if judge(pairs.first(n), terms).settled), BUDGET)
        total += 1
        inside += ahead.low <= took <= ahead.high
    share = 100 * inside / total
    return Row(
        name="80 % range of 'N more pairs' holds the truth, of all who were told one (75-92 %)",
        measured=share,
        unit="%",
        target=75,
        at_least=True,
    )


def project_rows(rng: np.random.Generator) -> Iterator[Row]:
    """Confirm the winners of projects of 20 verdicts, a quarter of them real effects of 1.5 seed sds."""
    rates, found, real = [], 0, 0
    for _ in range(PROJECTS):
        effects = np.where(np.arange(20) < 5, 1.5, 0.0)
        fresh = []
        for effect in effects:
            (baseline,), (treatment,) = draw(float(effect), 0.3, rng, users=1)
            fresh.append(make_pairs(baseline, treatment, resolution=STEP))
        chosen = np.array([one.badge != "provisional" for one in confirm_all(fresh, [1] * 20)])
        rates.append((chosen & (effects == 0)).sum() / max(chosen.sum(), 1))
        found, real = found + int(chosen[:5].sum()), real + 5
    yield Row(
        name="projects of 20: false discoveries after confirm",
        measured=100 * float(np.mean(rates)),
        unit="%",
        target=10,
    )
    yield Row(name="projects of 20: power of confirm", measured=100 * found / real, unit="%", target=90, at_least=True)


def fork_rows(rng: np.random.Generator) -> Iterator[Row]:
    """Fork checkpoints: the unit is the checkpoint. 8 of them, one pair of forks each, against 8 forks of one."""
    effect, between, forks = 0.5, 1.0, 0.5
    own = rng.normal(effect, between, (USERS, 8))
    many = own + rng.normal(0, forks, (USERS, 8))
    one = own[:, :1] + rng.normal(0, forks, (USERS, 8))
    for name, gaps, target in (("8 checkpoints", many, 93.0), ("one checkpoint, 8 forks", one, None)):
        zeros = rng.normal(0, 0.7, gaps.shape)
        draws = Draws(baseline=zeros, treatment=zeros + gaps, step=STEP, margin=1.0)
        held = np.abs(gaps.mean(1) - effect) <= palate_widths(draws, 8)[0]
        name = f"forks, {name}: the interval holds the recipe's effect"
        yield Row(name=name, measured=100 * float(held.mean()), unit="%", target=target, at_least=True)


def crash_row(rng: np.random.Generator) -> Row:
    """Let the treatment's worse runs crash, which makes the rest look better; count bare claims of "better"."""
    bare = 0
    for _ in range(PROJECTS):
        (baseline,), (treatment,) = draw(0.0, 0.3, rng, users=1)
        lives = treatment > -0.5
        failures = Failures(treatment=int((~lives).sum()), treatment_runs=BUDGET, baseline_runs=BUDGET)
        told = judge(make_pairs(baseline[lives], treatment[lives]), Terms(), failures=failures)
        bare += headline(told, name_metric("acc")).startswith("Better:") and failures.unequal
    return Row(name="crash set: bare claims of 'better' where failures differ", measured=bare, target=0)
