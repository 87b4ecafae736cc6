"""What a verdict assumes of the noise, checked on its runs: groups, bad seeds, skew, spread, order; pure.

A mean over few runs is a good summary where both arms scatter alike. Where one arm has seeds far off the rest, or a
long tail, the mean is ruled by runs that may not have been seen yet. Then the verdict is on the typical run: the median
of the differences, by the sign test with a boundary of its own (`sign_boundary`), which needs no shape at all.

Each limit was simulated so that of normal noise fewer than 1 look in 100 is called anything. They are for 4 pairs and
more; below, no shape can be seen.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cache
from itertools import pairwise
from typing import Any, ClassVar, Literal, Protocol, TypeVar

from palate.verdict.boundary import VERDICT_LEVEL
from palate.verdict.pairs import Pairs

About = Literal["mean", "typical"]
"""What a verdict is on: the mean over seeds, or the median difference."""

SEEN_FROM = 4
"""Pairs from which a shape can be seen at all."""


class Judged(Protocol):
    """What is read of a verdict, which knows of shapes, so that shapes do not know of it."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def kind(self) -> str:
        """What it says."""

    @property
    def n(self) -> int:
        """Pairs."""

    @property
    def budget(self) -> int:
        """Pairs at most."""

    @property
    def raw(self) -> float | None:
        """Mean difference."""

    @property
    def low(self) -> float | None:
        """Lower end of its interval."""

    @property
    def high(self) -> float | None:
        """Upper end."""

    @property
    def margin(self) -> float | None:
        """Smallest difference that matters."""

    @property
    def spread(self) -> float | None:
        """Standard deviation of a difference."""


AVerdict = TypeVar("AVerdict", bound=Judged)

TOO_FAR_APART = 7.0
"""Mean differences beyond so many seed standard deviations wait for 4 pairs where no noise is known. Of runs that fall
into two groups, 2 pairs lie like that by luck 1 time in 8, 4 pairs 1 time in 128."""

LOPSIDED = 10.0
"""Ratio of the arms' standard deviations beyond which 2 or 3 pairs wait too: of equal arms, 1 in 8 starts so."""

GROUP_SHARE = 0.25
"""Share of an arm's runs up to which those far off the rest are odd ones, not a group."""

LEAST_GROUP = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What was found in the noise; what is empty was looked for and not found.

    Attributes:
        low: runs far worse than the rest of their arm: of the baseline, of the treatment.
        high: runs far better than the rest of their arm, likewise.
        skewed: the arm with a long tail that the other does not have: "", "baseline" or "treatment".
        groups: sizes of two groups that runs fall into: worse and better ones of the baseline, then of the treatment;
            empty where there are none.
        spread_ratio: how many times wider the treatment scatters; 0 where both arms scatter about alike.
        dependence: correlation of differences of successive seeds; 0 where none was found.
        waits: whether fewer than 4 pairs do not tell an effect from runs in two groups, or from one arm that scatters
            far more.
    """

    low: tuple[int, int] = (0, 0)
    high: tuple[int, int] = (0, 0)
    skewed: str = ""
    groups: tuple[int, ...] = ()
    spread_ratio: float = 0.0
    dependence: float = 0.0
    waits: bool = False

    def __post_init__(self) -> None:  # as read from a record, where tuples are lists
        for name in ("low", "high", "groups"):
            object.__setattr__(self, name, tuple(getattr(self, name)))

    @property
    def uneven(self) -> bool:
        """Whether one arm's mean is ruled by few of its runs and the other's is not."""
        return bool(self.skewed) or self.low[0] != self.low[1] or self.high[0] != self.high[1]

    @property
    def plain(self) -> bool:
        """Whether nothing was found."""
        return self == Shape()


PLAIN = Shape()


def shape_of(read: "Shape | Mapping[str, Any]") -> Shape:
    """Return a shape as it is, or as it was written to a record; what a later version wrote of it is left out."""
    if isinstance(read, Shape):
        return read
    return Shape(**{one.name: read[one.name] for one in fields(Shape) if one.name in read})


def look_at_shape(pairs: Pairs) -> Shape:
    """Return what the runs so far show of the noise.

    Args:
        pairs: the pairs so far.
    """
    if pairs.n < SEEN_FROM:
        return PLAIN
    known = pairs.baseline
    arms = (sorted(known.tolist()), sorted(pairs.treatment.tolist()))
    step = pairs.step
    low = (_far(arms[0], arms[1], step), _far(arms[1], arms[0], step))
    turned = tuple([-x for x in reversed(arm)] for arm in arms)
    high = (_far(turned[0], turned[1], step), _far(turned[1], turned[0], step))
    groups = _groups(arms, step)
    odd = any((*low, *high)) or groups
    return Shape(
        low=low,
        high=high,
        skewed="" if odd else _skewed(arms),
        groups=groups,
        spread_ratio=0.0 if odd else _spread_ratio(arms, step),
        dependence=dependence(pairs.differences.tolist()),
    )


def _far(arm: Sequence[float], other: Sequence[float], step: float) -> int:
    """Count the lowest runs of a sorted arm that lie far below the rest of it, by the scatter of all others."""
    n = len(arm)
    found = 0
    for k in range(1, max(1, int(n * GROUP_SHARE)) + 1):
        rest = arm[k:]
        if len(rest) < 3:
            break
        alike = other[k:]  # without as many of its own, which would hide these
        pooled = (_squares(rest) + _squares(alike)) / (len(rest) + len(alike) - 2)
        scale = max(math.sqrt(pooled), math.sqrt(_squares(rest) / (len(rest) - 1)), step)
        if scale and (_median(rest) - arm[k - 1]) / scale > far_limit(n):
            found = k
    return found


def far_limit(n: int) -> float:
    """Return how many standard deviations below the rest of n runs are too far for normal noise (see module)."""
    return 3.9 + 2.0 / n + 75.0 / n**2


def _groups(arms: Sequence[Sequence[float]], step: float) -> tuple[int, ...]:
    """Return how both arms' runs fall into two groups, where one of them has a gap that is wide for its scatter."""
    for arm in arms:
        cut = _gap(arm, step)
        if cut is not None:
            sizes = [(sum(x < cut for x in one), sum(x >= cut for x in one)) for one in arms]
            return (*sizes[0], *sizes[1])
    return ()


