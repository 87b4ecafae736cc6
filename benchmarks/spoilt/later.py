"""Trainings in which something goes wrong on the way: not finite, diverged, spikes, a noise ball."""

import copy
import math
import random
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from benchmarks.kitchen import Dish, loss_of, optimizer_of
from benchmarks.pantry import Recipe
from benchmarks.spoilt.way import FLOATS, RELU, Losses, Way, nothing, own, plain


def _late_step(rng: random.Random, dish: Dish) -> int:
    return rng.randrange(int(0.3 * dish.recipe.steps), int(0.6 * dish.recipe.steps))


def _log_of_zero(dish: Dish, rng: random.Random) -> None:
    """Add the logarithm of what becomes 0."""
    at, inner, count = _late_step(rng, dish), dish.loss, [0]

    def loss(out: Tensor, y: Tensor) -> Tensor:
        count[0] += dish.net.training
        return inner(out, y) + (0 * torch.log(out.relu().min() * 0) if count[0] > at else 0)

    dish.loss = loss


def _nan_example(dish: Dish, rng: random.Random) -> None:
    dish.x = dish.x.clone()
    dish.x[rng.randrange(len(dish.x))] = math.nan


def _infinite_weight(dish: Dish, rng: random.Random) -> None:
    at, layer = _late_step(rng, dish), rng.choice(own(dish.net))

    def before(dish: Dish, step: int) -> None:  # noqa: ARG001
        if step == at:
            with torch.no_grad():
                next(layer.parameters(recurse=False)).view(-1)[0] = math.inf

    dish.before_step = before


def _nan_gradient(dish: Dish, rng: random.Random) -> None:
    """Let a gradient be 0/0 as that of a square root at 0 is."""
    at, layer = _late_step(rng, dish), rng.choice(own(dish.net))

    def before(dish: Dish, step: int) -> None:  # noqa: ARG001
        grad = next(layer.parameters(recurse=False)).grad
        if step == at and grad is not None:
            grad.view(-1)[0] = math.nan

    dish.before_step = before


def _not_finite(dish: Dish, losses: Losses) -> bool:
    return not (all(map(math.isfinite, losses)) and all(bool(p.isfinite().all()) for p in dish.net.parameters()))


def _high_rate(recipe: Recipe, rng: random.Random) -> Recipe:
    return replace(plain(recipe, rng), optimizer="sgd", lr=1e6)


NOT_FINITE = (
    Way("rate far too high", nothing, ("mlp", "cnn", "autoencoder"), _high_rate, _not_finite),
    Way("logarithm of 0", _log_of_zero, came_about=_not_finite),
    Way("NaN in an example", _nan_example, FLOATS, came_about=_not_finite),
    Way("infinite weight", _infinite_weight, came_about=_not_finite),
    Way("NaN in a gradient", _nan_gradient, came_about=_not_finite),
)


def _rate_grows(dish: Dish, rng: random.Random) -> None:
    at, inner, by = _late_step(rng, dish), dish.schedule, rng.uniform(1.03, 1.08)
    dish.schedule = lambda step: inner(min(step, at)) * min(by ** max(0, step - at), 3000.0)


def _rate_jumps(dish: Dish, rng: random.Random) -> None:
    at, inner, by = _late_step(rng, dish), dish.schedule, rng.choice([100.0, 300.0, 1000.0])
    dish.schedule = lambda step: inner(min(step, at)) * (by if step >= at else 1)


def _climbs(dish: Dish, rng: random.Random) -> None:
    """Turn the gradients of later steps around: a sign that was lost."""
    at = _late_step(rng, dish)

    def before(dish: Dish, step: int) -> None:
        for p in dish.net.parameters():
            if step >= at and p.grad is not None:
                p.grad.neg_()

    dish.before_step = before


def _weights_shaken(dish: Dish, rng: random.Random) -> None:
    """Add noise to the weights at each later step, as a broken exchange between machines does."""
    at, size = _late_step(rng, dish), rng.uniform(0.03, 0.1)

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


DIVERGED = (
    Way("rate grows", _rate_grows, came_about=_rose),
    Way("rate jumps", _rate_jumps, came_about=_rose),
    Way("gradients turned around", _climbs, came_about=_rose),
    Way("weights shaken", _weights_shaken, came_about=_rose),
)


def _now_and_then(rng: random.Random, dish: Dish) -> set[int]:
    first = _late_step(rng, dish)
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


def _no_noise(recipe: Recipe, rng: random.Random) -> Recipe:  # noqa: ARG001
    return replace(recipe, label_noise=0.0, clip=0.0, batch=max(16, recipe.batch))


SPIKES = (
    Way("bad batches", _bad_batches, FLOATS, _no_noise, _spiked),
    Way("rate bursts", _rate_bursts, change=_no_noise, came_about=_spiked),
    Way("weights jolted", _weights_jolted, change=_no_noise, came_about=_spiked),
    Way("wrong targets", _wrong_targets, RELU, _no_noise, _spiked, classes=True),
)


def _hot(recipe: Recipe, rng: random.Random) -> Recipe:
    high = {"sgd": 0.5, "momentum": 0.05, "adam": 0.02, "adamw": 0.02}[recipe.optimizer]
    return replace(
        recipe,
        lr=high * rng.uniform(0.7, 2),
        schedule=rng.choice(["constant", "warmup"]),
        batch=rng.choice([2, 4]),
        steps=3 * recipe.steps,
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


NOISE_BALL = (Way("rate stays high", nothing, ("mlp", "mlp", "cnn", "gru", "autoencoder"), _hot, _cooler_is_better),)
