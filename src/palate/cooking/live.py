"""A training that palate holds: its place, its parts, its knobs; what `run.steps`, `run.mix` and the others do.

    run = palate.start("colorize", model=net, optimizer=opt, scheduler=sched)
    for x, y in run.steps(loader):
        loss = run.mix(l1=F.l1_loss(net(x), y), adv=lambda: bce(critic(net(x))))
        opt.zero_grad(); loss.backward(); opt.step(); sched.step()

All that palate does, it does between two steps: when the next batch is asked for. Nothing of it draws a random number
or touches a weight, so that a training with palate computes, bit for bit, what it computes without.
"""

import contextlib
import os
import platform
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from palate.cooking import randomness
from palate.cooking.capsule import About, Keeper, read_capsule, remove_capsule
from palate.cooking.commands import Command, Inbox, answer
from palate.cooking.feed import Pass, count_samples
from palate.cooking.knobs import Declared, OptimizerKnobs, turned, turned_weight
from palate.cooking.mixing import Mixer
from palate.cooking.parts import (
    faults_of,
    forgotten,
    gradients_of,
    is_module,
    parts_of,
    put_gradients,
    put_state,
    take_state,
)
from palate.cooking.stage import Cadence, Cycle, Every, Spot, Stage, after, matches, stage_at
from palate.cooking.storable import lacks
from palate.cooking.tastings import tags_of
from palate.cooking.until import Condition
from palate.cooking.watch import Moment, Watch
from palate.errors import InputError, PalateError, RefusedError
from palate.question.branch import TRAIN, Amount, Branch

POLL_S = 0.2
"""How often it is looked whether somebody asks for something."""

NO_STAGE = Stage("training")
_now = time.monotonic


class Logged(Protocol):
    """The run that is held: its folder and its journal."""

    folder: Path

    @property
    def journal(self) -> Any:
        """Where rows and events go."""

    def log(self, step: int | None = None, /, **metrics: float) -> None:
        """Log metrics at a step."""


