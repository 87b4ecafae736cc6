"""Which sitting is meant, and what a sitting says: lines for people, made of what is kept of it."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

from palate.errors import InputError, NotFoundError, PalateError
from palate.loop.sittings import Going, Sitting, newest_of, sittings_of
from palate.store.project import Project
from palate.training.limits import hours_words
from palate.verdict.words import duration_words

BAR = 20
WIDE = 70
"""Columns from which there is room for a bar."""


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest that a run logged: its highest step, and the metric's value there; None where it logged none yet."""

    step: int
    value: float | None


def newest_points(project: Project, sitting: Sitting) -> dict[str, Newest]:
    """Read what the runs that go logged last, by their id; what cannot be read is left out."""
    runs = sitting.state.runs if sitting.goes else ()
    if not runs:
        return {}
    from palate.store.reader import read_journal  # numpy

    found = {}
    for run in runs:
        try:
            curves = read_journal(project.journal(run.id)).curves
        except (PalateError, OSError):
            continue
        steps = [int(curve.steps[curve.end]) for curve in curves.values() if len(curve)]
        curve = curves.get(sitting.job.metric)
        value = None if curve is None or not len(curve) else float(curve.values[curve.end])
        if steps:
            found[run.id] = Newest(max(steps), value)
    return found


def find_sitting(project: Project, name: str) -> Sitting:
    """Return the sitting that is meant: of an experiment, or of a run that goes, by the start of its id; or the newest.

    Without a name, the only one that goes; where none goes, the newest.

    Raises:
        NotFoundError: there is none.
        InputError: several are meant.
    """
    known = newest_of(project.home)
    meant = _meant(known, name)
    if len(meant) == 1:
        return meant[0]
    if meant:
        raise InputError(
            f"{len(meant)} are meant{f' by {name}' if name else ': so many go'}.",
            why=[f"{one.name}  {one.job.text}" for one in meant],
            todo="Name one by the start of its id.",
        )
    if not known:
        raise NotFoundError(
            "Nothing goes in this project, and nothing was broken off.",
            todo=("palate list   shows what was asked", "palate run ... --detach   starts one that can be watched"),
        )
    raise NotFoundError(
        f"No process makes, or made, an experiment or a run {name}.",
        why=[f"{one.name}  {one.job.text}" for one in known.values()],
        todo=f"palate show {name}   shows an experiment that nobody is at",
    )


def _meant(known: Mapping[str, Sitting], name: str) -> list[Sitting]:
    newest = sorted(known.values(), key=lambda one: one.job.began_unix_s)
    if name in ("", "last"):
        goes = [one for one in newest if one.goes]
        return newest[-1:] if name == "last" or not goes else goes
    by_id = [one for one in newest if one.name.startswith(name)]
    return by_id or [one for one in newest if any(run.id.startswith(name) for run in one.state.runs)]


def all_of(project: Project, sitting: Sitting) -> list[Sitting]:
    """Return all sittings of the same experiment that go: several processes may be at one."""
    return [one for one in sittings_of(project.home, sitting.name) if one.goes and one.name == sitting.name]


def sitting_lines(
    sitting: Sitting, newest: Mapping[str, Newest], *, now_s: float, columns: int, brief: bool = False
) -> list[str]:
    """Return what is done so far, the most important first.

    Args:
        sitting: what is shown.
        newest: what its runs logged last, by their id.
        now_s: the time, Unix seconds.
        columns: of the terminal.
        brief: say of an ending only how it came, where a report stands beside it.
    """
    lines = [f"{sitting.name}   {sitting.job.text}", *_life_lines(sitting, now_s, brief), _pairs_line(sitting, columns)]
    if sitting.goes:
        lines += [_run_line(sitting, run, newest.get(run.id), now_s) for run in sitting.state.runs]
        lines += _left_lines(sitting, now_s)
    return [*lines, *(f"Noticed    {words}" for words in sitting.state.noticed)]


def clock(unix_s: float, now_s: float) -> str:
    """Return a time as a clock shows it, with the day where it is not today's."""
    at = time.localtime(unix_s)
    today = at[:3] == time.localtime(now_s)[:3]
    return time.strftime("%H:%M" if today else "%d %b %H:%M", at)


