"""`palate show`."""

import re
import time
from dataclasses import asdict

import click

from palate.cli.common import here, json_option, put_out, whoami
from palate.cli.sitting import newest_points, sitting_lines
from palate.errors import InputError, NotFoundError
from palate.loop.cost import usage_document, usage_of, usage_words
from palate.loop.reference import foretell_run
from palate.loop.results import Results, RunResult
from palate.loop.run import report_now
from palate.loop.season import course_of
from palate.loop.sittings import newest_of
from palate.question.plan import ARMS
from palate.recipe.codec import encode
from palate.recipe.settings import show_value
from palate.store.catalog import Catalog, Summary
from palate.store.project import Project
from palate.training.inputs import read_received
from palate.training.outcome import lost_words, tail_of

LONGEST_ID = 255
"""A run's id is the name of a folder."""


@click.command("show")
@click.argument("name", default="last")
@click.option("--output", is_flag=True, help="Of a run: what it printed, to the end.")
@json_option
def command(name: str, output: bool, as_json: bool) -> None:
    """Show one experiment (its question, forecast, runs and verdict), or one run, by the start of its id."""
    project = here()
    _refuse_no_name(name)
    if name == "last" or re.fullmatch(r"[0-9a-f]{1,8}", name):
        try:
            if output and not _is_run(project, name):
                raise InputError(
                    "--output goes with a run, not with an experiment.", todo="palate list --runs   shows them"
                )
            _show_experiment(project, name, as_json)
        except NotFoundError:
            if not _is_run(project, name):
                raise
        else:
            return
    _show_run(project, name, output, as_json)


def _refuse_no_name(name: str) -> None:
    """Refuse what cannot be the start of an id."""
    if not name or not name.isprintable() or any(letter in name for letter in "/\\*?[]") or len(name) > LONGEST_ID:
        raise InputError(
            f"{name[:80]!r} is no id of an experiment or a run, nor the start of one.",
            why="An id is a name: no path, and no pattern.",
            todo="palate list   or   palate list --runs   shows them; `last` is the newest",
        )


def _is_run(project: Project, name: str) -> bool:
    try:
        return name != "last" and any(run.name.startswith(name) for run in project.runs.iterdir())
    except OSError:  # nothing was run yet
        return False


def _show_experiment(project: Project, name: str, as_json: bool) -> None:
    report = report_now(project, name, whoami().name)
    question = report.question
    settings = {name: encode(value) for name, value in question.target.settings.items()}
    received = not report.experiment.sealed.trusted
    document = {
        **report.document(),
        "schema": "palate.show/1",
        "settings": settings,
        **({"trusted": False} if received else {}),
    }
    origin = ["It was asked elsewhere: its command is started only when you confirm it."] if received else []
    pairs = _pair_lines(report.judgement.results)
    sitting = newest_of(project.home).get(question.experiment)
    told = sitting is not None and (sitting.goes or sitting.can_go_on) and not report.judgement.done
    newest = newest_points(project, sitting) if sitting is not None and told else {}
    going = (
        sitting_lines(sitting, newest, now_s=time.time(), columns=0, brief=True)[1:]
        if sitting is not None and told
        else []
    )
    document |= {"sitting": sitting.document()} if sitting is not None and told else {}
    head = f"{question.experiment}  {question.text}"
    put_out(document, [head, *origin, *going, *report.lines(), *pairs], as_json=as_json)


def _pair_lines(results: Results) -> list[str]:
    lines = ["seed     baseline    treatment"]
    baseline, treatment = (results[arm] for arm in ARMS)
    for seed in sorted(baseline):
        lines.append(f"{seed:>4} {_value(baseline[seed]):>12} {_value(treatment.get(seed)):>12}")
    return lines


def _value(result: RunResult | None) -> str:
    if result is None:
        return "-"
    outcome = result.outcome
    return outcome.ending if outcome.value is None else f"{outcome.value:.6g}"


def _show_run(project: Project, name: str, output: bool, as_json: bool) -> None:
    with Catalog.open(project) as catalog:
        catalog.refresh()
        run = catalog.find_run(name)
        summaries = catalog.summaries([run.id])
        endings = foretell_run(catalog, run)
    printed = tail_of(project.output(run.id), 1_000_000 if output else 12)
    settings = {key: show_value(value) for key, value in run.settings.items()}
    received = read_received(project.run_folder(run.id))
    course = [] if not run.integrity.counts and run.integrity.status == "unread" else course_of(project, run.id)
    usage = usage_of(project, run.id)
    document = {
        "schema": "palate.run/1",
        **asdict(run),
        "fresh": not run.planned,
        "settings": settings,
        "metrics": [asdict(summary) for summary in summaries],
        "output": printed,
        **({"received": received.body()} if received is not None else {}),
        **({"course": course} if course else {}),
        **({"usage": usage_document(usage, run.elapsed_s)} if usage is not None else {}),
        "will_end": {metric: asdict(ending) for metric, ending in endings.items()},
    }
    ending = run.exit or ("goes on" if endings else "no ending: it goes on, or was interrupted")
    lines = [
        f"{run.id}   {run.label}   {'no seed' if run.seed is None else f'seed {run.seed}'}   {ending}",
        "  ".join(f"{key} {value}" for key, value in settings.items()),
        *([] if run.integrity.counts else [f"It {lost_words(run.integrity)}, and counts for nothing."]),
        *(_metric_line(summary) for summary in summaries),
        *(
            f"{metric:<20} this run will end at {e.value:.4g}, between {e.low:.4g} and {e.high:.4g} (80 %)"
            for metric, e in endings.items()
        ),
        *course,
        *([usage_words(usage, run.elapsed_s)] if usage is not None else []),
        *(received.lines() if received is not None else ()),
        *(f"| {line}" for line in printed),
    ]
    put_out(document, lines, as_json=as_json)


def _metric_line(summary: Summary) -> str:
    last = summary.last_text or f"{summary.last:.6g}"
    span = "" if summary.least is None else f"   least {summary.least:.6g}   most {summary.most:.6g}"
    return f"{summary.metric:<20} {summary.n:>7} points   last {last} at step {summary.last_step}{span}"