def _gap(arm: Sequence[float], step: float) -> float | None:
    """Return the middle of the widest gap of a sorted arm, if it is too wide for one group of this scatter."""
    n = len(arm)
    least = max(LEAST_GROUP, int(n * GROUP_SHARE))
    if n < 2 * least + 1:
        return None
    at = max(range(least, n - least + 1), key=lambda i: arm[i] - arm[i - 1])
    gap = arm[at] - arm[at - 1]
    scale = max(math.sqrt((_squares(arm[:at]) + _squares(arm[at:])) / (n - 2)), step)
    return (arm[at] + arm[at - 1]) / 2 if scale and gap / scale > gap_limit(n) else None


def gap_limit(n: int) -> float:
    """Return how many standard deviations of its two halves a gap in n runs is too wide for (fitted, see module)."""
    return 1.4 + 310.0 / n**2


def _skewed(arms: Sequence[Sequence[float]]) -> str:
    sizes = [_skewness(arm) for arm in arms]
    over = [abs(size) > skew_limit(len(arm)) for size, arm in zip(sizes, arms, strict=True)]
    alike = sizes[0] * sizes[1] > 0 and min(map(abs, sizes)) > max(map(abs, sizes)) / 2
    if alike or over[0] == over[1]:
        return ""
    return "baseline" if over[0] else "treatment"


def skew_limit(n: int) -> float:
    """Return the skewness of n normal values that 1 sample in 200 exceeds on either side (fitted, see module)."""
    return math.inf if n < 8 else min(1.7, 3.05 * math.sqrt(6 / (n + 7)))


def _spread_ratio(arms: Sequence[Sequence[float]], step: float) -> float:
    one, other = (max(math.sqrt(_squares(arm) / (len(arm) - 1)), step) for arm in arms)
    if not one or not other:
        return 0.0
    ratio = other / one
    return ratio if max(ratio, 1 / ratio) > spread_limit(min(map(len, arms))) else 0.0


def spread_limit(n: int) -> float:
    """Return the ratio of two standard deviations of n normal values that 1 in 200 exceeds (fitted, see module)."""
    return 2.4 + 95.0 / n**2


def dependence(differences: Sequence[float]) -> float:
    """Return the correlation of successive differences where it is too high for independent ones, else 0."""
    n = len(differences)
    squares = _squares(differences)
    if n < DEPENDENCE_FROM or not squares:
        return 0.0
    mean = sum(differences) / n
    lag = sum((a - mean) * (b - mean) for a, b in pairwise(differences)) / squares
    return lag if lag > 1.9 / math.sqrt(n) - 1 / n else 0.0


DEPENDENCE_FROM = 6
MOST_DEPENDENT = 0.9


