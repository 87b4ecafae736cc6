"""See what is adopted, with which odds and how they came true, and claim the whole of it by one verdict."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

from palate.errors import InputError, NotFoundError, RefusedError
from palate.ledger.ledger import Ledger
from palate.ledger.records import Author, SealedVerdict, SealedVoid, likeness_of
from palate.ledger.stack import (
    SealedAdoption,
    SealedClaim,
    Stack,
    claimed_names,
    claims_of,
    seal_claim,
    stacks_of,
)
from palate.loop.incumbent import asked_onto, edited_by, settings_of
from palate.loop.judge import judge_now
from palate.loop.odds import Told, past_of, signed_words, tell_odds
from palate.loop.trust import Confirm, Trust, vouched
from palate.question.question import Question
from palate.recipe.codec import encode
from palate.recipe.settings import show_value
from palate.store.catalog import Catalog
from palate.store.project import Project
from palate.verdict.adopt import Band, Odds, Prior, Total, add_up, calibration, odds_words

HELD_BACK = 10
"""Pairs that a claim may cost at most, where nobody says how many were held back for it."""

TOLD_AFTER, FINAL_FROM, MOST_CHECKED = 2, 4, 20
"""The odds that are held against what became of them are those after so many pairs; a final effect has more; and the
newest so many questions are looked at."""

CURSE = (
    "Each gain is the middle of what the runs and the project's past allow together, so that having been picked for "
    "looking good is allowed for; the sum of what was measured is not."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One adopted change as it is shown.

    Attributes:
        adoption: as it was sealed.
        question: whose change.
        now: its odds by the runs and the past of now; None where its runs are gone.
        replaced_by: experiments that set all of its settings anew, and were not measured on top of it.
        verdict: the kind of its verdict; None where it has none.
    """

    adoption: SealedAdoption
    question: Question
    now: Told | None
    replaced_by: tuple[str, ...] = ()
    verdict: str | None = None

    @property
    def odds(self) -> Odds:
        """Its odds now, or as they were sealed."""
        if self.now is not None:
            return self.now.odds
        told = self.adoption.odds
        numbers = {name: told[name] for name in ("helps", "gain", "loss", "low", "high", "sd")}
        return Odds(**numbers, worth=0.0, advice="keep", prior=Prior(), n=int(told["pairs"]))

    @property
    def raw(self) -> float:
        """The effect as measured."""
        return self.now.raw if self.now is not None else self.adoption.odds["raw"]

    def document(self) -> dict[str, Any]:
        """Return it as plain JSON data."""
        return {
            "experiment": self.adoption.experiment,
            "question": self.question.text,
            "settings": {change.path: encode(change.after) for change in self.question.changes},
            "code": self.question.edit.after if self.question.edit is not None else None,
            "onto": list(self.adoption.onto),
            "author": self.adoption.author,
            "at": self.adoption.at.isoformat(),
            "then": dict(self.adoption.odds),
            "now": self.now.document() if self.now is not None else None,
            "verdict": self.verdict,
            "replaced_by": list(self.replaced_by),
            "moved": self.adoption.moved,
        }

    def line(self) -> str:
        """Return it as a line for people."""
        changed = ", ".join(f"{change.path}={show_value(change.after)}" for change in self.question.changes)
        changed = changed or (self.question.edit.words if self.question.edit is not None else "")
        metric, odds = self.question.shown, self.odds
        gain = signed_words(odds.gain, metric, odds.high - odds.low)
        replaced = f"   replaced by {', '.join(self.replaced_by)}" if self.replaced_by else ""
        verdict = f", verdict {self.verdict}" if self.verdict else ", no verdict"
        name, who = self.adoption.experiment, self.adoption.author
        return f"{name}  {odds_words(odds.helps):<12} about {gain} {metric.name}  {changed}   {who}{verdict}{replaced}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StackReport:
    """A stack as it is shown.

    Attributes:
        stack: what is adopted.
        layers: its changes, oldest first.
        totals: what they are expected to gain together, by metric.
        tried: changes of this training that were asked about.
        claims: its claims, oldest first, each with the kind of its verdict.
        bands: of changes that were told a chance after two pairs, how many turned out better by their final effect.
    """

    stack: Stack
    layers: tuple[Layer, ...]
    totals: Mapping[str, Total]
    tried: int
    claims: tuple[tuple[SealedClaim, str | None], ...]
    bands: tuple[Band, ...]

    def document(self) -> dict[str, Any]:
        """Return it as plain JSON data; effects are in the metric's unit, + is better."""
        return {
            "target": self.stack.target,
            "changes": [layer.document() for layer in self.layers],
            "total": {metric: asdict(total) for metric, total in self.totals.items()},
            "selection": CURSE,
            "tried": self.tried,
            "claims": [
                {"experiment": one.experiment, "of": list(one.of), "verdict": kind} for one, kind in self.claims
            ],
            "calibration": [asdict(band) for band in self.bands],
        }

    def lines(self) -> list[str]:
        """Return it as lines for people."""
        if not self.layers:
            return [f"{self.stack.target}: nothing is adopted; last, {self.stack.moved_words}."]
        plural = "s" if len(self.layers) != 1 else ""
        lines = [f"{self.stack.target}: {len(self.layers)} change{plural} adopted of {self.tried} tried."]
        lines += [f"  {layer.line()}" for layer in self.layers]
        lines += [self._total_line(metric) for metric in self.totals]
        lines += [CURSE, "Effects may help or hinder each other: only palate claim measures the whole."]
        lines += [
            f"Told a chance of {100 * band.told:.0f} % after {TOLD_AFTER} pairs: {band.count}, of which {band.better} "
            "turned out better."
            for band in self.bands
        ]
        lines += [
            f"Claimed: {claim.experiment} ({kind or 'open'}), of {len(claim.of)} changes, {claim.tried} tried."
            for claim, kind in self.claims
        ]
        return lines

    def _total_line(self, metric: str) -> str:
        total = self.totals[metric]
        shown = next(one.question.shown for one in self.layers if one.question.metric.name == metric)
        width = total.high - total.low
        gain, low, high, raw = (
            signed_words(value, shown, width) for value in (total.gain, total.low, total.high, total.raw)
        )
        return f"Together about {gain} {metric} (8 in 10: {low} to {high}) if they add up; as measured, {raw}."


