"""Score the sealed forecasts of an experiment by what its runs gave."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from statistics import stdev
from typing import Any

from palate.forecast.answer import Spread
from palate.forecast.density import Scale
from palate.forecast.score import Entry, NoiseSource, Observed, Score, score
from palate.ledger.ledger import Story, read_story
from palate.ledger.records import Sealed, outcome_of
from palate.ledger.standings import Standing, standings
from palate.loop.judge import Cooked, look_now
from palate.loop.results import Results
from palate.loop.when import resolve_when
from palate.recipe.codec import content_id
from palate.store.catalog import Catalog
from palate.store.chain import Chain, Record
from palate.store.project import Project
from palate.vocabulary import BASELINE, TREATMENT

TINY = 1e-3
"""Standard error, in seed standard deviations, of a difference that is exactly nothing."""


def score_sealed(sealed: Sealed, story: Story, cooked: Cooked) -> Score | None:
    """Score a sealed forecast against what the runs gave; None where they gave nothing to score by."""
    seen = _observed(sealed, story, cooked)
    if seen is None:
        return None
    sign = story.question.metric.sign
    return score(Entry(said=sealed.said, reference=sealed.reference.chances, seen=seen, sign=sign))


def seal_scores(chain: Chain, story: Story, cooked: Cooked, *, now: datetime) -> None:
    """Seal the scores of all forecasts that have none yet, each once; a void question's forecasts get none."""
    if story.void is not None:
        return
    for sealed in story.forecasts:
        found = None if sealed.hash in story.scores else score_sealed(sealed, story, cooked)
        if found is not None:
            chain.append_unless("score", score_body(sealed, story, found, cooked), _is_scored(sealed), now=now)


def _is_scored(sealed: Sealed) -> Any:
    def known(records: Sequence[Record]) -> bool:
        return any(record.kind == "score" and record.body["forecast"] == sealed.hash for record in records)

    return known


def score_body(sealed: Sealed, story: Story, found: Score, cooked: Cooked) -> dict[str, Any]:
    """Write a score as it is sealed.

    `runs` names the pair of arms: questions that share all their runs (another margin, another metric) make one bet.
    """
    question = story.question
    return {
        "experiment": question.experiment,
        "forecast": sealed.hash,
        "author": sealed.author.name,
        "agent": sealed.author.agent,
        "turn": sealed.turn,
        "kind": sealed.evidence.kind,
        "settled": outcome_of(asdict(cooked.verdict)),
        "pairs": cooked.verdict.n,
        "runs": content_id([question.run_key(BASELINE), question.run_key(TREATMENT)])[:16],
        **asdict(found),
    }


def _observed(sealed: Sealed, story: Story, cooked: Cooked) -> Observed | None:
    verdict = cooked.verdict
    settled = outcome_of(asdict(verdict))
    if verdict.kind == "failed" and settled is None:
        return None  # the baseline fails too: nothing is said of the change
    if verdict.kind == "failed":
        return Observed(difference=None, standard_error=1.0, scale=Scale(margin=1.0, seed_sd=1.0), settled="crash")
    told = _noise(sealed, story, cooked)
    if told is None:
        return None
    seed_sd, error, source = told
    margin = verdict.margin or story.question.margin or seed_sd
    return Observed(
        difference=verdict.raw or 0.0,
        standard_error=error,
        scale=Scale(margin=margin, seed_sd=seed_sd, unit=sealed.reference.unit),
        settled=settled,
        noise=source,
    )


def _noise(sealed: Sealed, story: Story, cooked: Cooked) -> tuple[float, float, NoiseSource] | None:
    """Give seed sd, standard error and where they are from: these seeds, past ones, or a guess that counts for none."""
    verdict = cooked.verdict
    if verdict.kind == "nothing":
        seed_sd = _baseline_sd(cooked.results) or story.question.margin or _own_scale(sealed)
        return (seed_sd, TINY * seed_sd, "seeds") if seed_sd else None
    if verdict.raw is None or verdict.reason == "frozen_seeds":
        return None
    if verdict.seed_sd and verdict.standard_error:
        return verdict.seed_sd, verdict.standard_error, "seeds" if verdict.n > 1 else "history"
    guess = _guess(sealed, story)
    return (guess, math.sqrt(2 / verdict.n) * guess, "none") if guess and verdict.n else None


def _own_scale(sealed: Sealed) -> float | None:
    """Give a scale for a difference that is nought: any will do for an answer, none is known for quantiles."""
    return None if isinstance(sealed.said, Spread) else 1.0


def _guess(sealed: Sealed, story: Story) -> float | None:
    """Guess a seed sd where nothing tells it: the margin, which is one by default, or what quantiles imply."""
    if story.question.margin is not None:
        return story.question.margin
    return (sealed.said.high - sealed.said.low) / 2.56 if isinstance(sealed.said, Spread) else None


def _baseline_sd(results: Results) -> float | None:
    values = [r.outcome.value for r in results[BASELINE].values() if r.outcome.value is not None]
    return (stdev(values) or None) if len(values) > 1 else None


def skill_now(project: Project) -> list[Standing]:
    """Read everybody's standing, as it is with all that is known by now.

    When-forecasts whose runs have ended are scored first. Questions of which pairs were seen but that were never
    settled count by the pairs that there are: leaving off where it starts badly must not pay.
    """
    with Catalog.open(project) as catalog:
        catalog.refresh()
        if project.chain.records("when"):
            resolve_when(project, catalog, now=datetime.now(UTC))
    begun = list(_begun(project))
    scores = [body for story, cooked in begun for body in _open_scores(story, cooked)]
    return standings(project.chain, scores, frozenset(story.question.experiment for story, _ in begun))


def _begun(project: Project) -> Iterator[tuple[Story, Cooked]]:
    """Give the forecast questions without a verdict of which runs of the treatment have ended, judged as they stand."""
    chain = project.chain
    closed = {r.body["experiment"] for kind in ("verdict", "void") for r in chain.records(kind)}
    forecast = dict.fromkeys(record.body["experiment"] for record in chain.records("forecast"))
    for name in forecast:
        if name not in closed:
            story = read_story(chain, name)
            cooked = look_now(project, story.question)
            if cooked.results[TREATMENT]:
                yield story, cooked


def _open_scores(story: Story, cooked: Cooked) -> Iterator[Mapping[str, Any]]:
    """Score the forecasts of a question without a verdict by the pairs that have ended."""
    for sealed in story.forecasts if cooked.verdict.n else ():
        found = score_sealed(sealed, story, cooked)
        if found is not None:
            yield score_body(sealed, story, found, cooked)
