"""`palate fork`."""

import click

from palate.cli.ask import answer
from palate.cli.common import RunOptions, goal_asker, here, json_option, judged_options, run_options, say
from palate.errors import InputError
from palate.question.branch import Amount, parse_amount
from palate.vocabulary import Goal


def amounts_of(words: tuple[str, ...]) -> dict[str, Amount]:
    """Read `lr=x0.3`, `adv=.05` and the like.

    Raises:
        InputError: a word without `=`, or no amount behind it.
    """
    amounts = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise InputError(f"{word!r} turns no knob.", todo="lr=x0.3   adv=.05   lr==1e-4 (held there)")
        amounts[name] = parse_amount(name, value)
    return amounts


@click.command("fork")
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
@click.option("--at", type=click.IntRange(min=0), required=True, help="The step at which the arms part.")
@click.option("--set", "turned", multiple=True, metavar="KNOB=AMOUNT", help="lr=x0.3, adv=.05, lr==1e-4 (held there).")
@click.option("--horizon", "horizons", default="", metavar="STEPS", help="How long both arms go on: 600, or 100,600.")
@click.option("--anneal/--plain", default=None, help="Let both arms' lr fall to zero; by itself where lr is changed.")
@click.option("--replicates", type=click.IntRange(1, 50), default=8, show_default=True, help="Pairs a run, at most.")
@click.option("--take", type=click.Choice(["last", "best"]), default="last", help="Which value of the curve counts.")
@judged_options
@run_options
@json_option
def command(
    runs: tuple[str, ...],
    at: int,
    turned: tuple[str, ...],
    horizons: str,
    anneal: bool | None,
    replicates: int,
    take: str,
    metric: str | None,
    goal: Goal | None,
    margin: float | None,
    options: RunOptions,
    as_json: bool,
) -> None:
    """Ask what a change in the middle of RUN does, beside a control that leaves the same capsule unchanged.

    `last` is the newest run that keeps capsules.

    \b
    palate fork 2026 --at 900 --set lr=x0.3 --metric val_loss --forecast better:60
    palate fork RUN1 RUN2 RUN3 --at 900 --set adv=.05 --horizon 100,600
    """
    from palate.loop.fork import Asked, fork_question

    asked = Asked(
        runs=runs,
        at=at,
        amounts=amounts_of(turned),
        horizons=_horizons(horizons),
        anneal=anneal,
        replicates=replicates,
        take=take,  # type: ignore[arg-type]
    )
    project = here()
    question, words = fork_question(
        project, asked, metric=metric, goal=goal, ask=goal_asker(as_json=as_json), margin=margin
    )
    for line in words if not as_json else ():
        say(line)
    answer(project, question, options, as_json=as_json)


def _horizons(text: str) -> tuple[int, ...]:
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not all(word.isdecimal() for word in words):
        raise InputError(f"--horizon {text}: it is steps, as whole numbers.", todo="--horizon 100,600")
    return tuple(map(int, words))
