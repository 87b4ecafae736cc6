"""A condition as frozen data: its parts with their arguments, joined by `|` and `&`, and how it is written."""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import ClassVar, Literal

from palate.cooking.followers import LARGEST, SIGNS, Count, Cycles, Divergence, Level, Plateau, Tag, Worse
from palate.cooking.watch import Follower, Moment, Watch
from palate.errors import InputError
from palate.vocabulary import Goal, goal_of_name

LONGEST_TEXT, LONGEST_NAME = 2_000, 200
"""The most characters of a condition, and of a metric's name or a tag in it."""

How = Literal["any", "all"]
JOINTS: dict[str, str] = {"any": " | ", "all": " & "}
BARE = ("n", "metric", "value", "tag")
"""Arguments that are written without their name."""

EXAMPLES = {
    "steps": "steps(600)",
    "epochs": "epochs(3)",
    "minutes": "minutes(30)",
    "samples": "samples(100_000)",
    "tasted": 'tasted("done")',
    "gate": 'gate("critic_loss < 0.65")',
    "target": 'target("val_acc", 0.95)   or   target("my_score", 3, goal="max")',
    "plateau": 'plateau("val_loss")   or   plateau("my_score", over=500, noise=0.004, goal="max")',
    "worse": 'worse("val_loss", over=300)',
    "diverged": 'diverged()   or   diverged("loss", times=10)',
    "cycles_without_improvement": 'cycles_without_improvement(2, "val_fid")',
}
"""Each word of the vocabulary, as it is typed."""


class Condition:
    """When a stage of a training ends: frozen data, which joins with `|` and `&`.

    `a | b` ends the stage as soon as one holds, `a & b` when both hold at the same step. What only grows (steps,
    epochs, minutes, samples, a tag) holds from when it is reached. All others hold now or do not: `target` and `gate`
    by the latest value that was logged, `plateau` and `worse` until the metric recovers. So `gate("critic_loss < .65")
    & steps(200)` is "at least 200 steps, and then as soon as the critic is below".
    """

    __slots__ = ()

    def __or__(self, other: "Condition") -> "Condition":
        return Joined(how="any", parts=(self, other)) if isinstance(other, Condition) else NotImplemented

    def __and__(self, other: "Condition") -> "Condition":
        return Joined(how="all", parts=(self, other)) if isinstance(other, Condition) else NotImplemented

    def __bool__(self) -> bool:
        raise InputError(
            f"{self} is neither true nor false before the training runs.",
            why="`and`, `or` and `not` would silently drop a part of it.",
            todo="Join conditions with & and |: steps(200) & gate('loss < 0.5')",
        )

    def watch(self, state: Mapping[str, object] | None = None) -> Watch:
        """Return what follows one stage, from its start or from the state of an earlier watch."""
        return Watch(self, state)

    def followers(self) -> dict[str, Follower]:
        """Return a fresh follower for each part, by the part's text."""
        raise NotImplementedError

    def proof(self, held: Collection[str]) -> tuple[str, ...]:
        """Return the parts by which it holds, where these parts hold; empty where it does not hold."""
        raise NotImplementedError

    def body(self) -> dict[str, object]:
        """Return it as JSON data."""
        raise NotImplementedError


