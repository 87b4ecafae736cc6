"""Chains as years of forecasting leave them, by made-up forecasters who are right as often as they are told to be."""

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from functools import cache

import numpy as np

from palate.forecast.answer import Forecast, said_body
from palate.forecast.chances import Chances, Reference
from palate.forecast.density import Scale
from palate.forecast.score import Entry, Observed, score
from palate.store.chain import Chain
from palate.vocabulary import Metric

REFERENCE = Reference(chances=Chances(worse=0.3, same=0.3, better=0.3, crash=0.1))
METRIC = asdict(Metric(name="val_acc", goal="max"))


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
    now = datetime(2026, 1, 1, tzinfo=UTC)
    for k in range(n):
        for place, (author, (right, evidence)) in enumerate(forecasters.items()):
            name = f"{'all' if together else author}{k}"
            now += timedelta(seconds=1)
            hit = bool(rng.random() < right)
            if not together or place == 0:
                chain.append("question", {"experiment": name, "metric": METRIC, "text": f"lr of {name}?"}, now=now)
            told = {"experiment": name, "author": author, "agent": False}
            said = Forecast(answer="better", confidence=sure[k % len(sure)])
            sealed = chain.append("forecast", {**told, **said_body(said), **evidence.body()}, now=now)
            kept = {"turn": "forecast", "kind": evidence.kind, "forecast": sealed.hash, "runs": name}
            settled = "better" if hit else "worse"
            chain.append("score", {**told, **kept, "settled": settled, **asdict(scored(said, hit))}, now=now)
    return chain


@cache
def scored(said, hit):
    seen = Observed(
        difference=3.0 if hit else -3.0,
        standard_error=0.3,
        scale=Scale(margin=1, seed_sd=1),
        settled="better" if hit else "worse",
    )
    return score(Entry(said=said, reference=REFERENCE.chances, seen=seen))
