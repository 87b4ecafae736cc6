"""What forks say at their horizons, and what the end says, of many changes in five trainings cooked in three ways.

`python -m benchmarks.fork_study FILE` keeps the losses, which take seven minutes of a core, so that they need not be
computed again to be looked at in another way.
"""

import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from benchmarks.fork_lanes import Kitchen, Knobs, State, forked, gone_on
from benchmarks.fork_tasks import DISHES, Dish, Way
from palate.atomic import replace_file

STEPS = 400
ATS = (0.3, 0.5)
"""Shares of the run at which it is forked."""

SHARES = (0.05, 0.1, 0.17, 1 / 3, 0.5)
"""Horizons as shares of what remains."""

TRUNKS, FORKED, AT_ONCE = 24, 16, 4
"""Trunks of which the end is known, the first of them that short forks leave too, and trunks trained side by side."""

CONTROL = "control"

WAYS: Mapping[str, tuple[Way, ...]] = {
    "mnist1d CNN": (
        Way(optimizer="adamw", lr=0.006, schedule="cosine", steps=STEPS),
        Way(optimizer="sgd", lr=0.1, schedule="linear", steps=STEPS, examples=500),
        Way(optimizer="sgd", lr=0.05, schedule="cosine", steps=STEPS),
    ),
    "digits MLP": (
        Way(optimizer="sgd", lr=0.08, schedule="cosine", steps=STEPS),
        Way(optimizer="adamw", lr=0.01, schedule="linear", steps=STEPS, examples=80),
        Way(optimizer="sgd", lr=0.04, schedule="linear", steps=STEPS),
    ),
    "breast cancer MLP": (
        Way(optimizer="adamw", lr=0.001, schedule="linear", steps=STEPS),
        Way(optimizer="sgd", lr=0.03, schedule="cosine", steps=STEPS, examples=100),
        Way(optimizer="sgd", lr=0.01, schedule="linear", steps=STEPS),
    ),
    "character LM": (
        Way(optimizer="adamw", lr=0.01, schedule="cosine", steps=STEPS),
        Way(optimizer="sgd", lr=0.2, schedule="linear", steps=STEPS, examples=4000),
        Way(optimizer="sgd", lr=0.2, schedule="cosine", steps=STEPS),
    ),
    "denoising MLP": (
        Way(optimizer="adamw", lr=0.006, schedule="linear", steps=STEPS),
        Way(optimizer="sgd", lr=0.4, schedule="cosine", steps=STEPS, examples=100),
        Way(optimizer="sgd", lr=0.2, schedule="linear", steps=STEPS),
    ),
}
"""A rule may be chosen on the first way; the second, with another optimizer, rate and schedule, tests it.

In the second there are few examples, which are learned by heart: what holds that back is better at the end.
The third is there to look closer at the speed of SGD: whether momentum has to be annealed as lr has.
"""