class Part(Condition):
    """One word of the vocabulary with its arguments."""

    __slots__ = ()

    def _follower(self) -> Follower:
        raise NotImplementedError

    def _said(self) -> dict[str, object]:
        """Return its word as "until", and its arguments; None for those that are not given."""
        raise NotImplementedError

    def followers(self) -> dict[str, Follower]:
        """Return its follower by its text."""
        return {str(self): self._follower()}

    def proof(self, held: Collection[str]) -> tuple[str, ...]:
        """Return itself, where it holds."""
        return (text,) if (text := str(self)) in held else ()

    def body(self) -> dict[str, object]:
        """Return it as JSON data; the goal is written down, whatever the name says."""
        return {name: value for name, value in self._said().items() if value is not None}

    def __str__(self) -> str:
        said = self.body()
        if said.get("goal") == goal_of_name(str(said.get("metric"))):
            said.pop("goal", None)
        word = said.pop("until")
        written = [text_of(value) if name in BARE else f"{name}={text_of(value)}" for name, value in said.items()]
        return f"{word}({', '.join(written)})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined(Condition):
    """Several conditions, of which any or all must hold."""

    how: How
    parts: tuple[Condition, ...]

    def __post_init__(self) -> None:
        if self.how not in JOINTS or len(self.parts) < 2 or not all(isinstance(part, Condition) for part in self.parts):
            raise InputError(f"{self.how!r} of {len(self.parts)} joins no conditions.", todo="steps(600) | diverged()")
        object.__setattr__(self, "parts", tuple(self._flat()))
        if len(str(self)) > LONGEST_TEXT:
            raise InputError(
                f"a condition of {len(str(self)):,} characters is too long.", why=f"At most {LONGEST_TEXT:,} are read."
            )

    def _flat(self) -> Iterator[Condition]:
        for part in self.parts:
            yield from part.parts if isinstance(part, Joined) and part.how == self.how else (part,)

    def __str__(self) -> str:
        loose = self.how == "all"
        texts = (f"({part})" if loose and isinstance(part, Joined) else str(part) for part in self.parts)
        return JOINTS[self.how].join(texts)

    def followers(self) -> dict[str, Follower]:
        """Return a follower for each part; equal parts share one."""
        return {text: follower for part in self.parts for text, follower in part.followers().items()}

    def proof(self, held: Collection[str]) -> tuple[str, ...]:
        """Return all parts by which it holds."""
        proofs = [part.proof(held) for part in self.parts]
        holds = any(proofs) if self.how == "any" else all(proofs)
        return tuple(dict.fromkeys(text for proof in proofs for text in proof)) if holds else ()

    def body(self) -> dict[str, object]:
        """Return it as JSON data."""
        return {"until": self.how, "parts": [part.body() for part in self.parts]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached(Part):
    """`steps(n)`, `epochs(n)`, `minutes(n)` or `samples(n)`."""

    PLACES: ClassVar[dict[str, str]] = {
        "steps": "step",
        "epochs": "epoch",
        "minutes": "elapsed_s",
        "samples": "samples",
    }

    what: str
    n: float

    def __post_init__(self) -> None:
        whole = self.what in ("steps", "samples")
        faults = _number_faults("n", self.n, least=1 if whole else None, above=0, whole=whole)
        _refuse(self.what, faults if self.what in self.PLACES else [f"{self.what!r} is no count"])

    def _said(self) -> dict[str, object]:
        return {"until": self.what, "n": _plain(self.n)}

    def _follower(self) -> Follower:
        least = self.n * 60 if self.what == "minutes" else self.n
        said = f"{self.n:,} {self.what if self.n != 1 else self.what[:-1]}"
        return Count(place=Moment._fields.index(self.PLACES[self.what]), least=least, said=said)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tasted(Part):
    """`tasted(tag)`."""

    tag: str

    def __post_init__(self) -> None:
        _refuse("tasted", _name_faults("tag", self.tag))

    def _said(self) -> dict[str, object]:
        return {"until": "tasted", "tag": self.tag}

    def _follower(self) -> Follower:
        return Tag(tag=self.tag)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate(Part):
    """`gate("metric < value")`."""

    metric: str
    sign: str
    value: float

    def __post_init__(self) -> None:
        faults = [*_name_faults("metric", self.metric), *_number_faults("value", self.value)]
        if self.sign not in SIGNS:
            faults.append(f"{self.sign!r} is no comparison: {' '.join(SIGNS)}")
        _refuse("gate", faults)

    def _said(self) -> dict[str, object]:
        return {"until": "gate", "metric": self.metric, "sign": self.sign, "value": _plain(self.value)}

    def __str__(self) -> str:
        return f"gate({text_of(f'{self.metric} {self.sign} {_plain(self.value)}')})"

    def _follower(self) -> Follower:
        return Level(metric=self.metric, sign=self.sign, value=self.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target(Part):
    """`target(metric, value)`."""

    metric: str
    value: float
    goal: Goal | None

    def __post_init__(self) -> None:
        _refuse("target", [*_metric_faults(self.metric, self.goal), *_number_faults("value", self.value)])

    @property
    def sign(self) -> str:
        """How the metric is compared with the value."""
        return ">=" if self.goal == "max" else "<="

    def _said(self) -> dict[str, object]:
        return {"until": "target", "metric": self.metric, "value": _plain(self.value), "goal": self.goal}

    def _follower(self) -> Follower:
        return Level(metric=self.metric, sign=self.sign, value=self.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stalled(Part):
    """`plateau(metric)` or `worse(metric)`; `over` and `noise` are None where they are taken from the curve."""

    what: Literal["plateau", "worse"]
    metric: str
    goal: Goal | None
    over: int | None = None
    noise: float | None = None

    def __post_init__(self) -> None:
        faults = _metric_faults(self.metric, self.goal)
        if self.over is not None:
            faults += _number_faults("over", self.over, least=1, whole=True)
        if self.noise is not None:
            faults += _number_faults("noise", self.noise, least=0)
        _refuse(self.what, faults)

    def _said(self) -> dict[str, object]:
        numbers = {"over": _plain(self.over), "noise": _plain(self.noise)}
        return {"until": self.what, "metric": self.metric, **numbers, "goal": self.goal}

    def _follower(self) -> Follower:
        kind = Plateau if self.what == "plateau" else Worse
        return kind(metric=self.metric, goal=self.goal or "min", over=self.over, noise=self.noise)


@dataclass(frozen=True, slots=True, kw_only=True)
class Diverged(Part):
    """`diverged()`, `diverged(metric)` or `diverged(metric, times=k)`."""

    metric: str | None = None
    times: float | None = None

    def __post_init__(self) -> None:
        faults = [] if self.metric is None else _name_faults("metric", self.metric)
        if self.times is not None:
            faults += _number_faults("times", self.times, above=1)
            faults += ["times needs a metric"] if self.metric is None else []
        _refuse("diverged", faults)

    def _said(self) -> dict[str, object]:
        return {"until": "diverged", "metric": self.metric, "times": _plain(self.times)}

    def _follower(self) -> Follower:
        return Divergence(metric=self.metric, times=self.times)


@dataclass(frozen=True, slots=True, kw_only=True)
class CyclesWithout(Part):
    """`cycles_without_improvement(n, metric)`."""

    n: int
    metric: str
    goal: Goal | None

    def __post_init__(self) -> None:
        faults = [*_number_faults("n", self.n, least=1, whole=True), *_metric_faults(self.metric, self.goal)]
        _refuse("cycles_without_improvement", faults)

    def _said(self) -> dict[str, object]:
        return {
            "until": "cycles_without_improvement",
            "n": _plain(self.n),
            "metric": self.metric,
            "goal": self.goal,
        }

    def _follower(self) -> Follower:
        return Cycles(most=self.n, metric=self.metric, goal=self.goal or "min")


def _plain(value: object) -> int | float | None:
    """Return a number as JSON and text hold it: whole ones without a point."""
    if value is None or isinstance(value, Integral):
        return None if value is None else int(value)
    number = float(value)  # type: ignore[arg-type]
    return int(number) if number.is_integer() and abs(number) < 1e15 else number


def text_of(value: object) -> str:
    """Write a name or a number as Python and JSON both read it."""
    return json.dumps(value, ensure_ascii=False)


def _refuse(word: str, faults: Iterable[str]) -> None:
    if said := "; ".join(faults):
        raise InputError(f"{word}: {said}.", todo=f"Write it as: {EXAMPLES.get(word, 'steps(600)')}")


def _number_faults(
    name: str, value: object, *, least: float | None = None, above: float | None = None, whole: bool = False
) -> list[str]:
    if isinstance(value, bool) or not isinstance(value, Real):
        return [f"{name} is {value!r}, which is no number"]
    number: float = int(value) if isinstance(value, Integral) else float(value)
    if not abs(number) <= LARGEST:
        return [f"{name} is {value!r}, which is no number to wait for"]
    if whole and not isinstance(value, Integral):
        return [f"{name} is {value!r}, which is not whole"]
    if least is not None and number < least:
        return [f"{name} is {value!r}, which is less than {least:g}"]
    if above is not None and number <= above:
        return [f"{name} is {value!r}, which is not more than {above:g}"]
    return []


def _name_faults(name: str, value: object) -> list[str]:
    if not isinstance(value, str) or not value.strip():
        return [f"the {name} is {value!r}, which is no name"]
    if value != value.strip() or not value.isprintable() or len(value) > LONGEST_NAME:
        return [f"the {name} {value[:LONGEST_NAME]!r} is not one line of at most {LONGEST_NAME} characters"]
    return []


def _metric_faults(metric: object, goal: object) -> list[str]:
    if faults := _name_faults("metric", metric):
        return faults
    if goal is None:
        return [f'{metric}: is higher better, or lower? Nobody can tell by its name: say goal="max" or goal="min"']
    return [] if goal in ("max", "min") else [f"goal {goal!r} is neither 'max' nor 'min'"]
