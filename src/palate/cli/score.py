"""`palate score`."""

from typing import Any

import click

from palate.cli.common import here, json_option, put_out, whoami
from palate.ledger.words import line_of, scored_document, when_line
from palate.store.catalog import Catalog


@click.command("score")
@click.option("--author", help="Whose; yours if not given.")
@json_option
def command(author: str | None, as_json: bool) -> None:
    """See how forecasts did, one by one: bits over the reference, and how many questions were forecast at all."""
    me = whoami().name
    project = here()
    if not project.chain.records():
        with Catalog.open(project) as catalog:
            catalog.refresh()  # says so where there was a chain
    document = scored_document(project.chain, author or me)
    put_out(document, _lines(document, "you" if author in (None, me) else author), as_json=as_json)


def _lines(document: dict[str, Any], who: str) -> list[str]:
    rows = document["scored"]
    whens = [when_line(row) for row in document["when"]]
    if not rows:
        return whens or ["No forecast has been scored yet.", "Next: palate try | palate run FILE.py -c name=value"]
    mean = document["mean_bits"]
    told = f"{document['forecast']} of {document['asked']} questions forecast."
    if mean is not None:
        told = f"{mean:+.2f} bits over the reference on average (gut answers). {told}"
    return [*(line_of(row, who) for row in rows), *whens, told, "Whether that is skill or luck: palate skill"]
