"""`palate resume`."""

from dataclasses import replace
from pathlib import Path

import click

from palate.cli.common import here, json_option, put_out
from palate.cli.detach import await_opened, start, started_document, started_lines
from palate.cli.sitting import find_sitting
from palate.errors import InputError, NotFoundError
from palate.ledger.ledger import Ledger
from palate.loop.sittings import Job, Sitting, newest_of
from palate.store.project import Project

LEAST_H = 1 / 60
"""Hours that are too few to go on with: then all of them are given again."""


@click.command("resume")
@click.argument("name", default="", metavar="[EXPERIMENT]")
@click.option(
    "--hours",
    type=click.FloatRange(min=0, min_open=True, max=10_000),
    help="Other hours than what was left of those that were given.",
)
@json_option
def command(name: str, hours: float | None, as_json: bool) -> None:
    """Go on with what was broken off or stopped, in a process of its own: after a reboot, one line.

    What was typed is typed again, in the same folder. Nothing that finished is run again, and nobody is asked anew.
    """
    project = here()
    sitting = _broken_off(project) if not name else find_sitting(project, name)
    if sitting.goes:
        put_out(started_document(project, sitting, already=True), started_lines(sitting, already=True), as_json=as_json)
        return
    argv = _argv(sitting)
    job = replace(sitting.job, detached=True, hours=hours or _hours_left(sitting))
    started = start(project, job, argv)
    seen = await_opened(started) if started is not None else newest_of(project.home)[job.experiment]
    already = started is None
    put_out(started_document(project, seen, already=already), started_lines(seen, already=already), as_json=as_json)


def _broken_off(project: Project) -> Sitting:
    """Return the only one that can go on; of several, none is guessed.

    Raises:
        NotFoundError: nothing can go on.
        InputError: several can.
    """
    settled = Ledger.of(project.chain).having("verdict")
    sittings = newest_of(project.home).values()
    found = [one for one in sittings if one.can_go_on and not one.goes and one.name not in settled]
    if len(found) == 1:
        return found[0]
    if not found:
        raise NotFoundError("Nothing was broken off: there is nothing to go on with.", todo="palate list")
    raise InputError(
        f"{len(found)} were broken off.",
        why=[f"{one.name}  {one.done} of {one.job.budget} {one.job.unit}  {one.job.text}" for one in found],
        todo=[f"palate resume {one.name}" for one in found],
    )


def _argv(sitting: Sitting) -> list[str]:
    """Return what is typed again.

    Raises:
        InputError: secrets were typed, which are not kept; or its folder is gone.
    """
    words = [word for word in sitting.job.argv if word is not None]
    if len(words) != len(sitting.job.argv):
        raise InputError(
            f"{sitting.name} was asked with a secret on its command line, which is not kept.",
            todo=f"Type it again, with the secret:  {sitting.job.typed}",
        )
    if not Path(sitting.job.folder).is_dir():
        raise InputError(
            f"{sitting.job.folder} is gone: {sitting.name} was asked there.",
            todo=f"Type it again where the training is now:  {sitting.job.typed}",
        )
    return words


def _hours_left(sitting: Sitting) -> float | None:
    """Return the hours that an interrupted sitting had left; all of them where they were used up, or it has ended."""
    job: Job = sitting.job
    if job.hours is None or (sitting.state.ending is not None and sitting.state.ending.how == "limit"):
        return job.hours
    until_s = max(sitting.state.at_unix_s, job.began_unix_s)
    left = job.hours - (until_s - job.began_unix_s) / 3600
    return left if left >= min(LEAST_H, job.hours / 10) else job.hours
