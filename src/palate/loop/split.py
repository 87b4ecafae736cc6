"""Several changes at once, split: the cells of a design run seed by seed, each effect judged, the gain credited."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from palate.errors import InputError
from palate.ledger.records import SealedSplit
from palate.loop.ask import Looked, Person
from palate.loop.results import Results
from palate.loop.runner import Runner
from palate.question.plan import Plan
from palate.question.question import Question
from palate.store.catalog import Catalog
from palate.training.launch import Resources
from palate.verdict.design import Design, Effect, make_design
from palate.verdict.pairs import FloatArray
from palate.verdict.rule import Terms, Verdict
from palate.verdict.split import Cell, EffectVerdict, judge_effects
from palate.verdict.words import effect_words, size_words
from palate.vocabulary import BASELINE, Arm, Metric

KINDS: dict[str, str] = {
    "better_small": "better, but too small",
    "worse_small": "worse, but too small",
    "same": "no difference",
    "unclear": "cannot tell",
    "nothing": "did nothing",
}

INTERACTS = ("better", "worse", "better_small", "worse_small")
"""Verdicts on an interaction that say that there is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """A question with several changes, the design that splits them, and the runs of its cells."""

    question: Question
    design: Design
    plan: Plan

    @property
    def metric(self) -> Metric:
        """What is judged."""
        return self.question.metric

    def arm(self, cell: Cell) -> Arm:
        """Return a cell's name: what is changed in it."""
        return _arm(self.question, cell)

    def effect_name(self, effect: Effect) -> str:
        """Return an effect's name: `lr`, or `lr x width`."""
        return " x ".join(self.question.changes[i].path for i in effect)


def make_split(question: Question) -> Split:
    """Plan the cells that split a question's changes, the baseline first.

    Raises:
        InputError: fewer than 2 changes, or more than 11, or an edit.
    """
    if question.edit is not None:
        raise InputError(
            "--split does not go with an edit of the code.",
            why="A cell needs each change alone, and an edit cannot be taken apart.",
            todo="Ask about the edit, and about each setting, as questions of their own.",
        )
    design = make_design(len(question.changes))
    cells = sorted(design.cells, key=lambda cell: (len(cell), cell))
    arms = {_arm(question, cell): tuple(question.changes[i] for i in cell) for cell in cells}
    plan = Plan(
        target=question.target,
        arms=arms,
        seeds=question.plan.seeds,
        metric=question.metric,
        take=question.take,
        data=question.data,
    )
    return Split(question=question, design=design, plan=plan)


def _arm(question: Question, cell: Cell) -> Arm:
    return "+".join(question.changes[i].path for i in cell) or BASELINE


