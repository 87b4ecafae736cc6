"""Holding: which capsules a run keeps, what they hold of its parts, and how they are put back in another process."""

import platform
import sys
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from palate.cooking import randomness
from palate.cooking.capsule import About, Keeper, remove_capsule
from palate.cooking.parts import (
    faults_of,
    forgotten,
    gradients_of,
    is_module,
    is_optimizer,
    put_gradients,
    put_state,
    take_state,
)
from palate.cooking.stage import Cadence, Every
from palate.cooking.storable import lacks
from palate.errors import RefusedError

MOST_FAULTS = 10
LOOKUPS = 100
"""Steps in which it is looked up which parameter has a gradient, where the one that had one has none."""


class Holding:
    """The capsules of a run: when one is taken, how many stay, what they hold of the parts.

    Args:
        folder: of the run.
        parts: of the training, by name.
        seed: of the run, where somebody says it.
        keep: when capsules are kept; palate's own way if None.
        say: tells the person something, once.
    """

    def __init__(
        self,
        folder: Path,
        parts: Mapping[str, Any],
        *,
        seed: int | None,
        keep: Every | None,
        say: Callable[[str], None],
    ) -> None:
        self._folder, self._parts, self._seed, self._say = folder, parts, seed, say
        self.keeper = Keeper(folder, say)
        self._of_run = self._cadence = Cadence(keep)
        self._kept: dict[int, int] = {}
        self._gradients = [(name, Gradients(part)) for name, part in parts.items() if is_optimizer(part)]
        self.wanted = ""

    def note_step(self, stepped: Collection[str]) -> None:
        """Hear which optimizers stepped in the step that was just done."""
        for name, gradients in self._gradients:
            gradients.note(stepped=name in stepped)

    def use(self, keep: Every | None) -> None:
        """Keep capsules as a stage wishes; as the run does if None."""
        self._cadence = Cadence(keep) if keep is not None else self._of_run

    def is_due(self, step: int, now_s: float) -> bool:
        """Return whether a capsule is due behind a step."""
        return bool(self.wanted) or self._cadence.is_due(step, now_s, self.keeper.cost_s)

    def next_due(self, step: int) -> int:
        """Return the next step behind which a capsule may be due, where nobody wants one before."""
        return self._cadence.next_due(step)

    def keep(
        self,
        step: int,
        place: Mapping[str, int],
        knobs: Mapping[str, float | str | None],
        state: Callable[[], Mapping[str, Any]],
        *,
        why: str = "",
        needed: bool = False,
    ) -> None:
        """Take a capsule; remove those that are too many.

        Args:
            step: steps that were done.
            place: number of the stage, of the pass, batches of the pass.
            knobs: what could be turned, with what was in force.
            state: gives all that decides the future; its tensors may be the training's own.
            why: what it is taken for.
            needed: whether somebody waits for it.
        """
        why, self.wanted = why or self.wanted or "kept", ""
        if step in self._kept:
            return
        try:
            self._take(step, place, knobs, state, why=why, needed=needed)
        except Exception as error:  # noqa: BLE001  the training goes on without this capsule, whatever its parts do
            self._say(f"No capsule could be taken at step {step:,}: {type(error).__name__}: {error}")

    def _take(
        self,
        step: int,
        place: Mapping[str, int],
        knobs: Mapping[str, float | str | None],
        state: Callable[[], Mapping[str, Any]],
        *,
        why: str,
        needed: bool,
    ) -> None:
        left_out = tuple(forgotten(self._parts)) if not self._kept else ()
        for line in left_out:
            self._say(f"palate.start was not given {line}. A fork would not have its state.")
        about = About(
            step=step,
            **place,
            parts={name: type(part).__qualname__ for name, part in self._parts.items()},
            left_out=left_out,
            why=why,
            versions=_versions(),
            seed=self._seed,
            knobs=knobs,
        )
        body = state()
        wished = self._cadence.wish is not None
        if self.keeper.keep(about, body, needed=needed or wished or why != "kept"):
            self._kept[step] = _bytes_of(body) if why == "kept" else 0
            for surplus in list(self._cadence.surplus({at: size for at, size in self._kept.items() if size})):
                self._kept.pop(surplus)
                remove_capsule(self._folder, surplus)

    def state(self) -> dict[str, Any]:
        """Return what a capsule holds of the parts, and of the random numbers that the process shares."""
        return {
            "parts": {name: take_state(part) for name, part in self._parts.items()},
            "types": {name: type(part).__qualname__ for name, part in self._parts.items()},
            "gradients": gradients_of(self._parts) if self._are_carried() else None,
            "random": randomness.take_global(),
        }

    def _are_carried(self) -> bool:
        """Return whether what comes depends on the gradients as they are now."""
        return not self._gradients or any(gradients.carried for _, gradients in self._gradients)

    def restore(self, body: Mapping[str, Any]) -> None:
        """Put the parts back as a capsule has them; the random numbers come last, from whoever calls."""
        for name, part in self._parts.items():
            if lacks(body["parts"][name]):
                self._say(f"{name} could not be held by the capsule: it begins anew.")
            else:
                put_state(part, body["parts"][name])
        put_gradients(self._parts, body["gradients"] or {})


