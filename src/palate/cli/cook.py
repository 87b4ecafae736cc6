"""`palate cook`."""

from pathlib import Path

import click

from palate.cli.ask import answer
from palate.cli.common import RunOptions, goal_asker, here, json_option, judged_options, put_out, run_options
from palate.vocabulary import Goal


@click.command("cook")
@click.argument("recipe", metavar="RUN|FILE")
@click.option(
    "--write", "place", type=click.Path(path_type=Path), help="Write what was turned in RUN, and run nothing."
)
@click.option("--seeds", type=click.IntRange(2, 100), default=5, show_default=True, help="Seed pairs at most.")
@judged_options
@run_options
@json_option
def command(
    recipe: str,
    place: Path | None,
    seeds: int,
    metric: str | None,
    goal: Goal | None,
    margin: float | None,
    options: RunOptions,
    as_json: bool,
) -> None:
    """Replay what was turned in RUN, at its steps, on new seeds, beside the same training without it.

    \b
    palate cook 2026 --write cooked.yaml
    palate cook cooked.yaml --seeds 5 --metric val_loss --forecast better:60
    """
    from palate.loop.cook import cook_question, cooked_of_run, read_cooked, write_cooked

    project = here()
    cooked = read_cooked(Path(recipe)) if Path(recipe).is_file() else cooked_of_run(project, recipe)
    if place is not None:
        write_cooked(place, cooked)
        document = {"schema": "palate.cooked/1", "file": str(place), "turns": dict(cooked.turns)}
        put_out(document, [*cooked.text().splitlines(), f"Next: palate cook {place} --metric NAME"], as_json=as_json)
        return
    question = cook_question(
        project,
        cooked,
        metric=metric,
        goal=goal,
        ask=goal_asker(as_json=as_json),
        margin=margin,
        budget=options.pairs or seeds,
    )
    answer(project, question, options, as_json=as_json)
