"""Trainings whose optimizer or network is wrong from the start."""

import math
import random
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.kitchen import Dish, optimizer_of, prepare
from benchmarks.pantry import Recipe
from benchmarks.spoilt.way import RELU, Losses, Way, own, plain


def _scaled(by: float) -> Callable[[Dish, random.Random], None]:
    def spoil(dish: Dish, rng: random.Random) -> None:  # noqa: ARG001
        for group in dish.optimizer.param_groups:
            group["lr"] *= by

    return spoil


def _squared(dish: Dish, rng: random.Random) -> None:  # noqa: ARG001
    """Multiply by the rate where a factor belongs, as a LambdaLR that returns the rate does."""
    inner, lr = dish.schedule, dish.recipe.lr
    dish.schedule = lambda step: inner(step) * lr


def _other_steps(dish: Dish, rng: random.Random) -> None:  # noqa: ARG001
    """Make the optimizer anew and step the old one."""
    dish.stepping, dish.optimizer = dish.optimizer, optimizer_of(dish.recipe, dish.net)


def _decays_too_soon(dish: Dish, rng: random.Random) -> None:
    every = rng.choice([2, 5])
    dish.schedule = lambda step: 0.5 ** (step // every)


LEARNING_RATE = (
    Way("0", _scaled(0.0)),
    Way("a millionth", _scaled(1e-6)),
    Way("a tenth, of an old checkpoint", _scaled(0.1)),
    Way("the rate for a factor", _squared),
    Way("another optimizer steps", _other_steps),
    Way("decays too soon", _decays_too_soon),
)


def _without(dish: Dish, names: set[int], lr: float | None) -> None:
    """Take parameters out of the optimizer, or give them a learning rate of their own."""
    optimizer = dish.optimizer
    gone = [p for p in dish.net.parameters() if id(p) in names]
    for group in optimizer.param_groups:
        group["params"] = [p for p in group["params"] if id(p) not in names]
    optimizer.param_groups = [group for group in optimizer.param_groups if group["params"]]
    if lr is not None:
        optimizer.add_param_group({"params": gone, "lr": lr})


def _a_layer(dish: Dish, rng: random.Random) -> nn.Module:
    layers = [m for m in own(dish.net) if any(p.dim() >= 2 for p in m.parameters(recurse=False))]
    return rng.choice(layers)


def _left_out(dish: Dish, rng: random.Random) -> None:
    _without(dish, {id(p) for p in _a_layer(dish, rng).parameters(recurse=False)}, None)


def _group_at_zero(dish: Dish, rng: random.Random) -> None:
    _without(dish, {id(p) for p in _a_layer(dish, rng).parameters(recurse=False)}, 0.0)


def _detached(dish: Dish, rng: random.Random) -> None:  # noqa: ARG001
    """Cut the graph behind the first layer, as a `detach` or `.data` that was left in does."""

    def cut(module: nn.Module, inputs: Any, out: Any) -> Any:  # noqa: ARG001
        return tuple(one.detach() for one in out) if isinstance(out, tuple) else out.detach()

    first = next(m for m in own(dish.net) if not isinstance(m, nn.TransformerEncoderLayer) and m is not dish.net)
    first.register_forward_hook(cut)


def _replaced(dish: Dish, rng: random.Random) -> None:  # noqa: ARG001
    """Put in a new head after the optimizer was made."""
    for module in dish.net.modules():
        linear = [(name, child) for name, child in module.named_children() if isinstance(child, nn.Linear)]
        if linear:
            name, old = linear[-1]
            setattr(module, name, nn.Linear(old.in_features, old.out_features))
            return


def _written_back(dish: Dish, rng: random.Random) -> None:
    """Load a layer's weights again before each step."""
    layer = _a_layer(dish, rng)
    held = [(p, p.detach().clone()) for p in layer.parameters(recurse=False)]
    dish.optimizer.register_step_post_hook(lambda *_: _load(held))


def _load(held: list[tuple[Tensor, Tensor]]) -> None:
    with torch.no_grad():
        for p, value in held:
            p.copy_(value)


FORGOTTEN = (
    Way("left out", _left_out),
    Way("a group at rate 0", _group_at_zero),
    Way("detached", _detached),
    Way("replaced", _replaced),
    Way("written back", _written_back),
)


def _hidden(net: nn.Module) -> list[nn.Module]:
    """Return what comes right before each ReLU."""
    children = list(net)  # type: ignore[call-overload]
    return [a for a, b in pairwise(children) if isinstance(b, nn.ReLU)]


def _far_bias(dish: Dish, rng: random.Random) -> None:
    layer, share = rng.choice(_hidden(dish.net)), rng.uniform(0.7, 0.95)
    with torch.no_grad():
        count = int(share * len(layer.bias))
        layer.bias[:count] = -rng.choice([8.0, 20.0])


def _burst_at_start(dish: Dish, rng: random.Random) -> None:
    """Let the first steps be far too large, as a missing warm-up does."""
    inner, by = dish.schedule, rng.choice([100.0, 300.0])
    dish.schedule = lambda step: by if step < 5 else inner(step)


def _negative_weights(dish: Dish, rng: random.Random) -> None:
    """Draw weights around a negative mean, behind inputs that are positive."""
    hidden = [m for m in _hidden(dish.net)[1:] if not isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
    layer = rng.choice(hidden)
    with torch.no_grad():
        layer.weight -= rng.uniform(2, 4) * layer.weight.abs().mean()


def _dead(dish: Dish, losses: Losses) -> bool:
    """Return whether half of the units of a layer never fire on any training example."""
    if not all(map(math.isfinite, losses)):
        return False
    fired: list[Tensor] = []

    def note(module: nn.Module, inputs: Any, out: Tensor) -> None:  # noqa: ARG001
        fired.append((out > 0).transpose(0, 1).reshape(out.shape[1], -1).any(1))

    hooks = [m.register_forward_hook(note) for m in dish.net.modules() if isinstance(m, nn.ReLU)]
    with torch.no_grad():
        dish.net(dish.x)
    for hook in hooks:
        hook.remove()
    return any(float((~one).float().mean()) >= 0.55 for one in fired)


def _hidden_layers(recipe: Recipe, rng: random.Random) -> Recipe:
    return replace(recipe, depth=rng.choice([2, 3]), norm=False)


DEAD_UNITS = (
    Way("bias far below 0", _far_bias, RELU, came_about=_dead),
    Way("first steps too large", _burst_at_start, RELU, plain, _dead),
    Way("weights negative", _negative_weights, RELU, _hidden_layers, _dead),
)


def _deep(act: Callable[[], nn.Module], gain: float | None) -> Callable[[Dish, random.Random], None]:
    """Put a deep network in, whose weights are drawn with a gain of their own."""

    def spoil(dish: Dish, rng: random.Random) -> None:
        width, before = dish.recipe.width, dish.x.shape[1]
        layers: list[nn.Module] = []
        for _ in range(rng.randrange(8, 12)):
            layers += [nn.Linear(before, width), act()]
            before = width
        dish.net = nn.Sequential(*layers, nn.Linear(before, dish.classes or 1))
        with torch.no_grad():
            for p in dish.net.parameters():
                if gain is not None and p.dim() == 2:
                    p.normal_(0, gain / p.shape[1] ** 0.5)
        dish.optimizer = optimizer_of(dish.recipe, dish.net)
        dish.seen = [_slope(dish)]

    return spoil


def _uneven(dish: Dish, losses: Losses) -> bool:
    """Return whether the first matrix has 1/10,000 of the last's gradient per value, after training."""
    first, last = _ends(dish)
    return 0 < first < 1e-4 * last and all(map(math.isfinite, losses))


def _steep(dish: Dish, losses: Losses) -> bool:
    """Return whether the gradient started at 50 times that of the twin that was not spoilt."""
    return dish.seen[0] > 50 * _slope(prepare(dish.recipe)) and all(map(math.isfinite, losses))


def _slope(dish: Dish) -> float:
    """Return the norm of the gradient over all examples."""
    dish.loss(dish.net(dish.x), dish.y).backward()
    norm = sum(float(p.grad.square().sum()) for p in dish.net.parameters() if p.grad is not None) ** 0.5
    dish.net.zero_grad()
    return norm


def _ends(dish: Dish) -> tuple[float, float]:
    dish.net.zero_grad()
    dish.loss(dish.net(dish.x), dish.y).backward()
    sizes = [float(p.grad.square().mean().sqrt()) for p in dish.net.parameters() if p.dim() == 2 and p.grad is not None]
    return sizes[0], sizes[-1]


GRADIENTS = (
    Way("deep sigmoids", _deep(nn.Sigmoid, None), ("mlp",), plain, _uneven),
    Way("deep tanh, small weights", _deep(nn.Tanh, 0.2), ("mlp",), plain, _uneven),
    Way("deep ReLU, small weights", _deep(nn.ReLU, 0.3), ("mlp",), plain, _uneven),
    Way("deep ReLU, large weights", _deep(nn.ReLU, 6.0), ("mlp",), plain, _steep),
    Way("deep tanh, large weights", _deep(nn.Tanh, 6.0), ("mlp",), plain, _steep),
)


def _head(dish: Dish) -> nn.Linear:
    return [m for m in dish.net.modules() if isinstance(m, nn.Linear)][-1]


def _loud_head(dish: Dish, rng: random.Random) -> None:
    with torch.no_grad():
        _head(dish).weight *= rng.choice([20.0, 50.0])


def _biased_head(dish: Dish, rng: random.Random) -> None:
    with torch.no_grad():
        _head(dish).bias += rng.uniform(4, 8) * torch.randn(_head(dish).bias.shape)


def _inputs_not_scaled(dish: Dish, rng: random.Random) -> None:
    by = rng.choice([100.0, 255.0])
    dish.x, dish.vx = dish.x * by, dish.vx * by


def _summed(dish: Dish, rng: random.Random) -> None:  # noqa: ARG001
    """Sum the loss over a batch instead of averaging."""
    inner = dish.loss
    dish.loss = lambda out, y: inner(out, y) * len(y)


def _too_many_outputs(dish: Dish, rng: random.Random) -> None:
    """Give the head more outputs than there are classes."""
    count = (dish.classes or 2) ** 2 * rng.choice([2, 10])
    for module in dish.net.modules():
        for name, child in module.named_children():
            if child is _head(dish):
                setattr(module, name, nn.Linear(child.in_features, count))
                dish.optimizer = optimizer_of(dish.recipe, dish.net)
                return


def _off(dish: Dish, losses: Losses) -> bool:
    """Return whether a guess is a third better than the network was at first, or a third worse."""
    guess = math.log(dish.classes or 2)
    return losses[0] > 1.5 * guess or losses[0] < 0.6 * guess


INITIAL_LOSS = (
    Way("loud head", _loud_head, came_about=_off, classes=True),
    Way("biased head", _biased_head, came_about=_off, classes=True),
    Way("inputs not scaled", _inputs_not_scaled, RELU, plain, _off, classes=True),
    Way("summed", _summed, came_about=_off, classes=True),
    Way("too many outputs", _too_many_outputs, came_about=_off, classes=True),
)
