"""Say what you think a change will do, run it, see what it did and whether you may believe it.

import palate

@palate.experiment(metric="val_acc")
def train(run, *, lr=1e-3, label_smoothing=0.0):
    ...
    run.log(step, val_acc=acc)

train.run(label_smoothing=0.1, forecast="better:80")
palate.skill()
palate.compare([.912, .915, .910, .913, .911], [.921, .919, .924, .922, .920])
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from palate.api import Experiment, experiment, seal, skill
    from palate.capture.api import capture, diff_recipes, read_recipe
    from palate.errors import (
        InputError,
        NotFoundError,
        OutcomeSeenError,
        PalateError,
        RefusedError,
        RunsFailedError,
        StoreError,
    )
    from palate.forecast.answer import Forecast, Spread
    from palate.recipe.difference import Difference
    from palate.recipe.recipe import Recipe
    from palate.training.run import Run, log, seed_everything, settings, start
    from palate.verdict.compare import Comparison, compare

__version__ = "0.1.0"

_HOMES = {
    "Comparison": "palate.verdict.compare",
    "Difference": "palate.recipe.difference",
    "Experiment": "palate.api",
    "Forecast": "palate.forecast.answer",
    "InputError": "palate.errors",
    "NotFoundError": "palate.errors",
    "OutcomeSeenError": "palate.errors",
    "PalateError": "palate.errors",
    "Recipe": "palate.recipe.recipe",
    "RefusedError": "palate.errors",
    "Run": "palate.training.run",
    "RunsFailedError": "palate.errors",
    "Spread": "palate.forecast.answer",
    "StoreError": "palate.errors",
    "capture": "palate.capture.api",
    "compare": "palate.verdict.compare",
    "diff_recipes": "palate.capture.api",
    "experiment": "palate.api",
    "log": "palate.training.run",
    "read_recipe": "palate.capture.api",
    "seal": "palate.api",
    "seed_everything": "palate.training.run",
    "settings": "palate.training.run",
    "skill": "palate.api",
    "start": "palate.training.run",
}

__all__ = [
    "Comparison",
    "Difference",
    "Experiment",
    "Forecast",
    "InputError",
    "NotFoundError",
    "OutcomeSeenError",
    "PalateError",
    "Recipe",
    "RefusedError",
    "Run",
    "RunsFailedError",
    "Spread",
    "StoreError",
    "capture",
    "compare",
    "diff_recipes",
    "experiment",
    "log",
    "read_recipe",
    "seal",
    "seed_everything",
    "settings",
    "skill",
    "start",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'palate' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
