"""Five small real trainings, each cooked in two ways, written so that many runs of one are computed side by side.

All tensors have a first axis of lanes: a lane is one run. A network is a function of its weights.
"""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from mnist1d.data import get_dataset_args, make_dataset
from sklearn.datasets import load_breast_cancer, load_digits, load_sample_image
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

Weights = Mapping[str, Tensor]
Drop = Callable[[Tensor], Tensor]
Data = tuple[Tensor, Tensor]

CONTEXT, LETTERS, FACES = 8, 97, 8
"""Characters that the language model sees, characters that there are, numbers that stand for one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Net:
    """A network for many lanes.

    Attributes:
        shapes: of its weights in one lane; inputs come before outputs.
        outputs: of weights and inputs, and what drops units out of its last hidden layer.
        hidden: units of that layer.
    """

    shapes: Mapping[str, tuple[int, ...]]
    outputs: Callable[[Weights, Tensor, Drop], Tensor]
    hidden: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Dish:
    """What is trained on what.

    Attributes:
        terms: the loss of each example, and a second term that may be added with a weight, of outputs and targets.
        noise: how much of it the arm of noise adds to the inputs.
        second: the weight of the second term in its arm.
        dropout: of the trunk; its arm has twice as much.
    """

    name: str
    train: Data
    held_out: Data
    net: Net
    terms: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
    noise: float
    second: float = 0.1
    dropout: float = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How a dish is cooked, its trunk that is; on the first so many of the examples, or all."""

    optimizer: Literal["adamw", "sgd"]
    lr: float
    schedule: Literal["cosine", "linear"]
    steps: int
    examples: int | None = None
    batch: int = 32

    @property
    def weight_decay(self) -> float:
        """The weight decay of the trunk, as is usual for the optimizer."""
        return 0.1 if self.optimizer == "adamw" else 5e-4

    def scheduled(self, step: int) -> float:
        """Return the learning rate of the step that follows so many, which falls to 0 at the end."""
        left = 1 - step / self.steps
        return self.lr * (left if self.schedule == "linear" else (1 - math.cos(math.pi * left)) / 2)


def _dense(weights: Weights, name: str, x: Tensor) -> Tensor:
    return torch.baddbmm(weights[f"{name}.bias"].unsqueeze(1), x, weights[f"{name}.weight"])


def _mlp(*widths: int) -> Net:
    """Give a network of dense layers with ReLU between them."""
    layers = range(len(widths) - 1)
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in layers:
        shapes |= {f"{layer}.weight": (widths[layer], widths[layer + 1]), f"{layer}.bias": (widths[layer + 1],)}

    def outputs(weights: Weights, x: Tensor, drop: Drop) -> Tensor:
        for layer in layers[:-1]:
            x = _dense(weights, str(layer), x).relu()
        return _dense(weights, str(layers[-1]), drop(x))

    return Net(shapes=shapes, outputs=outputs, hidden=widths[-2])


def _cnn(width: int) -> Net:
    """Give three convolutions of stride 2, the later two of kernel 2, and a dense layer: 40 -> 20 -> 10 -> 5 -> 10."""
    kernels = {"0": 5, "1": 2 * width, "2": 2 * width}
    shapes: dict[str, tuple[int, ...]] = {}
    for name, inputs in kernels.items():
        shapes |= {f"{name}.weight": (inputs, width), f"{name}.bias": (width,)}
    shapes |= {"3.weight": (width * 5, 10), "3.bias": (10,)}

    def outputs(weights: Weights, x: Tensor, drop: Drop) -> Tensor:
        lanes, n = x.shape[:2]
        x = F.pad(x, (2, 2)).unfold(2, 5, 2)
        for name, inputs in kernels.items():
            x = _dense(weights, name, x.reshape(lanes, -1, inputs)).relu()
        return _dense(weights, "3", drop(x.reshape(lanes, n, -1)))

    return Net(shapes=shapes, outputs=outputs, hidden=width * 5)


def _letters(hidden: int) -> Net:
    """Give an embedding of each of the last characters, and an MLP on all of them."""
    mlp = _mlp(CONTEXT * FACES, hidden, LETTERS)

    def outputs(weights: Weights, x: Tensor, drop: Drop) -> Tensor:
        lanes, n = x.shape[:2]
        rows = x.reshape(lanes, -1) + LETTERS * torch.arange(lanes).unsqueeze(1)
        faces = F.embedding(rows, weights["faces.weight"].reshape(-1, FACES))
        return mlp.outputs(weights, faces.view(lanes, n, -1), drop)

    return Net(shapes={"faces.weight": (LETTERS, FACES), **mlp.shapes}, outputs=outputs, hidden=hidden)


