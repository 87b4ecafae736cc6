"""Forecasts as densities over the effect: what an answer, a size or three quantiles stand for; pure.

Effects (oriented: above 0 is better) are cut into cells at the margin and where sizes meet. Within a cell every density
has the shape that effects have, a mixture of normals, so it is one number a cell: its ratio to that shape. Blurring by
a standard error is then closed form, and many forecasts are worked on at once.

What a key stands for is fixed: the confidence for its answer, and what people with a noisy idea of the effect believe
besides, about and on average, when they press it (docs/design/008). Below 85 % what is left goes to the neighbouring
answer three times as readily as to the far one, and effects far on a side that was not named weigh a little less. From
85 % on little is left, so it is spread as the reference has it, and effects close to the margin on the named side weigh
less.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from palate.errors import InputError
from palate.forecast.answer import SIZES, Forecast, Said, Spread
from palate.forecast.chances import CLASSES, Chances
from palate.verdict.special import ndtr, ndtri

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]

SHAPE = ((0.50, 0.4), (0.30, 1.0), (0.17, 2.5), (0.03, 6.0))
"""(weight, width in seed standard deviations) of the normal mixture that effects follow: fitted to 53 effects of small
trainings made here and to 98 differences of neighbouring modded-nanogpt records, which agree (docs/design/008)."""

SIZE_EDGES = (1.0, 2.0, 4.0)
"""Where sizes meet, in seed standard deviations."""

SURE = 85
"""From this confidence on, what is left is spread as the reference has it."""

NEIGHBOUR = 3.0
"""How much more readily what is left goes to the neighbouring answer than to the far one, below that."""

PLAIN: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0)
FAR_TILT = (1.0, 0.6, 0.5, 0.5)
"""Weights, by size, of the effects of the answers that were not given, below that."""

SURE_TILTS = ((95, (0.3, 0.7, 1.0, 1.0)), (SURE, (0.6, 1.0, 1.0, 1.0)))
"""From this confidence on, weights, by size, of the effects of the answer that was given."""

SIZE_ODDS = 4.0
"""A size that is said counts four to one against the others."""

LEAST_SD = 1e-6
"""Nothing is surer than this, in widths of the narrowest effects."""

KNOW_NOTHING = 0.1
"""Share of a density given by quantiles that knows nothing: its tails, so that one surprise is not endless."""

WIDEST_MARGIN = 4.0
"""Widths of effects that a margin is taken to be at most."""

_WEIGHTS, _WIDTHS = np.array(SHAPE).T
_REACH = 30.0
_ROOT = math.sqrt(2 * math.pi)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """What effects are measured with.

    Attributes:
        margin: the smallest difference that matters, in the metric's unit.
        seed_sd: standard deviation of one run over seeds, in the metric's unit.
        unit: how wide effects are in this project, in seed standard deviations; 1 as in `SHAPE`.

    Effects are taken to be at least a quarter of the margin wide: who asks whether something is larger than the margin
    thinks that it may be, however quiet the seeds are.
    """

    margin: float
    seed_sd: float
    unit: float = 1.0

    def __post_init__(self) -> None:
        told = asdict(self)
        if not all(math.isfinite(value) and value > 0 for value in told.values()):
            raise InputError(f"margin, seed sd and unit are positive numbers, got {told}.")

    @property
    def width(self) -> float:
        """How wide effects are, in the metric's unit."""
        return max(self.unit * self.seed_sd, self.margin / WIDEST_MARGIN)


def chances_of(forecast: Forecast, reference: Chances) -> Chances:
    """Spread what an answer leaves: to a crash as the reference does, to the neighbour more readily than beyond it.

    >>> even = Chances(worse=.3, same=.3, better=.3, crash=.1)
    >>> print(chances_of(Forecast(answer="better", confidence=70), even))
    worse 6%  same 19%  better 70%  crash 4%
    """
    answer, share = forecast.answer, forecast.confidence / 100
    others = {name: chance for name, chance in reference.by_name.items() if name != answer}
    crash = 0.0 if answer == "crash" else (1 - share) * others.pop("crash") / (1 - reference.of(answer))
    if answer in ("worse", "better") and forecast.confidence < SURE:
        others["same"] *= NEIGHBOUR
    left = (1 - share - crash) / sum(others.values())
    told = {"crash": crash, **{name: weight * left for name, weight in others.items()}}
    return Chances(**{**told, answer: share})


def tilt_bounds(forecast: Forecast) -> dict[str, tuple[float, float]]:
    """Give, by class, the least and the most by which a menu entry's shape can differ from the reference's.

    Known when it is sealed: a weight over its own mean lies between the ratios of the weights.
    """
    rows = dict(zip(CLASSES, _tilts(forecast.answer, forecast.confidence, forecast.size), strict=True))
    return {name: (min(row) / max(row), max(row) / min(row)) for name, row in rows.items()}


