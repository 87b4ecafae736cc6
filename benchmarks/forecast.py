"""Forecasts: propriety, entry, planted people, references replayed on public curves, and what it all costs."""

import time
from collections.abc import Iterator

import numpy as np

from benchmarks import opponent, people, prompt, prompting, replay
from benchmarks.propriety import MENU, SEEDS, worst_regret
from benchmarks.table import Row
from palate.forecast.answer import Forecast
from palate.forecast.calibration import Claim, calibration_of
from palate.forecast.chances import Chances
from palate.forecast.curves import PastCurve
from palate.forecast.density import Scale
from palate.forecast.endings import fit_endings, foretell
from palate.forecast.features import family_of, features_of, moves_of
from palate.forecast.reference import Case, refer, sure_of
from palate.forecast.score import Entry, Observed, score_all
from palate.forecast.skill import Scored, skill_of
from palate.recipe.settings import Change

MANY, FORECASTS = 5000, 10_000


def rows() -> Iterator[Row]:
    """Measure everything that the design names for forecasts."""
    yield from propriety_rows()
    yield from prompt.rows()
    yield from prompting.rows()
    yield from people.rows()
    yield from opponent.rows()
    yield from replay.rows()
    yield from cost_rows()


def propriety_rows() -> Iterator[Row]:
    """Bits that somebody can gain at most by saying something else than they believe."""
    for seeds in SEEDS:
        told = f"gain by not saying what one believes, {len(MENU)} entries, {seeds} seed{'s' if seeds > 1 else ''}"
        yield Row(name=f"{told}: the density", measured=worst_regret("density", seeds), unit="bits", target=1e-9)
        yield Row(
            name="  expected score under the posterior (rejected)",
            measured=worst_regret("posterior", seeds),
            unit="bits",
        )
        yield Row(name="  class of the point estimate (rejected)", measured=worst_regret("point", seeds), unit="bits")


def cost_rows() -> Iterator[Row]:
    """What fitting on thousands of runs, and scoring thousands of forecasts, cost."""
    rng = np.random.default_rng(0)
    start = time.process_time()
    fitted = fit_endings(_runs(rng), 0.25)
    refer(features_of(_change(0)), moves_of(_change(0)), [_case(k, rng) for k in range(MANY)])
    took = time.process_time() - start
    yield Row(name=f"fit all references on {MANY} past runs and outcomes, CPU", measured=took, unit="s", target=2)
    part = _runs(rng, 1)[0].until(0.25)
    start = time.process_time()
    for _ in range(100):
        foretell(fitted, part)
    yield Row(name="foretell one curve, CPU", measured=10 * (time.process_time() - start), unit="ms")
    entries = _entries(rng)
    start = time.process_time()
    scores = score_all(entries)
    skill_of([Scored(bits=one.bits, least=one.least, most=one.most) for one in scores])
    claims = [
        Claim(confidence=0.8, hit=bool(one.bits > 0), better=float(one.chances.better), was_better=bool(one.bits > 0))
        for one in scores
    ]
    calibration_of(claims, rng=rng)
    took = time.process_time() - start
    yield Row(
        name=f"score {FORECASTS} forecasts, skill and calibration with bands, CPU", measured=took, unit="s", target=2
    )


def _runs(rng: np.random.Generator, n: int = MANY) -> list[PastCurve]:
    steps = np.arange(1, 101, dtype=float)
    return [
        PastCurve(steps=steps, values=1 + 2 * steps ** -rng.uniform(0.3, 1), total=100.0, family=str(k // 5))
        for k in range(n)
    ]


def _change(k: int) -> list[Change]:
    name = ("lr", "width", "dropout", "weight_decay", "batch_size", "hidden")[k % 6]
    return [Change(path=name, before=1.0, after=2.0 ** (1 + k % 3))]


def _case(k: int, rng: np.random.Generator) -> Case:
    change = _change(k)
    outcome = ("worse", "same", "better", "crash")[rng.choice(4, p=[0.3, 0.4, 0.25, 0.05])]
    family, features, moves = family_of(change), features_of(change), moves_of(change)
    return Case(name=str(k), family=family, features=features, moves=moves, likelihood=sure_of(outcome))


def _entries(rng: np.random.Generator) -> list[Entry]:
    reference = Chances(worse=0.3, same=0.4, better=0.25, crash=0.05)
    menu = [Forecast(answer=a, confidence=c) for a in ("worse", "same", "better") for c in (50, 60, 70, 80, 90, 97)]
    return [
        Entry(
            said=menu[k % len(menu)],
            reference=reference,
            seen=Observed(difference=float(d), standard_error=0.5, scale=Scale(margin=1.0, seed_sd=1.0), settled=None),
        )
        for k, d in enumerate(rng.normal(0, 2, FORECASTS))
    ]
