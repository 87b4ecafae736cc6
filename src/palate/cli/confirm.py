"""`palate confirm`."""

import os
from dataclasses import asdict
from pathlib import Path

import click

from palate.cli.common import here, json_option, put_out, say
from palate.loop.ask import kitchen_of
from palate.loop.confirm import Held, confirm, winners
from palate.loop.runner import SILENT
from palate.store.config import read_config
from palate.verdict.many import FALSE_DISCOVERY_RATE


@click.command("confirm")
@click.option("--strict", is_flag=True, help="By e-values: valid under any dependence, at a cost in power.")
@json_option
def command(strict: bool, as_json: bool) -> None:
    """Hold every verdict that claims a difference against fresh runs, as many pairs as its budget, all at once.

    Of those confirmed, at most one in ten is a fluke on average. Runs that are there are used again.
    """
    project = here()
    waiting = winners(project)
    if not as_json and waiting:
        most = sum(2 * question.budget for question, _ in waiting)
        say(f"{len(waiting)} verdicts claim a difference; fresh runs for all of them: {most} at most.")
    held = confirm(project, kitchen_of(read_config(Path.cwd(), os.environ)), lambda _: SILENT, strict=strict)
    document = {
        "schema": "palate.confirm/1",
        "false_discovery_rate": FALSE_DISCOVERY_RATE,
        "verdicts": [
            {
                "experiment": one.question.experiment,
                "question": one.question.text,
                "verdict": one.kind,
                **asdict(one.confirmation),
            }
            for one in held
        ],
    }
    put_out(document, [*map(_line, held)] or ["No verdict claims a difference yet."], as_json=as_json)


def _line(one: Held) -> str:
    told = one.confirmation
    metric = one.question.metric
    fresh = f"{told.raw * metric.sign * metric.scale:+.3g}{metric.unit} in {told.n} fresh pairs"
    return f"{one.question.experiment}  {one.kind}, {told.badge}: {fresh}   {one.question.text}"