@cache
def _tilts(answer: str, confidence: int, size: str | None) -> tuple[tuple[float, ...], ...]:
    """Give the weights of a menu entry, a row a class, a column a size."""
    own = next((told for least, told in SURE_TILTS if confidence >= least), PLAIN)
    if size is not None:
        own = tuple(SIZE_ODDS if one == size else 1.0 for one in SIZES)
    own = PLAIN if answer == "same" else own
    far = FAR_TILT if confidence < SURE else PLAIN
    return tuple(own if name == answer else far for name in CLASSES)


class Cells:
    """The effects of n questions, cut at the margin and where sizes meet into nine cells each.

    Attributes:
        edges: (n, 10) where cells meet, infinite at both ends.
        classes, sizes: (n, 9) each cell's class and size, as indices.
        mass: (n, 9) the shape's mass in each.
        sds: (n, 4) widths of the shape's components, in the metric's unit.
    """

    def __init__(self, scales: Sequence[Scale]) -> None:
        margin, seed_sd, width = np.array([(s.margin, s.seed_sd, s.width) for s in scales]).T
        meet = seed_sd[:, None] * np.array(SIZE_EDGES)
        upper = np.sort(np.concatenate([margin[:, None], meet], axis=1), axis=1)
        end = np.full((len(margin), 1), np.inf)
        self.edges = np.concatenate([-end, -upper[:, ::-1], upper, end], axis=1)
        self.sds = width[:, None] * _WIDTHS
        middle = (self.edges[:, 1:-2] + self.edges[:, 2:-1]) / 2
        middle = np.concatenate([2 * self.edges[:, 1:2], middle, 2 * self.edges[:, -2:-1]], axis=1)
        self.classes: IntArray = 1 + (middle > margin[:, None]) - (middle < -margin[:, None]).astype(np.intp)
        self.sizes: IntArray = (np.abs(middle)[:, :, None] > meet[:, None, :]).sum(axis=2)
        upto = ndtr(self.edges[:, None, :] / self.sds[:, :, None])
        self.mass: FloatArray = (_WEIGHTS[:, None] * np.diff(upto, axis=2)).sum(axis=1)

    def ratios(self, shares: FloatArray, tilts: FloatArray) -> FloatArray:
        """Give the (n, 9) ratios to the shape of densities with (n, 3) shares and (n, 3, 4) weights of sizes."""
        row = np.arange(len(shares))[:, None]
        weights = tilts[row, self.classes, self.sizes]
        wanted = self.mass * weights
        total = np.stack([np.where(self.classes == c, wanted, 0.0).sum(axis=1) for c in range(len(CLASSES))], axis=1)
        told: FloatArray = shares[row, self.classes] * weights / np.maximum(total[row, self.classes], 1e-300)
        return told

    def blurred(self, at: FloatArray, error: FloatArray) -> FloatArray:
        """Give what each cell of the shape adds to the blurred density, (n, g, 9): integrals of shape(e) N(x; e, SE^2).

        Args:
            at: (n, g) places in the metric's unit.
            error: (n,) standard errors, above 0.
        """
        noise = error[:, None, None]
        sds = self.sds[:, None, :]
        total = np.hypot(sds, noise)
        reach = _REACH * total.max(axis=2, keepdims=True)
        x = np.clip(at[:, :, None], -reach, reach)
        height = _WEIGHTS * np.exp(-0.5 * (x / total) ** 2) / (total * _ROOT)
        middle, width = x * (sds / total) ** 2, sds * noise / total
        upto = ndtr((self.edges[:, None, None, :] - middle[..., None]) / width[..., None])
        told: FloatArray = (height[..., None] * np.diff(upto, axis=3)).sum(axis=2)
        return told

    def below(self, at: FloatArray) -> FloatArray:
        """Give what each cell of the shape has below (n, g) places, (n, g, 9)."""
        upto = np.minimum(self.edges[:, None, :], at[:, :, None])
        share = ndtr(upto[:, :, None, :] / self.sds[:, None, :, None])
        told: FloatArray = (_WEIGHTS[:, None] * np.diff(share, axis=3)).sum(axis=2)
        return told


@dataclass(frozen=True, slots=True, kw_only=True)
class Densities:
    """Densities of n forecasts: cells of the shape, and, for quantiles, two half normals that meet at the median.

    Attributes:
        ratios: (n, 9) each cell's ratio to the shape.
        middle: (n,) where the halves meet.
        halves: (n, 2) how much the half normals weigh; 0 without quantiles.
        sds: (n, 2) their widths.
    """

    ratios: FloatArray
    middle: FloatArray
    halves: FloatArray
    sds: FloatArray

    def of(self, row: int) -> "Densities":
        """Give the density of one forecast."""
        one = slice(row, row + 1)
        return Densities(ratios=self.ratios[one], middle=self.middle[one], halves=self.halves[one], sds=self.sds[one])

    def blurred(self, parts: FloatArray, at: FloatArray, error: FloatArray) -> FloatArray:
        """Give the (n, g) blurred densities, from what the cells add there (`Cells.blurred`)."""
        told: FloatArray = (parts * self.ratios[:, None, :]).sum(axis=2) + 1e-300
        if self.halves.any():
            total = np.hypot(self.sds, error[:, None])[:, None, :]
            off = (at - self.middle[:, None])[:, :, None]
            height = self.halves[:, None, :] * np.exp(-0.5 * (off / total) ** 2) / (total * _ROOT)
            pull = off * self.sds[:, None, :] / (total * error[:, None, None])
            told = told + (height * 2 * ndtr(np.array([-1.0, 1.0]) * pull)).sum(axis=2)
        return told

    def below(self, parts: FloatArray, at: FloatArray) -> FloatArray:
        """Give the (n, g) probabilities of effects below, from what the cells have there (`Cells.below`)."""
        told: FloatArray = (parts * self.ratios[:, None, :]).sum(axis=2)
        off = (at - self.middle[:, None])[:, :, None] / self.sds[:, None, :]
        left, right = 2 * ndtr(np.minimum(off[..., 0], 0)), 2 * ndtr(np.maximum(off[..., 1], 0)) - 1
        told += self.halves[:, None, 0] * left + self.halves[:, None, 1] * right
        return told


