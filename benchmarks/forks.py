"""Does a fork tell what a change does at the end? Agreement by horizon, the price of an answer, and what it covers.

About ten minutes of a core; `python -m benchmarks.forks FILE` takes the losses that `benchmarks.fork_study` kept.
The truth of a change is its mean effect at the end over 24 trunks. A short fork agrees where its mean effect over four
trunks has the sign that the other twenty have at the end; all choices of four of sixteen trunks count.
"""

import itertools
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats

from benchmarks.fork_lanes import Kitchen, forked, gone_on
from benchmarks.fork_study import CONTROL, FORKED, SHARES, SPEEDS, WAYS, Told, arms_of, read, study
from benchmarks.fork_tasks import Dish, digits_dish, mnist1d_dish
from benchmarks.table import Row
from palate.loop.fork import ANNEALED, USUAL_SHARE
from palate.question.branch import VARIABLE, Amount, Branch

Floats = NDArray[np.float64]
Cell = tuple[str, int, float, str]
"""A task, its way, the share of the run at which it is forked, and an arm."""

Rule = Callable[[str], bool]
"""Says of an arm whether both arms are annealed."""

FOURS = np.array(list(itertools.combinations(range(FORKED), 4)))
CLEAR = 2.0
"""Standard errors from 0 from which on a truth counts as known."""

PRICED, REPLICATES, PRICED_AT = 40, 4, 0.5
POWER, LEVEL = 0.8, 0.05


def knob_of(arm: str) -> str:
    """Return palate's name of the knob that an arm turns."""
    return arm.partition(" x")[0].replace(" ", "_")


RULES: dict[str, Rule] = {
    "plain": lambda arm: False,  # noqa: ARG005
    "annealed": lambda arm: True,  # noqa: ARG005
    "palate's default": lambda arm: knob_of(arm) in ANNEALED,
}


@dataclass(frozen=True, slots=True)
class Losses:
    """All that was told, to be asked for effects."""

    of: dict[tuple[str, int, float, str, float, bool], Floats]

    @classmethod
    def read(cls, told: Sequence[Told]) -> "Losses":
        """Put in order what was told."""
        return cls({(t.task, t.way, t.at, t.arm, t.share, t.annealed): np.array(t.losses) for t in told})

    def effect(self, cell: Cell, share: float = 1.0, annealed: bool = False) -> Floats:
        """Return how much higher the loss of the arm is than the control's, a trunk each."""
        control = (*cell[:3], CONTROL)
        return self.of[*cell, share, annealed] - self.of[*control, share, annealed]

    def cells(self) -> list[Cell]:
        """Return all cells, the controls left out."""
        return sorted({key[:4] for key in self.of if key[3] != CONTROL})

    def is_clear(self, cell: Cell) -> bool:
        """Whether the truth is known."""
        effect = self.effect(cell)
        return bool(abs(effect.mean()) >= CLEAR * effect.std(ddof=1) / len(effect) ** 0.5)

    def agreement(self, cell: Cell, share: float, annealed: bool, groups: NDArray[np.int64] = FOURS) -> float:
        """Return in what share of groups of trunks the fork has the sign that all other trunks have at the end."""
        truth, said = self.effect(cell), self.effect(cell, share, annealed)
        others = truth.sum() - truth[groups].sum(1)
        return float(np.mean(np.sign(said[groups].mean(1)) == np.sign(others)))

    def claims(self, cell: Cell, share: float, annealed: bool) -> tuple[float, float]:
        """Return in what share of groups a t-test over four trunks says something, and says the wrong thing."""
        said = self.effect(cell, share, annealed)[FOURS]
        clear = abs(said.mean(1)) > stats.t.ppf(1 - LEVEL / 2, 3) * said.std(1, ddof=1) / 2
        wrong = clear & (np.sign(said.mean(1)) != np.sign(self.effect(cell).mean()))
        return float(clear.mean()), float(wrong.mean())


def fork_rows() -> Iterator[Row]:
    """Measure all of it."""
    yield from agreement_rows([one for some in study() for one in some])
    yield from price_rows()
    yield from door_rows()


