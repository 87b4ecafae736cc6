"""Forecasts from Python: seal one, and see how everybody does; standard library only until one is called."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from palate.forecast.answer import Forecast, Spread
    from palate.loop.standings import Standings
    from palate.loop.story import Sealed


def seal(
    experiment: str,
    forecast: "str | Forecast | Spread | Mapping[str, Any]",
    *,
    why: str = "",
    revise: bool = False,
    author: str | None = None,
    agent: bool | None = None,
    home: str | os.PathLike[str] | None = None,
) -> "Sealed":
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
    from palate.loop.ask import author_of, said_from
    from palate.loop.run import forecast_question, revise_forecast
    from palate.loop.story import read_story
    from palate.store.config import read_config

    who = author_of(read_config(Path.cwd(), os.environ), author, agent)
    project, said = _project(home), said_from(forecast, why)
    question = read_story(project.chain, experiment).question
    if revise:
        return revise_forecast(project, question, said, author=who)
    return forecast_question(project, question, said, author=who)[0]


def skill(*, author: str | None = None, home: str | os.PathLike[str] | None = None) -> "Standings":
    """Say whether forecasters are behind, ahead, or nobody can tell yet; shown as text, in notebooks as a figure.

    Args:
        author: of one forecaster only.
        home: the project's folder; found from the working folder if None.
    """
    from palate.loop.forecasting import skill_now
    from palate.loop.standings import Standings

    found = skill_now(_project(home))
    return Standings(tuple(one for one in found if author in (None, one.author)))


def _project(home: str | os.PathLike[str] | None) -> Any:
    from palate.store.project import Project, find_project

    return Project(Path(home).absolute()) if home else find_project(Path.cwd(), os.environ)
