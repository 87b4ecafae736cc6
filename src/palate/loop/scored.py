"""Scored forecasts one by one, as plain data and as lines: what was said, what it was, and bits over the reference."""

from collections.abc import Mapping
from statistics import fmean
from typing import Any

from palate.forecast.answer import said_of, said_words
from palate.forecast.when import NEVER, Event, When
from palate.loop.coverage import asked_of
from palate.store.chain import Chain
from palate.vocabulary import Metric

Row = Mapping[str, Any]


def scored_document(chain: Chain, author: str) -> dict[str, Any]:
    """Give somebody's scored forecasts, oldest first, and how much they forecast: schema `palate.score/1`."""
    asked = asked_of(chain, author)
    turns = [record.body for kind in ("forecast", "revision") for record in chain.records(kind)]
    forecast = {body["experiment"] for body in turns if body["author"] == author} & asked
    rows = [row for row in scored_rows(chain) if row["author"] == author]
    counted = [row["bits"] for row in rows if row["turn"] == "forecast" and not row["void"] and not row["provisional"]]
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


def scored_rows(chain: Chain) -> list[dict[str, Any]]:
    """Give everybody's scored forecasts and revisions, oldest first; each has one score, the first one."""
    void = {record.body["experiment"] for record in chain.records("void")}
    questions = {r.body["experiment"]: r.body for r in chain.records("question")}
    said = {
        record.body.get("sealed_as", record.hash): record.body
        for record in chain.records()
        if record.kind in ("forecast", "revision")
    }
    scores = {r.body["forecast"]: r.body for r in reversed(chain.records("score"))}
    return [
        _row(body, questions[body["experiment"]], said[body["forecast"]], void) for body in reversed(scores.values())
    ]


def _row(body: Row, question: Row, said: Row, void: set[str]) -> dict[str, Any]:
    kept = ("experiment", "author", "turn", "kind", "bits", "least", "most", "brier", "crps", "crps_reference")
    metric = Metric(**question["metric"])
    return {
        **{name: body[name] for name in (*kept, "provisional")},
        "question": question["text"],
        "said": said_words(said_of(said), metric.scale, metric.unit),
        "verdict": body["settled"] or "not settled",
        "void": body["experiment"] in void,
    }


def _whens(chain: Chain, author: str) -> list[dict[str, Any]]:
    said = {record.hash: record.body for record in chain.records("when")}
    void = {record.body["experiment"] for record in chain.records("void")}
    return [
        {
            "run": body["run"],
            "event": Event(**said[body["forecast"]]["event"]).words,
            "said": When(tenth=said[body["forecast"]]["tenth"], confidence=said[body["forecast"]]["confidence"]).words,
            "void": said[body["forecast"]]["experiment"] in void,
            **{name: body[name] for name in ("kind", "happened", "bits", "rps", "rps_reference")},
        }
        for body in (record.body for record in chain.records("when_score"))
        if body["author"] == author
    ]


def line_of(row: Row, who: str) -> str:
    """Say in a line how a forecast did, naming its author as `who`."""
    notes = [row["kind"]] if row["kind"] != "blind" else []
    notes += [word for word in ("provisional", "void") if row[word]]
    notes += ["revision"] if row["turn"] == "revision" else []
    noted = f" [{', '.join(notes)}]" if notes else ""
    said = f"{who} said {row['said']}; it was {row['verdict']}{noted}"
    return f"{row['experiment']}  {row['bits']:+5.1f} bits  {said}:  {row['question']}"


def when_line(row: Row) -> str:
    """Say in a line how a when-forecast did."""
    happened = "never" if row["happened"] == NEVER else f"in tenth {row['happened'] + 1}"
    noted = " [void]" if row["void"] else ""
    return f"{row['run']}  {row['bits']:+5.1f} bits  {row['event']} {row['said']}; it was {happened}{noted}"
