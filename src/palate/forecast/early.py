"""The one to beat once some of the treatment's curve is seen: references that look at it too; pure.

What a curve says of the end (`endings`) is a measurement of the effect with an error; the base rates are what was known
before it. R2, R3 and R4 are what Bayes' rule makes of both. R0 believes curves the more, the more of one is seen, and
then as far as they foretold the project's past.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from palate.forecast.chances import CLASSES, Chances, Member, Reference, mixed, normalised
from palate.forecast.curves import Curve, FloatArray
from palate.forecast.density import Cells, Scale, class_densities
from palate.forecast.endings import Endings, guesses_of
from palate.forecast.reference import Told, weigh

EARLY: tuple[Member, ...] = ("persistence", "neighbours", "power law")
MOST_GAP = 4.0
ODD, ODD_ERROR = 0.2, 4.0
"""A fifth of what curves say is off by four times as much: some runs end as no past run did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """What a curve says of the effect: the difference (+ is better), its standard error, and how far it is believed."""

    difference: float
    error: float
    weight: float


def gap_now(mine: Curve, base: Sequence[Curve], sign: int) -> float:
    """Give the difference to the baseline's mean where the treatment's curve is now, + is better.

    Args:
        mine: the treatment's curve as far as it is seen.
        base: curves of the baseline that reach as far.
        sign: +1 where higher is better, -1 where lower is.
    """
    there = [np.interp(mine.steps[-1], curve.steps, curve.values) for curve in base]
    return sign * (float(mine.values[-1]) - float(np.mean(there)))


def gaps_of(endings: Endings, mine: Curve, base: Sequence[Curve], sign: int) -> dict[Member, Gap]:
    """Give what each member says of the final difference, with the error that it makes on past runs.

    Args:
        endings: fitted on past runs, at the share that is seen.
        mine: the treatment's curve as far as it is seen.
        base: curves of the baseline that reach as far, ended or not.
        sign: +1 where higher is better, -1 where lower is.
    """
    guesses = guesses_of(endings.past, mine, without=mine.family or None)
    ended = [curve.values[-1] for curve in base if curve.share >= 1]
    several = math.sqrt(1 + 1 / len(base))
    spread = _spread(endings.past.ends - endings.past.now) or endings.scales["persistence"]
    told = {"persistence": (gap_now(mine, base, sign), spread)}
    for member in EARLY[1:]:
        seen = [guesses_of(endings.past, curve.until(mine.share))[member] for curve in base] if not ended else []
        away = np.mean(ended or seen)
        told[member] = (sign * float(guesses[member] - away), endings.scales[member])
    return {
        member: Gap(difference=told[member][0], error=told[member][1] * several, weight=endings.weights[member])
        for member in EARLY
    }


def _spread(gains: FloatArray) -> float:
    """Give how much gains vary, robustly: the median absolute deviation as a standard deviation of one more gain.

    A few values lie closer to their own median than one more will: n / (n - .8) is the correction of Croux and
    Rousseeuw 1992 (COMPSTAT), sqrt(1 + 1/n) is for the one more.
    """
    n = len(gains)
    deviation = 1.4826 * float(np.median(np.abs(gains - np.median(gains))))
    return deviation * n / (n - 0.8) * math.sqrt(1 + 1 / n)


def gap_features(gap: float) -> dict[str, float]:
    """Give an early gap, in seed standard deviations, as features: ahead or behind, by 4 at most."""
    return {
        "ahead": round(min(max(gap, 0.0), MOST_GAP) / MOST_GAP, 6),
        "behind": round(min(max(-gap, 0.0), MOST_GAP) / MOST_GAP, 6),
    }


def refer_early(
    blind: Reference,
    gaps: Mapping[Member, Gap],
    scale: Scale,
    share: float,
    told: Iterable[Told] = (),
) -> Reference:
    """Give the reference forecast once a share of the treatment's curve is seen.

    Args:
        blind: the reference from the project's past; its features may know the early gap.
        gaps: what the curve says of the effect, by member.
        scale: margin, seed sd and width of effects.
        share: how much of the budget is seen, 0 to 1.
        told: what the members foretold of past changes at such a share, with what came of them.
    """
    rates = blind.members["base rate"]
    alive = normalised({**{name: rates.of(name) for name in CLASSES}, "crash": rates.crash * (1 - share)})
    members = {**blind.members, **{member: _updated(alive, gap, scale) for member, gap in gaps.items()}}
    believed = sum(gap.weight for gap in gaps.values())
    prior = {
        **{member: (1 - share) * weight for member, weight in blind.weights.items()},
        **{member: share * gap.weight / believed for member, gap in gaps.items()},
    }
    weights = weigh(prior, told)
    return replace(blind, chances=mixed((weights[m], members[m]) for m in members), members=members, weights=weights)


def _updated(rates: Chances, gap: Gap, scale: Scale) -> Chances:
    at, errors = np.full(2, gap.difference), gap.error * np.array([1.0, ODD_ERROR])
    density = np.array([1 - ODD, ODD]) @ class_densities(Cells([scale] * 2), at, errors)
    held = {name: rates.of(name) * float(weight) for name, weight in zip(CLASSES, density, strict=True)}
    kept = (1 - rates.crash) / sum(held.values())
    return normalised({**{name: value * kept for name, value in held.items()}, "crash": rates.crash})
