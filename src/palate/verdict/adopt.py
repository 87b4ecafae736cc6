"""What to do with a change, beside what may be claimed of it: its odds after a pair or two, and what a mistake costs.

A verdict guards a claim; most changes never get one. Whether to keep a change for now is another question, with an
answer after every pair: the posterior of its effect. The prior is fitted to the project's own past effects (empirical
Bayes), by the family of the change, shrunk towards the project as a whole and that towards a shipped default. Effects
are in units of the standard deviation of one run over seeds, so that metrics can be compared. Pure.

The prior is a mixture of half-normals and a half-Cauchy on both sides of 0, so that "most do next to nothing, some
harm, a few help a lot" can be learned as it is, and nothing is too large to be believed (Stephens 2017, "False
discovery rates: a new deal", with a Dirichlet prior of the weights). The noise of the mean is a t density, whose spread
is pooled with the project's where pairs are few. All is worked out on a grid of effects. A likelihood does not ask why
somebody stopped, so one may look after any pair.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

from palate.verdict.history import Noise, fit_noise
from palate.verdict.lazy import special
from palate.verdict.pairs import FloatArray, Pairs
from palate.verdict.rule import COLD_DF

Advice = Literal["keep", "drop", "run more"]

PriorSource = Literal["default", "project", "family"]
"""What the prior is mostly made of: the shipped default, the project's past effects, or those of the same family."""

SCALES = (0.05, 0.15, 0.4, 1.0, 2.0)
"""Scales of the half-normals, and of the half-Cauchy that comes last, in seed standard deviations."""

DEFAULT_HELP = (0.22, 0.12, 0.06, 0.06, 0.03)
DEFAULT_HARM = (0.22, 0.12, 0.06, 0.07, 0.04)
"""Weights of the half-normals where nothing is known: of 100 changes, 68 do next to nothing, 17 harm, 15 help."""

DEFAULT_WORTH, PROJECT_WORTH = 10.0, 8.0
"""Past changes that the default is worth beside a project's, and that the project is worth beside a family's."""

MOST_NOISE_DF, ONE_PAST_DF = 10.0, 4.0
"""Degrees of freedom of the noise that is pooled from the project: at most, and at most from a single comparison."""

CARRYING = 0.02
"""What a change that is kept has to gain, in seed standard deviations: it has to be carried on."""

STEPS, FINEST, FARTHEST = 70, 0.01, 20.0
"""Edges of the grid of effects on each side of 0, the first of them, and the last where the runs say nothing larger."""

AROUND, STEP = 8.0, 0.25
"""Standard errors around the mean in which the grid is finer, and how fine."""

PREDICTED = 41
"""Outcomes of the next pair that its worth is averaged over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PastEffect:
    """The effect of an earlier change of the project, in seed standard deviations.

    Attributes:
        mean: as measured.
        error: its standard error.
        df: degrees of freedom of the error.
        family: of the change.
    """

    mean: float
    error: float
    df: float
    family: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prior:
    """What effects a change of this family has in this project, before its runs.

    Attributes:
        help, harm: weights of the components above and below 0, by scale; together 1.
        source: what it is mostly made of.
        past, alike: past changes that it was fitted to, and how many of them are of the family.
    """

    help: tuple[float, ...] = DEFAULT_HELP
    harm: tuple[float, ...] = DEFAULT_HARM
    source: PriorSource = "default"
    past: int = 0
    alike: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What the runs so far say of a change, in the metric's unit; + is better.

    Attributes:
        mean: of the differences.
        variance: of one difference.
        df: degrees of freedom of the variance.
        n: pairs.
        unit: standard deviation of one run over seeds.
    """

    mean: float
    variance: float
    df: float
    n: int
    unit: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Odds:
    """The posterior of a change's effect, in the metric's unit, and what to do by expected value.

    Attributes:
        helps: the chance that the effect is above 0.
        gain: the expected effect.
        loss: the expected size of the effect if it is below 0.
        low, high: the 80 % interval of the effect.
        sd: standard deviation of the effect.
        worth: what one more pair is expected to gain, by a better decision.
        advice: keep it for now, drop it, or run more first.
        prior: what it rests on besides the runs.
        n: pairs.
    """

    helps: float
    gain: float
    loss: float
    low: float
    high: float
    sd: float
    worth: float
    advice: Advice
    prior: Prior
    n: int


