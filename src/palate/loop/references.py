"""The one to beat, for a question: from the project's own past, and from what is seen of the treatment's curves."""

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from palate.errors import InputError, NotFoundError
from palate.forecast.chances import Chances, Member, Reference, reference_of_body
from palate.forecast.curves import Curve
from palate.forecast.density import Scale
from palate.forecast.early import Gap, gap_features, gap_now, gaps_of, refer_early
from palate.forecast.endings import fit_endings
from palate.forecast.features import family_of, features_of
from palate.forecast.reference import Case, refer
from palate.loop.ledger import OUTCOMES, Evidence
from palate.loop.question import Question, question_from_body
from palate.loop.terms import verdict_of
from palate.store.catalog import Catalog
from palate.store.chain import Chain, Record
from palate.verdict.words import effect_words
from palate.vocabulary import BASELINE, TREATMENT

FEWEST, MOST = 3, 400
GAPS_READ = 60
"""Past questions, the newest, whose early gaps are read from their curves."""

Told = list[tuple[Mapping[Member, Chances], str]]


def reference_for(chain: Chain, question: Question) -> Reference:
    """Give the reference forecast for a question that nothing was run of, from the project's past."""
    return _refer(chain, question, {}, {})


def reference_seen(chain: Chain, catalog: Catalog, question: Question, evidence: Evidence) -> Reference:
    """Give the reference forecast once something of the treatment is seen.

    Where too few runs have finished to tell anything by a curve, it is that of the project's past.
    """
    share = evidence.share or 0.0
    sight = _sight(catalog, question)
    if sight is None or not 0 < share < 1:
        return reference_for(chain, question)
    mine = gap_features(sight.gap / sight.scale.seed_sd)
    blind = _refer(chain, question, mine, _past_gaps(chain, catalog, question, share))
    return refer_early(blind, sight.gaps, sight.scale, share, _told(chain, question, evidence.kind))


def case_words(chain: Chain, names: Sequence[str]) -> list[str]:
    """Say of past experiments what was changed and what came of it, a line each."""
    asked = {record.body["experiment"]: record.body for record in chain.records("question")}
    verdicts = {record.body["experiment"]: record.body for record in chain.records("verdict")}
    told = []
    for name in names:
        question, verdict = question_from_body(asked[name]), verdict_of(verdicts[name])
        changed = ", ".join(str(change) for change in question.changes)
        effect = effect_words(verdict, question.metric)
        told.append(f"{name}  {changed}: {OUTCOMES[verdict.kind]}{f', {effect}' if effect else ''}")
    return told


def _refer(
    chain: Chain, question: Question, mine: Mapping[str, float], gaps: Mapping[str, Mapping[str, float]]
) -> Reference:
    cases = [_case(record, outcome, gaps) for record, outcome in _settled(chain, question)]
    features = {**_features(question), **mine}
    return refer(family_of(question.changes), features, cases, _told(chain, question), list(_effects(chain, question)))


def _features(question: Question) -> dict[str, float]:
    return {**dict.fromkeys(question.chunks, 1.0), **features_of(question.changes)}


def _case(record: Record, outcome: str, gaps: Mapping[str, Mapping[str, float]]) -> Case:
    question = question_from_body(record.body)
    name = record.body["experiment"]
    features = {**_features(question), **gaps.get(name, {})}
    return Case(name=name, family=family_of(question.changes), features=features, outcome=outcome)


def _settled(chain: Chain, question: Question) -> Iterator[tuple[Record, str]]:
    """Give the questions that were settled before this one was asked, with how they went; void ones are left out."""
    records = chain.records()
    void = {record.body["experiment"] for record in records if record.kind == "void"}
    until = next((r.number for r in records if r.kind == "question" and _is(r, question)), len(records))
    verdicts = {r.body["experiment"]: r.body["kind"] for r in records[:until] if r.kind == "verdict"}
    for record in records[:until]:
        outcome = OUTCOMES.get(verdicts.get(record.body.get("experiment", ""), ""))
        if record.kind == "question" and outcome and record.body["experiment"] not in void:
            yield record, outcome


def _is(record: Record, question: Question) -> bool:
    return bool(record.body["experiment"] == question.experiment)


