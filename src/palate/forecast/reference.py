"""The reference forecast: what the project's past predicts for a change before any of its runs; pure.

R1 base rate: outcomes of all changes of the project and of this family of changes (Dirichlet; each level is the prior
of the one below). R3 like changes: outcomes of the most similar changes. R5 features: ridge logistic regression on what
is changed, in which direction and how far. R0, the reference forecast, is their mixture, weighted by how well they
predicted the project's past questions, each prediction as it was sealed at the time. R2 and R4 need a curve: see
`early`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from palate.forecast.chances import OUTCOMES, Chances, Member, Reference, mixed, normalised
from palate.forecast.density import SHAPE
from palate.forecast.features import Features, fit_ridge

FloatArray = npt.NDArray[np.float64]
BLIND: tuple[Member, ...] = ("base rate", "like changes", "features")
"""The members that need no run of the treatment."""

PRIOR_COUNTS = {"worse": 0.93, "same": 0.93, "better": 0.93, "crash": 0.21}
"""Dirichlet prior of the project's outcomes: three pseudo-counts, equal but for a crash, which has 7 %."""

PRIOR_WORTH = 3.0
"""Pseudo-counts of the prior that each level gives to the one below it."""

NEAREST, SHOWN = 7, 3
"""Similar changes that count, and how many of them are named."""

FEATURES_FROM = 8
"""Past outcomes below which the member "features" is the base rate."""

ROUNDS = 60
"""Iterations of expectation-maximisation."""

PRIOR_OUTCOMES = 2.0
"""Pseudo-counts of the prior weights of members."""

UNITS = np.exp2(np.linspace(-2, 2, 17))
"""Candidates for the width of effects, relative to `SHAPE`."""

UNIT_DOUBT = 0.7
"""Prior standard deviation of the logarithm of the width of effects."""

PastPrediction = tuple[Mapping[Member, Chances], Sequence[float]]
"""What the members predicted for a change, and the likelihood of its outcomes (`Case.likelihood`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A past change and its outcome.

    Attributes:
        name: the experiment.
        family: from `family_of`.
        features: from `features_of`.
        likelihood: likelihood of the observations if the change is worse, the same, better, a crash; up to a factor.
            Settled outcomes are certain. Open ones count too: where budgets are too small to settle on "the same",
            leaving them out would bias the base rate against "the same".
    """

    name: str
    family: str
    features: Features
    likelihood: tuple[float, float, float, float]

    @property
    def settled(self) -> bool:
        """Whether the outcome is certain."""
        return max(self.likelihood) == sum(self.likelihood)


def sure_of(outcome: str) -> tuple[float, float, float, float]:
    """Return the likelihood of an outcome that is settled.

    >>> sure_of("same")
    (0.0, 1.0, 0.0, 0.0)
    """
    worse, same, better, crash = (float(name == outcome) for name in OUTCOMES)
    return worse, same, better, crash


def refer(
    family: str,
    features: Features,
    past: Sequence[Case],
    record: Iterable[PastPrediction] = (),
    effects: Sequence[tuple[float, float]] = (),
) -> Reference:
    """Return the reference forecast for a change.

    Args:
        family: of the change.
        features: of the change.
        past: changes with any observation, oldest first.
        record: what the members predicted for past changes, with their outcomes.
        effects: past effects and their standard errors, in seed standard deviations.
    """
    rates = base_rate([case.likelihood for case in past])
    outcomes = posteriors([case.likelihood for case in past], rates)
    like = _most_like(features, past)
    members: dict[Member, Chances] = {
        "base rate": _smoothed(outcomes[[case.family == family for case in past]].sum(axis=0), rates),
        "like changes": _like_rate(like, outcomes, rates),
        "features": _feature_rate(features, past, outcomes, rates),
    }
    weights = weigh(dict.fromkeys(BLIND, 1 / len(BLIND)), record)
    nearest = [past[place].name for likeness, place in like if likeness > 0 and past[place].settled]
    return Reference(
        chances=mixed((weights[name], members[name]) for name in members),
        unit=effect_unit(effects),
        members=members,
        weights=weights,
        nearest=tuple(nearest[:SHOWN]),
        outcomes=len(past),
    )


def base_rate(likelihoods: Sequence[Sequence[float]]) -> Chances:
    """Return the rates of the outcomes by maximum likelihood, smoothed by a Dirichlet prior of three pseudo-counts.

    Args:
        likelihoods: `Case.likelihood` of each past change.

    >>> print(base_rate([sure_of("better")] * 7))
    worse 9%  same 9%  better 79%  crash 2%
    """
    rates = normalised(PRIOR_COUNTS)
    for _ in range(ROUNDS if len(likelihoods) else 0):
        rates = _smoothed(posteriors(likelihoods, rates).sum(axis=0), normalised(PRIOR_COUNTS))
    return rates


