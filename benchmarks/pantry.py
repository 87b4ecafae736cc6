"""What small trainings are made of: their recipes, data that ships in packages, and networks."""

import random
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn


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


@cache
def table(task: str) -> tuple[Tensor, Tensor, int | None]:
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
    x, y, classes = table(recipe.task)
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