def _life_lines(sitting: Sitting, now_s: float, brief: bool) -> list[str]:
    job, state = sitting.job, sitting.state
    if sitting.life == "interrupted":
        last = clock(state.at_unix_s or job.began_unix_s, now_s)
        return [f"Broke off  after {last}, its last word: {sitting.cause()}.", f"Go on      {_go_on(sitting)}"]
    if state.ending is not None:
        at = f"Ended      {clock(state.ending.at_unix_s, now_s)}"
        more = [] if brief else [f"           {line}" for line in state.ending.words[1:]]
        go_on = [f"Go on      {_go_on(sitting)}"] if sitting.can_go_on else []
        return [f"{at}: {next(iter(state.ending.words), state.ending.how)}", *more, *go_on]
    if not sitting.goes:
        return ["Ended      and what it said was taken away"]
    where = f"process {job.pid}" + (f" on {job.host}" if sitting.life == "elsewhere" else "")
    used = duration_words(max(now_s - job.began_unix_s, 0.0))
    hours = f"{used} of {hours_words(job.hours)}" if job.hours is not None else used
    still = [f"Still      it was stopped (Ctrl-Z) and does nothing: fg, or kill -CONT {job.pid}"]
    asked = ["Stopping   no more runs are started, as was asked; those that go are finished"]
    reads = not (state.runs or state.made or state.verdict)
    phase = ["Reading    what is asked, and what differs between the arms"] if reads else []
    return [
        f"Goes       since {clock(job.began_unix_s, now_s)}, {hours}, {where}{', detached' if job.detached else ''}",
        *(still if sitting.stands_still else ()),
        *(asked if state.stopping else phase),
    ]


def _go_on(sitting: Sitting) -> str:
    if None in sitting.job.argv:
        return f"{sitting.job.typed}   (with its secrets, which are not kept)"
    return f"palate resume {sitting.name}   (nothing that finished is lost)"


def _pairs_line(sitting: Sitting, columns: int) -> str:
    done, budget = sitting.done, max(sitting.job.budget, 1)
    full = min(round(BAR * done / budget), BAR)
    bar = f"[{'#' * full}{'.' * (BAR - full)}] " if columns >= WIDE else ""
    failed = f", {sitting.state.failed} runs failed" if sitting.state.failed else ""
    if sitting.job.unit == "runs":
        return f"Runs       {bar}{done} made, of {sitting.job.budget} at most{failed}"
    return f"Pairs      {bar}{done} of {sitting.job.budget}   {sitting.state.effect}{failed}".rstrip()


def _run_line(sitting: Sitting, run: Going, newest: Newest | None, now_s: float) -> str:
    took_s = max(now_s - run.began_unix_s, 0.0)
    told = ["no point yet"]
    if newest is not None:
        whole = f"/{run.length}" if run.length is not None and run.length >= newest.step else ""
        value = "" if newest.value is None else f"{sitting.job.metric} {newest.value:.4g}"
        told = [f"step {newest.step}{whole}", value]
    left_s = _run_left_s(sitting, run, newest, took_s)
    left = "" if left_s is None else f"about {duration_words(left_s)} left"
    words = "  ".join(word for word in (*told, duration_words(took_s), left) if word)
    return f"Run        {run.arm} seed {run.seed}  {words}"


def _run_left_s(sitting: Sitting, run: Going, newest: Newest | None, took_s: float) -> float | None:
    """Return how long a run will still take: as earlier ones of its arm did, else by its steps; None if not known."""
    known_s = sitting.state.took_s.get(run.arm)
    if known_s is not None:
        return max(known_s - took_s, 0.0)
    if newest is None or not run.length or not 0 < newest.step <= run.length:
        return None
    return took_s * (run.length - newest.step) / newest.step


def _left_lines(sitting: Sitting, now_s: float) -> list[str]:
    """Say how long all pairs of the budget would take, and when the hours end."""
    state, job = sitting.state, sitting.job
    lines = []
    pairs = (job.budget - sitting.done) if job.unit == "pairs" else (job.budget - sitting.done) / 2
    if state.took_s and pairs > 0 and not state.stopping:
        mean_s = sum(state.took_s.values()) / len(state.took_s)
        gone_s = sum(max(now_s - run.began_unix_s, 0.0) for run in state.runs)
        left_s = max((2 * pairs * mean_s - gone_s) / state.workers, 0.0)
        lines = [f"Left       about {duration_words(left_s)}, should all of it be needed"]
    if job.hours is not None:
        ends_s = job.began_unix_s + job.hours * 3600
        lines.append(f"Hours      end at {clock(ends_s, now_s)}, in {duration_words(max(ends_s - now_s, 0.0))}")
    return lines
