"""Seasoning: what of a training can be turned while it goes, who asks for it, and what the next step really used."""

import contextlib
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from palate.cooking.commands import Command, Inbox, answer
from palate.cooking.knobs import Declared, OptimizerKnobs, turned, turned_weight
from palate.cooking.mixing import Mixer
from palate.cooking.parts import is_module, train_as, train_only, trained, trained_now
from palate.errors import InputError, PalateError
from palate.question.branch import TRAIN, Amount

POLL_S = 0.2
"""How often it is looked whether somebody asks for something."""


class Logged(Protocol):
    """The run that is held: its folder and its journal."""

    folder: Path

    @property
    def journal(self) -> Any:
        """Where rows and events go."""

    def log(self, step: int | None = None, /, **metrics: float) -> None:
        """Log metrics at a step."""


class Seasoning:
    """All knobs of a training: of its optimizers, the weights of its losses, its own, and what is trained.

    Args:
        run: answers stand in its folder, events in its journal.
        parts: of the training, by name.
        ramp: gives what every lr is multiplied with besides; None where nothing is annealed.
        stepped: called behind each step of an optimizer, with its name.
    """

    def __init__(
        self,
        run: Logged,
        parts: Mapping[str, Any],
        ramp: Callable[[], float] | None,
        stepped: Callable[[str], object],
    ) -> None:
        self._run, self._parts = run, parts
        self.mixer = Mixer()
        self.declared: dict[str, Declared] = {}
        self.knobs = OptimizerKnobs(parts, ramp, stepped)
        self._inbox = Inbox(run.folder)
        self.next_poll_s = 0.0
        self.pending: list[Command] = []
        self._unread: list[tuple[Command, dict[str, float | str | None]]] = []
        self._before: list[tuple[Mapping[str, Amount], Mapping[str, Any], dict[str, Any], dict[str, bool]]] = []

    def knob(self, name: str, value: float, *, low: float, high: float) -> float:
        """Return the value in force of a knob that the training declares."""
        known = self.declared.get(name)
        if known is None:
            if not low <= value <= high:
                raise InputError(f"knob({name!r}, {value!r}): it is not between {low} and {high}.")
            if name in set(self.knobs.names()) | self.mixer.weights.keys():
                raise InputError(f"There is a knob {name!r} already.", todo=f"Name it otherwise: my_{name}")
            known = self.declared[name] = Declared(float(value), float(low), float(high))
        known.low, known.high = low, high  # of one that came from a capsule nobody had said them
        return known.value

    # ---- commands

    def poll(self, step: int, now_s: float) -> bool:
        """Look, every now and then, whether somebody asks for something; return whether it was looked now."""
        if now_s < self.next_poll_s:
            return False
        self.next_poll_s = now_s + POLL_S
        for command in self._inbox.look():
            if isinstance(command, Command):
                self.pending.append(command)
            else:
                self._refuse(command[0], command[1], step)
        return True

    @property
    def is_waiting(self) -> bool:
        """Whether something was asked for that is not done, or something done whose effect is not known."""
        return bool(self.pending or self._unread)

    def carry_out(self, step: int, keep: Callable[[], None]) -> None:
        """Turn what was asked for, a capsule first."""
        pending, self.pending = self.pending, []
        for command in pending:
            try:
                if not command.undo:
                    self.check(command.amounts)
                keep()
                if command.undo:
                    self._undo(step, command)
                else:
                    self.turn(command.amounts, step, command=command)
            except PalateError as error:
                self._refuse(command.id, error, step)
            except (ValueError, TypeError, OverflowError) as error:
                self._refuse(command.id, InputError("The command cannot be carried out.", why=str(error)), step)

    def _refuse(self, command: str, error: PalateError, step: int) -> None:
        told = {"step": step, "what": error.what, "why": list(error.why), "todo": list(error.todo)}
        with contextlib.suppress(OSError):
            answer(self._run.folder, command, "refused", told)

    def read_back(self, step: int) -> None:
        """Say what the step behind a turn really used; `step` were done, and an optimizer has stepped in the last."""
        if not self._unread:
            return
        unread, self._unread = self._unread, []
        for command, asked in unread:
            if not all(self._is_read(name) for name in command.amounts):
                self._unread.append((command, asked))
                continue
            used = {name: self.value_of(name) for name in command.amounts}
            told = {"step": step - 1, "asked": asked, "in_force": used}
            self._run.journal.event("in force", id=command.id, **told)
            _tell_turned(used)
            if command.id:
                with contextlib.suppress(OSError):
                    answer(self._run.folder, command.id, "in-force", told)

    def _is_read(self, name: str) -> bool:
        """Return whether a knob was used since it was turned: a loss term may be computed every tenth step only."""
        if name in self.declared or name == TRAIN:
            return True
        return name in self.mixer.used if name in self.mixer.weights else self.knobs.is_read(name)

    # ---- turning

    def check(self, amounts: Mapping[str, Amount]) -> None:
        """Refuse amounts that cannot be, all faults at once, before anything is turned.

        Raises:
            InputError: a knob that is not there, or a value out of its range.
        """
        faults = []
        for name, amount in amounts.items():
            try:
                self._turn(name, amount, dry=True)
            except PalateError as error:
                faults += [error.what, *error.why]
        if faults:
            raise InputError("The knobs were not turned.", why=faults, todo=f"There are: {', '.join(self.names())}")

    def turn(self, amounts: Mapping[str, Amount], step: int, *, command: Command | None = None) -> None:
        """Turn knobs, note it, and look at the next step at what was really used."""
        before = {name: self.value_of(name) for name in amounts}
        self._before.append((amounts, before, self.state(), trained_now(self._parts)))
        for name, amount in amounts.items():
            self._turn(name, amount)
        self._note(amounts, before, step, command)

    def _undo(self, step: int, command: Command) -> Command:
        """Put back what the last season turned, exactly, and nothing else; return the command with what that is."""
        if not self._before:
            raise InputError("Nothing was turned since the training was started, so there is nothing to put back.")
        turned_then, before, state, flags = self._before.pop()
        now = {name: self.value_of(name) for name in turned_then}
        amounts = {name: _inverse(amount, before[name]) for name, amount in turned_then.items()}
        for name in turned_then:
            self._put_back(name, state, flags)
        known = replace(command, amounts=amounts)
        self._note(amounts, now, step, known)
        return known

    def _put_back(self, name: str, state: Mapping[str, Any], flags: Mapping[str, bool]) -> None:
        if name == TRAIN:
            train_as(self._parts, flags)
        elif name in state["declared"]:
            self.declared[name].value = state["declared"][name]
        elif name in state["weights"]:
            self.mixer.weights[name] = state["weights"][name]
        else:
            self.knobs.put_back_one(name, state["knobs"])

    def _note(
        self,
        amounts: Mapping[str, Amount],
        before: Mapping[str, float | str | None],
        step: int,
        command: Command | None,
    ) -> None:
        """Keep what was turned, and look at the next step at what is really used."""
        for name in amounts:
            self.mixer.used.pop(name, None)
            self.knobs.forget(name)
        told = {
            "step": step,
            "asked": {name: str(amount) for name, amount in amounts.items()},
            "before": before,
            "after": {name: self.value_now(name) for name in amounts},
        }
        known = command or Command(id="", amounts=amounts)
        self._run.journal.event("season", id=known.id, author=known.author, why=known.why, **told)
        self.knobs.look()
        if command is not None:
            with contextlib.suppress(OSError):
                answer(self._run.folder, command.id, "applied", told)
        self._unread.append((known, told["after"]))  # type: ignore[arg-type]

    def _turn(self, name: str, amount: Amount, *, dry: bool = False) -> None:
        if name == TRAIN:
            train_only(self._parts, [one for one in str(amount.value).split(",") if one], dry=dry)
        elif name in self.declared:
            value = turned(self.declared[name], name, amount)
            self.declared[name].value = self.declared[name].value if dry else value
        elif name in self.mixer.weights:
            weight = turned_weight(self.mixer.weights[name], name, amount)
            self.mixer.weights[name] = self.mixer.weights[name] if dry else weight
        elif name in set(self.knobs.names()):
            before = self.knobs.state()
            self.knobs.turn(name, amount)
            if dry:
                self.knobs.restore(before)
        else:
            raise InputError(f"{name}: there is no such knob, and no such loss.")

    def names(self) -> list[str]:
        """Return the names of all that can be turned now."""
        has_model = any(is_module(part) for part in self._parts.values())
        return [*self.knobs.names(), *self.mixer.weights, *self.declared, *([TRAIN] if has_model else [])]

    def value_of(self, name: str) -> float | str | None:
        """Return what was last in force of a knob."""
        if name in self.declared:
            return self.declared[name].value
        if name in self.mixer.weights:
            return self.mixer.used.get(name, self.mixer.weights[name])
        return trained(self._parts) if name == TRAIN else self.knobs.value(name)

    def value_now(self, name: str) -> float | str | None:
        """Return what will be in force of a knob as far as is known now."""
        if name in self.declared:
            return self.declared[name].value
        if name in self.mixer.weights:
            return self.mixer.weights[name]
        return trained(self._parts) if name == TRAIN else self.knobs.now(name)

    # ---- what a capsule holds of it

    def state(self) -> dict[str, Any]:
        """Return how all is set, as plain data."""
        return {
            "weights": dict(self.mixer.weights),
            "knobs": self.knobs.state(),
            "declared": {name: knob.value for name, knob in self.declared.items()},
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Undo `state`."""
        self.mixer.weights.update(state["weights"])
        self.knobs.restore(state["knobs"])
        for name, value in state["declared"].items():
            self.declared[name] = Declared(value, float("-inf"), float("inf"))  # until `knob` says its range


def _inverse(amount: Amount, before: Any) -> Amount:
    """Return the amount that puts back what another one turned, as far as an amount can say it."""
    if amount.how == "times" and float(amount.value) > 0:
        return Amount("times", 1 / float(amount.value))
    return Amount("to", before)


def _tell_turned(used: Mapping[str, Any]) -> None:
    """Note what was in force, where a recorder listens to what this process receives."""
    received = sys.modules.get("palate.training.received")
    if received is not None:
        for name, value in used.items():
            received.tell("turned", name, str(value))
