"""What a question changes without saying so is read before it is run, and told."""

from dataclasses import replace

import pytest
from tests.loop.trained_project import Recorder

from palate.capture.adapters import recipe_of
from palate.errors import ConfoundedError, SettingError
from palate.loop.confounders import (
    compare_arms,
    difference_of,
    read_arms,
    refuse_confounded,
    refuse_unread,
    with_confounders,
)
from palate.recipe.tree import Note
from palate.store.recipes import Recipes


def recipes_of(question, **more):
    """Recipes of two arms, as they are captured: the change, and what followed from it."""
    settings = question.plan.settings
    optimiser = {"momentum": 0.9}
    return {
        "baseline": recipe_of({"settings": settings["baseline"], "optimiser": optimiser}),
        "treatment": recipe_of({"settings": settings["treatment"], "optimiser": {**optimiser, **more}}),
    }


@pytest.fixture
def filed(trained):
    """A question whose change points to another file, in which more differs."""
    one = trained.write("lr: 0.1\nmomentum: 0.9\n", "a.yaml")
    other = trained.write("lr: 0.2\nmomentum: 0.5\n", "b.yaml")
    trained.write(f"plan = {str(one)!r}\n" + (trained.folder / "train.py").read_text())
    return trained.question(plan=str(other), budget=2)


def test_what_followed_from_the_change_confounds_nothing_and_its_chunk_is_named(written):
    question = written.question()
    recipes = recipes_of(question, momentum=0.5)
    inside = compare_arms(question, recipes, ())
    assert inside.read
    reasons = {change.edit.path[-1]: change.reason for change in inside.difference.changes}
    assert reasons == {"lr": "declared", "momentum": "entailed"}
    refuse_confounded(inside.difference)
    asked = with_confounders(question, inside.difference, recipes)
    assert (asked.confounders, set(asked.chunks)) == ((), {"optimiser"})
    assert asked.chunks["optimiser"][0] != asked.chunks["optimiser"][1]
    assert asked.experiment == question.experiment  # the same runs
    assert with_confounders(asked, inside.difference, recipes) is asked


def test_what_differs_from_one_reading_of_the_baseline_to_the_next_is_blamed_on_no_change(written):
    question = written.question()
    recipes = recipes_of(question, momentum=0.5)
    note = Note("unsteady", "optimiser.momentum", "it differs")
    recipes["baseline"] = replace(recipes["baseline"], notes=(note,))
    reasons = {change.edit.path[-1]: change.reason for change in difference_of(question, recipes).changes}
    assert reasons == {"lr": "declared", "momentum": "ambient"}


def test_a_changed_setting_that_decides_nothing_is_said(written):
    question = written.question()
    recipes = recipes_of(question)
    notes = (Note("dead", "settings.lr", "lr decides nothing"), Note("dead", "settings.width", "width decides nothing"))
    recipes["baseline"] = replace(recipes["baseline"], notes=notes)
    assert compare_arms(question, recipes, ()).dead == ("lr decides nothing",)


def test_what_differs_in_a_file_that_the_change_points_to_is_not_declared_by_naming_the_file(trained, filed):
    inside = compare_arms(filed, {}, ("lr",))
    reasons = {change.edit.path[-1]: change.reason for change in inside.difference.changes}
    assert reasons == {"lr": "declared", "momentum": "co-change"}
    with pytest.raises(ConfoundedError, match="more than was declared"):
        refuse_confounded(inside.difference)
    report = trained.run(filed, declared=("lr",))
    assert report.question.confounders == ("momentum 0.9 -> 0.5",)
    assert "Confounded by what was not declared: momentum 0.9 -> 0.5." in report.lines()
    late = trained.run(filed, declared=("optimiser",))  # what is declared after the outcome is nothing
    assert late.question.confounders == report.question.confounders


@pytest.mark.parametrize("names", [("optimiser",), ("lr", "momentum")])
def test_what_is_declared_confounds_nothing(filed, names):
    inside = compare_arms(filed, {}, names)
    refuse_confounded(inside.difference)
    assert with_confounders(filed, inside.difference, {}) is filed


def test_a_name_that_neither_arm_has_cannot_be_declared(filed):
    with pytest.raises(SettingError, match="--declare momentun: no chunk and no setting") as caught:
        compare_arms(filed, {}, ("momentun",))
    assert "did you mean momentum?" in str(caught.value)


def test_arms_of_which_one_was_not_read_tell_nothing(written):
    question = written.question()
    inside = compare_arms(question, {"baseline": recipes_of(question)["baseline"]}, ())
    assert (inside.read, inside.difference.changes) == (False, ())
    with pytest.raises(ConfoundedError, match="could not be read"):
        refuse_unread(question)


def test_recipes_that_are_kept_are_not_read_again_and_a_script_without_torch_has_none(trained):
    question = trained.question()
    recipes = recipes_of(question, momentum=0.5)
    with trained.open(question) as opened:
        assert read_arms(trained.project, question, opened) == {}
        for arm, recipe in recipes.items():
            Recipes(trained.project.home).keep(question.plan.keys[arm], recipe)
        assert read_arms(trained.project, question, opened) == recipes
    person = Recorder()
    assert set(trained.run(question, person).question.chunks) == {"optimiser"}
    assert person.informed[0].read


def test_an_arm_that_was_not_read_or_saw_no_step_is_said_and_counts_as_not_read(written):
    question = written.question()
    recipes = recipes_of(question)
    assert compare_arms(question, recipes, ()).difference.unseen == ()
    alone = compare_arms(question, {"baseline": recipes["baseline"]}, ())
    assert not alone.read
    assert alone.difference.unseen == ("the treatment was not read before it runs",)
    assert str(alone.difference).startswith("No difference that can be seen. Same: nothing.\nnot seen: the treatment")
    recipes["treatment"] = replace(recipes["treatment"], notes=(Note("unseen", "", "no optimizer stepped"),))
    inside = compare_arms(question, recipes, ())
    assert not inside.read
    assert inside.difference.unseen == ("no optimizer stepped",)
