"""The one to beat, for a question: from the project's own past, and from what is seen of the treatment's curve."""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from palate.errors import InputError, NotFoundError
from palate.forecast.chances import Member, Reference, reference_of_body
from palate.forecast.curves import Curve
from palate.forecast.density import Cells, Scale, class_densities
from palate.forecast.early import Gap, gap_features, gap_now, gaps_of, refer_early
from palate.forecast.endings import Ending, fit_endings, foretell
from palate.forecast.features import family_of, features_of
from palate.forecast.reference import Case, Told, refer, sure_of
from palate.ledger.records import OUTCOMES, Evidence, evidence_of_body, outcome_of, verdict_of
from palate.question.question import Question, question_from_body
from palate.store.catalog import Catalog
from palate.store.chain import Chain, Record
from palate.verdict.words import effect_words
from palate.vocabulary import BASELINE, TREATMENT

FEWEST, MOST = 3, 400


def finished_curves(catalog: Catalog, label: str, metric: str, *, by_run: bool = False) -> list[Curve]:
    """Read the curves of a training's newest finished runs.

    Args:
        catalog: of the project.
        label: of the training.
        metric: which curve.
        by_run: whether each run is a family of its own, so that another seed of its arm may foretell it: that is what
            one has while a run goes. Else the runs of an arm are a family.
    """
    past = [row for row in catalog.runs() if row["key"] and row["label"] == label and row["exit"] == "ok"][-MOST:]
    curves = (read_curve(catalog, row["id"], metric, row["id"] if by_run else row["key"]) for row in past)
    return [curve for curve in curves if curve is not None]


def read_curve(catalog: Catalog, run_id: str, metric: str, family: str, total: float | None = None) -> Curve | None:
    """Read a curve's finite points; steps are counted from 1, so that a power law can be drawn through them.

    Returns:
        the curve; None where fewer than two points are there.
    """
    try:
        told = catalog.curve(run_id, metric)
    except NotFoundError:
        return None
    kept = np.isfinite(told.values)
    steps, places = np.unique(told.steps[kept], return_index=True)
    if len(steps) < 2:
        return None
    counted = np.asarray(steps - min(0, int(steps[0])) + 1, float)
    try:
        return Curve(steps=counted, values=told.values[kept][places], total=total or float(counted[-1]), family=family)
    except InputError:
        return None


GAPS_READ = 60
"""Past questions, the newest, whose early gaps are read from their curves."""


Likelihood = tuple[float, float, float, float]


Features = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class PastQuestion:
    """A question of the past of which something was seen: its record, its verdict's body, and how probable that was."""

    record: Record
    verdict: Mapping[str, Any]
    likelihood: Likelihood

    @property
    def name(self) -> str:
        """The experiment."""
        return str(self.record.body["experiment"])


def reference_for(chain: Chain, question: Question) -> Reference:
    """Give the reference forecast of this moment for a question, from the project's past alone."""
    return _refer(chain, question, {}, {})


def reference_seen(chain: Chain, catalog: Catalog, question: Question, evidence: Evidence) -> Reference:
    """Give the reference forecast of this moment for whoever could see this much of the treatment.

    Where nothing is seen, or too few runs have finished to tell anything by a curve, it is that of the project's past.
    """
    sight = _sight(catalog, question) if evidence.points or evidence.samples else None
    if sight is None:
        return reference_for(chain, question)
    mine = gap_features(sight.gap / sight.scale.seed_sd)
    blind = _refer(chain, question, mine, _past_gaps(chain, catalog, question, sight.share))
    scale = Scale(margin=sight.scale.margin, seed_sd=sight.scale.seed_sd, unit=blind.unit)
    return refer_early(blind, sight.gaps, scale, sight.share, _told(chain, question, evidence.kind))


def case_words(chain: Chain, names: Sequence[str]) -> list[str]:
    """Say of past experiments what was changed and what came of it, a line each; those not here are left out."""
    asked = {record.body["experiment"]: record.body for record in chain.records("question")}
    verdicts = {record.body["experiment"]: record.body for record in chain.records("verdict")}
    return [_case_line(name, asked[name], verdicts[name]) for name in names if name in asked and name in verdicts]


def _case_line(name: str, asked: Mapping[str, Any], verdict: Mapping[str, Any]) -> str:
    question = question_from_body(asked)
    changed = ", ".join(str(change) for change in question.changes)
    effect = effect_words(verdict_of(verdict), question.metric)
    return f"{name}  {changed}: {OUTCOMES.get(verdict['kind'], 'not settled')}{f', {effect}' if effect else ''}"


def _refer(chain: Chain, question: Question, mine: Features, gaps: Mapping[str, Features]) -> Reference:
    past = list(past_questions(chain, question.experiment))
    cases = [_case(one, gaps.get(one.name, {})) for one in past]
    effects = [effect for one in past if (effect := _effect(one.verdict)) is not None]
    features = {**_features(question), **mine}
    return refer(family_of(question.changes), features, cases, _told(chain, question), effects)


def _features(question: Question) -> dict[str, float]:
    return {**dict.fromkeys(question.chunks, 1.0), **features_of(question.changes)}


def _case(one: PastQuestion, gap: Features) -> Case:
    question = question_from_body(one.record.body)
    features = {**_features(question), **gap}
    return Case(name=one.name, family=family_of(question.changes), features=features, likelihood=one.likelihood)


