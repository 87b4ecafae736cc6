"""What a training is made of and palate holds: models, optimizers, schedulers, scalers, averages, generators, memory.

A part is anything that has a state: `state_dict` and `load_state_dict`, a generator of random numbers, or a dictionary
or a list that the training writes into. Torch is imported only where the training has done so.
"""

import copy
import sys
from collections.abc import Iterator, Mapping, MutableMapping, MutableSequence, Sequence
from typing import Any

from palate.cooking import randomness
from palate.cooking.stage import matches
from palate.errors import InputError

State = Any


def parts_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parts by name; a list or a dictionary of models or optimizers becomes one part each.

    >>> sorted(parts_of({"model": None, "best": {"loss": 1.0}}))
    ['best']

    Raises:
        InputError: something has no state that can be taken and put back.
    """
    parts: dict[str, Any] = {}
    for name, thing in given.items():
        if thing is None:
            continue
        members = _members(thing)
        for key, member in members.items() if members else [("", thing)]:
            parts[f"{name}.{key}" if key else name] = _unwrapped(member)
    strange = [f"{name} is a {type(thing).__qualname__}" for name, thing in parts.items() if not has_state(thing)]
    if strange:
        raise InputError(
            "Not all of what was handed over has a state.",
            why=[*strange, "A part has state_dict() and load_state_dict(), or is a generator, a dictionary or a list."],
            todo="Leave it out, or give its class the two methods.",
        )
    return parts


def _unwrapped(thing: Any) -> Any:
    """Return what one of accelerate's wrappers is around: hooks do not work on those; and what of it has a state."""
    if not type(thing).__module__.startswith("accelerate."):
        return thing
    kind = type(thing).__name__
    if kind == "Accelerator":
        return _Accumulation(thing)
    return getattr(thing, _WRAPPED.get(kind, ""), thing)


_WRAPPED = {"AcceleratedOptimizer": "optimizer", "AcceleratedScheduler": "scheduler"}

_WRAPPERS = ("accelerate.", "lightning.pytorch.core.")
"""Starts of the names of modules whose optimizers and schedulers are wrappers around those of torch."""


class _Accumulation:
    """What of an accelerator decides the future: how many batches were added up, and its scaler of gradients."""

    def __init__(self, accelerator: Any) -> None:
        self._accelerator = accelerator

    @property
    def scaler(self) -> Any:
        return self._accelerator.scaler

    def state_dict(self) -> State:
        return {
            "step": self._accelerator.step,
            "scaler": None if self.scaler is None else self.scaler.state_dict(),
        }

    def load_state_dict(self, state: State) -> None:
        self._accelerator.step = state["step"]
        if state["scaler"] is not None and self.scaler is not None:
            self.scaler.load_state_dict(state["scaler"])


def _members(thing: Any) -> dict[str, Any]:
    """Return the members of a list or a dictionary of parts; nothing for one part."""
    if isinstance(thing, Mapping) and thing and all(_has_methods(one) for one in thing.values()):
        return {str(name): one for name, one in thing.items()}
    if isinstance(thing, list | tuple) and thing and all(_has_methods(one) for one in thing):
        return {str(place): one for place, one in enumerate(thing)}
    return {}


def has_state(thing: Any) -> bool:
    """Return whether a state can be taken of something and put back."""
    return _has_methods(thing) or randomness.is_generator(thing) or isinstance(thing, MutableMapping | MutableSequence)


def _has_methods(thing: Any) -> bool:
    return callable(getattr(thing, "state_dict", None)) and callable(getattr(thing, "load_state_dict", None))


def is_module(thing: Any) -> bool:
    """Return whether something is a model of torch's."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(thing, torch.nn.Module)


def is_optimizer(thing: Any) -> bool:
    """Return whether something is an optimizer of torch's."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(thing, torch.optim.Optimizer)


def take_state(thing: Any) -> State:
    """Return the state of a part; its tensors may still be the part's own."""
    if is_module(thing):
        modes = {name: module.training for name, module in thing.named_modules()}
        needs = {name: one.requires_grad for name, one in thing.named_parameters()}
        return {"state": dict(thing.state_dict()), "modes": modes, "trained": needs}
    if _has_methods(thing):
        return thing.state_dict()
    if randomness.is_generator(thing):
        return randomness.take(thing)
    return dict(thing) if isinstance(thing, Mapping) else list(thing)


