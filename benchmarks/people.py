"""Planted people: how sharp they see effects, how sure of themselves they are, and whether they learn is known.

Effects have the shape that effects have, a third of them each worse, the same and better by half a seed standard
deviation. A person sees an effect with a normal error, believes what Bayes' rule makes of it, and presses the key
nearest to it. Everything else is palate's own: what keys stand for, scores, bounds, skill.
"""

from collections.abc import Iterator

import numpy as np

from benchmarks.table import Row
from palate.forecast.answer import SIZES, Forecast, Spread
from palate.forecast.chances import CLASSES, Chances
from palate.forecast.density import Cells, FloatArray, Scale, densities_of, reference_densities
from palate.forecast.score import score_bounds
from palate.forecast.skill import BET_PARTS, BET_SIZES, LARGEST_LOSS, Scored, log_wealth, trend_of
from palate.verdict.history import Noise
from palate.verdict.pairs import Pairs
from palate.verdict.rule import Terms, judge

MARGIN = 0.5
SURE = (50, 60, 70, 80, 90, 97)
KEYS = tuple(Forecast(answer=answer, confidence=sure) for answer in CLASSES for sure in SURE)
REFERENCE = Chances(worse=0.333, same=0.333, better=0.333, crash=0.001)
SEEDS = (1, 3, 5)
LOOKS = 200
COUNTS = {1: 58, 3: 31, 5: 27}
PRINTED = {1: 201, 3: 66, 5: 47}
"""Forecasts to a true claim that the design gives for scores of the density, and of the printed verdict."""

GRID = np.linspace(-60, 60, 4801)
"""Measured differences at which scores are tabulated."""


class World:
    """Effects of one margin, and what people of some sharpness believe of them, on a grid."""

    def __init__(self, margin: float = MARGIN, points: int = 801) -> None:
        self.margin = margin
        self.tables: dict[int, FloatArray] = {}
        self.cells = Cells([Scale(margin=margin, seed_sd=1.0)])
        self.grid = np.sinh(np.linspace(-6, 6, points)) * 0.2
        self.width = np.gradient(self.grid)
        tiny = np.array([1e-3])
        parts = self.cells.blurred(self.grid[None], tiny)
        self.prior = reference_densities([REFERENCE], self.cells).blurred(parts, self.grid[None], tiny)[0]
        self.prior /= (self.prior * self.width).sum()
        self.place = 1 + (self.grid > margin).astype(int) - (self.grid < -margin).astype(int)

    def effects(self, n: int, rng: np.random.Generator) -> FloatArray:
        """Draw effects."""
        chances = self.prior * self.width
        found = rng.choice(self.grid, n, p=chances / chances.sum())
        return found + rng.uniform(-0.5, 0.5, n) * np.interp(found, self.grid, self.width)

    def beliefs(self, effects: FloatArray, error: float, rng: np.random.Generator) -> FloatArray:
        """Give (n, g) densities that people believe who see each effect with an error."""
        told = effects + rng.normal(0, error, len(effects))
        density = self.prior * np.exp(-0.5 * ((told[:, None] - self.grid) / error) ** 2) + 1e-300
        return density / (density * self.width).sum(axis=1, keepdims=True)

    def keys(self, beliefs: FloatArray, boldness: float = 1.0) -> FloatArray:
        """Give the (n,) keys that people press: their likeliest class, and how sure they feel of it."""
        chances = np.stack([(beliefs * self.width)[:, self.place == c].sum(axis=1) for c in range(3)], axis=1)
        chances = chances**boldness / (chances**boldness).sum(axis=1, keepdims=True)
        sure = np.abs(100 * chances.max(axis=1)[:, None] - np.array(SURE)).argmin(axis=1)
        return chances.argmax(axis=1) * len(SURE) + sure

    def bits(self, keys: FloatArray, seen: FloatArray, seeds: int) -> FloatArray:
        """Give the (n,) scores of keys against measured differences."""
        if seeds not in self.tables:
            self.tables[seeds] = self._table(seeds)
        place = np.interp(seen, GRID, np.arange(len(GRID)))
        low = np.minimum(place.astype(int), len(GRID) - 2)
        table = self.tables[seeds]
        return table[keys, low] + (place - low) * (table[keys, low + 1] - table[keys, low])

    def _table(self, seeds: int) -> FloatArray:
        error = np.full(len(KEYS), np.sqrt(2 / seeds))
        cells = Cells([Scale(margin=self.margin, seed_sd=1.0)] * len(KEYS))
        at = np.broadcast_to(GRID, (len(KEYS), len(GRID)))
        parts = cells.blurred(at, error)
        references = [REFERENCE] * len(KEYS)
        mine = densities_of(KEYS, references, cells, [1] * len(KEYS)).blurred(parts, at, error)
        return np.log2(mine / reference_densities(references, cells).blurred(parts, at, error))


