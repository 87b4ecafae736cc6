"""Adapters: a training whose loop belongs to Lightning or to the Hugging Face Trainer, held as one with its own loop.

from palate.engines import mix

loss = mix(l1=F.l1_loss(out, y), tv=lambda: total_variation(out))    # in training_step, or in compute_loss
"""

from typing import Any

from palate.cooking.mixing import Mixer
from palate.training import run as runs


def mix(**terms: Any) -> Any:
    """Return the loss: the named terms, each times its weight; see `Run.mix`. Their sum where palate holds nothing."""
    held = runs.held_run()
    return held.mix(**terms) if held is not None else Mixer().mix(terms)


def knob(name: str, value: float, *, low: float, high: float) -> float:
    """Return the value in force of a knob of your own; see `Run.knob`. `value` where palate holds nothing."""
    held = runs.held_run()
    return held.knob(name, value, low=low, high=high) if held is not None else value
