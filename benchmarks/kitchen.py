"""Small trainings, healthy and spoilt on purpose, that the symptoms are tried on.

A training is described by numbers alone (`Recipe`), so that healthy and spoilt ones come from the same variety of
networks, data, optimizers and schedules. A spoiling changes one thing of it.
"""

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from benchmarks.pantry import Recipe, data_of, net_of, table
from palate.cooking.looks import Observer

STEPS = {"mlp": 400, "cnn": 300, "gru": 160, "transformer": 160, "autoencoder": 300, "gan": 300}
EVALUATIONS = 15

Part = Literal["development", "held out"]
"""On the trainings of the first part the rules' numbers are chosen, on those of the other they are judged."""

SEEDS: dict[Part, str] = {"development": "", "held out": "unseen-"}

Log = list[dict[str, float]]
"""What is logged of a training: a row a step with `loss`, `lr`, `grad_norm`; now and then one with `val_loss`."""


@dataclass(slots=True)
class Dish:
    """A training that is put together, and may be spoilt before it starts."""

    recipe: Recipe
    net: nn.Module
    optimizer: Any
    schedule: Callable[[int], float]
    x: Tensor
    y: Tensor
    vx: Tensor
    vy: Tensor
    classes: int | None
    chance: float | None
    loss: Callable[[Tensor, Tensor], Tensor]
    asked: float
    stepping: Any = None
    before_step: Callable[["Dish", int], None] = lambda dish, step: None  # noqa: ARG005
    batch_of: Callable[["Dish", int, Tensor, Tensor], tuple[Tensor, Tensor]] | None = None
    scale_validation: float = 1.0
    seen: list[float] = field(default_factory=list)


def optimizer_of(recipe: Recipe, net: nn.Module) -> Any:
    """Build the optimizer; weight decay is on matrices alone."""
    matrices = [p for p in net.parameters() if p.dim() >= 2]
    rest = [p for p in net.parameters() if p.dim() < 2]
    groups = [{"params": matrices, "weight_decay": recipe.decay}, {"params": rest, "weight_decay": 0.0}]
    given: Any = groups if recipe.decay else net.parameters()
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(given, lr=recipe.lr)
    if recipe.optimizer == "momentum":
        return torch.optim.SGD(given, lr=recipe.lr, momentum=0.9)
    kind = torch.optim.Adam if recipe.optimizer == "adam" else torch.optim.AdamW
    return kind(given, lr=recipe.lr, **({} if recipe.decay else {"weight_decay": 0.0}))


