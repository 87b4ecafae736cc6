"""Begin a run's journal, end it, and read how it went."""

import math
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from palate.recipe.codec import encode
from palate.store.journal import Journal
from palate.training.local import Ended
from palate.vocabulary import Ending, Metric, Outcome, Take

TAIL_LINES = 12


DIVERGED = 1e100
"""A metric beyond this is as good as infinite: its square is."""


def begin_run(journal: Path, *, key: str, label: str, seed: int, settings: Mapping[str, Any]) -> None:
    """Make a run's folder and journal, with the recipe it is about to be cooked from."""
    begun = Journal.open(journal)
    encoded = {name: encode(value) for name, value in settings.items()}
    begun.event("recipe", key=key, label=label, seed=seed, settings=encoded)
    begun.close()


def end_run(journal: Path, ended: Ended, output: Path) -> None:
    """Write into a run's journal how its process ended."""
    finished = Journal.open(journal)
    exit_word = "timeout" if ended.timed_out else "ok" if ended.status == 0 else "crashed"
    detail = "" if exit_word == "ok" else describe_exit(ended, output)
    finished.event("ending", exit=exit_word, status=ended.status, elapsed_s=round(ended.elapsed_s, 3), detail=detail)
    finished.close()


def stop_run(journal: Path) -> None:
    """Write into a run's journal that it was stopped before its end: by hand, or because nobody needs it any more."""
    stopped = Journal.open(journal)
    stopped.event("ending", exit="stopped", detail="stopped before its end")
    stopped.close()


def describe_exit(ended: Ended, output: Path) -> str:
    """Say how a process ended, with the tail of what it printed."""
    if ended.timed_out:
        how = f"ended after {ended.elapsed_s:.0f} s, its time being up"
    elif ended.status < 0:
        how = f"killed by {signal.Signals(-ended.status).name}"
    else:
        how = f"exit status {ended.status}"
    return "\n".join([how, *tail_of(output)])


def tail_of(output: Path, lines: int = TAIL_LINES) -> list[str]:
    """Give the last lines of what a run printed."""
    try:
        text = output.read_bytes()[-8192:].decode(errors="replace")
    except FileNotFoundError:
        return []
    return text.rstrip().splitlines()[-lines:]


def read_outcome(
    run: Mapping[str, Any], summaries: Sequence[Mapping[str, Any]], metric: Metric, take: Take
) -> Outcome | None:
    """Judge how a run ended from its rows in the catalog; None while it goes or where it was stopped."""
    if run["exit"] in (None, "stopped"):
        return None
    if run["exit"] != "ok":
        ending: Ending = "timeout" if run["exit"] == "timeout" else "crashed"
        return Outcome(ending=ending, detail=run["detail"])
    row = next((row for row in summaries if row["metric"] == metric.name), None)
    if row is None:
        logged = ", ".join(row["metric"] for row in summaries) or "nothing"
        return Outcome(ending="no_metric", detail=f"it logged {logged}")
    value = row["last"] if take == "last" else row["most" if metric.goal == "max" else "least"]
    if row["last_text"] is not None or value is None or not math.isfinite(value):
        return Outcome(ending="nan", detail=f"{metric.name} ended as {row['last_text']}")
    if abs(value) > DIVERGED:
        return Outcome(ending="nan", detail=f"{metric.name} diverged: it ended as {value:g}")
    return Outcome(ending="finished", value=value)
