"""Score a forecast of an effect against what the runs showed, in bits over the reference; pure.

A forecast is a density over the effect: shares of worse / same / better times the reference's shape
within each. It is blurred by the run's own standard error and read off at the observed difference, so
the score is proper at any number of seeds (Gneiting & Raftery 2007: the logarithmic score of what is
observed). Bits over the reference = log2 of forecast density / reference density.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
from scipy.special import ndtr

from palate.errors import InputError
from palate.forecast.answer import Forecast

SHAPE = ((0.30, 0.5), (0.40, 1.0), (0.25, 2.0), (0.05, 8.0))
"""(weight, width) of the normal mixture that effects follow before any are known, in units of 2 seed sds: heavy
tails, so that a rare large effect is no miracle."""

EFFECT_SDS = 2.0
PRIOR_COUNTS = {"worse": 0.93, "same": 0.93, "better": 0.93, "crash": 0.21}
"""Three imagined past outcomes, spread evenly, with one crash in fourteen or so."""

CLASSES = ("worse", "same", "better")


@dataclass(frozen=True, slots=True, kw_only=True)
class Chances:
    """Probabilities of the four outcomes; they sum to 1."""

    worse: float
    same: float
    better: float
    crash: float

    def __post_init__(self) -> None:
        if min(asdict(self).values()) < 0 or not math.isclose(sum(asdict(self).values()), 1, abs_tol=1e-9):
            raise InputError(f"chances must be probabilities that sum to 1, got {asdict(self)}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What the runs showed.

    Attributes:
        difference: mean difference, + is better; None where the change failed.
        standard_error: of the difference.
        margin: smallest difference that matters.
        seed_sd: standard deviation of one run over seeds.
        settled: the printed verdict as worse / same / better / crash; None while it is open.
    """

    difference: float | None
    standard_error: float
    margin: float
    seed_sd: float
    settled: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """A forecast's score.

    Attributes:
        bits: information over the reference; above 0 is better than the reference.
        brier: squared error of the chances against the printed verdict (0 best, 2 worst); None while it is open.
    """

    bits: float
    brier: float | None


def base_rate(counts: Mapping[str, int]) -> Chances:
    """Give the reference forecast: past outcomes of the project, smoothed by three imagined ones (Dirichlet)."""
    smoothed = {name: counts.get(name, 0) + prior for name, prior in PRIOR_COUNTS.items()}
    total = sum(smoothed.values())
    return Chances(**{name: count / total for name, count in smoothed.items()})


def chances_of(forecast: Forecast, reference: Chances) -> Chances:
    """Spread what an answer leaves over the other outcomes as the reference does."""
    share = forecast.confidence / 100
    rest = {name: chance for name, chance in asdict(reference).items() if name != forecast.answer}
    total = sum(rest.values())
    spread = {name: (1 - share) * chance / total for name, chance in rest.items()}
    return Chances(**{forecast.answer: share, **spread})


def score(forecast: Chances, reference: Chances, observed: Observed) -> Score:
    """Score a forecast by the log of its blurred density over the reference's, and by Brier beside it.

    >>> sure = Chances(worse=.05, same=.10, better=.83, crash=.02)
    >>> even = Chances(worse=.33, same=.33, better=.32, crash=.02)
    >>> seen = Observed(difference=3.0, standard_error=.3, margin=1.0, seed_sd=1.0, settled="better")
    >>> round(score(sure, even, seen).bits, 2)
    1.38
    """
    return Score(bits=_bits(forecast, reference, observed), brier=_brier(forecast, observed.settled))


def score_bounds(forecast: Chances, reference: Chances) -> tuple[float, float]:
    """Give the least and the most bits that a forecast can get, whatever happens: known when it is sealed.

    The blurred densities are mixtures of the same classes, so their ratio lies between those of the chances.

    >>> low, high = score_bounds(Chances(worse=.1, same=.1, better=.78, crash=.02), base_rate({}))
    >>> round(low, 2), round(high, 2)
    (-1.81, 1.33)
    """
    ours, theirs = asdict(forecast), asdict(reference)
    ratios = [math.log2(ours[name] / theirs[name]) for name in theirs if theirs[name] > 0 and ours[name] > 0]
    return min(0.0, *ratios), max(0.0, *ratios)


def _bits(forecast: Chances, reference: Chances, observed: Observed) -> float:
    if observed.difference is None:
        return math.log2(forecast.crash / reference.crash)
    weights = class_densities(observed)
    return math.log2(_mix(forecast, weights) / _mix(reference, weights))


def _mix(chances: Chances, weights: tuple[float, ...]) -> float:
    by_name: dict[str, float] = asdict(chances)
    return sum(by_name[name] * weight for name, weight in zip(CLASSES, weights, strict=True))


def class_densities(observed: Observed) -> tuple[float, ...]:
    """Give, for worse / same / better, the density of the observed difference if the effect lies in that class.

    The integral of prior(effect) N(difference; effect, SE^2) over the class, over the prior's mass there; closed
    form, the prior being a mixture of normals. Scaled by a common factor, which ratios do not see.
    """
    edges = np.array([-np.inf, -observed.margin, observed.margin, np.inf])
    scale = EFFECT_SDS * observed.seed_sd
    found, mass = np.zeros(3), np.zeros(3)
    for weight, width in SHAPE:
        joint, prior = _component(observed, edges, width * scale)
        found += weight * joint
        mass += weight * prior
    return tuple(found / mass)


def _component(observed: Observed, edges: np.ndarray, sd: float) -> tuple[np.ndarray, np.ndarray]:
    difference, noise = observed.difference or 0.0, observed.standard_error
    total = math.hypot(sd, noise)
    at = math.exp(-0.5 * (difference / total) ** 2) / total
    centre, width = difference * (sd / total) ** 2, max(sd * noise / total, 1e-12 * total)
    return at * np.diff(ndtr((edges - centre) / width)) + 1e-300, np.diff(ndtr(edges / sd))


def _brier(forecast: Chances, settled: str | None) -> float | None:
    if settled is None:
        return None
    chances: dict[str, float] = asdict(forecast)
    return sum((chance - (name == settled)) ** 2 for name, chance in chances.items())