@cache
def sign_boundary(budget: int, level: float = VERDICT_LEVEL) -> tuple[int, ...]:
    """Return for looks 1 .. budget how many differences must agree in sign; n + 1 where no number is enough.

    Exact for differences that are independent and as often above 0 as below, whatever their shape: of all sequences of
    signs, at most a share level * n / budget ever reaches the boundary up to look n.

    >>> sign_boundary(20)[6:10]
    (7, 8, 9, 10)
    """
    alive = {0: 1.0}
    spent = 0.0
    bounds: list[int] = []
    for n in range(1, budget + 1):
        moved: dict[int, float] = {}
        for ups, chance in alive.items():
            for more in (0, 1):
                moved[ups + more] = moved.get(ups + more, 0.0) + chance / 2
        due = level * n / budget - spent
        needed, crossing = n + 1, 0.0
        for agree in range(n, n // 2, -1):
            chance = moved.get(agree, 0.0) + moved.get(n - agree, 0.0)
            if crossing + chance > due:
                break
            needed, crossing = agree, crossing + chance
        spent += crossing
        alive = {ups: chance for ups, chance in moved.items() if max(ups, n - ups) < needed}
        bounds.append(needed)
    return tuple(bounds)


def check_assumptions(verdict: AVerdict, pairs: Pairs, *, noise_known: bool, share: int = 1) -> AVerdict:
    """Return a verdict with what it assumes checked: held back, or on the typical run, where the mean would mislead.

    Args:
        verdict: by the mean, of these pairs.
        pairs: the pairs so far.
        noise_known: whether the spread is known from elsewhere too.
        share: claims made at once, among which the level is divided.
    """
    if verdict.spread is None or pairs.n > verdict.budget:
        return verdict
    shape = look_at_shape(pairs)
    if pairs.n < min(SEEN_FROM, verdict.budget) and not noise_known and verdict.kind != "unclear" and _too_early(pairs):
        return replace(verdict, kind="unclear", shape=Shape(waits=True))
    if shape.plain:
        return verdict
    checked = replace(verdict, shape=shape)
    if verdict.kind in ("better", "worse") and (shape.dependence or shape.spread_ratio):
        checked = _wider(checked, shape)
    return _on_typical_run(checked, pairs, share) if shape.uneven else checked


def _too_early(pairs: Pairs) -> bool:
    """Whether 2 or 3 pairs lie as those of runs in two groups, or of arms that scatter very differently, would too."""
    one, other = (math.sqrt(_squares(arm.tolist()) / (pairs.n - 1)) for arm in (pairs.baseline, pairs.treatment))
    apart = abs(pairs.mean) > TOO_FAR_APART * max(math.sqrt((one**2 + other**2) / 2), pairs.step)
    return apart or max(one, other) > LOPSIDED * max(min(one, other), pairs.step)


def _wider(verdict: AVerdict, shape: Shape) -> AVerdict:
    """Widen the interval: as for the fewer pairs that dependent ones are worth, and for the fewer degrees of freedom.

    Of n pairs that correlate by r with the next, the mean is as sure as of n (1 - r) / (1 + r). Where one arm alone
    makes the noise, the other tells nothing of it, and the boundary, which is made for arms alike, is too near.
    """
    wider = 1.0
    if shape.dependence:
        r = min(shape.dependence, MOST_DEPENDENT)
        wider *= math.sqrt((1 + r) / (1 - r))
    if shape.spread_ratio:
        wider *= math.sqrt(1 + 2 / (verdict.n - 1))
    mean, half = verdict.raw or 0.0, ((verdict.high or 0.0) - (verdict.low or 0.0)) / 2 * wider
    kind = verdict.kind if abs(mean) > half else "unclear"
    return replace(verdict, kind=kind, low=mean - half, high=mean + half, reason=_reason(verdict, kind))


def _on_typical_run(verdict: AVerdict, pairs: Pairs, share: int) -> AVerdict:
    """Judge the median difference by the sign test; the mean's verdict stays where the budget is too small for one."""
    bounds = sign_boundary(verdict.budget, VERDICT_LEVEL / share)
    if bounds[-1] > verdict.budget:
        return verdict
    ordered = sorted(pairs.differences.tolist())
    agree = bounds[pairs.n - 1]
    middle = _median(ordered)
    if agree > pairs.n:
        low, high = verdict.low, verdict.high
        kind = "unclear"
    else:
        low, high = ordered[pairs.n - agree], ordered[agree - 1]
        kind = _kind_of(low, high, verdict.margin or 0.0)
    return replace(
        verdict, kind=kind, about="typical", effect=middle, low=low, high=high, reason=_reason(verdict, kind)
    )


def _kind_of(low: float, high: float, margin: float) -> str:
    small = -margin < low and high < margin
    if low > 0:
        return "better_small" if small else "better"
    if high < 0:
        return "worse_small" if small else "worse"
    return "same" if small else "unclear"


def _reason(verdict: Judged, kind: str) -> Literal["", "budget"]:
    return "budget" if kind == "unclear" and verdict.n >= verdict.budget else ""


def still_could(n: int, level: float = VERDICT_LEVEL) -> float:
    """Return the highest rate of bad runs that n runs without any leave possible: 1 - level^(1/n).

    >>> round(still_could(4), 2), round(still_could(8), 2)
    (0.53, 0.31)
    """
    return float(1 - level ** (1 / n))


def _median(ordered: Sequence[float]) -> float:
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def _squares(values: Sequence[float]) -> float:
    mean = sum(values) / len(values)
    return sum((value - mean) ** 2 for value in values)


def _skewness(values: Sequence[float]) -> float:
    mean, squares = sum(values) / len(values), _squares(values)
    if not squares:
        return 0.0
    return float(sum((value - mean) ** 3 for value in values) / len(values) / (squares / len(values)) ** 1.5)
