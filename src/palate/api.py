"""What `import palate` offers: declare an experiment and run it, seal forecasts, see how everybody does.

Standard library only until something is run.
"""

import functools
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from palate.errors import ForecastTextError
from palate.training.run import Run, new_run_folder
from palate.vocabulary import Goal

if TYPE_CHECKING:
    from palate.forecast.answer import Forecast, Said, Spread
    from palate.ledger.records import SealedForecast
    from palate.loop.report import Report
    from palate.store.project import Project
    from palate.web.figures import Standings


class Experiment:
    """A function that trains, and how it is judged. Call it to train once; `run` it to ask a question of it.

    Attributes:
        function: the function as written: (run, *, setting=default, ...) -> None.
        options: metric, goal, resolution and data, as declared.
    """

    def __init__(self, function: Callable[..., Any], options: Mapping[str, Any]) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.options = options

    def __call__(self, **settings: Any) -> Run:
        """Train once, in a run of its own; return the run. Settings as in the function's signature."""
        given = self._with_defaults(settings)
        seed = given.pop("seed", 0)
        run = Run(new_run_folder(self.function.__name__), seed=seed, settings=given)
        run.begin_own(self.function.__name__)
        try:
            self.function(run, **settings)
        except BaseException as fault:
            run.end_own(fault)
            raise
        run.end_own(None)
        return run

    def _with_defaults(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Return all settings of a call: the function's defaults with what was given."""
        import inspect  # .01 s, and needed by nobody who only imports palate

        parameters = inspect.signature(self.function).parameters.values()
        defaults = {one.name: one.default for one in parameters if one.default is not one.empty}
        return {**defaults, **settings}

    def run(
        self,
        *,
        forecast: "str | Forecast | Spread | Mapping[str, Any] | None" = None,
        metric: str | None = None,
        margin: float | None = None,
        pairs: int | None = None,
        home: str | os.PathLike[str] | None = None,
        ask_only: bool = False,
        against: "Callable[..., Any] | str | os.PathLike[str] | None" = None,
        from_start: bool = False,
        **changes: Any,
    ) -> "Report":
        """Ask what a change does, and run baseline and treatment in paired seeds until it is settled.

        Args:
            forecast: what you think will happen: "better:80", palate.Forecast(...), palate.Spread(...) or a mapping as
                in JSON; None to explore without one (not scored), or where one is sealed already.
            metric: the metric that is judged, where it is not the declared one.
            margin: smallest difference that matters, as it is logged; kept for the metric, or measured first, if None.
            pairs: seed pairs that it may cost at most; as configured (20) if None.
            home: the project's folder; found as `find_project` does if None.
            ask_only: seal the question and the forecast, and run nothing yet.
            against: what the baseline runs instead: another function, or this one as it is in a git revision ("HEAD")
                or in another copy of the code (a folder). The change is then the edit between the two.
            from_start: leave out what was adopted (`palate adopt`), which both arms have otherwise.
            changes: settings that the treatment has different: lr=3e-3.

        Raises:
            InputError: settings that do not exist, a forecast that cannot be read.
            OutcomeSeenError: a forecast after its outcome.
            RunsFailedError: the training did not deliver.
        """
        return run_function(
            self.function,
            {name: value for name, value in self.options.items() if value},
            changes,
            forecast=forecast,
            metric=metric,
            margin=margin,
            pairs=pairs,
            home=None if home is None else Path(home),
            ask_only=ask_only,
            against=against,
            from_start=from_start,
        )


@overload
def experiment(function: Callable[..., Any], /) -> Experiment: ...


@overload
def experiment(
    *,
    metric: str | None = None,
    goal: Goal | None = None,
    resolution: float | None = None,
    data: str | tuple[str, ...] = (),
) -> Callable[[Callable[..., Any]], Experiment]: ...


def experiment(
    function: Callable[..., Any] | None = None,
    /,
    *,
    metric: str | None = None,
    goal: Goal | None = None,
    resolution: float | None = None,
    data: str | tuple[str, ...] = (),
) -> Experiment | Callable[[Callable[..., Any]], Experiment]:
    """Declare a function as an experiment: `@palate.experiment(metric="val_acc")`.

    The function takes the run first, then its settings as keywords with defaults: the baseline's recipe. A parameter
    named `seed` is given the run's seed (which is `run.seed` too).

    Args:
        function: the function, where the decorator is used bare.
        metric: the metric that is judged, by the name it is logged under.
        goal: "max" or "min"; told by the metric's name where that is clear.
        resolution: smallest step of the metric (1 / number of test examples); from the values if None.
        data: files or folders whose content is part of what a run is: other content, other runs.
    """
    options = {
        "metric": metric,
        "goal": goal,
        "resolution": resolution,
        "data": (data,) if isinstance(data, str) else tuple(data),
    }
    if function is not None:
        return Experiment(function, options)
    return lambda declared: Experiment(declared, options)


def seal(
    experiment: str,
    forecast: "str | Forecast | Spread | Mapping[str, Any]",
    *,
    why: str = "",
    revise: bool = False,
    author: str | None = None,
    agent: bool | None = None,
    home: str | os.PathLike[str] | None = None,
) -> "SealedForecast":
    """Seal a forecast of a question that was asked (`palate run ... --ask`, or `train.run(..., ask_only=True)`).

    Args:
        experiment: its id, or the start of it; "last" for the newest.
        forecast: "better:80", palate.Forecast(...), palate.Spread(...), or a mapping as in JSON.
        why: a few words, kept with it.
        revise: whether it is the one revision of a forecast that is sealed already.
        author: who forecasts; as configured (PALATE_AUTHOR), else the login name.
        agent: whether an agent does; as configured (PALATE_AGENT).
        home: the project's folder; found from the working folder if None.

    Raises:
        InputError: it says nothing that can be scored.
        NotFoundError: there is no such experiment.
        OutcomeSeenError: its outcome is visible, or this author has a forecast of it already.
    """
    from palate.ledger.ledger import Ledger
    from palate.loop.ask import nobody
    from palate.loop.author import author_of
    from palate.loop.run import forecast_question, revise_forecast
    from palate.store.catalog import Catalog
    from palate.store.config import read_config

    who = author_of(read_config(Path.cwd(), os.environ), author, agent)
    project, said = _project(home), said_from(forecast, why)
    question = Ledger.of(project.chain).read(experiment).question
    with Catalog.open(project) as catalog:
        if revise:
            return revise_forecast(catalog, question, said, author=who)
        return forecast_question(catalog, question, said, author=who, person=nobody())[0]


def skill(*, author: str | None = None, home: str | os.PathLike[str] | None = None) -> "Standings":
    """Say whether forecasters are behind, ahead, or nobody can tell yet; shown as text, in notebooks as a figure.

    Args:
        author: of one forecaster only.
        home: the project's folder; found from the working folder if None.
    """
    from palate.ledger.ledger import Ledger
    from palate.loop.score import skill_now
    from palate.store.catalog import Catalog
    from palate.web.figures import Standings

    project = _project(home)
    with Catalog.open(project) as catalog:
        standings = skill_now(Ledger.of(project.chain), catalog)
    return Standings(tuple(one for one in standings if author in (None, one.author)))


def _project(home: str | os.PathLike[str] | None) -> "Project":
    from palate.store.project import Project, find_project

    return Project(Path(home).absolute()) if home else find_project(Path.cwd(), os.environ)


def said_from(given: "str | Forecast | Spread | Mapping[str, Any]", why: str = "") -> "Said":
    """Read a forecast however it is given in Python.

    Raises:
        ForecastTextError: it says nothing that can be scored.
    """
    from palate.forecast.answer import Forecast, Spread, parse_forecast

    if isinstance(given, Forecast | Spread):
        return given
    if not isinstance(given, str | Mapping):
        raise ForecastTextError(
            f"{given!r} is not a forecast.",
            why="It is text, a palate.Forecast, a palate.Spread, or a mapping.",
            todo='forecast="better:80"   or forecast=None to explore without one',
        )
    return parse_forecast(given if isinstance(given, str) else json.dumps(dict(given)), why)


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
    against: "Callable[..., Any] | str | os.PathLike[str] | None",
    from_start: bool = False,
) -> "Report":
    """Run a live function through the loop. See `Experiment.run`."""
    from palate.loop.ask import nobody, opening, question_about, resources_of
    from palate.loop.author import author_of
    from palate.loop.incumbent import begin_from
    from palate.loop.run import run_question
    from palate.question.edit import edit_of_target
    from palate.question.target import target_of_function
    from palate.store.config import read_config

    project, person = _project(home), nobody()
    config = read_config(Path.cwd(), os.environ)
    target, edit = target_of_function(function, project.home / "functions", options), None
    if against is not None:
        other = getattr(against, "function", against)
        baseline = (
            target_of_function(other, project.home / "functions", options) if callable(other) else os.fspath(other)
        )
        target, edit = edit_of_target(target, baseline, home=project.home)
    if not from_start:
        begins = begin_from(project, target, edit, text=target.typed)
        target, edit = begins.target, begins.edit
    question = question_about(
        project, target, changes, edit=edit, metric=metric, margin=margin, budget=pairs or config["pairs"].value
    )
    said = None if forecast is None else said_from(forecast)
    resources, author = resources_of(project, config, target=target), author_of(config)
    with opening(project, question, author=author, person=person, resources=resources, said=said) as opened:
        return run_question(project, opened, person=person, run=not ask_only)
