"""The reference forecast: what the project's past predicts for a change before any of its runs; pure.

A guess: a third each. Base rate: outcomes of all changes of the project. Settings: outcomes of changes of the same
settings, those the other way mirrored, with what practice says of such a change. Like changes: outcomes of the changes
that have most in common with it. R0, the reference forecast, mixes them by how well they predicted the project's past
questions, each prediction as it was sealed at the time (`mixing`).

The law that this is built for: over any questions, R0's total is at most log2(1 / SAFE["base rate"]) bits, 1.3,
below that of the project's plain base rate, and at most log2(1 / SAFE["guess"]), 2.3, below a guess of a third each.
Members that need a curve are in `early`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from palate.forecast.chances import OUTCOMES, Chances, Member, Reference, guess_of, mixed, normalised
from palate.forecast.density import SHAPE
from palate.forecast.features import Features, Move, likeness, speaks_of
from palate.forecast.mixing import PastPrediction, Point, weigh
from palate.forecast.practice import any_change, pseudo_outcomes

FloatArray = npt.NDArray[np.float64]
BLIND: tuple[Member, ...] = ("guess", "base rate", "settings", "like changes")
"""The members that need no run of the treatment."""

SAFE: dict[Member, float] = {"guess": 0.2, "base rate": 0.41}
"""Prior weights of the members that cannot go far wrong. What they have together and apart is a choice between three
losses: to the base rate where settings do not matter, to the settings where they do, and to a guess where nothing
does (docs/design/016-opponent.md)."""

BOLD: tuple[tuple[Member, float, float], ...] = (
    ("settings", 1.0, 0.31),
    ("settings", 0.5, 0.02),
    ("like changes", 1.0, 0.03),
    ("like changes", 0.5, 0.03),
)
"""The other points: a member, its share in a mixture with the base rate, and the prior weight of that."""

SETTINGS_WORTH = 1.5
"""Outcomes that base rate and guess, half and half, are worth to "settings": few, as the mixture shrinks it where it
has to be shrunk. A base rate of few outcomes is noise to a setting that goes its own way."""

LIKE_WORTH = 3.0
"""The same for "like changes"."""

NEAREST, SHOWN = 7, 3
"""Similar changes that count, and how many of them are named."""

ROUNDS = 60
"""Iterations of expectation-maximisation at most."""

CLOSE = 1e-9
"""Change of a rate below which they end."""

UNITS = np.exp2(np.linspace(-2, 2, 17))
"""Candidates for the width of effects, relative to `SHAPE`."""

UNIT_DOUBT = 0.7
"""Prior standard deviation of the logarithm of the width of effects."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A past change and its outcome.

    Attributes:
        name: the experiment.
        family: from `family_of`.
        features: from `features_of`.
        moves: from `moves_of`.
        likelihood: likelihood of the observations if the change is worse, the same, better, a crash; up to a factor.
            Settled outcomes are certain. Open ones count too: where budgets are too small to settle on "the same",
            leaving them out would bias the base rate against "the same".
    """

    name: str
    family: str
    features: Features
    likelihood: tuple[float, float, float, float]
    moves: tuple[Move, ...] = ()


def sure_of(outcome: str) -> tuple[float, float, float, float]:
    """Return the likelihood of an outcome that is settled.

    >>> sure_of("same")
    (0.0, 1.0, 0.0, 0.0)
    """
    worse, same, better, crash = (float(name == outcome) for name in OUTCOMES)
    return worse, same, better, crash


def refer(
    features: Features,
    moves: Sequence[Move],
    past: Sequence[Case],
    record: Iterable[PastPrediction] = (),
    effects: Sequence[tuple[float, float]] = (),
) -> Reference:
    """Return the reference forecast for a change.

    Args:
        features: of the change.
        moves: of the change.
        past: changes with any observation, oldest first.
        record: what the members predicted for past changes, with their outcomes.
        effects: past effects and their standard errors, in seed standard deviations.
    """
    rates = base_rate([case.likelihood for case in past])
    outcomes = posteriors([case.likelihood for case in past], rates)
    said = np.array([speaks_of(case.moves, moves) for case in past]).reshape(-1, 2)
    like = _most_like(features, past, said.sum(axis=1))
    members: dict[Member, Chances] = {
        "guess": guess_of(rates),
        "base rate": rates,
        "settings": _settings_rate(moves, said, outcomes, rates),
        "like changes": _like_rate(like, outcomes, rates),
    }
    weights = weigh(blind_points(), record)
    nearest = [past[place].name for spoken, near, place in like if spoken > 0 or near > 0]
    return Reference(
        chances=mixed((weights[name], members[name]) for name in members),
        unit=effect_unit(effects),
        members=members,
        weights=weights,
        nearest=tuple(nearest[:SHOWN]),
        outcomes=len(past),
    )


def blind_points() -> list[Point]:
    """Return the mixtures that R0 is mixed of, before anything is known of how well they predict."""
    safe = [Point(prior, {member: 1.0}) for member, prior in SAFE.items()]
    bold = [Point(prior, {"base rate": 1 - share, member: share}) for member, share, prior in BOLD]
    return safe + bold


def base_rate(likelihoods: Sequence[Sequence[float]]) -> Chances:
    """Return the rates of the outcomes by maximum likelihood, smoothed by what practice says of any change.

    Args:
        likelihoods: `Case.likelihood` of each past change.

    >>> print(base_rate([sure_of("better")] * 7))
    worse 15%  same 12%  better 73%  crash 1%
    """
    prior, worth = any_change().chances, any_change().worth
    rates = prior
    for _ in range(ROUNDS if len(likelihoods) else 0):
        before, rates = rates, _smoothed(posteriors(likelihoods, rates).sum(axis=0), prior, worth)
        if all(abs(rates.of(name) - before.of(name)) < CLOSE for name in OUTCOMES):
            break
    return rates


def posteriors(likelihoods: Sequence[Sequence[float]], rates: Chances) -> FloatArray:
    """Return (n, 4) posterior probabilities of the outcomes, with the rates as prior."""
    table = np.asarray(likelihoods, dtype=np.float64).reshape(-1, len(OUTCOMES)) * list(rates.by_name.values())
    chances: FloatArray = table / table.sum(axis=1, keepdims=True)
    return chances


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


def _smoothed(counts: FloatArray, rates: Chances, worth: float) -> Chances:
    """Smooth (4,) counts with a Dirichlet prior: the rates, worth so many outcomes."""
    prior = rates.by_name
    return normalised({name: float(n) + worth * prior[name] for name, n in zip(OUTCOMES, counts, strict=True)})


def _settings_rate(moves: Sequence[Move], said: FloatArray, outcomes: FloatArray, rates: Chances) -> Chances:
    """Count (n, 4) outcomes by what they say (n, 2) of this change; what is mirrored says nothing of a crash."""
    counts = said[:, 0] @ outcomes
    counts[:3] += said[:, 1] @ outcomes[:, 2::-1]
    known = pseudo_outcomes(moves)
    base = mixed([(0.5, rates), (0.5, guess_of(rates))])
    return _smoothed(counts + [known[name] for name in OUTCOMES], base, SETTINGS_WORTH)


def _most_like(features: Features, past: Sequence[Case], said: FloatArray) -> list[tuple[float, float, int]]:
    """Return (what it says of this one, likeness, index) of every past change, the most similar first.

    Changes of the same settings come before those that are alike in other ways; of equal ones the newest comes first.
    """
    scored = [(float(said[place]), likeness(features, case.features), place) for place, case in enumerate(past)]
    return sorted(scored, reverse=True)


def _like_rate(like: Sequence[tuple[float, float, int]], outcomes: FloatArray, rates: Chances) -> Chances:
    counts = np.zeros(len(OUTCOMES))
    for _, near, place in sorted(like, key=lambda one: one[1:], reverse=True)[:NEAREST]:
        counts += near * outcomes[place]
    return _smoothed(counts, rates, LIKE_WORTH)
