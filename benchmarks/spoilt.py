"""Trainings spoilt on purpose: for each symptom several ways, and whether what was meant did come about.

Whether it did (`Way.came_about`) is judged by what the detectors do not use: a branch at a lower rate, activations over
all the data, the twin that was not spoilt. A training that was not spoilt after all (a network that survives a learning
rate 20 times too high) is no miss; it is left out before any detector has looked at it.
"""

import copy
import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.kitchen import Dish, Recipe, loss_of, optimizer_of, prepare, sample_recipe, validate

Losses = list[float]


def _always(dish: Dish, losses: Losses) -> bool:  # noqa: ARG001
    return True


@dataclass(frozen=True, slots=True)
class Way:
    """One way to spoil a training: what its recipe must be, what is done to it, whether it came about."""

    name: str
    spoil: Callable[[Dish, random.Random], None]
    nets: tuple[str, ...] = ("mlp", "cnn", "gru", "transformer", "autoencoder")
    change: Callable[[Recipe, random.Random], Recipe] = lambda recipe, rng: recipe  # noqa: ARG005
    came_about: Callable[[Dish, Losses], bool] = _always
    classes: bool = False


def _nothing(dish: Dish, rng: random.Random) -> None:
    """Leave the dish: its recipe is what was spoilt."""


def _at(rng: random.Random, dish: Dish) -> int:
    return rng.randrange(int(0.3 * dish.recipe.steps), int(0.6 * dish.recipe.steps))


def _own(net: nn.Module) -> list[nn.Module]:
    """Return the modules that hold parameters, in order."""
    return [m for m in net.modules() if next(m.parameters(recurse=False), None) is not None]


# ---- not finite


def _log_of_zero(dish: Dish, rng: random.Random) -> None:
    """Add the logarithm of what becomes 0."""
    at, inner, count = _at(rng, dish), dish.loss, [0]

    def loss(out: Tensor, y: Tensor) -> Tensor:
        count[0] += dish.net.training
        return inner(out, y) + (0 * torch.log(out.relu().min() * 0) if count[0] > at else 0)

    dish.loss = loss


def _nan_example(dish: Dish, rng: random.Random) -> None:
    dish.x = dish.x.clone()
    dish.x[rng.randrange(len(dish.x))] = math.nan


def _infinite_weight(dish: Dish, rng: random.Random) -> None:
    at, layer = _at(rng, dish), rng.choice(_own(dish.net))

    def before(dish: Dish, step: int) -> None:  # noqa: ARG001
        if step == at:
            with torch.no_grad():
                next(layer.parameters(recurse=False)).view(-1)[0] = math.inf

    dish.before_step = before


def _nan_gradient(dish: Dish, rng: random.Random) -> None:
    """Let a gradient be 0/0 as that of a square root at 0 is."""
    at, layer = _at(rng, dish), rng.choice(_own(dish.net))

    def before(dish: Dish, step: int) -> None:  # noqa: ARG001
        grad = next(layer.parameters(recurse=False)).grad
        if step == at and grad is not None:
            grad.view(-1)[0] = math.nan

    dish.before_step = before


def _not_finite(dish: Dish, losses: Losses) -> bool:
    return not (all(map(math.isfinite, losses)) and all(bool(p.isfinite().all()) for p in dish.net.parameters()))


# ---- diverged


def _rate_grows(dish: Dish, rng: random.Random) -> None:
    at, inner, by = _at(rng, dish), dish.schedule, rng.uniform(1.03, 1.08)
    dish.schedule = lambda step: inner(min(step, at)) * min(by ** max(0, step - at), 3000.0)


def _rate_jumps(dish: Dish, rng: random.Random) -> None:
    at, inner, by = _at(rng, dish), dish.schedule, rng.choice([100.0, 300.0, 1000.0])
    dish.schedule = lambda step: inner(min(step, at)) * (by if step >= at else 1)


def _climbs(dish: Dish, rng: random.Random) -> None:
    """Turn the gradients of later steps around: a sign that was lost."""
    at = _at(rng, dish)

    def before(dish: Dish, step: int) -> None:
        for p in dish.net.parameters():
            if step >= at and p.grad is not None:
                p.grad.neg_()

    dish.before_step = before


def _weights_shaken(dish: Dish, rng: random.Random) -> None:
    """Add noise to the weights at each later step, as a broken exchange between machines does."""
    at, size = _at(rng, dish), rng.uniform(0.03, 0.1)

    def before(dish: Dish, step: int) -> None:
        with torch.no_grad():
            for p in dish.net.parameters():
                if step >= at:
                    p += size * torch.randn_like(p)

    dish.before_step = before


