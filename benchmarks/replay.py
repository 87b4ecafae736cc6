"""The references replayed on public curves (modded-nanogpt), families left out.

A family is a record with all its variants and seeds. The records are stopped where they pass a loss of 3.28, so all of
them end alike and "as past runs ended" is hard to beat; the value at 60 % of the budget, which nobody aimed at, is
therefore foretold as well, from shares of that.
"""

import gzip
import json
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from benchmarks.table import Row
from palate.forecast.curves import PastCurve
from palate.forecast.density import Scale
from palate.forecast.early import EARLY, gap_features, gap_now, gaps_of, refer_early
from palate.forecast.endings import LEAST_POINTS, MEMBERS, Endings, fit_endings, foretell, log_densities
from palate.forecast.mixing import PastPrediction
from palate.forecast.reference import BLIND, Case, refer, sure_of

RUNS = Path(__file__).parents[2] / "shared" / "data" / "runs" / "modded-nanogpt.jsonl.gz"
SEEN = (0.1, 0.25, 0.5, 0.75, 0.9)
LABELS = dict(
    zip(
        (*MEMBERS, "R0"),
        ("base rate", "persistence", "neighbours", "R0"),
        strict=True,
    )
)
ELSEWHERE = 0.6
LEAST_RUNS = 4
PARTS = 10


def rows() -> Iterator[Row]:
    """Replay ends, values on the way, and who wins."""
    curves = public_curves()
    if not curves:
        print(f"  {RUNS} is not here", file=sys.stderr)
        return
    yield from ending_rows("end", curves)
    yield from ending_rows(f"value at {ELSEWHERE:.0%}", [cut for c in curves if (cut := _cut(c)) is not None])
    yield from winner_rows(curves)


def public_curves() -> list[PastCurve]:
    """Read the public curves that ran to their end."""
    if not RUNS.exists():
        return []
    found = []
    with gzip.open(RUNS, "rt") as lines:
        for told in map(json.loads, lines):
            steps, values = np.array(told["steps"], float), np.array(told["val"], float)
            whole = len(steps) >= 7 and np.isfinite(values).all() and steps[-1] >= 0.95 * told["total"]
            if whole and (np.diff(steps) > 0).all():
                found.append(
                    PastCurve(steps=steps, values=values, total=float(steps[-1]), family=_family(told["path"]))
                )
    return found


def _family(path: str) -> str:
    parts = path.split("/")
    return "/".join(parts[:3] if parts[0] == "track_3_optimization" else parts[:2])


def _cut(curve: PastCurve) -> PastCurve | None:
    part = curve.until(ELSEWHERE)
    if len(part.steps) < 7:
        return None
    return PastCurve(steps=part.steps, values=part.values, total=float(part.steps[-1]), family=curve.family)


def ending_rows(what: str, curves: list[PastCurve]) -> Iterator[Row]:
    """Foretell where every third curve ends, from its beginning, by what was fitted on other families alone."""
    unit = seed_sd(curves)
    for share in SEEN:
        errors, bits, held = _replayed(curves, share)
        told = f"{what}, {share:.0%} seen, {len(held)} runs"
        for name, label in LABELS.items():
            median = float(np.median(errors[name])) / unit
            yield Row(name=f"{told}: median error, {label}", measured=median, unit="seed sds")
        best = max(np.mean(bits[member]) for member in MEMBERS)
        worse = float(best - np.mean(bits["R0"]))
        yield Row(name=f"{told}: bits of the best member over R0", measured=worse, target=0.02)
        yield Row(name=f"{told}: inside of R0's 80 % range", measured=float(np.mean(held)))


def seed_sd(curves: Sequence[PastCurve]) -> float:
    """Give the median standard deviation within a family of four runs or more."""
    ends = defaultdict(list)
    for curve in curves:
        ends[curve.family].append(curve.values[-1])
    return float(np.median([np.std(values, ddof=1) for values in ends.values() if len(values) >= LEAST_RUNS]))


def _replayed(
    curves: list[PastCurve], share: float
) -> tuple[dict[str, list[float]], dict[str, list[float]], list[bool]]:
    """Fit on nine tenths of the families and foretell the others; weights, errors and ranges know nothing of them."""
    families = sorted({curve.family for curve in curves})
    part_of = {family: place % PARTS for place, family in enumerate(families)}
    errors: dict[str, list[float]] = defaultdict(list)
    bits: dict[str, list[float]] = defaultdict(list)
    held: list[bool] = []
    for part in range(PARTS):
        fitted = fit_endings([curve for curve in curves if part_of[curve.family] != part], share)
        for curve in [curve for curve in curves[::3] if part_of[curve.family] == part]:
            if fitted is not None and len(curve.until(share).values) >= LEAST_POINTS:
                _foretold(fitted, curve, share, errors, bits, held)
    return errors, bits, held


