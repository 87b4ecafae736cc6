"""Runs are used again only where everything that they read is what it was."""

import pytest

from palate.capture.adapters import recipe_of
from palate.capture.files import hash_file
from palate.loop.reuse import known_inputs, remember, with_inputs
from palate.store.recipes import Recipes
from palate.training.inputs import Received
from palate.training.states import FileState


@pytest.fixture
def asked(written, monkeypatch):
    """A question whose baseline is known to have read a file and two variables."""
    monkeypatch.chdir(written.folder)
    monkeypatch.setenv("DEPTH", "2")
    monkeypatch.delenv("WIDTH", raising=False)
    question = written.question()
    path = written.folder / "x.csv"
    path.write_text("1")
    received = Received(
        files={"x.csv": FileState.of(str(path)), "maybe.yaml": FileState.of(str(written.folder / "maybe.yaml"))},
        variables={"DEPTH": "2", "WIDTH": None},
    )
    remember(written.project, question.plan.keys["baseline"], received)
    return written.project, question, path


def test_what_is_as_it_was_leaves_the_question_as_it_is(asked):
    project, question, path = asked
    assert with_inputs(project, question) == (question, ())
    path.write_text("1")  # written anew, with the same content
    assert with_inputs(project, question) == (question, ())


def test_a_file_that_changed_or_went_makes_other_runs_of_that_arm(asked):
    project, question, path = asked
    path.write_text("2")
    changed, reasons = with_inputs(project, question)
    assert reasons == ("x.csv changed",)
    assert changed.text == question.text
    assert changed.plan.keys["baseline"] != question.plan.keys["baseline"]
    assert changed.plan.keys["treatment"] == question.plan.keys["treatment"]
    path.unlink()
    gone, reasons = with_inputs(project, question)
    assert reasons == ("x.csv is gone",)
    assert len({one.plan.keys["baseline"] for one in (question, changed, gone)}) == 3
    path.write_text("1")
    assert with_inputs(project, question) == (question, ())


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("DEPTH", "4", "DEPTH was 2, is 4"),
        ("DEPTH", None, "DEPTH was 2, is not set"),
        ("WIDTH", "9", "WIDTH was not set, is 9"),
    ],
)
def test_a_variable_that_is_another_makes_other_runs(asked, monkeypatch, name, value, words):
    project, question, _ = asked
    if value is None:
        monkeypatch.delenv(name)
    else:
        monkeypatch.setenv(name, value)
    changed, reasons = with_inputs(project, question)
    assert reasons == (words,)
    assert with_inputs(project, question)[0].plan.keys == changed.plan.keys  # the next time, the same runs


def test_a_file_that_was_looked_for_and_appears_makes_other_runs(asked):
    project, question, path = asked
    path.with_name("maybe.yaml").write_text("lr: 1")
    assert with_inputs(project, question)[1] == ("maybe.yaml is there now",)


def test_what_was_read_only_in_the_new_state_counts_too(asked, monkeypatch):
    project, question, path = asked
    monkeypatch.setenv("DEPTH", "4")
    deep, _ = with_inputs(project, question)
    other = path.with_name("deep.yaml")
    other.write_text("1")
    files = {"deep.yaml": FileState.of(str(other))}
    remember(project, deep.plan.keys["baseline"], Received(files=files, variables={"DEPTH": "4"}))
    assert with_inputs(project, question)[0].plan.keys == deep.plan.keys
    other.write_text("2")
    deeper, reasons = with_inputs(project, question)
    assert deeper.plan.keys["baseline"] not in (question.plan.keys["baseline"], deep.plan.keys["baseline"])
    assert reasons == ("DEPTH was 2, is 4", "deep.yaml changed")


def test_a_secret_that_changes_is_a_change_and_is_not_shown(asked, monkeypatch):
    project, question, _ = asked
    monkeypatch.setenv("API_KEY", "sk-one")
    from palate.training.received import shown_variable

    kept = shown_variable("API_KEY", "sk-one")
    assert "sk-one" not in kept
    remember(project, question.plan.keys["baseline"], Received(variables={"API_KEY": kept}))
    assert with_inputs(project, question)[1] == ()
    monkeypatch.setenv("API_KEY", "sk-two")
    assert with_inputs(project, question)[1] == ("API_KEY changed",)


def test_a_question_keeps_what_was_different_when_it_is_sealed(asked, monkeypatch):
    from palate.ledger.records import question_body, question_of

    project, question, _ = asked
    monkeypatch.setenv("DEPTH", "4")
    changed, _ = with_inputs(project, question)
    assert question_of(question_body(changed)).experiment == changed.experiment
    assert "inputs" not in question_body(question)


def test_files_that_an_old_recipe_names_count_where_nothing_else_is_known(written, monkeypatch):
    monkeypatch.chdir(written.folder)
    question = written.question()
    assert known_inputs(written.project, question.plan, "baseline").files == {}
    path = written.folder / "x.csv"
    path.write_text("1")
    recipe = recipe_of({"data": {"files": {"x.csv": hash_file(path)}}})
    Recipes(written.project.home).keep(question.plan.keys["baseline"], recipe)
    assert with_inputs(written.project, question) == (question, ())
    path.write_text("2")
    assert with_inputs(written.project, question)[1] == (f"{path} changed",)
