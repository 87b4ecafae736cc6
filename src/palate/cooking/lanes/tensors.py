"""Tensors and numbers that hold a value for each lane, and the mode in which a loop's body computes with them.

A lane is one run of several that are computed together. A tensor of lanes looks like that of one run: its own first
dimension, the lanes, is hidden by torch's vmap, at a level that is open while the loop's body runs. Random numbers are
drawn lane by lane, each from the state of its own generator, so that each lane draws what its run would draw.

Whatever cannot be said for all lanes at once (a branch that they take differently, a file that is written) is not
guessed: the lanes give up, which ends their process, and each run goes on by itself.
"""

import operator
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn

import torch
from torch import Tensor
from torch._C import _functorch as functorch
from torch.nn import functional as F  # noqa: N812  as everybody calls it
from torch.overrides import TorchFunctionMode

MARK = "\ue000"
"""Ends text that was made of a number of several runs."""

GiveUp = Callable[[str], NoReturn]
"""Ends the lanes, with the reason."""


class LaneNumber:
    """A number for each lane, as `.item()` gives it: it can be added, multiplied, rounded, printed and logged.

    Printed, it is that of the first lane, with a mark that no number can be read from: text is for people. Compared, it
    gives an answer where all lanes agree.
    """

    __slots__ = ("give_up", "values")

    def __init__(self, values: Iterable[float], give_up: GiveUp) -> None:
        self.values = tuple(values)
        self.give_up = give_up

    def _with(self, other: Any, of: Callable[[Any, Any], Any]) -> Any:
        if isinstance(other, LaneNumber):
            return LaneNumber(map(of, self.values, other.values), self.give_up)
        if isinstance(other, int | float):
            return LaneNumber((of(value, other) for value in self.values), self.give_up)
        return NotImplemented

    def _agreed(self, other: Any, of: Callable[[Any, Any], bool]) -> Any:
        answers = self._with(other, of)
        return answers if answers is NotImplemented else agreed(answers.values, "a comparison", self.give_up)

    def __add__(self, other: Any) -> Any:
        return self._with(other, operator.add)

    def __radd__(self, other: Any) -> Any:
        return self._with(other, lambda mine, given: given + mine)

    def __sub__(self, other: Any) -> Any:
        return self._with(other, operator.sub)

    def __rsub__(self, other: Any) -> Any:
        return self._with(other, lambda mine, given: given - mine)

    def __mul__(self, other: Any) -> Any:
        return self._with(other, operator.mul)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Any:
        return self._with(other, operator.truediv)

    def __rtruediv__(self, other: Any) -> Any:
        return self._with(other, lambda mine, given: given / mine)

    def __pow__(self, other: Any) -> Any:
        return self._with(other, operator.pow)

    def __rpow__(self, other: Any) -> Any:
        return self._with(other, lambda mine, given: given**mine)

    def __mod__(self, other: Any) -> Any:
        return self._with(other, operator.mod)

    def __floordiv__(self, other: Any) -> Any:
        return self._with(other, operator.floordiv)

    def __pos__(self) -> "LaneNumber":
        return self

    def __neg__(self) -> "LaneNumber":
        return LaneNumber(map(operator.neg, self.values), self.give_up)

    def __abs__(self) -> "LaneNumber":
        return LaneNumber(map(abs, self.values), self.give_up)

    def __round__(self, digits: int | None = None) -> "LaneNumber":
        return LaneNumber((round(value, digits) for value in self.values), self.give_up)

    def __lt__(self, other: Any) -> bool:
        return bool(self._agreed(other, operator.lt))

    def __le__(self, other: Any) -> bool:
        return bool(self._agreed(other, operator.le))

    def __gt__(self, other: Any) -> bool:
        return bool(self._agreed(other, operator.gt))

    def __ge__(self, other: Any) -> bool:
        return bool(self._agreed(other, operator.ge))

    def __eq__(self, other: object) -> bool:
        return bool(self._agreed(other, operator.eq))

    __hash__ = None  # type: ignore[assignment]

    def __bool__(self) -> bool:
        return bool(agreed([bool(value) for value in self.values], "a condition", self.give_up))

    def __float__(self) -> float:
        return float(agreed(self.values, "float(...)", self.give_up))

    def __int__(self) -> int:
        return int(agreed([int(value) for value in self.values], "int(...)", self.give_up))

    def __format__(self, form: str) -> str:
        return format(self.values[0], form) + MARK

    def __repr__(self) -> str:
        return repr(self.values[0]) + MARK

    @classmethod
    def __torch_function__(cls, func: Any, *_: Any) -> Any:
        """Tell torch that it may be given one beside a tensor: the mode makes a tensor of it."""
        return NotImplemented

    def __reduce__(self) -> Any:
        self.give_up("a number of several runs is stored")


