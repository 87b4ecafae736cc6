"""What `palate fork`, `palate cook` and `palate doctor --resume` tell the trainings that they start."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from palate.cooking.knobs import Amount, parse_amount
from palate.errors import InputError, StoreError

VARIABLE = "PALATE_BRANCH"


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
    turns: Mapping[int, Mapping[str, Amount]] = field(default_factory=dict)
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


def branch_of_process() -> Branch | None:
    """Return how this process's run departs from the plain one; None where it does not."""
    text = os.environ.get(VARIABLE)
    branch = Branch.read(text) if text else None
    if branch is not None and branch.capsule and not Path(branch.capsule).is_file():
        raise StoreError(f"The capsule {branch.capsule} is gone.", todo="Fork from another step: --at")
    return branch
