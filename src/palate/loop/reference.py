"""The reference forecast of a question: from the project's own past, and from what is seen of the treatment's curve.

It is what a forecaster is measured against. How a run that still goes will end is told by the same curves.
"""

import itertools
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from palate.errors import InputError, NotFoundError
from palate.forecast.chances import Member, Reference
from palate.forecast.curves import PastCurve, believable
from palate.forecast.density import Cells, Scale, class_densities
from palate.forecast.early import Gap, gap_features, gap_now, gaps_of, refer_early
from palate.forecast.endings import PredictedEnd, fit_endings, foretell
from palate.forecast.features import family_of, features_of, moves_of
from palate.forecast.mixing import PastPrediction, bits_over_guess
from palate.forecast.reference import Case, refer, sure_of
from palate.ledger.ledger import Ledger, SealedExperiment
from palate.ledger.records import OUTCOME_OF, Evidence, SealedVerdict, SealedVoid, outcome_of
from palate.question.question import Question
from palate.store.catalog import Catalog, RunRow
from palate.verdict.rule import Verdict
from palate.verdict.words import effect_words
from palate.vocabulary import BASELINE, TREATMENT, Arm

FEWEST, PAST_RUNS = 3, 400
"""Finished runs that a curve's end is told from: at least, and at most (the newest)."""

PAST_QUESTIONS = 400
"""Past questions, the newest, that a reference is worked out from: what it costs does not grow with the project, and
what a project's changes came to years ago says less of the next one."""

GAPS_READ = 60
"""Past questions, the newest, whose early gaps are read from their curves."""

Likelihood = tuple[float, float, float, float]
Features = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class PastQuestion:
    """A question of the past of which something was seen, its verdict, and how probable that was under each outcome."""

    experiment: SealedExperiment
    verdict: Verdict
    likelihood: Likelihood


def reference_for(ledger: Ledger, question: Question) -> Reference:
    """Return the reference forecast of this moment for a question, from the project's past alone."""
    return _refer(ledger, question, {}, {})


def reference_seen(ledger: Ledger, catalog: Catalog, question: Question, evidence: Evidence) -> Reference:
    """Return the reference forecast of this moment for whoever could see this much of the treatment.

    Where nothing is seen, or too few runs have finished to tell anything by a curve, it is that of the project's past.
    """
    sight = _sight(catalog, question) if evidence.points or evidence.samples else None
    if sight is None:
        return reference_for(ledger, question)
    mine = gap_features(sight.gap / sight.scale.seed_sd)
    blind = _refer(ledger, question, mine, _past_gaps(ledger, catalog, question, sight.share))
    scale = Scale(margin=sight.scale.margin, seed_sd=sight.scale.seed_sd, unit=blind.unit)
    return refer_early(blind, sight.gaps, scale, sight.share, _foretold(ledger, question, evidence.kind))


@dataclass(frozen=True, slots=True)
class OwnScore:
    """How well the reference forecasts of a project have done themselves, as they were sealed with the questions.

    Attributes:
        bits: mean bits over a guess of a third each.
        questions: how many have an outcome.
    """

    bits: float
    questions: int

    @property
    def words(self) -> str:
        """It in a sentence."""
        plural = "s" if self.questions != 1 else ""
        easy = "" if self.bits > 0 else ": here a guess does as well"
        return f"This reference: {self.bits:+.2f} bits over a guess of 1/3 on {self.questions} question{plural}{easy}."

    def document(self) -> dict[str, float]:
        """Return it as plain JSON data."""
        return {"bits": self.bits, "questions": self.questions}


def own_score(ledger: Ledger) -> OwnScore | None:
    """Score the reference forecasts of past questions, the newest, against a guess; None where nothing has come out."""
    bits = [
        bits_over_guess(reference.chances, past.likelihood)
        for past in past_questions(ledger)
        if (reference := past.experiment.reference) is not None
    ]
    return OwnScore(float(np.mean(bits)), len(bits)) if bits else None


def case_words(ledger: Ledger, names: Sequence[str]) -> list[str]:
    """Say of past experiments what was changed and what came of it, a line each; those not here are left out."""
    known = (experiment for name in names if (experiment := ledger.find(name)) is not None)
    return [_case_line(experiment, experiment.verdict.verdict) for experiment in known if experiment.verdict]


def _case_line(experiment: SealedExperiment, verdict: Verdict) -> str:
    question = experiment.question
    changed = ", ".join(str(change) for change in question.declared)
    effect = effect_words(verdict, question.shown)
    outcome = OUTCOME_OF.get(verdict.kind, "not settled")
    return f"{experiment.id}  {changed}: {outcome}{f', {effect}' if effect else ''}"


