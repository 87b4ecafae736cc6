"""Judge a question by the runs that are there: look by look, on the terms that were known when it was sealed."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from palate.errors import InputError
from palate.forecast.features import family_of
from palate.ledger.ledger import Asked, Ledger
from palate.ledger.records import likeness_of
from palate.loop.metric import goal_for
from palate.loop.results import (
    Examples,
    Results,
    RunResult,
    bank_values,
    collect,
    complete_pairs,
    curves_identical,
    without_lost,
)
from palate.question.plan import ARMS
from palate.question.question import Question
from palate.recipe.codec import decode
from palate.recipe.settings import Change
from palate.store.catalog import Catalog
from palate.store.project import Project
from palate.verdict.bank import weigh
from palate.verdict.history import Past, effect_sd, noise_of
from palate.verdict.pairs import Pairs, make_pairs
from palate.verdict.rule import DISAGREEMENT_PAIRS, Failures, Terms, Verdict, judge
from palate.verdict.words import effect_words
from palate.vocabulary import BASELINE, TREATMENT, Metric, name_metric

PAST_VERDICTS = 1_000
"""Past verdicts, the newest, that noise and effects are told by: more would not make them surer, only slower."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What the runs of a question say.

    Attributes:
        verdict: at the look that settled it, else at the last.
        pairs: the pairs it rests on; None where none finished.
        results: every ended run by arm and seed.
        terms: what they were judged on.
        made: runs made for it just now.
        reused: runs that were there already.
        lost: runs that lost points, so that their pairs are left out; none of `results`.
        first_seed: of the pairs.
        stopped: why runs that are missing were not made, in words: `after 8 h`; "" where none was held back.
    """

    verdict: Verdict
    pairs: Pairs | None
    results: Results
    terms: Terms
    made: int = 0
    reused: int = 0
    lost: tuple[RunResult, ...] = ()
    first_seed: int = 0
    stopped: str = ""

    @property
    def settled(self) -> bool:
        """Whether the verdict is."""
        return self.verdict.settled

    @property
    def done(self) -> bool:
        """Whether no more runs will be made: the verdict is settled, or every pair of the budget has ended."""
        return self.settled or complete_pairs(self.results, self.first_seed) >= self.terms.budget


class Judge:
    """Judge the runs of one question, as often as there are more of them.

    Args:
        ledger: what the project knows.
        catalog: where its runs are.
        question: what is asked.
    """

    def __init__(self, ledger: Ledger, catalog: Catalog, question: Question) -> None:
        self._question = question
        self._catalog = catalog
        self._examples = Examples(catalog)
        self._complete = 0
        self._last: Judgement | None = None
        self.terms = terms_of(ledger, question)
        known = ledger.find(question.experiment)
        self._sealed = known.verdict.verdict if known is not None and known.verdict is not None else None
        values = bank_values(catalog, question) if question.bank else {}
        self._bank = {seed: values[seed] for seed in question.bank if seed in values}

    def judge(self, results: Results) -> Judgement:
        """Judge the runs so far; where no further pair is complete, what was said last still holds."""
        found = complete_pairs(results, self._question.first_seed)
        complete = min(found, self._question.budget)  # a larger one may have been asked for before
        if self._last is None or complete != self._complete:
            self._complete, self._last = complete, self._judge(results, complete)
        return self._last

    def _judge(self, results: Results, complete: int) -> Judgement:
        lost = tuple(one for arm in ARMS for _, one in sorted(results[arm].items()) if one.lost)
        usable = without_lost(results)
        first = self._question.first_seed
        stands = self._as_sealed(results, complete)
        if stands is not None:
            sealed, its = stands
            return Judgement(verdict=sealed, pairs=its, results=usable, terms=self.terms, lost=lost, first_seed=first)
        verdict, pairs = self._first_settled(results, complete, identical=None)
        if verdict.reason == "ties" or (verdict.kind == "nothing" and not self.terms.assumptions):
            self._catalog.refresh()
            identical = curves_identical(self._catalog, usable)
            if not self.terms.assumptions:
                identical = identical is not False
            verdict, pairs = self._first_settled(results, complete, identical=identical)
            if identical is None and verdict.reason == "ties":
                verdict = replace(verdict, reason="ties_alike")
        return Judgement(verdict=verdict, pairs=pairs, results=usable, terms=self.terms, lost=lost, first_seed=first)

    def _as_sealed(self, results: Results, complete: int) -> tuple[Verdict, Pairs] | None:
        """Return the verdict that is sealed, with its pairs: it stands, whatever rule came after it.

        None where none is sealed, or where the runs that are there are not those that it was told of.
        """
        sealed = self._sealed
        if sealed is None or sealed.raw is None:
            return None
        for looks in range(1, complete + 1):
            seeds = self._question.plan.seeds[:looks]
            pairs, _ = _pairs_of(self._question.metric, results, seeds)
            if pairs is not None and pairs.n == sealed.n:
                further = self._further(results, seeds)
                raw = pairs.mean if sealed.bank is None else weigh(pairs, np.array(further or ())).effect
                return (sealed, pairs) if math.isclose(raw, sealed.raw, rel_tol=1e-9, abs_tol=1e-12) else None
        return None

    def _further(self, results: Results, seeds: Sequence[int]) -> tuple[float, ...] | None:
        """Return the bank's runs that are no half of a pair at these seeds; None where there is no bank."""
        if not self._question.bank:
            return None
        paired = {seed for seed in seeds if all(results[arm][seed].outcome.value is not None for arm in ARMS)}
        return tuple(value for seed, value in self._bank.items() if seed not in paired)

    def _first_settled(
        self, results: Results, complete: int, *, identical: bool | None
    ) -> tuple[Verdict, Pairs | None]:
        """Judge look after look, in the order of the seeds; return the first verdict that settles it, else the last.

        Seeds count from the first without gaps: a pair that is still missing ends the looking, whatever came after it,
        so that quick runs have no say in what is seen.
        """
        verdict, pairs = judge(None, self.terms), None
        for looks in range(1, complete + 1):
            seeds = self._question.plan.seeds[:looks]
            pairs, failures = _pairs_of(self._question.metric, results, seeds)
            terms = replace(self.terms, bank=self._further(results, seeds))
            equal = identical if pairs is not None and pairs.identical else None
            floor = self._floor(results, looks)
            verdict = judge(pairs, terms, failures=failures, bit_identical=equal, disagreement=floor)
            if verdict.settled:
                break
        spent = complete_pairs(without_lost(results), self._question.first_seed) >= self._question.budget
        if spent and not verdict.settled and not verdict.reason:
            verdict = replace(verdict, reason="budget")  # a failed half leaves fewer pairs, and no more will come
        return verdict, pairs

    def _floor(self, results: Results, looks: int) -> float:
        """Return how far per-example results of the arms disagree, where pairs are few enough for it to matter."""
        if looks > DISAGREEMENT_PAIRS:
            return 0.0
        seeds = self._question.plan.seeds[:looks]
        finished = [s for s in seeds if all(results[arm][s].outcome.value is not None for arm in ARMS)]
        return self._examples.disagreement(results, finished)


