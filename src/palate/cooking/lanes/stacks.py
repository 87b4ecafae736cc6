"""The weights of all lanes, one behind the other, and the optimizers' memory of them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from palate.cooking.parts import is_module, is_optimizer, put_state

GRADIENTS = "\0gradients"
"""The name of the gradients beside those of the parts."""


def tensors_of(parts: Mapping[str, Any]) -> list[Tensor]:
    """Return the weights and buffers of all models, each once."""
    return list({id(one): one for _, _, one in _places(parts)}.values())


def _places(parts: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], str, Tensor]]:
    """Yield where each weight and buffer is held: the dictionary, the name in it, and the tensor."""
    for part in parts.values():
        if not is_module(part):
            continue
        for module in part.modules():
            for held in (module._parameters, module._buffers):
                yield from ((held, name, one) for name, one in held.items() if one is not None)


def gradients_of(parts: Mapping[str, Any]) -> list[Tensor | None]:
    """Return the gradients of `tensors_of`, where there are any: of steps that are added up."""
    return [None if one.grad is None else one.grad.detach().clone() for one in tensors_of(parts)]


def put_gradients(tensors: Sequence[Tensor], gradients: Sequence[Tensor | None]) -> None:
    """Put back what `gradients_of` returned."""
    for one, gradient in zip(tensors, gradients, strict=True):
        one.grad = None if gradient is None else gradient.clone()


class Stacks:
    """The weights of all lanes in the place of one run's.

    Args:
        parts: of the training; they are those of one run.
        states: of the parts of each lane, as `parts.take_state` gave them, and its gradients.

    Raises:
        ValueError: the lanes differ in more than values.
    """

    def __init__(self, parts: Mapping[str, Any], states: Sequence[Mapping[str, Any]]) -> None:
        self._optimizers = [part for part in parts.values() if is_optimizer(part)]
        self._parts, self._states = parts, states
        self._own = tensors_of(parts)
        self._places = list(_places(parts))
        of_lanes, memories, gradients = [], [], []
        for state in states:
            for name, part in parts.items():
                put_state(part, state[name])
            put_gradients(self._own, state[GRADIENTS])
            of_lanes.append([one.detach().clone() for one in self._own])
            gradients.append([None if one.grad is None else one.grad.clone() for one in self._own])
            memories.append([_memory(one) for one in self._optimizers])
        self._first = of_lanes
        self._whole = [
            torch.stack(list(together)).requires_grad_(own.requires_grad)
            for own, together in zip(self._own, zip(*of_lanes, strict=True), strict=True)
        ]
        for whole, together in zip(self._whole, zip(*gradients, strict=True), strict=True):
            if any((one is None) != (together[0] is None) for one in together):
                raise ValueError("some runs have gradients where others have none")
            whole.grad = None if together[0] is None else torch.stack(list(together))
        self._at = {id(own): place for place, own in enumerate(self._own)}
        self._closed: list[tuple[Any, Any]] = []
        for number, optimizer in enumerate(self._optimizers):
            self._swap(optimizer, [memory[number] for memory in memories])
        self._shown: list[Tensor] = []

    def _swap(self, optimizer: Any, memories: list[list[dict[str, Any]]]) -> None:
        """Give an optimizer the weights of all lanes, and its memory of each."""
        flat = [one for group in optimizer.param_groups for one in group["params"]]
        if any(id(one) not in self._at for one in flat):
            raise ValueError("an optimizer moves weights that no model holds")
        optimizer.state.clear()
        for place, one in enumerate(flat):
            lanes = [memory[place] for memory in memories]
            if any(lane.keys() != lanes[0].keys() for lane in lanes):
                raise ValueError("the optimizers of two runs remember different things")
            whole = self._whole[self._at[id(one)]]
            if lanes[0]:
                optimizer.state[whole] = {name: _stacked([lane[name] for lane in lanes], one) for name in lanes[0]}
        for group in optimizer.param_groups:
            group["params"] = [self._whole[self._at[id(one)]] for one in group["params"]]

    def close_around(self, outside: Callable[[Callable[[], Any]], Any]) -> None:
        """Let the optimizers' methods see all lanes: `outside` computes something so."""
        for optimizer in self._optimizers:
            for name in ("step", "zero_grad"):
                method = getattr(optimizer, name)
                setattr(optimizer, name, _outside(method, outside))

    def show(self, wrapped: Callable[[Tensor], Tensor]) -> None:
        """Put the weights of all lanes into the models."""
        shown = [wrapped(one) for one in self._whole]
        for held, name, own in self._places:
            held[name] = shown[self._at[id(own)]]
        for part in self._parts.values():
            for module in part.modules() if is_module(part) else ():
                if isinstance(module, torch.nn.RNNBase):
                    module._flat_weights = [getattr(module, name) for name in module._flat_weights_names]

    def hide(self) -> None:
        """Put one run's own weights back into the models, and into the optimizers."""
        for held, name, own in self._places:
            held[name] = own
        back = {id(whole): own for own, whole in zip(self._own, self._whole, strict=True)}
        self._memory = []
        for optimizer in self._optimizers:
            self._memory.append({id(back[id(whole)]): dict(state) for whole, state in optimizer.state.items()})
            for group in optimizer.param_groups:
                group["params"] = [back[id(one)] for one in group["params"]]

    def put(self, lane: int) -> None:
        """Put the weights of one lane, and the memory of them, into the models and optimizers; behind `hide`."""
        with torch.no_grad():
            for own, whole in zip(self._own, self._whole, strict=True):
                own.data = whole[lane].detach().clone()
                own.grad = None if whole.grad is None else whole.grad[lane].detach().clone()
        for optimizer, memory in zip(self._optimizers, self._memory, strict=True):
            optimizer.state.clear()
            for group in optimizer.param_groups:
                for one in group["params"]:
                    if id(one) in memory:
                        kept = memory[id(one)]
                        optimizer.state[one] = {name: _of_lane(value, one, lane) for name, value in kept.items()}

    def weights(self, lane: int) -> list[Tensor]:
        """Return the weights and buffers of a lane."""
        return [one[lane].detach() for one in self._whole]

    def first(self, lane: int) -> list[Tensor]:
        """Return those that it began with."""
        return self._first[lane]


def _outside(method: Callable[..., Any], outside: Callable[[Callable[[], Any]], Any]) -> Callable[..., Any]:
    import functools

    @functools.wraps(method)
    def call(*args: Any, **kwargs: Any) -> Any:
        return outside(lambda: method(*args, **kwargs))

    return call


def _memory(optimizer: Any) -> list[dict[str, Any]]:
    flat = [one for group in optimizer.param_groups for one in group["params"]]
    return [
        {name: value.clone() if isinstance(value, Tensor) else value for name, value in optimizer.state[one].items()}
        if one in optimizer.state
        else {}
        for one in flat
    ]


def _stacked(values: list[Any], own: Tensor) -> Any:
    """Return an entry of an optimizer's memory for all lanes: one behind the other where it is shaped as the weight."""
    if isinstance(values[0], Tensor) and values[0].shape == own.shape and own.dim():
        return torch.stack(values)
    if any(not _equal(value, values[0]) for value in values):
        raise ValueError("the optimizers of two runs have counted different steps")
    return values[0]


def _equal(a: Any, b: Any) -> bool:
    return torch.equal(a, b) if isinstance(a, Tensor) else bool(a == b)


def _of_lane(value: Any, own: Tensor, lane: int) -> Any:
    if isinstance(value, Tensor):
        return value[lane].clone() if value.dim() == own.dim() + 1 and value.shape[1:] == own.shape else value.clone()
    return value
