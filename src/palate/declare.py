"""Declare a function as an experiment, and run it from Python; standard library only until it is run."""

import functools
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from palate.training.run import Run, new_run_folder
from palate.vocabulary import Goal

if TYPE_CHECKING:
    from palate.forecast.answer import Forecast, Spread
    from palate.loop.report import Report


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
        """Train once, in a run of its own; give the run. Settings as in the function's signature."""
        run = Run(new_run_folder(self.function.__name__), seed=settings.get("seed", 0), settings=self._kept(settings))
        run.begin_own(self.function.__name__)
        try:
            self.function(run, **settings)
        except BaseException as fault:
            run.end_own(fault)
            raise
        run.end_own(None)
        return run

    def _kept(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Give all settings of a call: the function's defaults with what was given."""
        import inspect  # .01 s, and needed by nobody who only imports palate

        parameters = inspect.signature(self.function).parameters.values()
        defaults = {one.name: one.default for one in parameters if one.default is not one.empty}
        return {name: value for name, value in {**defaults, **settings}.items() if name != "seed"}

    def run(
        self,
        *,
        forecast: "str | Forecast | Spread | Mapping[str, Any] | None" = None,
        metric: str | None = None,
        margin: float | None = None,
        pairs: int | None = None,
        home: str | os.PathLike[str] | None = None,
        ask_only: bool = False,
        **changes: Any,
    ) -> "Report":
        """Ask what a change does, and run baseline and treatment in paired seeds until it is settled.

        Args:
            forecast: what you think will happen: "better:80", palate.Forecast(...), palate.Spread(...) or a mapping as
                in JSON; None to explore without one (not scored), or where one is sealed already.
            metric: the metric that is judged, where it is not the declared one.
            margin: smallest difference that matters, in the metric's unit; one seed standard deviation if None.
            pairs: seed pairs that it may cost at most; as configured (20) if None.
            home: the project's folder; found as `find_project` does if None.
            ask_only: seal the question and the forecast, and run nothing yet.
            changes: settings that the treatment has different: lr=3e-3.

        Raises:
            InputError: settings that do not exist, a forecast that cannot be read.
            OutcomeSeenError: a forecast after its outcome.
            RunsFailedError: the training did not deliver.
        """
        from palate.loop.ask import run_function

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
