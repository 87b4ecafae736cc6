"""What is done between two steps of a training: counting, logging, looking whether it ends, capsules, commands.

Behind most steps nothing but counting is due, which is foreseen; see `quiet`.
"""

import contextlib
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from palate.cooking import randomness
from palate.cooking.alarm import Alarm
from palate.cooking.capsule import read_capsule
from palate.cooking.ending import Counts, Ending
from palate.cooking.feed import Pass
from palate.cooking.holding import Holding, refuse_other
from palate.cooking.lanes.meeting import Meeting
from palate.cooking.parts import parts_of
from palate.cooking.quiet import RESTLESS, Quiet, next_of
from palate.cooking.said import Said
from palate.cooking.seasoning import Logged, Seasoning
from palate.cooking.stage import Every, Spot, Stage
from palate.cooking.tastings import tags_of
from palate.errors import PalateError
from palate.question.branch import Branch

FETCH_S = 0.05
"""How often it is looked whether terms have come from a GPU."""

NO_STAGE = Stage("training")
_now = time.monotonic


class Between:
    """What palate knows of a training while it goes, and does between two of its steps.

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
        self._ending = Ending()
        self._spot = Spot()
        self._open = self._in_epochs = False
        self._call = 0
        self._trained_at_first: dict[str, bool] = {}
        self.ended = self.over = False
        self._process = os.getpid()
        self._said = Said(run)
        self._turned_at: set[int] = set()
        self.arrived = not self.branch.capsule
        self._meeting = Meeting.of_process()
        alone = branch is None and (self._meeting is None or self._meeting.folder is None)
        self._alarm = Alarm(self.parts, self._tell, fresh=True) if symptoms and alone else None
        self._branched = False
        self._capsule = read_capsule(Path(self.branch.capsule)) if self.branch.capsule else None
        if self._capsule is not None:
            refuse_other(self.parts, self._capsule)

    def mix(self, terms: Mapping[str, Any]) -> Any:
        """Return the weighted sum of named loss terms; see `Mixer.mix`."""
        return self._mixer.mix(terms)

    def knob(self, name: str, value: float, *, low: float, high: float) -> float:
        """Return the value in force of a knob that the training declares."""
        return self.seasoning.knob(name, value, low=low, high=high)

    def saw(self, metrics: Mapping[str, float]) -> None:
        """Hear what was logged: conditions are held against it when the step has been done."""
        self._ending.fresh.update(metrics)

    def want_capsule(self, why: str) -> None:
        """Have a capsule kept when this step has been done."""
        self.holding.wanted, self._quiet = why, RESTLESS

    def say(self, words: str) -> None:
        """Tell the person, once, on standard error, and in the journal."""
        self._said.say(words, self.step)

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

    # ---- behind a step

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
            or self._ending.fresh
            or mixer.has_new
            or last
        ):
            return self._attend(samples, one, call, now_s, last=last)
        stepped.clear()
        if mixer.on_device:
            mixer.hold(self.step)
            if mixer.is_full:
                self._quiet = RESTLESS
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
        seen = self._ending.tags
        self.ended = self._look() or last
        if self.seasoning.poll(self.step, now_s):
            self.run.journal.write_late()
            self._ending.tags = tags_of(self.run.folder, self._ending.began_unix_s)
            for words in self._ending.never(self.step):
                self.say(words)
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
        self._quiet = self._foreseen(now_s) if self._ending.tags == seen else RESTLESS
        return self.ended or self.over

    def _foreseen(self, now_s: float) -> Quiet:
        """Return up to when nothing is due but to count steps, as far as is known now."""
        mixer = self._mixer
        mixer.has_new = False
        busy = self.ended or self.over or self.seasoning.is_waiting
        if busy or (self.holding.wanted and not self.branch.capsule):
            return RESTLESS
        quiet = self._ending.rests(self.epoch, mixer.weights)
        step = min(quiet.step, next_of(self._marks, self.step))
        if not self.branch.capsule:
            step = min(step, self.holding.next_due(self.step))
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
                self._alarm.log(self._ending.fresh, row if len(row) == 1 else {})
            self._ending.fresh.update(row)
            self.run.journal.log_soon(at, row, now_s)

    def _count_step(self, samples: int) -> None:
        """Count a step behind which the loop was left, where an optimizer stepped in it."""
        if self._stepped and self._process == os.getpid():
            self._stepped.clear()
            with contextlib.suppress(PalateError):  # a loop that an exception ended is left late, its journal closed
                self._take_rows(_now())
            self.step += 1
            self.samples += samples

    def is_end(self, step: int) -> bool:
        """Return whether the run ends behind so many steps, as far as is known before."""
        return self.branch.end is not None and step >= self.branch.end

    def _look(self) -> bool:
        """Hold the conditions against what was logged; return whether the stage has ended."""
        if self.ended:
            return True
        self.over = self.over or self.is_end(self.step)
        fired = self._ending.look(self._at)
        if fired is None:
            return False
        self.run.journal.event(
            "until", stage=self.stage.name, step=self.step, words=fired.words, evidence=dict(fired.evidence)
        )
        return True

    @property
    def _at(self) -> Counts:
        return self.step, self.samples, self.epoch

    def _ramp(self) -> float:
        return self.branch.ramp(self.step)

    # ---- capsules, and departing from the plain run

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
        return {
            "step": self.step,
            "samples": self.samples,
            "epoch": self.epoch,
            "in_epochs": self._in_epochs,
            "call": call,
            "ended": self.ended,
            "spot": self._spot.body(),
            "trained_at_first": dict(self._trained_at_first),
            "pass": one.state(),
            **self._ending.state(self._at),
            **self.seasoning.state(),
            **self.holding.state(),
        }

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


def _sentence(advice: str) -> str:
    return "" if not advice else f"What often helps: {advice[0].lower()}{advice[1:].rstrip('.')}."
