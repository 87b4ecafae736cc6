"""Lightning: a callback by which palate holds what `Trainer.fit` trains.

    from palate.engines.lightning import Palate

    trainer = L.Trainer(max_epochs=10, callbacks=[Palate()])
    trainer.fit(net, loader)

A step is a batch behind which an optimizer has stepped: the number that Lightning's loggers are given.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.loggers import Logger
from lightning.pytorch.loops.loop import _Loop

from palate.cooking.stage import Every
from palate.cooking.until import Condition
from palate.engines.held import Held, Loader, members, refuse_many, refuse_unsized
from palate.errors import InputError, RefusedError
from palate.training.run import Run, start

ONE_LOADER = "Give fit one loader, or put what the others give into its data set."


class Palate(Callback):  # type: ignore[misc]
    """Hold a training: it can be seasoned and forked, and computes bit for bit what it computes without.

    Args:
        label: names the run; the script's name if empty.
        seed: of the training; noted, nothing is seeded with it.
        keep: when a capsule is kept.
        until: when the training ends besides.
        parts: what else it is made of: averages, generators, dictionaries that the training writes into.
    """

    def __init__(
        self,
        label: str = "",
        *,
        seed: int | None = None,
        keep: Every | None = None,
        until: Condition | None = None,
        **parts: Any,
    ) -> None:
        self._label, self._seed, self._keep, self._until, self._parts = label, seed, keep, until, parts
        self._held: Held | None = None
        self._place: _Place | None = None
        self._run: Run | None = None
        self._steps = 0

    @property
    def run(self) -> Run:
        """The run, from the beginning of `fit`.

        Raises:
            InputError: it has not begun.
        """
        if self._run is None:
            raise InputError("There is no run yet.", why="It begins with Trainer.fit.")
        return self._run

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Hold what the strategy has set up; stand in for its loader."""
        refuse_many(trainer.world_size, "Lightning")
        self._place = _Place(trainer)
        self._run = start(
            self._label,
            seed=self._seed,
            keep=self._keep,
            model=pl_module,
            optimizer=members(trainer.optimizers),
            scheduler=members(one.scheduler for one in trainer.lr_scheduler_configs),
            scaler=getattr(trainer.precision_plugin, "scaler", None),
            **self._parts,
            lightning=self._place,
        )
        self._held = Held(self._run.live, until=self._until, stop=lambda: setattr(trainer, "should_stop", True))
        self._steps = trainer.global_step
        trainer.loggers = [*trainer.loggers, _Log(self._run)]
        self._stand_in(trainer, self._held)

    def _stand_in(self, trainer: Trainer, held: Held) -> None:
        process = trainer.strategy.process_dataloader
        stood_in: list[object] = []

        def process_dataloader(loader: object) -> object:
            processed = process(loader)
            if not trainer.training:
                return processed
            if stood_in and not trainer.reload_dataloaders_every_n_epochs:
                raise RefusedError("Lightning goes through several loaders at once; palate holds one.", todo=ONE_LOADER)
            if not isinstance(trainer.limit_train_batches, int):
                refuse_unsized(processed, "Trainer(limit_train_batches=1000)   says how many batches an epoch has")
            stood_in.append(processed)
            return Loader(processed, lambda: held)

        trainer.strategy.process_dataloader = process_dataloader

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        """Note that a step is done, where an optimizer has stepped."""
        assert self._held is not None and self._place is not None
        self._place.mean_on()
        if trainer.global_step != self._steps:
            self._steps = trainer.global_step
            if self._held.ends_here:
                trainer.should_stop = True
            self._held.stepped()

    def on_train_epoch_end(self, *_: Any) -> None:
        """Forget what was meant over the epoch that ends."""
        assert self._place is not None
        self._place.forget()

    def on_train_end(self, *_: Any) -> None:
        """Do what is done behind the last step."""
        assert self._held is not None
        self._held.close()

    def teardown(self, trainer: Trainer, *_: Any, **__: Any) -> None:
        """Leave the trainer as it was."""
        vars(trainer.strategy).pop("process_dataloader", None)
        trainer.loggers = [one for one in trainer.loggers if not isinstance(one, _Log)]


class _Place:
    """Where Lightning is: the counters of its loops, what callbacks remember, what was logged and is still needed."""

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer
        self._means: dict[str, dict[str, Any]] = {}

    def _callbacks(self) -> Iterable[Any]:
        """Those that save checkpoints are left as they are: they would go on with files of another run."""
        return (one for one in self._trainer.callbacks if not isinstance(one, Checkpoint | Palate))

    def state_dict(self) -> dict[str, Any]:
        trainer = self._trainer
        return {
            "loops": {name: one for name, one in trainer.fit_loop.state_dict().items() if "combined" not in name},
            "callbacks": {one.state_key: state for one in self._callbacks() if (state := one.state_dict())},
            "logged": {name: value.detach().clone() for name, value in trainer.callback_metrics.items()},
            "means": {
                name: {"value": one.value, "count": getattr(one, "cumulated_batch_size", None)}
                for name, one in trainer.fit_loop.epoch_loop._results.items()
                if one.is_tensor and one.meta.on_epoch and not one.has_reset
            },
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        trainer = self._trainer
        _put_counters(trainer.fit_loop, state["loops"], "")
        fetcher = trainer.fit_loop._data_fetcher
        assert fetcher is not None
        fetcher.fetched = trainer.fit_loop.epoch_loop.batch_progress.current.ready
        for one in self._callbacks():
            if one.state_key in state["callbacks"]:
                one.load_state_dict(state["callbacks"][one.state_key])
        trainer.callback_metrics.update(state["logged"])
        self._means = dict(state["means"])

    def mean_on(self) -> None:
        """Add what is logged to what was logged in the same epoch before the capsule."""
        for name, one in self._trainer.fit_loop.epoch_loop._results.items() if self._means else ():
            before = self._means.pop(name, None)
            if before is not None and one.meta.on_epoch:
                if one.meta.is_max_reduction or one.meta.is_min_reduction:
                    one.value = one.meta.reduce_fx(before["value"], one.value)
                else:
                    one.value = before["value"] + one.value
                if before["count"] is not None:
                    one.cumulated_batch_size = before["count"] + one.cumulated_batch_size

    def forget(self) -> None:
        """Forget what was logged before the capsule."""
        self._means = {}


def _put_counters(loop: Any, counters: Mapping[str, Any], prefix: str) -> None:
    """Put back the counters of a loop and of those inside; none of them believes that it restarts."""
    loop._load_from_state_dict(dict(counters), prefix)
    for name, inner in vars(loop).items():
        if isinstance(inner, _Loop):
            _put_counters(inner, counters, f"{prefix}{name}.")


class _Log(Logger):  # type: ignore[misc]
    """Hands what the training logs to palate's run, at Lightning's own steps."""

    def __init__(self, run: Run) -> None:
        super().__init__()
        self._run = run

    @property
    def name(self) -> str:
        """What the logger is called."""
        return "palate"

    @property
    def version(self) -> str:
        """The run."""
        return self._run.id

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log metrics at a step."""
        self._run.log(step, **{name: float(value) for name, value in metrics.items() if name != "step"})

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Leave them: palate reads what is in force."""