class Gradients:
    """Whether the gradients of an optimizer are added to in the step that comes.

    They are not where it has stepped, and the gradient of a parameter is another tensor than it was behind the step
    before: then the training throws them away each time. One parameter stands for all; which one has a gradient is
    looked up in the first steps only, as that takes long in a model of many.
    """

    __slots__ = ("_grad", "_lookups", "_one", "_optimizer", "carried")

    def __init__(self, optimizer: Any) -> None:
        self._optimizer = optimizer
        self._one: Any = None
        self._grad: Any = None
        self._lookups = LOOKUPS
        self.carried = True

    def note(self, *, stepped: bool) -> None:
        """Hear that a step was done, and whether the optimizer stepped in it."""
        grad = None if self._one is None else self._one.grad
        if grad is None and self._lookups:
            self._lookups -= 1
            graded = (one for one in self._optimizer.param_groups[0]["params"] if one.grad is not None)
            self._one = next(graded, self._one)
            grad = None if self._one is None else self._one.grad
        self.carried = not stepped or (grad is not None and grad is self._grad)
        self._grad = grad


def refuse_other(parts: Mapping[str, Any], body: Mapping[str, Any]) -> None:
    """Refuse a capsule of another training, before anything was done.

    Raises:
        RefusedError: that is what it is.
    """
    saved = body["parts"]
    faults = [f"{name}: the capsule has it, palate.start was not given it" for name in saved if name not in parts]
    faults += [f"{name}: palate.start was given it, the capsule has it not" for name in parts if name not in saved]
    for name in parts.keys() & saved.keys():
        kinds = [type(parts[name]).__qualname__, body["types"].get(name)]
        if is_optimizer(parts[name]) and kinds[0] != kinds[1]:
            faults.append(f"{name}: it is {kinds[0]}, and was {kinds[1]}")
        if is_module(parts[name]) and lacks(saved[name]):
            faults.append(f"{name}: the capsule could not hold all of it")
        faults += [f"{name}: {fault}" for fault in faults_of(parts[name], saved[name])]
    if faults:
        more = len(faults) - MOST_FAULTS
        raise RefusedError(
            "The capsule is of another training.",
            why=[*faults[:MOST_FAULTS], *([f"and {more} more"] if more > 0 else [])],
            todo="Fork the run with the code that it was made with.",
        )


def _versions() -> dict[str, str]:
    torch = sys.modules.get("torch")
    return {"python": platform.python_version(), **({"torch": torch.__version__} if torch is not None else {})}


def _bytes_of(value: Any) -> int:
    """Return about how many bytes the tensors of a structure take."""
    if isinstance(value, Mapping):
        return sum(map(_bytes_of, value.values()))
    if isinstance(value, list | tuple):
        return sum(map(_bytes_of, value))
    return int(value.numel() * value.element_size()) if hasattr(value, "untyped_storage") else 0
