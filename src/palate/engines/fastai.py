"""fastai: a callback by which palate logs and stops what a Learner trains, and a function that seeds it.

    from palate.engines.fastai import Palate

    learn = Learner(dls, model, loss_func=loss, metrics=accuracy, cbs=[Palate()])
    learn.fit_one_cycle(10)

A step is one of the optimizer, with all gradients that are added up for it. `raw_loss`, `train_loss` (which fastai
smooths) and `lr` are logged at each, and what its table shows of an epoch at the last of the epoch.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from fastai.callback.core import Callback, CancelFitException
from fastai.torch_core import set_seed

from palate.cooking.feed import count_samples
from palate.cooking.until import Condition
from palate.engines.ear import Ear, refuse_twice
from palate.training.run import Run, seed_everything


def seed(value: int | None = None, *, reproducible: bool = False) -> int:
    """Seed fastai: Python, numpy and torch; return the seed used. Call it before the data and the model are made.

    Args:
        value: what `palate run` chose if None, else 0.
        reproducible: whether cuDNN is held to what it computes alike each time, as fastai's `set_seed` does it.

    Raises:
        InputError: it is not between 0 and 2**32 - 1.
    """
    chosen = int(seed_everything(value))
    set_seed(chosen, reproducible=reproducible)
    return chosen


class Palate(Callback):  # type: ignore[misc]
    """Log what a Learner trains, and end a fit where a condition holds.

    One Palate is of one training. Where several fits follow each other (`fine_tune`), they are one run. `lr_find`,
    `validate` and `get_preds` are no training and are not logged.

    Args:
        label: names the run; the script's name if empty.
        seed: of the training; noted, nothing is seeded with it: see `seed`.
        until: when a fit ends besides; it counts from the beginning of each fit.

    Raises:
        InputError: `until` is no condition, or can never hold.
    """

    order, run_valid = 1000, False  # the last: what others raise or change has been raised and changed

    def __init__(self, label: str = "", *, seed: int | None = None, until: Condition | None = None) -> None:
        super().__init__()
        self._ear = Ear("fastai", label, seed, until, knows_samples=True)
        self._stops = until is not None
        self._hears = self._skipped = self._in_epoch = False
        self._steps = self._samples = 0

    @property
    def palate_run(self) -> Run:
        """The run, from the beginning of the first fit; `run` is a word of fastai's own.

        Raises:
            InputError: it has not begun.
        """
        return self._ear.run

    def before_fit(self) -> None:
        """Forget a fit that an exception ended; fastai calls this before a validation too."""
        self._hears = self._in_epoch = self._skipped = False
        self._steps = self._samples = 0

    def before_train(self) -> None:
        """Begin the run, or go on in it; stand in for the loader where the fit may end within an epoch."""
        if self._begun():
            self._in_epoch = True
            if self._stops:
                self.learn.dl = _Until(self.learn.dl, lambda: self._ear.ended)

    def _begun(self) -> bool:
        """Return whether this is a fit that is heard of, which has begun."""
        if self._hears or hasattr(self.learn, "lr_finder"):
            return self._hears
        if sum(isinstance(one, Palate) for one in self.learn.cbs) > 1:
            raise refuse_twice()
        self._ear.begin()
        self._hears = True
        return True

    def before_batch(self) -> None:
        """Count the samples that are trained on."""
        self._samples += count_samples(self.learn.xb)

    def after_cancel_step(self) -> None:
        """Note that the optimizer was held back: a gradient overflowed."""
        self._skipped = True

    def after_step(self) -> None:
        """Count a step."""
        if not self._skipped and self._begun():
            self._steps += 1
        self._skipped = False

    def after_batch(self) -> None:
        """Log what is known of a step."""
        self._tell_steps()

    def after_train(self) -> None:
        """Log the last step of the epoch, where another callback cut it short."""
        self._tell_steps()

    def after_epoch(self) -> None:
        """Log what fastai's table shows of the epoch; end the fit where the condition holds."""
        self._tell_epoch()
        if self._hears and self._ear.ended:
            raise CancelFitException

    def after_fit(self) -> None:
        """Log what another callback kept back when it ended the fit; say what the condition waited for in vain."""
        if self._hears:
            self._tell_steps()
            self._tell_epoch()
            self._hears = False
            self._ear.end()

    def _tell_steps(self) -> None:
        if self._hears and self._steps:
            steps, samples = self._steps, self._samples
            self._steps = self._samples = 0
            self._ear.stepped(steps, samples)
            known = {"raw_loss": self.learn.loss, "train_loss": getattr(self.learn, "smooth_loss", None)}
            self._ear.log({**known, "lr": self.learn.opt.hypers[-1].get("lr")})

    def _tell_epoch(self) -> None:
        if self._in_epoch:
            self._in_epoch = False
            self._ear.epoch_done(_row_of(getattr(self.learn, "recorder", None)))


def _row_of(recorder: Any) -> dict[str, object]:
    """Return what fastai's table shows of an epoch, by the names of its columns."""
    if recorder is None:
        return {}
    names, own = list(recorder.metric_names)[1:], 1 + (len(recorder.metrics) if recorder.train_metrics else 0)
    of_training, others = names[:own], names[own:]
    if getattr(recorder, "cancel_train", False):  # then its row has no values of these columns, and is shorter
        of_training = []
    if getattr(recorder, "cancel_valid", False):
        others = []
    return {name: value for name, value in zip([*of_training, *others], recorder.log[1:], strict=False)
            if name != "time"}  # fmt: skip


class _Until:
    """A loader that gives the batches of another until a fit has ended; it has the attributes of the other."""

    def __init__(self, loader: Iterable[Any], ended: Callable[[], bool]) -> None:
        self._loader, self._ended = loader, ended

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_loader"], name)

    def __len__(self) -> int:
        return len(self._loader)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[Any]:
        for batch in self._loader:
            yield batch
            if self._ended():
                return
