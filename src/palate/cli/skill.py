"""`palate skill`."""

from pathlib import Path

import click

from palate.cli.common import here, json_option, put_out, say
from palate.ledger.ledger import Ledger
from palate.ledger.verify import refuse_lost
from palate.ledger.words import document_of, scored_forecasts, words_of
from palate.loop.reference import own_score
from palate.loop.score import skill_now
from palate.store.catalog import Catalog


@click.command("skill")
@click.option("--author", help="Of one forecaster only.")
@click.option(
    "--plot", type=click.Path(path_type=Path, dir_okay=False), help="Write the figure as a page (needs plotly)."
)
@json_option
def command(author: str | None, plot: Path | None, as_json: bool) -> None:
    """See whether you are behind, ahead, or nobody can tell yet: skill over the reference, and calibration.

    The bound holds however often you look. First answers are what is judged; revisions, forecasts made after points of
    the treatment were seen, and when-forecasts stand apart.
    """
    project = here()
    ledger = Ledger.of(project.chain)
    refuse_lost(project)
    with Catalog.open(project) as catalog:
        standings = [one for one in skill_now(ledger, catalog) if author in (None, one.author)]
    if ledger.chain.broken is not None and not standings:
        raise ledger.chain.broken  # records are missing: that nothing was scored cannot be said
    lines = [line for standing in standings for line in words_of(standing)]
    if plot is not None and standings:
        from palate.web.figures import write_page

        write_page(standings, scored_forecasts(ledger), plot)
        say(f"{plot}: open it in a browser")
    reference = own_score(ledger)
    lines += [reference.words] if reference is not None and lines else []
    forecasters = [document_of(standing) for standing in standings] if as_json else []
    put_out(
        {
            "schema": "palate.skill/1",
            "forecasters": forecasters,
            "reference": reference and reference.document(),
        },
        lines or ["No forecast has been scored yet.", "Next: palate try"],
        as_json=as_json,
    )
