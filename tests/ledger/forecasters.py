"""Chains as years of forecasting leave them, by made-up forecasters who are right as often as they are meant to be."""

from datetime import UTC, datetime, timedelta
from functools import cache

import numpy as np

from palate.forecast.answer import Forecast
from palate.forecast.chances import Chances, Reference
from palate.forecast.density import Scale
from palate.forecast.score import Entry, Observed, score
from palate.ledger.ledger import Ledger
from palate.ledger.records import Author, SealedForecast, SealedQuestion, SealedScore
from palate.question.question import build_question
from palate.question.target import Handover, Target, Task
from palate.store.chain import Chain

REFERENCE = Reference(chances=Chances(worse=0.3, same=0.3, better=0.3, crash=0.1))
START = datetime(2026, 1, 1, tzinfo=UTC)


def question_about(name):
    """A question about one setting, which is changed from 1 to 2."""
    task = Task(kind="function", file="/home/ada/train.py", name="train")
    target = Target(
        label="train:train", task=task, settings={name: 1.0}, how={name: Handover("parameter")}, versions={}
    )
    return build_question(target, {name: 2.0}, metric="val_acc", margin=0.01)


def chain_of(folder, forecasters, n=60, *, together=False, sure=(80,)):
    """Write a chain of many scored forecasts, each of which says that something gets better.

    Args:
        forecasters: by name, how often each is right and what each had seen.
        n: forecasts each.
        together: whether all answer the same questions.
        sure: confidences, in percent, that they take in turn.
    """
    chain = Chain(folder / "chain.jsonl")
    rng = np.random.default_rng(5)
    now = START
    for k in range(n):
        for place, (author, (right, evidence)) in enumerate(forecasters.items()):
            now += timedelta(seconds=1)
            hit = bool(rng.random() < right)
            question = question_about(f"{'all' if together else author}{k}")
            if not together or place == 0:
                chain.append("question", SealedQuestion(question=question, reference=REFERENCE).body(), now=now)
            said = Forecast(answer="better", confidence=sure[k % len(sure)])
            _forecast_and_score(chain, question, Author(name=author), said, evidence, hit, now)
    return chain


def ledger_of(folder, forecasters, n=60, **options):
    """Read what `chain_of` writes."""
    return Ledger.of(chain_of(folder, forecasters, n, **options))


def _forecast_and_score(chain, question, author, said, evidence, hit, now):
    forecast = SealedForecast(
        experiment=question.experiment, said=said, reference=REFERENCE, author=author, evidence=evidence,
        margin=question.margin, seeds=(0, question.budget), nonce="0" * 32,
    )  # fmt: skip
    sealed = SealedForecast.read(chain.append("forecast", forecast.body(), now=now))
    outcome = SealedScore(
        experiment=question.experiment, forecast=sealed.hash, author=author, turn="forecast", kind=sealed.kind,
        settled="better" if hit else "worse", pairs=4, runs=question.experiment, score=scored(said, hit),
    )  # fmt: skip
    chain.append("score", outcome.body(), now=now)


@cache
def scored(said, hit):
    """Score a forecast that came true, or did not."""
    seen = Observed(
        difference=3.0 if hit else -3.0,
        standard_error=0.3,
        scale=Scale(margin=1, seed_sd=1),
        settled="better" if hit else "worse",
    )
    return score(Entry(said=said, reference=REFERENCE.chances, seen=seen))
