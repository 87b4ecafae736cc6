"""What the callbacks of Keras and fastai share: they tell palate what their engine does, and hear when it ends."""

import os
import sys
from collections.abc import Mapping
from typing import Any

from palate.cooking.heard import Heard, refuse_until
from palate.cooking.until import Condition
from palate.engines.held import refuse_many
from palate.errors import InputError
from palate.training.run import Run, next_run


class Ear:
    """Hears one training, in as many fits as it has; a copy of it, and what was pickled, hears of none yet.

    Args:
        engine: what has the loop: "Keras".
        label: names the run; the script's name if empty.
        seed: of the training; noted, nothing is seeded with it.
        until: when a fit ends besides.
        knows_samples: whether the engine tells how many samples a step is of.

    Raises:
        InputError: `until` is no condition, or can never hold.
    """

    def __init__(
        self, engine: str, label: str, seed: int | None, until: Condition | None, *, knows_samples: bool
    ) -> None:
        refuse_until(engine, until, knows_samples=knows_samples)
        self.engine, self._label, self._seed, self._until = engine, label, seed, until
        self._run: Run | None = None
        self._heard: Heard | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_run": None, "_heard": None}  # its journal is open, and of this process

    @property
    def run(self) -> Run:
        """The run, from the beginning of the first fit.

        Raises:
            InputError: it has not begun.
        """
        if self._run is None:
            raise InputError("There is no run yet.", why="It begins with fit.")
        return self._run

    @property
    def ended(self) -> bool:
        """Whether the condition has ended this fit."""
        return self._heard is not None and self._heard.ended

    def begin(self) -> None:
        """Hear that a fit begins: the first of a training, or one that goes on in its run.

        Raises:
            InputError: the run has another training.
            RefusedError: it trains with several processes, or was asked to depart from a plain run.
        """
        refuse_many(_processes(), self.engine)
        if self._heard is None or self._heard.closed:
            run = next_run(self._label, self._seed)
            self._heard, self._run = run.hear(self.engine), run
        self._heard.begin(self._until)

    def stepped(self, steps: int = 1, samples: int = 0) -> None:
        """Hear of steps of the optimizer, and of the samples that they were of."""
        assert self._heard is not None
        self._heard.stepped(steps, samples)

    def log(self, metrics: Mapping[str, object]) -> bool:
        """Log what an engine tells at its last step; return whether the fit ends here."""
        assert self._heard is not None
        self._heard.log(metrics)
        return self._heard.look()

    def epoch_done(self, metrics: Mapping[str, object]) -> bool:
        """Log what an engine tells of an epoch, which is done; return whether the fit ends here."""
        assert self._heard is not None
        self._heard.epoch += 1
        return self.log(metrics)

    def end(self) -> None:
        """Hear that the fit has ended."""
        assert self._heard is not None
        self._heard.end()


def refuse_twice() -> InputError:
    """Return what is raised where a fit has two callbacks of palate."""
    return InputError(
        "This fit has two callbacks of palate.",
        why="Each step would be counted and logged twice.",
        todo="Leave one: callbacks=[Palate()]",
    )


def _processes() -> int:
    """Return how many processes train together, as far as torch and what starts them tell."""
    torch = sys.modules.get("torch")
    spread = torch.distributed if torch is not None else None
    if spread is not None and spread.is_available() and spread.is_initialized():
        return int(spread.get_world_size())
    told = os.environ.get("WORLD_SIZE", "")
    return int(told) if told.isdecimal() else 1
