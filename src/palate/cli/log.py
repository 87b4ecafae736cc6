"""`palate log`."""

import os
from pathlib import Path

import click

from palate.cli.common import json_option, put_out
from palate.errors import InputError
from palate.store.journal import Journal
from palate.training.run import FOLDER


@click.command("log")
@click.argument("step", type=int)
@click.argument("metrics", nargs=-1, required=True, metavar="NAME=VALUE...")
@json_option
def command(step: int, metrics: tuple[str, ...], as_json: bool) -> None:
    """Log metrics at STEP of the run that this process belongs to: `palate log 10 val_acc=0.93`.

    For shell scripts and other languages, inside of `palate run`.
    """
    folder = os.environ.get(FOLDER)
    if not folder:
        raise InputError(
            "palate log was called outside of a run.",
            why=f"A run's processes know their run by {FOLDER}, which is not set.",
            todo=(
                "Start the script by:  palate run SCRIPT --metric val_acc -c name=value",
                "In Python:  palate.log(step, val_acc=...)",
            ),
        )
    values = _values(metrics)
    journal = Journal.open(Path(folder) / "journal")
    journal.log(step, values)
    journal.close()
    put_out({"schema": "palate.log/1", "run": Path(folder).name, "step": step, "metrics": values}, [], as_json=as_json)


def _values(texts: tuple[str, ...]) -> dict[str, float]:
    values: dict[str, float] = {}
    faults = []
    for text in texts:
        name, _, value = text.partition("=")
        if name == "step":
            faults.append(f"{text!r} is the step, and no metric: it stands first, as in: palate log 10 val_acc=0.93")
            continue
        try:
            values[name] = float(value)
        except ValueError:
            faults.append(f"{text!r} is not NAME=NUMBER.")
    if faults:
        raise InputError("Nothing was logged.", why=faults, todo="Write it as: palate log 10 val_acc=0.93")
    return values
