"""The reference forecast as an opponent: against one rate and mirrored settings, absurd curves, and idle forecasters.

Worlds of 50 questions whose truth is known. `BEFORE` is what the reference of 26 November had in the same worlds.
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np

from benchmarks.people import KEYS, LEAST, MOST, World
from benchmarks.table import Row
from palate.forecast.chances import CLASSES
from palate.forecast.curves import PastCurve
from palate.forecast.density import FloatArray
from palate.forecast.endings import PredictedEnd, fit_endings, foretell
from palate.forecast.features import family_of, features_of, moves_of
from palate.forecast.mixing import PastPrediction
from palate.forecast.reference import Case, refer, sure_of
from palate.forecast.skill import Scored, skill_of
from palate.recipe.settings import Change

NAMES = ("lr", "width", "dropout", "weight_decay", "batch_size", "depth", "warmup", "momentum")
SETTING_LABELS = {"named": "settings that practice knows", "unnamed": "settings that nobody knows"}
WORLDS = {
    "unrelated": "change unrelated to outcome",
    "tuned": "tuned baseline, 60 % worse",
    "monotone": "monotone settings",
    "peaks": "a third of the settings at their best value",
}
BEFORE = {"unrelated": -0.143, "tuned": 0.130, "monotone": 0.195, "peaks": 0.189}
QUESTIONS, SEEDS, SETTLED_IN = 50, 30, 10
SMOOTHED = 3.0
"""Pseudo-outcomes of the plain rate, and of the plain mirrored settings."""

STEPS = np.arange(1, 61, dtype=float)
ABSURD_ENDS = (1e18, 1e26, -1e18, 1e300)
COVERED = 300
LOOKS, IDLE = 60, 60

Question = tuple[str, int, int]
"""Setting, factors of two, and the index of its outcome."""


def rows() -> Iterator[Row]:
    """Measure the blind reference, the curves' ranges, and how soon idle forecasters are behind."""
    for world in WORLDS:
        yield from world_rows(world)
    yield from absurd_rows()
    yield from coverage_rows()
    yield from idle_rows()


def questions(world: str, seed: int) -> Iterator[Question]:
    """Draw a project's questions and their outcomes."""
    rng = np.random.default_rng([seed, len(world)])
    good = {name: int(rng.choice([-1, 1] if world != "peaks" else [-1, 0, 1])) for name in NAMES}
    for _ in range(QUESTIONS):
        name, halvings = NAMES[rng.integers(len(NAMES))], int(rng.choice([-2, -1, 1, 2]))
        chances = _chances(world, good[name], int(np.sign(halvings)))
        yield name, halvings, int(rng.choice(3, p=chances))


def _chances(world: str, good: int, way: int) -> tuple[float, float, float]:
    if world == "unrelated":
        return 1 / 3, 1 / 3, 1 / 3
    if world == "tuned":
        return 0.6, 0.3, 0.1
    if good == 0:
        return 0.7, 0.25, 0.05
    return (0.05, 0.15, 0.8) if way == good else (0.8, 0.15, 0.05)


def world_rows(world: str) -> Iterator[Row]:
    """Hold R0 against one smoothed rate, mirrored settings, and the reference of before."""
    drawn = [list(questions(world, seed)) for seed in range(SEEDS)]
    told = f"{WORLDS[world]}: bits over a guess of 1/3"
    rivals = {
        "one smoothed rate": np.array([_plain(one, by_setting=False) for one in drawn]),
        "mirrored settings": np.array([_plain(one, by_setting=True) for one in drawn]),
    }
    for name, bits in rivals.items():
        yield Row(name=f"{told}, {name} (se {_error(bits):.3f})", measured=float(bits.mean()))
    yield Row(name=f"{told}, the reference of 26 November", measured=BEFORE[world])
    best = max(BEFORE[world], *(float(bits.mean()) for bits in rivals.values()))
    for label, named in (("named", True), ("unnamed", False)):
        bits = np.array([_reference(one, named=named) for one in drawn])
        who = f"R0, {SETTING_LABELS[label]} (se {_error(bits):.3f})"
        yield Row(name=f"{told}, {who}", measured=float(bits.mean()), target=best - 0.02, at_least=True)
        yield Row(
            name=f"  the same after {SETTLED_IN} outcomes",
            measured=float(bits[:, SETTLED_IN:].mean()),
            target=0.0,
            at_least=True,
        )


def _error(bits: FloatArray) -> float:
    return float(bits.mean(axis=1).std(ddof=1) / math.sqrt(len(bits)))


def _plain(asked: Sequence[Question], *, by_setting: bool) -> list[float]:
    """Forecast by counts with three pseudo-outcomes: all outcomes, or those of the setting, mirrored by direction."""
    counts: dict[str, FloatArray] = {}
    bits = []
    for name, halvings, outcome in asked:
        seen = counts.setdefault(name if by_setting else "", np.full(3, SMOOTHED / 3))
        place = 2 - outcome if by_setting and halvings < 0 else outcome
        bits.append(math.log2(3 * seen[place] / seen.sum()))
        seen[place] += 1
    return bits


