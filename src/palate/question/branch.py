"""How a run departs from the plain one: from which capsule, at which step, with which knobs turned, and to which end.

`lr=x0.3` is the present value times .3, through whatever schedule there is; `lr=1e-4` too, but said by its result;
`lr==1e-4` holds the value there. Standard library only: trainings read it.
"""

import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

from palate.errors import InputError, StoreError
from palate.recipe.codec import decode, encode
from palate.recipe.settings import Change

VARIABLE = "PALATE_BRANCH"
TRAIN = "train"
"""The knob that says which parameters are trained."""

MOST_TIMES = 1e6

How = Literal["times", "to", "pin"]


@dataclass(frozen=True, slots=True)
class Amount:
    """How far a knob is turned.

    Attributes:
        how: "times" the value in force, "to" a value, or "pin": held there whatever the schedule does.
        value: a number; for the knob `train`, the names of what is trained.
    """

    how: How
    value: float | str

    def __str__(self) -> str:
        sign = {"times": "x", "to": "", "pin": "="}[self.how]
        short = f"{self.value:.6g}" if isinstance(self.value, float) else str(self.value)
        exact = isinstance(self.value, str) or float(short) == self.value
        return f"{sign}{short if exact else repr(self.value)}"


def parse_amount(name: str, given: object) -> Amount:
    """Read an amount as it is typed or stands in JSON: `x0.3`, `.05`, `=1e-4`.

    >>> str(parse_amount("lr", "x0.3")), str(parse_amount("adv", .05)), str(parse_amount("lr", "=1e-4"))
    ('x0.3', '0.05', '=0.0001')

    Raises:
        InputError: it is no amount.
    """
    if name == TRAIN:
        return Amount("to", ",".join(given) if isinstance(given, list | tuple) else str(given))
    text = str(given).strip()
    how: How = "times" if text[:1] in ("x", "*") else "pin" if text[:1] == "=" else "to"
    number = text[1:] if how != "to" else text
    try:
        value = math.nan if isinstance(given, bool) else float(number)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(
            f"{name}={given}: that is no amount.",
            why="A knob is turned by a factor (x0.3), to a number (.05), or held at one (=1e-4).",
            todo=f"{name}=x0.3",
        )
    if how == "times" and not 0 <= value <= MOST_TIMES:
        raise InputError(f"{name}={given}: a factor is between 0 and {MOST_TIMES:,.0f}.", todo=f"{name}=x0.3")
    return Amount(how, value)


Turns = Mapping[int, Mapping[str, Amount]]
"""Knobs and their amounts, by the step at which they are turned."""


def knob_at(name: str, step: int) -> str:
    """Return a knob and a step as one word: `lr@900`."""
    return f"{name}@{step}"


