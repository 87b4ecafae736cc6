"""`palate list`."""

from dataclasses import asdict
from typing import Any

import click

from palate.cli.common import here, json_option, put_out, whoami
from palate.ledger.ledger import Ledger, SealedExperiment
from palate.loop.sittings import Sitting, newest_of
from palate.loop.terms import again_words
from palate.store.catalog import Catalog, RunRow
from palate.verdict.flukes import expected_flukes
from palate.verdict.words import kind_words
from palate.vocabulary import Integrity


@click.command("list")
@click.option("--runs", "of_runs", is_flag=True, help="List runs instead of experiments.")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="The newest so many.")
@json_option
def command(of_runs: bool, limit: int, as_json: bool) -> None:
    """List experiments with their verdicts, newest last; or runs."""
    with Catalog.open(here()) as catalog:
        catalog.refresh()
        rows, lines = _runs(catalog, limit) if of_runs else _experiments(catalog, limit)
    if not lines:
        lines = ["Nothing here yet.", "Next: palate try | palate run FILE.py -c name=value --metric val_acc"]
    put_out(
        {"schema": "palate.list/1", "of": "runs" if of_runs else "experiments", "rows": rows}, lines, as_json=as_json
    )


def _experiments(catalog: Catalog, limit: int) -> tuple[list[dict[str, Any]], list[str]]:
    """List the newest experiments, with this author's forecasts; others' stay hidden until the outcome."""
    ledger, author = Ledger.of(catalog.project.chain), whoami().name
    at_it = newest_of(catalog.project.home)
    rows = [
        {
            **_experiment(experiment, author, at_it.get(experiment.id)),
            "again": again_words(ledger, experiment.id) or None,
        }
        for experiment in ledger.newest(limit)
    ]
    kinds = ledger.verdict_kinds()
    return rows, [*map(_experiment_line, rows), *_flukes(len(kinds), kinds.count("better"))]


def _experiment(experiment: SealedExperiment, author: str, sitting: Sitting | None) -> dict[str, Any]:
    question, mine = experiment.question, experiment.of(author)
    verdict = experiment.outcome
    forecasters = {sealed.author.name for sealed in experiment.forecasts if sealed.turn == "forecast"}
    return {
        "experiment": experiment.id,
        "at": experiment.asked.at.isoformat(),
        "question": question.text,
        "target": question.target.label,
        "forecast": str(mine.said) if mine else None,
        "verdict": verdict.kind if verdict else None,
        "confounded": bool(question.confounders) or len(question.declared) > 1,
        "words": kind_words(verdict.kind, verdict.failures, verdict.about) if verdict else None,
        "failures": dict(verdict.failures) if verdict else None,
        "pairs": verdict.n if verdict else None,
        "effect": verdict.effect if verdict else None,
        "margin": question.margin,
        "bits": experiment.bits.get(mine.hash) if mine else None,
        "badge": experiment.badge_name,
        "void": experiment.void.reason if experiment.void else None,
        "others": len(forecasters - {author}),
        **({} if verdict or sitting is None else {"sitting": sitting.document()}),
    }


def _flukes(verdicts: int, better: int) -> list[str]:
    """Say how many of the winners to expect to be flukes."""
    if not better:
        return []
    flukes = expected_flukes(verdicts)
    plural = "s" if verdicts != 1 else ""
    return [f"{verdicts} verdict{plural}; expect up to {flukes:.2g} flukes among the {better} better. palate confirm"]


def _experiment_line(row: dict[str, Any]) -> str:
    notes = ", confounded" if row["confounded"] else ""
    notes += f", {row['badge']}" if row["badge"] else ""
    notes += f", void: {row['void']}" if row["void"] else ""
    verdict = f"{row['words']} ({row['pairs']} pairs{notes})" if row["verdict"] else f"{_open_words(row)}{notes}"
    bits = f"{row['bits']:+.1f} bits" if row["bits"] is not None else ""
    said = row["forecast"] or (f"{row['others']} of others" if row["others"] else "no forecast")
    asked = f"{row['target']}: {row['question']}" + (f"   ({row['again']})" if row["again"] else "")
    return f"{row['experiment']}  {row['at'][:16]}  {verdict:<22} {said:<12} {bits:<10} {asked}"


def _open_words(row: dict[str, Any]) -> str:
    """Say how far an experiment without a verdict is, and whether anybody is at it."""
    sitting = row.get("sitting")
    if sitting is None:
        return "open"
    ending = sitting["ending"]
    word = {"interrupted": "broken off", "ended": ending and ending["how"]}.get(sitting["life"], "goes")
    return f"{'stopped' if word in ('limit', 'done') else word} {sitting['pairs']}/{sitting['budget']}"


def _runs(catalog: Catalog, limit: int) -> tuple[list[dict[str, Any]], list[str]]:
    runs = catalog.newest(limit)
    kept = ("id", "label", "seed", "exit", "started_unix_s", "elapsed_s")
    rows = [{**{name: getattr(run, name) for name in kept}, "integrity": asdict(run.integrity)} for run in runs]
    return rows, [*map(_run_line, runs)]


def _run_line(run: RunRow) -> str:
    """Say of a run how it ended and how long it took; and, where not all of it is there, what is not."""
    ended = "" if run.integrity.status == "unread" else run.exit or "no ending"
    return f"{run.id:<36} {ended:<10} {run.elapsed_s:8.1f} s  {run.label}{_integrity_words(run.integrity)}"


def _integrity_words(integrity: Integrity) -> str:
    if integrity.status == "whole":
        return ""
    lost = f": {integrity.lost_points}" if integrity.lost_points else ""
    return f"  [{integrity.status}{lost}]"
