"""A training that palate only hears of: its engine has the loop and says what it does; palate logs it and says stop.

Nothing of the training is held: there is no capsule to leave from and no knob to turn. So it cannot be forked or
seasoned, and a process that was asked to depart from a plain run is refused before its first step.
"""

import os
import time
from collections.abc import Iterator, Mapping

from palate.cooking.condition import Condition, Joined, Part, Reached, Tasted
from palate.cooking.said import Said
from palate.cooking.seasoning import Logged
from palate.cooking.until import refuse_never
from palate.cooking.watch import Moment, Watch
from palate.errors import InputError, RefusedError
from palate.question.branch import Branch

EVENT = "engine"
"""The event of a run's journal that names the engine, of trainings that palate only hears of."""

UNHEARD_STEPS = 1_000
"""Steps after which it is said that a condition's metric was never logged; it is said at the end of a fit, too."""

STEP = "step"
_now = time.monotonic


class Heard:
    """What palate knows of a training that an engine has.

    Args:
        run: whose training it is.
        engine: what has the loop: "Keras".
        branch: how this process was asked to depart from a plain run.

    Attributes:
        step: how many steps the optimizer has done.
        closed: whether its run has ended.

    Raises:
        RefusedError: it was asked to depart from a plain run.
    """

    def __init__(self, run: Logged, engine: str, branch: Branch | None = None) -> None:
        if branch is not None:
            raise RefusedError(
                f"{engine} trains, and palate was asked to leave from a capsule or to turn knobs at a step.",
                why=why_not(engine),
                todo="Ask it of whole runs: palate run train.py -c lr=0.03",
            )
        self.run, self.engine = run, engine
        self.step = self.samples = self.epoch = 0
        self.closed = self.ended = False
        self._began = (0, 0, 0, _now())
        self._condition: Condition | None = None
        self._watch: Watch | None = None
        self._never_said = False
        self._fresh: dict[str, float] = {}
        self._heard: dict[str, float] = {}
        self._at_step: tuple[int, dict[str, float]] = (-1, {})
        self._said = Said(run)
        self._process = os.getpid()
        run.journal.event(EVENT, engine=engine)

    def begin(self, until: Condition | None) -> None:
        """Begin a fit, which ends on a condition besides; steps go on, the condition counts from here."""
        self.ended = self._never_said = False
        self._began = (self.step, self.samples, self.epoch, _now())
        self._watch = None if until is None else until.watch()
        self._fresh = {}

    def stepped(self, steps: int, samples: int = 0) -> None:
        """Hear of steps of the optimizer, and of the samples that they were of."""
        self.step += steps
        self.samples += samples

    def log(self, metrics: Mapping[str, object]) -> None:
        """Log, at the last step, the numbers among what an engine tells; what was logged there already is left out."""
        numbers = dict(self._numbers(metrics))
        at, logged = self._at_step
        if at != self.step:
            self._at_step = at, logged = self.step, {}
        new = {name: value for name, value in numbers.items() if repr(logged.get(name)) != repr(value)}  # NaN is NaN
        logged.update(new)
        if new:
            self.run.log(self.step, **new)

    def _numbers(self, metrics: Mapping[str, object]) -> Iterator[tuple[str, float]]:
        for name, value in metrics.items():
            number = _number_of(value)
            if name == STEP:
                self._said.say(
                    f'{self.engine} logs a metric named "{STEP}", which is left out: steps are counted so.', self.step
                )
            elif number is not None:
                yield name, number
            elif value is not None:  # which an engine puts where it measured nothing
                self._said.say(f"{name} is left out: it is no number but {_kind_of(value)}.", self.step)

    def saw(self, metrics: Mapping[str, float]) -> None:
        """Hear what was logged, by the engine or by the training itself."""
        self._fresh.update(metrics)
        self._heard.update(metrics)

    def look(self) -> bool:
        """Hold the condition against what was logged; return whether the fit ends here."""
        watch, fresh = self._watch, self._fresh
        self._fresh = {}
        if watch is None or self.ended:
            return self.ended
        step, samples, epoch, began_s = self._began
        moment = Moment(
            step=self.step - step,
            samples=self.samples - samples,
            epoch=self.epoch - epoch,
            elapsed_s=_now() - began_s,
            metrics=fresh,
        )
        fired = watch.saw(moment)
        if fired is not None:
            self.ended = True
            told = {"step": self.step, "words": fired.words, "evidence": dict(fired.evidence)}
            self.run.journal.event("until", stage="fit", **told)
        elif moment.step >= UNHEARD_STEPS and not self._never_said:
            self._say_never(watch)
        return self.ended

    def end(self) -> None:
        """Hear that a fit has ended."""
        if self._watch is not None and not self.ended and not self._never_said and self.step > self._began[0]:
            self._say_never(self._watch)

    def _say_never(self, watch: Watch) -> None:
        """Say that the condition waits for a metric that was never logged, and what was."""
        self._never_said = True
        for words in watch.never():
            self._said.say(f"{words} Logged were: {', '.join(sorted(self._heard)) or 'none'}.", self.step)

    def close(self) -> None:
        """Say in the journal how many steps there were."""
        if self._process == os.getpid() and not self.closed:
            self.closed = True
            self.run.journal.event("steps", steps=self.step, samples=self.samples, epoch=self.epoch)


def why_not(engine: str) -> str:
    """Say why a training of an engine is neither forked nor seasoned."""
    return f"palate logs what {engine} trains, seeds it and stops it. It cannot take it up again exactly in the middle."


def refuse_until(engine: str, until: object, *, knows_samples: bool) -> None:
    """Refuse what is no condition, and one that can never hold where an engine has the loop.

    Args:
        engine: what has the loop.
        until: what was given; None is none.
        knows_samples: whether the engine tells how many samples a step is of.

    Raises:
        InputError: that is what it is, with all its faults.
    """
    if until is None:
        return
    if not isinstance(until, Condition):
        raise InputError(
            f"until={until!r} is no condition.",
            why="It says when a fit ends, in words of palate.cooking.",
            todo='from palate.cooking import plateau, steps   Palate(until=plateau("val_loss") | steps(600))',
        )
    parts = list(_parts_of(until))
    more = [f"{one} never holds: {engine} tells nobody how many samples a batch has." for one in parts
            if isinstance(one, Reached) and one.what == "samples" and not knows_samples]  # fmt: skip
    more += [f"{one} never holds: what {engine} trains is not tasted." for one in parts if isinstance(one, Tasted)]
    refuse_never(until, more=more)


def _parts_of(condition: Condition) -> Iterator[Part]:
    if isinstance(condition, Joined):
        for one in condition.parts:
            yield from _parts_of(one)
    elif isinstance(condition, Part):
        yield condition


def _number_of(value: object) -> float | None:
    """Return a value that is one number, of whatever type; None where it is none."""
    if isinstance(value, str | bytes):
        return None
    try:
        item = getattr(value, "item", None)  # of arrays and tensors: one of several elements refuses
        return float(item() if callable(item) else value)  # type: ignore[arg-type]
    except (TypeError, ValueError, RuntimeError, OverflowError):
        return None


def _kind_of(value: object) -> str:
    shape = getattr(value, "shape", None)
    return f"{type(value).__name__}{f' of shape {tuple(shape)}' if isinstance(shape, tuple) else ''}"
