"""`palate skill`."""

import click

from palate.cli.common import here, json_option, put_out
from palate.loop.skill import document_of, standings, words_of


@click.command("skill")
@json_option
def command(as_json: bool) -> None:
    """See whether you are behind, ahead, or nobody can tell yet: skill over the reference, and calibration.

    The bound holds however often you look. Forecasts made after points of the treatment were seen stand apart.
    """
    found = standings(here().chain)
    lines = [line for standing in found for line in words_of(standing)]
    document = {"schema": "palate.skill/1", "forecasters": [document_of(standing) for standing in found]}
    put_out(document, lines or ["No forecast has been scored yet.", "Next: palate try"], as_json=as_json)