def _labelled(outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Give the cross entropy, and what label smoothing adds to it for each unit of smoothing."""
    chances = outputs.log_softmax(-1)
    right = -chances.gather(-1, targets.unsqueeze(-1)).squeeze(-1)
    return right, -chances.mean(-1) - right


def _pictured(outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Give the mean absolute error of pixels, in units of the noise, and that of differences between neighbours."""
    off = (outputs - targets).unflatten(-1, (6, 6))
    return off.abs().mean((-1, -2)), off.diff(dim=-1).abs().mean((-1, -2)) + off.diff(dim=-2).abs().mean((-1, -2))


def mnist1d_dish() -> Dish:
    """Ten classes of one-dimensional digits (Greydanus & Kobak 2020), made by the package's generator."""
    made = make_dataset(get_dataset_args())
    x, x_test = (torch.tensor(made[name], dtype=torch.float32) for name in ("x", "x_test"))
    train, held_out = (x, torch.tensor(made["y"])), (x_test, torch.tensor(made["y_test"]))
    return Dish(name="mnist1d CNN", train=train, held_out=held_out, net=_cnn(16), terms=_labelled, noise=0.2)


def _split(x: Tensor, y: Tensor, train: int, held_out: int) -> tuple[Data, Data]:
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    first, second = order[:train], order[train : train + held_out]
    return (x[first], y[first]), (x[second], y[second])


def digits_dish() -> Dish:
    """Learn 700 handwritten digits of scikit-learn's, judge on 1,000."""
    x, y = load_digits(return_X_y=True)
    train, held_out = _split(torch.tensor(x, dtype=torch.float32) / 16, torch.tensor(y), 700, 1000)
    return Dish(name="digits MLP", train=train, held_out=held_out, net=_mlp(64, 48, 10), terms=_labelled, noise=0.2)


def cancer_dish() -> Dish:
    """Learn 250 of scikit-learn's tumours, judge on 319."""
    x, y = load_breast_cancer(return_X_y=True)
    inputs = torch.tensor((x - x.mean(0)) / x.std(0), dtype=torch.float32)
    train, held_out = _split(inputs, torch.tensor(y), 250, 319)
    net = _mlp(30, 32, 16, 2)
    return Dish(name="breast cancer MLP", train=train, held_out=held_out, net=net, terms=_labelled, noise=0.3)


def letters_dish() -> Dish:
    """Predict the next character of the standard library's json and its like, of which every installation has some."""
    folder = Path(json.__file__).parent.parent
    text = "".join((folder / name).read_text() for name in ("argparse.py", "ast.py", "bdb.py", "calendar.py", "cmd.py"))
    codes = torch.tensor([0 if letter == "\n" else min(max(ord(letter), 31), 126) - 30 for letter in text])
    windows = codes.unfold(0, CONTEXT + 1, 1)
    cut = len(windows) * 4 // 5
    train, held_out = windows[:cut], windows[cut + CONTEXT :]
    held_out = held_out[:: len(held_out) // 1000]
    return Dish(
        name="character LM",
        train=(train[:, :-1], train[:, -1]),
        held_out=(held_out[:, :-1], held_out[:, -1]),
        net=_letters(64),
        terms=_labelled,
        noise=0.1,
    )


def pictures_dish() -> Dish:
    """Take the noise off patches of scikit-learn's two photos: 8 x 8 pixels are seen, the middle 6 x 6 are wanted."""
    photos = [load_sample_image(f"{name}.jpg").mean(-1) / 255 for name in ("china", "flower")]
    patches = [torch.tensor(photo).float().unfold(0, 8, 8).unfold(1, 8, 8).reshape(-1, 8, 8) for photo in photos]
    sharp = torch.cat(patches)
    noise = torch.randn(sharp.shape, generator=torch.Generator().manual_seed(0)) / 10
    seen = (sharp + noise).flatten(1)
    train, held_out = _split((seen - seen.mean(1, keepdim=True)) * 5, noise[:, 1:7, 1:7].flatten(1) * 10, 4000, 1000)
    net = _mlp(64, 64, 36)
    return Dish(
        name="denoising MLP",
        train=train,
        held_out=held_out,
        net=net,
        terms=_pictured,
        noise=0.1,
        second=0.5,
        dropout=0.1,
    )


DISHES: tuple[Callable[[], Dish], ...] = (mnist1d_dish, digits_dish, cancer_dish, letters_dish, pictures_dish)