def _reference(asked: Sequence[Question], *, named: bool) -> list[float]:
    past: list[Case] = []
    record: list[PastPrediction] = []
    bits = []
    for name, halvings, outcome in asked:
        changes = [Change(path=name if named else f"setting_{name}", before=64.0, after=64.0 * 2.0**halvings)]
        features, moves, likelihood = features_of(changes), moves_of(changes), sure_of(CLASSES[outcome])
        reference = refer(features, moves, past, record)
        bits.append(math.log2(3 * reference.chances.of(CLASSES[outcome]) / (1 - reference.chances.crash)))
        past.append(Case(name=name, family=family_of(changes), features=features, moves=moves, likelihood=likelihood))
        record.append((reference.members, likelihood))
    return bits


def _run(rng: np.random.Generator, family: str) -> PastCurve:
    """Draw a run: a power law to an end that differs by setting, with noise at each point."""
    rate, end = rng.uniform(0.4, 0.6), 0.14 + rng.normal(0, 0.01)
    values = end + 2 * (STEPS**-rate - 60**-rate) + rng.normal(0, 0.002, len(STEPS))
    return PastCurve(steps=STEPS, values=values, total=STEPS[-1], family=family)


def absurd_rows() -> Iterator[Row]:
    """Add one run that ends absurdly, or only badly, to good ones; see how far a quantile moves."""
    for runs in (6, 20):
        moved: dict[str, list[float]] = {"absurd": [], "bad": []}
        for seed in range(12):
            rng = np.random.default_rng(seed)
            new, *past = (_run(rng, str(k)) for k in range(runs + 1))
            seed_sd = float(np.std([curve.values[-1] for curve in past], ddof=1))
            for share in (0.3, 0.7):
                before = _foretold(past, new, share)
                for end in (*ABSURD_ENDS, 1.0, 3.0):
                    after = _foretold([*past, _ending_at(past[0], end)], new, share)
                    moved["absurd" if end in ABSURD_ENDS else "bad"].append(_moved(before, after) / seed_sd)
        told = f"one run of {runs + 1} ends at 1e18, -1e18, 1e26 or 1e300: the most that a quantile moves"
        yield Row(name=told, measured=max(moved["absurd"]), unit="seed sds", target=1.0)
        told = f"  at 1 or 3, where the others end at .14 (median; at most {max(moved['bad']):.1f})"
        yield Row(name=told, measured=float(np.median(moved["bad"])), unit="seed sds", target=1.0)


def _foretold(past: list[PastCurve], new: PastCurve, share: float) -> PredictedEnd:
    fitted = fit_endings(past, share)
    assert fitted is not None
    return foretell(fitted, new.until(share))


def _ending_at(curve: PastCurve, end: float) -> PastCurve:
    return PastCurve(steps=STEPS, values=np.append(curve.values[:-1], end), total=STEPS[-1], family="odd")


def _moved(before: PredictedEnd, after: PredictedEnd) -> float:
    return max(abs(getattr(after, name) - getattr(before, name)) for name in ("low", "value", "high"))


def coverage_rows() -> Iterator[Row]:
    """Count how often the 80 % range holds the end: six past runs, and sixty."""
    for runs, worlds in ((6, COVERED), (60, COVERED // 2)):
        rng = np.random.default_rng(runs)
        held = 0
        for _ in range(worlds):
            new, *past = (_run(rng, str(k)) for k in range(runs + 1))
            ending = _foretold(past, new, 0.5)
            held += ending.low <= new.values[-1] <= ending.high
        yield Row(name=f"80 % range holds the end, {runs} past runs, half seen (.73-.87)", measured=held / worlds)


def idle_rows() -> Iterator[Row]:
    """Count forecasts until people who know nothing are behind, against a reference of a third each."""
    world = World()
    for seeds in (1, 3, 5):
        for who in ("random keys", "always better, 80 %"):
            rng = np.random.default_rng(seeds)
            first = [_first_behind(world, who, seeds, rng) for _ in range(IDLE)]
            plural = "s" if seeds > 1 else ""
            told = (
                f"{who}, {seeds} seed{plural}: behind after (median; {np.mean(np.isfinite(first)):.0%} within {LOOKS})"
            )
            yield Row(name=told, measured=float(np.median(first)), unit="", target=LOOKS)


def _first_behind(world: World, who: str, seeds: int, rng: np.random.Generator) -> float:
    effects = world.effects(LOOKS, rng)
    sure = next(place for place, key in enumerate(KEYS) if (key.answer, key.confidence) == ("better", 80))
    keys = rng.integers(len(KEYS), size=LOOKS) if who == "random keys" else np.full(LOOKS, sure)
    bits = np.maximum(world.bits(keys, effects + rng.normal(0, math.sqrt(2 / seeds), LOOKS), seeds), LEAST[keys])
    scores = [
        Scored(bits=float(b), least=float(low), most=float(high))
        for b, low, high in zip(bits, LEAST[keys], MOST[keys], strict=True)
    ]
    return next((n for n in range(2, LOOKS + 1) if skill_of(scores[:n]).state == "behind"), math.inf)
