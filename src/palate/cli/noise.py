"""`palate noise`."""

import os
import sys
from pathlib import Path

import click

from palate.cli.common import (
    budget_of,
    detachable,
    goal_asker,
    here,
    json_option,
    module_option,
    pointed_at,
    put_out,
)
from palate.cli.detach import detach as go_on
from palate.cli.detach import sitting_beside
from palate.cli.terminal.progress import TellsWaits
from palate.errors import InputError
from palate.loop.ask import resources_of
from palate.loop.metric import metric_for
from palate.loop.noise import measure_noise, noise_plan
from palate.loop.sittings import Held, Job, argv_kept
from palate.question.fingerprint import data_of
from palate.question.target import find_target
from palate.redaction import known_secrets
from palate.store.catalog import Catalog
from palate.store.config import read_config
from palate.vocabulary import BASELINE, Goal


@click.command("noise")
@click.argument("target")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@module_option
@click.option("--metric", help="The metric, as it is logged.")
@click.option(
    "--goal", type=click.Choice(["max", "min"]), help="Which way is better; told by the metric's name if clear."
)
@click.option("--take", type=click.Choice(["last", "best"]), default="last", help="Which value of the curve counts.")
@click.option("--runs", type=click.IntRange(min=3), default=8, show_default=True, help="Seeds to run.")
@click.option("--pairs", type=click.IntRange(2, 100), help="Budget to say what can be confirmed with; 20 if not given.")
@detachable
@json_option
def command(
    target: str,
    arguments: tuple[str, ...],
    as_module: bool,
    metric: str | None,
    goal: Goal | None,
    take: str,
    runs: int,
    pairs: int | None,
    detach: bool,
    sitting: Held | None,
    as_json: bool,
) -> None:
    """Measure what another seed alone does to TARGET's baseline, and what a budget can confirm."""
    project, baseline = here(), find_target(pointed_at(target, as_module=as_module), arguments)
    name = metric or baseline.metric
    if name is None:
        raise InputError(f"{baseline.label}: which metric?", todo="Name it as it is logged: --metric val_acc")
    plan = noise_plan(
        baseline,
        metric_for(project, baseline, name, goal, goal_asker(as_json=as_json)),
        take=take,  # type: ignore[arg-type]
        runs=runs,
        data=data_of(baseline.data, Path.cwd()),
    )
    resources = resources_of(project, read_config(Path.cwd(), os.environ), target=baseline)
    known = known_secrets(os.environ, baseline.settings, {"": list(baseline.argv)})
    job = Job(
        experiment=plan.keys[BASELINE][:8],
        text=f"what another seed does to {name} of {baseline.label}, in {runs} runs",
        argv=argv_kept(sys.argv[1:], known),
        folder=str(Path.cwd()),
        detached=detach,
        budget=runs,
        metric=name,
        unit="runs",
    )
    if detach:
        go_on(project, job, sys.argv[1:], as_json=as_json)
        return
    with (
        sitting_beside(project, None, resources, TellsWaits(), held=sitting, job=job) as (limited, attended, held),
        Catalog.open(project) as catalog,
    ):
        report = measure_noise(catalog, plan, budget_of(pairs), limited, attended)
        held.end("done", *report.lines())
    put_out(report.document(), report.lines(), as_json=as_json)