def agreed(values: Sequence[Any], what: str, give_up: GiveUp) -> Any:
    """Return the value that all lanes have; the lanes give up where they differ."""
    if any(value != values[0] and not (value != value and values[0] != values[0]) for value in values):
        give_up(f"{what} differs from run to run (a number that is kept by .item() may differ)")
    return values[0]


class Randomness:
    """The states of one generator, one for each lane."""

    def __init__(self, generator: torch.Generator, states: Sequence[Tensor]) -> None:
        self.generator = generator
        self.states = list(states)
        self._rests_at = generator.get_state()

    @property
    def is_untouched(self) -> bool:
        """Whether the generator is as it was left, so that nobody else has seeded it or drawn from it."""
        return bool(torch.equal(self.generator.get_state(), self._rests_at))

    def rest(self) -> None:
        """Take the state that the generator has now for that of rest."""
        self._rests_at = self.generator.get_state()

    def each(self, draw: Callable[[int], Any]) -> list[Any]:
        """Return what each lane draws; the generator itself stays as it is."""
        generator, states, drawn = self.generator, self.states, []
        before = generator.get_state()
        for lane, state in enumerate(states):
            generator.set_state(state)
            drawn.append(draw(lane))
            states[lane] = generator.get_state()
        generator.set_state(before)
        return drawn