def class_densities(cells: Cells, at: FloatArray, error: FloatArray) -> FloatArray:
    """Give the (n, 3) densities of measured differences if the effect is worse, the same, or better.

    Args:
        cells: the questions' effects.
        at: (n,) measured differences.
        error: (n,) their standard errors.
    """
    parts = cells.blurred(at[:, None], error)[:, 0, :]
    told = [
        np.where(cells.classes == c, parts, 0.0).sum(axis=1)
        / np.maximum(np.where(cells.classes == c, cells.mass, 0.0).sum(axis=1), 1e-300)
        for c in range(len(CLASSES))
    ]
    stacked: FloatArray = np.stack(told, axis=1) + 1e-300
    return stacked


def reference_densities(references: Sequence[Chances], cells: Cells) -> Densities:
    """Give the references' densities: their chances times the shape that effects have, given that nothing crashes."""
    n = len(references)
    return _plain(cells.ratios(_shares(references), np.ones((n, len(CLASSES), len(SIZES)))))


def densities_of(said: Sequence[Said], references: Sequence[Chances], cells: Cells, signs: Sequence[int]) -> Densities:
    """Give what was said as densities over oriented effects, given that nothing crashes.

    Args:
        said: an answer or quantiles each.
        references: the reference's chances each.
        cells: the questions' effects, cut into cells.
        signs: +1 where higher is better, -1 where lower is: quantiles are said in the metric's own sign.
    """
    third = Chances(worse=1 / 3, same=1 / 3, better=1 / 3, crash=0.0)
    chances = [
        chances_of(one, ref) if isinstance(one, Forecast) else third for one, ref in zip(said, references, strict=True)
    ]
    none = (PLAIN,) * len(CLASSES)
    tilts = [_tilts(one.answer, one.confidence, one.size) if isinstance(one, Forecast) else none for one in said]
    found = _plain(cells.ratios(_shares(chances), np.array(tilts)))
    rows = np.array([row for row, one in enumerate(said) if isinstance(one, Spread)], dtype=np.intp)
    if len(rows):
        told = np.array([_oriented(one, sign) for one, sign in zip(said, signs, strict=True)])
        _join_halves(found, told, cells, rows)
    return found


def _shares(chances: Sequence[Chances]) -> FloatArray:
    told = np.array([(one.worse, one.same, one.better) for one in chances])
    shares: FloatArray = told / np.maximum(told.sum(axis=1, keepdims=True), 1e-300)
    return shares


def _plain(ratios: FloatArray) -> Densities:
    n = len(ratios)
    return Densities(ratios=ratios, middle=np.zeros(n), halves=np.zeros((n, 2)), sds=np.ones((n, 2)))


def _oriented(one: Said, sign: int) -> tuple[float, float, float]:
    if isinstance(one, Forecast):
        return 0.0, 0.0, 0.0
    low, middle, high = sorted(sign * value for value in (one.low, one.middle, one.high))
    return low, middle, high


def _join_halves(found: Densities, told: FloatArray, cells: Cells, rows: IntArray) -> None:
    """Make the densities of some rows two half normals and a share that knows nothing: their quantiles are those told.

    Quantiles far out in the tail of what knows nothing can only nearly be met.
    """
    wide = (cells.below(told) * found.ratios[:, None, :]).sum(axis=2)
    core = (np.array([0.1, 0.5, 0.9]) - KNOW_NOTHING * wide) / (1 - KNOW_NOTHING)
    half = np.clip(core[:, 1], 0.2, 0.8)
    tails = np.stack([core[:, 0] / (2 * half), (1 - core[:, 2]) / (2 * (1 - half))], axis=1)
    sds = np.maximum(np.diff(told, axis=1) / -ndtri(np.clip(tails, 0.01, 0.45)), LEAST_SD * cells.sds[:, :1])
    found.ratios[rows] *= KNOW_NOTHING
    found.middle[rows] = told[rows, 1]
    found.halves[rows] = (1 - KNOW_NOTHING) * np.stack([half, 1 - half], axis=1)[rows]
    found.sds[rows] = sds[rows]