def put_state(thing: Any, state: State) -> None:
    """Put a state back into a part; the state is left as it is, and shares nothing with the part."""
    if is_module(thing):
        thing.load_state_dict(state["state"])
        for name, module in thing.named_modules():
            module.training = state["modes"].get(name, module.training)
        for name, one in thing.named_parameters():
            one.requires_grad_(state["trained"].get(name, one.requires_grad))
    elif is_optimizer(thing):
        _put_optimizer(thing, copy.deepcopy(state))
    elif _has_methods(thing):
        thing.load_state_dict(copy.deepcopy(state))
    elif randomness.is_generator(thing):
        randomness.put(thing, state)
    elif isinstance(thing, MutableMapping):
        _put_mapping(thing, state)
    else:
        thing.clear()
        thing.extend(copy.deepcopy(state))


def _put_mapping(thing: MutableMapping[Any, Any], state: Mapping[Any, Any]) -> None:
    """Put a dictionary's entries back; tensors that are there keep their place, as an optimizer may hold them."""
    kept = {}
    for name, value in state.items():
        there = thing.get(name)
        if (
            there is not None
            and hasattr(there, "untyped_storage")
            and getattr(there, "shape", None) == getattr(value, "shape", None)
        ):
            there.data.copy_(value)
            kept[name] = there
        else:
            kept[name] = copy.deepcopy(value)
    thing.clear()
    thing.update(kept)


def _put_optimizer(optimizer: Any, state: dict[str, Any]) -> None:
    """Load an optimizer's state, its tensors in the precision that they were saved in.

    `load_state_dict` casts them to that of the parameters: a float32 average beside bfloat16 weights would be rounded.
    """
    saved = copy.deepcopy(state["state"])
    optimizer.load_state_dict(state)
    members = [one for group in optimizer.param_groups for one in group["params"]]
    for number, parameter in enumerate(members):
        held = optimizer.state.get(parameter)
        for name, value in saved.get(number, {}).items():
            if held is not None and getattr(held.get(name), "dtype", None) != getattr(value, "dtype", None):
                held[name] = value.to(parameter.device)


def faults_of(thing: Any, state: State) -> list[str]:
    """Return why a state cannot be of this part, a sentence each; a model that is another, an optimizer of another."""
    if is_module(thing):
        return _model_faults(thing, state)
    if is_optimizer(thing):
        return _optimizer_faults(thing, state)
    return []


def _model_faults(model: Any, state: State) -> list[str]:
    if not isinstance(state, Mapping) or "state" not in state:
        return ["the capsule has no model there"]
    saved, own = state["state"], model.state_dict()
    faults = [f"{name}: the capsule has it, the model has not" for name in saved if name not in own]
    faults += [f"{name}: the model has it, the capsule has not" for name in own if name not in saved]
    for name in own.keys() & saved.keys():
        shapes = [getattr(one, "shape", None) for one in (own[name], saved[name])]
        if shapes[0] != shapes[1] and None not in shapes:
            told = " and ".join(str(list(shape or ())) for shape in shapes)
            faults.append(f"{name}: {told} are the shapes in the model and in the capsule")
    return faults


def _optimizer_faults(optimizer: Any, state: State) -> list[str]:
    if not isinstance(state, Mapping) or "param_groups" not in state:
        return ["the capsule has no optimizer there"]
    groups, saved = optimizer.param_groups, state["param_groups"]
    if [len(group["params"]) for group in groups] != [len(group["params"]) for group in saved]:
        sizes = [" + ".join(str(len(one["params"])) for one in some) for some in (groups, saved)]
        return [f"it has {sizes[0]} parameters in its groups, the capsule {sizes[1]}"]
    missing = (saved[0].keys() ^ groups[0].keys()) - {"initial_lr", "params", "param_names"} if saved else set()
    return [f"it is another optimizer: {', '.join(sorted(missing))} stand in one of the two only"] if missing else []


