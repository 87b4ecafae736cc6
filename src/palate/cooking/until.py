"""When a stage of a training ends: the words for it, and how they are read from text and from a document.

>>> until = tasted("done") | plateau("val_loss", over=500) & steps(2_000)
>>> print(until)
tasted("done") | plateau("val_loss", over=500) & steps(2000)
>>> parse_condition(str(until)) == condition_of(condition_body(until)) == until
True
"""

import ast
import inspect
import re
import reprlib
import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Literal

from palate.cooking.condition import (
    EXAMPLES,
    LONGEST_TEXT,
    Condition,
    CyclesWithout,
    Diverged,
    Gate,
    How,
    Joined,
    Reached,
    Stalled,
    Target,
    Tasted,
)
from palate.cooking.watch import Fired, Moment, Watch
from palate.errors import InputError
from palate.vocabulary import Goal, goal_of_name

__all__ = [
    "Condition",
    "Fired",
    "Moment",
    "Watch",
    "condition_body",
    "condition_of",
    "cycles_without_improvement",
    "diverged",
    "epochs",
    "faults_of",
    "gate",
    "minutes",
    "parse_condition",
    "plateau",
    "refuse_never",
    "samples",
    "steps",
    "target",
    "tasted",
    "worse",
]

Auto = Literal["auto"]

DEEPEST = 50
"""The most levels of a condition's JSON."""

_COMPARISON = re.compile(r"(?P<metric>.*\S)\s*(?P<sign><=|>=|==|!=|<|>)\s*(?P<value>[^<>=!]+)")


def steps(n: int) -> Condition:
    """End after n steps of the stage."""
    return Reached(what="steps", n=n)


def epochs(n: float) -> Condition:
    """End after n epochs of the stage."""
    return Reached(what="epochs", n=n)


def minutes(n: float) -> Condition:
    """End n minutes after the stage began."""
    return Reached(what="minutes", n=n)


def samples(n: int) -> Condition:
    """End after n samples were seen in the stage."""
    return Reached(what="samples", n=n)


def tasted(tag: str) -> Condition:
    """End when a person has given the run this tag."""
    return Tasted(tag=tag)


def target(metric: str, value: float, goal: Goal | None = None) -> Condition:
    """End when a metric is as good as a value, or better; the goal is known of well-known names."""
    return Target(metric=metric, value=value, goal=_goal(metric, goal))


def gate(metric: str, sign: str | None = None, value: float | None = None) -> Condition:
    """End when a metric is on one side of a number: `gate("critic_loss < 0.65")` or `gate("critic_loss", "<", 0.65)`.

    NaN is on no side.

    >>> print(gate("critic_loss", "<", 0.65))
    gate("critic_loss < 0.65")
    """
    if sign is None and value is None:
        metric, sign, value = _compared(metric)
    return Gate(metric=metric, sign=sign, value=value)  # type: ignore[arg-type]  # which it refuses


def plateau(
    metric: str, over: int | Auto = "auto", noise: float | Auto = "auto", goal: Goal | None = None
) -> Condition:
    """End when a metric has not improved by more than its noise for `over` steps. NaN is no improvement.

    Patience counts steps of training, and ends only where the metric is logged. An improvement is measured from the
    last one, so that small gains add up.

    Args:
        metric: as it is logged.
        over: steps; "auto" is .4 of the steps so far, and at least 200 steps and 10 values: a stage that improved
            last at step 1,200 goes on to step 2,000. It cannot know that a flat start will end, or that a learning
            rate will fall later: where it will, join `& steps(n)`, with some evaluations behind the last fall.
        noise: the difference that chance alone makes, for instance from a null fork; "auto" is two standard
            deviations of the last 40 values around their trend, and goes on while the values since the last
            improvement still get better by more than half a standard error of their slope.
        goal: "max" or "min", for a metric of which it is not known.
    """
    return _stalled("plateau", metric, over, noise, goal)


def worse(metric: str, over: int | Auto = "auto", noise: float | Auto = "auto", goal: Goal | None = None) -> Condition:
    """End when every value of a metric for `over` steps was worse than its best by more than its noise.

    Arguments as for `plateau`.
    """
    return _stalled("worse", metric, over, noise, goal)


