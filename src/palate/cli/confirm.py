"""`palate confirm`."""

import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import click

from palate.cli.common import at_terminal, detachable, here, json_option, put_out, say
from palate.cli.detach import detach as go_on
from palate.cli.detach import sitting_beside
from palate.cli.terminal.progress import TellsWaits
from palate.ledger.ledger import Ledger
from palate.loop.ask import resources_of
from palate.loop.confirm import Checked, confirm, runs_to_confirm, winners
from palate.loop.sittings import Held, Job, argv_kept
from palate.loop.trust import Confirm, command_lines
from palate.question.question import Question
from palate.store.catalog import Catalog
from palate.store.config import read_config
from palate.verdict.many import FALSE_DISCOVERY_RATE


@click.command("confirm")
@click.option("--strict", is_flag=True, help="By e-values: valid under any dependence, at a cost in power.")
@click.option("--trust", is_flag=True, help="Start also what you did not ask for here: questions of others, copies.")
@detachable
@json_option
def command(strict: bool, trust: bool, detach: bool, sitting: Held | None, as_json: bool) -> None:
    """Check every verdict that claims a difference against reruns at new seeds, as many pairs as its budget.

    Of those confirmed, at most one in ten is a fluke on average. Runs that are there are used again.
    What was not asked by you at this place is shown in full, and started only when you say so.
    """
    project = here()
    with Catalog.open(project) as catalog:
        waiting = [question for question, _ in winners(Ledger.of(catalog.project.chain))]
        most_processes = max((question.target.processes for question in waiting), default=1)
        resources = resources_of(project, read_config(Path.cwd(), os.environ), processes=most_processes)
        if not as_json and waiting:
            most = sum(2 * question.budget for question in waiting)
            several = len(waiting) != 1
            claims = f"{len(waiting)} verdict{'s' * several} claim{'s' * (not several)} a difference"
            say(f"{claims}; reruns for all of them: {most} at most.")
        job = _job(waiting, detached=detach)
        if detach and waiting:
            job = replace(job, budget=runs_to_confirm(catalog, _asker(trust, as_json)))
            go_on(project, job, sys.argv[1:], as_json=as_json)
            return
        with sitting_beside(project, None, resources, TellsWaits(), held=sitting, job=job) as (limited, attended, held):
            checked = confirm(catalog, limited, lambda _: attended, strict=strict, trust=_asker(trust, as_json))
            held.end("done", *map(_line, checked))
    document = {
        "schema": "palate.confirm/1",
        "false_discovery_rate": FALSE_DISCOVERY_RATE,
        "verdicts": [
            {
                "experiment": one.question.experiment,
                "question": one.question.text,
                "verdict": one.kind,
                "words": one.words,
                "failures": asdict(one.failures),
                **asdict(one.confirmation),
            }
            for one in checked
        ],
    }
    put_out(document, [*map(_line, checked)] or ["No verdict claims a difference yet."], as_json=as_json)


def _job(waiting: Sequence[Question], *, detached: bool) -> Job:
    return Job(
        experiment="confirm",
        text=f"reruns of {len(waiting)} verdicts that claim a difference, at new seeds",
        argv=argv_kept(sys.argv[1:], ()),
        folder=str(Path.cwd()),
        detached=detached,
        budget=sum(2 * question.budget for question in waiting),
        unit="runs",
    )


def _asker(trust: bool, as_json: bool) -> Confirm:
    """Return what shows the commands that were not asked for here, and asks; `--trust` is a yes beforehand."""

    def ask(strange: Sequence[Question]) -> bool:
        if trust:
            return True
        if as_json or not at_terminal():
            return False
        say("These were not asked by you at this place. They would start, as you:")
        for question in strange:
            for line in command_lines(question):
                say(line)
        return click.confirm("Start them?", default=False, err=True)

    return ask


def _line(one: Checked) -> str:
    confirmation, metric = one.confirmation, one.question.shown
    effect = f"{confirmation.raw * metric.sign * metric.scale:+.3g}{metric.unit}"
    told = f": {effect} in {confirmation.n} pairs at new seeds" if confirmation.n else ""
    return f"{one.question.experiment}  {one.words}{told}   {one.question.text}"
