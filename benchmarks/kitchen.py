"""Small trainings, healthy and spoilt on purpose, that the symptoms are tried on.

A training is described by numbers alone (`Recipe`), so that healthy and spoilt ones come from the same variety of
networks, data, optimizers and schedules. A spoiling changes one thing of it.
"""

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from palate.cooking.looks import Observer

STEPS = {"mlp": 400, "cnn": 300, "gru": 160, "transformer": 160, "autoencoder": 300, "gan": 300}
EVALUATIONS = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One training.

    Attributes:
        task, net, norm, dropout, width, depth: what is learnt by what.
        optimizer, lr, decay, schedule, batch: how.
        label_noise: share of labels that are random, in training and validation alike.
        augment: standard deviation of noise that is added to training inputs.
        accumulate: batches a step.
        validates: whether there are evaluations.
        clip: gradient norm at which it is clipped; 0 for none.
        steps: optimizer steps.
        seed: of everything.
        spoilt: what is wrong, and how: nothing for a healthy one.
    """

    task: str
    net: str
    norm: bool = False
    dropout: float = 0.0
    width: int = 64
    depth: int = 2
    optimizer: str = "adam"
    lr: float = 1e-3
    decay: float = 0.0
    schedule: str = "constant"
    batch: int = 32
    label_noise: float = 0.0
    augment: float = 0.0
    accumulate: int = 1
    validates: bool = True
    clip: float = 0.0
    steps: int = 500
    seed: int = 0
    spoilt: str = ""
    way: str = ""


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


# ---- data


@cache
def _table(task: str) -> tuple[Tensor, Tensor, int | None]:
    """Return inputs, targets and the number of classes of a task, shuffled once."""
    rng = torch.Generator().manual_seed(12)
    if task in ("digits", "breast_cancer"):
        from sklearn import datasets

        x, y = (datasets.load_digits if task == "digits" else datasets.load_breast_cancer)(return_X_y=True)
        x = torch.tensor(x, dtype=torch.float32)
        x = x / 16 if task == "digits" else (x - x.mean(0)) / x.std(0)
        order = torch.randperm(len(x), generator=rng)
        return x[order], torch.tensor(y)[order], int(y.max()) + 1
    if task == "mnist1d":
        from mnist1d.data import get_dataset_args, make_dataset

        made = make_dataset(get_dataset_args())
        return torch.tensor(made["x"], dtype=torch.float32), torch.tensor(made["y"]), 10
    if task == "regression":
        x = torch.randn(3000, 20, generator=rng)
        w = torch.randn(20, 8, generator=rng) / 20**0.5
        y = torch.sin(2 * x @ w).sum(1) / 2 + 0.3 * torch.randn(3000, generator=rng)
        return x, ((y - y.mean()) / y.std()).unsqueeze(1), None
    if task == "text":
        return (*_text(), 64)
    raise ValueError(task)


LETTERS = " etaonisrldhcumpf_.,()gbvywk:=\n\"'x-#0123456789ETAONISRLDCqjz[]"


def _text() -> tuple[Tensor, Tensor]:
    """Return windows of 24 letters of the standard library's own sources, and the letters that follow each."""
    folder = Path(random.__file__).parent
    names = ["argparse.py", "ast.py", "bdb.py", "calendar.py", "cmd.py", "difflib.py", "inspect.py", "random.py"]
    text = "".join((folder / name).read_text(encoding="utf-8") for name in names)
    ids = torch.tensor([max(LETTERS.find(letter), 0) % 64 for letter in " ".join(text.split(" ")) if letter != "\t"])
    whole = len(ids) // 25 * 25
    rows = ids[:whole].reshape(-1, 25)
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(3))
    rows = rows[order].unique(dim=0)
    rows = rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(4))]
    return rows[:, :-1], rows[:, 1:]


def data_of(recipe: Recipe) -> tuple[Tensor, Tensor, Tensor, Tensor, int | None]:
    """Return training and validation data, split by the recipe's seed, and the number of classes."""
    x, y, classes = _table(recipe.task)
    rng = torch.Generator().manual_seed(recipe.seed)
    order = torch.randperm(len(x), generator=rng)
    cut = min(len(x) // 4, 150 if recipe.task == "text" else 500)
    x, y = x[order], y[order]
    if recipe.label_noise and classes and recipe.task != "text":
        noisy = torch.rand(len(y), generator=rng) < recipe.label_noise
        y = torch.where(noisy, torch.randint(0, classes, y.shape, generator=rng), y)
    if recipe.net == "cnn" and recipe.task == "digits":
        x = x.reshape(-1, 1, 8, 8)
    if recipe.net == "cnn" and recipe.task == "mnist1d":
        x = x.unsqueeze(1)
    if recipe.net == "gru" and recipe.task in ("mnist1d", "digits"):
        x = x.reshape(len(x), 8, -1)
    if recipe.net == "autoencoder":
        y = x
    return x[cut:], y[cut:], x[:cut], y[:cut], None if recipe.net == "autoencoder" else classes


# ---- networks


class Recurrent(nn.Module):
    """A GRU over letters or features: (n, t) or (n, t, features) to logits of each place, or of the last."""

    def __init__(self, features: int, width: int, out: int, *, letters: bool, dropout: float) -> None:
        super().__init__()
        self.embed = nn.Embedding(64, features) if letters else nn.Identity()
        self.gru = nn.GRU(features, width, batch_first=True)
        self.drop = nn.Dropout(dropout)
        self.head = nn.Linear(width, out)
        self.letters = letters

    def forward(self, x: Tensor) -> Tensor:
        """Return logits."""
        states, _ = self.gru(self.embed(x))
        return self.head(self.drop(states if self.letters else states[:, -1]))


class Transformer(nn.Module):
    """A causal transformer over 24 letters: (n, 24) to (n, 24, 64) logits."""

    def __init__(self, width: int, depth: int, dropout: float) -> None:
        super().__init__()
        self.embed, self.place = nn.Embedding(64, width), nn.Parameter(torch.randn(24, width) * 0.02)
        nn.init.normal_(self.embed.weight, std=0.1)
        layer = nn.TransformerEncoderLayer(width, 4, 2 * width, dropout, batch_first=True, norm_first=True)
        self.body = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 64)
        self.register_buffer("mask", nn.Transformer.generate_square_subsequent_mask(24))

    def forward(self, x: Tensor) -> Tensor:
        """Return logits."""
        return self.head(self.norm(self.body(self.embed(x) + self.place, mask=self.mask)))


