"""`palate stop`."""

import click

from palate.cli.common import here, json_option, put_out
from palate.cli.sitting import all_of, find_sitting
from palate.errors import NotFoundError, RunsFailedError
from palate.loop.sittings import Sitting
from palate.loop.stopping import Stopped, stop_after_runs, stop_now


@click.command("stop")
@click.argument("name", default="", metavar="[EXPERIMENT|RUN]")
@click.option("--after-runs", is_flag=True, help="Let the runs that go finish, and start no more.")
@json_option
def command(name: str, after_runs: bool, as_json: bool) -> None:
    """Stop what goes, in this terminal or any other: its runs end now, as Ctrl-C ends them; what finished is kept.

    RUN stops the experiment that makes it: ending one run of a pair by hand would choose the outcome.
    """
    project = here()
    sitting = find_sitting(project, name)
    sittings = all_of(project, sitting)
    if not sittings:
        raise NotFoundError(
            f"{sitting.name} does not go: there is nothing to stop.", todo=f"palate watch {sitting.name}"
        )
    if after_runs:
        seen = [stop_after_runs(one) for one in sittings]
        lines = [line for one in seen for line in _asked_lines(one)]
        put_out(_document(sitting, "after-runs", [one.document() for one in seen]), lines, as_json=as_json)
        return
    stopped = [stop_now(one) for one in sittings]
    documents = [
        {**one.after.document(), "processes": one.processes, "left": list(one.left), "killed": one.killed}
        for one in stopped
    ]
    _refuse_left(stopped)
    lines = [line for one in stopped for line in _stopped_lines(one)]
    put_out(_document(sitting, "now", documents), lines, as_json=as_json)


def _document(sitting: Sitting, how: str, sittings: list[dict[str, object]]) -> dict[str, object]:
    goes_on = [f"palate resume {sitting.name}", f"palate show {sitting.name}"]
    return {
        "schema": "palate.stop/1",
        "experiment": sitting.name,
        "how": how,
        "sittings": sittings,
        "next": goes_on,
    }


def _refuse_left(stopped: list[Stopped]) -> None:
    """Say which processes are there still.

    Raises:
        RunsFailedError: some are.
    """
    left = [str(pid) for one in stopped for pid in one.left]
    if left or any(one.after.goes for one in stopped):
        raise RunsFailedError(
            f"Some of it is there still: {', '.join(left) or 'its process'}.",
            why="It was killed, and the system has not let it go: often it waits for a disk or a device.",
            todo=f"ps -o pid,stat,wchan,cmd -p {','.join(left or [str(stopped[0].after.job.pid)])}",
        )


def _stopped_lines(one: Stopped) -> list[str]:
    name, runs = one.before.name, one.before.state.runs
    were = ", ".join(run.id for run in runs) or "none went"
    kept = f"{one.after.done} of {one.before.job.budget} {one.before.job.unit} are kept"
    how = "Killed, as it did not end by itself" if one.killed else "Stopped"
    count = f"of its {one.processes} processes none is left" if one.processes else "no process of it is left"
    return [f"{how}: {name}. Runs ended: {were}; {kept}, {count}.", f"Go on: palate resume {name}"]


def _asked_lines(one: Sitting) -> list[str]:
    if not one.goes:
        return [f"{one.name} has ended: {one.done} of {one.job.budget} {one.job.unit}."]
    runs = ", ".join(run.id for run in one.state.runs) or "none"
    return [f"{one.name} starts no more runs. These go on to their end: {runs}.", f"Watch it: palate watch {one.name}"]
