"""What practice says: every row has a source, what that found, a judgement, and little weight."""

import pytest

from palate.forecast.features import moves_of
from palate.forecast.practice import any_change, known_families, pseudo_outcomes
from palate.forecast.reference import SETTINGS_WORTH
from palate.recipe.lexicon import normal_path
from palate.recipe.settings import Change


def told(name, before, after):
    return pseudo_outcomes(moves_of([Change(path=name, before=before, after=after)]))


@pytest.mark.parametrize("row", [any_change(), *known_families()], ids=lambda row: row.source[:30])
def test_a_row_has_a_source_and_a_modest_worth(row):
    assert row.source
    assert row.found.endswith(".")
    assert row.judgement.endswith(".")
    assert all(normal_path((name,)) == name for name in row.settings)


def test_a_family_is_worth_less_than_an_outcome_of_the_projects_own():
    assert all(0 < row.worth < 1 < SETTINGS_WORTH for row in known_families())
    assert all(row.settings for row in known_families())


def test_practice_knows_direction_and_size():
    assert told("optimizer.lr", 0.1, 0.8)["crash"] > 0.05
    assert sum(told("lr", 0.1, 0.15).values()) == 0
    assert told("width", 64, 256)["better"] > told("width", 64, 256)["worse"]
    assert told("width", 256, 64)["worse"] > told("width", 256, 64)["better"]
    assert told("optimizer", "sgd", "adam")["worse"] > 0
    assert sum(told("anything_else", 1, 2).values()) == 0


def test_several_settings_share_the_worth_of_one():
    both = pseudo_outcomes(moves_of([Change(path="lr", before=1, after=8), Change(path="x", before=1, after=2)]))
    assert both["worse"] == pytest.approx(told("lr", 1, 8)["worse"] / 2)
