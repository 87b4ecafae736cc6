"""Hugging Face: palate holds what a Trainer trains.

    from palate.engines.hf import hold

    trainer = Trainer(model=model, args=args, train_dataset=data)
    hold(trainer)
    trainer.train()

A step is one of the optimizer, with all gradients that are added up for it: the Trainer's `global_step`.
"""

import copy
from collections.abc import Callable, Mapping
from typing import Any

from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import ExportableState

from palate.cooking.stage import Every
from palate.cooking.until import Condition
from palate.engines.held import Held, Loader, refuse_many
from palate.errors import InputError, RefusedError
from palate.training.run import Run, start

OF_STATE = ("epoch", "global_step", "num_input_tokens_seen", "total_flos", "log_history", "best_metric",
            "best_global_step", "best_model_checkpoint")  # fmt: skip
OF_TRAINER = ("_tr_loss", "_total_loss_scalar", "_globalstep_last_logged", "current_flos")
"""Attributes of the Trainer and of its state that decide what it logs and when it ends."""


def hold(
    trainer: Trainer,
    label: str = "",
    *,
    seed: int | None = None,
    keep: Every | None = None,
    until: Condition | None = None,
    **parts: Any,
) -> "Palate":
    """Have palate hold what a Trainer trains; call it before `train`.

    Args:
        trainer: the Trainer.
        label: names the run; the script's name if empty.
        seed: of the training; noted, nothing is seeded with it.
        keep: when a capsule is kept.
        until: when the training ends besides.
        parts: what else it is made of: averages, generators, dictionaries that the training writes into.

    Raises:
        RefusedError: it trains with several processes, or is of a release that this palate does not know.
    """
    refuse_many(trainer.args.world_size, "The Trainer")
    if not callable(getattr(trainer, "_run_epoch", None)):
        raise RefusedError("This Trainer has another loop than palate knows.", todo="pip install 'transformers>=5.0'")
    palate = Palate(trainer, lambda: _begin(trainer, label, seed, keep, parts), until)
    trainer.add_callback(palate)
    return palate


def _begin(trainer: Trainer, label: str, seed: int | None, keep: Every | None, parts: Mapping[str, Any]) -> Run:
    return start(
        label,
        seed=seed,
        keep=keep,
        model=trainer.accelerator.unwrap_model(trainer.model_wrapped),
        optimizer=trainer.optimizer,
        scheduler=trainer.lr_scheduler,
        accelerator=trainer.accelerator,
        **parts,
        trainer=_Place(trainer),
    )


class Palate(TrainerCallback):  # type: ignore[misc]
    """The callback that `hold` adds."""

    def __init__(self, trainer: Trainer, begin: Callable[[], Run], until: Condition | None) -> None:
        self._trainer, self._begin, self._until = trainer, begin, until
        self._run: Run | None = None
        self._held: Held | None = None
        self._came_from, self._is_first, self._of_epoch = (0, 0), True, (0, 0, 0)
        self._went = False
        self._loader, trainer.get_train_dataloader = trainer.get_train_dataloader, self._stand_in
        self._epoch, trainer._run_epoch = trainer._run_epoch, self._run_epoch

    @property
    def run(self) -> Run:
        """The run, from the beginning of `train`.

        Raises:
            InputError: it has not begun.
        """
        if self._run is None:
            raise InputError("There is no run yet.", why="It begins with Trainer.train.")
        return self._run

    # ---- in the place of two methods of the Trainer

    def _stand_in(self) -> Loader:
        return Loader(self._loader(), self._the_held)

    def _the_held(self) -> Held:
        assert self._held is not None
        return self._held

    def _run_epoch(self, **given: Any) -> None:
        """Carry out an epoch; of the first behind a capsule, what remains of it."""
        if given.get("resume_from_checkpoint") is not None:
            raise RefusedError(
                "The Trainer goes on from a checkpoint of its own, and palate holds it.",
                why="It would skip batches in a way that palate cannot follow.",
                todo="Leave resume_from_checkpoint out, or leave hold(trainer) out.",
            )
        epochs, batches = self._came_from
        self._went = False
        given["epoch"] += epochs
        self._of_epoch = (given["epoch"], given["steps_in_epoch"], batches if self._is_first else 0)
        if self._is_first:
            self._is_first = False
            given["steps_in_epoch"] -= batches
            given["num_update_steps_per_epoch"] -= batches // self._trainer.args.gradient_accumulation_steps
        self._epoch(**given)

    # ---- what the Trainer calls

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        """Hold what the Trainer has made by now."""
        self._run = self._begin()
        live = self._run.live
        self._came_from, self._is_first = live.place, True
        self._held = Held(live, until=self._until, stop=lambda: None)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Note that a step is done; say where it is in an epoch that was gone on with; end where that is known."""
        held = self._the_held()
        epoch, batches, before = self._of_epoch
        if before:
            state.epoch = epoch + (round((state.epoch - epoch) * (batches - before)) + before) / batches
        if held.ends_here:
            control.should_training_stop = True
            control.should_evaluate = control.should_evaluate or args.eval_strategy != "no"
        self._went = True
        held.stepped()

    def on_epoch_end(self, _: Any, __: Any, control: TrainerControl, **___: Any) -> None:
        """End where a condition holds."""
        if self._of_epoch[2] and not self._went:
            control.should_training_stop = False  # an epoch of which all was done looks like one without any data
        control.should_training_stop = control.should_training_stop or self._the_held().is_over

    def on_log(self, _: Any, state: TrainerState, *__: Any, logs: Mapping[str, Any], **___: Any) -> None:
        """Log what the Trainer logs, at its own steps."""
        if self._run is not None and self._run.live.arrived:
            numbers = {name: float(one) for name, one in logs.items() if isinstance(one, float | int)}
            self._run.log(state.global_step, **numbers)

    def on_train_end(self, *_: Any, **__: Any) -> None:
        """Do what is done behind the last step."""
        self._the_held().close()


class _Place:
    """Where a Trainer is: its counters, its loss since it was last logged, what its callbacks remember."""

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer

    def _callbacks(self) -> dict[str, Any]:
        some = self._trainer.callback_handler.callbacks
        return {
            f"{place}.{type(one).__name__}": one for place, one in enumerate(some) if isinstance(one, ExportableState)
        }

    def state_dict(self) -> dict[str, Any]:
        trainer = self._trainer
        return {
            "state": {
                name: copy.deepcopy(getattr(trainer.state, name)) for name in OF_STATE if hasattr(trainer.state, name)
            },
            "trainer": {name: getattr(trainer, name) for name in OF_TRAINER if hasattr(trainer, name)},
            "callbacks": {name: dict(one.state()["attributes"]) for name, one in self._callbacks().items()},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        for thing, values in ((self._trainer.state, state["state"]), (self._trainer, state["trainer"])):
            for name, value in values.items():
                setattr(thing, name, value)
        for name, one in self._callbacks().items():
            for key, value in state["callbacks"].get(name, {}).items():
                setattr(one, key, value)
