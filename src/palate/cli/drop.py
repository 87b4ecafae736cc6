"""`palate drop`."""

import click

from palate.cli.ask import next_line
from palate.cli.common import author_options, here, json_option, put_out, whoami


@click.command("drop")
@click.argument("experiment")
@click.option("--reason", default="", help="A few words of why, kept with it.")
@author_options
@json_option
def command(experiment: str, reason: str, author: str | None, agent: bool | None, as_json: bool) -> None:
    """Take EXPERIMENT's change out of what is adopted; what was adopted on top of it stays, and is named."""
    from palate.loop.adopting import drop

    dropped = drop(here(), experiment, author=whoami(author, agent), reason=reason)
    put_out(dropped.document(), [*dropped.lines(), next_line(dropped.next_commands())], as_json=as_json)