def agreement_rows(told: Sequence[Told]) -> Iterator[Row]:
    """Tell how often forks agree with the end: by horizon and rule, by kind of knob, task, place and way."""
    losses = Losses.read(told)
    cells = [cell for cell in losses.cells() if cell[1] < SPEEDS]
    clear = [cell for cell in cells if losses.is_clear(cell)]
    yield Row(name="changes whose effect at the end is known", measured=len(clear), unit=f"of {len(cells)}")
    worse = np.mean([losses.effect(cell).mean() > 0 for cell in clear])
    yield Row(name='to call every change "worse" without a fork: agrees', measured=float(worse))
    for name, rule in RULES.items():
        for share in SHARES:
            aim = 0.9 if name == "palate's default" and share == USUAL_SHARE else None
            yield from _agreement(f"{name}, {share:.0%} of what remains", losses, clear, rule, share, aim)
        yield from _claim_rows(name, losses, clear, rule)
    for title, key in PARTS.items():
        for one in sorted({key(losses, cell) for cell in clear}):
            some = [cell for cell in clear if key(losses, cell) == one]
            for name, rule in RULES.items():
                if title != "knob" or name != "palate's default":
                    yield from _agreement(f"{title} {one}: {name}, {USUAL_SHARE:.0%}", losses, some, rule, USUAL_SHARE)
    yield from _speed_rows(losses)


PARTS: dict[str, Callable[[Losses, Cell], str]] = {
    "knob": lambda losses, cell: cell[3],  # noqa: ARG005
    "task": lambda losses, cell: cell[0],  # noqa: ARG005
    "forked at": lambda losses, cell: f"{cell[2]:.0%}",  # noqa: ARG005
    "examples": lambda losses, cell: "few" if cell[1] else "many",  # noqa: ARG005
    "at the end": lambda losses, cell: "worse" if losses.effect(cell).mean() > 0 else "better",
}


def _speed_rows(losses: Losses) -> Iterator[Row]:
    """Tell of SGD alone, all ways in which there is some, what annealing does for its lr and its momentum."""
    clear = [cell for cell in losses.cells() if WAYS[cell[0]][cell[1]].optimizer == "sgd" and losses.is_clear(cell)]
    for knob in ("lr", "momentum"):
        some = [cell for cell in clear if knob_of(cell[3]) == knob]
        for share in SHARES:
            for name in ("plain", "annealed"):
                yield from _agreement(f"{knob} of SGD: {name}, {share:.0%}", losses, some, RULES[name], share)


def _agreement(
    name: str, losses: Losses, cells: Sequence[Cell], rule: Rule, share: float, aim: float | None = None
) -> Iterator[Row]:
    each = [losses.agreement(cell, share, rule(cell[3])) for cell in cells]
    error = clustered(each, [(cell[0], cell[3]) for cell in cells])
    said = f"{name}: agrees ({len(cells)} changes, se {error:.2f})"
    yield Row(name=said, measured=float(np.mean(each)), target=aim, at_least=True)


def _claim_rows(name: str, losses: Losses, cells: Sequence[Cell], rule: Rule) -> Iterator[Row]:
    single = np.arange(FORKED)[:, None]
    alone = [losses.agreement(cell, USUAL_SHARE, rule(cell[3]), single) for cell in cells]
    yield Row(name=f"{name}, {USUAL_SHARE:.0%}, one trunk alone: agrees", measured=float(np.mean(alone)))
    said, wrong = np.mean([losses.claims(cell, USUAL_SHARE, rule(cell[3])) for cell in cells], axis=0)
    yield Row(name=f"{name}, {USUAL_SHARE:.0%}: a t-test over four trunks says something", measured=said)
    yield Row(name=f"{name}, {USUAL_SHARE:.0%}: of what it says, wrong", measured=wrong / said)


def clustered(values: Sequence[float], clusters: Sequence[object]) -> float:
    """Return the standard error of a mean of values that depend on each other within clusters.

    >>> round(clustered([1, 1, 0, 0], "aabb"), 3), round(clustered([1, 1, 0, 0], "abcd"), 3)
    (0.5, 0.289)
    """
    mean = np.mean(values)
    sums = [sum(value - mean for value, of in zip(values, clusters, strict=True) if of == one) for one in set(clusters)]
    n = len(sums)
    return float(np.sqrt(np.square(sums).sum() * n / max(1, n - 1)) / len(values))


def price_rows() -> Iterator[Row]:
    """Tell how many run-equivalents small effects cost, and what t-intervals of forks cover."""
    for dish in (mnist1d_dish(), digits_dish()):
        kitchen = Kitchen(dish, WAYS[dish.name][0])
        late = _ends(kitchen, PRICED_AT, range(REPLICATES))
        early = _ends(kitchen, 0.0, range(1))
        for arm in PRICED_ARMS:
            yield from _price_rows(f"{dish.name}, {arm}", late[CONTROL], late[arm], early[CONTROL], early[arm])