def net_of(recipe: Recipe, x: Tensor, classes: int | None) -> nn.Module:
    """Build the network of a recipe."""
    out, width = classes or 1, recipe.width
    if recipe.net == "gru":
        letters = recipe.task == "text"
        return Recurrent(16 if letters else x.shape[-1], width, out, letters=letters, dropout=recipe.dropout)
    if recipe.net == "transformer":
        return Transformer(width, recipe.depth, recipe.dropout)
    if recipe.net == "cnn":
        return _cnn(recipe, x, out)
    if recipe.net == "autoencoder":
        n = x.shape[1]
        return nn.Sequential(
            nn.Linear(n, width), nn.ReLU(), nn.Linear(width, 8), nn.Linear(8, width), nn.ReLU(), nn.Linear(width, n)
        )
    layers: list[nn.Module] = []
    before = x.shape[1]
    for _ in range(recipe.depth):
        layers += [nn.Linear(before, width), *([nn.BatchNorm1d(width)] if recipe.norm else []), nn.ReLU()]
        layers += [nn.Dropout(recipe.dropout)] if recipe.dropout else []
        before = width
    return nn.Sequential(*layers, nn.Linear(before, out))


def _cnn(recipe: Recipe, x: Tensor, out: int) -> nn.Module:
    flat = x.dim() == 3
    conv, norm = (nn.Conv1d, nn.BatchNorm1d) if flat else (nn.Conv2d, nn.BatchNorm2d)
    width, layers, before = recipe.width // 2, [], 1
    for _ in range(recipe.depth):
        layers += [conv(before, width, 3, stride=2, padding=1), *([norm(width)] if recipe.norm else []), nn.ReLU()]
        before = width
    layers += [nn.Flatten(), *([nn.Dropout(recipe.dropout)] if recipe.dropout else [])]
    body = nn.Sequential(*layers)
    with torch.no_grad():
        features = body.eval()(x[:2]).shape[1]
    return nn.Sequential(*body.train(), nn.Linear(features, out))


# ---- how it is trained


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


def cook(dish: Dish, *, tells_everything: bool) -> tuple[Observer, list[float]]:
    """Train, watched by an observer; return it and the training losses.

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
    for step in range(recipe.steps):
        for group, lr in zip(stepping.param_groups, base, strict=True):
            group["lr"] = lr * dish.schedule(step)
        stepping.zero_grad()
        losses.append(sum(_backward(dish, step, next(rows), rng) for _ in range(recipe.accumulate)))
        dish.before_step(dish, step)
        if recipe.clip:
            nn.utils.clip_grad_norm_(dish.net.parameters(), recipe.clip)
        stepping.step()
        observer.log(loss=losses[-1])
        if recipe.validates and (step + 1) % every == 0:
            observer.log(validation={"loss": validate(dish)})
        if len(losses) > 100 and not math.isfinite(sum(losses[-20:])):
            break
    observer.close()
    return observer, losses


def row_numbers(count: int, batch: int, rng: torch.Generator) -> Iterator[Tensor]:
    """Yield batches of row numbers, epoch after epoch."""
    while True:
        order = torch.randperm(count, generator=rng)
        for at in range(0, count - batch + 1, batch):
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


# ---- healthy trainings


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


def cook_gan(recipe: Recipe) -> tuple[Observer, list[float]]:
    """Train a small GAN on digits; the observer watches both networks."""
    torch.manual_seed(recipe.seed)
    x = _table("digits")[0] * 2 - 1
    width = recipe.width
    generator = nn.Sequential(nn.Linear(16, width), nn.ReLU(), nn.Linear(width, 64), nn.Tanh())
    critic = nn.Sequential(nn.Linear(64, width), nn.LeakyReLU(0.2), nn.Linear(width, 1))
    adams = [torch.optim.Adam(net.parameters(), lr=recipe.lr / 3, betas=(0.5, 0.999)) for net in (generator, critic)]
    observer = Observer({"generator": generator, "critic": critic}, adams)
    losses = []
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
        losses.append(loss.item())
    observer.close()
    return observer, losses


def healthy(count: int) -> Iterator[Recipe]:
    """Draw recipes of healthy trainings."""
    for number in range(count):
        yield sample_recipe(random.Random(f"healthy-{number}"))
