"""From what a person declares to a report: preferences read, target found, question built, loop run."""

import getpass
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from palate.errors import ForecastTextError
from palate.forecast.answer import Forecast, Said, Spread, parse_forecast
from palate.loop.forecaster import Author
from palate.loop.kitchen import Kitchen
from palate.loop.opening import opening
from palate.loop.question import Question, build_question
from palate.store.config import Origin, read_config
from palate.store.project import Project, find_project
from palate.training.fingerprint import data_of
from palate.training.pool import count_cores, share_out
from palate.training.target import Target, target_of_function

if TYPE_CHECKING:
    from palate.loop.report import Report

Config = Mapping[str, Origin]


def kitchen_of(
    config: Config, *, workers: int | None = None, threads: int | None = None, timeout_s: float | None = None
) -> Kitchen:
    """Set up what runs are carried out with: flags first, then preferences, then the machine's cores."""
    shared = share_out(count_cores(), workers or config["workers"].value, threads or config["threads"].value)
    return Kitchen(workers=shared[0], threads=shared[1], timeout_s=timeout_s or config["timeout_s"].value)


def author_of(config: Config, name: str | None = None, agent: bool | None = None) -> Author:
    """Name who forecasts: as given, else as configured, else the login name; and whether it is an agent."""
    is_agent = bool(config["agent"].value) if agent is None else agent
    return Author(name=name or str(config["author"].value or _login_name()), agent=is_agent)


def _login_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container's user without a name
        return f"user {os.getuid()}"


def said_from(given: "str | Forecast | Spread | Mapping[str, Any]", why: str = "") -> Said:
    """Read a forecast however it is given in Python.

    Raises:
        ForecastTextError: it says nothing that can be scored.
    """
    if isinstance(given, Forecast | Spread):
        return given
    if not isinstance(given, str | Mapping):
        raise ForecastTextError(
            f"{given!r} is no forecast.",
            why="It is text, a palate.Forecast, a palate.Spread, or a mapping.",
            todo='forecast="better:80"   or forecast=None to explore without one',
        )
    return parse_forecast(given if isinstance(given, str) else json.dumps(dict(given)), why)


def question_of(target: Target, changes: Mapping[str, Any], *, data: tuple[str, ...] = (), **options: Any) -> Question:
    """Build the question for a target, its data fingerprinted. See `build_question` for the options."""
    return build_question(target, changes, data=data_of((*target.data, *data), Path.cwd()), **options)


def run_function(
    function: Callable[..., Any],
    options: Mapping[str, Any],
    changes: Mapping[str, Any],
    *,
    forecast: "str | Forecast | Spread | Mapping[str, Any] | None",
    metric: str | None,
    margin: float | None,
    pairs: int | None,
    home: Path | None,
    ask_only: bool,
) -> "Report":
    """Run a live function through the loop. See `Experiment.run`."""
    from palate.loop.run import run_question  # slow to import: numpy, SQLAlchemy
    from palate.loop.stove import SILENT

    project = Project(home.absolute()) if home else find_project(Path.cwd(), os.environ)
    config = read_config(Path.cwd(), os.environ)
    target = target_of_function(function, project.home / "functions", options)
    question = question_of(target, changes, metric=metric, margin=margin, budget=pairs or config["pairs"].value)
    kitchen, author = kitchen_of(config), author_of(config)
    said = None if forecast is None else said_from(forecast)
    with opening(project, question, author=author, ask=_skip, kitchen=kitchen, said=said) as opened:
        return run_question(project, opened, kitchen=kitchen, watcher=SILENT, run=not ask_only)


def _skip(_: Question) -> None:
    """Ask nobody."""