def schedule_of(recipe: Recipe) -> Callable[[int], float]:
    """Return the factor of the learning rate by step."""
    n = recipe.steps
    return {
        "constant": lambda step: 1.0,  # noqa: ARG005
        "cosine": lambda step: 0.5 * (1 + math.cos(math.pi * step / n)),
        "step": lambda step: 0.1 ** (step * 3 // n),
        "onecycle": lambda step: min(1.0, (step + 1) / (0.3 * n)) * (1.0 if step < 0.3 * n else (n - step) / (0.7 * n)),
        "warmup": lambda step: min(1.0, (step + 1) / (0.1 * n)),
        "linear": lambda step: 1 - step / n,
    }[recipe.schedule]


def loss_of(recipe: Recipe, classes: int | None) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the loss."""
    if classes is None:
        return F.mse_loss
    if recipe.task == "text":
        return lambda out, y: F.cross_entropy(out.reshape(-1, out.shape[-1]), y.reshape(-1))
    return F.cross_entropy


def prepare(recipe: Recipe) -> Dish:
    """Put a training together."""
    torch.manual_seed(recipe.seed)
    x, y, vx, vy, classes = data_of(recipe)
    net = net_of(recipe, x, classes)
    chance = float(y.float().var()) if classes is None else None
    return Dish(
        recipe=recipe,
        net=net,
        optimizer=optimizer_of(recipe, net),
        schedule=schedule_of(recipe),
        x=x,
        y=y,
        vx=vx,
        vy=vy,
        classes=classes,
        chance=chance,
        loss=loss_of(recipe, classes),
        asked=recipe.lr,
    )


def cook(dish: Dish, *, tells_everything: bool) -> tuple[Observer, Log]:
    """Train, watched by an observer; return it and what was logged besides.

    Args:
        dish: what is trained.
        tells_everything: whether the observer is told the learning rate, the chance level and all inputs,
            as a careful user would; otherwise classes and whether there is augmentation alone.
    """
    recipe = dish.recipe
    told: dict[str, Any] = {"classes": dish.classes, "augmented": recipe.augment > 0}
    if tells_everything:
        told |= {"lr": dish.asked, "chance": dish.chance}
        told |= {"validation": dish.vx, "training": dish.x} if recipe.validates else {}
    stepping = dish.stepping or dish.optimizer
    observer = Observer(dish.net, dish.optimizer, **told)
    every = max(1, recipe.steps // EVALUATIONS)
    base = [group["lr"] for group in stepping.param_groups]
    rng = torch.Generator().manual_seed(recipe.seed + 1)
    rows = row_numbers(len(dish.x), recipe.batch, rng)
    losses: list[float] = []
    log: Log = []
    for step in range(recipe.steps):
        for group, lr in zip(stepping.param_groups, base, strict=True):
            group["lr"] = lr * dish.schedule(step)
        stepping.zero_grad()
        losses.append(sum(_backward(dish, step, next(rows), rng) for _ in range(recipe.accumulate)))
        dish.before_step(dish, step)
        norm = float(nn.utils.get_total_norm([p.grad for p in dish.net.parameters() if p.grad is not None]))
        if recipe.clip:
            nn.utils.clip_grad_norm_(dish.net.parameters(), recipe.clip)
        rate = max(group["lr"] for group in stepping.param_groups)
        stepping.step()
        observer.log(loss=losses[-1])
        log.append({"step": step + 1, "loss": losses[-1], "lr": rate, "grad_norm": norm})
        if recipe.validates and (step + 1) % every == 0:
            log.append({"step": step + 1, "val_loss": validate(dish)})
            observer.log(validation={"loss": log[-1]["val_loss"]})
        if len(losses) > 100 and not math.isfinite(sum(losses[-20:])):
            break
    observer.close()
    return observer, log


def row_numbers(examples: int, batch: int, rng: torch.Generator) -> Iterator[Tensor]:
    """Yield batches of row numbers, epoch after epoch."""
    while True:
        order = torch.randperm(examples, generator=rng)
        for at in range(0, examples - batch + 1, batch):
            yield order[at : at + batch]


def _backward(dish: Dish, step: int, rows: Tensor, rng: torch.Generator) -> float:
    """Add the gradients of one batch; return its share of the loss."""
    recipe = dish.recipe
    x, y = dish.x[rows], dish.y[rows]
    if dish.batch_of is not None:
        x, y = dish.batch_of(dish, step, x, y)
    if recipe.augment:
        x = x + recipe.augment * torch.randn(x.shape, generator=rng)
    loss = dish.loss(dish.net(x), y) / recipe.accumulate
    loss.backward()
    return float(loss.item())


def validate(dish: Dish) -> float:
    """Return the loss of validation, in evaluation mode."""
    dish.net.eval()
    with torch.no_grad():
        value = float(dish.loss(dish.net(dish.vx), dish.vy)) * dish.scale_validation
    dish.net.train()
    return value


RATES = {"sgd": (0.03, 0.15), "momentum": (0.005, 0.03), "adam": (5e-4, 4e-3), "adamw": (5e-4, 4e-3)}
"""Learning rates that are usual for such networks."""

TASKS = {
    "mlp": ("digits", "mnist1d", "breast_cancer", "regression"),
    "cnn": ("digits", "mnist1d"),
    "gru": ("text", "digits"),
    "transformer": ("text",),
    "autoencoder": ("digits",),
    "gan": ("digits",),
}


def sample_recipe(rng: random.Random, net: str | None = None) -> Recipe:
    """Draw a sane recipe."""
    net = net or rng.choices([*STEPS], [7, 4, 1, 1, 1, 1])[0]
    optimizer = rng.choice([*RATES] if net in ("mlp", "cnn") else ["adam", "adamw"])
    low, high = RATES[optimizer]
    task = rng.choice(TASKS[net])
    plain = net in ("mlp", "cnn")
    small = task == "breast_cancer"
    return Recipe(
        task=task,
        net=net,
        norm=plain and rng.random() < 0.4,
        dropout=rng.choice([0, 0, 0.1, 0.3]) if net in ("mlp", "cnn", "gru", "transformer") else 0.0,
        width=rng.choice([32, 64, 96]) if net != "transformer" else 32,
        depth=rng.choice([1, 2, 3]) if net == "mlp" else 2 if net == "cnn" else 1,
        optimizer=optimizer,
        lr=math.exp(rng.uniform(math.log(low), math.log(high))),
        decay=rng.choice([0, 0, 1e-4, 1e-2]) if optimizer == "adamw" else rng.choice([0, 0, 1e-4]),
        schedule=rng.choice(["constant", "cosine", "step", "onecycle", "warmup", "linear"]),
        batch=rng.choice([8, 16, 32, 64]) if plain else 16,
        label_noise=rng.choice([0, 0, 0, 0.1]) if plain and not small else 0.0,
        augment=rng.choice([0, 0, 0, 0.1]) if plain else 0.0,
        accumulate=rng.choice([1, 1, 1, 1, 1, 2]),
        validates=rng.random() < 0.8,
        clip=rng.choice([0, 0, 1.0]),
        steps=200 if small else STEPS[net],
        seed=rng.randrange(2**31),
    )


def cook_gan(recipe: Recipe) -> Observer:
    """Train a small GAN on digits; the observer watches both networks."""
    torch.manual_seed(recipe.seed)
    x = table("digits")[0] * 2 - 1
    width = recipe.width
    generator = nn.Sequential(nn.Linear(16, width), nn.ReLU(), nn.Linear(width, 64), nn.Tanh())
    critic = nn.Sequential(nn.Linear(64, width), nn.LeakyReLU(0.2), nn.Linear(width, 1))
    adams = [torch.optim.Adam(net.parameters(), lr=recipe.lr / 3, betas=(0.5, 0.999)) for net in (generator, critic)]
    observer = Observer({"generator": generator, "critic": critic}, adams)
    for _ in range(recipe.steps):
        real = x[torch.randint(0, len(x), (recipe.batch,))]
        fake = generator(torch.randn(recipe.batch, 16))
        adams[1].zero_grad()
        critic_loss = F.softplus(-critic(real)).mean() + F.softplus(critic(fake.detach())).mean()
        critic_loss.backward()
        adams[1].step()
        adams[0].zero_grad()
        loss = F.softplus(-critic(fake)).mean()
        loss.backward()
        adams[0].step()
        observer.log(loss=loss.item(), critic=critic_loss.item())
    observer.close()
    return observer


def healthy(part: Part) -> Iterator[Recipe]:
    """Draw recipes of healthy trainings, without end."""
    for number in count():
        yield sample_recipe(random.Random(f"{SEEDS[part]}healthy-{number}"))
