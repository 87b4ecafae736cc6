"""`palate watch`."""

import select
import shutil
import sys
import time
from typing import TextIO

import click

from palate.cli.common import at_terminal, folded, here, json_option, put_out, say
from palate.cli.plain import shown
from palate.cli.sitting import find_sitting, newest_points, sitting_lines
from palate.cli.terminal.screen import back_over, keys, rows_of
from palate.loop.sittings import Sitting, newest_of
from palate.loop.stopping import again
from palate.store.project import Project

LOOK_S = 0.5
SHARE = 10
"""Reading what runs log may take one part in so many of the time: journals of long trainings are long."""

LEAVE = ("q", "\x04", "\x1b")


@click.command("watch")
@click.argument("name", default="", metavar="[EXPERIMENT|RUN]")
@click.option("--once", is_flag=True, help="Say what is done so far, and leave.")
@json_option
def command(name: str, once: bool, as_json: bool) -> None:
    """Watch what goes: pairs done, what they say so far, the runs, the time left. `q` or Ctrl-C leaves it going.

    Without a terminal it says a line per change, and ends with what it watches; with --json it prints one document
    then, or at once with --once.
    """
    project = here()
    if once and not name:
        _all_once(project, as_json=as_json)
        return
    sitting = _chosen(project, name, as_json=as_json)
    if as_json:
        _put(project, [again(sitting) if once else _awaited(sitting)], as_json=True)
    elif once or not sitting.goes:
        _put(project, [sitting], as_json=False)
    elif at_terminal() and sys.stdout.isatty():
        _live(project, sitting)
    else:
        try:
            _lines(sitting)
        except KeyboardInterrupt:
            say(_goes_on(sitting))


def _chosen(project: Project, name: str, *, as_json: bool) -> Sitting:
    """Return the sitting that is meant; of several that go, a person is asked which."""
    goes = [one for one in newest_of(project.home).values() if one.goes]
    if name or len(goes) < 2 or as_json or not at_terminal():
        return find_sitting(project, name)
    for number, one in enumerate(goes, 1):
        say(f"{number}  {one.name}  {one.done} of {one.job.budget} {one.job.unit}  {one.job.text}")
    return goes[click.prompt("Which?", type=click.IntRange(1, len(goes)), err=True) - 1]


def _all_once(project: Project, *, as_json: bool) -> None:
    """Say of all that goes what is done so far; where nothing does, of the newest."""
    known = newest_of(project.home).values()
    goes = [one for one in known if one.goes]
    _put(project, goes or ([] if as_json and not known else [find_sitting(project, "last")]), as_json=as_json)


def _put(project: Project, sittings: list[Sitting], *, as_json: bool) -> None:
    documents: list[dict[str, object]] = []
    lines: list[str] = []
    for one in sittings:
        newest = newest_points(project, one)
        logged = {run: {"step": point.step, "value": point.value} for run, point in newest.items()}
        documents.append({**one.document(), "newest": logged})
        lines += [""] * bool(lines) + sitting_lines(one, newest, now_s=time.time(), columns=_columns(sys.stdout))
    put_out({"schema": "palate.watch/1", "sittings": documents}, lines, as_json=as_json)


def _columns(stream: TextIO) -> int:
    return shutil.get_terminal_size().columns if stream.isatty() else 100


def _awaited(sitting: Sitting) -> Sitting:
    while (sitting := again(sitting)).goes:
        time.sleep(LOOK_S)
    return sitting


def _lines(sitting: Sitting) -> None:
    """Say a line per change, until nobody is at it any more."""
    done, told = -1, set[str]()
    put_out({}, [f"{sitting.name}   {sitting.job.text}"], as_json=False)
    while True:
        sitting = again(sitting)
        state = sitting.state
        put_out({}, [words for words in state.noticed if words not in told], as_json=False)
        if sitting.done != done:
            what = "seed pairs" if sitting.job.unit == "pairs" else "runs"
            put_out({}, [f"{what} {sitting.done}/{sitting.job.budget}  {state.effect}".rstrip()], as_json=False)
        done = sitting.done
        told.update(state.noticed)
        if not sitting.goes:
            break
        sys.stdout.flush()
        time.sleep(LOOK_S)
    put_out({}, sitting_lines(sitting, {}, now_s=time.time(), columns=_columns(sys.stdout))[1:], as_json=False)


def _live(project: Project, sitting: Sitting) -> None:
    """Show it on the terminal until it ends, or somebody leaves."""
    screen = _Screen()
    left = False
    try:
        with keys() as read:
            while (sitting := again(sitting)).goes and not left:
                began_s = time.monotonic()
                screen.show(_now(project, sitting))
                wait_s = max(LOOK_S, SHARE * (time.monotonic() - began_s))
                left = bool(select.select([sys.stdin], [], [], wait_s)[0]) and any(key in LEAVE for key in read())
    except KeyboardInterrupt:
        left = True
    screen.show([], last=_now(project, again(sitting)))
    if left and sitting.goes:
        say(_goes_on(sitting))


def _goes_on(sitting: Sitting) -> str:
    return f"It goes on. Watch it: palate watch {sitting.name}   stop it: palate stop {sitting.name}"


def _now(project: Project, sitting: Sitting) -> list[str]:
    columns = _columns(sys.stderr)
    return sitting_lines(sitting, newest_points(project, sitting), now_s=time.time(), columns=columns)


class _Screen:
    """Lines at the end of a terminal, shown again and again in the same place."""

    def __init__(self) -> None:
        self._rows = 0
        self._size = shutil.get_terminal_size()

    def show(self, lines: list[str], *, last: list[str] | None = None) -> None:
        """Show lines in the place of those before, as many as there is room for; `last` stay, and are not cut."""
        size = shutil.get_terminal_size()
        wide = [folded(shown(line), size.columns) for line in (last or [*lines, "q leaves it going"])]
        rows = [row for line in wide for row in line.split("\n")]
        rows = rows if last is not None else rows[: max(size.lines - 1, 1)]
        clear = "" if not self._rows else "\x1b[2J\x1b[H" if size != self._size else back_over(self._rows + 1)
        click.echo(clear + "\n".join(rows), err=True)
        self._rows = sum(rows_of(row, size.columns) for row in rows)
        self._size = size