def posteriors(likelihoods: Sequence[Sequence[float]], rates: Chances) -> FloatArray:
    """Return (n, 4) posterior probabilities of the outcomes, with the rates as prior."""
    table = np.asarray(likelihoods, dtype=np.float64).reshape(-1, len(OUTCOMES)) * list(rates.by_name.values())
    chances: FloatArray = table / table.sum(axis=1, keepdims=True)
    return chances


def weigh(prior: Mapping[Member, float], record: Iterable[PastPrediction]) -> dict[Member, float]:
    """Return the weights of the members: the mean of their posterior by Bayes' rule and of stacking weights.

    The posterior tends to the best member alone, and loses at most log2(1 / prior) bits to it in total. Stacking (Yao
    and others 2018) can predict better than every member where they use different information, and is a little worse
    than the best one where they do not. The mean of both has neither fault (docs/design/008).
    """
    members = tuple(prior)
    start = np.array(list(prior.values()))
    start = start / start.sum()
    rows = [
        [sum(c * p for c, p in zip(chances[m].by_name.values(), likelihood, strict=True)) for m in members]
        for chances, likelihood in record
        if all(m in chances for m in members)
    ]
    if not rows:
        return dict(zip(members, start.tolist(), strict=True))
    table = np.array(rows)
    weights = (_bayes(start, table) + _stacked(start, table)) / 2
    return dict(zip(members, weights.tolist(), strict=True))


def _bayes(start: FloatArray, table: FloatArray) -> FloatArray:
    logs = np.log(start) + np.log(table).sum(axis=0)
    raised = np.exp(logs - logs.max())
    weights: FloatArray = raised / raised.sum()
    return weights


def _stacked(start: FloatArray, table: FloatArray) -> FloatArray:
    """Maximise the mixture's posterior by expectation-maximisation; the prior is worth two outcomes."""
    weights = start
    for _ in range(ROUNDS):
        shares = weights * table
        shares /= shares.sum(axis=1, keepdims=True)
        weights = (shares.sum(axis=0) + PRIOR_OUTCOMES * start) / (len(table) + PRIOR_OUTCOMES)
    return weights


def effect_unit(effects: Sequence[tuple[float, float]]) -> float:
    """Return the width of effects relative to `SHAPE`: exp of the posterior mean of its logarithm.

    The prior has median 1, so that a single effect changes the width only a little.

    Args:
        effects: differences and their standard errors, in seed standard deviations of one run.
    """
    if not effects:
        return 1.0
    differences, errors = np.array(effects, dtype=np.float64).T
    weights, widths = np.array(SHAPE).T
    spread = np.hypot(UNITS[:, None, None] * widths, errors[None, :, None])
    density = (weights * np.exp(-0.5 * (differences[None, :, None] / spread) ** 2) / spread).sum(axis=2)
    logs = np.log(density + 1e-300).sum(axis=1) - 0.5 * (np.log(UNITS) / UNIT_DOUBT) ** 2
    posterior = np.exp(logs - logs.max())
    return float(np.exp((posterior * np.log(UNITS)).sum() / posterior.sum()))


def _smoothed(counts: FloatArray, rates: Chances) -> Chances:
    """Smooth (4,) counts with a Dirichlet prior: the rates, worth three outcomes."""
    prior = rates.by_name
    return normalised({name: float(n) + PRIOR_WORTH * prior[name] for name, n in zip(OUTCOMES, counts, strict=True)})


def _most_like(features: Features, past: Sequence[Case]) -> list[tuple[float, int]]:
    """Return (likeness, index) of every past change, the most similar first; of equal ones the newest first."""
    scored = [(_likeness(features, case.features), place) for place, case in enumerate(past)]
    return sorted(scored, reverse=True)


def _likeness(one: Features, other: Features) -> float:
    """Return the weighted Jaccard index of two changes: features in both, divided by features in either."""
    both = sum(min(value, other[name]) for name, value in one.items() if name in other)
    either = sum(one.values()) + sum(other.values()) - both
    return both / either if either else 0.0


def _like_rate(like: Sequence[tuple[float, int]], outcomes: FloatArray, rates: Chances) -> Chances:
    counts = np.zeros(len(OUTCOMES))
    for likeness, place in like[:NEAREST]:
        counts += likeness * outcomes[place]
    return _smoothed(counts, rates)


def _feature_rate(features: Features, past: Sequence[Case], outcomes: FloatArray, rates: Chances) -> Chances:
    if len(past) < FEATURES_FROM:
        return rates
    offset = np.array(list(rates.by_name.values()))
    fitted = fit_ridge([case.features for case in past], outcomes, offset).chances(features)
    return normalised(dict(zip(OUTCOMES, fitted.tolist(), strict=True)))
