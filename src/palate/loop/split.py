"""Several changes at once, split: the cells of a design run seed by seed, each effect judged, the gain credited."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from palate.loop.results import Results
from palate.loop.runner import Served, Stove, Watcher
from palate.question.question import Asked, Question, run_key_of
from palate.recipe.settings import Change, with_changes
from palate.store.catalog import Catalog
from palate.store.project import Project
from palate.training.launch import Kitchen
from palate.verdict.design import Design, Effect, make_design
from palate.verdict.pairs import FloatArray
from palate.verdict.rule import Terms, Verdict
from palate.verdict.split import Cell, EffectVerdict, judge_effects
from palate.verdict.words import effect_words, size_words
from palate.vocabulary import BASELINE, Arm


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitPlan(Asked):
    """A question with several changes, and the cells that split them."""

    design: Design

    @property
    def arms(self) -> tuple[Arm, ...]:
        """The cells by name, the baseline first."""
        return tuple(self.name(cell) for cell in sorted(self.design.cells, key=lambda cell: (len(cell), cell)))

    @property
    def seeds(self) -> range:
        """The seeds that may be run."""
        return self.question.seeds

    def name(self, cell: Cell) -> Arm:
        """Name a cell by what is changed in it."""
        return "+".join(self.question.changes[i].path for i in cell) or BASELINE

    def changes_of(self, arm: Arm) -> tuple[Change, ...]:
        """Give what a cell has different from the baseline."""
        named = set(arm.split("+")) if arm != BASELINE else set()
        return tuple(change for change in self.question.changes if change.path in named)

    def settings(self, arm: Arm) -> dict[str, Any]:
        """Give all settings of a cell."""
        return with_changes(self.target.settings, self.changes_of(arm))

    def run_key(self, arm: Arm) -> str:
        """Id of what decides a run of a cell but its seed."""
        return run_key_of(self.target, self.settings(arm), self.question.data)

    def effect_name(self, effect: Effect) -> str:
        """Name an effect: `lr`, or `lr x width`."""
        return " x ".join(self.question.changes[i].path for i in effect)


@dataclass(frozen=True, slots=True, kw_only=True)
class Effects:
    """What the cells say so far: each effect judged, and the cells' means at the seeds that all of them finished."""

    told: tuple[EffectVerdict, ...]
    means: dict[Arm, float]
    seeds: int
    lost: int

    @property
    def settled(self) -> bool:
        """Whether every effect is."""
        return bool(self.told) and all(one.verdict.settled for one in self.told)


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitReport:
    """Whose gain it is."""

    plan: SplitPlan
    effects: Effects
    served: Served[Effects]

    def document(self) -> dict[str, Any]:
        """Give the report as plain JSON data, schema `palate.split/1`."""
        return {
            "schema": "palate.split/1",
            "experiment": self.plan.question.experiment,
            "question": self.plan.question.text,
            "metric": asdict(self.plan.metric),
            "effects": [self._effect(one) for one in self.effects.told],
            "cells": self.effects.means,
            "seeds": self.effects.seeds,
            "seeds_lost": self.effects.lost,
            "runs": {"made": self.served.fresh, "reused": self.served.reused},
            "words": self.lines(),
        }

    def _effect(self, one: EffectVerdict) -> dict[str, Any]:
        return {
            "effect": self.plan.effect_name(one.effect),
            "aliases": [self.plan.effect_name(alias) for alias in one.aliases],
            "verdict": asdict(one.verdict),
            "words": effect_words(one.verdict, self.plan.metric),
        }

    def lines(self) -> list[str]:
        """Give the report as a small table and its sentences."""
        if not self.effects.told:
            return ["Cannot tell yet: no seed has finished in every cell."]
        rows = [f"{'':<24} {'verdict':<22} effect"]
        rows += [self._row(one) for one in self.effects.told]
        rows += [told for one in self.effects.told if (told := self._together(one))]
        if self.effects.lost:
            rows.append(f"{self.effects.lost} seeds were left out: a run failed in one of their cells.")
        made, reused = self.served.fresh, self.served.reused
        return [
            *rows,
            f"{made} runs made, {reused} re-used, {self.effects.seeds} seeds in {len(self.plan.arms)} cells.",
        ]

    def _row(self, one: EffectVerdict) -> str:
        alias = "".join(f" (or {self.plan.effect_name(alias)})" for alias in one.aliases)
        words = _KINDS.get(one.verdict.kind, one.verdict.kind)
        return (
            f"{self.plan.effect_name(one.effect):<24} {words:<22} {effect_words(one.verdict, self.plan.metric)}{alias}"
        )

    def _together(self, one: EffectVerdict) -> str:
        """Say of two changes what each does alone and both together, where the cells for it were run."""
        if len(one.effect) != 2:
            return ""
        cells = [self.plan.name(cell) for cell in ((), one.effect[:1], one.effect[1:], one.effect)]
        if any(cell not in self.effects.means for cell in cells):
            return ""
        base, first, second, both = (self.effects.means[cell] for cell in cells)
        a, b = (self.plan.question.changes[i].path for i in one.effect)
        sure = "" if one.verdict.kind in ("better", "worse") else " (whether they interact is open)"
        gains = (self._gain(gain - base) for gain in (first, second, both))
        told = "{}: {} alone, {}: {} alone, {} together".format(*_interleave(a, b, gains))
        return f"{told}{sure}."

    def _gain(self, gain: float) -> str:
        sign = "+" if gain >= 0 else "-"
        return sign + size_words(gain, self.plan.metric, max(abs(gain), 1e-12))


