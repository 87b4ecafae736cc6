"""Standings in words, in characters, and as plain data."""

from collections.abc import Mapping
from dataclasses import asdict
from statistics import fmean
from typing import Any

import numpy as np

from palate.forecast.answer import said_of, said_words
from palate.forecast.calibration import Calibration
from palate.forecast.skill import Skill
from palate.forecast.when import NEVER, Event, When
from palate.ledger.ledger import asked_of
from palate.ledger.records import BLIND, PART, REPEAT, TEAM
from palate.ledger.standings import WHEN, Standing
from palate.store.chain import Chain
from palate.vocabulary import Metric


def document_of(standing: Standing) -> dict[str, Any]:
    """Give a standing as plain JSON data; bounds that are not known yet are null."""
    told = asdict(standing)
    told["bits"] = [score["bits"] for score in told.pop("scores")]
    for name in ("low", "high"):
        told["skill"][name] = told["skill"][name] if np.isfinite(told["skill"][name]) else None
    return {**told, "coverage": standing.coverage}


def words_of(standing: Standing, *, plot: bool = True) -> list[str]:
    """Say where somebody stands: the word first, the number second, how many more third.

    Args:
        standing: of whom.
        plot: whether the reliability curve is drawn in characters below it.
    """
    skill = standing.skill
    told = [f"{_who(standing)}: {_skill_words(skill)}", f"  {_counts(standing)}"]
    if standing.author == TEAM:
        return told
    told.append(f"  {standing.calibration.words}")
    told += [f"  {line}" for line in (_trend(skill), _revisions(standing), _left_out(standing)) if line]
    return [*told, *(plot_of(standing.calibration) if plot else ())]


def _skill_words(skill: Skill) -> str:
    if not skill.n:
        return "nothing is scored yet."
    more = f", about {skill.more} more would tell" if skill.more else ""
    span = f"(between {skill.low:+.2f} and {skill.high:+.2f})"
    return f"{skill.state}, {skill.mean:+.2f} bits over the reference {span}{more}."


def _who(standing: Standing) -> str:
    kinds = {
        BLIND: "",
        WHEN: " (when-forecasts)",
        REPEAT: " (changes that were tried before)",
        PART: " (part of the curve seen)",
    }
    kind = kinds.get(standing.kind, f" (up to {standing.kind} of the curve seen)")
    if standing.kind.startswith(f"{WHEN}, "):
        kind = f" (when-forecasts, {standing.kind.removeprefix(f'{WHEN}, ')} seen)"
    return f"{standing.author}{' [agent]' if standing.agent else ''}{kind}"


def _counts(standing: Standing) -> str:
    n = standing.skill.n
    if standing.kind.startswith(WHEN):
        return f"{n} scored of {standing.forecast} sealed."
    crps = "" if standing.crps is None else f" CRPS {standing.crps:.2f} of the reference's."
    share = f" ({standing.coverage:.0%})" if standing.asked else ""
    asked = f"{standing.asked} question{'s' * (standing.asked != 1)}"
    return f"{n} scored; {standing.forecast} of {asked} forecast{share}.{crps}"


def _trend(skill: Skill) -> str:
    words = {"improving": "Getting better over time.", "falling": "Getting worse over time."}
    return words.get(skill.trend, "")


def _revisions(standing: Standing) -> str:
    if not standing.revised:
        return ""
    gain = standing.considered - standing.skill.mean
    return f"{standing.revised} revised: {gain:+.2f} bits a forecast."


def _left_out(standing: Standing) -> str:
    others = f" by {', '.join(standing.void_by)}" if standing.void_by else ""
    seen = f", {standing.void_seen} of them after something was seen" if standing.void_seen else ""
    parts = (
        (standing.open, "left open, scored by the pairs that there are"),
        (standing.provisional, "provisional, not counted"),
        (standing.unscored, "seen, but too little to score by"),
        (standing.waiting, "not run yet"),
        (standing.void, f"voided{others}{seen}"),
        (standing.unopened, "promised and never opened"),
    )
    told = "; ".join(f"{count} {what}" for count, what in parts if count)
    return f"{told}." if told else ""


ROWS, COLUMNS = 11, 51


def plot_of(calibration: Calibration) -> list[str]:
    """Draw the reliability curve of "better": `o` what came true, `:` where a calibrated person's would lie."""
    if not calibration.curve:
        return []
    grid = [[" "] * COLUMNS for _ in range(ROWS)]
    for point in calibration.curve:
        column = round(point.said * (COLUMNS - 1))
        for row in range(_row(point.high), _row(point.low) + 1):
            grid[row][column] = ":"
        grid[_row(point.came_true)][column] = "o"
    labels = ["100 %", *[""] * (ROWS // 2 - 1), " 50 %", *[""] * (ROWS // 2 - 1), "  0 %"]
    told = [f"  {label:>5} |{''.join(cells).rstrip()}" for label, cells in zip(labels, grid, strict=True)]
    foot = f"  {'':>5}  0 %{'said that it gets better':^{COLUMNS - 8}}100 %"
    return [
        "  how often it did (: is where a calibrated person's would lie)",
        *told,
        f"  {'':>5} +{'-' * COLUMNS}",
        foot,
    ]


def _row(share: float) -> int:
    return round((1 - share) * (ROWS - 1))


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
        _scored_row(body, questions[body["experiment"]], said[body["forecast"]], void)
        for body in reversed(scores.values())
    ]


def _scored_row(body: Row, question: Row, said: Row, void: set[str]) -> dict[str, Any]:
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
