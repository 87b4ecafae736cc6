"""Values are shown in points only where they are shares of 1; decided by the values, and no part of a question's id."""

import json
from dataclasses import replace

import pytest
from tests.loop.trained_project import SCRIPT, TrainedProject

import palate
from palate.cli.terminal.prompt import same_words
from palate.errors import InputError
from palate.ledger.ledger import Ledger
from palate.ledger.records import question_body, question_of
from palate.ledger.words import experiment_lines, score_card
from palate.loop.ask import question_about
from palate.loop.reference import case_words
from palate.loop.run import report_now

PERCENT = SCRIPT.replace("{name: level", "{name: 91 + level")


@pytest.fixture
def percent(tmp_path):
    return TrainedProject(tmp_path, PERCENT)


def ask(project, gain=0.9):
    return question_about(project.project, project.target(), {"gain": gain}, metric="val_acc", budget=6, margin=0.01)


def test_percentages_are_shown_as_they_are_logged_everywhere(percent):
    from palate.forecast.answer import parse_forecast

    question = ask(percent)
    assert question.metric.points
    assert not question.as_logged
    report = percent.run(question, said=parse_forecast("0.1/0.3/0.5"))
    assert "Better: +" in report.headline
    assert "points" not in "\n".join(report.lines()[:4])
    assert "points (" not in "\n".join(report.lines())
    assert report.document()["metric"]["points"] is False
    [sealed] = percent.ledger.experiments("verdict")
    assert sealed.question.as_logged
    assert not sealed.sealed.question.as_logged
    words = [*experiment_lines(sealed, "ada"), *score_card(percent.ledger, "ada").lines("You")]
    words += case_words(percent.ledger, [question.experiment])
    words += report_now(percent.project, question.experiment, "ada").lines()
    assert "points" not in "\n".join(words).replace("points seen", "")


def test_what_the_project_knows_decides_before_the_next_question_and_changes_no_id(percent):
    percent.run(ask(percent))
    again, other = ask(percent), ask(percent, gain=0.8)
    assert again.as_logged
    assert other.as_logged
    assert again.experiment == replace(again, as_logged=False).experiment == percent.ledger.experiments()[0].id
    assert other.shown.unit == ""
    assert other.metric.points
    assert question_of(json.loads(json.dumps(question_body(other)))).as_logged


def test_shares_stay_in_points_and_their_records_say_nothing_of_it(trained):
    question = ask(trained)
    report = trained.run(question)
    assert "points (" in report.headline
    assert not ask(trained).as_logged
    assert [b"as_logged" in line for line in trained.project.chain.path.read_bytes().splitlines()].count(True) == 0
    assert Ledger.of(trained.project.chain).experiments()[0].question.shown.points


def test_a_margin_that_was_meant_in_points_is_refused_where_the_values_are_known(trained):
    trained.run(ask(trained))
    with pytest.raises(InputError, match="A margin of 2 is 200 points") as refused:
        question_about(trained.project, trained.target(), {"gain": 0.8}, metric="val_acc", margin=2)
    assert refused.value.todo == ("For 2 points: --margin 0.02   (or 2pt)",)


def test_a_margin_of_percentages_is_taken_as_it_is(percent):
    percent.run(ask(percent))
    question = question_about(percent.project, percent.target(), {"gain": 0.8}, metric="val_acc", margin=0.05)
    assert same_words(question) == "within 0.050"


def test_a_comparison_of_percentages_is_shown_as_it_is():
    shown = palate.compare([91.0, 91.2, 90.9, 91.0], [91.8, 92.0, 91.9, 91.9], metric="val_acc")
    assert str(shown).startswith("Better: +0.87 (")
    assert str(palate.compare([0.910, 0.912, 0.909, 0.910], [0.918, 0.920, 0.919, 0.919], metric="val_acc")).startswith(
        "Better: +0.87 points ("
    )
    assert palate.compare([91.0, 91.2], [91.8, 92.0], points=True).metric.points is False
