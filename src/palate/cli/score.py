"""`palate score`."""

import click

from palate.cli.common import here, json_option, put_out, whoami
from palate.ledger.ledger import Ledger
from palate.ledger.verify import refuse_lost
from palate.ledger.words import score_card
from palate.loop.reference import own_score
from palate.store.catalog import Catalog


@click.command("score")
@click.option("--author", help="Whose; yours if not given.")
@json_option
def command(author: str | None, as_json: bool) -> None:
    """See how forecasts did, one by one: bits over the reference, and how many questions were forecast at all."""
    me = whoami().name
    project = here()
    ledger = Ledger.of(project.chain)
    refuse_lost(project)
    with Catalog.open(project) as catalog:
        catalog.refresh()  # says so where there were more records
    card = score_card(ledger, author or me)
    if ledger.chain.broken is not None and not card.scored:
        raise ledger.chain.broken  # records are missing: that nothing was scored cannot be said
    reference = own_score(ledger)
    lines = card.lines("you" if author in (None, me) else card.author)
    if reference is not None and card.scored:
        lines.insert(-1, reference.words)  # the last line says what to type next
    put_out({**card.document(), "reference": reference and reference.document()}, lines, as_json=as_json)