def gradients_of(parts: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the gradients that the parameters of models have just now, by model and name."""
    return {
        name: {key: one.grad for key, one in part.named_parameters() if one.grad is not None}
        for name, part in parts.items()
        if is_module(part)
    }


def put_gradients(parts: Mapping[str, Any], gradients: Mapping[str, Mapping[str, Any]]) -> None:
    """Put gradients back, and take away all others."""
    for name, part in parts.items():
        if is_module(part):
            for key, one in part.named_parameters():
                grad = gradients.get(name, {}).get(key)
                one.grad = None if grad is None else grad.to(one.device).clone()


def forgotten(parts: Mapping[str, Any]) -> list[str]:
    """Return what this process holds besides and a run's future may depend on, a line each: optimizers, scalers ...

    Only what is alive, is of a kind that torch makes, and holds parameters of the parts is named.
    """
    import gc

    torch = sys.modules.get("torch")
    if torch is None:
        return []
    known = {id(part) for part in parts.values()}
    inner = {id(module) for part in parts.values() if is_module(part) for module in part.modules()}
    kinds = {
        "an optimizer": torch.optim.Optimizer,
        "a scheduler": (torch.optim.lr_scheduler.LRScheduler, torch.optim.lr_scheduler.ReduceLROnPlateau),
        "a scaler of gradients": torch.amp.GradScaler,
        "an average of a model": torch.optim.swa_utils.AveragedModel,
    }
    known |= inner | {id(one) for part in parts.values() for one in _inside(part)}
    things, own = gc.get_objects(), {id(one) for _, one in parameters_of(parts)}
    named = {one: name for one in set(map(type, things)) for name, kind in kinds.items() if issubclass(one, kind)}
    wrappers = {one for one in set(map(type, things)) if str(one.__module__).startswith(_WRAPPERS)}
    kept = [one for one in things if type(one) in named and type(one) not in wrappers and id(one) not in known]
    found = [f"{named[type(one)]}: {type(one).__qualname__}" for one in kept if _is_of(one, own)]
    adding = [one for one in things if type(one) in wrappers and _adds_up(one, parts)]
    found += [f"an accelerator, which adds gradients up: {type(one).__qualname__}" for one in adding]
    return sorted(found)


def _is_of(thing: Any, parameters: set[int]) -> bool:
    """Return whether an optimizer, or that of a scheduler, has one of these parameters; anything else may."""
    optimizer = getattr(thing, "optimizer", thing)
    groups = getattr(optimizer, "param_groups", None)
    return groups is None or any(id(one) in parameters for group in groups for one in group["params"])


def _adds_up(thing: Any, parts: Mapping[str, Any]) -> bool:
    """Return whether this is an accelerator that counts batches to add up, and is no part."""
    if type(thing).__name__ != "Accelerator" or any(isinstance(part, _Accumulation) for part in parts.values()):
        return False
    return int(thing.gradient_accumulation_steps) > 1


def _inside(part: Any) -> Iterator[Any]:
    """Yield what a part holds itself and gives the state of: the schedulers of a sequence, the scaler of accelerate."""
    if isinstance(part, _Accumulation):
        yield part.scaler
    yield from getattr(part, "_schedulers", ())
    if not is_module(part) and hasattr(part, "optimizer"):
        yield from getattr(part, "optimizers", ())


def parameters_of(parts: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the parameters of all models, by the name of the part and their own."""
    for name, part in parts.items():
        if is_module(part):
            for key, one in part.named_parameters():
                yield f"{name}.{key}", one


def train_only(parts: Mapping[str, Any], wanted: Sequence[str], *, dry: bool = False) -> None:
    """Train the parameters whose names hold one of these, and no others; the others lose their gradients.

    Raises:
        InputError: a name that no parameter's has.
    """
    named = list(parameters_of(parts))
    unknown = unknown_names(parts, wanted)
    if unknown or not wanted:
        raise InputError(f"train={unknown or wanted}: no parameter's name has it.", todo=tops_words(parts))
    for name, one in () if dry else named:
        one.requires_grad_(matches(name, wanted))
        if not one.requires_grad:
            one.grad = None


def unknown_names(parts: Mapping[str, Any], wanted: Sequence[str]) -> list[str]:
    """Return the names that no parameter's name has."""
    named = [name for name, _ in parameters_of(parts)]
    return [one for one in wanted if not any(matches(name, [one]) for name in named)]


def tops_words(parts: Mapping[str, Any]) -> str:
    """Name the layers of the models."""
    tops = dict.fromkeys(".".join(name.split(".")[:2]) for name, _ in parameters_of(parts))
    return f"there are: {', '.join(tops)}"


def trained_now(parts: Mapping[str, Any]) -> dict[str, bool]:
    """Return of each parameter whether it is trained."""
    return {name: one.requires_grad for name, one in parameters_of(parts)}


def train_as(parts: Mapping[str, Any], before: Mapping[str, bool]) -> None:
    """Train what was trained when `trained_now` returned this."""
    for name, one in parameters_of(parts):
        one.requires_grad_(before.get(name, one.requires_grad))
        if not one.requires_grad:
            one.grad = None


def trained(parts: Mapping[str, Any]) -> str:
    """Return the parts and layers all of whose parameters are trained, with commas between."""
    groups: dict[str, list[bool]] = {}
    for name, one in parameters_of(parts):
        groups.setdefault(".".join(name.split(".")[:2]), []).append(one.requires_grad)
    return ",".join(name for name, needs in groups.items() if all(needs))