def turns_of(words: Mapping[str, object]) -> dict[int, dict[str, Amount]]:
    """Return the amounts of knobs, given by words that `knob_at` made.

    >>> str(turns_of({"lr@900": "x2"})[900]["lr"])
    'x2'
    """
    turns: dict[int, dict[str, Amount]] = {}
    for word, amount in words.items():
        name, _, step = word.rpartition("@")
        turns.setdefault(int(step), {})[name] = parse_amount(name, amount)
    return turns


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """How a run departs from the plain one.

    Attributes:
        capsule: where it leaves from; "" for a run from its start.
        at: the step at which it is given another seed, and from which `stop` and `anneal` count.
        replicate: 0 goes on with the random numbers and the order of the capsule; any other has its own.
        turns: knobs and their amounts, by the step at which they are turned.
        stop: steps behind `at` at which it ends; None for as long as the training goes.
        anneal: whether every lr falls to zero, in a line, from `at` to its end.
        digest: where the digests of all parts are written when it ends; "" for nowhere.
        capsule_at: a step at which a capsule is kept whatever else is; None for none.
    """

    capsule: str = ""
    at: int = 0
    replicate: int = 0
    turns: Turns = field(default_factory=dict)
    stop: int | None = None
    anneal: bool = False
    digest: str = ""
    capsule_at: int | None = None

    def __post_init__(self) -> None:
        if self.anneal and not self.stop:
            raise InputError("Nothing can be annealed without an end.", todo="--horizon 600")

    @property
    def end(self) -> int | None:
        """The step at which it ends; None for as long as the training goes."""
        return None if self.stop is None else self.at + self.stop

    def ramp(self, step: int) -> float:
        """Return what every lr is multiplied with in the step that follows so many: 1 at `at`, falling to 0.

        >>> branch = Branch(at=100, stop=4, anneal=True)
        >>> [branch.ramp(step) for step in (99, 100, 102, 103)]
        [1.0, 1.0, 0.5, 0.25]
        """
        if not self.anneal or not self.stop or step < self.at:
            return 1.0
        return max(0.0, 1.0 - (step - self.at) / self.stop)

    def text(self) -> str:
        """Return it as text for an environment variable."""
        body = asdict(self)
        body["turns"] = {
            str(step): {name: str(amount) for name, amount in amounts.items()} for step, amounts in self.turns.items()
        }
        return json.dumps(body, sort_keys=True)

    @classmethod
    def read(cls, text: str) -> Self:
        """Undo `text`.

        Raises:
            StoreError: it is not of this palate.
        """
        try:
            body: dict[str, Any] = json.loads(text)
            turns = {
                int(step): {name: parse_amount(name, amount) for name, amount in amounts.items()}
                for step, amounts in body.pop("turns").items()
            }
            return cls(**body, turns=turns)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise StoreError(f"{VARIABLE} cannot be read.", why=str(error), todo=f"unset {VARIABLE}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Trunk:
    """A run that forks leave from.

    Attributes:
        run: its id.
        seed: of it; None where nobody knows.
        step: of the capsule.
        hash: of the capsule's content.
    """

    run: str
    seed: int | None = None
    step: int
    hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fork:
    """Where the arms of a question leave from, and how long they go.

    The n-th pair leaves from trunk n modulo their number, as the next replicate of it.

    Attributes:
        trunks: the runs; one says something of that run, several of the recipe.
        at: the step at which the arms part.
        horizon: steps that they go on.
        anneal: whether every lr of both arms falls to zero over the horizon.
        changes: settings that the trunks had different from the training's own.
        looks: shorter horizons that are told beside the verdict; they decide no run.
    """

    trunks: tuple[Trunk, ...]
    at: int
    horizon: int
    anneal: bool = False
    changes: tuple[Change, ...] = ()
    looks: tuple[int, ...] = ()

    def seed(self, pair: int) -> int:
        """Return the seed of a pair's runs."""
        known = self.trunks[pair % len(self.trunks)].seed
        return pair if known is None else known

    def branch(self, pair: int, runs: Path, turns: Turns) -> Branch:
        """Return how one arm's run of a pair departs from its trunk."""
        trunk = self.trunks[pair % len(self.trunks)]
        return Branch(
            capsule=str(capsule_path(runs / trunk.run, trunk.step)),
            at=self.at,
            replicate=pair // len(self.trunks),
            turns=turns,
            stop=self.horizon,
            anneal=self.anneal,
        )

    def body(self) -> dict[str, Any]:
        """Return it as plain JSON data."""
        changes = [{"path": c.path, "before": encode(c.before), "after": encode(c.after)} for c in self.changes]
        trunks = [asdict(trunk) for trunk in self.trunks]
        return {**asdict(self), "trunks": trunks, "changes": changes, "looks": list(self.looks)}

    def decides(self) -> dict[str, Any]:
        """Return what of it decides its runs, as plain JSON data."""
        return {name: value for name, value in self.body().items() if name != "looks"}

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> Self:
        """Undo `body`."""
        changes = tuple(
            Change(path=one["path"], before=decode(one["before"]), after=decode(one["after"]))
            for one in body["changes"]
        )
        trunks = tuple(Trunk(**one) for one in body["trunks"])
        return cls(**{**body, "trunks": trunks, "changes": changes, "looks": tuple(body["looks"])})


def capsule_path(folder: Path, step: int) -> Path:
    """Return where the capsule of a run's step lies."""
    return folder / "capsules" / f"{step:08d}.pt"


def branch_of_process() -> Branch | None:
    """Return how this process's run departs from the plain one; None where it does not."""
    text = os.environ.get(VARIABLE)
    branch = Branch.read(text) if text else None
    if branch is not None and branch.capsule and not Path(branch.capsule).is_file():
        raise StoreError(f"The capsule {branch.capsule} is gone.", todo="Fork from another step: --at")
    return branch
