"""Hear trackers: wandb, TensorBoard, mlflow, trackio."""

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from palate.training.loggers.patching import after, tell


def _watch_wandb(module: ModuleType) -> None:
    after(module.Run, "log", _wandb_log)


def _watch_wandb_off(module: ModuleType) -> None:
    after(module.NoopRun, "log", _wandb_log)


def _wandb_log(run: Any, data: Mapping[str, Any], step: Any = None, commit: bool | None = None, **_: Any) -> None:
    """Hear of `wandb.log`, with the step that wandb counts, which a run that is off does not count itself."""
    state = run.__dict__
    at: int = state.get("heard_at_step", 0)
    if step is not None:
        at = max(at, int(step))
    goes_on = step is None if commit is None else commit
    state["heard_at_step"] = at + 1 if goes_on else at
    tell("wandb", data, at)


def _watch_tensorboard(module: ModuleType) -> None:
    after(module.SummaryWriter, "add_scalar", _add_scalar)
    after(module.SummaryWriter, "add_scalars", _add_scalars)


def _add_scalar(_: Any, tag: str, scalar_value: Any, global_step: Any = None, *__: Any, **___: Any) -> None:
    tell("tensorboard", {tag: scalar_value}, global_step)


def _add_scalars(
    _: Any, main_tag: str, tag_scalar_dict: Mapping[str, Any], global_step: Any = None, *__: Any, **___: Any
) -> None:
    tell("tensorboard", {f"{main_tag}/{tag}": value for tag, value in tag_scalar_dict.items()}, global_step)


def _watch_mlflow(module: ModuleType) -> None:
    after(module.MlflowClient, "log_metric", _mlflow_metric)
    after(module.MlflowClient, "log_batch", _mlflow_batch)


_MLFLOW_METRIC = ("run_id", "key", "value", "timestamp", "step")


def _mlflow_metric(_: Any, *arguments: Any, **given: Any) -> None:
    """Hear of one metric; mlflow says step 0 where none was given."""
    _, key, value, _, step = (*arguments, *(given.get(name) for name in _MLFLOW_METRIC[len(arguments) :]))[:5]
    tell("mlflow", {key: value}, step or None)


def _mlflow_batch(_: Any, run_id: str, metrics: Any = (), *__: Any, **___: Any) -> None:  # noqa: ARG001
    by_step: dict[int, dict[str, Any]] = {}
    for metric in metrics:
        by_step.setdefault(metric.step or 0, {})[metric.key] = metric.value
    for step, values in by_step.items():
        tell("mlflow", values, step or None)


def _watch_trackio(module: ModuleType) -> None:
    after(module.Run, "log", _trackio_log)


def _trackio_log(_: Any, metrics: Mapping[str, Any], step: Any = None) -> None:
    tell("trackio", metrics, step)


WANTED: dict[str, Callable[[ModuleType], None]] = {
    "wandb.sdk.wandb_run": _watch_wandb,
    "wandb.sdk.lib.noop_run": _watch_wandb_off,
    "torch.utils.tensorboard.writer": _watch_tensorboard,
    "tensorboardX.writer": _watch_tensorboard,
    "mlflow.tracking.client": _watch_mlflow,
    "trackio.run": _watch_trackio,
}
"""What is patched, by the full names of the modules."""
