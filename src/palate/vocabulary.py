"""The words of the loop, one meaning each; standard library only."""

import math
from dataclasses import dataclass
from typing import Literal

from palate.errors import InputError

Goal = Literal["max", "min"]

Arm = str
"""An arm's name; the first is always the baseline."""

BASELINE: Arm = "baseline"

TREATMENT: Arm = "treatment"

Ending = Literal["finished", "nan", "crashed", "timeout", "no_metric", "interrupted"]
"""How a run ended: with a number, with NaN or infinity, by a fault, too late, without the metric, by hand."""

FAILED: frozenset[Ending] = frozenset({"nan", "crashed", "timeout", "no_metric"})

_LOWER_IS_BETTER = ("loss", "err", "mse", "mae", "rmse", "nll", "perplexity", "ppl", "wer", "cer", "fid", "bpb", "bpc")

_HIGHER_IS_BETTER = ("acc", "f1", "auc", "precision", "recall", "map", "iou", "dice", "bleu", "rouge", "r2", "score",
                     "reward", "return", "psnr", "ssim", "top1", "top5", "win_rate")  # fmt: skip

_FRACTIONS = ("acc", "f1", "auc", "precision", "recall", "iou", "dice", "top1", "top5", "win_rate", "err")


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """What is judged: a name as it is logged, and which way is better.

    Attributes:
        resolution: the smallest step the metric can take (1 / number of test examples for an accuracy), or None
            to take it from the values.
        points: show it in points (hundredths), as one does with accuracies.
    """

    name: str
    goal: Goal
    resolution: float | None = None
    points: bool = False

    def __post_init__(self) -> None:
        if not self.name:
            raise InputError("A metric needs a name.", todo="Name it as it is logged: --metric val_acc")
        if self.goal not in ("max", "min"):
            raise InputError(f"goal {self.goal!r} is neither 'max' nor 'min'.", todo="--goal max  or  --goal min")
        if self.resolution is not None and not (math.isfinite(self.resolution) and self.resolution > 0):
            raise InputError(f"resolution {self.resolution!r} is not a positive number.")

    @property
    def sign(self) -> int:
        """+1 where higher is better, -1 where lower is: what turns a difference into "+ is better"."""
        return 1 if self.goal == "max" else -1

    @property
    def scale(self) -> float:
        """What values are multiplied by to be shown."""
        return 100.0 if self.points else 1.0

    @property
    def unit(self) -> str:
        """The word behind a shown difference, with its space, or nothing."""
        return " points" if self.points else ""


def name_metric(name: str, goal: Goal | None = None, resolution: float | None = None) -> Metric:
    """Make a metric from its name alone where the name says which way is better.

    Raises:
        InputError: no goal is given and the name does not tell.
    """
    return Metric(name=name, goal=goal or guess_goal(name), resolution=resolution, points=_says(name, _FRACTIONS))


def guess_goal(name: str) -> Goal:
    """Return which way is better, told by a metric's name.

    Raises:
        InputError: the name does not tell.
    """
    if _says(name, _LOWER_IS_BETTER):
        return "min"
    if _says(name, _HIGHER_IS_BETTER):
        return "max"
    raise InputError(
        f"{name}: is higher better, or lower?",
        why="The name does not tell, and a verdict with the wrong sign would be worse than none.",
        todo=f"Say it: --metric {name} --goal max   (or min)",
    )


def _says(name: str, words: tuple[str, ...]) -> bool:
    parts = name.lower().replace("/", "_").replace("-", "_").replace(".", "_").split("_")
    return any(part.startswith(word) or (len(word) > 3 and part.endswith(word)) for part in parts for word in words)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one run ended, and the metric's value where it ended with one."""

    ending: Ending
    value: float | None = None
    detail: str = ""

    def __post_init__(self) -> None:
        if (self.ending == "finished") != (self.value is not None and math.isfinite(self.value)):
            raise InputError(f"an outcome {self.ending!r} with the value {self.value!r} contradicts itself.")

    @property
    def failed(self) -> bool:
        """Whether the run counts as a failure (an interrupted one does not: it never got its chance)."""
        return self.ending in FAILED


Take = Literal["last", "best"]
"""Which value of a curve counts: its last, or its best by the metric's goal."""
