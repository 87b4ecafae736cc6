"""The figure of everybody's standings, and its page."""

import pytest
from tests.ledger.forecasters import ledger_of

from palate.ledger.records import Evidence
from palate.ledger.standings import standings
from palate.ledger.words import scored_forecasts
from palate.web.figures import figure_of, write_page

PART = Evidence(points=40, share=0.2)


def test_the_figure_shows_each_forecaster_and_its_page_needs_nothing_from_elsewhere(tmp_path):
    ledger = ledger_of(tmp_path, {"ada": (0.85, Evidence()), "<b>eve</b>": (0.9, PART)})
    everybody = standings(ledger, (), frozenset())
    figure = figure_of(everybody)
    assert len(figure.data) == 2 * (3 + 4)
    assert {"ada: ahead", "calibration"} <= {note.text for note in figure.layout.annotations}
    low, mean = figure.data[1].y[-1], figure.data[2].y[-1]
    assert low == pytest.approx(everybody[0].skill.low)
    assert mean == pytest.approx(everybody[0].skill.mean)
    page = tmp_path / "skill.html"
    write_page(everybody, scored_forecasts(ledger), page)
    text = page.read_text()
    assert "ada0" in text
    assert "<script src=" not in text
    assert "<td><b>" not in text
