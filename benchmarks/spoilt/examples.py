"""Trainings whose examples are wrong: nothing to learn, too few to learn from, the same on both sides."""

import math
import random
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from benchmarks.kitchen import Dish, optimizer_of, validate
from benchmarks.pantry import Recipe
from benchmarks.spoilt.way import RELU, Losses, Way


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


NOT_LEARNING = (
    Way("targets of others", _random_targets, came_about=_flat_end),
    Way("inputs are 0", _no_inputs, ("mlp", "cnn"), came_about=_flat_end),
    Way("inputs are noise", _noise_inputs, ("mlp", "cnn"), came_about=_flat_end),
    Way("weights start at 0", _zero_weights, ("mlp", "cnn"), came_about=_flat_end),
)


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


OVERFIT = (
    Way("few examples", _keep_few, change=_few, came_about=_overfitted),
    Way("wrong labels", _noisy_labels, ("mlp", "cnn"), _few, _overfitted, classes=True),
    Way("features that are noise", _more_features, ("mlp",), _few, _overfitted),
)


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


LEAK = (
    Way("validation is training", _validation_is_training, change=_validated),
    Way("duplicates", _duplicated, change=_validated),
    Way("averaged twice", _averaged_twice, change=_plain_mode),
    Way("noise in training alone", _noise_in_training_alone, RELU, _plain_mode, classes=True),
)
