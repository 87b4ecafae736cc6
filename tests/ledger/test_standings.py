"""Where forecasters stand, on chains with many scored forecasts, and the words for it."""

import pytest
from tests.ledger.forecasters import ledger_of

from palate.ledger.records import TEAM, Evidence
from palate.ledger.standings import standings
from palate.ledger.words import document_of, words_of

PART = Evidence(points=40, share=0.2)
NOBODY_BEGAN = frozenset()


def test_the_skilled_are_ahead_the_lucky_are_not_and_kinds_are_not_mixed(tmp_path):
    ledger = ledger_of(tmp_path, {"ada": (0.9, Evidence()), "bob": (0.25, Evidence()), "eve": (0.95, PART)})
    by_name = {(standing.author, standing.kind): standing for standing in standings(ledger, (), NOBODY_BEGAN)}
    assert by_name[("ada", "blind")].skill.state == "ahead"
    assert by_name[("bob", "blind")].skill.state == "behind"
    assert ("eve", "25 %") in by_name and ("eve", "blind") not in by_name
    words = words_of(by_name[("bob", "blind")])
    assert words[0].startswith("bob: behind, ")
    assert "Too sure by" in words[2]
    assert any("o" in line and "|" in line for line in words[3:])
    assert words_of(by_name[("eve", "25 %")])[0].startswith("eve (up to 25 % of the curve seen): ahead")
    assert by_name[("ada", "blind")].coverage == pytest.approx(60 / 180)
    assert by_name[("ada", "blind")].crps < 1 < by_name[("bob", "blind")].crps
    assert len(document_of(by_name[("ada", "blind")])["bits"]) == 60


def test_the_mean_of_all_stands_at_the_end_and_loses_less_than_the_worst(tmp_path):
    ledger = ledger_of(tmp_path, {"ada": (0.9, Evidence()), "bob": (0.3, Evidence())}, together=True)
    everybody = standings(ledger, (), NOBODY_BEGAN)
    assert [standing.author for standing in everybody][-1] == TEAM
    ada, bob, team = (standing.skill.mean for standing in sorted(everybody, key=lambda one: one.author))
    assert bob < team < ada
    assert len(words_of(everybody[-1])) == 2
