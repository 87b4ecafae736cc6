"""What is read of a PyTorch training: its parameters by name, their groups and rates, and samples of their values."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from palate.cooking.seen import Parameter

SAMPLED = 500
"""Values of a tensor whose change is measured."""


def _torch() -> Any:
    import torch

    return torch


def named_parameters(models: Mapping[str, Any]) -> dict[str, Any]:
    """Return real parameters by name; tied ones have the first of their names."""
    named = {
        f"{key}.{name}" if key else name: p for key, model in models.items() for name, p in model.named_parameters()
    }
    lazy = _torch().nn.parameter.is_lazy
    return {name: p for name, p in named.items() if not lazy(p) and p.is_floating_point() and p.numel()}


def is_compiled(model: Any) -> bool:
    """Return whether a model was compiled, as a copy or in place."""
    return hasattr(model, "_orig_mod") or getattr(model, "_compiled_call_impl", None) is not None


def modules_of(models: Mapping[str, Any]) -> dict[str, Any]:
    """Return the module that holds each parameter."""
    return {
        ".".join(part for part in (key, path, name) if part): module
        for key, model in models.items()
        for path, module in model.named_modules()
        for name, _ in module.named_parameters(recurse=False)
    }


def _group_names(optimizers: Sequence[Any]) -> Iterable[tuple[str, dict[str, Any]]]:
    for number, optimizer in enumerate(optimizers):
        for index, group in enumerate(optimizer.param_groups):
            yield (f"{number}.{index}" if len(optimizers) > 1 else str(index)), group


def groups_of(optimizers: Sequence[Any]) -> dict[str, set[int]]:
    """Return the parameters that each group holds; with several optimizers a group is called "optimizer.group"."""
    return {name: {id(p) for p in group["params"]} for name, group in _group_names(optimizers)}


def rates_of(optimizers: Sequence[Any]) -> dict[str, float]:
    """Return the learning rate in force, by group."""
    return {name: group["lr"] for name, group in _group_names(optimizers) if "lr" in group}


def members_of(optimizer: Any) -> list[Any]:
    """Return the parameters that an optimizer holds."""
    return [p for group in optimizer.param_groups for p in group["params"]]


def known_of(parameter: Any, module: Any, groups: Mapping[str, set[int]]) -> Parameter:
    """Return what is known of a parameter from the start."""
    torch = _torch()
    embedding = isinstance(module, torch.nn.Embedding | torch.nn.EmbeddingBag)
    return Parameter(
        size=parameter.numel(),
        matrix=parameter.dim() >= 2 and not embedding,
        trains=parameter.requires_grad,
        group=next((name for name, members in groups.items() if id(parameter) in members), None),
    )


def has_dropout(model: Any) -> bool:
    """Return whether any part drops values in training: dropout modules, or a rate that recurrent layers have."""
    rates = [getattr(module, "p", getattr(module, "dropout", 0.0)) for module in model.modules()]
    return any(isinstance(rate, float) and rate > 0 for rate in rates)


def units_of(gradient: Any, module: Any) -> Any:
    """Return a gradient with a row for each output unit; transposed convolutions have them second."""
    if getattr(module, "transposed", False) and module.groups == 1:
        gradient = gradient.transpose(0, 1)
    return gradient.reshape(gradient.shape[0], -1)


def sample(values: Any) -> Any:
    """Return some hundred values, evenly spaced; all of a small tensor. Without a graph only under `no_grad`."""
    flat, every = values.reshape(-1), values.numel() // SAMPLED
    return flat[::every] if every > 1 else flat


def norms(values: Sequence[Any]) -> Any:
    """Return L2 norms; those of half precision in single, where they cannot overflow."""
    torch = _torch()
    kinds = {value.dtype for value in values}
    wide = torch.float64 if torch.float64 in kinds else torch.float32
    dtype = wide if kinds & {torch.float16, torch.bfloat16} else None
    return torch.stack([norm.float() for norm in torch._foreach_norm(values, 2, dtype)])


def sampled(values: Any) -> int:
    """Return how many values `sample` takes."""
    return len(range(0, values.numel(), max(1, values.numel() // SAMPLED)))


def with_gradient(pairs: Sequence[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """Return the parameters that have a dense gradient."""
    return [(name, p) for name, p in pairs if p.grad is not None and not p.grad.is_sparse]


def by_device(pairs: Sequence[tuple[str, Any]]) -> list[list[tuple[str, Any]]]:
    """Return parameters by the device they are on."""
    devices = dict.fromkeys(p.device for _, p in pairs)
    if len(devices) == 1:
        return [list(pairs)]
    return [[pair for pair in pairs if pair[1].device == device] for device in devices]


def scale_of(optimizer: Any) -> float:
    """Return by what a GradScaler has scaled the gradients that a fused optimizer gets; 1 for all others."""
    scale = getattr(optimizer, "grad_scale", None)
    return 1.0 if scale is None else float(scale)


def scaler_skips(optimizer: Any) -> bool:
    """Return whether a fused optimizer will skip this step, as a GradScaler found values that are not finite."""
    found = getattr(optimizer, "found_inf", None)
    return found is not None and bool(float(found))


def numbers_of(numbers: Sequence[Any]) -> list[float]:
    """Read numbers from their device: one transfer where it is one."""
    if len({number.device for number in numbers}) != 1:
        return [float(number) for number in numbers]
    found: list[float] = _torch().stack([number.float().reshape(()) for number in numbers]).tolist()
    return found
