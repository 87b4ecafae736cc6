"""`palate score`."""

from statistics import fmean
from typing import Any

import click

from palate.cli.common import here, json_option, put_out
from palate.cli.settings import whoami
from palate.forecast.answer import said_of, said_words
from palate.forecast.when import NEVER, Event, When
from palate.store.chain import Chain
from palate.vocabulary import Metric


@click.command("score")
@click.option("--author", help="Whose; yours if not given.")
@json_option
def command(author: str | None, as_json: bool) -> None:
    """See how forecasts did, one by one: bits over the reference, and how many questions were forecast at all."""
    me = whoami().name
    document = _document(here().chain, author or me)
    put_out(document, _lines(document, "you" if author in (None, me) else author), as_json=as_json)


def _document(chain: Chain, author: str) -> dict[str, Any]:
    void = {record.body["experiment"] for record in chain.records("void")}
    questions = {r.body["experiment"]: r.body for r in chain.records("question")}
    said = {
        record.body.get("sealed_as", record.hash): record.body
        for record in chain.records()
        if record.kind in ("forecast", "revision")
    }
    scores = {r.body["forecast"]: r.body for r in reversed(chain.records("score")) if r.body["author"] == author}
    rows = [
        _row(body, questions[body["experiment"]], said[body["forecast"]], void) for body in reversed(scores.values())
    ]
    counted = [row["bits"] for row in rows if row["turn"] == "forecast" and not row["void"] and not row["provisional"]]
    forecast = {body["experiment"] for body in said.values() if body["author"] == author} - void
    asked = set(questions) - void
    return {
        "schema": "palate.score/1",
        "author": author,
        "scored": rows,
        "when": _whens(chain, author),
        "mean_bits": fmean(counted) if counted else None,
        "asked": len(asked),
        "forecast": len(forecast),
        "coverage": len(forecast) / len(asked) if asked else None,
    }


def _whens(chain: Chain, author: str) -> list[dict[str, Any]]:
    said = {record.hash: record.body for record in chain.records("when")}
    return [
        {
            "run": body["run"],
            "event": Event(**said[body["forecast"]]["event"]).words,
            "said": When(tenth=said[body["forecast"]]["tenth"], confidence=said[body["forecast"]]["confidence"]).words,
            **{name: body[name] for name in ("kind", "happened", "bits", "rps", "rps_reference")},
        }
        for body in (record.body for record in chain.records("when_score"))
        if body["author"] == author
    ]


def _row(body: dict[str, Any], question: dict[str, Any], said: dict[str, Any], void: set[str]) -> dict[str, Any]:
    kept = ("experiment", "turn", "kind", "bits", "least", "most", "brier", "crps", "crps_reference", "provisional")
    metric = Metric(**question["metric"])
    return {
        **{name: body[name] for name in kept},
        "question": question["text"],
        "said": said_words(said_of(said), metric.scale, metric.unit),
        "verdict": body["settled"] or "not settled",
        "void": body["experiment"] in void,
    }


def _lines(document: dict[str, Any], who: str) -> list[str]:
    rows = document["scored"]
    whens = [_when_line(row) for row in document["when"]]
    if not rows:
        return whens or ["No forecast has been scored yet.", "Next: palate try | palate run FILE.py -c name=value"]
    mean = document["mean_bits"]
    told = f"{document['forecast']} of {document['asked']} questions forecast."
    if mean is not None:
        told = f"{mean:+.2f} bits over the reference on average (gut answers). {told}"
    return [*(_line(row, who) for row in rows), *whens, told, "Whether that is skill or luck: palate skill"]


def _when_line(row: dict[str, Any]) -> str:
    happened = "never" if row["happened"] == NEVER else f"in tenth {row['happened'] + 1}"
    return f"{row['run']}  {row['bits']:+5.1f} bits  {row['event']} {row['said']}; it was {happened}"


def _line(row: dict[str, Any], who: str) -> str:
    notes = [row["kind"]] if row["kind"] != "blind" else []
    notes += [word for word in ("provisional", "void") if row[word]]
    notes += ["revision"] if row["turn"] == "revision" else []
    noted = f" [{', '.join(notes)}]" if notes else ""
    said = f"{who} said {row['said']}; it was {row['verdict']}{noted}"
    return f"{row['experiment']}  {row['bits']:+5.1f} bits  {said}:  {row['question']}"
