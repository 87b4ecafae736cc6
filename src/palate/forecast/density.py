"""Forecasts as densities over the effect: which density an answer, a size or three quantiles stand for; pure.

Effects (oriented: above 0 is better) are divided into cells at the margin and at the limits of the size classes. The
base density is a mixture of normals, fitted to known effects (`SHAPE`). Within a cell every forecast is a multiple of
it, so one number a cell describes a forecast: the ratio to the base density. Convolution with a normal error is then in
closed form, and many forecasts are computed at once.

Each answer with its confidence stands for one fixed density: the confidence is the probability of the answer, and the
rest is what forecasters with a noisy estimate of the effect believe on average when they give this answer
(docs/design/008). Below 85 %, the rest goes to the neighbouring answer with three times the weight of the far one, and
large effects of the answers that were not given have less weight. From 85 % on, the rest is divided as in the
reference, and effects of the given answer that are close to the margin have less weight.
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
from palate.verdict.lazy import special

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]

SHAPE = ((0.50, 0.4), (0.30, 1.0), (0.17, 2.5), (0.03, 6.0))
"""(weight, standard deviation in seed standard deviations) of the normal mixture of effects: fitted to 53 effects of
small trainings made here and to 98 differences of successive modded-nanogpt records, which agree (docs/design/008)."""

SIZE_EDGES = (1.0, 2.0, 4.0)
"""Limits between the size classes, in seed standard deviations."""

SURE = 85
"""From this confidence on, the rest of the probability is divided as in the reference."""

NEIGHBOUR = 3.0
"""Below `SURE`: weight of the neighbouring answer, against 1 for the far one, when the rest is divided."""

PLAIN: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0)
"""No tilt: every size class has the weight that the base density gives it."""

FAR_TILT = (1.0, 0.6, 0.5, 0.5)
"""Below `SURE`: weights, by size class, of the effects of the answers that were not given."""

SURE_TILTS = ((95, (0.3, 0.7, 1.0, 1.0)), (SURE, (0.6, 1.0, 1.0, 1.0)))
"""(from this confidence on, weights by size class) of the effects of the answer that was given."""

SIZE_ODDS = 4.0
"""Weight of a size class that was named, against 1 for each of the others."""

LEAST_SD = 1e-6
"""Least standard deviation of a forecast by quantiles, as a share of the narrowest component of the base density."""

KNOW_NOTHING = 0.1
"""Share of the base density in a forecast by quantiles: it makes the tails heavy, so that the loss is bounded."""

WIDEST_MARGIN = 4.0
"""A margin is at most this many widths of effects: `Scale.width` grows where it would be more."""

_WEIGHTS, _WIDTHS = np.array(SHAPE).T
_REACH = 30.0
_ROOT = math.sqrt(2 * math.pi)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Margin, noise and size of the effects of one question.

    Attributes:
        margin: the smallest difference that matters, in the metric's unit.
        seed_sd: standard deviation of one run over seeds, in the metric's unit.
        unit: factor by which effects of this project are wider than `SHAPE`.

    The width of effects is at least a quarter of the margin: a question about a margin implies that effects of that
    size are possible, even where the seeds hardly vary.
    """

    margin: float
    seed_sd: float
    unit: float = 1.0

    def __post_init__(self) -> None:
        values = asdict(self)
        if not all(math.isfinite(value) and value > 0 for value in values.values()):
            raise InputError(f"margin, seed sd and unit are positive numbers, got {values}.")

    @property
    def width(self) -> float:
        """Width of the effects, in the metric's unit: what one unit of `SHAPE` is."""
        return max(self.unit * self.seed_sd, self.margin / WIDEST_MARGIN)


