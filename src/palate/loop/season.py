"""Season a run that goes: ask it to turn knobs, hear what it did, and what was really in force a step later."""

import fcntl
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from palate.cooking.capsule import capsules_of
from palate.cooking.commands import Answer, answers, ask
from palate.cooking.heard import EVENT, why_not
from palate.errors import InputError, RefusedError
from palate.question.branch import Amount
from palate.store.catalog import Catalog
from palate.store.project import Project
from palate.store.reader import read_journal
from palate.store.runs import RunRow

LOOK_S = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """One answer of a run to a command.

    Attributes:
        kind: "applied", "refused" or "in-force".
        body: what it says.
    """

    kind: Answer
    body: Mapping[str, Any]

    def lines(self) -> list[str]:
        """Return it as lines for people."""
        step = self.body.get("step", 0)
        if self.kind == "refused":
            return [f"Refused at step {step:,}: {self.body.get('what', '')}", *self.body.get("why", ())]
        if self.kind == "applied":
            before, after = self.body["before"], self.body["after"]
            turned = ", ".join(f"{name} {_shown(before[name])} -> {_shown(after[name])}" for name in after)
            return [f"Applied at step {step:,}: {turned}"]
        return [_force_words(name, value, self.body["asked"].get(name), step) for name, value in self.in_force.items()]

    @property
    def in_force(self) -> Mapping[str, Any]:
        """What was used, by knob."""
        return dict(self.body.get("in_force", {}))


def _force_words(name: str, used: Any, asked: Any, step: int) -> str:
    told = f"{name} {_shown(asked)} asked, {_shown(used)} in force at step {step:,}"
    if isinstance(used, float) and isinstance(asked, float) and abs(used - asked) > 0.05 * max(abs(asked), 1e-12):
        return f"{told}: not in force as asked. The training sets it by itself; {name}=={_shown(asked)} holds it there."
    return told


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float | int) else str(value)


def going_run(project: Project, name: str) -> RunRow:
    """Return a run that goes and hears commands; `last` is the newest.

    Raises:
        NotFoundError: there is none of that name.
        RefusedError: it has ended, or hears none.
    """
    with Catalog.open(project) as catalog:
        catalog.refresh()
        if name == "last":
            runs = sorted(catalog.runs(), key=lambda run: run.started_unix_s)
            going = [run for run in runs if is_going(project, run)]
            if not going:
                raise RefusedError(
                    "No run goes.", why="Only a run that goes can be seasoned.", todo="palate list --runs"
                )
            run = going[-1]
        else:
            run = catalog.find_run(name)
    if not is_going(project, run):
        raise RefusedError(
            f"{run.id} does not go any more.",
            why="Only a run that goes can be seasoned.",
            todo=f"Fork it: palate fork {run.id} --at STEP --set lr=x0.3",
        )
    refuse_heard(project, run, "seasoned")
    if not capsules_of(project.run_folder(run.id)):
        raise RefusedError(
            f"{run.id} hears no commands (yet).",
            why="A training hears them at its steps, once it calls palate.start and run.steps.",
            todo='run = palate.start("name", model=net, optimizer=opt)   for batch in run.steps(loader):',
        )
    return run


def refuse_heard(project: Project, run: RunRow, what: str) -> None:
    """Refuse a run whose engine has the loop, and of which palate only hears.

    Args:
        project: the run's.
        run: the run.
        what: what is asked of it: "seasoned".

    Raises:
        RefusedError: that is what it is.
    """
    if not project.journal(run.id).exists():
        return
    events = read_journal(project.journal(run.id)).events
    engine = next((str(event.get("engine", "")) for event in events if event.get("kind") == EVENT), "")
    if engine:
        raise RefusedError(
            f"{run.id} cannot be {what}: {engine} trains it.",
            why=why_not(engine),
            todo="Ask it of whole runs: palate run train.py -c lr=0.03",
        )


