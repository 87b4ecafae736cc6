"""What of a question's treatment exists already, read from its journals and never asked."""

import math
import statistics
from collections.abc import Mapping, Sequence

from palate.ledger.ledger import Asked, Ledger
from palate.ledger.records import Evidence
from palate.loop.reference import PAST_RUNS
from palate.loop.results import collect
from palate.question.question import Question
from palate.recipe.codec import encode
from palate.recipe.settings import Change
from palate.store.catalog import Catalog, RunRow
from palate.store.project import Project
from palate.store.runs import read_or_say
from palate.vocabulary import BASELINE, TREATMENT, Integrity

NEAR = 0.01
"""Share by which two values may differ for what came of one to tell what will come of the other."""

SAMPLE = "sample"
"""The kind of event by which a run keeps an image or a text to look at."""


def evidence_of(catalog: Catalog, question: Question) -> Evidence:
    """Read how many points and samples of the treatment exist, how far it has come, and how many runs have ended."""
    ended = collect(catalog, question.plan)
    runs = [run.id for run in catalog.runs([question.plan.keys[TREATMENT]])]
    summaries = catalog.summaries(runs)
    last_step = max((summary.last_step for summary in summaries), default=0)
    return Evidence(
        points=sum(summary.n for summary in summaries),
        samples=sum(_samples(catalog.project, run) for run in runs),
        share=_share(catalog, question, last_step) if summaries else None,
        ended=len(ended[TREATMENT]),
        repeat=was_seen(catalog, question) or was_tried(catalog, question),
    )


def was_seen(catalog: Catalog, question: Question) -> bool:
    """Return whether the same change was asked about before, of this training and metric, and its treatment logged.

    Other code, data, margin, budget or other settings make it another question, and so do values that are a little
    off; but who has seen what came of one is not blind to the other.
    """
    ledger = Ledger.of(catalog.project.chain)
    maybe = _maybe_same(ledger.asked(), question)
    alike = [one.question for one in ledger.of_names(maybe) if one.id != question.experiment]
    keys = {one.plan.keys[TREATMENT] for one in alike if same_changes(one.declared, question.declared)}
    return bool(catalog.summaries([run.id for run in catalog.runs(keys)])) if keys else False


def _maybe_same(asked: Mapping[str, Asked], question: Question) -> list[str]:
    """Name the experiments that may have asked about the same change, by what is known of them without reading them."""
    metric, label = question.metric.name, question.target.label
    edit = None if question.edit is None else question.edit.words
    after = {change.path: change.after for change in question.changes}
    return [
        name
        for name, one in asked.items()
        if one.metric == metric and one.label == label and one.edit == edit and len(one.changes) == len(after)
        if all(
            change["path"] in after and not _is_far(change["after"], after[change["path"]]) for change in one.changes
        )
    ]


def _is_far(one: object, other: object) -> bool:
    """Return whether two values are surely not near each other: numbers, as nearly all are."""
    numbers = isinstance(one, int | float) and isinstance(other, int | float)
    return numbers and not math.isclose(float(one), float(other), rel_tol=2 * NEAR)  # type: ignore[arg-type]


def was_tried(catalog: Catalog, question: Question) -> bool:
    """Return whether somebody ran the training with the treatment's settings outside of any question, and it logged.

    A script that was run by itself tells the constants that stood in its file; one that does not import palate tells
    nothing, and cannot be seen.
    """
    settings = {name: encode(value) for name, value in question.plan.settings[TREATMENT].items()}
    labels = question.target.label.split(":")
    tried = [run.id for run in catalog.runs([""]) if settings and run.label in labels and _had(run, settings)]
    return any(summary.metric == question.metric.name for summary in catalog.summaries(tried))


def _had(run: RunRow, settings: Mapping[str, object]) -> bool:
    """Return whether a run had all of these settings, perhaps beside others."""
    return all(name in run.settings and encode(run.settings[name]) == value for name, value in settings.items())


def same_changes(some: Sequence[Change], others: Sequence[Change]) -> bool:
    """Return whether two lists of changes are the same, numbers that differ by less than a hundredth being so.

    >>> some, others = (Change(path="lr", before=0.1, after=after) for after in (0.2, 0.2000001))
    >>> same_changes([some], [others])
    True
    """
    if len(some) != len(others):
        return False
    by_path = {change.path: change for change in others}
    return all(
        (other := by_path.get(one.path)) is not None
        and _near(one.before, other.before)
        and _near(one.after, other.after)
        for one in some
    )


def _near(one: object, other: object) -> bool:
    if isinstance(one, float) and isinstance(other, int | float):
        return math.isclose(one, other, rel_tol=NEAR)
    if isinstance(other, float) and isinstance(one, int):
        return math.isclose(one, other, rel_tol=NEAR)
    return type(one) is type(other) and one == other


def _samples(project: Project, run: str) -> int:
    read = read_or_say(project.journal(run))
    return 0 if isinstance(read, Integrity) else sum(event["kind"] == SAMPLE for event in read.events)


def _share(catalog: Catalog, question: Question, step: int) -> float | None:
    """Return how much of its budget the treatment has run, by how long finished runs of the baseline are, else any."""
    baseline = [run for run in catalog.runs([question.plan.keys[BASELINE]]) if run.finished]
    finished = baseline or catalog.newest_finished(question.target.label, PAST_RUNS)
    summaries = catalog.summaries([run.id for run in finished])
    lengths = [summary.last_step for summary in summaries if summary.metric == question.metric.name]
    longest = statistics.median(lengths) if lengths else 0
    return min(step / longest, 1.0) if longest > 0 else None