def _foretold(
    fitted: Endings,
    curve: PastCurve,
    share: float,
    errors: dict[str, list[float]],
    bits: dict[str, list[float]],
    held: list[bool],
) -> None:
    end = float(curve.values[-1])
    ending = foretell(fitted, curve.until(share))
    for member, guess in ending.guesses.items():
        errors[member].append(abs(guess - end))
    errors["R0"].append(abs(ending.value - end))
    for name, value in log_densities(fitted, ending.guesses, end).items():
        bits[name].append(value / np.log(2))
    held.append(ending.low <= end <= ending.high)


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """A record against the one before it in its track: both arms' curves up to a horizon, and how it went."""

    name: str
    mine: list[PastCurve]
    base: list[PastCurve]
    outcome: str


def matches(curves: list[PastCurve], unit: float) -> list[Match]:
    """Pair each record with the one before it, at their values after as many steps; margin one seed sd."""
    arms: dict[str, list[PastCurve]] = defaultdict(list)
    for curve in curves:
        arms[curve.family].append(curve)
    kept = sorted(name for name, runs in arms.items() if len(runs) >= LEAST_RUNS)
    found = []
    for before, name in pairwise(kept):
        together = _together(arms[name], arms[before]) if before.split("/")[0] == name.split("/")[0] else None
        if together is not None:
            mine, base = together
            gap = float(np.mean([c.values[-1] for c in base]) - np.mean([c.values[-1] for c in mine])) / unit
            outcome = "better" if gap > 1 else "worse" if gap < -1 else "same"
            found.append(Match(name=name, mine=mine, base=base, outcome=outcome))
    return found


def _together(mine: list[PastCurve], base: list[PastCurve]) -> tuple[list[PastCurve], list[PastCurve]] | None:
    """Cut both arms at the last step that all their runs have in common; None where there are fewer than 7."""
    steps = set.intersection(*(set(curve.steps) for curve in (*mine, *base)))
    if len(steps) < 7:
        return None
    end = max(steps)
    both = [
        [
            PastCurve(steps=c.steps[c.steps <= end], values=c.values[c.steps <= end], total=float(end), family=c.family)
            for c in arm
        ]
        for arm in (mine, base)
    ]
    return both[0], both[1]


def winner_rows(curves: list[PastCurve]) -> Iterator[Row]:
    """Foretell whether a record is worse, the same or better than the one before, from its first run's beginning.

    One after the other, as they were made: each knows the outcomes and the curves of those before it alone.
    """
    unit = seed_sd(curves)
    played = matches(curves, unit)
    for share in SEEN[1:]:
        bits, count = _play(played, curves, share, unit)
        told = f"who wins, {share:.0%} seen, {count} records"
        for member in (*BLIND, *EARLY, "R0"):
            yield Row(name=f"{told}: bits over chance, {member}", measured=bits[member])
        best = max(bits[member] for member in (*BLIND, *EARLY))
        yield Row(name=f"{told}: bits of the best member over R0", measured=best - bits["R0"], target=0.02)


def _before(curves: list[PastCurve], end: float, name: str) -> list[PastCurve]:
    """Cut the runs of earlier records at the step up to which a match is played; shorter ones are left out."""
    return [
        PastCurve(steps=c.steps[c.steps <= end], values=c.values[c.steps <= end], total=end, family=c.family)
        for c in curves
        if _date(c.family) < _date(name) and end in c.steps
    ]


def _date(family: str) -> str:
    """Give when a record was made, as its folder's name begins with it."""
    return "".join(letter for letter in family.rpartition("/")[2][:10] if letter.isdigit())


def _play(played: list[Match], curves: list[PastCurve], share: float, unit: float) -> tuple[dict[str, float], int]:
    past: list[Case] = []
    told: list[PastPrediction] = []
    early: list[PastPrediction] = []
    bits: dict[str, list[float]] = defaultdict(list)
    scale = Scale(margin=unit, seed_sd=unit)
    for match in sorted(played, key=lambda one: _date(one.name)):
        fitted = fit_endings(_before(curves, match.mine[0].total, match.name), share)
        if fitted is None:
            continue
        part = match.mine[0].until(share)
        features = gap_features(gap_now(part, match.base, -1) / unit)
        track, likelihood = match.name.split("/")[0], sure_of(match.outcome)
        blind = refer(features, (), past, told)
        reference = refer_early(blind, gaps_of(fitted, part, match.base, -1), scale, share, early)
        for member, chances in {**reference.members, "R0": reference.chances}.items():
            bits[member].append(float(np.log2(3 * chances.of(match.outcome) / (1 - chances.crash))))
        past.append(Case(name=match.name, family=track, features=features, likelihood=likelihood))
        told.append((blind.members, likelihood))
        early.append((reference.members, likelihood))
    return {member: float(np.mean(values)) for member, values in bits.items()}, len(bits["R0"])
