"""What of a question's treatment exists already, read from its journals and never asked."""

import json
import math
import statistics
from collections.abc import Sequence

from palate.ledger.records import Evidence
from palate.loop.results import collect
from palate.question.question import Question, question_from_body
from palate.recipe.codec import encode
from palate.recipe.settings import Change
from palate.store.catalog import Catalog
from palate.store.chain import Chain
from palate.store.project import Project
from palate.store.reader import read_journal
from palate.vocabulary import BASELINE, TREATMENT

NEAR = 0.01
"""Share by which two values may differ for what came of one to tell what will come of the other."""

SAMPLE = "sample"
"""The kind of event by which a run keeps an image or a text to look at."""


def evidence_of(project: Project, catalog: Catalog, question: Question) -> Evidence:
    """Read how many points and samples of the treatment exist, how far it has come, and how many runs have ended."""
    ended = collect(catalog, question)
    runs = [row["id"] for row in catalog.runs([question.run_key(TREATMENT)])]
    rows = catalog.summaries(runs)
    return Evidence(
        points=sum(row["n"] for row in rows),
        samples=sum(_samples(project, run) for run in runs),
        share=_share(catalog, question, max((row["last_step"] for row in rows), default=0)) if rows else None,
        ended=len(ended[TREATMENT]),
        repeat=was_seen(project.chain, catalog, question) or was_tried(catalog, question),
    )


def was_seen(chain: Chain, catalog: Catalog, question: Question) -> bool:
    """Whether the same change was asked about before, of this training and metric, and its treatment logged anything.

    Other code, data, margin, budget or other settings make it another question, and so do values that are a little
    off; but who has seen what came of one is not blind to the other.
    """
    alike = (
        question_from_body(record.body)
        for record in chain.records("question")
        if record.body["experiment"] != question.experiment
        and record.body["metric"]["name"] == question.metric.name
        and record.body["target"]["label"] == question.target.label
    )
    keys = {one.run_key(TREATMENT) for one in alike if same_changes(one.changes, question.changes)}
    return bool(catalog.summaries([row["id"] for row in catalog.runs(keys)])) if keys else False


def was_tried(catalog: Catalog, question: Question) -> bool:
    """Whether somebody ran the training with the treatment's settings outside of any question, and it logged."""
    encoded = {name: encode(value) for name, value in question.settings(TREATMENT).items()}
    tried = [
        row["id"]
        for row in catalog.runs([""])
        if row["label"] in question.target.label.split(":") and encoded and json.loads(row["settings"]) == encoded
    ]
    return any(row["metric"] == question.metric.name for row in catalog.summaries(tried))


def same_changes(some: Sequence[Change], others: Sequence[Change]) -> bool:
    """Whether two lists of changes are the same, numbers that differ by less than a hundredth being so.

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
    return sum(event["kind"] == SAMPLE for event in read_journal(project.journal(run)).events)


def _share(catalog: Catalog, question: Question, step: int) -> float | None:
    """Say how much of its budget the treatment has run: by how long finished runs of the baseline are, else of any."""
    finished = [
        row for row in catalog.runs() if row["key"] and row["label"] == question.target.label and row["exit"] == "ok"
    ]
    baseline = [row["id"] for row in finished if row["key"] == question.run_key(BASELINE)]
    summaries = catalog.summaries(baseline or [row["id"] for row in finished])
    lengths = [row["last_step"] for row in summaries if row["metric"] == question.metric.name]
    longest = statistics.median(lengths) if lengths else 0
    return min(step / longest, 1.0) if longest > 0 else None
