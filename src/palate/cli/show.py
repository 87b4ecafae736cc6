"""`palate show`."""

import json
import re
from dataclasses import asdict
from typing import Any

import click

from palate.cli.common import here, json_option, put_out, whoami
from palate.errors import InputError, NotFoundError
from palate.ledger.ledger import read_story
from palate.loop.reference import foretell_run
from palate.loop.run import judge_now
from palate.recipe.codec import decode
from palate.recipe.settings import show_value
from palate.store.catalog import Catalog
from palate.store.project import Project
from palate.training.outcome import tail_of


@click.command("show")
@click.argument("name", default="last")
@click.option("--output", is_flag=True, help="Of a run: what it printed, to the end.")
@json_option
def command(name: str, output: bool, as_json: bool) -> None:
    """Show one experiment (its question, forecast, runs and verdict), or one run, by the start of its id."""
    project = here()
    if name == "last" or re.fullmatch(r"[0-9a-f]{1,8}", name):
        try:
            if output and not _is_run(project, name):
                raise InputError(
                    "--output goes with a run, not with an experiment.", todo="palate list --runs   shows them"
                )
            _show_experiment(project, name, as_json)
        except NotFoundError:
            if not _is_run(project, name):
                raise
        else:
            return
    _show_run(project, name, output, as_json)


def _is_run(project: Project, name: str) -> bool:
    return name != "last" and any(project.runs.glob(f"{name}*"))


def _show_experiment(project: Project, name: str, as_json: bool) -> None:
    story = read_story(project.chain, name)
    report = judge_now(project, story.question.experiment, whoami().name)
    document = {**report.document(), "schema": "palate.show/1", "settings": story.question.body()["target"]["settings"]}
    lines = [f"{story.question.experiment}  {story.question.text}", *report.lines(), *_pair_lines(document)]
    put_out(document, lines, as_json=as_json)


def _pair_lines(document: dict[str, Any]) -> list[str]:
    runs = document["runs"]
    treatment = {run["seed"]: run for run in runs["treatment"]}
    lines = ["seed     baseline    treatment"]
    for run in runs["baseline"]:
        lines.append(f"{run['seed']:>4} {_value(run):>12} {_value(treatment.get(run['seed'])):>12}")
    return lines


def _value(run: dict[str, Any] | None) -> str:
    if run is None:
        return "-"
    return run["ending"] if run["value"] is None else f"{run['value']:.6g}"


def _show_run(project: Project, name: str, output: bool, as_json: bool) -> None:
    with Catalog.open(project) as catalog:
        catalog.refresh()
        run = catalog.find_run(name)
        summaries = catalog.summaries([run["id"]])
        endings = foretell_run(catalog, run)
    printed = tail_of(project.output(run["id"]), 1_000_000 if output else 12)
    settings = {key: show_value(decode(value)) for key, value in json.loads(run["settings"]).items()}
    document = {"schema": "palate.run/1", **run, "settings": settings, "metrics": summaries, "output": printed}
    document["will_end"] = {metric: asdict(ending) for metric, ending in endings.items()}
    ending = run["exit"] or ("goes on" if endings else "no ending: it goes on, or was interrupted")
    lines = [
        f"{run['id']}   {run['label']}   {_seed(run)}   {ending}",
        "  ".join(f"{key} {value}" for key, value in settings.items()),
        *(_metric_line(row) for row in summaries),
        *(
            f"{metric:<20} this run will end at {e.value:.4g}, between {e.low:.4g} and {e.high:.4g} (80 %)"
            for metric, e in endings.items()
        ),
        *(f"| {line}" for line in printed),
    ]
    put_out(document, lines, as_json=as_json)


def _seed(run: dict[str, Any]) -> str:
    return "no seed" if run["seed"] is None else f"seed {run['seed']}"


def _metric_line(row: dict[str, Any]) -> str:
    last = row["last_text"] or f"{row['last']:.6g}"
    span = "" if row["least"] is None else f"   least {row['least']:.6g}   most {row['most']:.6g}"
    return f"{row['metric']:<20} {row['n']:>7} points   last {last} at step {row['last_step']}{span}"
