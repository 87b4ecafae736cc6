"""What of a question's treatment exists already, read from its journals and never asked."""

import statistics

from palate.loop.evidence import collect
from palate.loop.forecaster import Evidence
from palate.loop.question import Question
from palate.store.catalog import Catalog
from palate.store.chain import Chain
from palate.store.project import Project
from palate.store.reader import read_journal
from palate.vocabulary import BASELINE, TREATMENT

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
        repeat=was_answered(project.chain, question),
    )


def was_answered(chain: Chain, question: Question) -> bool:
    """Whether the same change was asked about before, of this training and metric, and has a verdict.

    Other code, data, margin or budget make it another question, but who has seen the answer to one is not blind to
    the other.
    """
    told = {record.body["experiment"] for record in chain.records("verdict")} - {question.experiment}
    mine = question.body()
    return any(
        record.body["experiment"] in told
        and record.body["changes"] == mine["changes"]
        and record.body["metric"]["name"] == question.metric.name
        and record.body["target"]["label"] == question.target.label
        for record in chain.records("question")
    )


def _samples(project: Project, run: str) -> int:
    return sum(event["kind"] == SAMPLE for event in read_journal(project.journal(run)).events)


def _share(catalog: Catalog, question: Question, step: int) -> float | None:
    """Say how much of its budget the treatment has run, by how long finished runs of the baseline are."""
    finished = [row["id"] for row in catalog.runs([question.run_key(BASELINE)]) if row["exit"] == "ok"]
    lengths = [row["last_step"] for row in catalog.summaries(finished) if row["metric"] == question.metric.name]
    longest = statistics.median(lengths) if lengths else 0
    return min(step / longest, 1.0) if longest > 0 else None
