"""`palate skill` as a figure and as a page: each forecaster's bound as the forecasts came in, and calibration.

One Plotly figure serves notebooks and the page. Plotly is imported only when one is asked for.
"""

import html
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from palate.errors import InputError, NotFoundError
from palate.forecast.skill import bounds_of
from palate.ledger.standings import Standing
from palate.ledger.words import ScoredForecast, document_of, words_of

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
    titles = [title for one in standings for title in _titles(one)]
    figure = subplots.make_subplots(
        rows=len(standings),
        cols=2,
        subplot_titles=titles,
        vertical_spacing=0.5 / (len(standings) + 1),
        specs=[[{}, {}] if one.calibration.curve else [{"colspan": 2}, None] for one in standings],
    )
    for row, standing in enumerate(standings, start=1):
        for trace in _skill_traces(objects, standing):
            figure.add_trace(trace, row=row, col=1)
        figure.update_xaxes(title_text="forecasts", row=row, col=1)
        figure.update_yaxes(
            title_text="mean bits against the project's odds", zeroline=True, zerolinecolor=ZERO, row=row, col=1
        )
        if not standing.calibration.curve:
            continue
        for trace in _calibration_traces(objects, standing):
            figure.add_trace(trace, row=row, col=2)
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


def _titles(standing: Standing) -> list[str]:
    """Return the titles of a row: of its one panel, or of both where there is a reliability curve."""
    return [f"{name_of(standing)}: {standing.skill.state}", *(["calibration"] if standing.calibration.curve else [])]


def _skill_traces(objects: Any, standing: Standing) -> list[Any]:
    n = len(standing.scores)
    places = sorted({int(place) for place in np.linspace(1, n, min(n, PLACES))}) if n else []
    bounds = [bounds_of(standing.scores[:place]) for place in places]
    means = [float(np.mean([score.bits for score in standing.scores[:place]])) for place in places]
    low, high = [bound[0] for bound in bounds], [bound[1] for bound in bounds]
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
    curve = standing.calibration.curve  # not empty
    said = [point.said for point in curve]
    edge = {"mode": "lines", "line": {"width": 0, "shape": "hv"}, "hoverinfo": "skip"}
    scatter = objects.Scatter
    diagonal = scatter(x=[0, 1], y=[0, 1], mode="lines", line={"color": ZERO, "dash": "dot"}, hoverinfo="skip")
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


def write_page(standings: Sequence[Standing], scored: Iterable[ScoredForecast], path: Path) -> None:
    """Write standings as a page on which a click on a point of a reliability curve opens its forecasts.

    Args:
        standings: of whom.
        scored: everybody's scored forecasts.
        path: the file.

    Raises:
        NotFoundError: plotly is not installed.
        InputError: the file cannot be written.
    """
    plot = figure_of(standings).to_html(
        full_html=False,
        include_plotlyjs=True,
        div_id="skill",
        post_script=_ON_CLICK,
        config={"displayModeBar": False, "responsive": True},
    )
    words = html.escape("\n".join(line for one in standings for line in words_of(one, plot=False)))
    scored, curves = list(scored), any(one.calibration.curve for one in standings)
    page = _PAGE.format(
        words=words,
        plot=plot,
        click="Click a point of a reliability curve to open its forecasts." if curves else "",
        lists=_lists(standings, scored),
        table=_table(standings),
        hidden="" if curves else " hidden",
        rows=_embedded(_rows(standings, scored)),
    )
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}.") from error


def _lists(standings: Sequence[Standing], scored: Iterable[ScoredForecast]) -> str:
    """List the forecasts of everybody who has too few for a reliability curve, the newest first."""
    few = {(one.author, one.kind) for one in standings if not one.calibration.curve}
    rows = [
        one.document()
        for one in scored
        if one.score.turn == "forecast" and (one.score.author.name, one.score.kind) in few
    ]
    lines = [
        "<tr>" + "".join(f"<td>{html.escape(text)}</td>" for text in (
            row["author"], f"{row['bits']:+.2f}", row["said"], row["verdict"], row["question"],
            f"palate show {row['experiment']}",
        )) + "</tr>"
        for row in reversed(rows)
    ]  # fmt: skip
    if not lines:
        return ""
    head = "".join(f"<th>{word}</th>" for word in ("who", "bits", "said", "it was", "question", ""))
    return f'<table id="listed"><thead><tr>{head}</tr></thead><tbody>' + "\n".join(lines) + "</tbody></table>"