def fit_prior(past: Sequence[PastEffect], family: str = "") -> Prior:
    """Fit the prior of a family's effects to the project's past by expectation maximization.

    The project's weights have a Dirichlet prior around the default that is worth 10 changes; the family's have one
    around the project's that is worth 8.

    Args:
        past: effects of all changes that were tried, not only of those that were kept.
        family: of the change that is asked about.

    >>> few = fit_prior([PastEffect(mean=-1.0, error=0.2, df=9)] * 30)
    >>> sum(few.harm) > 0.7 > 0.3 > sum(few.help), few.source
    (True, 'project')
    """
    if not past:
        return Prior()
    likely = _likelihoods(past)
    mine = np.array([one.family == family for one in past], dtype=bool)
    project = _weights(likely, _default_weights(), DEFAULT_WORTH)
    weights = _weights(likely[mine], project, PROJECT_WORTH) if mine.any() and family else project
    alike = int(mine.sum()) if family else 0
    source: PriorSource = "default"
    if len(past) >= DEFAULT_WORTH:
        source = "family" if alike >= PROJECT_WORTH else "project"
    k = len(SCALES)
    told = [float(one) for one in weights]
    return Prior(help=tuple(told[:k]), harm=tuple(told[k:]), source=source, past=len(past), alike=alike)


def _weights(likely: FloatArray, around: FloatArray, worth: float) -> FloatArray:
    """Return the weights of the components: the mean of the Dirichlet posterior, each past change shared out."""
    weights = around
    for _ in range(300):
        shares = likely * weights
        shares /= shares.sum(axis=1, keepdims=True)
        weights = (worth * around + shares.sum(axis=0)) / (worth + len(likely))
    return weights


def _likelihoods(past: Sequence[PastEffect]) -> FloatArray:
    """Return how likely each past effect is under each component: (past, components)."""
    return np.array([_likely(one.mean, one.error, one.df) for one in past])


@lru_cache(maxsize=4096)
def _likely(mean: float, error: float, df: float) -> FloatArray:
    grid = _grid(mean, error)
    return np.asarray(np.maximum(grid.components @ _t_density((mean - grid.centres) / error, df), 1e-300))


def _default_weights() -> FloatArray:
    return np.array([*DEFAULT_HELP, *DEFAULT_HARM])


