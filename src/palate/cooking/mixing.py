"""The loss of a step from its named terms: weighted by what is in force, each kept as it is without its weight.

No value is waited for on a GPU: what was computed there is fetched when the device has it ready.
"""

import importlib
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from palate.errors import InputError

Term = Any
"""A tensor of one number, or a function that returns one and is not called at weight 0."""

FLUSH_EVERY = 32
"""Steps whose terms are fetched from a GPU together."""


class Mixer:
    """Weights by name, and the terms of the step that goes on.

    Attributes:
        weights: of the terms, by name.
        used: the weights with which they were last summed up.
        terms: those of this step: numbers, but tensors where they are on a device.
        on_device: whether some are there.
        has_new: whether one came that had never been there; whoever looks at it says that he has.
    """

    def __init__(self) -> None:
        self.weights: dict[str, float] = {}
        self.used: dict[str, float] = {}
        self.terms: dict[str, Any] = {}
        self.on_device = self.has_new = False
        self._on_device: deque[tuple[int, tuple[str, ...], Any]] = deque()
        self._flying: deque[tuple[list[tuple[int, tuple[str, ...]]], Any, Any]] = deque()

    def mix(self, terms: Mapping[str, Term]) -> Any:
        """Return the weighted sum of the terms, in their order; where no gradients are made, it is not of a step.

        Raises:
            InputError: there is no term, or all have weight 0.
        """
        total, weights, used, kept = None, self.weights, self.used, self.terms if _learns() else {}
        for name, term in terms.items():
            weight = weights.get(name)
            if weight is None:
                weight = weights[name] = 1.0
                self.has_new = True
            used[name] = weight
            if getattr(term, "is_cpu", None) is None and callable(term) and not hasattr(term, "detach"):
                if weight == 0.0:
                    continue
                value = term()
            else:
                value = term
            kept[name] = value.item() if getattr(value, "is_cpu", False) else self._other(value)
            if weight != 0.0:
                weighted = value if weight == 1.0 else weight * value
                total = weighted if total is None else total + weighted
        if total is None:
            raise InputError(
                "Nothing is left of the loss.",
                why=[f"{name} has weight {self.weights.get(name, 1.0):g}" for name in terms] or "No term was given.",
                todo="Give a term a weight above 0: palate season RUN NAME=1",
            )
        return total

    def _other(self, value: Any) -> Any:
        """Return what is kept of a term that is no tensor of this machine's memory.

        Those are read at once: .2 us, beside .4 for `detach`, and it does not matter what changes them afterwards.
        """
        if getattr(value, "is_cpu", None) is None:
            return float(value)
        self.on_device = True
        return value.detach()

    def rows(self, step: int, *, last: bool = False) -> Iterator[tuple[int, dict[str, float]]]:
        """Yield, with their step, the values that are known by now: of this step, or of earlier ones from a GPU.

        Args:
            step: the number of the step that has just been done.
            last: whether to wait for all that is still on its way.
        """
        if self.on_device:
            self.hold(step)
        terms, self.terms = self.terms, {}
        if terms:
            yield step, terms
        if self._on_device and (last or self.is_full):
            self._send()
        while self._flying and (last or self._flying[0][2].query()):
            names, held, event = self._flying.popleft()
            event.synchronize()
            numbers = iter(held.tolist())
            for at, keys in names:
                yield at, {key: next(numbers) for key in keys}

    @property
    def is_fetching(self) -> bool:
        """Whether values of steps that were done are still on their device, or on their way."""
        return bool(self._on_device or self._flying)

    @property
    def is_full(self) -> bool:
        """Whether so many steps' values are on their device that they are to be fetched."""
        return len(self._on_device) >= FLUSH_EVERY

    def hold(self, step: int) -> None:
        """Keep the terms of a step on their device until they are fetched with others."""
        torch = importlib.import_module("torch")

        terms, self.terms, self.on_device = self.terms, {}, False
        if all(getattr(one, "is_cpu", True) for one in terms.values()):  # those on the device were given again
            self.terms = terms
            return
        device = next(one.device for one in terms.values() if not getattr(one, "is_cpu", True))
        together = torch.stack([torch.as_tensor(one, device=device).float().reshape(()) for one in terms.values()])
        self._on_device.append((step, tuple(terms), together))

    def _send(self) -> None:
        """Begin to fetch what is on the device, without waiting for it."""
        torch = importlib.import_module("torch")

        rows = [self._on_device.popleft() for _ in range(len(self._on_device))]
        together = torch.cat([one for _, _, one in rows])
        held = together.to("cpu", non_blocking=True)
        event: Any = _Done()
        if together.device.type == "cuda":
            event = torch.cuda.Event()
            event.record()
        self._flying.append(([(step, names) for step, names, _ in rows], held, event))


def _learns() -> bool:
    """Return whether this is no evaluation: engines compute the loss of one by the same function."""
    torch = sys.modules.get("torch")
    return torch is None or torch.is_grad_enabled()


class _Done:
    """An event of a device that copies at once."""

    query: Callable[[], bool] = staticmethod(lambda: True)
    synchronize: Callable[[], None] = staticmethod(lambda: None)
