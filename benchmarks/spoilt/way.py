"""One way to spoil a training, and what several of them share."""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import nn

from benchmarks.kitchen import Dish
from benchmarks.pantry import Recipe

Losses = list[float]

RELU = ("mlp", "cnn")
FLOATS = ("mlp", "cnn", "autoencoder")
"""Networks with layers that end in a ReLU; networks whose inputs are no letters."""


def always(dish: Dish, losses: Losses) -> bool:  # noqa: ARG001
    """Return that it came about: it cannot fail to."""
    return True


@dataclass(frozen=True, slots=True)
class Way:
    """One way to spoil a training: what its recipe must be, what is done to it, whether it came about."""

    name: str
    spoil: Callable[[Dish, random.Random], None]
    nets: tuple[str, ...] = ("mlp", "cnn", "gru", "transformer", "autoencoder")
    change: Callable[[Recipe, random.Random], Recipe] = lambda recipe, rng: recipe  # noqa: ARG005
    came_about: Callable[[Dish, Losses], bool] = always
    classes: bool = False


def nothing(dish: Dish, rng: random.Random) -> None:
    """Leave the dish: its recipe is what was spoilt."""


def own(net: nn.Module) -> list[nn.Module]:
    """Return the modules that hold parameters, in order."""
    return [m for m in net.modules() if next(m.parameters(recurse=False), None) is not None]


def plain(recipe: Recipe, rng: random.Random) -> Recipe:  # noqa: ARG001
    """Leave out what hides a fault."""
    return replace(recipe, norm=False, clip=0.0, label_noise=0.0)