class Live:
    """What palate knows of a training while it goes.

    Args:
        run: whose training it is.
        given: the parts, by name; see `parts.parts_of`.
        seed: of the run, where somebody says it.
        keep: when capsules are kept; palate's own way if None.
        branch: how it departs from the plain run.

    Raises:
        InputError: a part without a state.
        StoreError, RefusedError: the capsule that it is to leave from is not of this training.
    """

    def __init__(
        self,
        run: Logged,
        given: Mapping[str, Any],
        *,
        seed: int | None = None,
        keep: Every | None = None,
        branch: Branch | None = None,
    ) -> None:
        self.run = run
        self.parts = parts_of(given)
        self.seed = seed
        self.branch = branch or Branch()
        self.step = self.samples = self.epoch = 0
        self.stage = NO_STAGE
        self.mixer = Mixer()
        self.declared: dict[str, Declared] = {}
        self.knobs = OptimizerKnobs(self.parts, self._ramp, self._optimizer_stepped)
        self.keeper = Keeper(run.folder, self.say)
        self._run_cadence = Cadence(keep)
        self._cadence = self._run_cadence
        self._kept: dict[int, int] = {}
        self._wanted = ""
        self._inbox = Inbox(run.folder)
        self._next_poll_s = 0.0
        self._pending: list[Command] = []
        self._unread: list[tuple[Command, dict[str, float | str | None]]] = []
        self._stepped = False
        self._grad_seen: Any = None
        self._fresh: dict[str, float] = {}
        self._tags: frozenset[str] = frozenset()
        self._condition: Condition | None = None
        self._watch: Watch | None = None
        self._cycle_watch: Watch | None = None
        self._spot = Spot()
        self._stage_began = (0, 0, 0.0)
        self._in_epochs = False
        self._call = 0
        self._trained_at_first: dict[str, bool] = {}
        self._ended = self._over = False
        self._process = os.getpid()
        self._thread = threading.get_ident()
        self._said: set[str] = set()
        self._turned_at: set[int] = set()
        self._arrived = not self.branch.capsule
        self._branched = False
        self._capsule = read_capsule(Path(self.branch.capsule)) if self.branch.capsule else None
        if self._capsule is not None:
            self._refuse_other()

    # ---- what the training calls

    def stages(self, *plan: Stage | Cycle) -> Iterator[Stage]:
        """Yield the stages in their order, each when the one before it has ended."""
        self._refuse_plan(plan)
        spot = Spot(*self._capsule["spot"]) if self._capsule is not None else Spot()
        if self._capsule is not None and self._capsule["cycle_watch"] is not None:
            item = plan[spot.item]
            self._cycle_watch = item.until.watch(self._capsule["cycle_watch"]) if isinstance(item, Cycle) else None
        while (stage := stage_at(plan, spot)) is not None and not self._over:
            self._enter(stage, spot)
            yield stage
            spot = after(plan, spot, self._cycle_ended)

    def epochs(self, n: int | None = None) -> Iterator[int]:
        """Yield the numbers of epochs, from 0, or from where a capsule was taken; within one, `steps` is one pass."""
        if n is not None and (isinstance(n, bool) or not isinstance(n, int) or n < 0):
            raise InputError(f"epochs({n!r}): it is a whole number.", todo="for epoch in run.epochs(10):")
        first = self._capsule["epoch"] if self._capsule is not None and not self._arrived else 0
        self._begin_watch(self.stage.until)
        self._in_epochs = True
        try:
            epoch = first
            while (n is None or epoch < n) and not self._over:
                self.epoch, self._call = epoch, 0
                yield epoch
                if self._look():
                    break
                epoch += 1
        finally:
            self._in_epochs = False

    def steps(self, loader: Iterable[Any], until: Condition | None = None) -> Iterator[Any]:
        """Yield the batches of a loader: one pass, or as many as it takes until a condition holds."""
        call, self._call = self._call, self._call + 1
        if self._skips(call):
            return
        self._begin_loop(until)
        one = self._first_pass(loader, owned=not self._in_epochs)
        self._arrive_at_fork(one)
        self._keep_first(one, call)
        while not self._ended:
            for batch in one:
                yield batch
                if self._step_done(batch, one, call):
                    return
            if self._is_one_pass():
                return
            if one.is_empty:
                raise InputError(
                    "The loader gives no more batches, and the stage has not ended.",
                    why=f"It ends on: {self._condition}. A generator can be gone through once only.",
                    todo="Give run.steps a DataLoader or a list, or another `until`.",
                )
            self.epoch += 1
            one = Pass(loader, number=self.epoch, owned=True)

    def _is_one_pass(self) -> bool:
        return self._watch is None or self._in_epochs

    def _begin_loop(self, until: Condition | None) -> None:
        if self._in_epochs and until is not None:
            raise InputError(
                "run.steps has an `until` of its own inside of run.epochs.",
                why="Within an epoch it is one pass over the loader.",
                todo="Leave run.epochs out, or give the condition to the stage: palate.Stage(..., until=...)",
            )
        if not self._in_epochs:
            self._begin_watch(until if until is not None else self.stage.until)

    def mix(self, **terms: Any) -> Any:
        """Return the weighted sum of named loss terms; see `Mixer.mix`."""
        return self.mixer.mix(terms)

    def knob(self, name: str, value: float, *, low: float, high: float) -> float:
        """Return the value in force of a knob that the training declares."""
        known = self.declared.get(name)
        if known is None:
            if not low <= value <= high:
                raise InputError(f"knob({name!r}, {value!r}): it is not between {low} and {high}.")
            if name in set(self.knobs.names()) | self.mixer.weights.keys():
                raise InputError(f"There is a knob {name!r} already.", todo=f"Name it otherwise: my_{name}")
            known = self.declared[name] = Declared(float(value), float(low), float(high))
        return known.value

    def saw(self, metrics: Mapping[str, float]) -> None:
        """Hear what was logged: conditions are held against it when the step has been done."""
        self._fresh.update(metrics)

    def want_capsule(self, why: str) -> None:
        """Have a capsule kept when this step has been done."""
        self._wanted = why

    def say(self, words: str) -> None:
        """Tell the person, once, on standard error, and in the journal."""
        if words not in self._said:
            self._said.add(words)
            print(f"palate: {words}", file=sys.stderr, flush=True)
            with contextlib.suppress(PalateError):
                self.run.journal.event("said", words=words, step=self.step)

    def close(self) -> None:
        """Write what is still on its way; said in the journal: how many steps there were."""
        if self._process != os.getpid():
            return
        for step, row in self.mixer.rows(self.step, last=True):
            self.run.log(step, **row)
        if self.step:
            self.run.journal.event("steps", steps=self.step, samples=self.samples, epoch=self.epoch)
        self.keeper.close()
        if self.branch.digest:
            from palate.cooking.digest import write_digests

            write_digests(Path(self.branch.digest), self.step, self.parts)

    # ---- between two steps

    def _step_done(self, batch: Any, one: Pass, call: int) -> bool:
        """Do all that is done between two steps; return whether the loop ends here."""
        for at, row in self.mixer.rows(self.step):
            self._fresh.update(row)
            self.run.journal.log(at, row)
        self.step += 1
        self.samples += count_samples(batch)
        if self._unread:
            self._read_back()
        self._ended = self._look()
        now_s = _now()
        if now_s >= self._next_poll_s:
            self._next_poll_s = now_s + POLL_S
            self._pending += self._new_commands()
            self._tags = tags_of(self.run.folder)
        if self._pending and self._is_between():
            self._season(one, call)
        if (
            self._wanted
            or self.step == self.branch.capsule_at
            or self._cadence.is_due(self.step, now_s, self.keeper.cost_s)
        ):
            self._keep(one, call)
        self._arrive_at_fork(one)
        self._stepped = False
        return self._ended or self._over

    def _look(self) -> bool:
        """Hold the conditions against what was logged; return whether the stage has ended."""
        watch, fresh = self._watch, self._fresh
        self._fresh = {}
        if self.branch.end is not None and self.step >= self.branch.end:
            self._over = True
        if watch is None and self._cycle_watch is None:
            return False
        moment = self._moment(fresh)
        if self._cycle_watch is not None and fresh:
            self._cycle_watch.saw(moment)
        fired = watch.saw(moment) if watch is not None else None
        if fired is None:
            return False
        self.run.journal.event(
            "until", stage=self.stage.name, step=self.step, words=fired.words, evidence=dict(fired.evidence)
        )
        return True

    def _moment(self, fresh: Mapping[str, float]) -> Moment:
        step, samples, began_s = self._stage_began
        return Moment(
            step=self.step - step,
            samples=self.samples - samples,
            epoch=self.epoch,
            elapsed_s=_now() - began_s,
            cycle=self._spot.round,
            metrics=fresh,
            tags=self._tags,
        )

    def _is_between(self) -> bool:
        """Whether no gradient waits for more of its kind: an optimizer has stepped in this step, or there is none."""
        return self._stepped or not self.knobs.optimizers

    def _optimizer_stepped(self, _: str) -> None:
        self._stepped = True

    def _ramp(self) -> float:
        return self.branch.ramp(self.step)

    # ---- seasoning

    def _new_commands(self) -> list[Command]:
        fresh = []
        for command in self._inbox.look():
            if isinstance(command, Command):
                fresh.append(command)
            else:
                self._refuse(command[0], command[1])
        return fresh

    def _season(self, one: Pass, call: int) -> None:
        """Turn what was asked for, a capsule first."""
        pending, self._pending = self._pending, []
        for command in pending:
            try:
                self.check(command.amounts)
                self._keep(one, call, why="season", needed=True)
                self.turn(command.amounts, command=command)
            except PalateError as error:
                self._refuse(command.id, error)

    def _refuse(self, command: str, error: PalateError) -> None:
        with contextlib.suppress(OSError):
            answer(
                self.run.folder,
                command,
                "refused",
                {"step": self.step, "what": error.what, "why": list(error.why), "todo": list(error.todo)},
            )

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
            raise InputError(
                "The knobs were not turned.", why=faults, todo=f"There are: {', '.join(self.knob_names())}"
            )

    def turn(self, amounts: Mapping[str, Amount], *, command: Command | None = None) -> None:
        """Turn knobs, note it, and look at the next step at what was really used."""
        before = {name: self.value_of(name) for name in amounts}
        for name, amount in amounts.items():
            self._turn(name, amount)
        told = {
            "step": self.step,
            "asked": {name: str(amount) for name, amount in amounts.items()},
            "before": before,
            "after": {name: self.value_now(name) for name in amounts},
        }
        author = command.author if command is not None else ""
        why = command.why if command is not None else ""
        self.run.journal.event("season", id=command.id if command is not None else "", author=author, why=why, **told)
        self.knobs.looked_at = True
        if command is not None:
            with contextlib.suppress(OSError):
                answer(self.run.folder, command.id, "applied", told)
        self._unread.append((command or Command(id="", amounts=amounts), told["after"]))  # type: ignore[arg-type]

    def _turn(self, name: str, amount: Amount, *, dry: bool = False) -> None:
        if name == TRAIN:
            wanted = [one for one in str(amount.value).split(",") if one]
            self._trainable(wanted, dry=dry)
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

    def knob_names(self) -> list[str]:
        """Return the names of all that can be turned now."""
        trained = [TRAIN] if any(is_module(part) for part in self.parts.values()) else []
        return [*self.knobs.names(), *self.mixer.weights, *self.declared, *trained]

    def value_of(self, name: str) -> float | str | None:
        """Return what was last in force of a knob."""
        if name in self.declared:
            return self.declared[name].value
        if name in self.mixer.weights:
            return self.mixer.used.get(name, self.mixer.weights[name])
        return self._trained() if name == TRAIN else self.knobs.value(name)

    def value_now(self, name: str) -> float | str | None:
        """Return what will be in force of a knob as far as is known now."""
        if name in self.declared:
            return self.declared[name].value
        if name in self.mixer.weights:
            return self.mixer.weights[name]
        return self._trained() if name == TRAIN else self.knobs.now(name)

    def _read_back(self) -> None:
        """Say of what was turned what the step behind it really used, where that is known by now."""
        waiting = []
        for command, asked in self._unread:
            if not self._is_between():
                waiting.append((command, asked))
                continue
            used = {name: self.value_of(name) for name in command.amounts}
            told = {"step": self.step - 1, "asked": asked, "in_force": used}
            self.run.journal.event("in force", id=command.id, **told)
            _tell_turned(used)
            if command.id:
                with contextlib.suppress(OSError):
                    answer(self.run.folder, command.id, "in-force", told)
        self._unread = waiting

    # ---- stages

    def _enter(self, stage: Stage, spot: Spot) -> None:
        """Begin a stage: its weights, what it trains, when it keeps capsules."""
        self.stage, self._spot, self._call = stage, spot, 0
        self._stage_began = (self.step, self.samples, _now())
        for name, weight in stage.losses.items():
            self.mixer.weights[name] = float(weight)
        self._cadence = Cadence(stage.keep) if stage.keep is not None else self._run_cadence
        if not self._trained_at_first:
            self._trained_at_first = {name: one.requires_grad for name, one in self._parameters()}
        if stage.train is not None:
            self._trainable(stage.train)
        else:
            for name, one in self._parameters():
                one.requires_grad_(self._trained_at_first.get(name, one.requires_grad))
        self.run.journal.event("stage", name=stage.name, step=self.step, round=spot.round, losses=dict(stage.losses))

    def _parameters(self) -> Iterator[tuple[str, Any]]:
        for name, part in self.parts.items():
            if is_module(part):
                for key, one in part.named_parameters():
                    yield f"{name}.{key}", one

    def _trainable(self, wanted: Any, *, dry: bool = False) -> None:
        """Train the parameters whose names begin so, and no others; those that are not trained lose their gradients.

        Raises:
            InputError: a name that no parameter begins with.
        """
        named = list(self._parameters())
        unknown = [one for one in wanted if not any(matches(name, [one]) for name, _ in named)]
        if unknown or not wanted:
            tops = dict.fromkeys(".".join(name.split(".")[:2]) for name, _ in named)
            raise InputError(
                f"train={unknown or wanted}: no parameter's name begins so.", todo=f"There are: {', '.join(tops)}"
            )
        for name, one in () if dry else named:
            one.requires_grad_(matches(name, wanted))
            if not one.requires_grad:
                one.grad = None

    def _trained(self) -> str:
        groups: dict[str, list[bool]] = {}
        for name, one in self._parameters():
            groups.setdefault(".".join(name.split(".")[:2]), []).append(one.requires_grad)
        return ",".join(name for name, trained in groups.items() if all(trained))

    def _cycle_ended(self, item: Cycle) -> bool:
        """Return whether a cycle's condition holds behind the last stage of a round."""
        if self._over:
            return True
        watch = self._cycle_watch or item.until.watch()
        self._cycle_watch = watch
        fired = watch.saw(self._moment({}))
        if fired is not None:
            self._cycle_watch = None
            self.run.journal.event("until", stage="cycle", step=self.step, words=fired.words, evidence=fired.evidence)
        return fired is not None

    def _refuse_plan(self, plan: tuple[Stage | Cycle, ...]) -> None:
        if not plan:
            raise InputError("run.stages() has no stage.", todo='for stage in run.stages(Stage("main")):')
        strange = [repr(one) for one in plan if not isinstance(one, Stage | Cycle)]
        if strange:
            raise InputError(
                "run.stages takes stages and cycles of them.", why=strange, todo='Stage("main", until=...)'
            )
        for item in plan:
            if isinstance(item, Cycle) and self._cycle_watch is None and self._capsule is None:
                item.until.watch()

    def _begin_watch(self, condition: Condition | None) -> None:
        self._condition = condition
        self._watch = None if condition is None else condition.watch()

    # ---- capsules

    def _keep_first(self, one: Pass, call: int) -> None:
        if self.step == 0 and not self.branch.capsule:
            self._keep(one, call, why="start")

    def _keep(self, one: Pass, call: int, *, why: str = "", needed: bool = False) -> None:
        """Take a capsule; remove those that are too many."""
        why, self._wanted = why or self._wanted or "kept", ""
        if self.step in self._kept:
            return
        left_out = tuple(forgotten(self.parts)) if not self._kept else ()
        for line in left_out:
            self.say(f"palate.start was not given {line}. A fork would not have its state.")
        about = About(
            step=self.step,
            stage=self._spot.item,
            epoch=self.epoch,
            position=one.position,
            parts={name: type(part).__qualname__ for name, part in self.parts.items()},
            left_out=left_out,
            why=why,
            versions=_versions(),
            seed=self.seed,
            knobs={name: self.value_of(name) for name in self.knob_names()},
        )
        body = self.state(one, call)
        wished = self._cadence.wish is not None
        if self.keeper.keep(about, body, needed=needed or wished or why != "kept"):
            self._kept[self.step] = _bytes_of(body) if why == "kept" else 0
            for step in list(self._cadence.surplus({at: size for at, size in self._kept.items() if size})):
                self._kept.pop(step)
                remove_capsule(self.run.folder, step)

    def state(self, one: Pass, call: int) -> dict[str, Any]:
        """Return all that decides the future of this run; tensors are the training's own."""
        return {
            "step": self.step,
            "samples": self.samples,
            "epoch": self.epoch,
            "in_epochs": self._in_epochs,
            "call": call,
            "ended": self._ended,
            "spot": self._spot.body(),
            "stage_began": [
                self.step - self._stage_began[0],
                self.samples - self._stage_began[1],
                _now() - self._stage_began[2],
            ],
            "trained_at_first": dict(self._trained_at_first),
            "parts": {name: take_state(part) for name, part in self.parts.items()},
            "gradients": gradients_of(self.parts) if self._carries_gradients() else None,
            "random": randomness.take_global(),
            "pass": one.state(),
            "weights": dict(self.mixer.weights),
            "knobs": self.knobs.state(),
            "declared": {name: knob.value for name, knob in self.declared.items()},
            "watch": None if self._watch is None else self._watch.state(),
            "cycle_watch": None if self._cycle_watch is None else self._cycle_watch.state(),
            "fresh": dict(self._fresh),
        }

    def _carries_gradients(self) -> bool:
        """Return whether gradients may be added to in the next step.

        They are not where an optimizer has stepped and the gradient is another tensor than behind the last step: then
        the training throws them away each time.
        """
        grad = next((one.grad for _, one in self._parameters() if one.grad is not None), None)
        anew = grad is not self._grad_seen
        self._grad_seen = grad
        return grad is not None and not (self._stepped and anew)

    def _refuse_other(self) -> None:
        """Refuse a capsule of another training, before anything was done."""
        assert self._capsule is not None
        saved = self._capsule["parts"]
        faults = [
            f"{name}: the checkpoint has it, palate.start was not given it" for name in saved if name not in self.parts
        ]
        faults += [
            f"{name}: palate.start was given it, the checkpoint has it not" for name in self.parts if name not in saved
        ]
        for name in self.parts.keys() & saved.keys():
            if is_module(self.parts[name]) and lacks(saved[name]):
                faults.append(f"{name}: the checkpoint could not hold all of it")
            faults += [f"{name}: {fault}" for fault in faults_of(self.parts[name], saved[name])]
        if faults:
            raise RefusedError(
                "The checkpoint is of another training.",
                why=[*faults[:10], *([f"and {len(faults) - 10} more"] if len(faults) > 10 else [])],
                todo="Fork the run with the code that it was made with.",
            )

    def _skips(self, call: int) -> bool:
        """Return whether this loop was over when the capsule was taken."""
        if self._arrived or self._capsule is None:
            return self._over
        if self._capsule["in_epochs"] and not self._in_epochs:
            raise RefusedError(
                "This loop cannot be gone on with.",
                why="The checkpoint was taken inside of run.epochs, and run.steps is called outside of it.",
                todo="Fork the run with the code that it was made with.",
            )
        if call > self._capsule["call"]:
            raise RefusedError("This loop cannot be gone on with.", why="The training has fewer loops than it had.")
        return call < int(self._capsule["call"])

    def _first_pass(self, loader: Iterable[Any], *, owned: bool) -> Pass:
        """Return the pass that comes next: from its start, or from where the capsule was taken."""
        capsule, self._capsule = self._capsule, None
        if self._arrived or capsule is None:
            self._ended = False
            return Pass(loader, number=self.epoch, owned=owned)
        self._arrived = True
        self.step, self.samples, self.epoch = capsule["step"], capsule["samples"], capsule["epoch"]
        for name, part in self.parts.items():
            if lacks(capsule["parts"][name]):
                self.say(f"{name} could not be held by the checkpoint: it begins anew.")
            else:
                put_state(part, capsule["parts"][name])
        put_gradients(self.parts, capsule["gradients"] or {})
        steps, samples, seconds = capsule["stage_began"]
        self._stage_began = (self.step - steps, self.samples - samples, _now() - seconds)
        self._trained_at_first = dict(capsule["trained_at_first"])
        self.mixer.weights.update(capsule["weights"])
        self.knobs.restore(capsule["knobs"])
        for name, value in capsule["declared"].items():
            self.declared[name] = Declared(value, float("-inf"), float("inf"))
        if self._condition is not None and capsule["watch"] is not None:
            self._watch = self._condition.watch(capsule["watch"])
        self._fresh, self._ended = dict(capsule["fresh"]), capsule["ended"]
        self.run.journal.event("resumed", step=self.step, capsule=Path(self.branch.capsule).name)
        one = Pass.taken_up(loader, capsule["pass"], number=self.epoch, owned=owned)
        randomness.put_global(capsule["random"])
        return one

    def _arrive_at_fork(self, one: Pass) -> None:
        """Depart from the plain run, where this is the step: other random numbers, other knobs."""
        branch = self.branch
        if self.step == branch.at and branch.replicate and not self._branched:
            self._branched = True
            seed = randomness.mixed("replicate", branch.at, branch.replicate)
            one.shuffle_rest(seed)
        amounts = branch.turns.get(self.step)
        if amounts and self.step not in self._turned_at:
            self._turned_at.add(self.step)
            self.check(amounts)
            self.turn(amounts)
        if branch.end is not None and self.step >= branch.end:
            self._over = True


def _tell_turned(used: Mapping[str, Any]) -> None:
    """Note what was in force, where a recorder listens to what this process receives."""
    received = sys.modules.get("palate.training.received")
    if received is not None:
        for name, value in used.items():
            received.tell("turned", name, str(value))


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