def judge_now(ledger: Ledger, catalog: Catalog, question: Question) -> Judgement:
    """Judge the runs that are there, running and sealing nothing."""
    results = collect(catalog, question.plan, pointless=True)
    judgement = Judge(ledger, catalog, question).judge(results)
    return replace(judgement, reused=sum(len(by_seed) for by_seed in results.values()))


def _pairs_of(metric: Metric, results: Results, seeds: Sequence[int]) -> tuple[Pairs | None, Failures]:
    """Return the pairs of these seeds of which both halves finished, and how many runs of each arm failed."""
    baseline, treatment = ([results[arm][seed].outcome for seed in seeds] for arm in ARMS)
    both = [
        (a.value, b.value)
        for a, b in zip(baseline, treatment, strict=True)
        if a.value is not None and b.value is not None
    ]
    failures = Failures(
        baseline=sum(outcome.failed for outcome in baseline),
        treatment=sum(outcome.failed for outcome in treatment),
        baseline_runs=sum(outcome.ending != "lost points" for outcome in baseline),
        treatment_runs=sum(outcome.ending != "lost points" for outcome in treatment),
    )
    if not both:
        return None, failures
    return make_pairs(*zip(*both, strict=True), sign=metric.sign, resolution=metric.resolution), failures


def terms_of(ledger: Ledger, question: Question) -> Terms:
    """Return the terms that a question is judged on: margin, budget, and what the project knew when it was asked.

    Past comparisons count where metric, training code's name and data are the same. They are taken as they were when
    the question was sealed, so that a verdict does not change under a person's hands. Questions about the same runs as
    this one are left out, and such of the past count once.
    """
    until = ledger.number_of(question.experiment)
    own = {known.id for known in ledger.asked_about(question)}  # the same runs under other terms are no history of it
    alike = ledger.asked_like(likeness_of(question)) - own - ledger.firsts().keys()
    asked = ledger.asked()
    past = [
        Past(
            variance=told.variance,
            df=told.n - 1,
            effect=told.raw,
            standard_error=told.standard_error,
            run_variance=told.seed_sd**2 if told.seed_sd else None,
            family=_family_asked(asked[told.experiment]),
        )
        for told in ledger.judged(alike, until, PAST_VERDICTS)
        if told.variance and told.raw is not None and told.standard_error is not None
    ]
    noise = noise_of(past, family_of(question.declared))
    return Terms(
        budget=question.budget,
        margin=question.margin,
        spent=question.spent,
        noise=noise,
        effect_sd=effect_sd(past),
        assumptions=not (until is not None and ledger.read(question.experiment).judged_unchecked),
    )


