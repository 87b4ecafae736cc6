"""Symptoms while a training goes on: taken from looks, told once each, with the card that says what helps."""

import contextlib
import importlib
import math
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from palate.cooking.parts import is_module, is_optimizer

FIRST_S, LONGER, SHARE = 2.0, 1.3, 0.005
"""Seconds until the looks are judged first; how much longer until the next time; the most of the time that may take."""

FORKED = {
    "not_learning": "lr=x3",
    "diverged": "lr=x0.3",
    "spikes": "lr=x0.3",
    "overfit": "weight_decay=x10",
    "gradients": "lr=x0.3",
    "noise_ball": "lr=x0.1",
}
"""What a fork tries, by kind, where a knob does what the card says."""

_VALIDATION = ("val_", "valid_", "validation_", "eval_", "test_")


class Alarm:
    """Watches a training that palate holds.

    Args:
        parts: of the training.
        tell: hears each symptom once: its kind, words for people, what stands on its card, and a season to fork with.
        fresh: whether it begins with random weights.
    """

    def __init__(
        self, parts: Mapping[str, Any], tell: Callable[[str, int, str, str, str], None], *, fresh: bool
    ) -> None:
        models = {name: part for name, part in parts.items() if is_module(part) and not _is_average(part)}
        optimizers = [part for part in parts.values() if is_optimizer(part)]
        self._observer = None
        if models and optimizers:
            looks = importlib.import_module("palate.cooking.looks")
            with contextlib.suppress(Exception):  # parts that nobody can look at are not watched
                self._observer = looks.Observer(models, optimizers, fresh=fresh)
        self._tell = tell
        self._told: set[str] = set()
        self._wait_s, self._next_s = FIRST_S, time.monotonic() + FIRST_S

    def log(self, metrics: Mapping[str, float], losses: Mapping[str, float]) -> None:
        """Hear the loss of a step by its terms, and what was logged besides."""
        if self._observer is None:
            return
        if losses:
            self._observer.log(loss=math.fsum(losses.values()) if len(losses) > 1 else next(iter(losses.values())))
        validation = dict(_validation_in(metrics))
        if validation:
            self._observer.log(validation=validation)

    def look(self, now_s: float) -> None:
        """Judge the looks so far, every now and then."""
        if self._observer is None or now_s < self._next_s:
            return
        started_s = time.perf_counter()
        self._judge()
        took_s = time.perf_counter() - started_s
        self._wait_s = max(self._wait_s * LONGER, took_s / SHARE)
        self._next_s = time.monotonic() + self._wait_s

    def close(self) -> None:
        """Judge once more, and stop watching."""
        if self._observer is not None:
            self._judge()
        self.stop()

    def stop(self) -> None:
        """Stop watching, and tell nothing more."""
        if self._observer is not None:
            self._observer.close()
            self._observer = None

    def _judge(self) -> None:
        if self._observer is not None and self._observer.fault is not None:
            self.stop()
        cards = importlib.import_module("palate.cooking.cards")
        for symptom in self._observer.symptoms() if self._observer is not None else ():
            if symptom.kind not in self._told:
                self._told.add(symptom.kind)
                advice = cards.card_for(symptom).seasoning
                self._tell(symptom.kind, symptom.step, symptom.words, advice, FORKED.get(symptom.kind, ""))


def _is_average(part: Any) -> bool:
    return type(part).__name__ == "AveragedModel"


def _validation_in(metrics: Mapping[str, float]) -> Iterator[tuple[str, float]]:
    for name, value in metrics.items():
        start = next((one for one in _VALIDATION if name.startswith(one)), "")
        if start and math.isfinite(float(value)):
            yield name.removeprefix(start), float(value)