def diverged(metric: str | None = None, times: float | None = None) -> Condition:
    """End when a metric (or any) is NaN, infinite or beyond 1e100.

    Args:
        metric: the only one that is looked at.
        times: end also where its size is more than so many times its running median (of 10 to 40 values).
    """
    return Diverged(metric=metric, times=times)


def cycles_without_improvement(n: int, metric: str, goal: Goal | None = None) -> Condition:
    """End when n cycles in a row gave no better value than the best before; known where the next cycle begins.

    A cycle in which the metric was not logged does not count.
    """
    return CyclesWithout(n=n, metric=metric, goal=_goal(metric, goal))


WORDS: dict[str, Callable[..., Condition]] = {
    word.__name__: word
    for word in (
        steps, epochs, minutes, samples, tasted, target, gate, plateau, worse, diverged, cycles_without_improvement,
    )
}  # fmt: skip


def _goal(metric: object, goal: Goal | None) -> Goal | None:
    return goal or (goal_of_name(metric) if isinstance(metric, str) else None)


def _stalled(
    what: Literal["plateau", "worse"], metric: str, over: int | Auto, noise: float | Auto, goal: Goal | None
) -> Condition:
    return Stalled(
        what=what,
        metric=metric,
        goal=_goal(metric, goal),
        over=None if over == "auto" else over,
        noise=None if noise == "auto" else noise,
    )


def _compared(text: str) -> tuple[str, str, float]:
    """Part a comparison of a metric with a number."""
    found = _COMPARISON.fullmatch(text.strip()) if isinstance(text, str) else None
    try:
        if found is None:
            raise ValueError
        return found["metric"], found["sign"], float(found["value"])
    except ValueError as error:
        raise InputError(
            f"gate: {text!r} compares no metric with a number.", todo=f"Write it as: {EXAMPLES['gate']}"
        ) from error


def condition_body(condition: Condition) -> dict[str, object]:
    """Return a condition as JSON data, with the goal of each metric written down.

    >>> condition_body(steps(600) | target("val_acc", 0.95))["parts"][1]
    {'until': 'target', 'metric': 'val_acc', 'value': 0.95, 'goal': 'max'}
    """
    return condition.body()


def condition_of(body: object) -> Condition:
    """Read a condition from its JSON data.

    Raises:
        InputError: it says no condition; all faults at once.
    """
    reading = _Reading()
    return reading.whole(lambda: reading.of_body(body, 0))


def parse_condition(text: str) -> Condition:
    """Read a condition from its text, as it is written in Python; nothing in it is carried out.

    Raises:
        InputError: it says no condition; all faults at once.

    >>> parse_condition("steps(600) | target('val_acc', .95)") == steps(600) | target("val_acc", 0.95)
    True
    """
    if not isinstance(text, str) or len(text) > LONGEST_TEXT:
        raise InputError(f"a condition is text of at most {LONGEST_TEXT:,} characters.", todo="steps(600) | diverged()")
    reading = _Reading()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Python's compiler, about text that is refused below
            tree = ast.parse(text.strip(), mode="eval").body
        return reading.whole(lambda: reading.of_tree(tree))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise InputError(f"{text[:100]!r} is no condition: {error}.", todo="steps(600) | diverged()") from error


class _Reading:
    """Reads one condition, and collects what cannot be read."""

    def __init__(self) -> None:
        self.faults: list[InputError] = []

    def whole(self, read: Callable[[], Condition]) -> Condition:
        """Return what is read, or refuse all faults at once."""
        condition = self._tried(read)
        if condition is not None and not self.faults:
            return condition
        first, *others = self.faults
        todo = dict.fromkeys(line for fault in self.faults for line in fault.todo)
        raise InputError(first.what, why=[*first.why, *(fault.what for fault in others)], todo=list(todo))

    def _tried(self, read: Callable[[], Condition]) -> Condition | None:
        try:
            return read()
        except InputError as error:
            self.faults.append(error)
            return None

    def of_tree(self, tree: ast.expr) -> Condition:
        match tree:
            case ast.BinOp(left=left, op=ast.BitOr() | ast.BitAnd() as joint, right=right):
                how: How = "any" if isinstance(joint, ast.BitOr) else "all"
                return self._joined(how, [lambda: self.of_tree(left), lambda: self.of_tree(right)])
            case ast.Call(func=ast.Name(id=word), args=args, keywords=keywords):
                named = {str(keyword.arg): _constant(keyword.value) for keyword in keywords}
                if len(named) < len(keywords):
                    raise _unreadable(f"{word}: an argument is given twice.")
                return _said(word, [_constant(arg) for arg in args], named)
        raise _unreadable(f"{ast.unparse(tree)[:100]!r} is no condition.")

    def of_body(self, body: object, level: int) -> Condition:
        match body:
            case {"until": "any" | "all" as how, "parts": list(parts), **others} if not others and level < DEEPEST:
                return self._joined(how, [partial(self.of_body, part, level + 1) for part in parts])
            case {"until": str(word), **named}:
                return _said(word, (), {str(name): value for name, value in named.items()})
        raise _unreadable(f"{reprlib.repr(body)} is no condition.")

    def _joined(self, how: How, reads: Iterable[Callable[[], Condition]]) -> Condition:
        """Join what is read; where a part was refused, any condition stands for it, and the rest is read too."""
        parts = [part for read in reads if (part := self._tried(read)) is not None]
        if self.faults:
            return Reached(what="steps", n=1)
        return Joined(how=how, parts=tuple(parts))


