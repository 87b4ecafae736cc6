"""`palate season`."""

import click

from palate.cli.common import author_options, here, json_option, put_out, say, whoami
from palate.cli.fork import amounts_of
from palate.errors import InputError, RefusedError


@click.command("season")
@click.argument("run")
@click.argument("turned", nargs=-1, metavar="[KNOB=AMOUNT]...")
@click.option("--undo", is_flag=True, help="Turn back what the last season of the run turned.")
@click.option("--why", default="", help="A few words of why, kept with it.")
@click.option(
    "--forecast", "said", default="", metavar="FORECAST", help="What you expect of it: better:70. Kept with it."
)
@click.option("--wait", "within_s", type=click.FloatRange(min=0), default=30.0, show_default=True, help="Seconds.")
@author_options
@json_option
def command(
    run: str,
    turned: tuple[str, ...],
    undo: bool,
    why: str,
    said: str,
    within_s: float,
    author: str | None,
    agent: bool | None,
    as_json: bool,
) -> None:
    """Turn knobs of RUN while it goes: its lr, the weights of its losses, its own knobs. `last` is the newest run.

    \b
    palate season last lr=x0.3 adv=.05 --why "the sky is purple"
    palate season 2026 lr==1e-4          (held there, whatever the schedule does)
    palate season last train=head        (train these layers alone)
    palate season last --undo
    """
    from palate.forecast.answer import parse_forecast
    from palate.loop.season import going_run, season

    if said:
        parse_forecast(said, why)
    if undo and turned:
        raise InputError("--undo goes without knobs.", todo=f"palate season {run} --undo")
    project = here()
    going = going_run(project, run)
    amounts = amounts_of(turned)
    who = whoami(author, agent).name
    told = []
    for one in season(project, going, amounts, author=who, why=why, forecast=said, undo=undo, within_s=within_s):
        told.append(one)
        for line in one.lines() if not as_json and one.kind != "refused" else ():
            say(line)
    last = told[-1]
    step = int(told[0].body.get("step", 0))
    words = " ".join(f"--set {name}={amount}" for name, amount in told[0].body.get("asked", {}).items())
    commands = [f"palate fork {going.id} --at {step} {words} --metric NAME"]
    if last.kind == "refused":
        raise RefusedError(str(last.body.get("what", "")), why=last.body.get("why", ()), todo=last.body.get("todo", ()))
    document = {
        "schema": "palate.season/1",
        "run": going.id,
        "asked": dict(told[0].body.get("asked", {})),
        "answers": [{"kind": one.kind, **one.body} for one in told],
        "forecast": said or None,
        "next": commands,
    }
    lines = [
        *([] if said else ["No forecast was made of it."]),
        *(["What it did to the weights stays: to be rid of it, fork from a capsule before it."] if undo else []),
        f"Whether it helps, beside a control: {commands[0]}",
    ]
    put_out(document, lines, as_json=as_json)
