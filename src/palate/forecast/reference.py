"""The one to beat: what the project's own past says of a change, before anything of it is run; pure.

R1 base rate: how changes went here, and changes of this family (Dirichlet, each level smoothed by the one above).
R3 like changes: how the changes most like this one went. R5 features: ridge logistic regression on what is changed,
which way and how far. R0 is their mixture, weighted by what they foretold of the project's past questions, each as it
was sealed then. R2 and R4 need a curve: see `early`.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from palate.forecast.chances import OUTCOMES, Chances, Member, Reference, mixed, normalised
from palate.forecast.density import SHAPE
from palate.forecast.features import Features
from palate.forecast.ridge import fit_ridge

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

STACKING = 60
PRIOR_OUTCOMES = 2.0
"""Past outcomes that the prior weights of members are worth."""

UNITS = np.exp2(np.linspace(-2, 2, 17))
UNIT_DOUBT = 0.7
"""Standard deviation of the logarithm of the width of effects, before any are known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A change of the past and how it went.

    Attributes:
        name: the experiment.
        family: as `family_of` names it.
        features: as `features_of` gives them.
        outcome: worse, same, better or crash; None where it was never settled.
    """

    name: str
    family: str
    features: Features
    outcome: str | None


def refer(
    family: str,
    features: Features,
    past: Sequence[Case],
    told: Iterable[tuple[Mapping[Member, Chances], str]] = (),
    effects: Sequence[tuple[float, float]] = (),
) -> Reference:
    """Give the reference forecast for a change.

    Args:
        family: of the change.
        features: of the change.
        past: changes that were asked about before it.
        told: what the members foretold of past changes, with how those went.
        effects: past effects and their standard errors, in seed standard deviations.
    """
    settled = [case for case in past if case.outcome is not None]
    rates = base_rate(Counter(case.outcome for case in settled if case.outcome))
    like = _most_like(features, settled)
    members: dict[Member, Chances] = {
        "base rate": _family_rate(family, settled, rates),
        "like changes": _like_rate(like, rates),
        "features": _feature_rate(features, settled, rates),
    }
    weights = weigh(dict.fromkeys(BLIND, 1 / len(BLIND)), told)
    return Reference(
        chances=mixed((weights[name], members[name]) for name in members),
        unit=effect_unit(effects),
        members=members,
        weights=weights,
        nearest=tuple(case.name for likeness, case in like[:SHOWN] if likeness > 0),
        outcomes=len(settled),
    )


def base_rate(counts: Mapping[str, int]) -> Chances:
    """Give the rates of past outcomes, smoothed by three imagined ones (Dirichlet).

    >>> print(base_rate({"better": 7}))
    worse 9%  same 9%  better 79%  crash 2%
    """
    return normalised({name: counts.get(name, 0) + prior for name, prior in PRIOR_COUNTS.items()})


def weigh(prior: Mapping[Member, float], told: Iterable[tuple[Mapping[Member, Chances], str]]) -> dict[Member, float]:
    """Weigh members by what they foretold: half by Bayes' rule, half so that the mixture finds the past most probable.

    Bayes' rule ends with the best member alone, and never loses more than log2(1 / prior) bits to it in all. Stacking
    (Yao and others 2018) can beat every member where they know different things, and loses a little where they do not.
    Half of each has neither fault (docs/design/008).
    """
    members = tuple(prior)
    start = np.array(list(prior.values()))
    start = start / start.sum()
    rows = [
        [chances[m].of(outcome) for m in members] for chances, outcome in told if all(m in chances for m in members)
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
    for _ in range(STACKING):
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


def _family_rate(family: str, settled: Sequence[Case], rates: Chances) -> Chances:
    return _lent(Counter(case.outcome for case in settled if case.family == family), rates)


def _lent(counts: Mapping[str | None, float], rates: Chances) -> Chances:
    return normalised({name: counts.get(name, 0) + LENT * rates.of(name) for name in OUTCOMES})


def _most_like(features: Features, settled: Sequence[Case]) -> list[tuple[float, Case]]:
    """Give past changes with their likeness, the most alike first and of these the newest."""
    if not settled:
        return []
    newest = settled[::-1]
    scored = zip(_likeness(features, [case.features for case in newest]), newest, strict=True)
    return sorted(scored, key=lambda pair: -pair[0])


def _likeness(features: Features, others: Sequence[Features]) -> list[float]:
    """Give, for each, what both have over what either has (weighted Jaccard)."""
    told = []
    for other in others:
        both = sum(min(value, other[name]) for name, value in features.items() if name in other)
        told.append(both / (sum(features.values()) + sum(other.values()) - both))
    return told


def _like_rate(like: Sequence[tuple[float, Case]], rates: Chances) -> Chances:
    counts: dict[str | None, float] = {}
    for likeness, case in like[:NEAREST]:
        counts[case.outcome] = counts.get(case.outcome, 0.0) + likeness
    return _lent(counts, rates)


def _feature_rate(features: Features, settled: Sequence[Case], rates: Chances) -> Chances:
    if len(settled) < FEATURES_FROM:
        return rates
    classes: npt.NDArray[np.intp] = np.array([OUTCOMES.index(case.outcome or "") for case in settled])
    offset = np.array([rates.of(name) for name in OUTCOMES])
    fitted = fit_ridge([case.features for case in settled], classes, offset).chances(features)
    return normalised(dict(zip(OUTCOMES, fitted.tolist(), strict=True)))