def is_going(project: Project, run: RunRow) -> bool:
    """Return whether a process writes a run's journal just now; where locks are not known, whether it has not ended."""
    try:
        descriptor = os.open(project.journal(run.id), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return not run.exit
    finally:
        os.close(descriptor)
    return False


def season(
    project: Project,
    run: RunRow,
    amounts: Mapping[str, Amount],
    *,
    author: str,
    why: str = "",
    forecast: str = "",
    undo: bool = False,
    within_s: float = 30.0,
) -> Iterator[Answered]:
    """Ask a run to turn knobs; yield its answers as they come: applied or refused, then what was in force.

    Raises:
        InputError: nothing is turned, or a knob that the run is known not to have.
        RefusedError: no answer came in time.
    """
    folder = project.run_folder(run.id)
    if not amounts and not undo:
        raise InputError("Nothing is turned.", todo=f"palate season {run.id} lr=x0.3")
    command = ask(folder, amounts, author=author, why=why, forecast=forecast, undo=undo)
    told: set[Answer] = set()
    until_s = time.monotonic() + within_s
    while "in-force" not in told and "refused" not in told:
        for kind, body in answers(folder, command).items():
            if kind not in told:
                told.add(kind)
                yield Answered(kind=kind, body=body)
        if not is_going(project, run) and not answers(folder, command):
            raise RefusedError(f"{run.id} has ended, and did not hear the command.", todo=f"palate show {run.id}")
        if time.monotonic() > until_s:
            raise _no_answer(run, applied="applied" in told, within_s=within_s)
        time.sleep(LOOK_S)


def _no_answer(run: RunRow, *, applied: bool, within_s: float) -> RefusedError:
    if applied:
        return RefusedError(
            f"{run.id} turned it, but has not said within {within_s:.0f} s what is in force.",
            why="It says so behind the next step of its optimizer.",
            todo=f"palate show {run.id}",
        )
    return RefusedError(
        f"{run.id} has not answered within {within_s:.0f} s. The command waits for it.",
        why="It hears commands between two steps, behind a step of its optimizer: it may be validating, or adding up "
        "gradients.",
        todo=f"palate show {run.id}",
    )


def course_of(project: Project, run: str) -> list[str]:
    """Return what happened in a run's course, a line each: its stages, what was turned, why a stage ended."""
    return [line for event in read_journal(project.journal(run)).events if (line := _course_line(event))]


def _course_line(event: Mapping[str, Any]) -> str:
    kind, step = event.get("kind"), event.get("step", 0)
    if kind == "stage":
        return f"Step {step:,}: stage {event['name']} begins" + (f", round {event['round'] + 1}" * bool(event["round"]))
    if kind == "until":
        return f"Step {step:,}: stage {event['stage']} ends: {event['words']}"
    if kind == "resumed":
        return f"Step {step:,}: taken up from a capsule"
    if kind == "symptom":
        return f"Step {step:,}: {event['words']}"
    if kind == "lanes":
        return _lanes_line(event)
    if kind != "season":
        return ""
    turned = ", ".join(
        f"{name}={asked} ({_shown(event['before'][name])} -> {_shown(event['after'][name])})"
        for name, asked in event["asked"].items()
    )
    by, why = event.get("author", ""), event.get("why", "")
    return f"Step {step:,}: turned {turned}{f', by {by}' if by else ''}{f': {why}' if why else ''}"


def _lanes_line(event: Mapping[str, Any]) -> str:
    step = event.get("step", 0)
    if "alone" in event:
        return f"Step {step:,}: made by itself from here on, and not with other seeds: {event['alone']}"
    if "lane" not in event:
        return ""
    others, price = event["lanes"] - 1, event["price"]
    how = "by itself, as a check of" if event["lane"] == 0 else "together with"
    return f"Up to step {step:,}: made {how} {others} other seeds; the steps of all cost {price:g} single runs"


def seasons_of(project: Project, run: str) -> dict[int, dict[str, str]]:
    """Return what was turned in a run, by step: the amounts as they were typed."""
    turned: dict[int, dict[str, str]] = {}
    for event in read_journal(project.journal(run)).events:
        if event.get("kind") == "season":
            turned.setdefault(int(event["step"]), {}).update(event["asked"])
    return turned
