"""Forecasts: the references replayed on public curves, families left out, and what scoring and fitting cost."""

import gzip
import json
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.table import Row
from palate.forecast.calibration import calibration_of
from palate.forecast.curves import (
    MEMBERS,
    Curve,
    References,
    fit_references,
    foretell,
    guesses_of,
    log_densities,
)
from palate.forecast.skill import SHARES, Scored, log_wealth, skill_of

RUNS = Path(__file__).parents[2] / "shared" / "data" / "runs" / "modded-nanogpt.jsonl.gz"
SEEN = (0.1, 0.25, 0.5, 0.75, 0.9)
MANY = 5000
LOOKS = 200


def rows() -> Iterator[Row]:
    """Measure replay, cost, and how often "ahead" is said falsely."""
    yield from replay_rows()
    yield from cost_rows()
    yield from false_rows()


def replay_rows() -> Iterator[Row]:
    """Foretell the end of every third public curve from its beginning, by runs of other families alone."""
    curves = public_curves()
    if not curves:
        print(f"  {RUNS} is not here", file=sys.stderr)
        return
    ends = defaultdict(list)
    for curve in curves:
        ends[curve.family].append(curve.values[-1])
    spread = float(np.std([np.mean(values) for values in ends.values()]))
    for share in SEEN:
        references = fit_references(curves, share)
        if references is None:
            continue
        errors, bits, held = _replayed(references, curves[::3], share)
        told = f"{share:.0%} seen, {len(held)} runs"
        for name, values in errors.items():
            yield Row(name=f"{told}: median error, {name}", measured=float(np.median(values)) / spread, unit="arm sds")
        best = max(np.mean(bits[member]) for member in MEMBERS)
        yield Row(
            name=f"{told}: bits of the best member over R0", measured=float(best - np.mean(bits["R0"])), target=0.02
        )
        yield Row(name=f"{told}: ends inside of R0's 80 % range", measured=float(np.mean(held)))


def _replayed(
    references: References, curves: list[Curve], share: float
) -> tuple[dict[str, list[float]], dict[str, list[float]], list[bool]]:
    errors: dict[str, list[float]] = defaultdict(list)
    bits: dict[str, list[float]] = defaultdict(list)
    held = []
    for curve in curves:
        part, end = curve.until(share), float(curve.values[-1])
        if len(part.values) < 2:
            continue
        ending = foretell(references, part, without=curve.family)
        for member, guess in ending.guesses.items():
            errors[member].append(abs(guess - end))
        errors["R0"].append(abs(ending.value - end))
        for name, value in log_densities(references, ending.guesses, end).items():
            bits[name].append(value / np.log(2))
        held.append(ending.low <= end <= ending.high)
    return errors, bits, held


def public_curves() -> list[Curve]:
    """Read the public curves that ran to their end."""
    if not RUNS.exists():
        return []
    found = []
    with gzip.open(RUNS, "rt") as lines:
        for told in map(json.loads, lines):
            steps, values = np.array(told["steps"], float), np.array(told["val"], float)
            whole = len(steps) >= 7 and np.isfinite(values).all() and steps[-1] >= 0.95 * told["total"]
            if whole and (np.diff(steps) > 0).all():
                family = told["path"].rpartition("/")[0]
                found.append(Curve(steps=steps, values=values, total=float(steps[-1]), family=family))
    return found


def cost_rows() -> Iterator[Row]:
    """What fitting on thousands of runs, and scoring thousands of forecasts, cost."""
    rng = np.random.default_rng(0)
    steps = np.arange(1, 101, dtype=float)
    past = [
        Curve(steps=steps, values=1 + 2 * steps ** -rng.uniform(0.3, 1), total=100.0, family=str(k // 5))
        for k in range(MANY)
    ]
    start = time.process_time()
    references = fit_references(past, 0.25)
    yield Row(name=f"fit the references on {MANY} runs, CPU", measured=time.process_time() - start, unit="s", target=2)
    start = time.process_time()
    for _ in range(100):
        guesses_of(references, past[0].until(0.25))  # type: ignore[arg-type]
    yield Row(name="foretell one curve, CPU", measured=10 * (time.process_time() - start), unit="ms")
    bits = np.where(rng.random(10_000) < 0.75, 0.83, -1.46)
    start = time.process_time()
    skill_of([Scored(bits=float(b), least=-1.47, most=0.84) for b in bits])
    calibration_of(np.full(10_000, 0.8), bits > 0, rng=rng)
    yield Row(
        name="skill and calibration of 10,000 forecasts, CPU", measured=time.process_time() - start, unit="s", target=2
    )


def false_rows() -> Iterator[Row]:
    """People without skill, looked at after each forecast: how often somebody says they have some."""
    rng = np.random.default_rng(1)
    for said, reference in ((0.8, 0.45), (0.97, 0.6)):
        won, lost = np.log2(said / reference), np.log2((1 - said) / (1 - reference))
        even = -lost / (won - lost)
        people = np.where(rng.random((1000, LOOKS)) < even, won, lost)
        told = f"says {said:.0%} where the reference says {reference:.0%}, a look a forecast, {LOOKS} forecasts"
        yield Row(name=f"falsely ahead, {told}", measured=_ever_ahead(people, lost), target=0.05)
        yield Row(name="  the same by a bound for one look (1.645 standard errors)", measured=_naive(people))


def _ever_ahead(people: np.ndarray, least: float) -> float:
    grown = np.log1p(SHARES[:, None, None] * people[None] / -least).cumsum(axis=2)
    top = grown.max(axis=0)
    wealth = top + np.log(np.exp(grown - top).mean(axis=0))
    assert np.isclose(wealth[0, -1], log_wealth(people[0], np.full(LOOKS, least)))
    return float((wealth >= np.log(2 / 0.05)).any(axis=1).mean())


def _naive(people: np.ndarray) -> float:
    n = np.arange(1, LOOKS + 1)
    mean = people.cumsum(axis=1) / n
    sd = np.sqrt(np.maximum((people**2).cumsum(axis=1) / n - mean**2, 1e-9))
    return float((mean > 1.645 * sd / np.sqrt(n))[:, 9:].any(axis=1).mean())
