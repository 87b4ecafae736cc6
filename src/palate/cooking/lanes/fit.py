"""Whether the loop of a run can be computed together with those of others, and what of it must be alike in all."""

import contextlib
import importlib
import os
import stat
import threading
import types
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from palate.cooking import randomness
from palate.cooking.condition import Condition, Joined, Reached
from palate.cooking.lanes.batches import loader_fault
from palate.cooking.lanes.body import Body, loop_frame, read_body
from palate.cooking.parts import is_module, is_optimizer

_OPTIMIZERS = ("SGD", "Adam", "AdamW", "NAdam", "RAdam", "Adamax", "Adagrad", "Adadelta", "RMSprop")
"""Optimizers of torch that treat each number by itself."""


def body_of() -> Body:
    """Return the loop that is about to be gone through."""
    frame = loop_frame()
    if frame is None:
        return Body(code=types.CodeType.__new__, faults=("its loop cannot be read",))  # type: ignore[arg-type]
    return read_body(frame)


def faults_of_loop(live: Any, body: Body, loader: Iterable[Any]) -> Iterator[str]:
    """Yield why a loop cannot be computed for several runs at once."""
    for name, part in live.parts.items():
        yield from _faults_of_part(name, part)
    tensors = [one for part in live.parts.values() if is_module(part) for one in part.parameters()]
    if not tensors or any(one.device.type != "cpu" for one in tensors):
        yield "its model is not on the CPU"
    if live.branch.turns or live.branch.capsule or not _counts(live._ending.condition):
        yield "its loop may end at another step for each run"
    if live.stage.losses or live._ending.in_cycle:
        yield "it goes through stages"
    yield from filter(None, [loader_fault(loader)])
    yield from body.faults
    yield from _open_files(live.run.folder)
    yield from _hooks(live.parts, tensors)
    if _threads() > 1:
        yield "its process has threads"


def _faults_of_part(name: str, part: Any) -> Iterator[str]:
    torch = importlib.import_module("torch")
    kind, of_lr = type(part), torch.optim.lr_scheduler
    if is_optimizer(part):
        if kind.__name__ not in _OPTIMIZERS or not kind.__module__.startswith("torch.optim."):
            yield f"{name} is a {kind.__name__}, which does not treat each number by itself"
    elif isinstance(part, of_lr.ReduceLROnPlateau) or not (
        is_module(part) or isinstance(part, of_lr.LRScheduler | torch.Generator)
    ):
        yield f"{name} is a {kind.__name__}, which cannot be kept for several runs at once"


def _hooks(parts: Mapping[str, Any], tensors: Iterable[Any]) -> Iterator[str]:
    """Yield where a hook would be called once for all runs."""
    if any(one._backward_hooks or one._post_accumulate_grad_hooks for one in tensors):
        yield "a hook on a weight is called once for all runs"
    for name, part in parts.items():
        hooks = [
            one
            for kind in ("pre", "post")
            for one in getattr(part, "__dict__", {}).get(f"_optimizer_step_{kind}_hooks", {}).values()
        ]
        if any(not _is_palates(one) for one in hooks):
            yield f"a hook on {name} is called once for all runs"


def _is_palates(hook: Any) -> bool:
    held = getattr(hook, "func", hook)
    return any(str(getattr(one, "__module__", "")).startswith("palate.") for one in (held, type(held)))


def _open_files(own: Path) -> Iterator[str]:
    """Yield the files that are open for writing, but for palate's: the loop would write there once for all."""
    with contextlib.suppress(OSError):
        for entry in Path("/proc/self/fd").iterdir():
            with contextlib.suppress(OSError):  # the one of this listing
                place, kind = entry.readlink(), entry.stat().st_mode
                flags = int(Path("/proc/self/fdinfo", entry.name).read_text().split("flags:")[1].split()[0], 8)
                mine = place.is_relative_to(own.parent.parent) or int(entry.name) <= 2
                if stat.S_ISREG(kind) and flags & os.O_ACCMODE != os.O_RDONLY and not mine and place.exists():
                    yield f"{place.name} is open for writing"


def _counts(condition: Condition | None) -> bool:
    """Return whether a condition counts steps, samples or epochs alone."""
    if isinstance(condition, Joined):
        return all(map(_counts, condition.parts))
    return condition is None or (isinstance(condition, Reached) and condition.what != "minutes")


def _threads() -> int:
    """Return how many threads the process has, without palate's own, which write files that the leader does not."""
    own = sum(one.name.startswith("palate-") for one in threading.enumerate())
    try:
        return len(list(Path("/proc/self/task").iterdir())) - own
    except OSError:
        return threading.active_count() - own


def live_generators(loader: Iterable[Any]) -> dict[str, Any]:
    """Return the generators that a loader holds, by the way to them."""
    return {} if isinstance(loader, list | tuple | range) else randomness.generators_behind(loader)


def plain_value(name: str, value: Any) -> Any:
    """Return a variable's value, where it is plain.

    Raises:
        ValueError: it is not.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if type(value) in (list, tuple):
        return type(value)(plain_value(name, one) for one in value)
    if type(value) is dict:
        return {key: plain_value(name, one) for key, one in value.items()}
    raise ValueError(f"{name} is a {type(value).__qualname__}, which the loop goes on from")


def is_among(one: object, others: Iterable[object]) -> bool:
    """Return whether one of some objects is this very one."""
    return any(one is other for other in others)


def rates_of(optimizer: Any) -> list[dict[str, Any]]:
    """Return an optimizer's settings, group by group."""
    return [{name: value for name, value in group.items() if name != "params"} for group in optimizer.param_groups]