@dataclass(frozen=True, slots=True, kw_only=True)
class Effects:
    """What the cells say so far: each effect judged, and the cells' means at the seeds that all of them finished."""

    judged: tuple[EffectVerdict, ...]
    means: dict[Arm, float]
    seeds: int
    lost: int

    @property
    def settled(self) -> bool:
        """Whether every effect is."""
        return bool(self.judged) and all(one.verdict.settled for one in self.judged)


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitReport:
    """Whose gain it is."""

    split: Split
    effects: Effects
    made: int
    reused: int

    @property
    def metric(self) -> Metric:
        """What is judged, as its values are shown."""
        return self.split.question.shown.shown_for(self.effects.means.values())

    def sealed(self) -> SealedSplit:
        """Return it as it is sealed."""
        return SealedSplit(
            experiment=self.split.question.experiment,
            question=self.split.question.text,
            metric=self.metric,
            effects=[self._effect(one) for one in self.effects.judged],
            cells=self.effects.means,
            seeds=self.effects.seeds,
            seeds_lost=self.effects.lost,
            words=self.lines(),
        )

    def document(self) -> dict[str, Any]:
        """Return the report as plain JSON data, schema `palate.split/1`."""
        sealed = self.sealed().body()
        words = sealed.pop("words")
        return {
            "schema": "palate.split/1",
            **sealed,
            "runs": {"made": self.made, "reused": self.reused},
            "words": words,
        }

    def _effect(self, one: EffectVerdict) -> dict[str, Any]:
        return {
            "effect": self.split.effect_name(one.effect),
            "aliases": [self.split.effect_name(alias) for alias in one.aliases],
            "verdict": asdict(one.verdict),
            "words": effect_words(one.verdict, self.metric),
        }

    def lines(self) -> list[str]:
        """Return the report as a small table and its sentences."""
        if not self.effects.judged:
            return ["Cannot tell yet: no seed has finished in every cell."]
        rows = [f"{'':<24} {'verdict':<22} effect"]
        rows += [self._row(one) for one in self.effects.judged]
        rows += [words for one in self.effects.judged if (words := self._together(one))]
        if self.effects.lost:
            rows.append(f"{self.effects.lost} seeds were left out: a run failed in one of their cells.")
        made, reused = self.made, self.reused
        return [
            *rows,
            f"{made} runs made, {reused} re-used, {self.effects.seeds} seeds in {len(self.split.plan.arms)} cells.",
        ]

    def _row(self, one: EffectVerdict) -> str:
        alias = "".join(f" (or {self.split.effect_name(alias)})" for alias in one.aliases)
        words = KINDS.get(one.verdict.kind, one.verdict.kind)
        over = self._interacting(one)
        if over:
            words = f"{words}, averaged over {' and '.join(over)}"
        effect = effect_words(one.verdict, self.metric)
        return f"{self.split.effect_name(one.effect):<24} {words:<22} {effect}{alias}"

    def _interacting(self, one: EffectVerdict) -> list[str]:
        """Name the changes on which a main effect depends: its mean over them is the effect of nothing that was run."""
        if len(one.effect) != 1:
            return []
        [factor] = one.effect
        return [
            self.split.question.changes[other].path
            for pair in self.effects.judged
            if len(pair.effect) == 2 and factor in pair.effect and pair.verdict.kind in INTERACTS
            for other in pair.effect
            if other != factor
        ]

    def _together(self, one: EffectVerdict) -> str:
        """Say of two changes what each does alone and both together, where the cells for it were run."""
        if len(one.effect) != 2:
            return ""
        cells = [self.split.arm(cell) for cell in ((), one.effect[:1], one.effect[1:], one.effect)]
        if any(cell not in self.effects.means for cell in cells):
            return ""
        base, first, second, both = (self.effects.means[cell] for cell in cells)
        a, b = (self.split.question.changes[i].path for i in one.effect)
        alone_a, alone_b, together = (self._gain(gain - base) for gain in (first, second, both))
        said = f"{a}: {alone_a} alone, {b}: {alone_b} alone, {together} together"
        if one.verdict.kind not in INTERACTS:
            return f"{said} (whether they interact is open)."
        with_b, with_a = self._gain(both - second), self._gain(both - first)
        return f"{said}. They interact: {a} with {b}: {with_b}, {b} with {a}: {with_a}."

    def _gain(self, gain: float) -> str:
        sign = "+" if gain >= 0 else "-"
        return sign + size_words(gain, self.metric, max(abs(gain), 1e-12))


def run_split(catalog: Catalog, question: Question, resources: Resources, person: Person) -> SplitReport:
    """Run the cells of the design for a question's changes until every effect is settled or the budget is spent.

    Raises:
        InputError: fewer than 2 changes, or more than 11.
        RunsFailedError: the training did not deliver.
    """
    split = make_split(question)
    with Runner(catalog, split.plan, resources=resources, person=person) as runner:
        for results in runner:
            effects = effects_of(split, results)
            for verdict in _furthest(effects.judged):
                person.watch(Looked(verdict))
            if effects.settled:
                break
    report = SplitReport(split=split, effects=effects, made=runner.made, reused=runner.reused)
    catalog.project.chain.append(SealedSplit.KIND, report.sealed().body(), now=datetime.now(UTC))
    return report


def _furthest(judged: Sequence[EffectVerdict]) -> Iterator[Verdict]:
    """Yield the verdict that a progress display follows: one that is still open; none where nothing is judged."""
    still_open = (one.verdict for one in judged if not one.verdict.settled)
    if judged:
        yield next(still_open, judged[0].verdict)


def effects_of(split: Split, results: Results) -> Effects:
    """Judge the effects on the seeds that ended in every cell, in their order; one with a failure is left out."""
    arms = split.plan.arms
    ended = []
    for seed in split.plan.seeds:
        if any(seed not in results[arm] for arm in arms):
            break
        ended.append(seed)
    whole = [seed for seed in ended if all(results[arm][seed].outcome.value is not None for arm in arms)]
    if not whole:
        return Effects(judged=(), means={}, seeds=0, lost=len(ended))
    values = {cell: _values(results, split.arm(cell), whole) for cell in split.design.cells}
    oriented = {cell: split.metric.sign * column for cell, column in values.items()}
    terms = Terms(budget=split.question.budget, margin=split.question.margin)
    judged = judge_effects(split.design, oriented, terms, split.metric.resolution)
    means = {split.arm(cell): float(column.mean()) for cell, column in values.items()}
    return Effects(judged=judged, means=means, seeds=len(whole), lost=len(ended) - len(whole))


def _values(results: Results, arm: Arm, seeds: Sequence[int]) -> FloatArray:
    return np.array([results[arm][seed].outcome.value for seed in seeds], dtype=np.float64)
