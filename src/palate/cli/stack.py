"""`palate stack`."""

import click

from palate.cli.ask import next_line
from palate.cli.common import here, json_option, put_out


@click.command("stack")
@json_option
def command(as_json: bool) -> None:
    """See what is adopted: which changes, on which odds, what they gain together, and how odds came true so far."""
    from palate.loop.stack import stack_reports
    from palate.store.catalog import Catalog

    with Catalog.open(here()) as catalog:
        catalog.refresh()
        reports = stack_reports(catalog)
    following = ["palate claim", "palate drop EXPERIMENT", "palate list"] if reports else ["palate adopt EXPERIMENT"]
    document = {
        "schema": "palate.stack/1",
        "orientation": "+ is better",
        "stacks": [one.document() for one in reports],
        "next": following,
    }
    lines = [line for one in reports for line in one.lines()] or ["Nothing is adopted yet."]
    put_out(document, [*lines, next_line(following)], as_json=as_json)
