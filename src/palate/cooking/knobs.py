"""Knobs: what of a training may be changed while it goes, and what is really in force.

Optimizers take the changed values in the moment of their step, and have the
schedule's own again behind it: so no scheduler, and no line of the training that sets a rate by hand, undoes a change.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from palate.cooking.parts import is_optimizer
from palate.errors import InputError
from palate.question.branch import Amount

OF_OPTIMIZERS = ("lr", "weight_decay", "momentum", "dampening", "eps", "alpha", "lambd", "rho", "nesterov")
"""Entries of an optimizer's groups that can be a knob, where they are numbers."""

LR = "lr"
MOST_VALUE, MOST = 1e12, {"momentum": 0.999999, "dampening": 1.0, "alpha": 0.999999, "rho": 0.999999}
"""The largest value of a knob; of some a smaller one."""


@dataclass(frozen=True, slots=True)
class Turned:
    """A knob of an optimizer as it is set: times `factor`, or held at `pinned`."""

    factor: float = 1.0
    pinned: float | None = None

    def of(self, scheduled: Any) -> Any:
        """Return the value in force where the schedule has another."""
        return scheduled * self.factor if self.pinned is None else self.pinned

    @property
    def idle(self) -> bool:
        """Whether it changes nothing."""
        return self.factor == 1.0 and self.pinned is None


IDLE = Turned()


