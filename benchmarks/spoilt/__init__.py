"""Trainings spoilt on purpose: for each symptom several ways, and whether what was meant did come about.

Whether it did (`Way.came_about`) is judged by what the detectors do not use: a branch at a lower rate, activations over
all the data, the twin that was not spoilt. A training that was not spoilt after all (a network that survives a learning
rate 20 times too high) is no miss; it is left out before any detector has looked at it.
"""

import random
from collections.abc import Iterator
from dataclasses import replace
from itertools import count

from benchmarks.kitchen import SEEDS, Dish, Part, prepare, sample_recipe
from benchmarks.pantry import Recipe
from benchmarks.spoilt.examples import LEAK, NOT_LEARNING, OVERFIT
from benchmarks.spoilt.later import DIVERGED, NOISE_BALL, NOT_FINITE, SPIKES
from benchmarks.spoilt.model import DEAD_UNITS, FORGOTTEN, GRADIENTS, INITIAL_LOSS, LEARNING_RATE
from benchmarks.spoilt.way import Way

WAYS: dict[str, tuple[Way, ...]] = {
    "not_finite": NOT_FINITE,
    "diverged": DIVERGED,
    "spikes": SPIKES,
    "not_learning": NOT_LEARNING,
    "learning_rate": LEARNING_RATE,
    "forgotten": FORGOTTEN,
    "dead_units": DEAD_UNITS,
    "gradients": GRADIENTS,
    "overfit": OVERFIT,
    "leak": LEAK,
    "initial_loss": INITIAL_LOSS,
    "noise_ball": NOISE_BALL,
}


def spoilt(kind: str, part: Part) -> Iterator[Recipe]:
    """Draw recipes of trainings that are spoilt in one kind, its ways in turn, without end."""
    ways = WAYS[kind]
    for number in count():
        rng = random.Random(f"{SEEDS[part]}{kind}-{number}")
        way = ways[number % len(ways)]
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