SPEEDS = 2
"""The number of the third."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """Held-out losses of one arm of forks, a trunk each.

    Attributes:
        way: see `WAYS`.
        at: the share of the run at which they left.
        share: the horizon, as a share of what remained; 1 is the end.
        annealed: whether both arms' lr fell to zero at the horizon.
    """

    task: str
    way: int
    at: float
    arm: str
    share: float
    annealed: bool
    losses: tuple[float, ...]


def arms_of(dish: Dish, way: Way) -> dict[str, Knobs]:
    """Return the arms: what is turned to what."""
    return {
        CONTROL: {},
        "lr x3": {"lr": 3},
        "lr x0.3": {"lr": 0.3},
        "weight decay x10": {"weight_decay": 10 * way.weight_decay},
        "momentum": {"momentum": 0.97 if way.optimizer == "adamw" else 0.5},
        "second loss": {"second": dish.second},
        "dropout x2": {"dropout": 2 * dish.dropout},
        "noise": {"noise": dish.noise},
        "batch x0.5": {"batch": 0.5},
    }


def speeds_of() -> dict[str, Knobs]:
    """Return arms that change how fast SGD goes, by its lr and by its momentum."""
    return {
        CONTROL: {},
        "lr x3": {"lr": 3},
        "lr x0.3": {"lr": 0.3},
        "momentum x1.08": {"momentum": 0.97},
        "momentum x0.56": {"momentum": 0.5},
    }


def told_of(dish: Dish, number: int) -> Iterator[Told]:
    """Train and fork all trunks of a dish in one of its ways.

    Raises:
        AssertionError: a control is not its trunk's own future.
    """
    kitchen = Kitchen(dish, WAYS[dish.name][number])
    arms = arms_of(dish, kitchen.way) if number < SPEEDS else speeds_of()
    found: dict[tuple[float, str, float, bool], list[float]] = {}
    for first in range(0, TRUNKS, AT_ONCE):
        shares = SHARES if first < FORKED else ()
        trunk = kitchen.begin(range(first, min(first + AT_ONCE, TRUNKS)))
        states = [_copy_at(kitchen, trunk, at) for at in ATS]
        kitchen.train(trunk, kitchen.way.steps)
        own = kitchen.losses(trunk).tolist()
        for at, state in zip(ATS, states, strict=True):
            for key, losses in _forks(kitchen, state, arms, shares).items():
                found.setdefault((at, *key), []).extend(losses)
            control = found[at, CONTROL, 1.0, False][-len(own) :]
            drift = max(abs(one - other) for one, other in zip(control, own, strict=True))
            assert drift < 1e-4, f"{dish.name}: the control drifts by {drift}"
    for (at, arm, share, annealed), losses in found.items():
        yield Told(
            task=dish.name, way=number, at=at, arm=arm, share=share, annealed=annealed, losses=tuple(losses)
        )  # fmt: skip


def _copy_at(kitchen: Kitchen, trunk: State, at: float) -> State:
    kitchen.train(trunk, round(at * kitchen.way.steps))
    return trunk.taken(range(len(trunk.lanes)), trunk.lanes)


def _forks(
    kitchen: Kitchen, state: State, arms: Mapping[str, Knobs], shares: Sequence[float]
) -> dict[tuple[str, float, bool], list[float]]:
    """Return the losses of each arm at each horizon, plain and annealed, in the order of trunks."""
    remains = kitchen.way.steps - state.step
    horizons = {max(1, round(share * remains)): share for share in shares} | {remains: 1.0}
    anneals = [0, *(steps for steps in horizons if steps < remains)]
    forks = forked(state, list(arms.values()), anneals)
    names = dict(zip(forks.lanes, list(arms) * (len(forks.lanes) // len(arms)), strict=True))
    found: dict[tuple[str, float, bool], list[float]] = {}
    for look, losses in gone_on(kitchen, forks, [state.step + steps for steps in horizons]):
        for lane, loss in losses.items():
            found.setdefault((names[lane], horizons[look - state.step], bool(lane.anneal)), []).append(loss)
    return found


def study() -> Iterator[list[Told]]:
    """Compute all of it on one thread, a dish in one way after the other, the first ways before the second."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        dishes = [make() for make in DISHES]
        for number in range(SPEEDS + 1):
            for dish in dishes:
                yield list(told_of(dish, number))
    finally:
        torch.set_num_threads(threads)


def main() -> None:
    """Keep what is told in the file that is named."""
    told: list[Told] = []
    for some in study():
        told += some
        replace_file(Path(sys.argv[1]), json.dumps([asdict(one) for one in told]).encode(), 0o644)
        print(f"{some[0].task}, way {some[0].way}: {time.process_time():.0f} s", flush=True)


def read(path: Path) -> list[Told]:
    """Return what `main` kept."""
    return [Told(**{**one, "losses": tuple(one["losses"])}) for one in json.loads(path.read_text())]


if __name__ == "__main__":
    main()
