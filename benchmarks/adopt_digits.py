"""Agents on a real training: scikit-learn's digits and a small network, where effects do not add up.

All runs that agents ask for at once are trained together, by batched matrices: each has its own seed, learning rate,
width and so on. What a stack is truly worth is trained too, at many seeds, and never summed up.
"""

import hashlib
import json
import os
from collections.abc import Callable, Generator, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.table import Row
from palate.verdict import adopt

RUNS, HELD_BACK, START, REPEATS = 150, 20, 8, 24
TRUTH, START_TRUTH, STEPS, MOST_WIDE, MOST_BATCH, AT_ONCE = 48, 400, 80, 32, 24, 96
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "palate-bench" / "adopt_digits.json"


@dataclass(frozen=True)
class Recipe:
    """The settings of one training."""

    lr: float = 0.3
    momentum: float = 0.5
    decay: float = 0.0
    dropout: float = 0.0
    smoothing: float = 0.0
    init: float = 1.0
    width: int = 16
    batch: int = 8
    jitter: float = 0.0
    tanh: bool = False
    cosine: bool = False
    skip: bool = False
    scale: float = 1.0
    clip: float = 100.0
    drop_input: float = 0.0
    average: float = 0.0


Change = Callable[[Recipe], Recipe]


def _set(**values: object) -> Change:
    return lambda recipe: replace(recipe, **values)  # type: ignore[arg-type]


def _times(name: str, factor: float) -> Change:
    return lambda recipe: replace(recipe, **{name: getattr(recipe, name) * factor})


POOL: tuple[Change, ...] = (
    *(_times("lr", factor) for factor in (0.3, 0.6, 1.6, 3.0)),
    *(_set(momentum=value) for value in (0.5, 0.8, 0.9, 0.0)),
    *(_set(decay=value) for value in (1e-4, 1e-3, 1e-2, 5e-2)),
    *(_set(dropout=value) for value in (0.1, 0.3, 0.6, 0.0)),
    *(_set(smoothing=value) for value in (0.05, 0.1, 0.3, 0.0)),
    *(_times("init", factor) for factor in (0.3, 0.7, 1.5, 3.0)),
    *(_set(width=value) for value in (4, 8, 24, 32)),
    *(_set(batch=value) for value in (2, 4, 16, 24)),
    *(_set(jitter=value) for value in (0.05, 0.2, 0.6)),
    *(_set(tanh=value) for value in (True, False)),
    *(_set(cosine=value) for value in (True, False)),
    *(_set(skip=value) for value in (True, False)),
    *(_times("scale", factor) for factor in (0.5, 0.8, 1.3, 2.0)),
    *(_set(clip=value) for value in (0.3, 1.0, 3.0)),
    *(_set(drop_input=value) for value in (0.05, 0.2)),
    *(_set(average=value) for value in (0.8, 0.95)),
)


def _data() -> tuple[np.ndarray, ...]:
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(images))
    images = (images[order] / 16 - 0.3).astype(np.float32)
    labels = labels[order]
    return images[:400], labels[:400], images[400:1000], labels[400:1000]


def train(asked: list[tuple[Recipe, int]]) -> list[float]:
    """Train all at once; return each one's accuracy on 600 held-out digits."""
    done: list[float] = []
    data = _data()
    with np.errstate(all="ignore"):  # a learning rate that is too large ends in no number, and in chance level
        for start in range(0, len(asked), AT_ONCE):
            done += _train(asked[start : start + AT_ONCE], data)
    return done


def _column(recipes: list[Recipe], name: str) -> np.ndarray:
    return np.array([float(getattr(one, name)) for one in recipes], dtype=np.float32)[:, None, None]