def _rows(standings: Sequence[Standing], scored: Iterable[ScoredForecast]) -> dict[str, dict[str, Any]]:
    """Return the first answers that the curves are made of, as plain data: by forecaster, then by experiment."""
    shown = {one.author: {name for point in one.calibration.curve for name in point.names} for one in standings}
    rows: dict[str, dict[str, Any]] = {}
    for one in scored:
        author, experiment = one.score.author.name, one.experiment.id
        if one.score.turn == "forecast" and experiment in shown.get(author, ()):
            rows.setdefault(author, {})[experiment] = one.document()
    return rows


def _embedded(data: Any) -> str:
    """Write data as JSON that cannot end the script element it stands in."""
    return json.dumps(data).replace("<", "\\u003c")


def _table(standings: Sequence[Standing]) -> str:
    rows = [
        f"<tr><td>{html.escape(name_of(one))}</td><td>{point.said:.0%}</td><td>{point.came_true:.0%}</td>"
        f"<td>{point.low:.0%} to {point.high:.0%}</td><td>{html.escape(', '.join(point.names))}</td></tr>"
        for one in standings
        for point in one.calibration.curve
    ]
    return "\n".join(rows)


_ON_CLICK = """
document.getElementById('{plot_id}').on('plotly_click', function (clicked) {
  var point = clicked.points[0];
  if (typeof point.customdata !== 'string') return;
  var rows = JSON.parse(document.getElementById('rows').textContent)[point.data.meta] || {};
  var ids = point.customdata.split(' ');
  document.getElementById('chosen').textContent = point.data.meta + ' said ' + Math.round(100 * point.x)
    + ' % that it gets better, ' + (ids.length === 1 ? 'once' : ids.length + ' times')
    + ' (bits against the project\\'s odds):';
  var body = document.getElementById('forecasts');
  body.replaceChildren();
  ids.forEach(function (id) {
    var row = rows[id], line = body.insertRow();
    [row.bits.toFixed(2), row.said, row.verdict, row.question, 'palate show ' + id].forEach(function (text) {
      line.insertCell().textContent = text;
    });
  });
  document.getElementById('opened').hidden = false;
});
"""

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>palate skill</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>body{{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem}}
pre{{white-space:pre-wrap}}table{{border-collapse:collapse}}td,th{{padding:.2rem .8rem;text-align:left;
border-bottom:1px solid #ddd;vertical-align:top}}
#forecasts td:not(:nth-child(4)){{white-space:nowrap}}</style></head><body>
<h1>Forecasting skill</h1><pre>{words}</pre>
{plot}
{lists}
<p id="chosen" aria-live="polite">{click}</p>
<table id="opened" hidden><thead><tr><th>bits</th><th>said</th><th>it was</th><th>question</th>
<th></th></tr></thead><tbody id="forecasts"></tbody></table>
<details{hidden}><summary>The curves as a table</summary><table><thead>
<tr><th>who</th><th>said "better"</th><th>it did</th>
<th>a calibrated person (90 %)</th><th>experiments</th></tr></thead><tbody>
{table}
</tbody></table></details><script type="application/json" id="rows">{rows}</script></body></html>
"""


@dataclass(frozen=True, slots=True, repr=False)
class Standings:
    """The standings of a project's forecasters, the one with most forecasts first."""

    all: tuple[Standing, ...]

    def __iter__(self) -> Iterator[Standing]:
        return iter(self.all)

    def __len__(self) -> int:
        return len(self.all)

    def __str__(self) -> str:
        lines = [line for standing in self.all for line in words_of(standing)]
        return "\n".join(lines) or "No forecast has been scored yet."

    __repr__ = __str__

    def _repr_html_(self) -> str:
        try:
            figure = self.figure() if self.all else None
        except NotFoundError:  # plotly is not installed: the text says it all
            figure = None
        if figure is None:
            return f"<pre>{html.escape(str(self))}</pre>"
        words = "\n".join(line for standing in self.all for line in words_of(standing, plot=False))
        return f"<pre>{html.escape(words)}</pre>{figure.to_html(full_html=False, include_plotlyjs=True)}"

    def document(self) -> list[dict[str, Any]]:
        """Return them as plain JSON data, as in `palate skill --json`."""
        return [document_of(standing) for standing in self.all]

    def figure(self) -> "Figure":
        """Draw them with plotly: mean bits with their bound, and the reliability curve.

        Raises:
            NotFoundError: plotly is not installed.
        """
        return figure_of(self.all)
