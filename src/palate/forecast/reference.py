"""The one to beat: what the project's own past says of a change, before anything of it is run; pure.

R1 base rate: how changes went here, and changes of this family (Dirichlet, each level smoothed by the one above).
R3 like changes: how the changes most like this one went. R5 features: ridge logistic regression on what is changed,
which way and how far. R0 is their mixture, weighted by what they foretold of the project's past questions, each as it
was sealed then. R2 and R4 need a curve: see `early`.
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
"""The members that need nothing of the treatment."""

PRIOR_COUNTS = {"worse": 0.93, "same": 0.93, "better": 0.93, "crash": 0.21}
"""Three imagined past outcomes, spread evenly, with one crash in fourteen or so."""

LENT = 3.0
"""Outcomes that a level lends to the one below it."""

NEAREST, SHOWN = 7, 3
FEATURES_FROM = 8
"""Past outcomes below which features say no more than the base rate."""

ROUNDS = 60
"""Of expectation-maximisation."""

PRIOR_OUTCOMES = 2.0
"""Past outcomes that the prior weights of members are worth."""

UNITS = np.exp2(np.linspace(-2, 2, 17))
UNIT_DOUBT = 0.7
"""Standard deviation of the logarithm of the width of effects, before any are known."""


Told = tuple[Mapping[Member, Chances], Sequence[float]]
"""What members foretold of a change, and what came of it: see `Case.likelihood`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A change of the past and how it went.

    Attributes:
        name: the experiment.
        family: as `family_of` names it.
        features: as `features_of` gives them.
        likelihood: how probable what was seen is if it was worse, the same, better, a crash; up to a factor. Settled
            outcomes are certain. Those that stayed open count too: leaving them out would teach that nothing is ever
            "the same", where a budget is too small to say so.
    """

    name: str
    family: str
    features: Features
    likelihood: tuple[float, float, float, float]

    @property
    def settled(self) -> bool:
        """Whether it is known how it went."""
        return max(self.likelihood) == sum(self.likelihood)


def sure_of(outcome: str) -> tuple[float, float, float, float]:
    """Give the likelihood of an outcome that is settled.

    >>> sure_of("same")
    (0.0, 1.0, 0.0, 0.0)
    """
    worse, same, better, crash = (float(name == outcome) for name in OUTCOMES)
    return worse, same, better, crash


def refer(
    family: str,
    features: Features,
    past: Sequence[Case],
    told: Iterable[Told] = (),
    effects: Sequence[tuple[float, float]] = (),
) -> Reference:
    """Give the reference forecast for a change.

    Args:
        family: of the change.
        features: of the change.
        past: changes of which something was seen, oldest first.
        told: what the members foretold of past changes, with what came of them.
        effects: past effects and their standard errors, in seed standard deviations.
    """
    rates = base_rate([case.likelihood for case in past])
    outcomes = posteriors([case.likelihood for case in past], rates)
    like = _most_like(features, past)
    members: dict[Member, Chances] = {
        "base rate": _lent(outcomes[[case.family == family for case in past]].sum(axis=0), rates),
        "like changes": _like_rate(like, outcomes, rates),
        "features": _feature_rate(features, past, outcomes, rates),
    }
    weights = weigh(dict.fromkeys(BLIND, 1 / len(BLIND)), told)
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
    """Give the rates that find the past most probable, smoothed by three imagined outcomes (Dirichlet).

    Args:
        likelihoods: as of a `Case`, four each.

    >>> print(base_rate([sure_of("better")] * 7))
    worse 9%  same 9%  better 79%  crash 2%
    """
    rates = normalised(PRIOR_COUNTS)
    for _ in range(ROUNDS if len(likelihoods) else 0):
        rates = _lent(posteriors(likelihoods, rates).sum(axis=0), normalised(PRIOR_COUNTS))
    return rates


def posteriors(likelihoods: Sequence[Sequence[float]], rates: Chances) -> FloatArray:
    """Give (n, 4) probabilities of how each went."""
    table = np.asarray(likelihoods, dtype=np.float64).reshape(-1, len(OUTCOMES)) * list(rates.by_name.values())
    told: FloatArray = table / table.sum(axis=1, keepdims=True)
    return told


def weigh(prior: Mapping[Member, float], told: Iterable[Told]) -> dict[Member, float]:
    """Weigh members by what they foretold: half by Bayes' rule, half so that the mixture finds the past most probable.

    Bayes' rule ends with the best member alone, and never loses more than log2(1 / prior) bits to it in all. Stacking
    (Yao and others 2018) can beat every member where they know different things, and loses a little where they do not.
    Half of each has neither fault (docs/design/008).
    """
    members = tuple(prior)
    start = np.array(list(prior.values()))
    start = start / start.sum()
    rows = [
        [sum(c * p for c, p in zip(chances[m].by_name.values(), seen, strict=True)) for m in members]
        for chances, seen in told
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
    told: FloatArray = raised / raised.sum()
    return told


def _stacked(start: FloatArray, table: FloatArray) -> FloatArray:
    """Maximise the mixture's log probability, a prior being worth two outcomes, by expectation-maximisation."""
    weights = start
    for _ in range(ROUNDS):
        shares = weights * table
        shares /= shares.sum(axis=1, keepdims=True)
        weights = (shares.sum(axis=0) + PRIOR_OUTCOMES * start) / (len(table) + PRIOR_OUTCOMES)
    return weights


