"""`palate when`."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import click

from palate.cli.common import at_terminal, author_options, goal_asker, here, json_option, put_out, say, whoami
from palate.cli.terminal.keys import ENTER, STOP, split_keys
from palate.cli.terminal.screen import ScreenLine, keys
from palate.errors import InputError
from palate.forecast.when import NEVER, TENTHS, Event, When, parse_when
from palate.loop.metric import goal_for
from palate.loop.when import Awaited, await_event, seal_when
from palate.store.catalog import Catalog
from palate.vocabulary import Goal

SURE = {"2": 20, "3": 30, "4": 40, "5": 50, "6": 60, "7": 70, "8": 80, "9": 90, "0": 97}


@click.command("when")
@click.argument("subject")
@click.argument("said", required=False, metavar="[TENTH:PERCENT]")
@click.option("--metric", required=True, help="The metric, as it is logged.")
@click.option("--reach", type=float, help="When does it reach this value? Without it: when is it best?")
@click.option("--goal", type=click.Choice(["max", "min"]), help="Which way is better; told by the name if clear.")
@click.option("--steps", type=click.FloatRange(min=1), help="Steps the run will have; as finished runs if not given.")
@author_options
@json_option
def command(
    subject: str,
    said: str | None,
    metric: str,
    reach: float | None,
    goal: Goal | None,
    steps: float | None,
    author: str | None,
    agent: bool | None,
    as_json: bool,
) -> None:
    """Forecast when something happens in a run: which checkpoint will be the last good one, when a value is reached.

    SUBJECT is a run that goes, or an experiment (then its treatment's first run). The run is cut into ten tenths; the
    answer is one of them, as 4:70, or never:80 with --reach. Scored when the run has ended.

    \b
    palate when last 4:70 --metric val_loss
    palate when last never:80 --metric val_acc --reach 0.95
    """
    project = here()
    event = Event(metric=metric, goal=goal or goal_for(project, metric, goal_asker(as_json=as_json)), reach=reach)
    with Catalog.open(project) as catalog:
        catalog.refresh()
        awaited = await_event(catalog, subject, event, steps)
        when = parse_when(said) if said is not None else _ask(awaited, as_json=as_json)
        catalog.refresh()  # the run may have gone on, or ended, while the person thought
        awaited = await_event(catalog, subject, event, steps)
        sealed = seal_when(project.chain, awaited, when, author=whoami(author, agent), now=datetime.now(UTC))
    document = {"schema": "palate.when/1", **sealed.body(), "sealed": sealed.hash, "at": sealed.at.isoformat()}
    chance = sealed.reference[when.tenth]
    which = f"{awaited.subject.label}, seed {awaited.subject.seed}"
    seen = awaited.evidence.words or "blind"
    lines = [
        f"{which}: {event.words} {when.words}   sealed {sealed.hash[:12]}, {seen}",
        f"The reference gives that tenth {chance:.0%}. Scored when the run has ended: palate skill",
    ]
    put_out(document, lines, as_json=as_json)


def _ask(awaited: Awaited, *, as_json: bool) -> When:
    """Ask at the terminal: a tenth, how sure, Enter."""
    if as_json or not at_terminal():
        raise InputError(
            "A when-forecast is missing, and there is no terminal to ask at.",
            todo="Give it: 4:70   (the fourth tenth, 70 %), or never:80 with --reach",
        )
    never = "   n never" if awaited.event.reach is not None else ""
    say(f"When {awaited.event.words}?   {_strip(awaited)}   1-9, 0 the tenth{never}      then how sure, 2-9, Enter")
    tenth: int | None = None
    sure: int | None = None
    line = ScreenLine()
    with keys() as read:
        for key in _each(read):
            if key in STOP:
                raise KeyboardInterrupt
            if key in ENTER and tenth is not None and sure is not None:
                break
            if tenth is None:
                tenth = _tenth(key, awaited)
            elif key in SURE:
                sure = SURE[key]
            words = "a tenth first" if tenth is None else "never" if tenth == NEVER else f"tenth {tenth + 1}"
            rest = "" if sure is None else f", {sure} %  (Enter seals)"
            line.show(f"           {words}{rest}")
    say()
    assert tenth is not None and sure is not None
    return When(tenth=tenth, confidence=sure)


def _each(read: Callable[[], str]) -> Iterator[str]:
    while True:
        yield from split_keys(read())


def _tenth(key: str, awaited: Awaited) -> int | None:
    tenth = NEVER if key == "n" else (int(key) - 1) % TENTHS if key.isdigit() else None
    return tenth if tenth is not None and awaited.reference[tenth] > 0 else None


def _strip(awaited: Awaited) -> str:
    """Draw the run's ten tenths: what is past and cannot be any more is a dot."""
    return "".join(f" {(t + 1) % 10}" if awaited.reference[t] > 0 else " ." for t in range(TENTHS))
