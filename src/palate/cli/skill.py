"""`palate skill`."""

from pathlib import Path

import click

from palate.cli.common import here, json_option, put_out, say
from palate.ledger.words import document_of, scored_rows, words_of
from palate.loop.score import skill_now


@click.command("skill")
@click.option("--author", help="Of one forecaster only.")
@click.option(
    "--plot", type=click.Path(path_type=Path, dir_okay=False), help="Write the figure as a page (needs plotly)."
)
@json_option
def command(author: str | None, plot: Path | None, as_json: bool) -> None:
    """See whether you are behind, ahead, or nobody can tell yet: skill over the reference, and calibration.

    The bound holds however often you look. Gut answers are what is judged; revisions, forecasts made after points of
    the treatment were seen, and when-forecasts stand apart.
    """
    project = here()
    found = [one for one in skill_now(project) if author in (None, one.author)]
    lines = [line for standing in found for line in words_of(standing)]
    if plot is not None and found:
        from palate.web.figures import write_page

        write_page(found, scored_rows(project.chain), plot)
        say(f"{plot}: open it in a browser")
    document = {"schema": "palate.skill/1", "forecasters": [document_of(standing) for standing in found]}
    put_out(document, lines or ["No forecast has been scored yet.", "Next: palate try"], as_json=as_json)
