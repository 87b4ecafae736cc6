"""Begin a run's journal, end it, and read how it went."""

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from palate.recipe.codec import encode
from palate.redaction import redact_text, sealed
from palate.store.journal import write_event
from palate.training.cause import TRACEBACK, inner_status, without_frames
from palate.training.faults import TAIL, Fault, fault_in
from palate.training.gathered import gather
from palate.training.launch import Ended, signal_name
from palate.vocabulary import Ending, Integrity, Metric, Outcome, Take

if TYPE_CHECKING:
    from palate.store.catalog import RunRow, Summary

TAIL_LINES = 12
LOOKED_AT = 400
"""Last lines in which the words of launchers are looked for: each of their processes may have printed a traceback."""
TAIL_LINE = 200
"""Bytes that are read for each of the last lines that are wanted."""
TAIL_BYTES = 4 << 20
"""The most bytes that are read, however many lines are wanted."""
USAGE_ERROR = 2
"""Exit status of a program that refuses its command line."""
OUT_OF_MEMORY: Final = "out of memory"
"""How the detail of a run begins that ended so, and its ending."""
DIVERGED = 1e100
"""A metric beyond this is as good as infinite: its square is."""


def begin_run(journal: Path, *, key: str, label: str, seed: int, settings: Mapping[str, Any]) -> None:
    """Make a run's folder and journal, with the recipe that it is about to be run from."""
    encoded = {name: encode(sealed(name, value)) for name, value in settings.items()}
    write_event(journal, "recipe", key=key, label=label, seed=seed, settings=encoded)


def end_run(journal: Path, ended: Ended, output: Path) -> None:
    """Write into a run's journal what the processes that it started logged, and how its own process ended."""
    gather(journal)
    exit_word = "timeout" if ended.timed_out else "ok" if ended.status == 0 else "crashed"
    detail = "" if exit_word == "ok" else describe_exit(ended, output)
    elapsed_s = round(ended.elapsed_s, 3)
    if ended.usage is not None:
        write_event(journal, "usage", **ended.usage.body())
    write_event(journal, "ending", exit=exit_word, status=ended.status, elapsed_s=elapsed_s, detail=detail)


def stop_run(journal: Path) -> None:
    """Write into a run's journal that it was stopped before its end: by hand, or because nobody needs it any more."""
    write_event(journal, "ending", exit="stopped", detail="stopped before its end")


def set_aside(journal: Path, why: str) -> None:
    """Write into the journal of a run that has ended that it counts for nothing, and why."""
    write_event(journal, "ending", exit="stopped", detail=f"set aside: {why}")


def describe_exit(ended: Ended, output: Path) -> str:
    """Say how a process ended, with the tail of what it printed: without what a launcher puts around it."""
    fault = fault_of(ended, output)
    if fault is not None and fault.kind == OUT_OF_MEMORY:
        how = fault.words
    elif ended.timed_out:
        how = f"ended after {ended.elapsed_s:.0f} s, its time being up"
    elif ended.status < 0:
        how = f"killed by {signal_name(-ended.status)}"
    else:
        how = f"exit status {inner_status(ended.status, tail_of(output, LOOKED_AT))}"
    return redact_text("\n".join([how, *cause_of(output)]))


def cause_of(output: Path) -> list[str]:
    """Return the last lines of what a run that failed printed itself, without its launchers' words on that."""
    return without_frames(tail_of(output, LOOKED_AT))[-TAIL_LINES:]


def fault_lines(output: Path) -> list[str]:
    """Return what a run that failed printed of its fault: its tracebacks, without its launchers' words on that.

    Each of several processes may have printed one. Where there is none, the last lines are it.
    """
    own = without_frames(tail_of(output, LOOKED_AT))
    first = next((n for n, line in enumerate(own) if TRACEBACK in line), len(own))
    return own[min(first, max(len(own) - TAIL_LINES, 0)) :]


def fault_of(ended: Ended, output: Path) -> Fault | None:
    """Return what ended a run besides its own code: memory that ran out, or a GPU that went; None where neither did."""
    if ended.timed_out or ended.status == 0:
        return None
    usage = ended.usage
    return fault_in(
        "\n".join(tail_of(output, TAIL)),
        status=ended.status,
        oom_kills=usage.oom_kills if usage else 0,
        cpu_peak=usage.cpu_peak if usage else 0,
    )


def tail_of(output: Path, lines: int = TAIL_LINES) -> list[str]:
    """Return the last lines of what a run printed; of many lines as many as there is room for."""
    most = min(max(lines * TAIL_LINE, 8192), TAIL_BYTES)
    try:
        with output.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(size - most, 0))
            text = file.read(most).decode(errors="replace").rstrip()
    except OSError:
        return []
    if size <= most:
        return text.splitlines()[-lines:]
    whole = text.splitlines()[1:]
    return whole[-lines:] if lines <= len(whole) else [f"... {size - most:,} bytes before this: {output}", *whole]


def lost_words(integrity: Integrity) -> str:
    """Say what a run lost, and why.

    >>> lost_words(Integrity(status="lost points", lost_points=1204, why="the disk was full"))
    'lost 1,204 points (the disk was full)'
    """
    n = integrity.lost_points
    count = "points, nobody knows how many" if n is None else "1 point" if n == 1 else f"{n:,} points"
    return f"lost {count} ({integrity.why})" if integrity.why else f"lost {count}"


def read_outcome(run: "RunRow", summaries: "Sequence[Summary]", metric: Metric, take: Take) -> Outcome | None:
    """Judge how a run ended by what the catalog tells of it; None while it goes or where it was stopped."""
    if not run.ended:
        return None
    if not run.integrity.counts:
        return Outcome(ending="lost points", detail=lost_words(run.integrity))
    if run.failed:
        crashed: Ending = OUT_OF_MEMORY if run.detail.startswith(OUT_OF_MEMORY) else "crashed"
        ending = "timeout" if run.exit == "timeout" else crashed
        return Outcome(ending=ending, detail=run.detail)
    summary = next((summary for summary in summaries if summary.metric == metric.name), None)
    if summary is None:
        logged = ", ".join(summary.metric for summary in summaries) or "nothing"
        return Outcome(ending="no_metric", detail=f"it logged {logged}")
    best = summary.most if metric.goal == "max" else summary.least
    value = summary.last if take == "last" else best
    if summary.last_text is not None or value is None or not math.isfinite(value):
        return Outcome(ending="nan", detail=f"{metric.name} ended as {summary.last_text}")
    if abs(value) > DIVERGED:
        return Outcome(ending="nan", detail=f"{metric.name} diverged: it ended as {value:g}")
    return Outcome(ending="finished", value=value)