LEAST = np.array([score_bounds(key, REFERENCE)[0] for key in KEYS])
MOST = np.array([score_bounds(key, REFERENCE)[1] for key in KEYS])


def people(
    world: World, n: int, looks: int, seeds: int, rng: np.random.Generator, *, error: float, boldness: float = 1.0
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Give (n, looks) scores of people with their bounds."""
    told = [_some(world, looks, seeds, rng, error, boldness) for _ in range(n)]
    bits, keys = (np.array(column) for column in zip(*told, strict=True))
    return bits, LEAST[keys], MOST[keys]


def _some(
    world: World, n: int, seeds: int, rng: np.random.Generator, error: float, boldness: float
) -> tuple[FloatArray, FloatArray]:
    effects = world.effects(n, rng)
    keys = world.keys(world.beliefs(effects, error, rng), boldness)
    return world.bits(keys, effects + rng.normal(0, np.sqrt(2 / seeds), n), seeds), keys


def first_ahead(bits: FloatArray, least: FloatArray) -> FloatArray:
    """Give, for (n, looks) people, the forecast at which each is first called ahead; infinite where never."""
    room = np.maximum.accumulate(np.maximum(-least, 1e-9), axis=1)
    gains = np.log1p(np.minimum(BET_SIZES[:, None, None], LARGEST_LOSS / room) * bits).cumsum(axis=2)
    wealth = np.logaddexp.reduce(gains + np.log(BET_PARTS)[:, None, None], axis=0)
    assert np.isclose(wealth[0, -1], log_wealth(bits[0], least[0]))
    return _first(wealth >= np.log(1 / 0.05))


def first_naive(bits: FloatArray) -> FloatArray:
    """Give the same by a bound for one look (1.645 standard errors), from the tenth forecast on."""
    n = np.arange(1, bits.shape[1] + 1)
    mean = bits.cumsum(axis=1) / n
    sd = np.sqrt(np.maximum((bits**2).cumsum(axis=1) / n - mean**2, 1e-9))
    ahead = mean > 1.645 * sd / np.sqrt(n)
    ahead[:, :9] = False
    return _first(ahead)


def _first(hit: FloatArray) -> FloatArray:
    return np.where(hit.any(axis=1), hit.argmax(axis=1) + 1, np.inf)


def rows() -> Iterator[Row]:
    """Measure false claims, time to true ones, and what two keys keep of what a person knows."""
    world = World()
    yield from claim_rows(world)
    yield from false_rows(world)
    yield from trend_rows(world)
    yield from kept_rows()


def claim_rows(world: World) -> Iterator[Row]:
    """A skilled person (sees effects to half a seed sd): forecasts until "ahead", by density and by printed verdict."""
    for seeds in SEEDS:
        rng = np.random.default_rng(seeds)
        bits, least, _ = people(world, 200, 250, seeds, rng, error=0.5)
        name = f"forecasts until a skilled person is ahead, {seeds} seed{'s' if seeds > 1 else ''}"
        yield Row(
            name=f"{name} (median)", measured=float(np.median(first_ahead(bits, least))), target=1.2 * COUNTS[seeds]
        )
        printed, bound = _printed(world, 60, 400, seeds, np.random.default_rng(seeds))
        median = float(np.median(first_ahead(printed, bound)))
        yield Row(name=f"  by the printed verdict (design: {PRINTED[seeds]})", measured=median)


def _printed(world: World, n: int, looks: int, seeds: int, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Score the same person's keys by the verdict that is printed after so many seeds; an open one tells nothing."""
    effects = world.effects(n * looks, rng)
    keys = np.concatenate([world.keys(world.beliefs(part, 0.5, rng)) for part in np.array_split(effects, n)])
    shares = np.array(
        [
            [KEYS[key].confidence / 100 if place == key // len(SURE) else np.nan for place in range(3)]
            for key in range(len(KEYS))
        ]
    )
    left = (1 - np.nansum(shares, axis=1)) / 2
    shares = np.where(np.isnan(shares), left[:, None], shares)
    classes = [_verdict(effect, seeds, world.margin, rng) for effect in effects]
    bits = np.array([0.0 if c is None else np.log2(3 * shares[key, c]) for key, c in zip(keys, classes, strict=True)])
    return bits.reshape(n, looks), np.log2(3 * left)[keys].reshape(n, looks)


def _verdict(effect: float, seeds: int, margin: float, rng: np.random.Generator) -> int | None:
    pairs = Pairs(baseline=rng.normal(0, 1, seeds), treatment=effect + rng.normal(0, 1, seeds), resolution=1e-6)
    kind = judge(pairs, Terms(budget=5, margin=margin, noise=Noise(d0=6.0, variance=2.0))).kind
    return {"worse": 0, "worse_small": 1, "same": 1, "better_small": 1, "better": 2}.get(kind)


def false_rows(world: World) -> Iterator[Row]:
    """People so bold that it eats up what they know: nothing over the reference on average, a look a forecast."""
    for seeds in SEEDS:
        for boldness in (3.0, 10.0):
            error = _that_breaks_even(world, seeds, boldness)
            bits, least, _ = people(world, 1000, LOOKS, seeds, np.random.default_rng(9), error=error, boldness=boldness)
            told = f"{seeds} seeds, {boldness:g} times too bold, error {error:.1f} (mean {bits.mean():+.3f} bits)"
            yield Row(name=f"falsely ahead, {told}", measured=_share(first_ahead(bits, least)), target=0.05)
            yield Row(name="  the same by a bound for one look", measured=_share(first_naive(bits)))


def _that_breaks_even(world: World, seeds: int, boldness: float) -> float:
    """Find how sharp a person must see for their boldness to cost them all of it."""
    low, high = 0.1, 60.0
    for _ in range(16):
        middle = (low * high) ** 0.5
        mean = people(world, 16, 2000, seeds, np.random.default_rng(3), error=middle, boldness=boldness)[0].mean()
        low, high = (middle, high) if mean > 0 else (low, middle)
    return high


def _share(first: FloatArray) -> float:
    return float(np.isfinite(first).mean())


def trend_rows(world: World) -> Iterator[Row]:
    """People who stay as they are, and one who learns: from an error of 4 seed sds to .3 over 100 forecasts."""
    rng = np.random.default_rng(4)
    for error in (0.5, 2.0):
        bits, least, most = people(world, 150, 240, 3, rng, error=error)
        told = [_ever_improving(*row) for row in zip(bits, least, most, strict=True)]
        yield Row(
            name=f"falsely improving, error {error:g}, a look every 10 forecasts",
            measured=float(np.mean(told)),
            target=0.05,
        )
    learners = [_learner(world, 400, rng) for _ in range(40)]
    found = [_first_improving(*one) for one in learners]
    yield Row(
        name="a learner is called improving after (median of those found)",
        measured=float(np.median([f for f in found if f])),
    )
    yield Row(name="  share found within 400 forecasts", measured=float(np.mean([f is not None for f in found])))


def _learner(world: World, n: int, rng: np.random.Generator) -> tuple[FloatArray, FloatArray, FloatArray]:
    errors = 0.3 * (4.0 / 0.3) ** np.maximum(1 - np.arange(n) / 100, 0)
    parts = [_some(world, 1, 3, rng, float(error), 1.0) for error in errors]
    keys = np.array([int(key[0]) for _, key in parts])
    return np.array([bits[0] for bits, _ in parts]), LEAST[keys], MOST[keys]


def _first_improving(bits: FloatArray, least: FloatArray, most: FloatArray) -> int | None:
    told = [
        Scored(bits=float(b), least=float(low), most=float(high))
        for b, low, high in zip(bits, least, most, strict=True)
    ]
    return next((n for n in range(30, len(told) + 1, 10) if trend_of(told[:n]) == "improving"), None)


def _ever_improving(bits: FloatArray, least: FloatArray, most: FloatArray) -> bool:
    return _first_improving(bits, least, most) is not None


def kept_rows() -> Iterator[Row]:
    """What two keys, a size, and three quantiles keep of the information in a person's whole belief."""
    for margin in (0.5, 1.0):
        world = World(margin)
        for error in (0.25, 1.0, 2.0):
            kept = {
                kind: [_kept(world, error, seeds)[kind] for seeds in SEEDS]
                for kind in ("two keys", "size", "quantiles")
            }
            told = f"margin {margin:g} seed sds, error {error:g}: kept at 1 / 3 / 5 seeds, least"
            yield Row(name=f"{told}, two keys", measured=min(kept["two keys"]), target=0.55, at_least=True)
            yield Row(name="  with a size", measured=min(kept["size"]))
            yield Row(name="  with three quantiles", measured=min(kept["quantiles"]))


def _kept(world: World, error: float, seeds: int) -> dict[str, float]:
    rng = np.random.default_rng(6)
    effects = world.effects(800, rng)
    beliefs = world.beliefs(effects, error, rng)
    seen = effects + rng.normal(0, np.sqrt(2 / seeds), len(effects))
    blur = np.exp(-0.5 * ((seen[:, None] - world.grid) / np.sqrt(2 / seeds)) ** 2) * world.width
    base = (blur * world.prior).sum(axis=1)
    whole = np.log2((blur * beliefs).sum(axis=1) / base).mean()
    keys = world.keys(beliefs).astype(int)
    said = {
        "two keys": [KEYS[key] for key in keys],
        "size": [_sized(world, KEYS[key], belief) for key, belief in zip(keys, beliefs, strict=True)],
        "quantiles": [_quantiles(world, belief) for belief in beliefs],
    }
    told = {}
    for kind, entries in said.items():
        bits = _bits_of(world, entries, seen, seeds)
        told[kind] = float(bits.mean() / whole)
    return told


def _bits_of(world: World, said: list[Forecast | Spread], seen: FloatArray, seeds: int) -> FloatArray:
    n = len(said)
    cells = Cells([Scale(margin=world.margin, seed_sd=1.0)] * n)
    at, error = seen[:, None], np.full(n, np.sqrt(2 / seeds))
    parts = cells.blurred(at, error)
    mine = densities_of(said, [REFERENCE] * n, cells, [1] * n).blurred(parts, at, error)
    theirs = reference_densities([REFERENCE] * n, cells).blurred(parts, at, error)
    return np.log2(mine / theirs)[:, 0]


def _sized(world: World, key: Forecast, belief: FloatArray) -> Forecast:
    """Add the size that the person finds likeliest, where it is likelier than the shape of effects has it."""
    if key.answer == "same":
        return key
    side = world.place == CLASSES.index(key.answer)
    sizes = np.searchsorted([1.0, 2.0, 4.0], np.abs(world.grid))
    mine, theirs = (
        np.array([(density * world.width)[side & (sizes == size)].sum() for size in range(4)])
        for density in (belief, world.prior)
    )
    chosen = int(np.argmax(mine / mine.sum() - theirs / theirs.sum()))
    return Forecast(answer=key.answer, confidence=key.confidence, size=SIZES[chosen])


def _quantiles(world: World, belief: FloatArray) -> Spread:
    upto = np.cumsum(belief * world.width)
    low, middle, high = (float(np.interp(share, upto, world.grid)) for share in (0.1, 0.5, 0.9))
    return Spread(low=low, middle=max(middle, low + 1e-3), high=max(high, middle + 2e-3))
