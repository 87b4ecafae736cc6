"""Train many runs of one task side by side, and fork them: each lane has its own weights, knobs and random numbers.

The optimizers are torch's AdamW and SGD with momentum, written for lanes; a knob is turned as palate turns it: lr times
a factor through the schedule, and times `Branch.ramp` where the arms are annealed.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from benchmarks.fork_tasks import LETTERS, Dish, Way, Weights
from palate.question.branch import Branch

Knobs = Mapping[str, float]
"""lr (a factor), weight_decay, momentum, second, dropout, noise, and the share of the batch that is used."""

AVERAGE, EPSILON = 0.999, 1e-8
"""Of AdamW: how long squares of gradients are remembered, and what keeps their root from 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Random numbers of a run: of a trunk where `replicate` is 0, else new ones from the fork on."""

    trunk: int
    replicate: int = 0

    def generator(self, step: int) -> torch.Generator:
        """Return where the random numbers of the step that follows so many come from; -1 for the first weights."""
        return torch.Generator().manual_seed((self.trunk * 1_000 + self.replicate) * 100_000 + step + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """One run: its random numbers, its knobs, and how long it is annealed from where, 0 for not at all."""

    source: Source
    knobs: tuple[tuple[str, float], ...]
    at: int = 0
    anneal: int = 0

    def ramp(self, step: int) -> float:
        """Return what palate multiplies its lr with."""
        return Branch(at=self.at, stop=self.anneal or None, anneal=bool(self.anneal)).ramp(step)


@dataclass(slots=True)
class State:
    """Weights and the optimizer's memory of lanes, each (lanes, weights), after so many steps."""

    lanes: tuple[Lane, ...]
    weights: Tensor
    mean: Tensor
    square: Tensor
    step: int = 0

    def taken(self, places: Sequence[int], lanes: Sequence[Lane]) -> "State":
        """Return a copy of some lanes, as other lanes."""
        at = torch.tensor(places)
        return State(tuple(lanes), self.weights[at], self.mean[at], self.square[at], self.step)