PRICED_ARMS = ("lr x0.3", "dropout x2", "noise")


def _ends(kitchen: Kitchen, at: float, replicates: Sequence[int]) -> dict[str, Floats]:
    """Return held-out losses at the end of each arm, (trunks, replicates)."""
    arms = {
        name: knobs for name, knobs in arms_of(kitchen.dish, kitchen.way).items() if name in (CONTROL, *PRICED_ARMS)
    }
    found: list[Floats] = []
    for first in range(0, PRICED, 8):
        trunk = kitchen.begin(range(1000 + first, 1000 + first + 8))
        kitchen.train(trunk, round(at * kitchen.way.steps))
        forks = forked(trunk, list(arms.values()), [0], replicates)
        for _, losses in gone_on(kitchen, forks, [kitchen.way.steps]):
            found.append(np.array(list(losses.values())).reshape(8, len(replicates), len(arms)))
    whole = np.concatenate(found)
    return {name: whole[..., place] for place, name in enumerate(arms)}


def _price_rows(name: str, control: Floats, arm: Floats, control_0: Floats, arm_0: Floats) -> Iterator[Row]:
    effect, effect_0 = arm - control, arm_0 - control_0
    mean, independent = float(effect.mean()), float(control[:, 0].var(ddof=1) + arm[:, 0].var(ddof=1))
    pair, own = float(effect[:, 0].var(ddof=1)), float(effect.var(axis=1, ddof=1).mean())
    error = effect.mean(1).std(ddof=1) / len(effect) ** 0.5
    yield Row(name=f"{name} from the middle: effect at the end (se {error:.2g})", measured=mean, unit="nats")
    yield Row(name=f"{name}: variance of independent runs / of fork pairs", measured=independent / pair)
    independent_0 = float(control_0.var(ddof=1) + arm_0.var(ddof=1))
    ratio_0 = independent_0 / float(effect_0.var(ddof=1))
    yield Row(name=f"{name}: the same of pairs that differ from the first step", measured=ratio_0)
    yield Row(name=f"{name}: variance within one trunk / over trunks", measured=own / pair)
    left = 1 - PRICED_AT
    anew = 2 * runs_needed(mean, independent / 2, pairs=False)
    yield Row(name=f"{name}: price as independent runs", measured=anew, unit="runs")
    pairs = runs_needed(mean, pair, pairs=True)
    yield Row(name=f"{name}: price as pairs of one seed from scratch", measured=2 * pairs, unit="runs")
    yield Row(name=f"{name}: price as forks of fresh trunks", measured=pairs * (1 + left), unit="runs")
    again = runs_needed(mean, own, pairs=True)
    yield Row(name=f"{name}: price as forks of a trunk that is there", measured=2 * left * again, unit="runs")
    yield from _coverage_rows(name, effect)


def _coverage_rows(name: str, effect: Floats) -> Iterator[Row]:
    """Tell how often nominal 90 % intervals of four pairs have the recipe's effect in them."""
    truth, half = effect.mean(), stats.t.ppf(0.95, REPLICATES - 1) / 2
    rng = np.random.default_rng(0)
    fours = np.array([rng.choice(len(effect), 4, replace=False) for _ in range(4000)])
    for title, some in {"of one trunk": effect, "of four trunks": effect[fours, 0]}.items():
        covered = abs(some.mean(1) - truth) <= half * some.std(axis=1, ddof=1)
        yield Row(name=f"{name}: 90 % intervals of four pairs {title} cover", measured=float(covered.mean()))


def runs_needed(effect: float, variance: float, *, pairs: bool) -> int:
    """Return the fewest pairs, or runs an arm, with which a t-test finds an effect with a power of 80 %.

    `variance` is that of a pair's difference, or of one run.

    >>> runs_needed(1, 1, pairs=True), runs_needed(0.5, 1, pairs=False)
    (10, 64)
    """
    for n in range(2, 100_000):
        free, shift = (n - 1, n**0.5) if pairs else (2 * n - 2, (n / 2) ** 0.5)
        edge = stats.t.ppf(1 - LEVEL / 2, free)
        if 1 - stats.nct.cdf(edge, free, shift * abs(effect) / variance**0.5) >= POWER:
            return n
    return 100_000


