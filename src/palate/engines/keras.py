"""Keras 3, on any backend: a callback by which palate logs and stops what `fit` trains, and a function that seeds it.

    from palate.engines.keras import Palate

    model.fit(x, y, epochs=10, validation_data=(x_val, y_val), callbacks=[Palate()])

A step is one of the optimizer, with all gradients that are added up for it. What Keras tells of a batch (its means over
the epoch so far) is logged at the number of steps that were done, and so is what it tells of an epoch.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import keras

from palate.cooking.until import Condition
from palate.engines.ear import Ear, refuse_twice
from palate.training.run import Run, seed_everything


def seed(value: int | None = None) -> int:
    """Seed Keras with its backend, Python and numpy; return the seed used. Call it before the model is made.

    Args:
        value: what `palate run` chose if None, else 0.

    Raises:
        InputError: it is not between 0 and 2**32 - 1.
    """
    chosen = int(seed_everything(value))
    keras.utils.set_random_seed(chosen)
    return chosen


class Palate(keras.callbacks.Callback):  # type: ignore[misc]
    """Log what `fit` trains, and end it where a condition holds.

    One Palate is of one training. Given to a second fit (some layers unfrozen, say), it goes on in the same run.

    Args:
        label: names the run; the script's name if empty.
        seed: of the training; noted, nothing is seeded with it: see `seed`.
        until: when a fit ends besides; it counts from the beginning of each fit.

    Raises:
        InputError: `until` is no condition, or can never hold.
    """

    _told: ClassVar[object] = None
    """What Keras told last: one and the same to all callbacks of a fit."""

    def __init__(self, label: str = "", *, seed: int | None = None, until: Condition | None = None) -> None:
        super().__init__()
        self._ear = Ear("Keras", label, seed, until, knows_samples=False)
        self._added_up, self._batches, self._first = 1, 0, 0
        self._trained: Any = None

    @property
    def run(self) -> Run:
        """The run, from the beginning of the first `fit`.

        Raises:
            InputError: it has not begun.
        """
        return self._ear.run

    def set_params(self, params: dict[str, Any]) -> None:
        """Take what Keras tells of a fit.

        Raises:
            InputError: the fit has two callbacks of palate.
        """
        if params is Palate._told:
            raise refuse_twice()
        Palate._told = params
        super().set_params(params)

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:  # noqa: ARG002  Keras's own
        """Begin the run, or go on in it."""
        self._ear.begin()
        self._trained = self.model
        optimizer = getattr(self._trained, "optimizer", None)
        optimizer = getattr(optimizer, "inner_optimizer", optimizer)  # of one that scales losses
        self._added_up = getattr(optimizer, "gradient_accumulation_steps", None) or 1

    def on_train_batch_begin(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:  # noqa: ARG002
        """Note the first of the batches that are executed together."""
        self._first = batch

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Count the steps that were done, and log what Keras tells of them."""
        last = min(batch, (self.params.get("steps") or batch + 1) - 1)  # the last execution can be shorter
        before = self._batches // self._added_up
        self._batches += max(last - self._first, 0) + 1
        steps = self._batches // self._added_up - before
        if steps:
            self._ear.stepped(steps)
            self._stop_if(self._ear.log(logs or {}))

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:  # noqa: ARG002
        """Log what Keras tells of an epoch: what it has validated."""
        self._stop_if(self._ear.epoch_done(logs or {}))

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:  # noqa: ARG002
        """Say what the condition waited for in vain."""
        self._trained = None
        self._ear.end()

    def _stop_if(self, ends: bool) -> None:
        if ends:
            self._trained.stop_training = True
