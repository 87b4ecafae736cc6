"""Stages of a training, cycles of stages, where in them a run is, and when it keeps a capsule."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from palate.cooking.until import Condition
from palate.errors import InputError

MOST_CAPSULES, MOST_BYTES = 16, 2 << 30
"""Capsules that a run keeps where nobody says which, and bytes of them."""

FIRST_EVERY = 50
SHARE = 0.03
"""The most of a run's time that capsules may take."""


@dataclass(frozen=True, slots=True)
class Every:
    """Keep a capsule every so many steps."""

    steps: int

    def __post_init__(self) -> None:
        if isinstance(self.steps, bool) or not isinstance(self.steps, int) or self.steps < 1:
            raise InputError(f"every({self.steps!r}): it is a whole number of steps, 1 or more.", todo="keep=every(50)")


def every(steps: int) -> Every:
    """Return the wish to keep a capsule every so many steps: `keep=every(50)`."""
    return Every(steps)


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of a training with its own losses, its own trained layers, and its own end.

    Attributes:
        name: of the stage.
        losses: weights of loss terms, by their names in `run.mix`; the others keep theirs.
        train: starts of the names of what is trained ("head"); everything that was trained before palate came, if None.
        until: when it ends; with the loop around it if None.
        keep: when a capsule is kept; as the run says if None.
    """

    name: str
    losses: Mapping[str, float] = field(default_factory=dict)
    train: Sequence[str] | None = None
    until: Condition | None = None
    keep: Every | None = None

    def __post_init__(self) -> None:
        faults = [
            f"the weight of {name} is {weight!r}, and has to be a number, 0 or more"
            for name, weight in self.losses.items()
            if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < float("inf")
        ]
        if not isinstance(self.name, str) or not self.name.strip():
            faults.append("a stage has a name")
        if self.until is not None and not isinstance(self.until, Condition):
            faults.append(f"until={self.until!r} is no condition: steps(600), plateau('val_loss') ...")
        if isinstance(self.train, str):
            faults.append(f"train={self.train!r} is one text: write train=[{self.train!r}]")
        if faults:
            raise InputError(f"The stage {self.name!r} cannot be carried out.", why=faults)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cycle:
    """Stages that are gone through again and again, until a condition holds behind the last of them."""

    stages: tuple[Stage, ...]
    until: Condition


def cycle(*stages: Stage, until: Condition) -> Cycle:
    """Return a cycle of stages: `cycle(critic, gan, until=cycles_without_improvement(2, "fid"))`."""
    if not stages:
        raise InputError("A cycle has at least one stage.", todo="cycle(critic, gan, until=...)")
    return Cycle(stages=stages, until=until)


@dataclass(frozen=True, slots=True)
class Spot:
    """Where in the stages a run is: the number of the stage or cycle, of the round, and of the stage in that round."""

    item: int = 0
    round: int = 0
    member: int = 0

    def body(self) -> list[int]:
        """Return it as plain data."""
        return [self.item, self.round, self.member]


def stage_at(plan: Sequence[Stage | Cycle], place: Spot) -> Stage | None:
    """Return the stage at a place; None behind the last."""
    if place.item >= len(plan):
        return None
    item = plan[place.item]
    return item if isinstance(item, Stage) else item.stages[place.member]


def after(plan: Sequence[Stage | Cycle], place: Spot, cycle_ended: Any) -> Spot:
    """Return the place behind one.

    Args:
        plan: all stages.
        place: the one that is done.
        cycle_ended: says, with the cycle, whether its condition holds; asked behind the last stage of a round.
    """
    item = plan[place.item]
    if isinstance(item, Stage):
        return Spot(place.item + 1)
    if place.member + 1 < len(item.stages):
        return replace(place, member=place.member + 1)
    return Spot(place.item + 1) if cycle_ended(item) else Spot(place.item, place.round + 1, 0)


def matches(name: str, wanted: Sequence[str]) -> bool:
    """Return whether a parameter's name begins with one of some names, at a whole part of it.

    >>> matches("generator.head.weight", ["head"]), matches("generator.header.weight", ["head"])
    (True, False)
    """
    parts = name.split(".")
    starts = [one.split(".") for one in wanted]
    return any(parts[place : place + len(one)] == one for one in starts for place in range(len(parts)))


class Cadence:
    """When capsules are kept where nobody says it: at first often, then so that few and little time go into them."""

    def __init__(self, wish: Every | None) -> None:
        self.wish = wish
        self._every = FIRST_EVERY if wish is None else wish.steps
        self._last_s = 0.0

    def is_due(self, step: int, now_s: float, cost_s: float) -> bool:
        """Return whether one is due behind a step.

        Args:
            step: steps that were done.
            now_s: the time of a clock.
            cost_s: that the last one took of the training.
        """
        if step % self._every:
            return False
        if self.wish is None and now_s - self._last_s < cost_s / SHARE:
            return False
        self._last_s = now_s
        return True

    def next_due(self, step: int) -> int:
        """Return the next step behind which one may be due."""
        return (step // self._every + 1) * self._every

    def surplus(self, kept: Mapping[int, int]) -> Iterator[int]:
        """Yield the steps of capsules that are to be removed, and keep fewer from then on; none where a wish is.

        Args:
            kept: bytes of the capsules that were kept by this cadence, by step.
        """
        if self.wish is not None or (len(kept) <= MOST_CAPSULES and sum(kept.values()) <= MOST_BYTES):
            return
        self._every *= 2
        yield from (step for step in kept if step % self._every and step != max(kept))