def _train(asked: list[tuple[Recipe, int]], data: tuple[np.ndarray, ...]) -> list[float]:
    images, labels, held, held_labels = data
    recipes, m = [recipe for recipe, _ in asked], len(asked)
    rng = np.random.default_rng([asked[0][1], m])
    each = {name: _column(recipes, name) for name in Recipe.__dataclass_fields__}
    wide = np.arange(MOST_WIDE)[None, None] < each["width"]
    kinds = [(64, MOST_WIDE), (MOST_WIDE, 10), (64, 10)]
    weights = [(rng.standard_normal((m, *k), dtype=np.float32) * each["init"] / np.sqrt(k[0])) for k in kinds]
    weights[0] *= wide
    weights[1] *= np.swapaxes(wide, 1, 2) * np.sqrt(MOST_WIDE / each["width"])
    weights[2] *= each["skip"] * 0.3
    moments, averages = [np.zeros_like(w) for w in weights], [w.copy() for w in weights]
    eye = np.eye(10, dtype=np.float32)
    counted = (np.arange(MOST_BATCH)[None, :, None] < each["batch"]) / each["batch"]
    for step in range(STEPS):
        rows = rng.integers(0, len(images), (m, MOST_BATCH))
        x = images[rows] * each["scale"]
        x += each["jitter"] * rng.standard_normal(x.shape, dtype=np.float32)
        x *= rng.random(x.shape, dtype=np.float32) >= each["drop_input"]
        target = eye[labels[rows]] * (1 - each["smoothing"]) + each["smoothing"] / 10
        before = x @ weights[0]
        hidden, slope = _active(before, each["tanh"] > 0)
        keep = (rng.random(hidden.shape, dtype=np.float32) >= each["dropout"]) / (1 - each["dropout"])
        hidden *= keep
        error = (_softmax(hidden @ weights[1] + each["skip"] * (x @ weights[2])) - target) * counted
        back = (error @ np.swapaxes(weights[1], 1, 2)) * keep * slope
        gradients = [np.swapaxes(x, 1, 2) @ back, np.swapaxes(hidden, 1, 2) @ error, np.swapaxes(x, 1, 2) @ error]
        gradients[2] *= each["skip"]
        norm = np.sqrt(sum((g**2).sum((1, 2), keepdims=True) for g in gradients))
        shrunk = np.minimum(1.0, each["clip"] / np.maximum(norm, 1e-9))
        rate = each["lr"] * np.where(each["cosine"] > 0, 0.5 * (1 + np.cos(np.pi * step / STEPS)), 1.0)
        for w, g, v, a in zip(weights, gradients, moments, averages, strict=True):
            v *= each["momentum"]
            v += g * shrunk
            w -= rate * (v + each["decay"] * w)
            a += (1 - each["average"]) * (w - a)
    hidden, _ = _active((held * each["scale"]) @ averages[0], each["tanh"] > 0)
    logits = hidden @ averages[1] + each["skip"] * ((held * each["scale"]) @ averages[2])
    return [float(share) for share in (np.argmax(np.nan_to_num(logits), axis=2) == held_labels).mean(axis=1)]


