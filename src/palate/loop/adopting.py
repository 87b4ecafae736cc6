"""Adopt a change on its odds, and drop it again: what moves the baseline of the next question."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from palate.errors import NotFoundError, RefusedError
from palate.ledger.ledger import Ledger, SealedExperiment
from palate.ledger.records import Author
from palate.ledger.stack import (
    SealedAdoption,
    SealedDrop,
    claimed_names,
    has_moved,
    refuse_twice,
    seal_adoption,
    seal_drop,
    stack_of,
    stacks_of,
)
from palate.loop.cost import cost_of
from palate.loop.incumbent import asked_onto, line_of, settings_of
from palate.loop.judge import Judgement, judge_now
from palate.loop.odds import Told, tell_odds
from palate.question.question import Question
from palate.recipe.codec import Secret
from palate.redaction import redact_text
from palate.store.catalog import Catalog
from palate.store.project import Project


@dataclass(frozen=True, slots=True, kw_only=True)
class Adopted:
    """What came of adopting a change.

    Attributes:
        adoption: as it was sealed.
        told: its odds.
        question: whose change.
        replaced: settings of which another value was adopted before, with whose.
        in_files: where it is an edit: how the next question comes to have it.
    """

    adoption: SealedAdoption
    told: Told
    question: Question
    replaced: Mapping[str, str]
    in_files: str = ""

    def document(self) -> dict[str, Any]:
        """Return it as plain JSON data, schema `palate.adopt/1`."""
        return {
            "schema": "palate.adopt/1",
            "experiment": self.adoption.experiment,
            "target": self.adoption.target,
            "question": self.question.text,
            "adopt": self.told.document(),
            "stack": [*self.adoption.onto, self.adoption.experiment],
            "moved": self.adoption.moved,
            "replaced": dict(self.replaced),
            "next": self.next_commands(),
        }

    def lines(self) -> list[str]:
        """Return it as lines for people."""
        name, label = self.adoption.experiment, self.question.target.label
        changed = ", ".join(str(change) for change in self.question.declared)
        lines = [f"Adopted {name}: {changed}.", self.told.words]
        if self.told.odds.advice != "keep":
            lines.append("It is kept all the same: that is yours to decide, and it is sealed with these odds.")
        lines += [f"It takes the place of {path} as {of} had it." for path, of in self.replaced.items()]
        lines += ["It was measured on an earlier baseline, and effects need not add up."] if self.adoption.moved else []
        lines.append(self.in_files or f"The next palate run of {label} has it in both arms.")
        return [*lines, "This is no verdict: what may be claimed of it is what palate verdict says, or palate claim."]

    def next_commands(self) -> list[str]:
        """Name what could be typed next."""
        return ["palate stack", "palate claim", f"palate drop {self.adoption.experiment}", "palate verify"]


def adopt(catalog: Catalog, experiment: str, *, author: Author, moved: bool = False) -> Adopted:
    """Keep a change for now: the next question of its training has it in both arms.

    Args:
        catalog: of the project.
        experiment: whose change: its id, or the start of it.
        author: who adopts.
        moved: adopt it also where the stack is another one than it was measured on.

    Raises:
        NotFoundError: there is no such experiment.
        RefusedError: it is void, confounded, failed, did nothing, has no runs, or is adopted; or the stack has moved.
    """
    project = catalog.project
    ledger = Ledger.of(project.chain)
    sealed = ledger.read(experiment)
    question = sealed.question
    line = line_of(project, question.target.began)
    stack = stack_of(ledger.chain, line)
    refuse_twice(stack, sealed.id)
    _refuse_what_cannot(sealed, claimed=sealed.id in claimed_names(ledger.chain))
    judgement = judge_now(ledger, catalog, question)
    _refuse_by_runs(sealed.id, judgement)
    if asked_onto(question) != stack.names and not moved:
        raise has_moved(stack, sealed.id)
    told = tell_odds(ledger, catalog, question, judgement, cost_of(project, judgement.results))
    if told is None:
        raise RefusedError(
            f"{sealed.id} is not adopted: one pair, and nobody knows the noise of this training yet.",
            why="Without it, nothing tells whether its difference is more than another seed alone makes.",
            todo="Run a second pair: the same command goes on.",
        )
    adoption = SealedAdoption(
        experiment=sealed.id,
        target=line,
        onto=stack.names,
        odds=told.sealed,
        advice=told.odds.advice,
        metric=question.metric.name,
        moved=asked_onto(question) != stack.names,
        author=author.name,
        agent=author.agent,
    )
    _, before = settings_of(ledger, stack)
    seal_adoption(ledger.chain, adoption, now=datetime.now(UTC))
    replaced = {change.path: before[change.path] for change in question.changes if change.path in before}
    return Adopted(adoption=adoption, told=told, question=question, replaced=replaced, in_files=_in_files(question))


def _in_files(question: Question) -> str:
    if question.edit is None:
        return ""
    return (
        f"The adopted code is {question.edit.after}. Where your files have it, the next palate run says so; "
        "where they do not, it runs the adopted commit in both arms or says what to do."
    )


def _refuse_what_cannot(sealed: SealedExperiment, *, claimed: bool) -> None:
    """Refuse what is no single change of a whole training that counts.

    Raises:
        RefusedError: it is.
    """
    name, question = sealed.id, sealed.question
    if sealed.void is not None:
        raise RefusedError(
            f"{name} is not adopted: it is void: {sealed.void.reason}",
            why="What is void counts for nobody.",
            todo="Ask a new question:  palate run ...",
        )
    if claimed:
        raise RefusedError(
            f"{name} is not adopted: it is the claim of a stack, all of which is adopted.", todo="palate stack"
        )
    if question.confounders or len(question.declared) > 1:
        several = question.confounders or [str(change) for change in question.declared]
        raise RefusedError(
            f"{name} is not adopted: more than one thing differs between its arms: {', '.join(several[:4])}.",
            why="Whose gain it is, nobody knows: one of them may harm, and it would be carried on for ever.",
            todo=(
                "See whose it is:  the same command with --split",
                "Or ask about one change at a time, and adopt each on top of the other.",
            ),
        )
    if question.target.fork is not None or any(question.target.is_season(one.path) for one in question.changes):
        raise RefusedError(
            f"{name} is not adopted: its change is made in the middle of a run.",
            why="A baseline is a whole training, from its start.",
            todo=(
                "Ask it of a whole training:  palate run",
                "Or of its schedule, in the file:  palate run --against HEAD",
            ),
        )
    secret = [one.path for one in question.changes if isinstance(one.after, Secret)]
    if secret:
        raise RefusedError(
            f"{name} is not adopted: the value of {', '.join(secret)} is secret, so it is not kept.",
            todo="Set it in the file or the environment, which both arms have.",
        )


def _refuse_by_runs(name: str, judgement: Judgement) -> None:
    """Refuse a change whose runs failed, or on which it had no effect at all.

    Raises:
        RefusedError: it is.
    """
    kind = judgement.verdict.kind
    if kind == "failed":
        raise RefusedError(
            f"{name} is not adopted: its runs failed.",
            why="The next baseline would fail too.",
            todo=f"palate show {name}   says how",
        )
    if judgement.verdict.equal_curves:
        raise RefusedError(
            f"{name} is not adopted: all that both arms logged is equal.",
            why="There is nothing to keep. Is the change wired in?",
            todo=f"palate show {name}",
        )
    if judgement.pairs is None:
        raise RefusedError(
            f"{name} is not adopted: no pair of its runs has finished.",
            why="Nothing tells whether it helps.",
            todo="Run it: the same command goes on. A pair or two are enough for odds.",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped:
    """What came of dropping a change.

    Attributes:
        drop: as it was sealed.
        left: the experiments that stay in the stack.
    """

    drop: SealedDrop
    left: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        """Return it as plain JSON data, schema `palate.drop/1`."""
        return {
            "schema": "palate.drop/1",
            "experiment": self.drop.experiment,
            "target": self.drop.target,
            "rests": list(self.drop.rests),
            "stack": list(self.left),
            "next": self.next_commands(),
        }

    def lines(self) -> list[str]:
        """Return it as lines for people."""
        name, rests = self.drop.experiment, self.drop.rests
        lines = [f"Dropped {name}: the next palate run of {self.drop.target} does not have it."]
        if rests:
            were = "was" if len(rests) == 1 else "were"
            lines.append(
                f"On top of it {', '.join(rests)} {were} measured and adopted. They stay; without it their "
                "effects may be others: ask again, or drop them too."
            )
        return [*lines, "An edit of the code stays in your files until you take it out yourself."]

    def next_commands(self) -> list[str]:
        """Name what could be typed next."""
        return ["palate stack", *(f"palate drop {name}" for name in self.drop.rests[:2]), "palate list"]


def drop(project: Project, experiment: str, *, author: Author, reason: str = "") -> Dropped:
    """Take an adopted change out again; what was adopted on top of it stays, and is named.

    Raises:
        NotFoundError: there is no such experiment, or it is not adopted.
        RefusedError: the stack was moved meanwhile.
    """
    ledger = Ledger.of(project.chain)
    name = ledger.read(experiment).id
    stack = next((one for one in stacks_of(ledger.chain) if one.find(name) is not None), None)
    if stack is None:
        raise NotFoundError(f"{name} is not adopted, so it cannot be dropped.", todo="palate stack   shows what is")
    sealed = SealedDrop(
        experiment=name,
        target=stack.target,
        rests=stack.resting_on(name),
        reason=redact_text(" ".join(reason.split())),
        author=author.name,
        agent=author.agent,
    )
    seal_drop(ledger.chain, sealed, now=datetime.now(UTC))
    return Dropped(drop=sealed, left=tuple(one for one in stack.names if one != name))