def stack_reports(catalog: Catalog) -> list[StackReport]:
    """Report what is adopted of each training of the project."""
    ledger = Ledger.of(catalog.project.chain)
    return [_report(ledger, catalog, stack) for stack in stacks_of(ledger.chain)]


def _report(ledger: Ledger, catalog: Catalog, stack: Stack) -> StackReport:
    layers = tuple(_layer(ledger, catalog, stack, one) for one in stack.kept)
    totals = {}
    for metric in dict.fromkeys(layer.question.metric.name for layer in layers):
        counted = [one for one in layers if one.question.metric.name == metric and not one.replaced_by]
        totals[metric] = add_up([one.odds for one in counted], [one.raw for one in counted])
    kinds = {name: one.outcome for name in ledger.having(SealedVerdict.KIND) if (one := ledger.find(name)) is not None}
    claims = tuple(
        (claim, outcome.kind if (outcome := kinds.get(claim.experiment)) is not None else None)
        for claim in claims_of(ledger.chain, stack.target)
    )
    return StackReport(
        stack=stack,
        layers=layers,
        totals=totals,
        tried=count_tried(ledger, stack),
        claims=claims,
        bands=tuple(calibration(_came_true(ledger, catalog, stack))),
    )


def _layer(ledger: Ledger, catalog: Catalog, stack: Stack, adoption: SealedAdoption) -> Layer:
    sealed = ledger.read(adoption.experiment)
    question, paths = sealed.question, {change.path for change in sealed.question.changes}
    later = stack.kept[stack.names.index(adoption.experiment) + 1 :]
    others = {one.experiment: ledger.read(one.experiment).question for one in later}
    over = tuple(
        name
        for name, other in others.items()
        if paths & {change.path for change in other.changes} and adoption.experiment not in asked_onto(other)
    )
    judgement = judge_now(ledger, catalog, question)
    return Layer(
        adoption=adoption,
        question=question,
        now=tell_odds(ledger, catalog, question, judgement),
        replaced_by=over,
        verdict=sealed.outcome.kind if sealed.outcome is not None else None,
    )


def _labels(ledger: Ledger, stack: Stack) -> set[str]:
    names = stack.names or ((stack.last.experiment,) if stack.last is not None else ())
    return {ledger.read(name).question.target.label for name in names}


def count_tried(ledger: Ledger, stack: Stack) -> int:
    """Count the changes of a stack's training that were asked about; claims and void questions are none."""
    labels, left_out = _labels(ledger, stack), set(claimed_names(ledger.chain)) | ledger.having(SealedVoid.KIND)
    return sum(one.label in labels and name not in left_out for name, one in ledger.asked().items())


def _came_true(ledger: Ledger, catalog: Catalog, stack: Stack) -> list[tuple[float, bool]]:
    """Return of past changes the chance that was told after two pairs, and whether the final effect was above 0.

    What is told of each is worked out without what its later pairs gave. Changes of which no more than a few pairs were
    ever run do not count: their final effect is the one that they were told by.
    """
    names = stack.names or ((stack.last.experiment,) if stack.last is not None else ())
    told: list[tuple[float, bool]] = []
    for name in {likeness_of(ledger.read(name).question): name for name in names}.values():
        past = past_of(ledger, catalog, ledger.read(name).question)
        ended = [one for one in past.tried if one.pairs.n >= FINAL_FROM and not one.pairs.identical]
        for one in ended[-MOST_CHECKED:]:
            odds = past.odds(one.name, TOLD_AFTER)
            if odds is not None:
                told.append((odds.helps, one.pairs.mean > 0))
    return told


