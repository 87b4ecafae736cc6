"""`palate verdict`."""

import click

from palate.cli.ask import next_line
from palate.cli.common import here, json_option, put_out, whoami
from palate.loop.run import report_now


@click.command("verdict")
@click.argument("experiment", default="last")
@json_option
def command(experiment: str, as_json: bool) -> None:
    """Judge EXPERIMENT (the last one if not named) by the runs that are there, running none."""
    report = report_now(here(), experiment, whoami().name)
    next_words = next_line(report.next_commands())
    lines = [f"{report.question.experiment}  {report.question.text}", *report.lines(), next_words]
    put_out({**report.document(), "schema": "palate.verdict/1"}, lines, as_json=as_json)
