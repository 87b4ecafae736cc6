"""`palate list`."""

from typing import Any

import click

from palate.cli.common import here, json_option, put_out, whoami
from palate.forecast.answer import said_of
from palate.store.catalog import Catalog
from palate.verdict.many import expected_flukes


@click.command("list")
@click.option("--runs", "of_runs", is_flag=True, help="List runs instead of experiments.")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="The newest so many.")
@json_option
def command(of_runs: bool, limit: int, as_json: bool) -> None:
    """List experiments with their verdicts, newest last; or runs."""
    with Catalog.open(here()) as catalog:
        catalog.refresh()
        rows = _runs(catalog) if of_runs else _experiments(catalog, whoami().name)
    shown = rows[-limit:]
    lines = [_run_line(row) if of_runs else _experiment_line(row) for row in shown]
    if not of_runs:
        lines += _flukes(rows)
    if not lines:
        lines = ["Nothing here yet.", "Next: palate try | palate run FILE.py -c name=value --metric val_acc"]
    put_out(
        {"schema": "palate.list/1", "of": "runs" if of_runs else "experiments", "rows": shown}, lines, as_json=as_json
    )


def _experiments(catalog: Catalog, author: str) -> list[dict[str, Any]]:
    """List experiments with this author's forecasts: others' are theirs to see until the outcome is there."""
    by_kind = {
        kind: {
            record["experiment"]: record
            for record in catalog.records(kind)
            if kind not in _MINE or (record["body"]["author"] == author and record["body"].get("turn") != "revision")
        }
        for kind in ("forecast", "verdict", "score", "confirmation", "void")
    }
    authors: dict[str, set[str]] = {}
    for record in catalog.records("forecast"):
        authors.setdefault(record["experiment"], set()).add(record["body"]["author"])
    rows = [_experiment(record, by_kind) for record in catalog.records("question")]
    return [{**row, "others": len(authors.get(row["experiment"], set()) - {author})} for row in rows]


_MINE = ("forecast", "score")


def _experiment(asked: dict[str, Any], by_kind: dict[str, dict[str, Any]]) -> dict[str, Any]:
    experiment = asked["experiment"]
    said, verdict, score, held, void = (by_kind[kind].get(experiment, {}).get("body", {}) for kind in by_kind)
    return {
        "experiment": experiment,
        "at": asked["at"],
        "question": asked["body"]["text"],
        "target": asked["body"]["target"]["label"],
        "forecast": str(said_of(said)) if said else None,
        "verdict": verdict.get("kind"),
        "confounded": bool(asked["body"].get("confounders")) or len(asked["body"]["changes"]) > 1,
        "pairs": verdict.get("n"),
        "effect": verdict.get("effect"),
        "bits": score.get("bits"),
        "badge": held.get("badge"),
        "void": void.get("reason"),
    }


def _flukes(rows: list[dict[str, Any]]) -> list[str]:
    """Say how many of the winners to expect to be flukes."""
    verdicts = sum(row["verdict"] is not None for row in rows)
    better = sum(row["verdict"] == "better" for row in rows)
    if not better:
        return []
    flukes = expected_flukes(verdicts)
    plural = "s" if verdicts != 1 else ""
    return [f"{verdicts} verdict{plural}; expect up to {flukes:.2g} flukes among the {better} better. palate confirm"]


def _runs(catalog: Catalog) -> list[dict[str, Any]]:
    kept = ("id", "label", "seed", "exit", "started_unix_s", "elapsed_s")
    return [{name: row[name] for name in kept} for row in catalog.runs()]


def _experiment_line(row: dict[str, Any]) -> str:
    badge = ", confounded" if row["confounded"] else ""
    badge += f", {row['badge']}" if row["badge"] else ""
    badge += f", void: {row['void']}" if row["void"] else ""
    verdict = f"{row['verdict']} ({row['pairs']} pairs{badge})" if row["verdict"] else f"open{badge}"
    bits = f"{row['bits']:+.1f} bits" if row["bits"] is not None else ""
    said = row["forecast"] or (f"{row['others']} of others" if row["others"] else "no forecast")
    told = f"{row['target']}: {row['question']}"
    return f"{row['experiment']}  {row['at'][:16]}  {verdict:<22} {said:<12} {bits:<10} {told}"


def _run_line(row: dict[str, Any]) -> str:
    return f"{row['id']:<36} {row['exit'] or 'no ending':<10} {row['elapsed_s']:8.1f} s  {row['label']}"