def past_questions(chain: Chain, without: str) -> Iterator[PastQuestion]:
    """Give the questions of which a verdict is sealed, settled or not, oldest first; void ones are left out.

    Args:
        chain: the sealed chain.
        without: an experiment that is left out.
    """
    left_out = {record.body["experiment"] for record in chain.records("void")} | {without}
    verdicts = {record.body["experiment"]: record.body for record in chain.records("verdict")}
    for record in chain.records("question"):
        verdict = verdicts.get(record.body["experiment"])
        if verdict is not None and record.body["experiment"] not in left_out:
            likelihood = _likelihood(verdict)
            if likelihood is not None:
                yield PastQuestion(record, verdict, likelihood)


def _likelihood(verdict: Mapping[str, Any]) -> Likelihood | None:
    """Say how probable what was seen is under each outcome; None where nothing can be said."""
    outcome = outcome_of(verdict)
    if outcome is not None:
        return sure_of(outcome)
    if not all(verdict.get(name) for name in ("spread", "seed_sd", "margin", "n")) or verdict["raw"] is None:
        return None
    cells = Cells([Scale(margin=verdict["margin"], seed_sd=verdict["seed_sd"])])
    error = verdict["spread"] / math.sqrt(verdict["n"])
    worse, same, better = class_densities(cells, np.array([verdict["raw"]]), np.array([error]))[0].tolist()
    return worse, same, better, 0.0


def _effect(verdict: Mapping[str, Any]) -> tuple[float, float] | None:
    """Give a past effect with its standard error, in seed standard deviations."""
    if not verdict["seed_sd"] or not verdict["spread"] or verdict["raw"] is None:
        return None
    sd = verdict["seed_sd"]
    return verdict["raw"] / sd, verdict["spread"] / math.sqrt(verdict["n"]) / sd


def _told(chain: Chain, question: Question, kind: str = "") -> list[Told]:
    """Give what members foretold of past questions: with the question, or of a class with its first forecast."""
    seen = {one.name: one.likelihood for one in past_questions(chain, question.experiment)}
    found: dict[str, Mapping[Member, Any]] = {}
    for record in chain.records("forecast" if kind else "question"):
        name, body = record.body["experiment"], record.body.get("reference")
        if name in seen and body and name not in found and (not kind or evidence_of_body(record.body).kind == kind):
            found[name] = reference_of_body(body).members
    return [(members, seen[name]) for name, members in found.items()]


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
    past = finished_curves(catalog, label, metric.name)
    if len(past) < FEWEST:
        return None
    total = float(np.median([curve.total for curve in past]))
    mine = max(_curves(catalog, question, TREATMENT, total), key=lambda curve: curve.steps[-1], default=None)
    if mine is None or not 0 < mine.share < 1:
        return None
    base = [c for c in _curves(catalog, question, BASELINE, total) if c.steps[-1] >= mine.steps[-1]]
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


def _curves(catalog: Catalog, question: Question, arm: str, total: float) -> list[Curve]:
    """Read an arm's curves; those of runs that failed are left out."""
    rows = [row for row in catalog.runs([question.run_key(arm)]) if row["exit"] in (None, "ok", "stopped")]
    curves = (read_curve(catalog, row["id"], question.metric.name, "", total) for row in rows)
    return [curve for curve in curves if curve is not None]


def _seed_sd(past: Sequence[Curve]) -> float:
    """Give how much runs of one arm differ at their ends, pooled; of all runs where no arm has two."""
    ends: dict[str, list[float]] = defaultdict(list)
    for curve in past:
        ends[curve.family].append(float(curve.values[-1]))
    several = [values for values in ends.values() if len(values) > 1]
    if not several:
        return float(np.std([curve.values[-1] for curve in past]))
    squares = sum(float(np.var(values, ddof=1)) * (len(values) - 1) for values in several)
    return math.sqrt(squares / sum(len(values) - 1 for values in several))


def _past_gaps(chain: Chain, catalog: Catalog, question: Question, share: float) -> dict[str, Features]:
    """Give, for past questions with curves, how far ahead or behind the treatment was at this share of its budget."""
    found: dict[str, Features] = {}
    for one in list(past_questions(chain, question.experiment))[-GAPS_READ:]:
        gap = _gap_then(catalog, question_from_body(one.record.body), share)
        if gap is not None and one.verdict["seed_sd"]:
            found[one.name] = gap_features(gap / one.verdict["seed_sd"])
    return found


def _gap_then(catalog: Catalog, question: Question, share: float) -> float | None:
    arms = []
    for arm in (TREATMENT, BASELINE):
        runs = [row["id"] for row in catalog.runs([question.run_key(arm)]) if row["exit"] == "ok"][:FEWEST]
        arms.append([c for run in runs if (c := read_curve(catalog, run, question.metric.name, "")) is not None])
    mine, base = arms
    if not mine or not base or not len((part := mine[0].until(share)).values):
        return None
    base = [curve for curve in base if curve.steps[-1] >= part.steps[-1]]
    return gap_now(part, base, question.metric.sign) if base else None


def foretell_run(catalog: Catalog, run: dict[str, Any]) -> dict[str, Ending]:
    """Say of each metric of a run that has not ended how it will end; empty where past runs do not tell."""
    if run["exit"] is not None:
        return {}
    found: dict[str, Ending] = {}
    for summary in catalog.summaries([run["id"]]):
        finished = finished_curves(catalog, run["label"], summary["metric"], by_run=True)
        ending = _ending(catalog, run["id"], summary["metric"], finished)
        if ending is not None:
            found[summary["metric"]] = ending
    return found


def _ending(catalog: Catalog, run_id: str, metric: str, finished: list[Curve]) -> Ending | None:
    if len(finished) < FEWEST:
        return None
    total = float(np.median([curve.total for curve in finished]))
    part = read_curve(catalog, run_id, metric, "", total)
    if part is None or part.share >= 1:
        return None
    endings = fit_endings(finished, part.share)
    return None if endings is None else foretell(endings, part)