_KINDS: dict[str, str] = {
    "better_small": "better, but too small",
    "worse_small": "worse, but too small",
    "same": "no difference",
    "unclear": "cannot tell",
    "nothing": "did nothing",
}


def _interleave(a: str, b: str, gains: Any) -> tuple[str, str, str, str, str]:
    first, second, both = gains
    return a, first, b, second, both


def run_split(project: Project, question: Question, kitchen: Kitchen, watcher: Watcher) -> SplitReport:
    """Run the cells of the design for a question's changes until every effect is settled or the budget is spent.

    Raises:
        InputError: fewer than 2 changes, or more than 11.
        RunsFailedError: the training did not deliver.
    """
    plan = SplitPlan(question=question, design=make_design(len(question.changes)))
    project.make()

    def look(_: Catalog, results: Results) -> Effects:
        effects = effects_of(plan, results)
        if effects.told:
            watcher.looked(_furthest(effects.told))
        return effects

    served = Stove(project, plan, kitchen, watcher, look).settle()
    report = SplitReport(plan=plan, effects=served.look, served=served)
    body = {name: value for name, value in report.document().items() if name not in ("runs", "schema")}
    project.chain.append("split", body, now=datetime.now(UTC))
    return report


def _furthest(told: Sequence[EffectVerdict]) -> Verdict:
    """The verdict that a progress display follows: one that is still open."""
    return next((one.verdict for one in told if not one.verdict.settled), told[0].verdict)


def effects_of(plan: SplitPlan, results: Results) -> Effects:
    """Judge the effects on the seeds that ended in every cell, in their order; one with a failure is left out."""
    ended = []
    for seed in plan.seeds:
        if any(seed not in results[arm] for arm in plan.arms):
            break
        ended.append(seed)
    whole = [seed for seed in ended if all(results[arm][seed].outcome.value is not None for arm in plan.arms)]
    if not whole:
        return Effects(told=(), means={}, seeds=0, lost=len(ended))
    values = {cell: _values(results, plan.name(cell), whole) for cell in plan.design.cells}
    oriented = {cell: plan.metric.sign * found for cell, found in values.items()}
    terms = Terms(budget=plan.question.budget, margin=plan.question.margin)
    told = judge_effects(plan.design, oriented, terms, plan.metric.resolution)
    means = {plan.name(cell): float(found.mean()) for cell, found in values.items()}
    return Effects(told=told, means=means, seeds=len(whole), lost=len(ended) - len(whole))


def _values(results: Results, arm: Arm, seeds: Sequence[int]) -> FloatArray:
    return np.array([results[arm][seed].outcome.value for seed in seeds], dtype=np.float64)
