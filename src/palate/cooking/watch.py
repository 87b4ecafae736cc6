"""Follow one stage of a training: what was logged at its steps, and whether that proves that the stage is over.

A follower stands for one part of a condition. It is told what was logged and knows whether its part holds now. All
that it remembers is plain JSON, so that a stage that is continued elsewhere goes on exactly.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, NamedTuple, Protocol

from palate.errors import InputError

Json = dict[str, object]


class Moment(NamedTuple):
    """What is known after one step. A tuple: made at every step, where a frozen dataclass takes three times as long.

    Attributes:
        step: of this stage, from 1.
        samples: seen in this stage.
        epoch: epochs of this stage that are complete, or a fraction of one.
        elapsed_s: seconds since the stage began.
        cycle: number of the cycle of stages, from 1; 0 outside of cycles.
        metrics: those that were logged at this step; at most steps none.
        tags: those that a person gave; one that was given once stays.
    """

    step: int
    samples: int = 0
    epoch: float = 0.0
    elapsed_s: float = 0.0
    cycle: int = 0
    metrics: Mapping[str, float] = MappingProxyType({})
    tags: Collection[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fired:
    """That a stage is over.

    Attributes:
        step: of the stage.
        words: why, as a sentence for people.
        evidence: by the text of each part that held, what it was judged by; plain JSON.
    """

    step: int
    words: str
    evidence: Json


@dataclass(slots=True, kw_only=True)
class Follower:
    """Follows one part of a condition.

    Attributes:
        metric: the one that it needs.
        held: whether its part holds now.
        at: the step at which it was last told something.
    """

    KEPT: ClassVar[tuple[str, ...]] = ()
    """Names of the fields that are its memory, beside `held` and `at`."""
    TICKS: ClassVar[bool] = False
    """Whether it looks at every step, not only at those at which something was logged."""

    metric: str | None = None
    held: bool = False
    at: int = 0

    def saw(self, moment: Moment) -> bool:
        """Look at a step; return whether something changed."""
        raise NotImplementedError

    def rests(self) -> Mapping[str, float] | None:
        """Return, by the name of a moment's count, how far it has to be before anything changes, if nothing is logged.

        Epochs and tags are not counted: who has new ones looks. None: it has to look at every step.
        """
        return None if self.TICKS else {}

    def words(self) -> str:
        """Say why it holds."""
        raise NotImplementedError

    def memory(self) -> Json:
        """Return what it remembers, as JSON of its own."""
        return {name: _copied(getattr(self, name)) for name in ("held", "at", *self.KEPT)}

    def recall(self, memory: object) -> None:
        """Go on from what it remembered.

        Raises:
            InputError: that is no memory of this kind.
        """
        names = {"held", "at", *self.KEPT}
        if not isinstance(memory, dict) or set(memory) != names:
            raise InputError(f"the state of a watch holds {memory!r}, where {', '.join(sorted(names))} should be.")
        for name, value in memory.items():
            setattr(self, name, _copied(value))


def _copied(value: object) -> object:
    """Copy what JSON can hold and changes in place."""
    if isinstance(value, list):
        return [_copied(item) for item in value]
    return {name: _copied(item) for name, item in value.items()} if isinstance(value, dict) else value


class Followed(Protocol):
    """What can be watched: a condition."""

    def followers(self) -> dict[str, Follower]:
        """Return a fresh follower for each part, by the part's text."""

    def proof(self, held: Collection[str]) -> tuple[str, ...]:
        """Return the parts by which it holds, where these parts hold; empty where it does not hold."""


class Watch:
    """Follows one stage; fires once.

    Args:
        condition: when the stage is over.
        state: what an earlier watch of the same condition gave, to go on exactly there.

    Raises:
        InputError: the state belongs to another condition.
    """

    __slots__ = ("_followers", "_held", "_listening", "_proof", "_step", "_text", "_ticking", "_unseen", "fired")

    def __init__(self, condition: Followed, state: Mapping[str, object] | None = None) -> None:
        self._text, self._proof = str(condition), condition.proof
        self._followers = condition.followers()
        self._ticking = tuple(follower for follower in self._followers.values() if follower.TICKS)
        self._listening = tuple(follower for follower in self._followers.values() if not follower.TICKS)
        self._unseen = sorted({follower.metric for follower in self._followers.values() if follower.metric})
        self._step = 0
        self._held: list[str] = []
        self.fired: Fired | None = None
        if state is not None:
            self._recall(state)

    def saw(self, moment: Moment) -> Fired | None:
        """Look at one step; return why the stage is over, at this step and ever after, or None."""
        if self.fired is not None:
            return self.fired
        self._step = moment.step
        changed = False
        if moment.metrics:
            changed = True
            self._listen(moment)
        for follower in self._ticking:
            if follower.saw(moment):
                changed = True
        if changed:
            self._judge(moment.step)
        return self.fired

    def rests(self) -> dict[str, float] | None:
        """Return how far counts have to be before anything changes where nothing is logged; see `Follower.rests`."""
        found: dict[str, float] = {}
        for follower in self._ticking:
            counts = follower.rests()
            if counts is None:
                return None
            for name, least in counts.items():
                found[name] = min(least, found.get(name, least))
        return found

    def hears(self, names: Collection[str]) -> bool:
        """Return whether it waits for one of these metrics."""
        heard = {follower.metric for follower in self._listening}
        return bool(names) and (None in heard or not heard.isdisjoint(names))

    def _listen(self, moment: Moment) -> None:
        if self._unseen:
            self._unseen = [name for name in self._unseen if name not in moment.metrics]
        for follower in self._listening:
            follower.saw(moment)

    def _judge(self, step: int) -> None:
        held = [text for text, follower in self._followers.items() if follower.held]
        if held == self._held:  # what they prove was looked at
            return
        self._held = held
        if proof := self._proof(held):
            parts = {text: self._followers[text] for text in proof}
            words = "; and ".join(part.words() for part in parts.values())
            evidence: Json = {text: part.memory() for text, part in parts.items()}
            self.fired = Fired(step=step, words=words, evidence=evidence)

    def never(self) -> tuple[str, ...]:
        """Return, a sentence each, the parts that wait for a metric of which no step so far has logged a value."""
        return tuple(
            f"{part.metric} was not logged in {self._step:,} steps: {text} waits for it."
            for text, part in self._followers.items()
            if part.metric in self._unseen
        )

    def state(self) -> Json:
        """Return all that it remembers, as plain JSON."""
        fired = self.fired
        return {
            "until": self._text,
            "step": self._step,
            "unseen": list(self._unseen),
            "parts": {text: follower.memory() for text, follower in self._followers.items()},
            "fired": fired and {"step": fired.step, "words": fired.words, "evidence": _copied(fired.evidence)},
        }

    def _recall(self, state: Mapping[str, object]) -> None:
        if state.get("until") != self._text:
            raise InputError(
                f"the state of a watch belongs to {state.get('until')!r}, not to {self._text!r}.",
                why="What one condition remembers says nothing about another.",
                todo="Start a fresh watch: condition.watch()",
            )
        match state:
            case {"step": int(step), "unseen": list(unseen), "parts": dict(parts), "fired": dict() | None as fired}:
                self._step, self._unseen = step, list(unseen)
            case _:
                raise InputError("the state of a watch is not whole.", todo="Start a fresh watch: condition.watch()")
        for text, follower in self._followers.items():
            follower.recall(parts.get(text))
        self.fired = Fired(**fired) if fired else None
