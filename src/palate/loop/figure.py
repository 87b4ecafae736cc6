"""`palate skill` as a figure: what may be said of each forecaster as the forecasts came in, and calibration.

One Plotly figure serves notebooks and the page (`palate.loop.page`); plotly is imported only when one is asked for.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from palate.errors import NotFoundError
from palate.forecast.skill import bounds_of
from palate.loop.skill import Standing

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

PLACES = 60
"""Places along the forecasts at which the bound is worked out."""

INK, BAND, ZERO = "#2f6690", "rgba(47,102,144,0.18)", "rgba(128,128,128,0.6)"


def figure_of(standings: Sequence[Standing]) -> "Figure":
    """Draw standings, a row each: mean bits over the reference with its bound, and the reliability curve.

    Raises:
        NotFoundError: plotly is not installed.
    """
    objects, subplots = _plotly()
    titles = [title for one in standings for title in (f"{name_of(one)}: {one.skill.state}", _calibration_title(one))]
    figure = subplots.make_subplots(
        rows=len(standings), cols=2, subplot_titles=titles, vertical_spacing=0.5 / (len(standings) + 1)
    )
    for row, standing in enumerate(standings, start=1):
        for trace in _skill_traces(objects, standing):
            figure.add_trace(trace, row=row, col=1)
        for trace in _calibration_traces(objects, standing):
            figure.add_trace(trace, row=row, col=2)
        figure.update_xaxes(title_text="forecasts", row=row, col=1)
        figure.update_yaxes(
            title_text="mean bits over the reference", zeroline=True, zerolinecolor=ZERO, row=row, col=1
        )
        figure.update_xaxes(
            title_text="said that it gets better", range=[-0.02, 1.02], tickformat=".0%", row=row, col=2
        )
        figure.update_yaxes(title_text="how often it did", range=[-0.02, 1.02], tickformat=".0%", row=row, col=2)
    figure.update_layout(
        height=120 + 380 * len(standings), showlegend=False, template="plotly_white", margin={"t": 70, "b": 50}
    )
    return figure


def _plotly() -> tuple[Any, Any]:
    try:
        import plotly.graph_objects as objects
        import plotly.subplots as subplots
    except ImportError as error:
        raise NotFoundError(
            "plotly is not installed, so there is no figure.",
            why="It is only needed for figures; `palate skill` draws one in characters without it.",
            todo='pip install "palate[ui]"',
        ) from error
    return objects, subplots


def name_of(standing: Standing) -> str:
    """Name a forecaster, and the class where it is not the blind one."""
    return standing.author if standing.kind == "blind" else f"{standing.author} ({standing.kind})"


def _calibration_title(standing: Standing) -> str:
    return "calibration" if standing.calibration.curve else f"calibration: {standing.calibration.words}"


def _skill_traces(objects: Any, standing: Standing) -> list[Any]:
    n = len(standing.scores)
    places = sorted({int(place) for place in np.linspace(1, n, min(n, PLACES))}) if n else []
    told = [bounds_of(standing.scores[:place]) for place in places]
    means = [float(np.mean([score.bits for score in standing.scores[:place]])) for place in places]
    low, high = [one[0] for one in told], [one[1] for one in told]
    edge = {"mode": "lines", "line": {"width": 0}, "hoverinfo": "skip"}
    scatter = objects.Scatter
    span = "(between %{customdata[0]:+.2f} and %{customdata[1]:+.2f})"
    return [
        scatter(x=places, y=high, **edge),
        scatter(x=places, y=low, fill="tonexty", fillcolor=BAND, **edge),
        scatter(
            x=places, y=means, mode="lines+markers", line={"color": INK}, marker={"size": 4}, name="mean bits",
            customdata=np.column_stack([low, high]) if places else None,
            hovertemplate=f"%{{y:+.2f}} bits after %{{x}} {span}<extra></extra>",
        ),
    ]  # fmt: skip


def _calibration_traces(objects: Any, standing: Standing) -> list[Any]:
    curve = standing.calibration.curve
    said = [point.said for point in curve]
    edge = {"mode": "lines", "line": {"width": 0, "shape": "hv"}, "hoverinfo": "skip"}
    scatter = objects.Scatter
    diagonal = scatter(x=[0, 1], y=[0, 1], mode="lines", line={"color": ZERO, "dash": "dot"}, hoverinfo="skip")
    if not curve:
        return [diagonal]
    names = [" ".join(point.names) for point in curve]
    return [
        diagonal,
        scatter(x=said, y=[point.high for point in curve], **edge),
        scatter(x=said, y=[point.low for point in curve], fill="tonexty", fillcolor=BAND, **edge),
        scatter(
            x=said, y=[point.came_true for point in curve], mode="lines+markers", line={"color": INK, "shape": "hv"},
            marker={"size": [5 + 2 * len(point.names) ** 0.5 for point in curve]}, name="came true",
            customdata=names, meta=standing.author,
            text=[f"{n} forecast{'s' * (n != 1)}" for n in (len(point.names) for point in curve)],
            hovertemplate="said %{x:.0%}, it did %{y:.0%}: %{text}<extra></extra>",
        ),
    ]  # fmt: skip
