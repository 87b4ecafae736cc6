"""`palate skill`, on a chain with real scores and on chains with many, and its figure."""

import pytest
from tests.cli.forecasters import chain_of
from tests.cli.workplace import RUN

from palate.ledger.records import TEAM, Evidence
from palate.ledger.standings import standings
from palate.ledger.words import document_of, scored_rows, words_of
from palate.web.figures import figure_of, write_page

PART = Evidence(points=40, share=0.2)


def test_one_scored_forecast_says_that_nobody_can_tell_yet(workplace):
    workplace.json(*RUN, "-c", "gain=0.1", "--forecast", "worse:80")
    [standing] = workplace.json("skill")["forecasters"]
    assert (standing["skill"]["n"], standing["skill"]["state"]) == (1, "can't tell yet")
    assert standing["coverage"] == 1.0
    assert "19 more until calibration can be shown." in workplace.call("skill").stdout
    assert workplace.json("skill", "--author", "nobody")["forecasters"] == []


def test_without_forecasts_it_says_what_to_do(workplace):
    assert "No forecast has been scored yet." in workplace.call("skill").stdout


def test_the_skilled_are_ahead_the_lucky_are_not_and_kinds_are_not_mixed(tmp_path):
    chain = chain_of(tmp_path, {"ada": (0.9, Evidence()), "bob": (0.25, Evidence()), "eve": (0.95, PART)})
    by_name = {(standing.author, standing.kind): standing for standing in standings(chain)}
    assert by_name[("ada", "blind")].skill.state == "ahead"
    assert by_name[("bob", "blind")].skill.state == "behind"
    assert ("eve", "25 %") in by_name and ("eve", "blind") not in by_name
    told = words_of(by_name[("bob", "blind")])
    assert told[0].startswith("bob: behind, ")
    assert "Too sure by" in told[2]
    assert any("o" in line and "|" in line for line in told[3:])
    assert words_of(by_name[("eve", "25 %")])[0].startswith("eve (up to 25 % of the curve seen): ahead")
    assert by_name[("ada", "blind")].coverage == pytest.approx(60 / 180)
    assert by_name[("ada", "blind")].crps < 1 < by_name[("bob", "blind")].crps
    assert len(document_of(by_name[("ada", "blind")])["bits"]) == 60


def test_the_mean_of_all_stands_at_the_end_and_loses_less_than_the_worst(tmp_path):
    told = standings(chain_of(tmp_path, {"ada": (0.9, Evidence()), "bob": (0.3, Evidence())}, together=True))
    assert [standing.author for standing in told][-1] == TEAM
    ada, bob, team = (standing.skill.mean for standing in sorted(told, key=lambda one: one.author))
    assert bob < team < ada
    assert len(words_of(told[-1])) == 2


def test_the_figure_shows_each_forecaster_and_its_page_needs_nothing_from_elsewhere(tmp_path):
    chain = chain_of(tmp_path, {"ada": (0.85, Evidence()), "<b>eve</b>": (0.9, PART)})
    found = standings(chain)
    figure = figure_of(found)
    assert len(figure.data) == 2 * (3 + 4)
    assert {"ada: ahead", "calibration"} <= {note.text for note in figure.layout.annotations}
    low, mean = figure.data[1].y[-1], figure.data[2].y[-1]
    assert low == pytest.approx(found[0].skill.low)
    assert mean == pytest.approx(found[0].skill.mean)
    page = tmp_path / "skill.html"
    write_page(found, scored_rows(chain), page)
    text = page.read_text()
    assert "ada0" in text
    assert "<script src=" not in text
    assert "<td><b>" not in text