class OptimizerKnobs:
    """The knobs of all optimizers.

    Args:
        parts: of the training, by name; the optimizers among them count.
        ramp: gives what every lr is multiplied with besides; None where nothing is annealed.
        stepped: called behind each step of an optimizer, with its name.
    """

    def __init__(
        self, parts: Mapping[str, Any], ramp: Callable[[], float] | None, stepped: Callable[[str], object]
    ) -> None:
        self.optimizers = {name: part for name, part in parts.items() if is_optimizer(part)}
        self.settings: dict[str, dict[str, Turned]] = {name: {} for name in self.optimizers}
        self.in_force: dict[str, dict[str, float]] = {name: {} for name in self.optimizers}
        self._ramp, self._stepped = ramp or (lambda: 1.0), stepped
        self._at_rest = ramp is None
        self._own: dict[str, list[tuple[dict[str, Any], str, Any]]] = {}
        self._looked_at = False
        self._hooks: list[Any] = []
        for name, optimizer in self.optimizers.items():
            self._hooks += [
                optimizer.register_step_pre_hook(self._before(name)),
                optimizer.register_step_post_hook(self._behind(name)),
            ]

    def close(self) -> None:
        """Let go of the optimizers: they step as if palate had never been there."""
        for name in list(self._own):
            self._put_back(name)
        for hook in self._hooks:
            hook.remove()
        self._hooks = []

    def names(self) -> Iterator[str]:
        """Yield the knobs that can be turned: `lr` is that of all optimizers, `generator.lr` that of one."""
        keys = {name: self._keys(optimizer) for name, optimizer in self.optimizers.items()}
        yield from dict.fromkeys(key for some in keys.values() for key in some)
        if len(keys) > 1:
            yield from (f"{name}.{key}" for name, some in keys.items() for key in some)

    def _lead(self, optimizer: str, key: str) -> dict[str, Any]:
        """Return the group that stands for all: that with the largest value, as weight decay is often 0 in some."""
        groups: list[dict[str, Any]] = self.optimizers[optimizer].param_groups
        return max(groups, key=lambda group: float(group.get(key, 0.0)))

    def _keys(self, optimizer: Any) -> list[str]:
        group = optimizer.param_groups[0] if optimizer.param_groups else {}
        return [key for key in OF_OPTIMIZERS if _is_number(group.get(key))]

    def turn(self, name: str, amount: Amount) -> None:
        """Turn one.

        Raises:
            InputError: there is none of this name, or the value is out of its range.
        """
        self._at_rest = False
        for optimizer, key in self._those_named(name):
            before = self.settings[optimizer].get(key, IDLE)
            after = self._turned(optimizer, key, before, amount)
            value = float(after.of(float(self._lead(optimizer, key)[key])))
            if not value <= MOST.get(key, MOST_VALUE):
                raise InputError(f"{key}={amount}: it would be {value:.6g}.", todo=f"{key}=x0.3")
            self.settings[optimizer][key] = after

    def _turned(self, optimizer: str, key: str, before: Turned, amount: Amount) -> Turned:
        value = float(amount.value)
        if amount.how == "times":
            if before.pinned is not None:
                return Turned(pinned=before.pinned * value)
            return Turned(factor=before.factor * value)
        if value < 0:
            raise InputError(f"{key}={amount}: it cannot be below 0.", todo=f"{key}=x0.3")
        scheduled = float(self._lead(optimizer, key)[key])
        if amount.how == "pin" or scheduled == 0:
            return Turned(pinned=value)
        return Turned(factor=value / scheduled)

    def _those_named(self, name: str) -> list[tuple[str, str]]:
        optimizer, _, key = name.rpartition(".")
        wanted = [optimizer] if optimizer else list(self.optimizers)
        return [(one, key) for one in wanted if one in self.optimizers and key in self._keys(self.optimizers[one])]

    def value(self, name: str) -> float | None:
        """Return what is in force of a knob as far as is known: at the last step, else as it stands now.

        Where several optimizers have it, it is that of the first that stepped.
        """
        named = self._those_named(name)
        read = [self.in_force[optimizer][key] for optimizer, key in named if key in self.in_force[optimizer]]
        if read:
            return read[0]
        for optimizer, key in named:
            setting = self.settings[optimizer].get(key, IDLE)
            return float(setting.of(self._lead(optimizer, key)[key]))
        return None

    def now(self, name: str) -> float | None:
        """Return what a knob would be if its optimizer stepped now."""
        for optimizer, key in self._those_named(name):
            setting = self.settings[optimizer].get(key, IDLE)
            scheduled = float(self._lead(optimizer, key)[key])
            return float(setting.of(scheduled)) * (self._ramp() if key == LR else 1.0)
        return None

    def _before(self, name: str) -> Callable[..., None]:
        def put_in_force(optimizer: Any, *_: object) -> None:
            if self._at_rest:
                return
            if name in self._own:  # the step before was ended by an exception
                self._put_back(name)
            ramp, settings = self._ramp(), self.settings[name]
            if ramp != 1.0 or settings:
                self._own[name] = list(self._put_in_force(optimizer, settings, ramp))
            if self._looked_at:
                self._read_back(name, optimizer)

        return put_in_force

    def _put_in_force(
        self, optimizer: Any, settings: Mapping[str, Turned], ramp: float
    ) -> Iterator[tuple[dict[str, Any], str, Any]]:
        """Give each group its values for this step; yield what it had."""
        keys = settings.keys() | ({LR} if ramp != 1.0 else set())
        for group in optimizer.param_groups:
            for key in keys & group.keys():
                own = group[key]
                group[key] = settings.get(key, IDLE).of(own) * (ramp if key == LR else 1)
                yield group, key, own

    def _read_back(self, name: str, optimizer: Any) -> None:
        self.in_force[name] = {key: float(self._lead(name, key)[key]) for key in self._keys(optimizer)}

    def _behind(self, name: str) -> Callable[..., None]:
        own, stepped = self._own, self._stepped

        def put_back(*_: object) -> None:
            if own:
                self._put_back(name)
            stepped(name)

        return put_back

    def _put_back(self, name: str) -> None:
        for group, key, own in self._own.pop(name, ()):
            group[key] = own

    def look(self) -> None:
        """Note from now on, at each step of an optimizer, what is in force there."""
        self._looked_at, self._at_rest = True, False

    def forget(self, name: str) -> None:
        """Forget what was last in force of a knob: only a step that comes says what is."""
        for optimizer, _ in self._those_named(name):
            self.in_force[optimizer] = {}

    def is_read(self, name: str) -> bool:
        """Return whether a step of one of its optimizers has said what is in force of a knob."""
        return any(self.in_force[optimizer] for optimizer, _ in self._those_named(name))

    def state(self) -> dict[str, Any]:
        """Return how they are set, as plain data."""
        return {
            name: {key: [one.factor, one.pinned] for key, one in settings.items()}
            for name, settings in self.settings.items()
        }

    def put_back_one(self, name: str, state: Mapping[str, Any]) -> None:
        """Set one knob as it was when `state` was taken."""
        self._at_rest = False
        for optimizer, key in self._those_named(name):
            saved = state[optimizer].get(key)
            self.settings[optimizer][key] = IDLE if saved is None else Turned(*saved)

    def restore(self, state: Mapping[str, Any]) -> None:
        """Undo `state`."""
        self._at_rest = self._at_rest and not any(state.values())
        for name, settings in state.items():
            if name in self.settings:
                self.settings[name] = {key: Turned(*one) for key, one in settings.items()}


def _is_number(value: object) -> bool:
    return (isinstance(value, float | int) and not isinstance(value, bool)) or (
        hasattr(value, "numel") and value.numel() == 1
    )


@dataclass(slots=True)
class Declared:
    """A knob that the training declares itself: `run.knob("noise", .1, low=0, high=1)`."""

    value: float
    low: float
    high: float


def turned(knob: Declared, name: str, amount: Amount) -> float:
    """Return what a declared knob becomes.

    Raises:
        InputError: that is out of its range.
    """
    value = knob.value * float(amount.value) if amount.how == "times" else float(amount.value)
    if not knob.low <= value <= knob.high:
        raise InputError(
            f"{name}={amount}: {value:.6g} is out of its range, {knob.low:.6g} to {knob.high:.6g}.",
            todo=f"Choose a value between them: {name}={knob.value:.6g}",
        )
    return value


def turned_weight(weight: float, name: str, amount: Amount) -> float:
    """Return what the weight of a loss becomes.

    Raises:
        InputError: it would be below 0.
    """
    value = weight * float(amount.value) if amount.how == "times" else float(amount.value)
    if value < 0:
        raise InputError(f"{name}={amount}: the weight of a loss cannot be below 0.", todo=f"{name}=0")
    return value