def _refer(ledger: Ledger, question: Question, mine: Features, gaps: Mapping[str, Features]) -> Reference:
    past = list(past_questions(ledger, question))
    cases = [_case(one, gaps.get(one.experiment.id, {})) for one in past]
    effects = [effect for one in past if (effect := _effect(one.verdict)) is not None]
    features = {**_features(question), **mine}
    return refer(features, moves_of(question.declared), cases, _foretold(ledger, question), effects)


def _features(question: Question) -> dict[str, float]:
    return {**dict.fromkeys(question.chunks, 1.0), **features_of(question.declared)}


def _case(past: PastQuestion, gap: Features) -> Case:
    question = past.experiment.question
    features = {**_features(question), **gap}
    family, moves = family_of(question.declared), moves_of(question.declared)
    name = past.experiment.id
    return Case(name=name, family=family, features=features, moves=moves, likelihood=past.likelihood)


def past_questions(ledger: Ledger, question: Question | None = None) -> Iterator[PastQuestion]:
    """Yield the newest questions of which a verdict is sealed, settled or not, oldest first; void ones are left out.

    Args:
        ledger: what is sealed.
        question: whose past it is: it and others about the same arms are left out; None where all are meant. Of those
            about the same arms the first counts.
    """
    own = set() if question is None else {question.experiment, *(one.id for one in ledger.asked_about(question))}
    counted = ledger.having(SealedVerdict.KIND) - ledger.having(SealedVoid.KIND) - own - ledger.firsts().keys()
    newest = itertools.islice((name for name in reversed(ledger.asked()) if name in counted), PAST_QUESTIONS)
    for experiment in ledger.of_names(frozenset(newest)):
        if experiment.verdict is not None:
            verdict = experiment.verdict.verdict
            likelihood = _likelihood(verdict)
            if likelihood is not None:
                yield PastQuestion(experiment, verdict, likelihood)


def _likelihood(verdict: Verdict) -> Likelihood | None:
    """Return how probable what was seen is under each outcome; None where nothing can be said."""
    outcome = outcome_of(verdict)
    if outcome is not None:
        return sure_of(outcome)
    if not (verdict.spread and verdict.seed_sd and verdict.margin and verdict.n) or verdict.raw is None:
        return None
    cells = Cells([Scale(margin=verdict.margin, seed_sd=verdict.seed_sd)])
    error = verdict.spread / math.sqrt(verdict.n)
    worse, same, better = class_densities(cells, np.array([verdict.raw]), np.array([error]))[0].tolist()
    return worse, same, better, 0.0


def _effect(verdict: Verdict) -> tuple[float, float] | None:
    """Return a past effect with its standard error, in seed standard deviations."""
    sd = verdict.seed_sd
    if not sd or not verdict.spread or verdict.raw is None:
        return None
    return verdict.raw / sd, verdict.spread / math.sqrt(verdict.n) / sd


def _foretold(ledger: Ledger, question: Question, kind: str = "") -> list[PastPrediction]:
    """Return what members foretold of past questions: with the question, or of a class with its first forecast."""
    foretold: list[tuple[int, Mapping[Member, Any], Likelihood]] = []
    for past in past_questions(ledger, question):
        source = _first_of(past.experiment, kind) if kind else (past.experiment.asked.number, past.experiment.reference)
        if source is not None and source[1] is not None:
            foretold.append((source[0], source[1].members, past.likelihood))
    return [(members, seen) for _, members, seen in sorted(foretold, key=lambda one: one[0])]