def chances_of(forecast: Forecast, reference: Chances) -> Chances:
    """Return an answer as probabilities of the four outcomes.

    The rest goes to a crash in the reference's proportion, and to the neighbouring answer with more weight than to the
    far one.

    >>> even = Chances(worse=.3, same=.3, better=.3, crash=.1)
    >>> print(chances_of(Forecast(answer="better", confidence=70), even))
    worse 6%  same 19%  better 70%  crash 4%
    """
    answer, share = forecast.answer, forecast.confidence / 100
    others = {name: chance for name, chance in reference.by_name.items() if name != answer}
    crash = 0.0 if answer == "crash" else (1 - share) * others.pop("crash") / (1 - reference.of(answer))
    if answer in ("worse", "better") and forecast.confidence < SURE:
        others["same"] *= NEIGHBOUR
    factor = (1 - share - crash) / sum(others.values())
    rest = {"crash": crash, **{name: weight * factor for name, weight in others.items()}}
    return Chances(**{**rest, answer: share})


def tilt_bounds(forecast: Forecast) -> dict[str, tuple[float, float]]:
    """Return, for each class, bounds of the ratio of an answer's density within the class to the reference's.

    They are known when the forecast is sealed: a weight divided by the mean weight lies between least / greatest and
    greatest / least weight.
    """
    rows = dict(zip(CLASSES, _tilts(forecast.answer, forecast.confidence, forecast.size), strict=True))
    return {name: (min(row) / max(row), max(row) / min(row)) for name, row in rows.items()}


@cache
def _tilts(answer: str, confidence: int, size: str | None) -> tuple[tuple[float, ...], ...]:
    """Return the weights of an answer: one row a class, one column a size class."""
    own = next((weights for least, weights in SURE_TILTS if confidence >= least), PLAIN)
    if size is not None:
        own = tuple(SIZE_ODDS if one == size else 1.0 for one in SIZES)
    own = PLAIN if answer == "same" else own
    far = FAR_TILT if confidence < SURE else PLAIN
    return tuple(own if name == answer else far for name in CLASSES)


class Cells:
    """The effects of n questions, each divided into nine cells at the margin and at the limits of the size classes.

    Attributes:
        edges: (n, 10) limits of the cells, infinite at both ends.
        classes, sizes: (n, 9) class and size class of each cell, as indices.
        mass: (n, 9) probability of each cell under the base density.
        sds: (n, 4) standard deviations of the components of the base density, in the metric's unit.
    """

    def __init__(self, scales: Sequence[Scale]) -> None:
        margin, seed_sd, width = np.array([(s.margin, s.seed_sd, s.width) for s in scales]).T
        limits = seed_sd[:, None] * np.array(SIZE_EDGES)
        upper = np.sort(np.concatenate([margin[:, None], limits], axis=1), axis=1)
        end = np.full((len(margin), 1), np.inf)
        self.edges = np.concatenate([-end, -upper[:, ::-1], upper, end], axis=1)
        self.sds = width[:, None] * _WIDTHS
        middle = (self.edges[:, 1:-2] + self.edges[:, 2:-1]) / 2
        middle = np.concatenate([2 * self.edges[:, 1:2], middle, 2 * self.edges[:, -2:-1]], axis=1)
        self.classes: IntArray = 1 + (middle > margin[:, None]) - (middle < -margin[:, None]).astype(np.intp)
        self.sizes: IntArray = (np.abs(middle)[:, :, None] > limits[:, None, :]).sum(axis=2)
        upto = special.ndtr(self.edges[:, None, :] / self.sds[:, :, None])
        self.mass: FloatArray = (_WEIGHTS[:, None] * np.diff(upto, axis=2)).sum(axis=1)

    def ratios(self, shares: FloatArray, tilts: FloatArray) -> FloatArray:
        """Return (n, 9) ratios to the base density, from (n, 3) class probabilities and (n, 3, 4) weights of sizes."""
        row = np.arange(len(shares))[:, None]
        weights = tilts[row, self.classes, self.sizes]
        wanted = self.mass * weights
        total = np.stack([np.where(self.classes == c, wanted, 0.0).sum(axis=1) for c in range(len(CLASSES))], axis=1)
        ratios: FloatArray = shares[row, self.classes] * weights / np.maximum(total[row, self.classes], 1e-300)
        return ratios

    def blurred(self, at: FloatArray, error: FloatArray) -> FloatArray:
        """Return the integral of f(e) N(x; e, SE^2) over each cell, (n, g, 9), f being the base density.

        Args:
            at: (n, g) points x in the metric's unit.
            error: (n,) standard errors, above 0.
        """
        noise = error[:, None, None]
        sds = self.sds[:, None, :]
        total = np.hypot(sds, noise)
        reach = _REACH * total.max(axis=2, keepdims=True)
        x = np.clip(at[:, :, None], -reach, reach)
        height = _WEIGHTS * np.exp(-0.5 * (x / total) ** 2) / (total * _ROOT)
        middle, width = x * (sds / total) ** 2, sds * noise / total
        upto = special.ndtr((self.edges[:, None, None, :] - middle[..., None]) / width[..., None])
        parts: FloatArray = (height[..., None] * np.diff(upto, axis=3)).sum(axis=2)
        return parts

    def below(self, at: FloatArray) -> FloatArray:
        """Return the probability that each cell of the base density has below (n, g) points, (n, g, 9)."""
        upto = np.minimum(self.edges[:, None, :], at[:, :, None])
        share = special.ndtr(upto[:, :, None, :] / self.sds[:, None, :, None])
        parts: FloatArray = (_WEIGHTS[:, None] * np.diff(share, axis=3)).sum(axis=2)
        return parts


