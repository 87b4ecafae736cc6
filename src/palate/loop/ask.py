"""From what a person declares to a report: preferences read, target found, question built, loop run."""

import getpass
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from palate.forecast.answer import parse_forecast
from palate.loop.question import Question, build_question
from palate.loop.report import Report
from palate.loop.run import SILENT, run_question
from palate.loop.stove import Kitchen
from palate.store.config import Origin, read_config
from palate.store.project import Project, find_project
from palate.training.fingerprint import data_of
from palate.training.pool import count_cores, share_out
from palate.training.target import Target, target_of_function

Config = Mapping[str, Origin]


def kitchen_of(
    config: Config, *, workers: int | None = None, threads: int | None = None, timeout_s: float | None = None
) -> Kitchen:
    """Set up what runs are carried out with: flags first, then preferences, then the machine's cores."""
    shared = share_out(count_cores(), workers or config["workers"].value, threads or config["threads"].value)
    return Kitchen(workers=shared[0], threads=shared[1], timeout_s=timeout_s or config["timeout_s"].value)


def author_of(config: Config) -> str:
    """Name who forecasts: as configured, else the login name."""
    if config["author"].value:
        return str(config["author"].value)
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container's user without a name
        return f"user {os.getuid()}"


def question_of(target: Target, changes: Mapping[str, Any], *, data: tuple[str, ...] = (), **options: Any) -> Question:
    """Build the question for a target, its data fingerprinted. See `build_question` for the options."""
    return build_question(target, changes, data=data_of((*target.data, *data), Path.cwd()), **options)


def run_function(
    function: Callable[..., Any],
    options: Mapping[str, Any],
    changes: Mapping[str, Any],
    *,
    forecast: str | None,
    metric: str | None,
    margin: float | None,
    pairs: int | None,
    home: Path | None,
) -> Report:
    """Run a live function through the loop. See `Experiment.run`."""
    project = Project(home.absolute()) if home else find_project(Path.cwd(), os.environ)
    config = read_config(Path.cwd(), os.environ)
    said = parse_forecast(forecast) if forecast is not None else None
    target = target_of_function(function, project.home / "functions", options)
    question = question_of(target, changes, metric=metric, margin=margin, budget=pairs or config["pairs"].value)
    return run_question(
        project,
        question,
        kitchen=kitchen_of(config),
        watcher=SILENT,
        author=author_of(config),
        ask=lambda _: None,
        forecast=said,
    )
