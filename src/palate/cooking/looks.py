"""Take looks at a live PyTorch training, without changing it by one bit.

    observer = Observer(net, optimizer, classes=10)
    for x, y in loader:
        loss = F.cross_entropy(net(x), y)
        optimizer.zero_grad(); loss.backward(); optimizer.step()
        observer.log(loss=loss.item())
    print(observer.symptoms())

An observer hangs on the optimizers' own hooks. It draws no random numbers, touches no gradient and no mode, and reads
from a device at looks alone: at steps 1, 2, 5 and 10, and then as often as costs 1.5 % of the time.
"""

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from palate.cooking.rows import RowTable
from palate.cooking.seen import Facts, Look, Parameter, Symptom, Tensor
from palate.cooking.symptoms import detect

FIRST = (1, 2, 5, 10)
"""Steps that are looked at whatever it costs: most faults are there from the start."""

SHARE = 0.015
"""Share of the time that looks may take after those."""

ROWS_SHARE = 0.003
"""Share of the time for comparing examples of training with those of validation, where these are given."""

SAMPLED = 500
"""Values of a tensor whose change is measured."""

IDLE_LOOKS = 5
"""Looks in a row without a gradient after which a unit counts as idle."""

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
        every: steps between looks; None for as many as keep the cost below 1.5 %.
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
        self._compiled = any(_is_compiled(module) for module in self._models.values())
        self._parameters = _named_parameters(self._models)
        self._modules = _modules_of(self._models)
        groups = _groups(self._optimizers)
        named = {id(p): name for name, p in self._parameters.items()}
        self._held = [[(named[id(p)], p) for p in _members(o) if id(p) in named] for o in self._optimizers]
        asked = lr if isinstance(lr, Mapping) else {} if lr is None else dict.fromkeys(groups, lr)
        self.facts = Facts(
            parameters={name: _known(p, self._modules[name], groups) for name, p in self._parameters.items()},
            classes=classes,
            chance=chance,
            asked=asked,
            adversarial=len(self._optimizers) > 1 if adversarial is None else adversarial,
            fresh=fresh,
            same_mode=not augmented and not any(_has_dropout(module) for module in self._models.values()),
        )
        self.fault: Exception | None = None
        self._rows = None if validation is None else RowTable(validation, training)
        self._every = every
        self._idle: dict[str, Any] = {}
        self._looks: list[Look] = []
        self._unread: list[tuple[int, str, Any]] = []
        self._steps, self._next = 0, FIRST[0]
        self._spent_s, self._rows_s, self._begun_s = 0.0, 0.0, time.perf_counter()
        self._looked, self._counted_s, self._costs_s = 0, 0.0, list[float]()
        self._rates: dict[str, float] = {}
        self._in_force: list[Any] = []
        self._waiting: set[int] = set()
        self._seen: dict[str, Tensor] = {}
        self._bad, self._named = list[str](), False
        self._before: dict[tuple[str, ...], tuple[Any, Any]] = {}
        self._called: set[int] = set()
        self._due_at = 0
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
        if number in self._waiting:
            self._safely(self._before_step, number, optimizer, *given)

    def _behind(self, number: int, optimizer: Any, *given: Any) -> None:
        """Count a step that is not looked at and whose learning rates are the same objects; see to any other."""
        if not self._waiting and self.fault is None:
            if number:
                return
            if self._steps + 2 < self._due_at and self._is_unchanged():
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
        return (self._spent_s + self._rows_s) / max(time.perf_counter() - self._begun_s, 1e-9)

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
        if number not in self._waiting or _scaler_skips(optimizer):
            return
        began = time.perf_counter()
        for pairs in _by_device(self._held[number]):
            graded = _graded(pairs)
            if graded:
                torch = _torch()
                values = torch.cat([_sample(p) for _, p in graded])
                slopes = torch.cat([_sample(p.grad) for _, p in graded])
                self._before[tuple(name for name, _ in graded)] = (values, slopes)
        self._spent_s += time.perf_counter() - began

    def _after_step(self, number: int, optimizer: Any, *_: Any) -> None:
        began = time.perf_counter()
        if number == 0:
            self._steps += 1
            self._note_rates()
        if number in self._waiting and not _scaler_skips(optimizer):
            for pairs in _by_device(self._held[number]):
                self._look_at(pairs, optimizer)
            self._waiting.discard(number)
            if not self._waiting:
                self._finish()
            self._spent_s += time.perf_counter() - began
            if not self._waiting:
                self._choose_next()
        if number == 0 and not self._waiting:
            if self._due():
                self._arm()
            else:
                self._due_at = self._next_due()

    def _note_rates(self) -> None:
        """Keep the learning rates of this step where they changed; those on a device are read at looks alone.

        That a rate is the same object is enough to go on: this runs at every step.
        """
        in_force = [group.get("lr") for optimizer in self._optimizers for group in optimizer.param_groups]
        on_device = any(hasattr(rate, "detach") for rate in in_force)
        if not self._waiting and (on_device or in_force == self._in_force):
            return
        self._in_force = in_force
        rates = {name: float(rate) for name, rate in _rates(self._optimizers).items()}
        if rates != self._rates:
            self._rates = rates
            self._looks.append(Look(step=self._steps, rates=rates))

    def _due(self) -> bool:
        """Return whether the step to come is looked at."""
        if self._steps + 1 in FIRST:
            return True
        if self._every is not None:
            return (self._steps + 1) % self._every == 0
        return self._steps + 1 >= self._next

    def _next_due(self) -> int:
        """Return the next step that is looked at, where that one is not the next of all."""
        some = [step for step in FIRST if step > self._steps]
        if self._every is None:
            return int(min([*some, self._next]))
        return min([*some, (self._steps // self._every + 1) * self._every])

    def _finish(self) -> None:
        """Put together what was seen of all optimizers, and of what none of them holds."""
        held = {name for pairs in self._held for name, _ in pairs}
        others = [(name, p) for name, p in self._parameters.items() if name not in held]
        for pairs in _by_device(others):
            self._look_at(pairs, None)
        for hook in self._forward_hooks:
            hook.remove()
        self._forward_hooks = []
        self._read_losses()
        tensors = {name: self._seen[name] for name in self._parameters if name in self._seen}
        rows = self._rows.counts() if self._rows is not None else None
        bad, self._bad = tuple(self._bad), []
        self._looks.append(Look(step=self._steps, tensors=tensors, not_finite=bad, rows=rows))

    def _choose_next(self) -> None:
        """Choose the next look so that all looks cost a share of the time.

        Each counts as the median one: the first pays for what is loaded, and any may have waited for other processes.
        """
        now = time.perf_counter()
        self._costs_s.append(self._spent_s - self._counted_s)
        self._counted_s = self._spent_s
        cost_s = float(np.median(self._costs_s[-9:]))
        step_s = max(now - self._begun_s - self._spent_s, 1e-9) / max(1, self._steps)
        self._looked += 1
        owed_s = max(0.0, cost_s * (self._looked + 1) - SHARE * (now - self._begun_s))
        self._next = self._steps + max(2, int(owed_s / (SHARE * step_s)) + 1)

    def _look_at(self, pairs: Sequence[tuple[str, Any]], optimizer: Any) -> None:
        """Measure parameters of one device; one transfer for all of them."""
        torch = _torch()
        graded = _graded(pairs)
        names = tuple(name for name, _ in graded)
        units = [(name, p) for name, p in graded if self.facts.parameters[name].matrix]
        with torch.no_grad():
            read = [_norms([p.detach() for _, p in pairs])]
            read += [_norms([p.grad for _, p in graded])] if graded else []
            read += [_units(p.grad, self._modules[name]).any(dim=1) for name, p in units]
            moved = names in self._before
            read += [*self._before[names], torch.cat([_sample(p) for _, p in graded])] if moved else []
            flat = torch.cat([one.float() for one in read]).cpu().numpy()
        cuts = [len(pairs), len(graded), *(len(one) for one in read[1 + bool(graded) :])]
        parts = np.split(flat, np.cumsum(cuts)[:-1])
        moves = self._moves(graded, parts[-3:], optimizer) if moved else {}
        idle = {name: self._idle_share(name, used) for (name, _), used in zip(units, parts[2:], strict=False)}
        slopes = dict(zip(names, parts[1].tolist(), strict=True))
        for (name, _), weight in zip(pairs, parts[0].tolist(), strict=True):
            ratio, gain = moves.get(name, (None, 0.0))
            self._seen[name] = Tensor(
                weight=weight,
                gradient=slopes.get(name),
                ratio=ratio,
                gain=gain,
                idle=idle.get(name),
                called=id(self._modules[name]) in self._called,
            )
            self._bad += [f"gradient of {name}"] if not math.isfinite(slopes.get(name, 0.0)) else []
            self._bad += [] if math.isfinite(weight) else [f"weight of {name}"]

    def _moves(
        self, graded: Sequence[tuple[str, Any]], samples: Sequence[Any], optimizer: Any
    ) -> dict[str, tuple[float | None, float]]:
        """Return the update ratio of each tensor and its gain, from samples of values, gradients and values after."""
        before, slopes, after = samples
        sizes = [_sampled(p) for _, p in graded]
        starts = np.cumsum([0, *sizes[:-1]])
        change = after - before
        with np.errstate(all="ignore"):
            moved = np.sqrt(np.add.reduceat(change**2, starts))
            ratios = moved / np.sqrt(np.add.reduceat(before**2, starts))
            some = np.add.reduceat(np.abs(slopes), starts) > 0
            products = np.add.reduceat(slopes * change, starts)
        momenta, scale = _momenta(optimizer), 1.0 / _scale(optimizer)
        found: dict[str, tuple[float | None, float]] = {}
        for (name, p), ratio, product, size, seen in zip(graded, ratios, products, sizes, some, strict=True):
            gain = -float(product) * scale * p.numel() / size / 4 / (1 - momenta.get(id(p), 0.0))
            known = bool(seen) and math.isfinite(ratio)
            found[name] = (float(ratio) if known else None, max(0.0, gain) if math.isfinite(gain) else 0.0)
        return found

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
        """Read the losses that were given as tensors."""
        if not self._unread:
            return
        devices = {value.device for _, _, value in self._unread}
        if len(devices) > 1:
            values = [float(value) for _, _, value in self._unread]
        else:
            values = _torch().stack([value.float().reshape(()) for _, _, value in self._unread]).tolist()
        for (step, name, _), value in zip(self._unread, values, strict=True):
            self._looks.append(Look(step=step, losses={name: value}))
        self._unread = []
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


def _named_parameters(models: Mapping[str, Any]) -> dict[str, Any]:
    """Return real parameters by name; tied ones have the first of their names."""
    named = {
        f"{key}.{name}" if key else name: p for key, model in models.items() for name, p in model.named_parameters()
    }
    lazy = _torch().nn.parameter.is_lazy
    return {name: p for name, p in named.items() if not lazy(p) and p.is_floating_point() and p.numel()}


def _is_compiled(model: Any) -> bool:
    return hasattr(model, "_orig_mod") or getattr(model, "_compiled_call_impl", None) is not None


def _modules_of(models: Mapping[str, Any]) -> dict[str, Any]:
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


def _groups(optimizers: Sequence[Any]) -> dict[str, set[int]]:
    """Return the parameters that each group holds; with several optimizers a group is called "optimizer.group"."""
    return {name: {id(p) for p in group["params"]} for name, group in _group_names(optimizers)}


def _rates(optimizers: Sequence[Any]) -> dict[str, float]:
    return {name: group["lr"] for name, group in _group_names(optimizers) if "lr" in group}


def _members(optimizer: Any) -> list[Any]:
    return [p for group in optimizer.param_groups for p in group["params"]]


def _momenta(optimizer: Any) -> dict[int, float]:
    """Return by parameter which share of an update comes from earlier gradients."""
    found: dict[int, float] = {}
    for group in [] if optimizer is None else optimizer.param_groups:
        momentum = float(group["betas"][0]) if "betas" in group else float(group.get("momentum", 0.0) or 0.0)
        found |= {id(p): min(momentum, 0.999) for p in group["params"]}
    return found


def _known(parameter: Any, module: Any, groups: Mapping[str, set[int]]) -> Parameter:
    torch = _torch()
    embedding = isinstance(module, torch.nn.Embedding | torch.nn.EmbeddingBag)
    return Parameter(
        size=parameter.numel(),
        matrix=parameter.dim() >= 2 and not embedding,
        trains=parameter.requires_grad,
        group=next((name for name, members in groups.items() if id(parameter) in members), None),
    )


def _has_dropout(model: Any) -> bool:
    """Return whether any part drops values in training: dropout modules, or a rate that recurrent layers have."""
    rates = [getattr(module, "p", getattr(module, "dropout", 0.0)) for module in model.modules()]
    return any(isinstance(rate, float) and rate > 0 for rate in rates)


def _units(gradient: Any, module: Any) -> Any:
    """Return a gradient with a row for each output unit; transposed convolutions have them second."""
    if getattr(module, "transposed", False) and module.groups == 1:
        gradient = gradient.transpose(0, 1)
    return gradient.reshape(gradient.shape[0], -1)


def _sample(values: Any) -> Any:
    """Return some hundred values, evenly spaced; all of a small tensor."""
    flat = values.detach().reshape(-1)
    return flat[:: max(1, flat.numel() // SAMPLED)]


def _norms(values: Sequence[Any]) -> Any:
    """Return L2 norms; those of half precision in single, where they cannot overflow."""
    torch = _torch()
    kinds = {value.dtype for value in values}
    wide = torch.float64 if torch.float64 in kinds else torch.float32
    dtype = wide if kinds & {torch.float16, torch.bfloat16} else None
    return torch.stack([norm.float() for norm in torch._foreach_norm(values, 2, dtype)])


def _sampled(values: Any) -> int:
    """Return how many values `_sample` takes."""
    return len(range(0, values.numel(), max(1, values.numel() // SAMPLED)))


def _graded(pairs: Sequence[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """Return the parameters that have a dense gradient."""
    return [(name, p) for name, p in pairs if p.grad is not None and not p.grad.is_sparse]


def _by_device(pairs: Sequence[tuple[str, Any]]) -> list[list[tuple[str, Any]]]:
    devices = dict.fromkeys(p.device for _, p in pairs)
    return [[pair for pair in pairs if pair[1].device == device] for device in devices]


def _scale(optimizer: Any) -> float:
    """Return by what a GradScaler has scaled the gradients that a fused optimizer gets; 1 for all others."""
    scale = getattr(optimizer, "grad_scale", None)
    return 1.0 if scale is None else float(scale)


def _scaler_skips(optimizer: Any) -> bool:
    """Return whether a fused optimizer will skip this step, as a GradScaler found values that are not finite."""
    found = getattr(optimizer, "found_inf", None)
    return found is not None and bool(float(found))


def _thinned(looks: Sequence[Look]) -> list[Look]:
    """Return looks without every other one of the older half that has nothing but a loss."""
    half = len(looks) // 2
    old = [look for i, look in enumerate(looks[:half]) if i % 2 == 0 or not look.losses]
    return [*old, *looks[half:]]
