"""Score forecasts by what the runs gave, and say how everybody does by now."""

import math
from collections.abc import Iterator
from datetime import UTC, datetime
from statistics import stdev

from palate.forecast.answer import Spread
from palate.forecast.density import Scale
from palate.forecast.score import Entry, NoiseSource, Observed, score
from palate.ledger.ledger import Ledger, SealedExperiment
from palate.ledger.records import SealedForecast, SealedScore, SealedVerdict, SealedVoid, outcome_of
from palate.ledger.standings import Standing, standings
from palate.loop.judge import Judgement, judge_now
from palate.loop.results import Results
from palate.loop.when import resolve_when
from palate.question.question import Question
from palate.recipe.codec import content_id
from palate.store.catalog import Catalog
from palate.store.chain import Chain
from palate.vocabulary import BASELINE, TREATMENT

TINY = 1e-3
"""Standard error, in seed standard deviations, of a difference that is exactly nothing."""


def score_forecast(sealed: SealedForecast, question: Question, judgement: Judgement) -> SealedScore | None:
    """Score a forecast against what the runs gave; None where they gave nothing to score by."""
    seen = _observed(sealed, question, judgement)
    if seen is None:
        return None
    entry = Entry(said=sealed.said, reference=sealed.reference.chances, seen=seen, sign=question.metric.sign)
    keys = question.plan.keys
    return SealedScore(
        experiment=question.experiment,
        forecast=sealed.hash,
        author=sealed.author,
        turn=sealed.turn,
        kind=sealed.kind,
        settled=outcome_of(judgement.verdict),
        pairs=judgement.verdict.n,
        runs=content_id([keys[BASELINE], keys[TREATMENT]])[:16],
        score=score(entry),
    )


def seal_scores(chain: Chain, experiment: SealedExperiment, judgement: Judgement, *, now: datetime) -> None:
    """Seal the scores of all forecasts that have none yet, each once; a void question's forecasts get none."""
    if experiment.void is not None:
        return
    for sealed in experiment.forecasts:
        known = sealed.hash in experiment.scores
        scored = None if known else score_forecast(sealed, experiment.question, judgement)
        if scored is not None:
            _seal(chain, scored, now)


def _seal(chain: Chain, scored: SealedScore, now: datetime) -> None:
    def is_scored() -> bool:
        return scored.forecast in Ledger.of(chain).read(scored.experiment).scores

    chain.append_unless(SealedScore.KIND, scored.body(), is_scored, now=now)


def skill_now(ledger: Ledger, catalog: Catalog) -> list[Standing]:
    """Return everybody's standing, as it is with all that is known by now.

    When-forecasts whose runs have ended are scored first. Questions of which pairs were seen but that were never
    settled count by the pairs that there are: leaving off where it starts badly must not pay.
    """
    catalog.refresh()
    if ledger.whens():
        with ledger.chain.where_possible():
            resolve_when(ledger, catalog, now=datetime.now(UTC))
    begun = list(_begun(ledger, catalog))
    scores = [score for experiment, judgement in begun for score in _open_scores(experiment, judgement)]
    return standings(ledger, scores, frozenset(experiment.id for experiment, _ in begun))


def _begun(ledger: Ledger, catalog: Catalog) -> Iterator[tuple[SealedExperiment, Judgement]]:
    """Yield the forecast questions without a verdict whose treatment has ended runs, judged as they stand."""
    waiting = ledger.having("forecast") - ledger.having(SealedVerdict.KIND, SealedVoid.KIND)
    for experiment in ledger.of_names(waiting):
        judgement = judge_now(ledger, catalog, experiment.question)
        if judgement.results[TREATMENT]:
            yield experiment, judgement


def _open_scores(experiment: SealedExperiment, judgement: Judgement) -> Iterator[SealedScore]:
    """Score the forecasts of a question without a verdict by the pairs that have ended."""
    for sealed in experiment.forecasts if judgement.verdict.n else ():
        scored = score_forecast(sealed, experiment.question, judgement)
        if scored is not None:
            yield scored


def _observed(sealed: SealedForecast, question: Question, judgement: Judgement) -> Observed | None:
    verdict = judgement.verdict
    settled = outcome_of(verdict)
    if verdict.kind == "failed" and settled is None:
        return None  # the baseline fails too: nothing is said of the change
    if verdict.kind == "failed":
        return Observed(difference=None, standard_error=1.0, scale=Scale(margin=1.0, seed_sd=1.0), settled="crash")
    noise = _noise(sealed, question, judgement)
    if noise is None:
        return None
    seed_sd, error, source = noise
    margin = verdict.margin or question.margin or seed_sd
    return Observed(
        difference=verdict.raw or 0.0,
        standard_error=error,
        scale=Scale(margin=margin, seed_sd=seed_sd, unit=sealed.reference.unit),
        settled=settled,
        noise=source,
    )


def _noise(sealed: SealedForecast, question: Question, judgement: Judgement) -> tuple[float, float, NoiseSource] | None:
    """Return seed sd, standard error and where they are from: these seeds, past ones, or an uncounted guess."""
    verdict = judgement.verdict
    if verdict.kind == "nothing":
        seed_sd = _baseline_sd(judgement.results) or question.margin or _own_scale(sealed)
        return (seed_sd, TINY * seed_sd, "seeds") if seed_sd else None
    if verdict.raw is None or verdict.reason == "frozen_seeds":
        return None
    if verdict.seed_sd and verdict.standard_error:
        return verdict.seed_sd, verdict.standard_error, "seeds" if verdict.n > 1 else "history"
    guess = _guess(sealed, question)
    return (guess, math.sqrt(2 / verdict.n) * guess, "none") if guess and verdict.n else None


def _own_scale(sealed: SealedForecast) -> float | None:
    """Return a scale for a difference that is nought: any will do for an answer, none is known for quantiles."""
    return None if isinstance(sealed.said, Spread) else 1.0


def _guess(sealed: SealedForecast, question: Question) -> float | None:
    """Guess a seed sd where nothing tells it: the margin, which is one by default, or what quantiles imply."""
    if question.margin is not None:
        return question.margin
    return (sealed.said.high - sealed.said.low) / 2.56 if isinstance(sealed.said, Spread) else None


def _baseline_sd(results: Results) -> float | None:
    values = [r.outcome.value for r in results[BASELINE].values() if r.outcome.value is not None]
    return (stdev(values) or None) if len(values) > 1 else None