def effect_unit(effects: Sequence[tuple[float, float]]) -> float:
    """Say how wide effects are, against `SHAPE`: the posterior mean of the logarithm, one effect being little news.

    Args:
        effects: differences and their standard errors, in seed standard deviations of one run.
    """
    if not effects:
        return 1.0
    seen, errors = np.array(effects, dtype=np.float64).T
    weights, widths = np.array(SHAPE).T
    spread = np.hypot(UNITS[:, None, None] * widths, errors[None, :, None])
    density = (weights * np.exp(-0.5 * (seen[None, :, None] / spread) ** 2) / spread).sum(axis=2)
    logs = np.log(density + 1e-300).sum(axis=1) - 0.5 * (np.log(UNITS) / UNIT_DOUBT) ** 2
    belief = np.exp(logs - logs.max())
    return float(np.exp((belief * np.log(UNITS)).sum() / belief.sum()))


def _lent(counts: FloatArray, rates: Chances) -> Chances:
    """Smooth (4,) counts by rates that are worth three outcomes."""
    return normalised({name: float(n) + LENT * rates.of(name) for name, n in zip(OUTCOMES, counts, strict=True)})


def _most_like(features: Features, past: Sequence[Case]) -> list[tuple[float, int]]:
    """Give the places of past changes with their likeness, the most alike first and of these the newest."""
    scored = [(_likeness(features, case.features), place) for place, case in enumerate(past)]
    return sorted(scored, reverse=True)


def _likeness(one: Features, other: Features) -> float:
    """Give what both have over what either has (weighted Jaccard)."""
    both = sum(min(value, other[name]) for name, value in one.items() if name in other)
    either = sum(one.values()) + sum(other.values()) - both
    return both / either if either else 0.0


def _like_rate(like: Sequence[tuple[float, int]], outcomes: FloatArray, rates: Chances) -> Chances:
    counts = np.zeros(len(OUTCOMES))
    for likeness, place in like[:NEAREST]:
        counts += likeness * outcomes[place]
    return _lent(counts, rates)


def _feature_rate(features: Features, past: Sequence[Case], outcomes: FloatArray, rates: Chances) -> Chances:
    if len(past) < FEATURES_FROM:
        return rates
    offset = np.array(list(rates.by_name.values()))
    fitted = fit_ridge([case.features for case in past], outcomes, offset).chances(features)
    return normalised(dict(zip(OUTCOMES, fitted.tolist(), strict=True)))