def _first_of(experiment: SealedExperiment, kind: str) -> tuple[int, Reference] | None:
    """Return the first answer of a class of forecasts: its number and the reference that it is scored against."""
    first = (sealed for sealed in experiment.forecasts if sealed.turn == "forecast" and sealed.kind == kind)
    return next(((sealed.number, sealed.reference) for sealed in first), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sight:
    """What the treatment's furthest curve says of the effect, and how much of it is seen."""

    gap: float
    gaps: dict[Member, Gap]
    scale: Scale
    share: float


def _sight(catalog: Catalog, question: Question) -> _Sight | None:
    """Hold the treatment's furthest curve against the baseline's where both are; None where nothing can be told."""
    metric, label = question.metric, question.target.label
    past = believable(finished_curves(catalog, label, metric.name))
    if len(past) < FEWEST:
        return None
    total = float(np.median([curve.total for curve in past]))
    mine = max(_curves(catalog, question, TREATMENT, total), key=lambda curve: curve.steps[-1], default=None)
    if mine is None or not 0 < mine.share < 1 or not believable([mine], past):
        return None
    base = [c for c in _curves(catalog, question, BASELINE, total) if c.steps[-1] >= mine.steps[-1]]
    base = believable(base, past)
    alone = len({curve.family for curve in past}) < FEWEST  # too few arms to foretell one by the others
    endings = fit_endings(finished_curves(catalog, label, metric.name, by_run=True) if alone else past, mine.share)
    seed_sd = _seed_sd(past)
    if not base or endings is None or not seed_sd > 0:
        return None
    return _Sight(
        gap=gap_now(mine, base, metric.sign),
        gaps=gaps_of(endings, mine, base, metric.sign),
        scale=Scale(margin=question.margin or seed_sd, seed_sd=seed_sd),
        share=mine.share,
    )


def _curves(catalog: Catalog, question: Question, arm: Arm, total: float) -> list[PastCurve]:
    """Read an arm's curves; those of runs that failed are left out."""
    runs = [run for run in catalog.runs([question.plan.keys[arm]]) if not run.failed]
    curves = (read_curve(catalog, run.id, question.metric.name, "", total) for run in runs)
    return [curve for curve in curves if curve is not None]


def _seed_sd(past: Sequence[PastCurve]) -> float:
    """Return how much runs of one arm differ at their ends, pooled; of all runs where no arm has two."""
    ends: dict[str, list[float]] = defaultdict(list)
    for curve in past:
        ends[curve.family].append(float(curve.values[-1]))
    several = [values for values in ends.values() if len(values) > 1]
    if not several:
        return float(np.std([curve.values[-1] for curve in past]))
    squares = sum(float(np.var(values, ddof=1)) * (len(values) - 1) for values in several)
    return math.sqrt(squares / sum(len(values) - 1 for values in several))


def _past_gaps(ledger: Ledger, catalog: Catalog, question: Question, share: float) -> dict[str, Features]:
    """Return, for past questions with curves, how far ahead or behind the treatment was at this share of its budget."""
    gaps: dict[str, Features] = {}
    for past in list(past_questions(ledger, question))[-GAPS_READ:]:
        gap = _gap_then(catalog, past.experiment.question, share)
        if gap is not None and past.verdict.seed_sd:
            gaps[past.experiment.id] = gap_features(gap / past.verdict.seed_sd)
    return gaps


def _gap_then(catalog: Catalog, question: Question, share: float) -> float | None:
    arms = []
    for arm in (TREATMENT, BASELINE):
        runs = [run.id for run in catalog.runs([question.plan.keys[arm]]) if run.finished][:FEWEST]
        arms.append([c for run in runs if (c := read_curve(catalog, run, question.metric.name, "")) is not None])
    mine, base = arms
    if not mine or not base or not len((part := mine[0].until(share)).values):
        return None
    base = [curve for curve in base if curve.steps[-1] >= part.steps[-1]]
    return gap_now(part, base, question.metric.sign) if base else None


def foretell_run(catalog: Catalog, run: RunRow) -> dict[str, PredictedEnd]:
    """Return how a run that still goes will end, by metric; empty where it has ended or past runs do not tell."""
    if not run.going:
        return {}
    endings: dict[str, PredictedEnd] = {}
    for summary in catalog.summaries([run.id]):
        finished = finished_curves(catalog, run.label, summary.metric, by_run=True)
        ending = _ending(catalog, run.id, summary.metric, finished)
        if ending is not None:
            endings[summary.metric] = ending
    return endings


def _ending(catalog: Catalog, run_id: str, metric: str, finished: list[PastCurve]) -> PredictedEnd | None:
    if len(finished) < FEWEST:
        return None
    total = float(np.median([curve.total for curve in finished]))
    part = read_curve(catalog, run_id, metric, "", total)
    if part is None or part.share >= 1 or not believable([part], finished):
        return None
    endings = fit_endings(finished, part.share)
    return None if endings is None else foretell(endings, part)


def finished_curves(catalog: Catalog, label: str, metric: str, *, by_run: bool = False) -> list[PastCurve]:
    """Read the curves of a training's newest finished runs.

    Args:
        catalog: of the project.
        label: of the training.
        metric: which curve.
        by_run: whether each run is a family of its own, so that another seed of its arm may foretell it: that is what
            one has while a run goes. Else the runs of an arm are a family.
    """
    past = catalog.newest_finished(label, PAST_RUNS)
    curves = (read_curve(catalog, run.id, metric, run.id if by_run else run.key) for run in past)
    return [curve for curve in curves if curve is not None]


def read_curve(catalog: Catalog, run_id: str, metric: str, family: str, total: float | None = None) -> PastCurve | None:
    """Read a curve's finite points; steps are counted from 1, so that a share of the budget is above 0.

    Returns:
        the curve; None where fewer than two points are there.
    """
    try:
        logged = catalog.curve(run_id, metric).by_step()
    except NotFoundError:
        return None
    finite = np.isfinite(logged.values)
    steps = logged.steps[finite]
    if len(steps) < 2:
        return None
    counted = np.asarray(steps - min(0, int(steps[0])) + 1, float)
    try:
        values = logged.values[finite]
        return PastCurve(steps=counted, values=values, total=total or float(counted[-1]), family=family)
    except InputError:
        return None