class Kitchen:
    """Trains lanes of one dish in one way."""

    def __init__(self, dish: Dish, way: Way) -> None:
        self.dish, self.way = dish, way
        self._sizes = [int(torch.tensor(shape).prod()) for shape in dish.net.shapes.values()]

    def usual(self) -> dict[str, float]:
        """Return the knobs of a trunk."""
        decay, dropout = self.way.weight_decay, self.dish.dropout
        return {
            "lr": 1, "weight_decay": decay, "momentum": 0.9, "second": 0, "dropout": dropout, "noise": 0, "batch": 1
        }  # fmt: skip

    def begin(self, trunks: Sequence[int]) -> State:
        """Return trunks before their first step, with the weights that torch's layers begin with."""
        knobs = tuple(self.usual().items())
        lanes = tuple(Lane(source=Source(trunk=trunk), knobs=knobs) for trunk in trunks)
        weights = torch.stack([self._first(lane.source.generator(-1)) for lane in lanes])
        return State(lanes, weights, torch.zeros_like(weights), torch.zeros_like(weights))

    def _first(self, generator: torch.Generator) -> Tensor:
        drawn, bound = [], 1.0
        for name, shape in self.dish.net.shapes.items():
            if name.endswith("weight"):
                bound = shape[0] ** -0.5 if name != "faces.weight" else 1.0
            drawn.append((torch.rand(shape, generator=generator) * 2 - 1).flatten() * bound)
        return torch.cat(drawn)

    def named(self, weights: Tensor) -> Weights:
        """Return the weights of lanes by their names, each (lanes, *shape)."""
        parts = weights.split(self._sizes, 1)
        shapes = self.dish.net.shapes.items()
        return {name: part.view(-1, *shape) for part, (name, shape) in zip(parts, shapes, strict=True)}

    @torch.no_grad()
    def losses(self, state: State) -> Tensor:
        """Return the held-out loss of each lane."""
        found = []
        x, y = self.dish.held_out
        for weights in state.weights.split(4):
            lanes = len(weights)
            outputs = self.dish.net.outputs(self.named(weights), x.expand(lanes, *x.shape), lambda hidden: hidden)
            found.append(self.dish.terms(outputs, y.expand(lanes, *y.shape))[0].mean(1))
        return torch.cat(found)

    def train(self, state: State, until: int) -> None:
        """Train all lanes up to a step, in place."""
        knobs = _columns(state.lanes)
        sources = list(dict.fromkeys(lane.source for lane in state.lanes))
        of = torch.tensor([sources.index(lane.source) for lane in state.lanes])
        while state.step < until:
            gradient = self._gradient(state, knobs, sources, of)
            ramps = torch.tensor([lane.ramp(state.step) for lane in state.lanes]).unsqueeze(1)
            self._step(state, knobs, gradient, knobs["lr"] * ramps * self.way.scheduled(state.step))

    def _gradient(self, state: State, knobs: Weights, sources: Sequence[Source], of: Tensor) -> Tensor:
        draws = [self.draw(source.generator(state.step)) for source in sources]
        x, y, noise, kept = (torch.stack(some)[of] for some in zip(*draws, strict=True))
        dropout = knobs["dropout"].unsqueeze(2)
        weights = state.weights.detach().requires_grad_()
        outputs = self.dish.net.outputs(
            self.named(weights),
            _spoilt(x, noise, knobs["noise"].unsqueeze(2)),
            lambda hidden: hidden * (kept >= dropout) / (1 - dropout),
        )
        first, second = self.dish.terms(outputs, y)
        used = torch.arange(self.way.batch) < knobs["batch"] * self.way.batch
        each = (first + knobs["second"] * second) * used / used.sum(1, keepdim=True)
        (gradient,) = torch.autograd.grad(each.sum(), weights)
        return gradient

    def draw(self, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return a batch, noise for it, and numbers that decide which units are kept."""
        x, y = self.dish.train
        batch = torch.randint(self.way.examples or len(x), (self.way.batch,), generator=generator)
        shape = (*x[batch].shape, 2) if x.dtype == torch.long else x[batch].shape
        draw = torch.rand if x.dtype == torch.long else torch.randn
        noise = draw(shape, generator=generator)
        kept = torch.rand(self.way.batch, self.dish.net.hidden, generator=generator)
        return x[batch], y[batch], noise, kept

    def _step(self, state: State, knobs: Weights, gradient: Tensor, lr: Tensor) -> None:
        state.step += 1
        if self.way.optimizer == "sgd":
            gradient.addcmul_(knobs["weight_decay"], state.weights)
            state.mean.mul_(knobs["momentum"]).add_(gradient)
            state.weights.addcmul_(lr, state.mean, value=-1)
            return
        state.weights.mul_(1 - lr * knobs["weight_decay"])
        state.mean.lerp_(gradient, 1 - knobs["momentum"])
        state.square.mul_(AVERAGE).addcmul_(gradient, gradient, value=1 - AVERAGE)
        root = state.square.sqrt().mul_((1 - AVERAGE**state.step) ** -0.5).add_(EPSILON)
        state.weights.addcmul_(lr / (1 - knobs["momentum"] ** state.step), state.mean / root, value=-1)


def _columns(lanes: Sequence[Lane]) -> dict[str, Tensor]:
    names = [name for name, _ in lanes[0].knobs]
    values = torch.tensor([[value for _, value in lane.knobs] for lane in lanes])
    return {name: values[:, place : place + 1] for place, name in enumerate(names)}


def _spoilt(x: Tensor, noise: Tensor, amount: Tensor) -> Tensor:
    if x.dtype != torch.long:
        return x + amount * noise
    return torch.where(noise[..., 0] < amount, (noise[..., 1] * LETTERS).long(), x)


def forked(state: State, arms: Sequence[Knobs], anneals: Sequence[int], replicates: Sequence[int] = (0,)) -> State:
    """Return arms of all trunks, in the order of trunks, replicates, anneals and arms."""
    places, lanes = [], []
    for place, lane in enumerate(state.lanes):
        for replicate in replicates:
            source = replace(lane.source, replicate=replicate)
            for anneal in anneals:
                for arm in arms:
                    knobs = tuple({**dict(lane.knobs), **arm}.items())
                    places.append(place)
                    lanes.append(Lane(source=source, knobs=knobs, at=state.step, anneal=anneal))
    return state.taken(places, lanes)


def gone_on(kitchen: Kitchen, state: State, looks: Sequence[int]) -> Iterator[tuple[int, dict[Lane, float]]]:
    """Train forks; yield at each look the losses of the lanes that are not annealed, or annealed to just there.

    Lanes that have been annealed to zero are dropped.
    """
    for look in sorted(looks):
        kitchen.train(state, look)
        due = [place for place, lane in enumerate(state.lanes) if lane.anneal in (0, look - lane.at)]
        lanes = [state.lanes[place] for place in due]
        losses = kitchen.losses(state.taken(due, lanes)).tolist()
        yield look, dict(zip(lanes, losses, strict=True))
        left = [place for place, lane in enumerate(state.lanes) if lane.anneal != look - lane.at]
        state = state.taken(left, [state.lanes[place] for place in left])
