"""The loop in one call, with runs that are carried out in this process."""

import pytest
from tests.loop.trained_project import ADA, DEBUG, Recorder

from palate.errors import InputError, OutcomeSeenError, RefusedError
from palate.forecast.answer import parse_forecast
from palate.ledger.records import Author, SealedForecast
from palate.loop.ask import Looked, RunEnded, RunStarted
from palate.loop.run import report_now, revise_forecast, skip_question, void_question

BOB = Author(name="bob")


def kinds(trained):
    return [record.kind for record in trained.project.chain.records()]


def test_a_question_is_sealed_run_until_settled_judged_and_scored(trained):
    person, question = Recorder(), trained.question()
    report = trained.run(question, person, parse_forecast("better:80"))
    judgement = report.judgement
    assert (judgement.verdict.kind, judgement.settled, report.experiment.judged) == ("better", True, True)
    assert judgement.made == 2 * judgement.verdict.n < 2 * question.budget
    assert judgement.reused == 0
    assert report.score.bits > 0
    assert report.final == {report.sealed.hash}
    assert report.sealed.kind == "blind"
    assert kinds(trained) == ["question", "forecast", "verdict", "score"]
    assert report.headline.startswith("Better: ")
    assert "You said better, 80 %" in str(report)
    order = [type(event) for event in person.events]
    assert order[:6] == [SealedForecast, Looked, RunStarted, RunEnded, Looked, RunStarted]
    assert person.of(Looked)[-1].verdict == judgement.verdict
    assert person.asked == []  # it was given beforehand


def test_the_same_question_again_makes_no_run_and_seals_nothing(trained):
    first = trained.run(trained.question(), said=parse_forecast("better:80"))
    before, runs = kinds(trained), trained.runs
    person = Recorder(parse_forecast("worse:97"))
    again = trained.run(trained.question(), person, parse_forecast("better:80"))
    assert (again.judgement.made, again.judgement.reused) == (0, first.judgement.made)
    assert again.judgement.verdict == first.judgement.verdict
    assert again.score == first.score
    assert (kinds(trained), trained.runs, person.asked) == (before, runs, [])
    now = report_now(trained.project, trained.question().experiment[:5], "ada")
    assert (now.judgement.verdict, now.score) == (first.judgement.verdict, first.score)
    assert kinds(trained) == before


def test_an_open_question_stops_at_its_budget_with_a_verdict(trained):
    report = trained.run(trained.question(budget=2, gain=0.5001, margin=0.0001), said=parse_forecast("same:60"))
    assert (report.judgement.settled, report.judgement.verdict.reason) == (False, "budget")
    assert (report.judgement.made, report.judgement.done) == (4, True)
    assert "verdict" in kinds(trained)


def test_who_is_asked_answers_once_sees_the_reference_and_may_revise_once(trained):
    person = Recorder(parse_forecast("worse:60"), parse_forecast("better:90"))
    report = trained.run(trained.question(), person)
    assert [one.experiment for one in person.asked] == [trained.question().experiment]
    [shown] = person.shown
    assert shown.first == report.sealed
    assert shown.reference == report.sealed.reference
    assert report.experiment.of("ada", "revision").said == parse_forecast("better:90")
    first, second = (report.scores[one.hash].bits for one in report.experiment.forecasts)
    assert first < 0 < second
    assert kinds(trained) == ["question", "forecast", "revision", "verdict", "score", "score"]


def test_a_revision_that_says_the_same_is_none_and_a_skip_is_sealed(trained):
    trained.run(trained.question(), Recorder(parse_forecast("worse:60"), parse_forecast("worse:60")))
    assert "revision" not in kinds(trained)
    person = Recorder()
    report = trained.run(trained.question(gain=0.1), person)
    assert report.experiment.skipped == ("ada",)
    assert person.asked and not person.shown
    assert "exploratory, not scored, counted as skipped" in str(report)


def test_only_asked_means_that_nothing_is_run(trained):
    report = trained.run(trained.question(), said=parse_forecast("better:80"), run=False)
    assert (trained.runs, report.asked_only, report.judgement.verdict.n) == ([], True, 0)
    assert str(report).startswith("Sealed, and nothing was run yet")
    assert kinds(trained) == ["question", "forecast"]
    assert trained.run(trained.question(), said=parse_forecast("better:80")).score.bits > 0


def test_after_the_outcome_a_forecast_is_refused_and_leaves_no_trace(trained):
    trained.run(trained.question())
    before = kinds(trained)
    with pytest.raises(OutcomeSeenError, match="have ended"):
        trained.run(trained.question(margin=0.02), said=parse_forecast("better:90"))
    assert kinds(trained) == before
    with trained.catalog() as catalog:
        for refused in (
            lambda: skip_question(catalog, trained.question().experiment, author=BOB),
            lambda: revise_forecast(catalog, trained.question(), parse_forecast("better:90"), author=ADA),
        ):
            with pytest.raises(RefusedError):
                refused()


def test_a_void_question_is_not_run_again(trained):
    question = trained.question()
    trained.run(question, said=parse_forecast("better:80"), run=False)
    with trained.catalog() as catalog:
        assert skip_question(catalog, question.experiment[:6], author=BOB)
        with pytest.raises(InputError, match="no reason"):
            void_question(catalog, question.experiment, " ", author=ADA)
        void_question(catalog, question.experiment, "wrong data", author=ADA)
        with pytest.raises(RefusedError, match="void: wrong data"):
            skip_question(catalog, question.experiment, author=Author(name="eve"))
    with pytest.raises(RefusedError, match="is void: wrong data"):
        trained.run(question)
    assert trained.runs == []
    assert "Void: wrong data" in str(report_now(trained.project, question.experiment, "ada"))


def test_a_change_that_makes_runs_fail_is_scored_as_a_crash(trained):
    report = trained.run(trained.question(mode="crash"), said=parse_forecast("crash:80"))
    assert report.judgement.verdict.kind == "failed"
    assert report.score.bits > 1
    assert "RuntimeError: out of luck" in str(report)


def test_a_change_that_decides_nothing_did_nothing(trained):
    text = (trained.folder / "train.py").read_text()
    trained.write(text + "unused = 3\n")
    report = trained.run(trained.question(unused=4), said=parse_forecast("same:90"), resources=DEBUG)
    assert report.judgement.verdict.kind == "nothing"
    assert report.score.bits > 0