def _family_asked(asked: Asked) -> str:
    """Name the family of changes of a question that was asked, without reading its record."""
    edit = [Change(path="code", before="", after=asked.edit)] if asked.edit is not None else []
    settings = [Change(path=c["path"], before=decode(c["before"]), after=decode(c["after"])) for c in asked.changes]
    return family_of([*edit, *settings])


def opposed_words(catalog: Catalog, question: Question, judgement: Judgement) -> list[str]:
    """Name the metrics that got worse where the judged one got better, or the other way round.

    They are shown beside the verdict, never hidden. Only metrics of which the name or the project tells which way is
    better are looked at, at the pairs that the verdict rests on.
    """
    direction = judgement.verdict.kind.partition("_")[0]
    if direction not in ("better", "worse"):
        return []
    opposite = "worse" if direction == "better" else "better"
    baseline, treatment = (judgement.results[arm] for arm in (BASELINE, TREATMENT))
    seeds = [seed for seed in sorted(baseline) if seed in treatment][: judgement.verdict.n]
    arms = [_last_values(catalog, [results[seed].id for seed in seeds]) for results in (baseline, treatment)]
    words = []
    for name in arms[0].keys() & arms[1].keys() - {question.metric.name}:
        judged = _judge_other(catalog.project, name, [last[name] for last in arms], len(seeds), question.budget)
        if judged is not None and judged[1].kind.startswith(opposite):
            words.append(f"But {name} is {opposite}: {effect_words(judged[1], judged[0])}.")
    return sorted(words)


def _last_values(catalog: Catalog, runs: Sequence[str]) -> dict[str, list[float]]:
    """Return each metric's last values, in the order of the runs."""
    values: dict[str, list[float]] = {}
    place = {run: index for index, run in enumerate(runs)}
    for summary in sorted(catalog.summaries(runs), key=lambda summary: place[summary.run_id]):
        if summary.last is not None:
            values.setdefault(summary.metric, []).append(summary.last)
    return values


def _judge_other(
    project: Project, name: str, arms: Sequence[list[float]], n: int, budget: int
) -> tuple[Metric, Verdict] | None:
    """Judge another metric; None where nobody tells which way is better, or values are missing."""
    if n < 2 or any(len(values) != n for values in arms):
        return None
    try:
        metric = name_metric(name, goal_for(project, name)).shown_for(itertools.chain(*arms))
    except InputError:
        return None
    return metric, judge(make_pairs(*arms, sign=metric.sign), Terms(budget=budget))
