"""Judge an experiment by the runs that are there, seal what is due, and report it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from palate.errors import InputError
from palate.loop.results import Examples, Results, complete_pairs, curves_identical, first_settled
from palate.loop.runner import SILENT, Served, Stove, Watcher
from palate.question.question import ARMS, Question, question_from_body
from palate.store.catalog import Catalog
from palate.store.chain import Chain
from palate.store.project import Project
from palate.training.launch import Kitchen
from palate.training.local import Pool
from palate.verdict.history import Past, effect_sd, noise_of
from palate.verdict.pairs import Pairs, make_pairs
from palate.verdict.rule import Terms, Verdict, judge
from palate.verdict.words import effect_words
from palate.vocabulary import Metric, name_metric


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A verdict with the pairs it rests on; None where no pair finished."""

    verdict: Verdict
    pairs: Pairs | None

    @property
    def settled(self) -> bool:
        """Whether the verdict is."""
        return self.verdict.settled


@dataclass(frozen=True, slots=True, kw_only=True)
class Cooked:
    """What a session found.

    Attributes:
        verdict: at the look that settled it, else at the last.
        pairs: the pairs it rests on; None where none finished.
        results: every ended run by arm and seed.
        terms: what they were judged on.
        fresh: runs made in this session.
        reused: runs that were there already.
    """

    verdict: Verdict
    pairs: Pairs | None
    results: Results
    terms: Terms
    fresh: int
    reused: int

    @property
    def done(self) -> bool:
        """Whether no more runs will be made: the verdict is settled, or every pair of the budget has ended."""
        return self.verdict.settled or complete_pairs(self.results) >= self.terms.budget


class Session:
    """Run a question's missing pairs until its verdict settles."""

    def __init__(self, project: Project, question: Question, kitchen: Kitchen, watcher: Watcher) -> None:
        self._question = question
        self._terms = terms_of(project.chain, question)
        self._examples = Examples(project)
        self._watcher = watcher
        self._stove = Stove(project, question, kitchen, watcher, self._look)

    def look(self) -> Cooked:
        """Judge the runs that are there, running none."""
        return self._cooked(self._stove.see())

    def settle(self, warm: Pool | None = None) -> Cooked:
        """Run until settled or the budget is spent. See `Stove.settle`."""
        return self._cooked(self._stove.settle(warm))

    def _cooked(self, served: Served[Judged]) -> Cooked:
        return Cooked(
            verdict=served.look.verdict,
            pairs=served.look.pairs,
            results=served.results,
            terms=self._terms,
            fresh=served.fresh,
            reused=served.reused,
        )

    def _look(self, catalog: Catalog, results: Results) -> Judged:
        floor = self._examples.disagreement
        verdict, pairs = first_settled(self._question, self._terms, results, disagreement=floor)
        if pairs is not None and pairs.identical and verdict.kind == "nothing":
            catalog.refresh()
            identical = curves_identical(catalog, results)
            verdict, pairs = first_settled(
                self._question, self._terms, results, identical=identical, disagreement=floor
            )
        self._watcher.looked(verdict)
        return Judged(verdict=verdict, pairs=pairs)


def look_now(project: Project, question: Question) -> Cooked:
    """Judge the runs that are there, sealing nothing."""
    return Session(project, question, Kitchen(workers=0, threads=1), SILENT).look()


def terms_of(chain: Chain, question: Question) -> Terms:
    """Give the terms that a question is judged on: its margin and budget, and what the project knew when it was asked.

    Past comparisons count where metric, training code's name and data are the same. They are taken as they were when
    the question was sealed, so that a verdict does not change under a person's hands.
    """
    records = chain.records()
    asked = {record.body["experiment"]: record for record in records if record.kind == "question"}
    until = asked[question.experiment].number if question.experiment in asked else len(records)
    alike = {name for name, record in asked.items() if _comparable(record.body, question)}
    past = [
        _past(record.body)
        for record in records[:until]
        if record.kind == "verdict" and record.body["experiment"] in alike and record.body.get("variance")
    ]
    return Terms(budget=question.budget, margin=question.margin, noise=noise_of(past), effect_sd=effect_sd(past))


def _comparable(body: Mapping[str, Any], question: Question) -> bool:
    asked = question_from_body(body)
    return all(
        one == other
        for one, other in (
            (asked.metric.name, question.metric.name),
            (asked.take, question.take),
            (asked.data, question.data),
            (asked.target.name, question.target.name),
        )
    )


def _past(body: Mapping[str, Any]) -> Past:
    error = body["spread"] / math.sqrt(body["n"])
    return Past(variance=body["variance"], df=body["n"] - 1, effect=body["raw"], standard_error=error)


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
        seen = _judge_other(name, [last[arm][name] for arm in ARMS], len(seeds), question)
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


def _judge_other(name: str, arms: Sequence[list[float]], n: int, question: Question) -> tuple[Metric, Verdict] | None:
    if n < 2 or any(len(values) != n for values in arms):
        return None
    try:
        metric = name_metric(name)
    except InputError:
        return None
    return metric, judge(make_pairs(*arms, sign=metric.sign), Terms(budget=question.budget))