def _rose(dish: Dish, losses: Losses) -> bool:  # noqa: ARG001
    """Return whether the last tenth is far above the best twentieth, and all finite."""
    n = len(losses)
    if not all(map(math.isfinite, losses)):
        return False
    means = np.convolve(losses, np.ones(n // 20) / (n // 20), "valid")
    late = np.array(losses[-max(n // 4, 1) :])
    return bool(late[: len(late) // 2].mean() > 1.5 * means.min() and late[-n // 10 :].mean() > 1.5 * means.min()) and (
        float(late.mean() - means.min()) > 0.5 * (np.mean(losses[:5]) - means.min())
    )


# ---- spikes


def _now_and_then(rng: random.Random, dish: Dish) -> set[int]:
    first = _at(rng, dish)
    return {
        first + k * rng.randrange(60, 100) for k in range(rng.randrange(1, 4)) if first + 80 * k < dish.recipe.steps
    }


def _bad_batches(dish: Dish, rng: random.Random) -> None:
    when, by = _now_and_then(rng, dish), rng.choice([50.0, 200.0])
    dish.batch_of = lambda d, step, x, y: (x * by if step in when else x, y)  # noqa: ARG005


def _rate_bursts(dish: Dish, rng: random.Random) -> None:
    when, inner, by = _now_and_then(rng, dish), dish.schedule, rng.choice([60.0, 200.0])
    dish.schedule = lambda step: (by if step in when else 1.0) * max(inner(step), 0.2)


def _weights_jolted(dish: Dish, rng: random.Random) -> None:
    when, size = _now_and_then(rng, dish), rng.uniform(0.3, 0.8)

    def before(dish: Dish, step: int) -> None:
        with torch.no_grad():
            for p in dish.net.parameters():
                if step in when:
                    p += size * torch.randn_like(p)

    dish.before_step = before


def _wrong_targets(dish: Dish, rng: random.Random) -> None:
    when = _now_and_then(rng, dish)
    dish.batch_of = lambda d, step, x, y: (x, (y + 1) % d.classes if step in when else y)


def _spiked(dish: Dish, losses: Losses) -> bool:  # noqa: ARG001
    """Return whether a loss in the later part is 3 times all of the 20 before it, and the end is back."""
    if not all(map(math.isfinite, losses)):
        return False
    start = int(0.3 * len(losses))
    spikes = [i for i in range(start, len(losses) - 30) if losses[i] > 3 * max(losses[i - 20 : i])]
    return bool(spikes) and np.median(losses[-20:]) < losses[spikes[0]] / 2


# ---- not learning


def _random_targets(dish: Dish, rng: random.Random) -> None:  # noqa: ARG001
    dish.batch_of = lambda d, step, x, y: (x, d.y[torch.randint(0, len(d.y), (len(y),))])  # noqa: ARG005


def _no_inputs(dish: Dish, rng: random.Random) -> None:  # noqa: ARG001
    dish.x, dish.vx = torch.zeros_like(dish.x), torch.zeros_like(dish.vx)


def _noise_inputs(dish: Dish, rng: random.Random) -> None:  # noqa: ARG001
    dish.batch_of = lambda d, step, x, y: (torch.randn(x.shape), y)  # noqa: ARG005


def _zero_weights(dish: Dish, rng: random.Random) -> None:  # noqa: ARG001
    with torch.no_grad():
        for p in dish.net.parameters():
            p.zero_()


def _flat_end(dish: Dish, losses: Losses) -> bool:
    """Return whether the end is no better than the loss of a guess."""
    guess = math.log(dish.classes) if dish.classes else (dish.chance or 0.0)
    return float(np.mean(losses[-50:])) > 0.95 * guess


# ---- learning rate


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


# ---- forgotten


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
    layers = [m for m in _own(dish.net) if any(p.dim() >= 2 for p in m.parameters(recurse=False))]
    return rng.choice(layers)


def _left_out(dish: Dish, rng: random.Random) -> None:
    _without(dish, {id(p) for p in _a_layer(dish, rng).parameters(recurse=False)}, None)


def _group_at_zero(dish: Dish, rng: random.Random) -> None:
    _without(dish, {id(p) for p in _a_layer(dish, rng).parameters(recurse=False)}, 0.0)


def _detached(dish: Dish, rng: random.Random) -> None:  # noqa: ARG001
    """Cut the graph behind the first layer, as a `detach` or `.data` that was left in does."""

    def cut(module: nn.Module, inputs: Any, out: Any) -> Any:  # noqa: ARG001
        return tuple(one.detach() for one in out) if isinstance(out, tuple) else out.detach()

    first = next(m for m in _own(dish.net) if not isinstance(m, nn.TransformerEncoderLayer) and m is not dish.net)
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


# ---- dead units


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


# ---- gradients


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

    return spoil


def _uneven(dish: Dish, losses: Losses) -> bool:
    """Return whether the first matrix has 1/10,000 of the last's gradient per value, after training."""
    first, last = _ends(dish)
    return 0 < first < 1e-4 * last and all(map(math.isfinite, losses))


def _steep(dish: Dish, losses: Losses) -> bool:
    """Return whether the gradient starts at 50 times that of the twin that was not spoilt."""
    norms = []
    for fresh in (prepare_spoilt(dish.recipe), prepare(dish.recipe)):
        fresh.loss(fresh.net(fresh.x), fresh.y).backward()
        norms.append(sum(float(p.grad.square().sum()) for p in fresh.net.parameters() if p.grad is not None) ** 0.5)
    return norms[0] > 50 * norms[1] and all(map(math.isfinite, losses))


def _ends(dish: Dish) -> tuple[float, float]:
    dish.net.zero_grad()
    dish.loss(dish.net(dish.x), dish.y).backward()
    sizes = [float(p.grad.square().mean().sqrt()) for p in dish.net.parameters() if p.dim() == 2 and p.grad is not None]
    return sizes[0], sizes[-1]


# ---- overfit


def _few(recipe: Recipe, rng: random.Random) -> Recipe:
    return replace(
        recipe,
        validates=True,
        dropout=0.0,
        augment=0.0,
        decay=0.0,
        schedule="constant",
        lr=max(recipe.lr, 2e-3 if "adam" in recipe.optimizer else 0.03),
        label_noise=rng.choice([0.1, 0.3]) if recipe.task in ("digits", "mnist1d", "breast_cancer") else 0.0,
        batch=min(recipe.batch, 16),
        steps=max(recipe.steps, 400),
    )


def _keep_few(dish: Dish, rng: random.Random) -> None:
    _validated_too(dish)
    count = rng.randrange(50, 150)
    dish.x, dish.y = dish.x[:count], dish.y[:count]


def _noisy_labels(dish: Dish, rng: random.Random) -> None:
    """Keep some hundred examples, of which many have another label."""
    _validated_too(dish)
    count = rng.randrange(200, 400)
    dish.x, dish.y = dish.x[:count], dish.y[:count].clone()
    some = torch.rand(count) < 0.4
    dish.y[some] = dish.y[torch.randperm(count)][some]


def _more_features(dish: Dish, rng: random.Random) -> None:
    """Add features that are noise, and keep few examples."""
    _validated_too(dish)
    count, extra = rng.randrange(80, 200), 300
    dish.x, dish.y = dish.x[:count], dish.y[:count]
    dish.x = torch.cat([dish.x, torch.randn(len(dish.x), extra)], dim=1)
    dish.vx = torch.cat([dish.vx, torch.randn(len(dish.vx), extra)], dim=1)
    torch.manual_seed(dish.recipe.seed)
    width = 96
    dish.net = nn.Sequential(nn.Linear(dish.x.shape[1], width), nn.ReLU(), nn.Linear(width, dish.classes or 1))
    dish.optimizer = optimizer_of(dish.recipe, dish.net)


def _validated_too(dish: Dish) -> None:
    """Note the validation loss ten times, at other steps than the observer's."""

    def before(one: Dish, step: int) -> None:
        if step % max(1, one.recipe.steps // 10) == 3:
            one.seen.append(validate(one))

    dish.before_step = before


def _overfitted(dish: Dish, losses: Losses) -> bool:
    """Return whether validation at the end is 20 % worse than at the best of ten moments."""
    return validate(dish) > 1.2 * min(dish.seen) and bool(np.mean(losses[-20:]) < np.mean(losses[:20]))


# ---- leak


def _validation_is_training(dish: Dish, rng: random.Random) -> None:
    rows = torch.randperm(len(dish.x))[: len(dish.vx)]
    share = rng.choice([1.0, 1.0, 0.5])
    some = int(share * len(rows))
    dish.vx, dish.vy = dish.vx.clone(), dish.vy.clone()
    dish.vx[:some], dish.vy[:some] = dish.x[rows[:some]], dish.y[rows[:some]]


def _duplicated(dish: Dish, rng: random.Random) -> None:  # noqa: ARG001
    """Double the data, and split afterwards."""
    x, y = torch.cat([dish.x, dish.vx]).repeat_interleave(2, 0), torch.cat([dish.y, dish.vy]).repeat_interleave(2, 0)
    order, cut = torch.randperm(len(x)), len(dish.vx)
    x, y = x[order], y[order]
    dish.x, dish.y, dish.vx, dish.vy = x[cut:], y[cut:], x[:cut], y[:cut]


def _averaged_twice(dish: Dish, rng: random.Random) -> None:
    dish.scale_validation = rng.choice([0.5, 0.1, 0.02])


def _noise_in_training_alone(dish: Dish, rng: random.Random) -> None:
    share = rng.uniform(0.4, 0.6)
    some = torch.rand(dish.y.shape) < share
    dish.y = torch.where(some, torch.randint(0, dish.classes or 2, dish.y.shape), dish.y)


def _validated(recipe: Recipe, rng: random.Random) -> Recipe:  # noqa: ARG001
    return replace(recipe, validates=True, augment=0.0, label_noise=0.0)


def _plain_mode(recipe: Recipe, rng: random.Random) -> Recipe:
    return replace(_validated(recipe, rng), dropout=0.0)


# ---- initial loss


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


# ---- noise ball


def _hot(recipe: Recipe, rng: random.Random) -> Recipe:
    high = {"sgd": 0.5, "momentum": 0.05, "adam": 0.02, "adamw": 0.02}[recipe.optimizer]
    return replace(
        recipe,
        lr=high * rng.uniform(0.7, 2),
        schedule=rng.choice(["constant", "warmup"]),
        batch=rng.choice([2, 4]),
        steps=int(recipe.steps * 1.5),
        norm=False,
        accumulate=1,
        clip=0.0,
    )


def _cooler_is_better(dish: Dish, losses: Losses) -> bool:
    """Return whether a branch at a tenth of the rate is 12 % better, and one at the same rate no more than that."""
    if not all(map(math.isfinite, losses)):
        return False
    levels = [_branch(dish, by) for by in (1.0, 0.1)]
    return levels[1] < 0.88 * levels[0] and levels[0] > 0.88 * float(np.mean(losses[-len(losses) // 5 :]))


def _branch(dish: Dish, by: float) -> float:
    """Train a copy on for a fifth of the steps at `by` times the rate; return its mean loss over the last half."""
    net, recipe = copy.deepcopy(dish.net), dish.recipe
    optimizer = optimizer_of(recipe, net)
    optimizer.load_state_dict(copy.deepcopy(dish.optimizer.state_dict()))
    for group in optimizer.param_groups:
        group["lr"] *= by
    losses, rng = [], torch.Generator().manual_seed(5)
    for _ in range(recipe.steps // 5):
        rows = torch.randint(0, len(dish.x), (recipe.batch,), generator=rng)
        x = dish.x[rows]
        x = x + recipe.augment * torch.randn(x.shape, generator=rng) if recipe.augment else x
        loss = loss_of(recipe, dish.classes)(net(x), dish.y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return float(np.mean(losses[len(losses) // 2 :]))


# ---- all of them

RELU = ("mlp", "cnn")
FLOATS = ("mlp", "cnn", "autoencoder")


def _hidden_layers(recipe: Recipe, rng: random.Random) -> Recipe:
    return replace(recipe, depth=rng.choice([2, 3]), norm=False)


def _plain(recipe: Recipe, rng: random.Random) -> Recipe:  # noqa: ARG001
    return replace(recipe, norm=False, clip=0.0, label_noise=0.0)


def _high_rate(recipe: Recipe, rng: random.Random) -> Recipe:
    return replace(_plain(recipe, rng), optimizer="sgd", lr=1e6)


def _no_noise(recipe: Recipe, rng: random.Random) -> Recipe:  # noqa: ARG001
    return replace(recipe, label_noise=0.0, clip=0.0, batch=max(16, recipe.batch))


WAYS: dict[str, tuple[Way, ...]] = {
    "not_finite": (
        Way("rate far too high", _nothing, ("mlp", "cnn", "autoencoder"), _high_rate, _not_finite),
        Way("logarithm of 0", _log_of_zero, came_about=_not_finite),
        Way("NaN in an example", _nan_example, FLOATS, came_about=_not_finite),
        Way("infinite weight", _infinite_weight, came_about=_not_finite),
        Way("NaN in a gradient", _nan_gradient, came_about=_not_finite),
    ),
    "diverged": (
        Way("rate grows", _rate_grows, came_about=_rose),
        Way("rate jumps", _rate_jumps, came_about=_rose),
        Way("gradients turned around", _climbs, came_about=_rose),
        Way("weights shaken", _weights_shaken, came_about=_rose),
    ),
    "spikes": (
        Way("bad batches", _bad_batches, FLOATS, _no_noise, _spiked),
        Way("rate bursts", _rate_bursts, change=_no_noise, came_about=_spiked),
        Way("weights jolted", _weights_jolted, change=_no_noise, came_about=_spiked),
        Way("wrong targets", _wrong_targets, RELU, _no_noise, _spiked, classes=True),
    ),
    "not_learning": (
        Way("targets of others", _random_targets, came_about=_flat_end),
        Way("inputs are 0", _no_inputs, ("mlp", "cnn"), came_about=_flat_end),
        Way("inputs are noise", _noise_inputs, ("mlp", "cnn"), came_about=_flat_end),
        Way("weights start at 0", _zero_weights, ("mlp", "cnn"), came_about=_flat_end),
    ),
    "learning_rate": (
        Way("0", _scaled(0.0)),
        Way("a millionth", _scaled(1e-6)),
        Way("a tenth, of an old checkpoint", _scaled(0.1)),
        Way("the rate for a factor", _squared),
        Way("another optimizer steps", _other_steps),
        Way("decays too soon", _decays_too_soon),
    ),
    "forgotten": (
        Way("left out", _left_out),
        Way("a group at rate 0", _group_at_zero),
        Way("detached", _detached),
        Way("replaced", _replaced),
        Way("written back", _written_back),
    ),
    "dead_units": (
        Way("bias far below 0", _far_bias, RELU, came_about=_dead),
        Way("first steps too large", _burst_at_start, RELU, _plain, _dead),
        Way("weights negative", _negative_weights, RELU, _hidden_layers, _dead),
    ),
    "gradients": (
        Way("deep sigmoids", _deep(nn.Sigmoid, None), ("mlp",), _plain, _uneven),
        Way("deep tanh, small weights", _deep(nn.Tanh, 0.2), ("mlp",), _plain, _uneven),
        Way("deep ReLU, small weights", _deep(nn.ReLU, 0.3), ("mlp",), _plain, _uneven),
        Way("deep ReLU, large weights", _deep(nn.ReLU, 6.0), ("mlp",), _plain, _steep),
        Way("deep tanh, large weights", _deep(nn.Tanh, 6.0), ("mlp",), _plain, _steep),
    ),
    "overfit": (
        Way("few examples", _keep_few, change=_few, came_about=_overfitted),
        Way("wrong labels", _noisy_labels, ("mlp", "cnn"), _few, _overfitted, classes=True),
        Way("features that are noise", _more_features, ("mlp",), _few, _overfitted),
    ),
    "leak": (
        Way("validation is training", _validation_is_training, change=_validated),
        Way("duplicates", _duplicated, change=_validated),
        Way("averaged twice", _averaged_twice, change=_plain_mode),
        Way("noise in training alone", _noise_in_training_alone, RELU, _plain_mode, classes=True),
    ),
    "initial_loss": (
        Way("loud head", _loud_head, came_about=_off, classes=True),
        Way("biased head", _biased_head, came_about=_off, classes=True),
        Way("inputs not scaled", _inputs_not_scaled, RELU, _plain, _off, classes=True),
        Way("summed", _summed, came_about=_off, classes=True),
        Way("too many outputs", _too_many_outputs, came_about=_off, classes=True),
    ),
    "noise_ball": (
        Way("rate stays high", _nothing, ("mlp", "mlp", "cnn", "gru", "autoencoder"), _hot, _cooler_is_better),
    ),
}


def spoilt(kind: str, attempts: int) -> Iterator[Recipe]:
    """Draw recipes of trainings that are spoilt in one kind, its ways in turn.

    Where each comes about and the ways are even in number, the turn is shifted each time round: every second training
    would have every second way.
    """
    ways = WAYS[kind]
    shifts = len(ways) % 2 == 0 and all(way.came_about is _always for way in ways)
    for number in range(attempts):
        rng = random.Random(f"{kind}-{number}")
        way = ways[(number + number // len(ways) * shifts) % len(ways)]
        recipe = sample_recipe(rng, rng.choice(way.nets))
        while way.classes and (recipe.task == "regression" or recipe.net == "autoencoder"):
            recipe = sample_recipe(rng, rng.choice(way.nets))
        yield replace(way.change(recipe, rng), spoilt=kind, way=way.name)


def way_of(recipe: Recipe) -> Way:
    """Return how a recipe is spoilt."""
    return next(way for way in WAYS[recipe.spoilt] if way.name == recipe.way)


def prepare_spoilt(recipe: Recipe) -> Dish:
    """Put a training together and spoil it."""
    dish = prepare(recipe)
    way_of(recipe).spoil(dish, random.Random(recipe.seed))
    return dish