DOOR = """
import sys, torch
from torch import nn
import palate
from benchmarks import fork_tasks
from benchmarks.fork_lanes import Kitchen, Source
from benchmarks.fork_study import WAYS

torch.set_num_threads(1)
dish = getattr(fork_tasks, sys.argv[1])()
kitchen = Kitchen(dish, WAYS[dish.name][0])
way, usual = kitchen.way, kitchen.usual()


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.weights = nn.ParameterList(kitchen.named(kitchen.begin([0]).weights).values())

    def forward(self, x, drop=lambda hidden: hidden):
        return dish.net.outputs(dict(zip(dish.net.shapes, self.weights)), x[None], drop)


net = Net()
if way.optimizer == "adamw":
    optimizer = torch.optim.AdamW(net.parameters(), way.lr, weight_decay=way.weight_decay)
else:
    optimizer = torch.optim.SGD(net.parameters(), way.lr, momentum=0.9, weight_decay=way.weight_decay)
schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: way.scheduled(step) / way.lr)
run = palate.start("door", seed=0, model=net, optimizer=optimizer, scheduler=schedule)
for step in run.steps(range(way.steps)):
    x, y, noise, kept = kitchen.draw(Source(trunk=0).generator(step))
    dropout = run.knob("dropout", usual["dropout"], low=0, high=0.9)
    x = x + run.knob("noise", 0, low=0, high=9) * noise
    first, _ = dish.terms(net(x, lambda hidden: hidden * (kept >= dropout) / (1 - dropout)), y[None])
    optimizer.zero_grad()
    first.mean().backward()
    optimizer.step()
    schedule.step()
with torch.no_grad():
    print(dish.terms(net(dish.held_out[0]), dish.held_out[1][None])[0].mean().item())
"""
"""The same trainings on torch's own optimizers, held by palate."""

DOORS: tuple[tuple[str, dict[str, Amount], bool], ...] = (
    (CONTROL, {}, False),
    ("lr x0.3", {"lr": Amount("times", 0.3)}, True),
    ("weight decay x10", {"weight_decay": Amount("times", 10.0)}, False),
    ("dropout x2", {"dropout": Amount("times", 2.0)}, True),
)


def door_rows() -> Iterator[Row]:
    """Fork two trainings in processes of palate's, and compare with the lanes that stand for them."""
    for dish in (mnist1d_dish(), digits_dish()):
        kitchen = Kitchen(dish, WAYS[dish.name][0])
        with tempfile.TemporaryDirectory() as folder:
            off = [abs(mine - lane) / lane for mine, lane in _doors(kitchen, Path(folder))]
        name = f"{dish.name}: a lane's loss against palate's own fork, {len(off)} forks, largest difference"
        yield Row(name=name, measured=max(off), target=1e-3)


def _doors(kitchen: Kitchen, folder: Path) -> Iterator[tuple[float, float]]:
    steps, arms = kitchen.way.steps, arms_of(kitchen.dish, kitchen.way)
    at = steps // 2
    (folder / "door.py").write_text(DOOR)
    trunk = _process(folder, kitchen.dish, Branch(capsule_at=at))
    (capsule,) = folder.rglob(f"capsules/{at:08d}.pt")
    for name, amounts, annealed in DOORS:
        stop = steps - at if name == CONTROL else round(USUAL_SHARE * (steps - at))
        mine = _process(
            folder, kitchen.dish, Branch(capsule=str(capsule), at=at, turns={at: amounts}, stop=stop, anneal=annealed)
        )
        assert name != CONTROL or mine == trunk, "palate's control is not the run's own future"
        yield mine, _lane(kitchen, at, arms[name], stop if annealed else 0, at + stop)


def _lane(kitchen: Kitchen, at: int, knobs: dict[str, float], anneal: int, until: int) -> float:
    state = kitchen.begin([0])
    kitchen.train(state, at)
    state = forked(state, [knobs], [anneal])
    kitchen.train(state, until)
    return float(kitchen.losses(state))


def _process(folder: Path, dish: Dish, branch: Branch) -> float:
    made = {"mnist1d CNN": "mnist1d_dish", "digits MLP": "digits_dish"}[dish.name]
    here = str(Path(__file__).parents[1])
    environment = {
        **os.environ,
        VARIABLE: branch.text(),
        "PYTHONPATH": os.pathsep.join([here, f"{here}/src"]),
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [sys.executable, "door.py", made], cwd=folder, env=environment, capture_output=True, text=True, check=True
    )
    return float(done.stdout.split()[-1])


if __name__ == "__main__":
    torch.set_num_threads(1)
    from benchmarks.table import put_out

    told = read(Path(sys.argv[1]))
    put_out("training", itertools.chain(agreement_rows(told), price_rows(), door_rows()), as_json=False)
