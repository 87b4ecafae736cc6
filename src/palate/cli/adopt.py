"""`palate adopt`."""

import click

from palate.cli.ask import next_line
from palate.cli.common import author_options, here, json_option, put_out, whoami


@click.command("adopt")
@click.argument("experiment", default="last")
@click.option("--moved", is_flag=True, help="Also where the baseline is another one than it was measured against.")
@author_options
@json_option
def command(experiment: str, moved: bool, author: str | None, agent: bool | None, as_json: bool) -> None:
    """Keep EXPERIMENT's change for now (the last one's if not named): the next question has it in both arms.

    It says the odds that the change helps, and claims nothing: a pair or two are enough. What is void, confounded,
    failed or did nothing is refused.
    """
    from palate.loop.adopting import adopt
    from palate.store.catalog import Catalog

    with Catalog.open(here()) as catalog:
        adopted = adopt(catalog, experiment, author=whoami(author, agent), moved=moved)
    lines = [*adopted.lines(), next_line(adopted.next_commands())]
    put_out(adopted.document(), lines, as_json=as_json)
