"""The reference forecast once a part of the treatment's curve is observed; pure.

The end that a member predicts from the curve (`endings`) is a measurement of the effect with an error, and the base
rates are the prior: persistence and neighbours are the posteriors by Bayes' rule. Like changes are now those whose
curves were as far ahead or behind. In the mixture R0, the prior weight of the members that know the curve grows with
its observed share; it is then updated by how well they predicted the project's past changes.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from palate.forecast.chances import CLASSES, Chances, Member, Reference, mixed, normalised
from palate.forecast.curves import FloatArray, PastCurve
from palate.forecast.density import Cells, Scale, class_densities
from palate.forecast.endings import Endings, guesses_of
from palate.forecast.mixing import PastPrediction, Point, weigh

EARLY: tuple[Member, ...] = ("persistence", "neighbours")
LIKE: Member = "like changes"
"""The member of before that knows the curve too, by its gap."""

LIKE_SHARE = 0.4
"""What it has of the prior weight of those that know the curve; persistence and neighbours share the rest as they have
foretold ends."""

CURVE_SHARE, FROM_START, ALONE = 0.97, 0.5, 0.8
"""Prior weight of those that know the curve when all of it is observed; the part of that from its beginning on; and the
part of it that is of members alone, not in halves."""

MOST_GAP = 4.0
"""Early gaps are clipped to this, in seed standard deviations."""

ODD, ODD_ERROR = 0.2, 4.0
"""Heavy tails of the error: with probability .2 the standard error is 4 times larger, as some runs end unlike all past
ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """An effect predicted from a curve: the difference (+ is better), its standard error, and the member's weight."""

    difference: float
    error: float
    weight: float


def gap_now(mine: PastCurve, base: Sequence[PastCurve], sign: int) -> float:
    """Return the difference to the baseline's mean at the last observed step of the treatment, + is better.

    Args:
        mine: the observed part of the treatment's curve.
        base: curves of the baseline that reach as far.
        sign: +1 where higher is better, -1 where lower is.
    """
    values = [np.interp(mine.steps[-1], curve.steps, curve.values) for curve in base]
    return sign * (float(mine.values[-1]) - float(np.mean(values)))


def gaps_of(endings: Endings, mine: PastCurve, base: Sequence[PastCurve], sign: int) -> dict[Member, Gap]:
    """Return the final difference that each member predicts, with its error on past runs.

    Args:
        endings: fitted on past runs, at the observed share.
        mine: the observed part of the treatment's curve.
        base: curves of the baseline that reach as far, ended or not.
        sign: +1 where higher is better, -1 where lower is.
    """
    guesses = guesses_of(endings.past, mine, without=mine.family or None)
    ended = [curve.values[-1] for curve in base if curve.share >= 1]
    inflation = math.sqrt(1 + 1 / len(base))  # the error of a difference to a mean of several runs
    spread = _spread(endings.past.ends - endings.past.now) or endings.scales["persistence"]
    predicted: dict[Member, tuple[float, float]] = {"persistence": (gap_now(mine, base, sign), spread)}
    for member in EARLY[1:]:
        ends = ended or [guesses_of(endings.past, curve.until(mine.share))[member] for curve in base]
        predicted[member] = (sign * float(guesses[member] - np.mean(ends)), endings.scales[member])
    return {
        member: Gap(difference=difference, error=error * inflation, weight=endings.weights[member])
        for member, (difference, error) in predicted.items()
    }


def _spread(gains: FloatArray) -> float:
    """Return the standard deviation with which a new gain varies around the median of n gains, estimated robustly.

    It is 1.4826 times the median absolute deviation, which is too small for few gains: n / (n - .8) is the correction
    of Croux and Rousseeuw 1992 (COMPSTAT), and sqrt(1 + 1/n) adds the error of the median itself.
    """
    n = len(gains)
    deviation = 1.4826 * float(np.median(np.abs(gains - np.median(gains))))
    return deviation * n / (n - 0.8) * math.sqrt(1 + 1 / n)


def gap_features(gap: float) -> dict[str, float]:
    """Return an early gap, in seed standard deviations, as two features between 0 and 1: ahead and behind."""
    return {
        "ahead": round(min(max(gap, 0.0), MOST_GAP) / MOST_GAP, 6),
        "behind": round(min(max(-gap, 0.0), MOST_GAP) / MOST_GAP, 6),
    }


def refer_early(
    blind: Reference,
    gaps: Mapping[Member, Gap],
    scale: Scale,
    share: float,
    record: Iterable[PastPrediction] = (),
) -> Reference:
    """Return the reference forecast once a share of the treatment's curve is observed.

    Args:
        blind: the reference from the project's past; its features may include the early gap.
        gaps: the effects predicted from the curve, by member.
        scale: margin, seed standard deviation and width of effects.
        share: observed share of the budget, 0 to 1.
        record: what the members predicted for past changes at such a share, with their outcomes.
    """
    rates = blind.members["base rate"]
    alive = normalised({**{name: rates.of(name) for name in CLASSES}, "crash": rates.crash * (1 - share)})
    members = {**blind.members, **{member: _updated(alive, gap, scale) for member, gap in gaps.items()}}
    weights = weigh(early_points(blind.weights, gaps, share), record)
    return replace(blind, chances=mixed((weights[m], members[m]) for m in members), members=members, weights=weights)


def early_points(blind: Mapping[Member, float], gaps: Mapping[Member, Gap], share: float) -> list[Point]:
    """Return the mixtures that R0 is mixed of once a share of the curve is observed.

    One is the reference of before. The others know the curve, alone and half and half, since what past changes came to
    that were as far ahead, and what this curve will gain, are different things to know.
    """
    total = sum(gap.weight for gap in gaps.values())
    told: dict[Member, float] = {LIKE: LIKE_SHARE}
    told |= {member: (1 - LIKE_SHARE) * gap.weight / total for member, gap in gaps.items()}
    known = CURVE_SHARE * (FROM_START + (1 - FROM_START) * share)
    points = [Point(1 - known, blind)]
    for member, weight in told.items():
        halved = {name: 0.5 * part for name, part in blind.items()}
        halved[member] = halved.get(member, 0.0) + 0.5
        halves = [halved] if member == LIKE else [halved, {member: 0.5, LIKE: 0.5}]
        points.append(Point(known * weight * ALONE, {member: 1.0}))
        points += [Point(known * weight * (1 - ALONE) / len(halves), mixture) for mixture in halves]
    return points


def _updated(rates: Chances, gap: Gap, scale: Scale) -> Chances:
    """Return the posterior of the outcomes, given that the effect was measured as `gap`."""
    at, errors = np.full(2, gap.difference), gap.error * np.array([1.0, ODD_ERROR])
    density = np.array([1 - ODD, ODD]) @ class_densities(Cells([scale] * 2), at, errors)
    joint = {name: rates.of(name) * float(weight) for name, weight in zip(CLASSES, density, strict=True)}
    factor = (1 - rates.crash) / sum(joint.values())
    return normalised({**{name: value * factor for name, value in joint.items()}, "crash": rates.crash})