def _active(before: np.ndarray, tanh: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    curved = np.tanh(before)
    return np.where(tanh, curved, np.maximum(before, 0)), np.where(tanh, 1 - curved**2, before > 0).astype(np.float32)


def _softmax(logits: np.ndarray) -> np.ndarray:
    shares = np.exp(logits - logits.max(axis=2, keepdims=True))
    return np.asarray(shares / shares.sum(axis=2, keepdims=True))


@dataclass
class Done:
    """What an agent ended with."""

    recipe: Recipe
    tried: int
    claimed: float
    better: bool


Asked = list[Recipe]
Agent = Generator[Asked, list[float], Done]


def _changes(rng: np.random.Generator) -> Iterator[Change]:
    """Propose changes in random order, again and again."""
    while True:
        yield from (POOL[index] for index in rng.permutation(len(POOL)))


def greedy(rng: np.random.Generator) -> Agent:
    """Keep whatever beats the best run so far."""
    recipe, tried = Recipe(), 0
    first = best = (yield [recipe])[0]
    for change in _changes(rng):
        changed = change(recipe)
        if changed == recipe:
            continue
        tried += 1
        seen = (yield [changed])[0]
        if seen > best:
            best, recipe = seen, changed
        if tried == RUNS - 1:
            break
    return Done(recipe, tried, best - first, best > first)


def by_verdict(rng: np.random.Generator) -> Agent:
    """Give each change a verdict before it is kept; runs of the baseline are used again."""
    from benchmarks.adopt import BUDGET, _looked

    recipe, left, tried, claimed = Recipe(), RUNS, 0, 0.0
    baseline: list[float] = []
    for change in _changes(rng):
        changed = change(recipe)
        if changed == recipe:
            continue
        values: list[float] = []
        better = False
        while len(values) < BUDGET and left > 1:
            wanted = [changed, *([recipe] if len(baseline) <= len(values) else [])]
            seen = yield wanted
            left -= len(wanted)
            values.append(seen[0])
            baseline += seen[1:]
            n = len(values)
            if n < 2:
                continue
            mean, half, same = _looked(np.array(baseline[:n]), np.array(values), n)
            better = mean > half
            if abs(mean) > half or abs(mean) + same < np.std(baseline, ddof=1):
                break
        tried += 1
        if better:
            recipe, claimed, baseline = changed, claimed + mean, values
        if left <= 1:
            return Done(recipe, tried, claimed, claimed > 0)
    raise AssertionError


def by_odds(rng: np.random.Generator) -> Agent:
    """Keep what the odds say after one or two runs, then claim the stack by one verdict at fresh seeds."""
    from benchmarks.adopt import REFIT, verdict_on
    from palate.verdict.adopt import CARRYING, Level, PastEffect, Prior, fit_prior, meet, weigh

    recipe, left, tried = Recipe(), RUNS - HELD_BACK - START, 0
    begun = yield [recipe] * START
    noise, df = float(np.var(begun, ddof=1)), START - 1
    unit, incumbent = noise**0.5, Level(mean=float(np.mean(begun)), variance=noise / START)
    past: list[PastEffect] = []
    prior = Prior()
    for change in _changes(rng):
        changed = change(recipe)
        if changed == recipe:
            continue
        values: list[float] = []
        advice = "run more"
        while advice == "run more" and len(values) < 2 and left > 0:
            values += yield [changed]
            left -= 1
            mean, n = float(np.mean(values)), len(values)
            met = meet(incumbent, mean, n, noise=noise, df=df, unit=unit, prior=prior)
            odds = weigh(met.measured, prior)
            advice = odds.advice
        tried += 1
        error = (met.measured.variance / len(values)) ** 0.5 / unit
        past.append(PastEffect(mean=met.measured.mean / unit, error=error, df=df))
        kept = odds.gain > CARRYING * unit
        recipe, incumbent = (changed, met.treatment) if kept else (recipe, met.baseline)
        prior = fit_prior(past) if tried % REFIT == 0 else prior
        if left <= 0:
            break
    pairs = HELD_BACK // 2
    seen = np.array((yield [Recipe()] * pairs + [recipe] * pairs))
    effect, better = verdict_on(seen[:pairs], seen[pairs:])
    return Done(recipe, tried, effect, better)


AGENTS = {"greedy": greedy, "a verdict a change": by_verdict, "odds after 1-2 runs": by_odds}


def play() -> dict[str, list[dict[str, float]]]:
    """Let all agents train, in step with each other; then train the truth of where each ended, and of the start."""
    agents = [(name, make(np.random.default_rng([i, 3]))) for name, make in AGENTS.items() for i in range(REPEATS)]
    seeds = iter(range(10**9))
    wanted, ended = {i: next(agent) for i, (_, agent) in enumerate(agents)}, {}
    while wanted:
        scores = iter(train([(recipe, next(seeds)) for asked in wanted.values() for recipe in asked]))
        for i, asked in list(wanted.items()):
            try:
                wanted[i] = agents[i][1].send([next(scores) for _ in asked])
            except StopIteration as stop:
                ended[i] = stop.value
                del wanted[i]
    start = np.mean(train([(Recipe(), next(seeds)) for _ in range(START_TRUTH)]))
    told: dict[str, list[dict[str, float]]] = {name: [] for name in AGENTS}
    truths = np.array(train([(ended[i].recipe, next(seeds)) for i in range(len(agents)) for _ in range(TRUTH)]))
    for i, (name, _) in enumerate(agents):
        gain = float(truths[i * TRUTH : (i + 1) * TRUTH].mean() - start)
        one = ended[i]
        told[name].append({"tried": one.tried, "gain": gain, "claimed": one.claimed, "better": one.better})
    return told


def played() -> dict[str, list[dict[str, float]]]:
    """Play, or read what was played by this very code before."""
    files = (__file__, Path(__file__).with_name("adopt.py"), adopt.__file__)
    mark = hashlib.sha256(b"".join(Path(file).read_bytes() for file in files)).hexdigest()
    if CACHE.exists() and (kept := json.loads(CACHE.read_text()))["mark"] == mark:
        return dict(kept["told"])
    told = play()
    CACHE.parent.mkdir(parents=True, exist_ok=True)
    CACHE.write_text(json.dumps({"mark": mark, "told": told, "start": asdict(Recipe())}))
    return told


def rows() -> Iterator[Row]:
    """Show what agents gained on digits with equal runs, in points of accuracy, and what they claimed."""
    told = played()
    means = {}
    for name, sessions in told.items():
        tried, gain, claimed = (
            float(np.mean([one[what] for one in sessions])) for what in ("tried", "gain", "claimed")
        )
        means[name] = gain
        yield Row(name=f"digits, {RUNS} runs, {name}: tried", measured=tried, unit="changes")
        yield Row(name=f"digits, {RUNS} runs, {name}: true gain", measured=100 * gain, unit="points")
        yield Row(name=f"digits, {RUNS} runs, {name}: claimed gain", measured=100 * claimed, unit="points")
        false = np.mean([one["better"] and one["gain"] <= 0 for one in sessions])
        target = 5 if name.startswith("odds") else None
        yield Row(name=f"digits, {name}: false claims", measured=100 * float(false), unit="%", target=target)
        off = 100 * abs(claimed / gain - 1)
        yield Row(name=f"digits, {name}: claimed gain is off by", measured=off, unit="%", target=target)
    times = means["odds after 1-2 runs"] / means["greedy"]
    yield Row(name="digits, odds: true gain, times greedy at equal runs", measured=times, target=1, at_least=True)
