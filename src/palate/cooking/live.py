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

import contextlib
import math
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from palate.cooking import randomness
from palate.cooking.alarm import Alarm
from palate.cooking.capsule import read_capsule
from palate.cooking.feed import Pass, count_samples
from palate.cooking.holding import Holding, refuse_other
from palate.cooking.mixing import FLUSH_EVERY
from palate.cooking.parts import parameters_of, parts_of, tops_words, train_only, unknown_names
from palate.cooking.quiet import RESTLESS, Quiet, next_of, quiet_of
from palate.cooking.seasoning import Logged, Seasoning
from palate.cooking.stage import Cycle, Every, Spot, Stage, after, stage_at
from palate.cooking.tastings import tags_of
from palate.cooking.until import Condition, faults_of
from palate.cooking.watch import Moment, Watch
from palate.errors import InputError, PalateError, RefusedError
from palate.question.branch import Branch

UNHEARD_STEPS = 1_000
"""Steps of a stage after which it is said that a condition's metric was never logged."""

FETCH_S = 0.05
"""How often it is looked whether terms have come from a GPU."""

NO_STAGE = Stage("training")
_now = time.monotonic


class Live:
    """What palate knows of a training while it goes.

    Args:
        run: whose training it is.
        given: the parts, by name; see `parts.parts_of`.
        seed: of the run, where somebody says it.
        keep: when capsules are kept; palate's own way if None.
        branch: how it departs from the plain run; it is not watched then.
        symptoms: whether it is watched for what often goes wrong.

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
        symptoms: bool = True,
    ) -> None:
        self.run = run
        self.parts = parts_of(given)
        self.seed = seed
        self.branch = branch or Branch()
        self.step = self.samples = self.epoch = 0
        self.stage = NO_STAGE
        self._stepped: set[str] = set()
        ramp = self._ramp if self.branch.anneal else None
        self.seasoning = Seasoning(run, self.parts, ramp, self._stepped.add)
        self._mixer = self.seasoning.mixer
        self.holding = Holding(run.folder, self.parts, seed=seed, keep=keep, say=self.say)
        self._quiet = RESTLESS
        self._marks = (self.branch.at, self.branch.end, self.branch.capsule_at, *self.branch.turns)
        self._fresh: dict[str, float] = {}
        self._tags: frozenset[str] = frozenset()
        self._condition: Condition | None = None
        self._watch: Watch | None = None
        self._cycle_watch: Watch | None = None
        self._spot = Spot()
        self._stage_began = (0, 0, _now(), 0)
        self._began_unix_s = time.time()
        self._in_cycle = self._open = False
        self._in_epochs = False
        self._call = 0
        self._trained_at_first: dict[str, bool] = {}
        self.ended = self.over = False
        self._process = os.getpid()
        self._said: set[str] = set()
        self._turned_at: set[int] = set()
        self.arrived = not self.branch.capsule
        self._alarm = Alarm(self.parts, self._tell, fresh=True) if symptoms and branch is None else None
        self._branched = False
        self._capsule = read_capsule(Path(self.branch.capsule)) if self.branch.capsule else None
        if self._capsule is not None:
            refuse_other(self.parts, self._capsule)

    # ---- what the training calls

    def stages(self, *plan: Stage | Cycle) -> Iterator[Stage]:
        """Yield the stages in their order, each when the one before it has ended."""
        self._refuse_plan(plan)
        if self._alarm is not None:  # what stands still in a stage may be meant to
            self._alarm.stop()
            self._alarm = None
        spot = Spot(*self._capsule["spot"]) if self._capsule is not None else Spot()
        if self._capsule is not None and self._capsule["cycle_watch"] is not None:
            item = plan[spot.item]
            self._cycle_watch = item.until.watch(self._capsule["cycle_watch"]) if isinstance(item, Cycle) else None
        while (stage := stage_at(plan, spot)) is not None and not self.over:
            self._in_cycle = isinstance(plan[spot.item], Cycle)
            self._enter(stage, spot)
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
                    why=f"It ends on: {self._condition}. A generator can be gone through once only.",
                    todo="Give run.steps a DataLoader or a list, or another `until`.",
                )
            self.epoch += 1
            self.ended = self._look()
            one = one if self.ended else Pass(loader, number=self.epoch, owned=True)

    def _is_one_pass(self) -> bool:
        return self._watch is None or self._in_epochs

    def _begin_loop(self, until: Condition | None) -> None:
        if until is not None:
            self._stage_began = (self.step, self.samples, _now(), self.epoch)
        if self._in_epochs and until is not None:
            raise InputError(
                "run.steps has an `until` of its own inside of run.epochs.",
                why="Within an epoch it is one pass over the loader.",
                todo="Leave run.epochs out, or give the condition to the stage: Stage(..., until=...)",
            )
        if not self._in_epochs:
            self.begin(until)

    @property
    def place(self) -> tuple[int, int]:
        """The number of the pass, and of the batches of it, from which it is gone on; zeros from the start."""
        return (0, 0) if self._capsule is None else (self._capsule["epoch"], self._capsule["pass"]["position"])

    def begin(self, until: Condition | None) -> None:
        """Begin a loop that ends on a condition, or on that of its stage."""
        self.ended, self._quiet = False, RESTLESS
        self._begin_watch(until if until is not None else self.stage.until)

    def mix(self, terms: Mapping[str, Any]) -> Any:
        """Return the weighted sum of named loss terms; see `Mixer.mix`."""
        return self._mixer.mix(terms)

    def knob(self, name: str, value: float, *, low: float, high: float) -> float:
        """Return the value in force of a knob that the training declares."""
        return self.seasoning.knob(name, value, low=low, high=high)

    def saw(self, metrics: Mapping[str, float]) -> None:
        """Hear what was logged: conditions are held against it when the step has been done."""
        self._fresh.update(metrics)

    def want_capsule(self, why: str) -> None:
        """Have a capsule kept when this step has been done."""
        self.holding.wanted, self._quiet = why, RESTLESS

    def say(self, words: str) -> None:
        """Tell the person, once, on standard error, and in the journal."""
        if words not in self._said:
            self._said.add(words)
            print(f"palate: {words}", file=sys.stderr, flush=True)
            with contextlib.suppress(PalateError):
                self.run.journal.event("said", words=words, step=self.step)

    def _tell(self, kind: str, step: int, words: str, advice: str, season: str) -> None:
        """Tell of a symptom, and keep it with the run."""
        self.run.journal.event("symptom", symptom=kind, step=step, words=words, advice=advice)
        forked = (
            f" Whether that helps here: palate fork {self.run.folder.name} --at {step} --set {season}" if season else ""
        )
        self.say(f"{words} {_sentence(advice)}{forked}")

    def close(self) -> None:
        """Write what is still on its way; said in the journal: how many steps there were."""
        if self._process != os.getpid():
            return
        for step, row in self.seasoning.mixer.rows(self.step, last=True):
            self.run.log(step, **row)
        if self._alarm is not None:
            self._alarm.close()
        self.seasoning.knobs.close()
        if self.step:
            self.run.journal.event("steps", steps=self.step, samples=self.samples, epoch=self.epoch)
        self.holding.keeper.close()
        if self.branch.digest:
            from palate.cooking.digest import write_digests

            write_digests(Path(self.branch.digest), self.step, self.parts)

    # ---- between two steps

    def step_done(self, samples: int, one: Pass, call: int = 0, *, last: bool = False) -> bool:
        """Do all that is done between two steps; return whether the loop ends here.

        Args:
            samples: examples that the step was of.
            one: the pass that is under way.
            call: the number of the loop, where there are several.
            last: whether there are no more; no capsule is kept then.
        """
        quiet, step, now_s, stepped, mixer = self._quiet, self.step + 1, _now(), self._stepped, self._mixer
        self.holding.note_step(stepped)
        if (
            step >= quiet.step
            or now_s >= self.seasoning.next_poll_s
            or now_s >= quiet.until_s
            or self.samples + samples >= quiet.samples
            or self.epoch != quiet.epoch
            or self._fresh
            or mixer.has_new
            or last
        ):
            return self._attend(samples, one, call, now_s, last=last)
        stepped.clear()
        if mixer.on_device:
            mixer.hold(self.step)
        if terms := mixer.terms:
            mixer.terms = {}
            if len(terms) == 1 and self._alarm is not None:
                self._alarm.log({}, terms)
            self.run.journal.log_soon(self.step, terms, now_s)
        self.step, self.samples = step, self.samples + samples
        return False

    def _attend(self, samples: int, one: Pass, call: int, now_s: float, *, last: bool) -> bool:
        """Do so where more may be due than to count."""
        between = bool(self._stepped) or not self.seasoning.knobs.optimizers
        self._stepped.clear()
        self._take_rows(now_s)
        self.step += 1
        self.samples += samples
        if between:
            self.seasoning.read_back(self.step)
        seen = self._tags
        self.ended = self._look() or last
        if self.seasoning.poll(self.step, now_s):
            self.run.journal.write_late()
            self._tags = tags_of(self.run.folder, self._began_unix_s)
            self._say_never()
            if self._alarm is not None:
                self._alarm.look(now_s)
        if self.seasoning.pending and between:
            self.seasoning.carry_out(self.step, lambda: self._keep(one, call, why="season", needed=True))
        asked = self.step == self.branch.capsule_at
        if not last and (asked or (not self.branch.capsule and self.holding.is_due(self.step, now_s))):
            self._keep(one, call, needed=asked)
        self._arrive_at_fork(one)
        if self.ended:
            self._write_late()
        self._quiet = self._foreseen(now_s) if self._tags == seen else RESTLESS
        return self.ended or self.over

    def _foreseen(self, now_s: float) -> Quiet:
        """Return up to when nothing is due but to count steps, as far as is known now."""
        mixer = self._mixer
        mixer.has_new = False
        busy = self.ended or self.over or self._cycle_watch is not None or self.seasoning.is_waiting
        if busy or (self.holding.wanted and not self.branch.capsule):
            return RESTLESS
        quiet = Quiet(math.inf, math.inf, math.inf, self.epoch)
        if self._watch is not None:
            quiet = quiet_of(self._watch, self._stage_began, self.epoch, mixer.weights)
        step = min(quiet.step, next_of(self._marks, self.step))
        if not self.branch.capsule:
            step = min(step, self.holding.next_due(self.step))
        if mixer.is_fetching:
            step = min(step, self.step + FLUSH_EVERY)
        until_s = min(quiet.until_s, now_s + FETCH_S) if mixer.is_fetching else quiet.until_s
        return quiet._replace(step=step, until_s=until_s)

    def _write_late(self) -> None:
        """Write the rows that wait, where the journal is still this run's."""
        with contextlib.suppress(PalateError):
            self.run.journal.write_late()

    def _take_rows(self, now_s: float) -> None:
        """Log the terms that are known by now; of a GPU's, which come together, conditions see each."""
        rows = list(self.seasoning.mixer.rows(self.step))
        for place, (at, row) in enumerate(rows):
            if place:
                self.ended = self._look() or self.ended
            if self._alarm is not None:
                self._alarm.log(self._fresh, row if len(row) == 1 else {})
            self._fresh.update(row)
            self.run.journal.log_soon(at, row, now_s)

    def _count_step(self, samples: int) -> None:
        """Count a step behind which the loop was left, where an optimizer stepped in it."""
        if self._stepped and self._process == os.getpid():
            self._stepped.clear()
            with contextlib.suppress(PalateError):  # a loop that an exception ended is left late, its journal closed
                self._take_rows(_now())
            self.step += 1
            self.samples += samples

    def _say_never(self) -> None:
        """Say once that a condition waits for a metric that is never logged."""
        if self._watch is not None and self.step - self._stage_began[0] >= UNHEARD_STEPS:
            for words in self._watch.never():
                self.say(words)

    def is_end(self, step: int) -> bool:
        """Return whether the run ends behind so many steps, as far as is known before."""
        return self.branch.end is not None and step >= self.branch.end

    def _look(self) -> bool:
        """Hold the conditions against what was logged; return whether the stage has ended."""
        if self.ended:
            return True
        watch, fresh = self._watch, self._fresh
        self._fresh = {}
        self.over = self.over or self.is_end(self.step)
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

    def _moment(self, fresh: Mapping[str, float], *, rounds: int = 0) -> Moment:
        step, samples, began_s, epoch = self._stage_began
        return Moment(
            step=self.step - step,
            samples=self.samples - samples,
            epoch=self.epoch - epoch,
            elapsed_s=_now() - began_s,
            cycle=self._spot.round + 1 + rounds if self._in_cycle else 0,
            metrics=fresh,
            tags=self._tags,
        )

    def _ramp(self) -> float:
        return self.branch.ramp(self.step)

    # ---- stages

    def _enter(self, stage: Stage, spot: Spot) -> None:
        """Begin a stage: its weights, what it trains, when it keeps capsules."""
        self.stage, self._spot, self._call = stage, spot, 0
        self._stage_began = (self.step, self.samples, _now(), self.epoch)
        self._began_unix_s, self._tags = time.time(), frozenset()
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
        watch = self._cycle_watch or item.until.watch()
        self._cycle_watch, fresh, self._fresh = watch, self._fresh, {}
        watch.saw(self._moment(fresh))
        fired = watch.saw(self._moment({}, rounds=1))
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
        conditions = [(item.until, False) for item in plan if isinstance(item, Stage) and item.until is not None]
        for item in plan:
            if isinstance(item, Cycle):
                conditions += [(item.until, True), *((one.until, True) for one in item.stages if one.until is not None)]
        faults = [fault for condition, cycles in conditions for fault in faults_of(condition, cycles=cycles)]
        unknown = [one for stage in _stages_in(plan) for one in unknown_names(self.parts, stage.train or ())]
        if faults or unknown:
            named = [f"train=[{one!r}]: no parameter's name has it; {tops_words(self.parts)}" for one in unknown]
            raise InputError("The stages cannot be carried out.", why=[*faults, *named])

    def _begin_watch(self, condition: Condition | None) -> None:
        faults = () if condition is None else faults_of(condition, cycles=self._in_cycle)
        if faults:
            raise InputError(f"{condition} can never hold.", why=faults, todo="Mend the condition.")
        self._condition = condition
        self._watch = None if condition is None else condition.watch()

    # ---- capsules

    def _keep(self, one: Pass, call: int, *, why: str = "", needed: bool = False) -> None:
        self.holding.keep(
            self.step,
            {"stage": self._spot.item, "epoch": self.epoch, "position": one.position},
            {name: self.seasoning.value_of(name) for name in self.seasoning.names()},
            lambda: self.state(one, call),
            why=why,
            needed=needed,
        )

    def state(self, one: Pass, call: int) -> dict[str, Any]:
        """Return all that decides the future of this run; tensors are the training's own."""
        step, samples, began_s, epoch = self._stage_began
        return {
            "step": self.step,
            "samples": self.samples,
            "epoch": self.epoch,
            "in_epochs": self._in_epochs,
            "call": call,
            "ended": self.ended,
            "spot": self._spot.body(),
            "stage_began": [self.step - step, self.samples - samples, _now() - began_s, self.epoch - epoch],
            "trained_at_first": dict(self._trained_at_first),
            "pass": one.state(),
            "watch": None if self._watch is None else self._watch.state(),
            "cycle_watch": None if self._cycle_watch is None else self._cycle_watch.state(),
            "fresh": dict(self._fresh),
            **self.seasoning.state(),
            **self.holding.state(),
        }

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
        steps, samples, seconds, epochs = capsule["stage_began"]
        self._stage_began = (self.step - steps, self.samples - samples, _now() - seconds, self.epoch - epochs)
        self._trained_at_first = dict(capsule["trained_at_first"])
        self.seasoning.restore(capsule)
        if self._condition is not None and capsule["watch"] is not None:
            self._watch = self._condition.watch(capsule["watch"])
        self._fresh, self.ended = dict(capsule["fresh"]), capsule["ended"]
        self.run.journal.event("resumed", step=self.step, capsule=Path(self.branch.capsule).name)
        one = Pass.taken_up(loader, capsule["pass"], number=self.epoch, owned=owned)
        randomness.put_global(capsule["random"])
        return one

    def arrive(self, one: Pass, call: int = 0) -> None:
        """Do what is done before the first step of a loop: depart from the plain run, or keep the first capsule."""
        self._arrive_at_fork(one)
        if self.step == 0 and not self.branch.capsule:
            self._keep(one, call, why="start")

    def _arrive_at_fork(self, one: Pass) -> None:
        """Depart from the plain run, where this is the step: other random numbers, other knobs."""
        branch = self.branch
        if self.step == branch.at and branch.replicate and not self._branched:
            self._branched = True
            seed = randomness.mixed("replicate", branch.at, branch.replicate)
            one.shuffle_rest(seed)
        amounts = branch.turns.get(self.step)
        if amounts and self.step not in self._turned_at and not self.ended:  # else the next stage's own would win
            self._turned_at.add(self.step)
            self.seasoning.check(amounts)
            self.seasoning.turn(amounts, self.step)
        self.over = self.over or self.is_end(self.step)


def _stages_in(plan: Iterable[Stage | Cycle]) -> Iterator[Stage]:
    for item in plan:
        yield from (item,) if isinstance(item, Stage) else item.stages


def _sentence(advice: str) -> str:
    return "" if not advice else f"What often helps: {advice[0].lower()}{advice[1:].rstrip('.')}."
