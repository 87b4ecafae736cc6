"""Take looks at a live PyTorch training, without changing it by one bit.

    observer = Observer(net, optimizer, classes=10)
    for x, y in loader:
        loss = F.cross_entropy(net(x), y)
        optimizer.zero_grad(); loss.backward(); optimizer.step()
        observer.log(loss=loss.item())
    print(observer.symptoms())

An observer hangs on the optimizers' own hooks. It draws no random numbers, touches no gradient and no mode, and reads
from a device at looks alone: at steps 1, 2, 5 and 10, and then as often as costs 1.2 % of the time. Between them are
glances at what the jitter of the weights costs, for .6 %.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from palate.cooking.excess import Excess
from palate.cooking.measured import (
    by_device,
    groups_of,
    has_dropout,
    is_compiled,
    known_of,
    members_of,
    modules_of,
    named_parameters,
    norms,
    numbers_of,
    rates_of,
    sample,
    sampled,
    scale_of,
    scaler_skips,
    units_of,
    with_gradient,
)
from palate.cooking.pace import Pace
from palate.cooking.rows import RowTable
from palate.cooking.seen import Facts, Look, Symptom, Tensor
from palate.cooking.symptoms import detect
from palate.cooking.tensors import IDLE_LOOKS

FIRST = (1, 2, 5, 10)
"""Steps that are looked at whatever it costs: most faults are there from the start."""

SHARE = 0.012
"""Share of the time that looks may take after those."""

GLANCE_SHARE = 0.006
"""Share of the time for glances: how far gradients point away from the average of the weights."""

ROWS_SHARE = 0.003
"""Share of the time for comparing examples of training with those of validation, where these are given."""

KEPT = 20_000
"""Looks kept in memory; beyond them the older half is thinned."""


class Observer:
    """Watches models while their optimizers step.

    Args:
        model: a module, or modules by name.
        optimizer: the optimizer, or all of them; steps are those of the first.
        classes: number of classes, where the loss is a mean cross-entropy in nats.
        chance: loss of a guess that does not look at the input, for other losses.
        lr: the learning rate asked for: the peak of its schedule. A number, or one by parameter group.
        validation: inputs of validation, as one tensor or batches of them; compared with what is trained on.
        training: inputs of training in the same form; without them, the batches that are seen are compared.
        adversarial: whether losses are lowered against each other; so with several optimizers unless said otherwise.
        augmented: whether training inputs are augmented, so that training losses are higher than those of validation.
        fresh: whether training starts from random weights; say False for fine-tuning and resuming.
        every: steps between looks, and between glances; None for as many as keep the cost below 1.8 %.
    """

    def __init__(
        self,
        model: Any,
        optimizer: Any,
        *,
        classes: int | None = None,
        chance: float | None = None,
        lr: float | Mapping[str, float] | None = None,
        validation: Any = None,
        training: Any = None,
        adversarial: bool | None = None,
        augmented: bool = False,
        fresh: bool = True,
        every: int | None = None,
    ) -> None:
        self._models = dict(model) if isinstance(model, Mapping) else {"": model}
        self._optimizers = list(optimizer) if isinstance(optimizer, Sequence) else [optimizer]
        self._compiled = any(is_compiled(module) for module in self._models.values())
        self._parameters = named_parameters(self._models)
        self._modules = modules_of(self._models)
        groups = groups_of(self._optimizers)
        named = {id(p): name for name, p in self._parameters.items()}
        self._held = [[(named[id(p)], p) for p in members_of(o) if id(p) in named] for o in self._optimizers]
        asked = lr if isinstance(lr, Mapping) else {} if lr is None else dict.fromkeys(groups, lr)
        self.facts = Facts(
            parameters={name: known_of(p, self._modules[name], groups) for name, p in self._parameters.items()},
            classes=classes,
            chance=chance,
            asked=asked,
            adversarial=len(self._optimizers) > 1 if adversarial is None else adversarial,
            fresh=fresh,
            same_mode=not augmented and not any(has_dropout(module) for module in self._models.values()),
        )
        self.fault: Exception | None = None
        self._rows = None if validation is None else RowTable(validation, training)
        self._every = every
        self._idle: dict[str, Any] = {}
        self._looks: list[Look] = []
        self._unread: list[tuple[int, str, Any]] = []
        self._steps, self._rows_s, self._begun_s = 0, 0.0, time.perf_counter()
        self._pace, self._glance_pace = Pace(SHARE, FIRST[0]), Pace(GLANCE_SHARE, FIRST[-1])
        self._excess = [Excess() for _ in self._optimizers]
        self._glancing: set[int] = set()
        self._glance: list[Any] = []
        self._unread_glances: list[tuple[int, list[Any]]] = []
        self._rates: dict[str, float] = {}
        self._in_force: list[Any] = []
        self._waiting: set[int] = set()
        self._seen: dict[str, Tensor] = {}
        self._bad, self._named = list[str](), False
        self._before: dict[tuple[str, ...], tuple[Any, Any]] = {}
        self._called: set[int] = set()
        self._quiet_until = 0
        self._hooks = [
            hook
            for number, one in enumerate(self._optimizers)
            for hook in (
                one.register_step_pre_hook(partial(self._in_front, number)),
                one.register_step_post_hook(partial(self._behind, number)),
            )
        ]
        if self._rows is not None and not self._rows.full:
            self._hooks.append(next(iter(self._models.values())).register_forward_pre_hook(_Hook(self._note_rows)))
        self._forward_hooks: list[Any] = []
        self._arm()

    def _in_front(self, number: int, optimizer: Any, *given: Any) -> None:
        if number in self._waiting or number in self._glancing:
            self._safely(self._before_step, number, optimizer, *given)

    def _behind(self, number: int, optimizer: Any, *given: Any) -> None:
        """Count a step that is not looked at and whose learning rates are the same objects; see to any other."""
        if not self._waiting and not self._glancing and self.fault is None:
            if number:
                return
            if self._steps + 2 < self._quiet_until and self._is_unchanged():
                self._steps += 1
                return
        self._safely(self._after_step, number, optimizer, *given)

    def _is_unchanged(self) -> bool:
        """Return whether each group's learning rate is the very number that it was."""
        place, known = 0, self._in_force
        for optimizer in self._optimizers:
            for group in optimizer.param_groups:
                rate = group.get("lr")
                if place == len(known) or rate is not known[place] or type(rate) is not float:
                    return False
                place += 1
        return place == len(known)

    def _safely(self, look: Callable[..., None], *given: Any) -> None:
        """Take a look; one that fails is the last: the training goes on unwatched, whatever its parts are."""
        if self.fault is None:
            try:
                look(*given)
            except Exception as error:  # noqa: BLE001  an outermost loop: it stands within an optimizer's step
                self.fault = error

    def log(self, *, validation: Mapping[str, float] | None = None, **losses: Any) -> None:
        """Keep the losses of this step, the one that is minimised first; tensors are read at the next look."""
        numbers: dict[str, float] = {}
        for name, value in losses.items():
            if hasattr(value, "detach"):
                self._unread.append((self._steps, name, value.detach().clone()))
            else:
                numbers[name] = float(value)
        metrics = {name: float(value) for name, value in validation.items()} if validation else {}
        if numbers or metrics:
            self._looks.append(Look(step=self._steps, losses=numbers, validation=metrics))
        if not all(map(math.isfinite, numbers.values())) and not self._named:
            self._name_not_finite()
        if len(self._looks) > KEPT:
            self._looks = _thinned(self._looks)

    def symptoms(self) -> tuple[Symptom, ...]:
        """Return what is wrong so far; empty if nothing is."""
        return detect(self.looks(), self.facts)

    def looks(self) -> list[Look]:
        """Return what was seen so far, in the order of steps."""
        self._read_losses()
        return self._looks

    def close(self) -> None:
        """Stop watching; what was seen stays."""
        for hook in (*self._hooks, *self._forward_hooks):
            hook.remove()
        self._hooks, self._forward_hooks = [], []

    @property
    def share(self) -> float:
        """Share of the time since the start that went into looks."""
        spent_s = self._pace.spent_s + self._glance_pace.spent_s + self._rows_s
        return spent_s / max(time.perf_counter() - self._begun_s, 1e-9)

    def _arm(self) -> None:
        """Prepare a look at the next step: of all optimizers, and of what is used in the forward passes before it.

        A compiled model keeps its hooks out of sight, so that none of its parameters counts as used.
        """
        self._waiting = set(range(len(self._optimizers)))
        self._seen, self._before, self._called = {}, {}, set()
        owners = {} if self._compiled else {id(module): module for module in self._modules.values()}
        note = _Hook(self._note_called)
        self._forward_hooks = [module.register_forward_pre_hook(note) for module in owners.values()]

    def _note_called(self, module: Any, inputs: Any) -> None:  # noqa: ARG002
        if module.training and _torch().is_grad_enabled():
            self._called.add(id(module))

    def _note_rows(self, module: Any, inputs: Any) -> None:
        """Keep a training batch's hashes, for at most .3 % of the time; they are read at looks."""
        began = time.perf_counter()
        if self._rows is None or self._rows.full or not (module.training and _torch().is_grad_enabled()):
            return
        if self._rows_s <= ROWS_SHARE * (began - self._begun_s):
            self._rows.note(inputs)
            self._rows_s += time.perf_counter() - began

    def _before_step(self, number: int, optimizer: Any, *_: Any) -> None:
        if number in self._glancing and not scaler_skips(optimizer):
            self._glance_at(number, optimizer)
        if number not in self._waiting or scaler_skips(optimizer):
            return
        began = time.perf_counter()
        torch = _torch()
        with torch.no_grad():
            for graded in filter(None, map(with_gradient, by_device(self._held[number]))):
                values = torch.cat([sample(p) for _, p in graded])
                slopes = torch.cat([sample(p.grad) for _, p in graded])
                self._before[tuple(name for name, _ in graded)] = (values, slopes)
        self._pace.spent_s += time.perf_counter() - began

    def _after_step(self, number: int, optimizer: Any, *_: Any) -> None:
        began = time.perf_counter()
        if number == 0:
            self._steps += 1
            self._note_rates()
        if number in self._waiting and not scaler_skips(optimizer):
            for pairs in by_device(self._held[number]):
                self._look_at(pairs)
            self._waiting.discard(number)
            if not self._waiting:
                self._finish()
            self._pace.spent_s += time.perf_counter() - began
            if not self._waiting:
                self._pace.choose(self._steps)
        if number == 0:
            self._prepare()

    def _prepare(self) -> None:
        """Prepare what is due at the step to come, or tell at which one something is."""
        if not self._waiting and (self._steps + 1 in FIRST or self._due_at(self._pace)):
            self._arm()
        if not self._glancing and not self.facts.adversarial and self._due_at(self._glance_pace):
            self._glancing = set(range(len(self._optimizers)))
        if not self._waiting and not self._glancing:
            self._quiet_until = self._next_due()

    def _glance_at(self, number: int, optimizer: Any) -> None:
        """Measure what the jitter of one optimizer's weights costs; it is read at the next look."""
        began = time.perf_counter()
        scale = scale_of(optimizer)
        self._glance += [found / scale for found in self._excess[number].take(self._held[number])]
        self._glancing.discard(number)
        self._glance_pace.spent_s += time.perf_counter() - began
        if not self._glancing:
            self._unread_glances.append((self._steps + (number == 0), self._glance))
            self._glance = []
            self._glance_pace.choose(self._steps + (number == 0))

    def _note_rates(self) -> None:
        """Keep the learning rates of this step where they changed; those on a device are read at looks alone.

        That a rate is the same object is enough to go on: this runs at every step.
        """
        in_force = [group.get("lr") for optimizer in self._optimizers for group in optimizer.param_groups]
        on_device = any(hasattr(rate, "detach") for rate in in_force)
        if not self._waiting and (on_device or in_force == self._in_force):
            return
        self._in_force = in_force
        rates = {name: float(rate) for name, rate in rates_of(self._optimizers).items()}
        if rates != self._rates:
            self._rates = rates
            self._looks.append(Look(step=self._steps, rates=rates))

    def _due_at(self, pace: Pace) -> bool:
        """Return whether the step to come is one that was chosen."""
        return self._steps + 1 >= pace.next if self._every is None else (self._steps + 1) % self._every == 0

    def _next_due(self) -> int:
        """Return the next step at which something is due, where that one is not the next of all."""
        some = [step for step in FIRST if step > self._steps]
        if self._every is not None:
            return min([*some, (self._steps // self._every + 1) * self._every])
        glance = [] if self.facts.adversarial else [self._glance_pace.next]
        return min([*some, self._pace.next, *glance])

    def _finish(self) -> None:
        """Put together what was seen of all optimizers, and of what none of them holds."""
        held = {name for pairs in self._held for name, _ in pairs}
        others = [(name, p) for name, p in self._parameters.items() if name not in held]
        for pairs in by_device(others):
            self._look_at(pairs)
        for hook in self._forward_hooks:
            hook.remove()
        self._forward_hooks = []
        self._read_losses()
        tensors = {name: self._seen[name] for name in self._parameters if name in self._seen}
        rows = self._rows.counts() if self._rows is not None else None
        bad, self._bad = tuple(self._bad), []
        self._looks.append(Look(step=self._steps, tensors=tensors, not_finite=bad, rows=rows))

    def _look_at(self, pairs: Sequence[tuple[str, Any]]) -> None:
        """Measure parameters of one device; one transfer for all of them."""
        torch = _torch()
        graded = with_gradient(pairs)
        names = tuple(name for name, _ in graded)
        units = [(name, p) for name, p in graded if self.facts.parameters[name].matrix]
        with torch.no_grad():
            read = [norms([p.detach() for _, p in pairs])]
            read += [norms([p.grad for _, p in graded])] if graded else []
            read += [units_of(p.grad, self._modules[name]).any(dim=1) for name, p in units]
            moved = names in self._before
            read += [*self._before[names], torch.cat([sample(p) for _, p in graded])] if moved else []
            flat = torch.cat([one.float() for one in read]).cpu().numpy()
        cuts = [len(pairs), len(graded), *(len(one) for one in read[1 + bool(graded) :])]
        parts = np.split(flat, np.cumsum(cuts)[:-1])
        ratios = self._ratios(graded, parts[-3:]) if moved else {}
        idle = {name: self._idle_share(name, used) for (name, _), used in zip(units, parts[2:], strict=False)}
        slopes = dict(zip(names, parts[1].tolist(), strict=True))
        for (name, _), weight in zip(pairs, parts[0].tolist(), strict=True):
            self._seen[name] = Tensor(
                weight=weight,
                gradient=slopes.get(name),
                ratio=ratios.get(name),
                idle=idle.get(name),
                called=id(self._modules[name]) in self._called,
            )
            self._bad += [f"gradient of {name}"] if not math.isfinite(slopes.get(name, 0.0)) else []
            self._bad += [] if math.isfinite(weight) else [f"weight of {name}"]

    def _ratios(self, graded: Sequence[tuple[str, Any]], samples: Sequence[Any]) -> dict[str, float | None]:
        """Return the update ratio of each tensor, from samples of values, gradients and values after."""
        before, slopes, after = samples
        starts = np.cumsum([0, *(sampled(p) for _, p in graded[:-1])])
        with np.errstate(all="ignore"):
            moved = np.sqrt(np.add.reduceat((after - before) ** 2, starts))
            ratios = moved / np.sqrt(np.add.reduceat(before**2, starts))
            some = np.add.reduceat(np.abs(slopes), starts) > 0
        return {
            name: float(ratio) if seen and math.isfinite(ratio) else None
            for (name, _), ratio, seen in zip(graded, ratios, some, strict=True)
        }

    def _idle_share(self, name: str, used: Any) -> float:
        """Return the share of output units without a gradient for five looks."""
        streak = (self._idle.get(name, 0) + 1) * (used == 0)
        self._idle[name] = streak
        return float((streak >= IDLE_LOOKS).mean())

    def _name_not_finite(self) -> None:
        """Look at once which gradients and weights are not finite."""
        self._named = True
        for name, parameter in self._parameters.items():
            for what, values in (("gradient", parameter.grad), ("weight", parameter.detach())):
                if values is not None and not values.is_sparse and not bool(values.isfinite().all()):
                    self._bad.append(f"{what} of {name}")
        if self._bad:
            self._looks.append(Look(step=self._steps, not_finite=tuple(self._bad)))

    def _read_losses(self) -> None:
        """Read the losses that were given as tensors, and what was measured at glances."""
        if not self._unread and not self._unread_glances:
            return
        glances = [(step, number) for step, numbers in self._unread_glances for number in numbers]
        values = numbers_of([value for _, _, value in self._unread] + [number for _, number in glances])
        found = values[len(self._unread) :]
        excess: dict[int, float] = {}
        for (step, _), value in zip(glances, found, strict=True):
            excess[step] = excess.get(step, 0.0) + value
        for (step, name, _), value in zip(self._unread, values, strict=False):
            self._looks.append(Look(step=step, losses={name: value}))
        self._looks += [Look(step=step, excess=value) for step, value in excess.items()]
        self._unread, self._unread_glances = [], []
        self._looks.sort(key=lambda look: look.step)


class _Hook:
    """A hook that does nothing in a copy of its module: an average of the weights, or a saved network."""

    def __init__(self, note: Callable[[Any, Any], None]) -> None:
        self._note = note

    def __call__(self, module: Any, inputs: Any) -> None:
        self._note(module, inputs)

    def __reduce__(self) -> tuple[Any, ...]:
        return _Hook, (_ignore,)


def _ignore(module: Any, inputs: Any) -> None:
    """Do nothing."""


def _torch() -> Any:
    import torch

    return torch


def _thinned(looks: Sequence[Look]) -> list[Look]:
    """Return looks without every other one of the older half that has nothing but a loss or what a glance found."""
    half = len(looks) // 2
    old = [look for i, look in enumerate(looks[:half]) if i % 2 == 0 or not (look.losses or look.excess is not None)]
    return [*old, *looks[half:]]