def _t_density(t: FloatArray, df: FloatArray | float) -> FloatArray:
    """Return the density of Student's t up to a factor that does not depend on the effect."""
    return np.asarray(np.exp(-(np.asarray(df) + 1) / 2 * np.log1p(t**2 / df)), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class _Grid:
    """Effects in seed standard deviations: the middle of each cell, and each component's share of it."""

    centres: FloatArray
    components: FloatArray


def _grid(mean: float, error: float) -> _Grid:
    """Make the grid for a mean with its error: fine near 0 and near the mean, coarse in between and beyond."""
    far = max(FARTHEST, 4 * (abs(mean) + AROUND * error))
    side = np.concatenate([[0.0], np.geomspace(FINEST, far, STEPS)])
    near = mean + error * np.arange(-AROUND, AROUND + STEP / 2, STEP)
    edges = np.unique(np.concatenate([-side, side, near[np.abs(near) < far]]))
    over = np.array([*(_below(np.maximum(edges, 0.0), k) for k in range(len(SCALES)))])
    under = np.array([*(1 - _below(np.maximum(-edges, 0.0), k) for k in range(len(SCALES)))])
    shares = np.diff(np.concatenate([over, under]), axis=1)
    return _Grid((edges[1:] + edges[:-1]) / 2, shares / shares.sum(axis=1, keepdims=True))


def _below(size: FloatArray, component: int) -> FloatArray:
    """Return the chance that an effect of a component is below a size: half-normals, the last one half-Cauchy."""
    scale = SCALES[component]
    if component == len(SCALES) - 1:
        return np.asarray(np.arctan(size / scale) * (2 / math.pi), dtype=np.float64)
    return np.asarray(special.erf(size / scale / math.sqrt(2)), dtype=np.float64)


def pool_noise(variances: Sequence[float], dfs: Sequence[float]) -> Noise | None:
    """Pool the variances of the project's past differences; one is enough. None where there is none.

    Unlike the prior that a verdict may use, it is not held back below 5 comparisons: odds of 1 or 2 pairs need some
    noise, and few degrees of freedom say how little is known of it.

    >>> pool_noise([4.0], [9])
    Noise(d0=4.0, variance=4.0)
    """
    usable = [(s2, df) for s2, df in zip(variances, dfs, strict=True) if s2 > 0 and df >= 1]
    if not usable:
        return None
    if len(usable) == 1:
        return Noise(d0=min(usable[0][1], ONE_PAST_DF), variance=usable[0][0])
    fitted = fit_noise([s2 for s2, _ in usable], [df for _, df in usable])
    known = min(fitted.d0, sum(df for _, df in usable), MOST_NOISE_DF)
    return Noise(d0=max(known, 1.0), variance=fitted.variance)


def measure(pairs: Pairs, noise: Noise | None = None, seed_sd: float | None = None) -> Measured | None:
    """Return what pairs say, with the noise of the project where there is some; None where nobody knows the noise.

    Where the pairs are noisier than the project's past (above the .90 quantile of F), they alone count.

    Args:
        pairs: so far; one is enough where noise is known.
        noise: as `pool_noise` gives it.
        seed_sd: standard deviation of one run in the project; from these pairs, or from the noise, if None.
    """
    n, squares = pairs.n, pairs.sum_of_squares
    contradicted = noise is not None and n > 1 and _is_contradicted(squares, n, noise)
    if noise is None or contradicted:
        if n < 2:
            return None
        variance, df = (COLD_DF * 2 * pairs.arm_variance + squares) / (COLD_DF + n - 1), float(COLD_DF + n - 1)
    else:
        variance, df = (noise.d0 * noise.variance + squares) / (noise.d0 + n - 1), noise.d0 + n - 1
    variance = max(variance, pairs.step**2)
    unit = seed_sd or (pairs.seed_sd if n > 1 else 0.0) or math.sqrt(variance / 2)
    if not variance or not unit:
        return None
    return Measured(mean=pairs.mean, variance=variance, df=df, n=n, unit=unit)


def _is_contradicted(squares: float, n: int, noise: Noise) -> bool:
    return squares / (n - 1) / noise.variance > float(special.fdtri(n - 1, noise.d0, 0.90))


def weigh(measured: Measured, prior: Prior | None = None) -> Odds:
    """Return the odds that a change helps, what it gains, what a mistake costs, and what to do by expected value.

    Keep it where its expected gain is above what carrying it costs; else drop it. Run more first where the next pair is
    expected to be worth more here, a pair for a pair, than spent on trying another change of the same kind.

    >>> told = weigh(Measured(mean=1.5, variance=2.0, df=20, n=2, unit=1.0))
    >>> told.advice, round(told.helps, 2), round(told.gain, 1)
    ('keep', 0.62, 0.2)
    """
    prior, unit = prior or Prior(), measured.unit
    mean, error = measured.mean / unit, math.sqrt(measured.variance / measured.n) / unit
    grid = _grid(mean, error)
    before = _prior_on(grid, prior)
    after = _posterior(grid, before, mean, error, measured.df)
    below = grid.centres < 0
    helps, gain = min(float(after[~below].sum()), 1.0), float(after @ grid.centres)
    wrong = float(after[below].sum())
    loss = -float(after[below] @ grid.centres[below]) / wrong if wrong > 0 else 0.0
    low, high = _quantiles(grid.centres, after, (0.1, 0.9))
    next_error = math.sqrt(measured.variance) / unit
    worth = _worth_of_a_pair(grid, after, next_error, measured.df)
    elsewhere = _worth_of_a_pair(grid, before, next_error, measured.df)
    advice: Advice = "run more" if worth > elsewhere else "keep" if gain > CARRYING else "drop"
    return Odds(
        helps=helps,
        gain=gain * unit,
        loss=loss * unit,
        low=low * unit,
        high=high * unit,
        sd=math.sqrt(max(float(after @ grid.centres**2) - gain**2, 0.0)) * unit,
        worth=worth * unit,
        advice=advice,
        prior=prior,
        n=measured.n,
    )


def _prior_on(grid: _Grid, prior: Prior) -> FloatArray:
    return np.asarray(np.array([*prior.help, *prior.harm]) @ grid.components, dtype=np.float64)


def _posterior(grid: _Grid, before: FloatArray, mean: float, error: float, df: float) -> FloatArray:
    after = before * np.maximum(_t_density((mean - grid.centres) / error, df), 1e-300)
    return np.asarray(after / after.sum(), dtype=np.float64)


def _quantiles(centres: FloatArray, chances: FloatArray, at: Sequence[float]) -> list[float]:
    reached = np.cumsum(chances) - chances / 2
    return [float(np.interp(share, reached, centres)) for share in at]


def _worth_of_a_pair(grid: _Grid, now: FloatArray, error: float, df: float) -> float:
    """Return what one more pair is expected to gain: how much better the decision after it is than the one now.

    The next difference is predicted from the effects as they are believed now, at `PREDICTED` quantiles of its noise.
    """
    mean = float(now @ grid.centres)
    sd = math.sqrt(max(float(now @ grid.centres**2) - mean**2, 0.0) + error**2)
    seen = mean + sd * np.linspace(-4, 4, PREDICTED)
    likely = _t_density((seen[:, None] - grid.centres) / error, df)  # (seen, effects)
    chances = likely @ now
    means = (likely * now) @ grid.centres / np.maximum(chances, 1e-300)
    after = float(chances @ np.maximum(means - CARRYING, 0.0) / chances.sum())
    return max(after - max(mean - CARRYING, 0.0), 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """What is believed of how well an arm does, in the metric's unit; + is better.

    Attributes:
        mean: of the arm's runs over all seeds.
        variance: of that belief.
    """

    mean: float
    variance: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Met:
    """What the runs of a change tell, held against what is believed of its baseline.

    Attributes:
        measured: the difference, which `weigh` gives the odds of.
        baseline, treatment: what is believed of both arms now.
    """

    measured: Measured
    baseline: Level
    treatment: Level


def meet(baseline: Level, mean: float, n: int, *, noise: float, df: float, unit: float, prior: Prior) -> Met:
    """Hold the runs of a change against what is believed of its baseline, and learn of both.

    The runs that a change was adopted for were lucky, and they are the next baseline's runs. Held against them alone,
    every later change looks bad. So the baseline is believed at what its effect was believed to be, and each further
    change tells of it too: most changes do next to nothing, so their runs are nearly runs of the baseline.

    Args:
        baseline: what is believed of it, its own runs included.
        mean: of the runs with the change, + is better.
        n: how many they are.
        noise: variance of one run.
        df: degrees of freedom of the noise.
        unit: standard deviation of one run over seeds.
        prior: of the effect.

    >>> met = meet(Level(mean=0.5, variance=0.5), 0.1, 2, noise=1.0, df=20, unit=1.0, prior=Prior())
    >>> round(met.baseline.mean, 2), round(met.baseline.variance, 2)
    (0.32, 0.28)
    """
    own, difference = noise / n, mean - baseline.mean
    measured = Measured(mean=difference, variance=(own + baseline.variance) * n, df=df, n=n, unit=unit)
    grid = _grid(difference / unit, math.sqrt(measured.variance / n) / unit)
    before = _prior_on(grid, prior)
    after = _posterior(grid, before, difference / unit, math.sqrt(measured.variance / n) / unit, df)
    effects = grid.centres * unit
    share = baseline.variance / (baseline.variance + own)
    means = baseline.mean + share * (difference - effects)  # of the baseline, were the effect this one
    left = own * share
    return Met(
        measured=measured,
        baseline=_believed(means, after, left),
        treatment=_believed(means + effects, after, left),
    )


def _believed(means: FloatArray, chances: FloatArray, variance: float) -> Level:
    mean = float(chances @ means)
    return Level(mean=mean, variance=variance + max(float(chances @ means**2) - mean**2, 0.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Total:
    """What a stack of changes is expected to gain together, were their effects to add up.

    Attributes:
        gain: the sum of the expected effects.
        low, high: its 80 % interval; the errors are taken as independent.
        raw: the sum of the effects as they were measured: too large, as those that were lucky were kept.
    """

    gain: float
    low: float
    high: float
    raw: float


def add_up(odds: Sequence[Odds], raw: Sequence[float]) -> Total:
    """Add up what the changes of a stack are expected to gain.

    Each effect is the mean of its posterior, which is not biased by having been selected as long as the prior is that
    of all changes that were tried. The sum of the measured effects is (the winner's curse).
    """
    gain, sd = sum(one.gain for one in odds), math.sqrt(sum(one.sd**2 for one in odds))
    return Total(gain=gain, low=gain - 1.2816 * sd, high=gain + 1.2816 * sd, raw=float(sum(raw)))


BANDS: tuple[tuple[float, float], ...] = ((0.0, 0.35), (0.35, 0.65), (0.65, 0.85), (0.85, 1.01))
"""Bands of told chances, by which it is shown how often what was told came true."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """Of the changes that were told chances in a band, how many turned out better."""

    low: float
    high: float
    told: float
    count: int
    better: int


def calibration(told: Sequence[tuple[float, bool]]) -> list[Band]:
    """Show of told chances how often they came true, band by band; bands without any are left out.

    Args:
        told: of each change the chance that it helps as it was told, and whether its final effect was above 0.

    >>> [(band.count, band.better) for band in calibration([(0.8, True), (0.8, False), (0.1, False)])]
    [(1, 0), (2, 1)]
    """
    bands = []
    for low, high in BANDS:
        inside = [(chance, better) for chance, better in told if low <= chance < high]
        if inside:
            mean = sum(chance for chance, _ in inside) / len(inside)
            better = sum(better for _, better in inside)
            bands.append(Band(low=low, high=min(high, 1.0), told=mean, count=len(inside), better=better))
    return bands


def odds_words(helps: float) -> str:
    """Write a chance as odds of small numbers.

    >>> odds_words(0.8), odds_words(0.52), odds_words(0.25), odds_words(0.9999)
    ('4 to 1', 'about even', '1 to 3', 'over 99 to 1')
    """
    if helps >= 0.99 or helps <= 0.01:
        return "over 99 to 1" if helps > 0.5 else "under 1 to 99"
    ratio = helps / (1 - helps)
    if 0.8 < ratio < 1.25:
        return "about even"
    if ratio > 1:
        return f"{ratio:.0f} to 1" if ratio >= 2.5 else _small(ratio)
    return f"1 to {1 / ratio:.0f}" if ratio <= 0.4 else " to ".join(reversed(_small(1 / ratio).split(" to ")))


def _small(ratio: float) -> str:
    return min(("3 to 2", "2 to 1"), key=lambda text: abs(int(text[0]) / int(text[-1]) - ratio))