@dataclass(frozen=True, slots=True, kw_only=True)
class Densities:
    """Densities of n forecasts: ratios to the base density, and, for quantiles, two half normals around the median.

    Attributes:
        ratios: (n, 9) each cell's ratio to the base density.
        middle: (n,) median: where the two half normals meet.
        halves: (n, 2) weights of the half normals; 0 without quantiles.
        sds: (n, 2) their standard deviations.
    """

    ratios: FloatArray
    middle: FloatArray
    halves: FloatArray
    sds: FloatArray

    def of(self, row: int) -> "Densities":
        """Return the density of one forecast."""
        one = slice(row, row + 1)
        return Densities(ratios=self.ratios[one], middle=self.middle[one], halves=self.halves[one], sds=self.sds[one])

    def blurred(self, parts: FloatArray, at: FloatArray, error: FloatArray) -> FloatArray:
        """Return the (n, g) densities convolved with the error, from the parts of the cells (`Cells.blurred`)."""
        density: FloatArray = (parts * self.ratios[:, None, :]).sum(axis=2) + 1e-300
        if self.halves.any():
            total = np.hypot(self.sds, error[:, None])[:, None, :]
            off = (at - self.middle[:, None])[:, :, None]
            height = self.halves[:, None, :] * np.exp(-0.5 * (off / total) ** 2) / (total * _ROOT)
            pull = off * self.sds[:, None, :] / (total * error[:, None, None])
            density = density + (height * 2 * special.ndtr(np.array([-1.0, 1.0]) * pull)).sum(axis=2)
        return density

    def below(self, parts: FloatArray, at: FloatArray) -> FloatArray:
        """Return the (n, g) probabilities of effects below the points, from the parts of the cells (`Cells.below`)."""
        below: FloatArray = (parts * self.ratios[:, None, :]).sum(axis=2)
        off = (at - self.middle[:, None])[:, :, None] / self.sds[:, None, :]
        left, right = 2 * special.ndtr(np.minimum(off[..., 0], 0)), 2 * special.ndtr(np.maximum(off[..., 1], 0)) - 1
        below += self.halves[:, None, 0] * left + self.halves[:, None, 1] * right
        return below


