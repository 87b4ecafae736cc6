"""Runs are told apart by the content of the files that their baseline read."""

import pytest

from palate.capture.adapters import recipe_of
from palate.capture.files import hash_file
from palate.loop.data import files_of, with_changed_data
from palate.store.recipes import Recipes


@pytest.fixture
def asked(written):
    """A question whose baseline is known to have read a file."""
    question = written.question()
    path = written.folder / "x.csv"
    path.write_text("1")
    recipe = recipe_of({"data": {"files": {str(path): hash_file(path)}}})
    Recipes(written.project.home).keep(question.plan.keys["baseline"], recipe)
    return written.project, question, path


def test_a_file_that_is_as_it_was_leaves_the_question_as_it_is(asked):
    project, question, path = asked
    assert files_of(Recipes(project.home).find(question.plan.keys["baseline"])) == {str(path): hash_file(path)}
    assert with_changed_data(project, question) == (question, ())


def test_a_file_that_changed_or_went_makes_other_runs_of_the_same_question(asked):
    project, question, path = asked
    path.write_text("2")
    changed, names = with_changed_data(project, question)
    assert names == (str(path),)
    assert (changed.text, changed.data != question.data) == (question.text, True)
    assert changed.plan.keys["baseline"] != question.plan.keys["baseline"]
    path.unlink()
    gone, names = with_changed_data(project, question)
    assert names == (str(path),)
    assert gone.data not in (question.data, changed.data)
    path.write_text("1")
    assert with_changed_data(project, question) == (question, ())


def test_a_baseline_of_which_nothing_is_known_changes_nothing(written):
    question = written.question()
    assert with_changed_data(written.project, question) == (question, ())
    assert files_of(recipe_of({"lr": 0.1})) == {}
