"""What was adopted, dropped and claimed, sealed: the stack of changes that the next question begins from.

| kind     | type            | what it says                                                                |
|----------|-----------------|-----------------------------------------------------------------------------|
| adoption | SealedAdoption  | that a change is kept for now, on which odds, and on top of what            |
| drop     | SealedDrop      | that it is taken out again, and what rested on it                           |
| claim    | SealedClaim     | which question judges the whole stack against where it began                |

An adoption is no verdict: it says what somebody does, not what may be believed. What moves the stack is refused while
the chain is locked, so of two people who adopt at once the second sees what the first did. Light to import.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import ClassVar

from palate.errors import RefusedError
from palate.ledger.records import Sealed, _under
from palate.store.chain import Chain, Record

_STAMP = {"stamp": True}
_NEVER = datetime.min.replace(tzinfo=UTC)
_NAMES = _under(list, tuple)


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedAdoption(Sealed):
    """That a change is kept for now.

    Attributes:
        experiment: whose change.
        target: of which training; see `palate.loop.incumbent.line_of`.
        onto: the experiments that were in the stack, oldest first.
        odds: as they were told: `helps`, `gain`, `loss`, `low`, `high`, `sd`, `raw` and `pairs`; empty where there
            were no runs that could tell.
        advice: as it was told: keep, drop or run more; "" where there was none.
        metric: by which that was told.
        moved: whether the stack had moved since the question was asked, and it was adopted all the same.
        author, agent: who adopts.
        number, at: of its record.
    """

    KIND: ClassVar[str] = "adoption"
    experiment: str
    target: str
    onto: tuple[str, ...] = field(default=(), metadata=_NAMES)
    odds: Mapping[str, float] = field(default_factory=dict)
    advice: str = ""
    metric: str = ""
    moved: bool = False
    author: str = ""
    agent: bool = False
    number: int = field(default=-1, metadata=_STAMP)
    at: datetime = field(default=_NEVER, metadata=_STAMP)


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedDrop(Sealed):
    """That an adopted change is taken out again.

    Attributes:
        experiment: whose change.
        target: of which training.
        rests: the experiments in the stack that were adopted on top of it.
        reason: in words; "" where none was given.
        author, agent: who drops it.
        number, at: of its record.
    """

    KIND: ClassVar[str] = "drop"
    experiment: str
    target: str
    rests: tuple[str, ...] = field(default=(), metadata=_NAMES)
    reason: str = ""
    author: str = ""
    agent: bool = False
    number: int = field(default=-1, metadata=_STAMP)
    at: datetime = field(default=_NEVER, metadata=_STAMP)


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedClaim(Sealed):
    """That a question is the claim of a whole stack.

    Attributes:
        experiment: the question that judges it.
        target: of which training.
        of: the experiments of the stack, oldest first.
        tried: how many changes were tried for it.
        first_seed, pairs: of the question: seeds that no question before it used.
        author, agent: who claims.
        number, at: of its record.
    """

    KIND: ClassVar[str] = "claim"
    experiment: str
    target: str
    of: tuple[str, ...] = field(default=(), metadata=_NAMES)
    tried: int = 0
    first_seed: int = 0
    pairs: int = 0
    author: str = ""
    agent: bool = False
    number: int = field(default=-1, metadata=_STAMP)
    at: datetime = field(default=_NEVER, metadata=_STAMP)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """What is adopted of one training, oldest first, and who moved it last.

    Attributes:
        target: of which training.
        kept: the adoptions that stand.
        last: the newest adoption or drop; None where nothing was ever adopted.
    """

    target: str
    kept: tuple[SealedAdoption, ...] = ()
    last: SealedAdoption | SealedDrop | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The experiments in it, oldest first."""
        return tuple(one.experiment for one in self.kept)

    def find(self, experiment: str) -> SealedAdoption | None:
        """Return an adoption that stands."""
        return next((one for one in self.kept if one.experiment == experiment), None)

    def resting_on(self, experiment: str) -> tuple[str, ...]:
        """Name the experiments that were adopted on top of one, and so were measured with it in both arms."""
        return tuple(one.experiment for one in self.kept if experiment in one.onto)

    @property
    def moved_words(self) -> str:
        """Who moved it last, as a clause: `ada adopted 1a2b3c4d`."""
        if self.last is None:
            return ""
        return f"{self.last.author} {_DID[self.last.KIND]} {self.last.experiment}"


_DID = {SealedAdoption.KIND: "adopted", SealedDrop.KIND: "dropped"}


def stack_of(chain: Chain, target: str, *, until: int | None = None) -> Stack:
    """Replay what is adopted of a training.

    Args:
        chain: the sealed chain.
        target: of which training.
        until: only what was sealed before the record of this number; all if None.
    """
    kept: list[SealedAdoption] = []
    last: SealedAdoption | SealedDrop | None = None
    for record in _moves(chain, until):
        if record.body.get("target") != target:
            continue
        last = _read(record)
        if isinstance(last, SealedAdoption):
            kept.append(last)
        else:
            kept = [one for one in kept if one.experiment != last.experiment]
    return Stack(target=target, kept=tuple(kept), last=last)