class Lanes(TorchFunctionMode):  # type: ignore[misc]  # torch is Any where types are checked
    """The mode in which the body of a loop computes all lanes.

    Args:
        lanes: how many there are.
        randoms: the generators that the body may draw from, torch's own first.
        give_up: ends the lanes where something cannot be computed for all of them at once.
    """

    def __init__(self, lanes: int, randoms: Sequence[Randomness], give_up: GiveUp) -> None:
        super().__init__()
        self.lanes = lanes
        self.give_up = give_up
        self._randoms = {id(one.generator): one for one in randoms}
        self._default = randoms[0]
        self._level = 0
        self._special: dict[Any, Callable[..., Any]] = {
            **{func: self._drawing(func) for func in _DRAWS},
            **{func: self._dropping(func) for func in _DROPOUTS},
            **{func: self._refusing(func, words) for func, words in _REFUSED.items()},
            **{func: self._agreeing(func) for func in _AGREED},
            F.linear: self._linear,
            F.cross_entropy: self._cross_entropy,
            Tensor.backward: self._backward,
            Tensor.item: self._item,
            Tensor.__format__: self._format,
            Tensor.__deepcopy__: self._deepcopy,
            Tensor.data.__get__: self._data,
            Tensor.grad.__get__: self._grad,
            Tensor.grad.__set__: self._set_grad,
            Tensor.requires_grad.__get__: self._requires_grad,
            Tensor.requires_grad.__set__: self._set_requires_grad,
        }

    def open(self) -> None:
        """Let tensors of lanes look like those of one run, until `close`."""
        self._level = functorch._vmap_increment_nesting(self.lanes, "error")
        self.__enter__()

    def close(self) -> None:
        """Show them as they are."""
        self.__exit__(None, None, None)
        functorch._vmap_decrement_nesting()

    def wrapped(self, whole: Tensor) -> Tensor:
        """Return a tensor whose first dimension is the lanes as one of lanes; only while it is open."""
        return functorch._add_batch_dim(whole, 0, self._level)

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Compute one function of torch's for all lanes."""
        kwargs = kwargs or {}
        special = self._special.get(func)
        if any(isinstance(one, LaneNumber) for one in args):  # a number of each run, beside a tensor
            args = tuple(map(self._as_tensor, args))
        try:
            if special is not None:
                return special(*args, **kwargs)
            if getattr(func, "__name__", "").startswith("_foreach_"):
                return _one_by_one(func.__name__, args, kwargs)
            return func(*args, **kwargs)
        except (RuntimeError, ValueError, TypeError, NotImplementedError, IndexError) as error:
            self.give_up(f"{getattr(func, '__name__', func)}: {str(error).splitlines()[0][:200] if str(error) else ''}")

    def _as_tensor(self, value: Any) -> Any:
        return self.wrapped(torch.tensor(value.values)) if isinstance(value, LaneNumber) else value

    @property
    def untouched(self) -> bool:
        """Whether the generators are as they were: seeded, or drawn from past this mode, they are not."""
        return all(one.is_untouched for one in self._randoms.values())

    # ---- what is computed in its own way

    def outside(self, compute: Callable[[], Any]) -> Any:
        """Return what is computed while tensors show all their lanes."""
        functorch._vmap_decrement_nesting()
        try:
            with torch._C.DisableTorchFunction():
                return compute()
        finally:
            self._level = functorch._vmap_increment_nesting(self.lanes, "error")

    def _drawing(self, func: Callable[..., Any]) -> Callable[..., Any]:
        def draw(*args: Any, generator: torch.Generator | None = None, **kwargs: Any) -> Any:
            random = self._random_of(generator)
            if generator is not None:
                kwargs["generator"] = generator
            in_place = func.__name__.endswith("_") and not _is_loaders()
            if in_place and not is_lanes(args[0]):
                self.give_up(f"{func.__name__} draws into a tensor that all runs share")
            shown = {name: whole(value) if is_lanes(value) else value for name, value in kwargs.items()}
            given = [whole(value) if is_lanes(value) else value for value in args]
            had = [is_lanes(value) for value in args]
            named = {name: is_lanes(value) for name, value in kwargs.items()}

            def one(lane: int) -> Any:
                mine = [value[lane].clone() if lanes else value for value, lanes in zip(given, had, strict=True)]
                return func(*mine, **{name: v[lane] if named[name] else v for name, v in shown.items()})

            drawn = self.outside(lambda: torch.stack(random.each(one)))
            if in_place:
                self.outside(lambda: whole(args[0]).copy_(drawn))
                return args[0]
            return self.wrapped(drawn)

        return draw

    def _random_of(self, generator: torch.Generator | None) -> Randomness:
        random = self._default if generator is None else self._randoms.get(id(generator))
        if random is None:
            self.give_up("it draws from a generator that palate does not hold: palate.start(..., generator=g)")
        return random

    def _dropping(self, func: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def drop(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:  # noqa: A002
            if not training or p == 0.0:
                return input
            shape, kind = input.shape, input.dtype

            def mask(_: int) -> Tensor:
                return func(torch.ones(shape, dtype=kind), p, True)

            masks = self.outside(lambda: torch.stack(self._default.each(mask)))
            return input.mul_(self.wrapped(masks)) if inplace else input * self.wrapped(masks)

        return drop

    def _refusing(self, func: Callable[..., Any], words: str) -> Callable[..., Any]:
        def refuse(*args: Any, **kwargs: Any) -> Any:
            if not isinstance(args[0], Tensor) or is_lanes(args[0]):
                self.give_up(words)
            return func(*args, **kwargs)

        return refuse

    def _agreeing(self, func: Callable[..., Any]) -> Callable[..., Any]:
        def agree(tensor: Tensor, *rest: Any) -> Any:
            if not is_lanes(tensor):
                return func(tensor, *rest)
            values = self.outside(lambda: whole(tensor).detach()).tolist()
            return func(torch.tensor(agreed(values, f"{func.__name__} of a tensor", self.give_up)), *rest)

        return agree

    def _linear(self, input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:  # noqa: A002
        """Compute a linear layer for all lanes by one product of matrices."""
        tensors = (input, weight) if bias is None else (input, weight, bias)
        if not all(map(is_lanes, tensors)) or weight.dim() != 2:
            return F.linear(input, weight, bias)
        values, w = whole(input), whole(weight)
        b = None if bias is None else whole(bias)

        def compute() -> Tensor:
            flat = values.reshape(self.lanes, -1, values.shape[-1])
            out = torch.bmm(flat, w.mT) if b is None else torch.baddbmm(b.unsqueeze(1), flat, w.mT)
            return out.reshape(*values.shape[:-1], w.shape[1])

        return self.wrapped(self.outside(compute))

    def _cross_entropy(self, input: Tensor, target: Tensor, *args: Any, **kwargs: Any) -> Tensor:  # noqa: A002
        """Compute the mean cross-entropy of all lanes at once, where it is that of classes."""
        plain = not args and kwargs.keys() <= {"label_smoothing"}
        if not plain or not is_lanes(input) or not is_lanes(target) or input.dim() != 2 or target.dim() != 1:
            return F.cross_entropy(input, target, *args, **kwargs)
        logits, classes = whole(input), whole(target)

        def compute() -> Tensor | None:
            if bool((classes < 0).any()):  # ignored ones are not of the mean
                return None
            each = F.cross_entropy(logits.flatten(0, 1), classes.flatten(), reduction="none", **kwargs)
            return each.view(classes.shape).mean(1)

        means = self.outside(compute)
        return F.cross_entropy(input, target, **kwargs) if means is None else self.wrapped(means)

    def _backward(self, loss: Tensor, gradient: Any = None, *args: Any, **kwargs: Any) -> None:
        if not is_lanes(loss) or loss.dim() or gradient is not None:
            self.give_up("backward() is called on something other than one loss")
        each = whole(loss)
        self.outside(lambda: each.sum().backward(None, *args, **kwargs))

    def _item(self, tensor: Tensor) -> Any:
        if not is_lanes(tensor):
            return tensor.item()
        if tensor.numel() != 1:
            self.give_up("item() is called on several values")
        return LaneNumber(self.outside(lambda: whole(tensor).detach().reshape(self.lanes)).tolist(), self.give_up)

    def _format(self, tensor: Tensor, form: str) -> str:
        return format(self._item(tensor), form) if is_lanes(tensor) and not tensor.dim() else format(tensor, form)

    def _deepcopy(self, tensor: Tensor, memo: Any) -> Tensor:
        return tensor.detach().clone() if is_lanes(tensor) else tensor.__deepcopy__(memo)

    def _data(self, tensor: Tensor) -> Tensor:
        return tensor.detach() if is_lanes(tensor) else tensor.data

    def _grad(self, tensor: Tensor) -> Tensor | None:
        if not is_lanes(tensor):
            return tensor.grad
        gradient = whole_in_place(tensor).grad
        return None if gradient is None else self.wrapped(gradient)

    def _set_grad(self, tensor: Tensor, gradient: Tensor | None) -> None:
        if is_lanes(tensor):
            whole_in_place(tensor).grad = None if gradient is None else whole(gradient)
        else:
            tensor.grad = gradient

    def _set_requires_grad(self, tensor: Tensor, needed: bool) -> None:
        if is_lanes(tensor):
            self.give_up("what is trained is changed inside of the loop")
        tensor.requires_grad = needed

    def _requires_grad(self, tensor: Tensor) -> bool:
        return bool((whole_in_place(tensor) if is_lanes(tensor) else tensor).requires_grad)


def is_lanes(value: object) -> bool:
    """Return whether something is a tensor of lanes."""
    return isinstance(value, Tensor) and bool(functorch.is_batchedtensor(value))


def whole(tensor: Tensor) -> Tensor:
    """Return a tensor of lanes with its lanes as the first dimension; any other tensor as it is."""
    if not functorch.is_batchedtensor(tensor):
        return tensor
    inner: Tensor = functorch.get_unwrapped(tensor)
    place: int = functorch.maybe_get_bdim(tensor)
    return inner.movedim(place, 0) if place else inner


def whole_in_place(tensor: Tensor) -> Tensor:
    """Return what a tensor of lanes is around, itself: its memory, its gradient."""
    return functorch.get_unwrapped(tensor)


def _is_loaders() -> bool:
    """Return whether a DataLoader draws, as it does when a pass over it begins: it looks at what is returned only."""
    frame, far = sys._getframe(2), 0
    while frame is not None and far < 6:
        if frame.f_code.co_filename == torch.utils.data.dataloader.__file__:
            return True
        frame, far = frame.f_back, far + 1  # type: ignore[assignment]
    return False


def _one_by_one(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Carry out a function of lists of tensors tensor by tensor: vmap knows none of these."""
    method = name.removeprefix("_foreach_")
    func = torch.linalg.vector_norm if method == "norm" else getattr(Tensor, method, None) or getattr(torch, method)
    tensors, *rest = args
    length = len(tensors)

    def at(value: Any, place: int) -> Any:
        return value[place] if isinstance(value, list | tuple) and len(value) == length else value

    found = [func(one, *(at(value, i) for value in rest), **kwargs) for i, one in enumerate(tensors)]
    return None if method.endswith("_") else found


_DRAWS = (
    torch.rand, torch.randn, torch.randint, torch.randperm, torch.normal, torch.bernoulli, torch.multinomial,
    torch.rand_like, torch.randn_like, torch.randint_like, torch.poisson,
    Tensor.bernoulli, Tensor.multinomial, Tensor.bernoulli_, Tensor.normal_, Tensor.uniform_, Tensor.random_,
    Tensor.exponential_, F.gumbel_softmax,
)  # fmt: skip
"""Functions that draw random numbers."""

_DROPOUTS = (F.dropout, F.dropout1d, F.dropout2d, F.dropout3d)

_AGREED = (Tensor.__bool__, Tensor.__float__, Tensor.__int__, Tensor.__index__)
"""Functions that make a number of Python of a tensor."""

_REFUSED = {
    Tensor.numpy: ".numpy() is called on values that differ from run to run",
    Tensor.__array__: "a tensor that differs from run to run is handed to numpy",
    Tensor.tolist: ".tolist() is called on values that may differ from run to run",
    Tensor.untyped_storage: "a tensor is stored inside of the loop",
    Tensor.__reduce_ex__: "a tensor is stored inside of the loop",
    torch.autograd.grad: "torch.autograd.grad is called",
    torch.autograd.backward: "torch.autograd.backward is called",
    Tensor.requires_grad_: "requires_grad_() is called inside of the loop",
    Tensor.data.__set__: "the data of a tensor are replaced inside of the loop",
    Tensor.register_hook: "a hook is registered inside of the loop",
}
"""Functions that are not computed for lanes, and why."""
