"""A training that palate holds: its place, its stages, its end; what `run.steps`, `run.stages` and the others do.

    run = palate.start("colorize", model=net, optimizer=opt, scheduler=sched)
    for x, y in run.steps(loader):
        loss = run.mix(l1=F.l1_loss(net(x), y), adv=lambda: bce(critic(net(x))))
        opt.zero_grad(); loss.backward(); opt.step(); sched.step()

What palate does, it does between two steps, when the next batch is asked for; but for the hooks around an optimizer's
step, which put turned knobs in force and look for symptoms, and for tasting. Nothing of it draws a random number or
touches a weight, so that a training with palate computes, bit for bit, what it computes without. A loop that belongs
to somebody else calls the same verbs: `begin`, `take_up`, `arrive`, `step_done`, `close`.
"""

import importlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from palate.cooking import randomness
from palate.cooking.between import NO_STAGE, Between
from palate.cooking.feed import Pass, count_samples
from palate.cooking.parts import parameters_of, train_only
from palate.cooking.plan import refuse_plan
from palate.cooking.quiet import RESTLESS
from palate.cooking.stage import Cycle, Spot, Stage, after, stage_at
from palate.cooking.until import Condition
from palate.errors import InputError, RefusedError


class Live(Between):
    """A training that palate holds: its loops, from their start or from where a capsule was taken. See `Between`."""

    def stages(self, *plan: Stage | Cycle) -> Iterator[Stage]:
        """Yield the stages in their order, each when the one before it has ended."""
        refuse_plan(plan, self.parts)
        if self._alarm is not None:  # what stands still in a stage may be meant to
            self._alarm.stop()
            self._alarm = None
        spot = Spot(*self._capsule["spot"]) if self._capsule is not None else Spot()
        if self._capsule is not None and self._capsule["cycle_watch"] is not None:
            self._ending.restore_cycle(plan[spot.item], self._capsule)
        while (stage := stage_at(plan, spot)) is not None and not self.over:
            self._enter(stage, spot, in_cycle=isinstance(plan[spot.item], Cycle))
            yield stage
            spot = after(plan, spot, self._cycle_ended)

    def epochs(self, n: int | None = None) -> Iterator[int]:
        """Yield the numbers of epochs, from 0, or from where a capsule was taken; within one, `steps` is one pass."""
        if n is not None and (isinstance(n, bool) or not isinstance(n, int) or n < 0):
            raise InputError(f"epochs({n!r}): it is a whole number.", todo="for epoch in run.epochs(10):")
        first = self._capsule["epoch"] if self._capsule is not None and not self.arrived else 0
        self.begin(None)
        self._in_epochs = True
        try:
            epoch = first
            while (n is None or epoch < n) and not self.over:
                self.epoch, self._call = epoch, 0
                yield epoch
                self.epoch = epoch = epoch + 1
                if self.ended or self._look():
                    break
        finally:
            self._in_epochs = False

    def steps(self, loader: Iterable[Any], until: Condition | None = None) -> Iterator[Any]:
        """Yield the batches of a loader: one pass, or as many as it takes until a condition holds."""
        call, self._call = self._call, self._call + 1
        if self._skips(call):
            return
        if self._open:
            raise InputError(
                "run.steps is called inside of another run.steps.",
                why="The steps of a training are counted in one loop at a time.",
                todo="Go through the inner loader as it is: for x, y in val_loader:",
            )
        self._begin_loop(until)
        self._open = True
        try:
            yield from self._batches(loader, call)
        finally:
            self._open = False
            self._write_late()

    def _batches(self, loader: Iterable[Any], call: int) -> Iterator[Any]:
        one = self.take_up(loader, owned=not self._is_one_pass())
        together = self._together(one, loader)
        if together is not None:
            yield from together.batches(call)
            return
        self.arrive(one, call)
        while not self.ended:
            for batch in one:
                samples = count_samples(batch)
                try:
                    yield batch
                except GeneratorExit:  # the loop was left by `break`: a step that was done counts
                    self._count_step(samples)
                    raise
                if self.step_done(samples, one, call):
                    return
            if self._is_one_pass():
                return
            if one.is_empty:
                raise InputError(
                    "The loader gives no more batches, and the stage has not ended.",
                    why=f"It ends on: {self._ending.condition}. A generator can be gone through once only.",
                    todo="Give run.steps a DataLoader or a list, or another `until`.",
                )
            self.epoch += 1
            self.ended = self._look()
            one = one if self.ended else Pass(loader, number=self.epoch, owned=True)

    def _together(self, one: Pass, loader: Iterable[Any]) -> Any:
        """Return how this loop is gone through with those of other runs; None where it is not."""
        if self._meeting is None or self._meeting.alone:
            return None
        try:
            joint = importlib.import_module("palate.cooking.lanes.joint")
        except (ImportError, AttributeError) as error:  # another torch, without what lanes are made of
            self._meeting.alone = str(error)
            self.run.journal.event("lanes", can=False, why=f"torch has changed: {error}")
            return None
        return joint.joined(self, self._meeting, one, loader)

    def _is_one_pass(self) -> bool:
        return self._in_epochs or not self._ending.has_condition

    def _begin_loop(self, until: Condition | None) -> None:
        if until is not None:
            self._ending.count_from(self._at)
        if self._in_epochs and until is not None:
            raise InputError(
                "run.steps has an `until` of its own inside of run.epochs.",
                why="Within an epoch it is one pass over the loader.",
                todo="Leave run.epochs out, or give the condition to the stage: Stage(..., until=...)",
            )
        if not self._in_epochs:
            self.begin(until)

    def begin(self, until: Condition | None) -> None:
        """Begin a loop that ends on a condition, or on that of its stage."""
        self.ended, self._quiet = False, RESTLESS
        self._ending.begin(until if until is not None else self.stage.until)

    def _enter(self, stage: Stage, spot: Spot, *, in_cycle: bool) -> None:
        """Begin a stage: its weights, what it trains, when it keeps capsules."""
        self.stage, self._spot, self._call = stage, spot, 0
        self._ending.enter(self._at, in_round=spot.round if in_cycle else None)
        for name, weight in stage.losses.items():
            self.seasoning.mixer.weights[name] = float(weight)
        self.holding.use(stage.keep)
        if not self._trained_at_first:
            self._trained_at_first = {name: one.requires_grad for name, one in parameters_of(self.parts)}
        if stage.train is not None:
            train_only(self.parts, stage.train)
        else:
            for name, one in parameters_of(self.parts):
                one.requires_grad_(self._trained_at_first.get(name, one.requires_grad))
        if self.arrived:
            told = {"name": stage.name, "step": self.step, "round": spot.round}
            self.run.journal.event("stage", **told, losses=dict(stage.losses))

    def _cycle_ended(self, item: Cycle) -> bool:
        """Return whether a cycle's condition holds behind the last stage of a round."""
        if self.over:
            return True
        fired = self._ending.end_round(item, self._at)
        if fired is not None:
            self.run.journal.event("until", stage="cycle", step=self.step, words=fired.words, evidence=fired.evidence)
        return fired is not None

    # ---- going on from a capsule

    @property
    def place(self) -> tuple[int, int]:
        """The number of the pass, and of the batches of it, from which it is gone on; zeros from the start."""
        return (0, 0) if self._capsule is None else (self._capsule["epoch"], self._capsule["pass"]["position"])

    def _skips(self, call: int) -> bool:
        """Return whether this loop was over when the capsule was taken."""
        if self.arrived or self._capsule is None:
            return self.over or (self._in_epochs and self.ended)
        if self._capsule["call"] and not self._in_epochs and self.stage is NO_STAGE:
            raise RefusedError(
                "This loop cannot be gone on with.",
                why="It is not the first of the training's loops, and what stands between them would be done again.",
                todo="Write the epochs as: for epoch in run.epochs(10):   or the loops as run.stages(...)",
            )
        if self._capsule["in_epochs"] and not self._in_epochs:
            raise RefusedError(
                "This loop cannot be gone on with.",
                why="The capsule was taken inside of run.epochs, and run.steps is called outside of it.",
                todo="Fork the run with the code that it was made with.",
            )
        if call > self._capsule["call"]:
            raise RefusedError("This loop cannot be gone on with.", why="The training has fewer loops than it had.")
        return call < int(self._capsule["call"])

    def take_up(self, loader: Iterable[Any], *, owned: bool) -> Pass:
        """Return the pass that comes next: from its start, or from where the capsule was taken."""
        capsule, self._capsule = self._capsule, None
        if self.arrived or capsule is None:
            return Pass(loader, number=self.epoch, owned=owned)
        self.arrived = True
        self.step, self.samples, self.epoch = capsule["step"], capsule["samples"], capsule["epoch"]
        self.holding.restore(capsule)
        self._ending.restore(capsule, self._at)
        self._trained_at_first = dict(capsule["trained_at_first"])
        self.seasoning.restore(capsule)
        self.ended = capsule["ended"]
        self.run.journal.event("resumed", step=self.step, capsule=Path(self.branch.capsule).name)
        one = Pass.taken_up(loader, capsule["pass"], number=self.epoch, owned=owned)
        randomness.put_global(capsule["random"])
        return one

    def arrive(self, one: Pass, call: int = 0) -> None:
        """Do what is done before the first step of a loop: depart from the plain run, or keep the first capsule."""
        self._arrive_at_fork(one)
        if self.step == 0 and not self.branch.capsule:
            self._keep(one, call, why="start")
