"""The look at the noise before a question is sealed, where no margin is known: runs of its baseline, used again."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace
from statistics import stdev
from typing import TYPE_CHECKING

from palate.errors import InputError, NotFoundError, RunsFailedError
from palate.ledger.ledger import Ledger
from palate.loop.ask import Noticed, Opening, Person
from palate.loop.terms import rounded
from palate.question.question import MarginFrom, Question
from palate.store.project import Project
from palate.vocabulary import BASELINE

if TYPE_CHECKING:
    from palate.loop.results import RunResult
    from palate.store.catalog import Catalog

LOOKED_AT = 3
"""Baseline runs that the noise is measured by where nothing is known of it."""


def measured(project: Project, opened: Opening, person: Person) -> Opening:
    """Return an opened question with a number for its margin: where nothing is known, its noise is looked at first.

    Where fewer than three runs of its baseline are there, the first ones are made, before anything is sealed and before
    the change is run. They are the question's own, so they are used again. A question that was sealed without a margin
    stays as it was sealed.

    Raises:
        InputError: they tell nothing of the noise, so that it has to be typed.
        RunsFailedError: the training did not deliver, or was stopped.
    """
    question = opened.question
    if question.margin is not None or Ledger.of(project.chain).find(question.experiment) is not None:
        return opened
    from palate.loop.results import baseline_results  # numpy
    from palate.store.catalog import Catalog

    with Catalog.open(project) as catalog:
        there, made = baseline_results(catalog, question), 0
        if len(there) < min(LOOKED_AT, question.budget):
            there, made = _first_runs(catalog, opened, person)
        values = [one.outcome.value for one in there.values() if one.outcome.value is not None]
        margin, source, words = _margin_of(catalog, question, values, [one.id for one in there.values()])
    if words:
        person.watch(Noticed(words))
    settled = replace(question, margin=margin, margin_from=source, margin_runs=len(values))
    return replace(opened, question=settled, made=made)


def refuse_to_measure(project: Project, question: Question) -> None:
    """Refuse a question whose noise would have to be measured, where nobody waits for runs.

    Raises:
        InputError: no margin is known.
    """
    if question.margin is not None or Ledger.of(project.chain).find(question.experiment) is not None:
        return
    from palate.loop.results import baseline_results
    from palate.store.catalog import Catalog

    with Catalog.open(project) as catalog:
        if len(baseline_results(catalog, question)) >= min(LOOKED_AT, question.budget):
            return
    raise InputError(
        f"No margin is known for {question.metric.name}, and --detach waits for no run that measures it.",
        why="It is the smallest difference that matters, and is sealed with the question.",
        todo=[
            "Say it, as it is logged: --margin 0.005",
            "Or leave --detach out until the question is sealed: the first runs of the baseline measure it.",
        ],
    )


def _first_runs(catalog: "Catalog", opened: Opening, person: Person) -> tuple[dict[int, "RunResult"], int]:
    """Make the first runs of a question's baseline; return them by seed, and how many were made just now."""
    from palate.loop.runner import Runner  # numpy

    question = opened.question
    seeds = range(min(LOOKED_AT, question.budget))
    plan = replace(question.plan, arms={BASELINE: ()}, seeds=seeds, targets={}, states={})
    person.watch(
        Noticed(
            f"No margin is known for {question.metric.name}: the first {len(seeds)} runs of the baseline measure what "
            "another seed alone does, before the question is sealed. They are used again."
        )
    )
    with Runner(
        catalog,
        plan,
        resources=opened.resources,
        person=person,
        engines=opened.engines,
        keep_engines=True,
        asked=question.plan,
    ) as runner:
        for results in runner:
            ended = {seed: one for seed, one in results[BASELINE].items() if seed in seeds}
            if len(ended) == len(seeds):
                return ended, runner.made
    raise RunsFailedError(
        f"Stopped after {len(ended)} of {len(seeds)} runs that measure the noise: nothing is sealed yet.",
        todo="The same command goes on: nothing that finished is lost. With --margin it is not measured.",
    )


def _margin_of(
    catalog: "Catalog", question: Question, values: list[float], runs: list[str]
) -> tuple[float, MarginFrom, str]:
    """Return the margin that baseline runs give, where it is from, and what a person should know of that."""
    metric, sd = question.metric, stdev(values) if len(values) > 1 else 0.0
    if rounded(sd) > 0:
        failed = f"{len(runs) - len(values)} of {len(runs)} baseline runs failed: the margin rests on {len(values)}."
        return max(rounded(sd), metric.resolution or 0.0), "measured", failed if len(values) < len(runs) else ""
    why = (
        f"{len(values)} of {len(runs)} baseline runs gave a value, too few to measure noise by"
        if len(values) < 2
        else f"The seed changes nothing: {len(values)} baseline runs gave the same {metric.name}. Is the seed wired in?"
    )
    step = metric.resolution or _smallest_step(catalog, metric.name, runs)
    if step is not None:
        return step, "resolution", f"{why} The margin is the metric's smallest step seen, {step:g}. Other: --margin"
    if not values:
        raise InputError(
            f"No margin is known for {metric.name}, and it cannot be measured.",
            why=why,
            todo="Say which difference is the smallest that matters, as it is logged: --margin 0.005",
        )
    share = rounded(max(abs(value) for value in values) / 1000) or 0.001
    return (
        share,
        "share",
        f"{why} The margin is a thousandth of the value, {share:g}, as no more is known. Other: --margin",
    )


def _smallest_step(catalog: "Catalog", metric: str, runs: Sequence[str]) -> float | None:
    """Return the smallest difference between two values that runs logged of a metric; None where there is none."""
    values: set[float] = set()
    for run in runs:
        try:
            values |= {float(one) for one in catalog.curve(run, metric).values if math.isfinite(one)}
        except NotFoundError:
            continue
    ordered = sorted(values)
    largest = max((abs(one) for one in ordered), default=0.0)
    gaps = [b - a for a, b in itertools.pairwise(ordered) if b - a > 1e-9 * largest]
    return rounded(min(gaps)) if gaps else None
