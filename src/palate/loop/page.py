"""The page of `palate skill --plot`: words, figure, tables; it holds all it needs and fetches nothing."""

import html
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from palate.errors import InputError
from palate.loop.figure import figure_of, name_of
from palate.loop.scored import Row
from palate.loop.skill import Standing
from palate.loop.skill_words import words_of


def write_page(standings: Sequence[Standing], rows: Iterable[Row], path: Path) -> None:
    """Write standings as a page on which a click on a point of a reliability curve opens its forecasts.

    Args:
        standings: of whom.
        rows: everybody's scored forecasts, as `scored_rows` gives them.
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
    page = _PAGE.format(words=words, plot=plot, table=_table(standings), rows=_embedded(_told(standings, rows)))
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}.") from error


def _told(standings: Sequence[Standing], rows: Iterable[Row]) -> dict[str, dict[str, Row]]:
    """Give the gut answers that the curves are made of: by forecaster, then by experiment."""
    shown = {one.author: {name for point in one.calibration.curve for name in point.names} for one in standings}
    told: dict[str, dict[str, Row]] = {}
    for row in rows:
        if row["turn"] == "forecast" and row["experiment"] in shown.get(row["author"], ()):
            told.setdefault(row["author"], {})[row["experiment"]] = row
    return told


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
    + ' (bits over the reference):';
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
<p id="chosen" aria-live="polite">Click a point of a reliability curve to open its forecasts.</p>
<table id="opened" hidden><thead><tr><th>bits</th><th>said</th><th>it was</th><th>question</th>
<th></th></tr></thead><tbody id="forecasts"></tbody></table>
<details><summary>The curves as a table</summary><table><thead><tr><th>who</th><th>said "better"</th><th>it did</th>
<th>a calibrated person (90 %)</th><th>experiments</th></tr></thead><tbody>
{table}
</tbody></table></details><script type="application/json" id="rows">{rows}</script></body></html>
"""