def claim_question(
    catalog: Catalog, target: str = "", *, pairs: int | None = None, author: Author
) -> tuple[Question, SealedClaim]:
    """Build the one question that claims a stack: all of it against where it began, at seeds that nothing used.

    Nothing is sealed or run. A stack that was claimed before has that claim's question again.

    Args:
        catalog: of the project.
        target: of which training; may be left out where there is one stack.
        pairs: held back for it; 10 if None.
        author: who claims.

    Raises:
        NotFoundError: nothing is adopted.
        InputError: several trainings have a stack, and none is named.
        RefusedError: this stack was claimed with another number of pairs.
    """
    ledger = Ledger.of(catalog.project.chain)
    stack = _the_stack(ledger, target)
    known = next((one for one in claims_of(ledger.chain, stack.target) if one.of == stack.names), None)
    if known is not None and pairs not in (None, known.pairs):
        raise RefusedError(
            f"This stack is claimed already: {known.experiment}, by {known.pairs} pairs.",
            why="A claim is one verdict, with a budget that is fixed before its first pair.",
            todo=(f"palate verdict {known.experiment}", "Adopt or drop something, and claim the new stack."),
        )
    budget = known.pairs if known is not None else pairs or HELD_BACK
    questions = [ledger.read(name).question for name in stack.names]
    question = _whole(ledger, stack, questions, budget)
    first = known.first_seed if known is not None else _unused(ledger, catalog, question, _labels(ledger, stack))
    question = replace(question, first_seed=first)
    claim = SealedClaim(
        experiment=question.experiment,
        target=stack.target,
        of=stack.names,
        tried=count_tried(ledger, stack),
        first_seed=first,
        pairs=budget,
        author=author.name,
        agent=author.agent,
    )
    return question, known or claim


def vouched_claim(project: Project, claim: SealedClaim, question: Question, confirm: Confirm) -> Question:
    """Return a claim as a question that may be started: where all that it is made of was asked here, nobody is asked.

    Raises:
        RefusedError: nobody says yes to what others adopted, or a file is not what was asked of.
    """
    ledger, trust = Ledger.of(project.chain), Trust.of(project)
    if all(trust.knows(ledger.read(name).question) for name in claim.of):
        trust.add(question)
    return vouched(project, [question], confirm)[0]


def begin_claim(project: Project, claim: SealedClaim) -> None:
    """Seal that a question is the claim of a stack, once."""
    seal_claim(project.chain, claim, now=datetime.now(UTC))


def _the_stack(ledger: Ledger, target: str) -> Stack:
    stacks = [one for one in stacks_of(ledger.chain) if one.kept]
    if target:
        stacks = [one for one in stacks if one.target == target]
    if not stacks:
        of = f" of {target}" if target else ""
        raise NotFoundError(f"Nothing{of} is adopted, so there is nothing to claim.", todo="palate adopt EXPERIMENT")
    if len(stacks) > 1:
        raise InputError(
            f"{len(stacks)} trainings have something adopted.",
            todo=[f"palate claim {shlex.quote(one.target)}" for one in stacks],
        )
    return stacks[0]


def _whole(ledger: Ledger, stack: Stack, questions: Sequence[Question], budget: int) -> Question:
    """Return the question of all that is adopted against where it began, by the terms of the newest."""
    newest = questions[-1]
    values, _ = settings_of(ledger, stack)
    edited = edited_by(ledger, stack)
    first = next((one for one in questions if one.edit is not None), newest)
    base = first.target.began
    edit = None if edited is None else replace(edited[1], target=edited[1].target.began)
    changes = (edit.target if edit is not None else base).changes(values)
    real = tuple(one for one in changes if encode(one.before) != encode(one.after))
    if not real and edit is None:
        raise NotFoundError(
            "What is adopted sets every setting to what it was at the start: there is nothing to claim.",
            todo="palate stack",
        )
    return Question(
        target=base,
        changes=real,
        metric=newest.metric,
        take=newest.take,
        margin=newest.margin,
        budget=budget,
        data=newest.data,
        edit=edit,
        as_logged=newest.as_logged,
    )


def _unused(ledger: Ledger, catalog: Catalog, question: Question, labels: set[str]) -> int:
    """Return the first seed that no question of the training used or may use, its reruns and its noise included."""
    asked = [ledger.read(name).question for name, one in ledger.asked().items() if one.label in labels]
    stops = [one.plan.seeds.stop + one.budget for one in asked]  # `palate confirm` uses as many again
    run = [run.seed + 1 for run in catalog.runs(set(question.plan.keys.values())) if run.seed is not None]
    return max([*stops, *run])
