"""Hear frameworks that have the loop: what they log for the script, whether or not they have a tracker to log it to."""

import re
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from palate.training.loggers.patching import after, tell

_XGBOOST = re.compile(r"\t([^\t]+?):([-+.\deE]+|nan|-?inf)(?=\t|$)")


def _watch_lightning(module: ModuleType) -> None:
    after(module._LoggerConnector, "log_metrics", _lightning_log)


def _lightning_log(connector: Any, metrics: Mapping[str, Any], step: Any = None) -> None:
    """Hear of what `self.log` gathered, at the step that Lightning gives its loggers."""
    trainer = connector.trainer
    if not metrics or trainer.sanity_checking or not trainer.is_global_zero:
        return
    numbers = dict(metrics)
    if step is None:
        step = numbers.pop("step", None)
    if step is None:
        step = trainer.fit_loop.epoch_loop._batches_that_stepped
    tell("lightning", numbers, step)


def _watch_trainer(module: ModuleType) -> None:
    after(module.Trainer, "log", _trainer_log)


def _trainer_log(trainer: Any, logs: Mapping[str, Any], *_: Any, **__: Any) -> None:
    if trainer.is_world_process_zero():
        tell("transformers", logs, trainer.state.global_step)


def _watch_accelerate(module: ModuleType) -> None:
    after(module.Accelerator, "log", _accelerate_log)


def _accelerate_log(accelerator: Any, values: Mapping[str, Any], step: Any = None, *_: Any, **__: Any) -> None:
    if accelerator.is_main_process:
        tell("accelerate", values, step)


def _watch_keras(module: ModuleType) -> None:
    callbacks = module.CallbackList
    after(callbacks, "on_train_begin", _keras_begins)
    after(callbacks, "on_train_end", _keras_ends)
    after(callbacks, "on_epoch_end", _keras_epoch)
    after(callbacks, "on_test_end", _keras_tested)


def _keras_begins(callbacks: Any, *_: Any, **__: Any) -> None:
    callbacks.fits_for_palate = True


def _keras_ends(callbacks: Any, *_: Any, **__: Any) -> None:
    callbacks.fits_for_palate = False


def _keras_epoch(_: Any, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
    tell("keras", logs or {}, epoch)


def _keras_tested(callbacks: Any, logs: Mapping[str, Any] | None = None) -> None:
    """Hear of what `evaluate` gives when the script calls it; what `fit` validates comes with its epoch."""
    if not getattr(callbacks, "fits_for_palate", False):
        tell("keras", {f"eval_{name}": value for name, value in (logs or {}).items()})


def _watch_lightgbm(module: ModuleType) -> None:
    for name in ("eval_train", "eval_valid"):
        after(module.Booster, name, _lightgbm_told, with_result=True)


def _lightgbm_told(result: Any, booster: Any, *_: Any, **__: Any) -> None:
    values = {f"{name}/{metric}": value for name, metric, value, *_ in result}
    tell("lightgbm", values, booster.current_iteration() - 1)


def _watch_xgboost(module: ModuleType) -> None:
    after(module.Booster, "eval_set", _xgboost_told, with_result=True)


def _xgboost_told(result: Any, booster: Any, evals: Any, iteration: int = 0, *_: Any, **__: Any) -> None:  # noqa: ARG001
    """Hear of what XGBoost writes of an iteration: `[3]\\ttrain-rmse:0.5\\ttest-rmse:0.6`."""
    text = result.decode() if isinstance(result, bytes) else str(result)
    tell("xgboost", {name: float(value) for name, value in _XGBOOST.findall(text)}, iteration)


_CONNECTOR = "trainer.connectors.logger_connector.logger_connector"

WANTED: dict[str, Callable[[ModuleType], None]] = {
    f"lightning.pytorch.{_CONNECTOR}": _watch_lightning,
    f"pytorch_lightning.{_CONNECTOR}": _watch_lightning,
    "transformers.trainer": _watch_trainer,
    "accelerate.accelerator": _watch_accelerate,
    "keras.src.callbacks.callback_list": _watch_keras,
    "lightgbm.basic": _watch_lightgbm,
    "xgboost.core": _watch_xgboost,
}
"""What is patched, by the full names of the modules."""