def _effects(chain: Chain, question: Question) -> Iterator[tuple[float, float]]:
    """Give past effects with their standard errors, in seed standard deviations."""
    settled = {record.body["experiment"] for record, _ in _settled(chain, question)}
    for record in chain.records("verdict"):
        body = record.body
        if body["experiment"] in settled and body["seed_sd"] and body["spread"] and body["raw"] is not None:
            yield body["raw"] / body["seed_sd"], body["spread"] / math.sqrt(body["n"]) / body["seed_sd"]


def _told(chain: Chain, question: Question, kind: str = "") -> Told:
    """Give what members foretold of settled questions: with the question, or of a class with its first forecast."""
    outcomes = {record.body["experiment"]: outcome for record, outcome in _settled(chain, question)}
    found: dict[str, Mapping[Member, Chances]] = {}
    for record in chain.records("forecast" if kind else "question"):
        name, body = record.body["experiment"], record.body.get("reference")
        if name in outcomes and body and name not in found and (not kind or _class(record) == kind):
            found[name] = reference_of_body(body).members
    return [(members, outcomes[name]) for name, members in found.items()]


def _class(record: Record) -> str:
    body = record.body
    return Evidence(points=body["evidence_seen"], samples=body["samples_seen"], share=body["share_seen"]).kind


class _Sight:
    """What running curves of the treatment say of the effect."""

    def __init__(self, gap: float, gaps: dict[Member, Gap], scale: Scale) -> None:
        self.gap, self.gaps, self.scale = gap, gaps, scale


def _sight(catalog: Catalog, question: Question) -> _Sight | None:
    """Hold the treatment's curves, as far as they are seen, against the baseline's; None where nothing can be told."""
    past = finished_curves(catalog, question.target.label, question.metric.name)
    if len(past) < FEWEST:
        return None
    total = float(np.median([curve.total for curve in past]))
    mine, base = (
        [
            curve
            for row in catalog.runs([question.run_key(arm)])
            if (curve := read_curve(catalog, row["id"], question.metric.name, "", total)) is not None
        ]
        for arm in (TREATMENT, BASELINE)
    )
    if not mine or not base:
        return None
    share = min(min(curve.share for curve in mine), 1.0)
    endings = fit_endings(past, share)
    ends = np.array([curve.values[-1] for curve in past])
    seed_sd = float(np.std([c.values[-1] for c in base], ddof=1)) if len(base) >= FEWEST else float(np.std(ends))
    if endings is None or not seed_sd > 0:
        return None
    scale = Scale(margin=question.margin or seed_sd, seed_sd=seed_sd)
    return _Sight(gap_now(mine, base, question.metric.sign), gaps_of(endings, mine, base, question.metric.sign), scale)


def _past_gaps(chain: Chain, catalog: Catalog, question: Question, share: float) -> dict[str, dict[str, float]]:
    """Give, for past questions with curves, how far ahead or behind the treatment was at this share of its budget."""
    seed_sds = {record.body["experiment"]: record.body["seed_sd"] for record in chain.records("verdict")}
    found = {}
    for record, _ in list(_settled(chain, question))[-GAPS_READ:]:
        name = record.body["experiment"]
        gap = _gap_then(catalog, question_from_body(record.body), share)
        if gap is not None and seed_sds.get(name):
            found[name] = gap_features(gap / seed_sds[name])
    return found


def _gap_then(catalog: Catalog, question: Question, share: float) -> float | None:
    arms = []
    for arm in (TREATMENT, BASELINE):
        runs = [row["id"] for row in catalog.runs([question.run_key(arm)]) if row["exit"] == "ok"][:FEWEST]
        curves = [read_curve(catalog, run, question.metric.name, "") for run in runs]
        arms.append([part for curve in curves if curve is not None and len((part := curve.until(share)).values)])
    return gap_now(arms[0], arms[1], question.metric.sign) if all(arms) else None


def finished_curves(catalog: Catalog, label: str, metric: str) -> list[Curve]:
    """Read the curves of a training's newest finished runs; each run is a family of its own.

    Another seed of the same arm may foretell a run: that is what one has.
    """
    past = [row for row in catalog.runs() if row["label"] == label and row["exit"] == "ok"][-MOST:]
    curves = (read_curve(catalog, row["id"], metric, row["id"]) for row in past)
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
