"""Changes are typed, checked against the settings that exist, and refused with the nearest name."""

import pytest

from palate.errors import SettingError
from palate.recipe.settings import (
    apply_changes,
    differences,
    parse_assignments,
    parse_value,
    recipe_id,
    with_changes,
)

KNOWN = {"lr": 1e-3, "width": 16, "name": "adam", "amp": False, "betas": (0.9, 0.99), "clip": None}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3e-3", 0.003),
        ("16", 16),
        ("true", True),
        ("None", None),
        ("adam", "adam"),
        ("(0.9, 0.95)", (0.9, 0.95)),
        ("'16'", "16"),
        ("a b", "a b"),
    ],
)
def test_a_typed_value_is_a_literal_a_word_or_text(text, value):
    assert parse_value(text) == value
    assert type(parse_value(text)) is type(value)


def test_a_whole_number_for_a_float_setting_is_that_float():
    assert recipe_id(with_changes(KNOWN, apply_changes(KNOWN, {"lr": 1}))) == recipe_id({**KNOWN, "lr": 1.0})


def test_all_faults_are_listed_at_once_with_the_nearest_name():
    with pytest.raises(SettingError) as caught:
        apply_changes(KNOWN, {"lrr": 1.0, "width": "wide", "amp": 1})
    message = str(caught.value)
    assert "lrr: there is no such setting; did you mean lr?" in message
    assert "width is a whole number (16), not text" in message
    assert "amp is true or false" in message


@pytest.mark.parametrize("texts", [["lr"], ["=3"], ["lr=1", "lr=2"]])
def test_assignments_that_say_nothing_or_contradict_are_refused(texts):
    with pytest.raises(SettingError):
        parse_assignments(texts)


def test_differences_undo_changes():
    changed = with_changes(KNOWN, apply_changes(KNOWN, {"lr": 0.5, "clip": 1.0}))
    assert {c.path: c.after for c in differences(KNOWN, changed)} == {"lr": 0.5, "clip": 1.0}
    assert differences(KNOWN, KNOWN) == ()
    assert [str(c) for c in differences({"a": 1}, {"b": 1})] == ["a 1 -> <not set>", "b <not set> -> 1"]


def test_with_changes_leaves_the_baseline_alone():
    baseline = {"a": 1}
    assert with_changes(baseline, ()) == {"a": 1}
    assert baseline == {"a": 1}