def targets_of(chain: Chain) -> list[str]:
    """Name the trainings of which anything was ever adopted, in the order of their first adoption."""
    return list(dict.fromkeys(str(record.body["target"]) for record in _moves(chain, None)))


def stacks_of(chain: Chain) -> list[Stack]:
    """Replay what is adopted of each training of a project."""
    return [stack_of(chain, target) for target in targets_of(chain)]


def claims_of(chain: Chain, target: str) -> list[SealedClaim]:
    """List the claims of a training's stack, oldest first."""
    claims = (SealedClaim.read(record) for record in chain.records(SealedClaim.KIND))
    return [claim for claim in claims if claim.target == target]


def _moves(chain: Chain, until: int | None) -> list[Record]:
    numbers = sorted(chain.numbers(SealedAdoption.KIND) + chain.numbers(SealedDrop.KIND))
    return list(chain.each([number for number in numbers if until is None or number < until]))


def _read(record: Record) -> SealedAdoption | SealedDrop:
    if record.kind == SealedAdoption.KIND:
        return SealedAdoption.read(record)
    return SealedDrop.read(record)


def seal_adoption(chain: Chain, adoption: SealedAdoption, *, now: datetime) -> None:
    """Seal an adoption, unless it is there already or the stack is not the one that it is put onto.

    Raises:
        RefusedError: it is adopted already, or somebody else moved the stack since it was looked at.
    """

    def refuse() -> None:
        stack = stack_of(chain, adoption.target)
        refuse_twice(stack, adoption.experiment)
        if stack.names != adoption.onto:
            raise has_moved(stack, adoption.experiment)

    chain.append_unless(SealedAdoption.KIND, adoption.body(), refuse, now=now)


def seal_drop(chain: Chain, drop: SealedDrop, *, now: datetime) -> None:
    """Seal that a change is taken out, unless it is not in, or the stack was moved since it was looked at.

    Raises:
        RefusedError: it is not in the stack, or what rests on it is not what was looked at.
    """

    def refuse() -> None:
        stack = stack_of(chain, drop.target)
        if stack.find(drop.experiment) is None or stack.resting_on(drop.experiment) != drop.rests:
            raise RefusedError(
                f"{drop.experiment} is not dropped: the incumbent has moved since: {stack.moved_words}.",
                why="What is in the stack is not what you looked at.",
                todo="palate stack   shows what is in it now",
            )

    chain.append_unless(SealedDrop.KIND, drop.body(), refuse, now=now)


def seal_claim(chain: Chain, claim: SealedClaim, *, now: datetime) -> None:
    """Seal once that a question is the claim of a stack."""

    def is_claimed() -> bool:
        return any(one.experiment == claim.experiment for one in claims_of(chain, claim.target))

    chain.append_unless(SealedClaim.KIND, claim.body(), is_claimed, now=now)


def refuse_twice(stack: Stack, experiment: str) -> None:
    """Refuse to adopt what is adopted.

    Raises:
        RefusedError: it is in the stack.
    """
    there = stack.find(experiment)
    if there is not None:
        raise RefusedError(
            f"{experiment} is adopted already, by {there.author}.",
            why="It is in the baseline of every new question of this training.",
            todo=("palate stack", f"palate drop {experiment}   takes it out again"),
        )


def has_moved(stack: Stack, experiment: str) -> RefusedError:
    """Say that a change was measured against another baseline than the one it would be put onto."""
    return RefusedError(
        f"{experiment} is not adopted: the incumbent has moved since: {stack.moved_words}.",
        why="Its effect was measured against another baseline, and effects need not add up.",
        todo=(
            "Ask about the same change on the incumbent of now:  palate run ...",
            f"Or put it on top as it was measured:  palate adopt {experiment} --moved",
        ),
    )


def claimed_names(chain: Chain) -> frozenset[str]:
    """Name the experiments that are claims of a stack."""
    return chain.experiments(SealedClaim.KIND)


def is_adopted(chain: Chain, experiment: str) -> bool:
    """Whether an experiment's change is adopted."""
    if experiment not in chain.experiments(SealedAdoption.KIND):
        return False
    return any(stack.find(experiment) is not None for stack in stacks_of(chain))


def claim_of(chain: Chain, experiment: str) -> SealedClaim | None:
    """Return the claim that an experiment is; None where it is none."""
    if experiment not in claimed_names(chain):
        return None
    records = chain.records(SealedClaim.KIND, experiment=experiment)
    return SealedClaim.read(records[0])


def claim_words(claim: SealedClaim) -> str:
    """Say of a verdict that it is a claim, of what, and how that came about."""
    plural = "s" if len(claim.of) != 1 else ""
    return (
        f"This is the claim of a stack of {len(claim.of)} change{plural} ({claim.tried} tried) against where it began, "
        f"at seeds that no question used before (from {claim.first_seed} on)."
    )