def _said(word: str, args: Iterable[object], named: dict[str, object]) -> Condition:
    if word not in WORDS:
        raise _unreadable(f"{word[:100]!r} is none of {', '.join(WORDS)}.")
    try:
        inspect.signature(WORDS[word]).bind(*args, **named)
    except TypeError as error:
        raise InputError(f"{word}: {error}.", todo=f"Write it as: {EXAMPLES[word]}") from error
    return WORDS[word](*args, **named)


def _constant(tree: ast.expr) -> object:
    match tree:
        case ast.Constant(value=str() | int() | float() | None as value):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            return -value
    raise _unreadable(f"{ast.unparse(tree)[:100]!r} is no name and no number.")


def _unreadable(what: str) -> InputError:
    return InputError(what, todo=f"Write it as: {EXAMPLES['steps']} | {EXAMPLES['tasted']}")


def faults_of(condition: Condition, *, known_steps: int | None = None, cycles: bool = False) -> tuple[str, ...]:
    """Return, a sentence each, why parts of a condition can never hold, as far as that is known before the training.

    Args:
        condition: of one stage.
        known_steps: how many steps the stage has at most.
        cycles: whether the stage is one of a cycle of stages.
    """
    return tuple(dict.fromkeys(_faults(condition, known_steps, cycles)))


def refuse_never(condition: Condition, *, cycles: bool = False, more: Iterable[str] = ()) -> None:
    """Refuse a condition that can never hold, as far as that is known before the training.

    Args:
        condition: of one stage.
        cycles: whether the stage is one of a cycle of stages.
        more: faults of it that are known besides, a sentence each.

    Raises:
        InputError: that is what it is, with all its faults.
    """
    faults = [*faults_of(condition, cycles=cycles), *more]
    if faults:
        raise InputError(f"{condition} can never hold.", why=faults, todo="Mend the condition.")


def _faults(condition: Condition, known_steps: int | None, cycles: bool) -> Iterator[str]:
    match condition:
        case Joined(how=how, parts=parts):
            for part in parts:
                yield from _faults(part, known_steps, cycles)
            if how == "all":
                yield from _contradictions([part for part in parts if isinstance(part, Gate | Target)])
        case CyclesWithout() if not cycles:
            yield f"{condition} never ends a stage that is in no cycle."
        case Reached(what="steps", n=steps_before) | Stalled(over=int(steps_before)):
            first = steps_before + isinstance(
                condition, Stalled
            )  # it waits from a value, which is behind step 1 at best
            if known_steps is not None and first > known_steps:
                yield f"{condition} never ends a stage of {known_steps:,} steps."


def _contradictions(levels: list[Gate | Target]) -> Iterator[str]:
    """Return the levels of one metric that no number satisfies."""
    for metric in dict.fromkeys(level.metric for level in levels):
        asked = [level for level in levels if level.metric == metric]
        floors = [(level.value, level.sign == ">") for level in asked if level.sign[0] == ">"]
        ceilings = [(level.value, level.sign != "<") for level in asked if level.sign[0] == "<"]
        if not floors or not ceilings:
            continue
        (low, open_below), (high, closed_above) = max(floors), min(ceilings)
        if low > high or (low == high and (open_below or not closed_above)):
            yield f"{' & '.join(map(str, asked))} never holds: no {metric} is on both sides."
