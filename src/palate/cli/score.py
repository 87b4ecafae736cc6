"""`palate score`."""

from statistics import fmean
from typing import Any

import click

from palate.cli.common import here, json_option, put_out
from palate.loop.report import CALIBRATION_FROM


@click.command("score")
@json_option
def command(as_json: bool) -> None:
    """See how the project's forecasts did: bits over the reference, and how many runs were forecast at all."""
    chain = here().chain
    questions = {record.body["experiment"]: record.body for record in chain.records("question")}
    said = {record.body["experiment"]: record.body for record in chain.records("forecast")}
    verdicts = {record.body["experiment"]: record.body for record in chain.records("verdict")}
    rows = [_row(record.body, questions, said, verdicts) for record in chain.records("score")]
    document = {
        "schema": "palate.score/1",
        "scored": rows,
        "mean_bits": fmean(row["bits"] for row in rows) if rows else None,
        "asked": len(questions),
        "forecast": len(said),
        "coverage": len(said) / len(questions) if questions else None,
    }
    put_out(document, _lines(document), as_json=as_json)


def _row(
    body: dict[str, Any], questions: dict[str, Any], said: dict[str, Any], verdicts: dict[str, Any]
) -> dict[str, Any]:
    experiment = body["experiment"]
    forecast = said[experiment]
    return {
        "experiment": experiment,
        "question": questions[experiment]["text"],
        "answer": forecast["answer"],
        "confidence": forecast["confidence"],
        "verdict": verdicts[experiment]["kind"],
        "bits": body["bits"],
        "brier": body["brier"],
    }


def _lines(document: dict[str, Any]) -> list[str]:
    rows = document["scored"]
    if not rows:
        return ["No forecast has been scored yet.", "Next: palate try | palate run FILE.py -c name=value"]
    told = [_line(row) for row in rows]
    more = CALIBRATION_FROM - len(rows)
    told.append(f"{len(rows)} scored, {document['mean_bits']:+.2f} bits over the reference on average; "
                f"{document['forecast']} of {document['asked']} questions forecast.")  # fmt: skip
    if more > 0:
        told.append(f"{more} more until calibration can be shown: an average of {len(rows)} says little.")
    return told


def _line(row: dict[str, Any]) -> str:
    said = f"you said {row['answer']}, {row['confidence']} %; it was {row['verdict']}"
    return f"{row['experiment']}  {row['bits']:+5.1f} bits  {said}:  {row['question']}"
