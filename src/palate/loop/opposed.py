"""Other metrics that the same runs logged, and that say the opposite: shown beside the verdict, never hidden."""

from collections.abc import Sequence

from palate.errors import InputError
from palate.loop.evidence import Results
from palate.loop.question import ARMS, Question
from palate.store.catalog import Catalog
from palate.verdict.pairs import make_pairs
from palate.verdict.rule import Terms, Verdict, judge
from palate.verdict.words import effect_words
from palate.vocabulary import Metric, name_metric


def opposed_words(catalog: Catalog, question: Question, results: Results, verdict: Verdict) -> list[str]:
    """Name the metrics that got worse where the judged one got better, or the other way round.

    Only metrics whose names tell which way is better are looked at, at the pairs that the verdict rests on.
    """
    direction = verdict.kind.partition("_")[0]
    if direction not in ("better", "worse"):
        return []
    other = "worse" if direction == "better" else "better"
    seeds = [s for s in sorted(results[ARMS[0]]) if s in results[ARMS[1]]][: verdict.n]
    last = {arm: _last_values(catalog, [results[arm][seed].id for seed in seeds]) for arm in ARMS}
    told = []
    for name in last[ARMS[0]].keys() & last[ARMS[1]].keys() - {question.metric.name}:
        seen = _judge(name, [last[arm][name] for arm in ARMS], len(seeds), question)
        if seen is not None and seen[1].kind.startswith(other):
            told.append(f"But {name} is {other}: {effect_words(seen[1], seen[0])}.")
    return sorted(told)


def _last_values(catalog: Catalog, runs: Sequence[str]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    rows = {(row["run_id"], row["metric"]): row["last"] for row in catalog.summaries(runs)}
    for run in runs:
        for (owner, metric), value in rows.items():
            if owner == run and value is not None:
                found.setdefault(metric, []).append(value)
    return found


def _judge(name: str, arms: Sequence[list[float]], n: int, question: Question) -> tuple[Metric, Verdict] | None:
    if n < 2 or any(len(values) != n for values in arms):
        return None
    try:
        metric = name_metric(name)
    except InputError:
        return None
    return metric, judge(make_pairs(*arms, sign=metric.sign), Terms(budget=question.budget))