def class_densities(cells: Cells, at: FloatArray, error: FloatArray) -> FloatArray:
    """Return the (n, 3) densities of measured differences if the effect is worse, the same, or better.

    Args:
        cells: the questions' effects.
        at: (n,) measured differences.
        error: (n,) their standard errors.
    """
    parts = cells.blurred(at[:, None], error)[:, 0, :]
    densities = [
        np.where(cells.classes == c, parts, 0.0).sum(axis=1)
        / np.maximum(np.where(cells.classes == c, cells.mass, 0.0).sum(axis=1), 1e-300)
        for c in range(len(CLASSES))
    ]
    stacked: FloatArray = np.stack(densities, axis=1) + 1e-300
    return stacked


def reference_densities(references: Sequence[Chances], cells: Cells) -> Densities:
    """Return the references' densities, given no crash: in each class the base density, scaled to its chance."""
    n = len(references)
    return _plain(cells.ratios(_shares(references), np.ones((n, len(CLASSES), len(SIZES)))))


def densities_of(said: Sequence[Said], references: Sequence[Chances], cells: Cells, signs: Sequence[int]) -> Densities:
    """Return forecasts as densities over oriented effects, given that no run crashes.

    Args:
        said: for each question, an answer or quantiles.
        references: for each question, the reference's chances.
        cells: the cells of the questions.
        signs: +1 where higher is better, -1 where lower is: quantiles are stated in the metric's own sign.
    """
    third = Chances(worse=1 / 3, same=1 / 3, better=1 / 3, crash=0.0)
    chances = [
        chances_of(one, ref) if isinstance(one, Forecast) else third for one, ref in zip(said, references, strict=True)
    ]
    untilted = (PLAIN,) * len(CLASSES)
    tilts = [_tilts(one.answer, one.confidence, one.size) if isinstance(one, Forecast) else untilted for one in said]
    densities = _plain(cells.ratios(_shares(chances), np.array(tilts)))
    rows = np.array([row for row, one in enumerate(said) if isinstance(one, Spread)], dtype=np.intp)
    if len(rows):
        quantiles = np.array([_oriented(one, sign) for one, sign in zip(said, signs, strict=True)])
        _join_halves(densities, quantiles, cells, rows)
    return densities


def _shares(chances: Sequence[Chances]) -> FloatArray:
    table = np.array([(one.worse, one.same, one.better) for one in chances])
    shares: FloatArray = table / np.maximum(table.sum(axis=1, keepdims=True), 1e-300)
    return shares


def _plain(ratios: FloatArray) -> Densities:
    n = len(ratios)
    return Densities(ratios=ratios, middle=np.zeros(n), halves=np.zeros((n, 2)), sds=np.ones((n, 2)))


def _oriented(one: Said, sign: int) -> tuple[float, float, float]:
    if isinstance(one, Forecast):
        return 0.0, 0.0, 0.0
    low, middle, high = sorted(sign * value for value in (one.low, one.middle, one.high))
    return low, middle, high


def _join_halves(densities: Densities, quantiles: FloatArray, cells: Cells, rows: IntArray) -> None:
    """Change the densities of some rows, in place, into two half normals mixed with the base density.

    The mixture has the given 10, 50 and 90 % quantiles; those far in the tail of the base density are met nearly only.
    """
    wide = (cells.below(quantiles) * densities.ratios[:, None, :]).sum(axis=2)
    core = (np.array([0.1, 0.5, 0.9]) - KNOW_NOTHING * wide) / (1 - KNOW_NOTHING)
    half = np.clip(core[:, 1], 0.2, 0.8)
    tails = np.stack([core[:, 0] / (2 * half), (1 - core[:, 2]) / (2 * (1 - half))], axis=1)
    widths = np.diff(quantiles, axis=1) / -special.ndtri(np.clip(tails, 0.01, 0.45))
    densities.ratios[rows] *= KNOW_NOTHING
    densities.middle[rows] = quantiles[rows, 1]
    densities.halves[rows] = (1 - KNOW_NOTHING) * np.stack([half, 1 - half], axis=1)[rows]
    densities.sds[rows] = np.maximum(widths, LEAST_SD * cells.sds[:, :1])[rows]
