"""Cooking: what happens inside of a training, and what a person does to it while it goes.

from palate.cooking import Stage, cycle, every, plateau, steps, tasted

gan = Stage("gan", losses={"l1": 1, "adv": 0.02}, train=["head"], until=tasted("done") | steps(600), keep=every(50))
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from palate.cooking.stage import Cycle, Every, Stage, cycle, every
    from palate.cooking.until import (
        cycles_without_improvement,
        diverged,
        epochs,
        gate,
        minutes,
        plateau,
        samples,
        steps,
        target,
        tasted,
        worse,
    )

__all__ = [
    "Cycle",
    "Every",
    "Stage",
    "cycle",
    "cycles_without_improvement",
    "diverged",
    "epochs",
    "every",
    "gate",
    "minutes",
    "plateau",
    "samples",
    "steps",
    "target",
    "tasted",
    "worse",
]

_OF_STAGES = {"Cycle", "Every", "Stage", "cycle", "every"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'palate.cooking' has no attribute {name!r}")
    home = "palate.cooking.stage" if name in _OF_STAGES else "palate.cooking.until"
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)
