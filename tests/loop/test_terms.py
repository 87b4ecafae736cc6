"""The terms of a question are settled before it is sealed, and the same everywhere."""

import json
import statistics
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from tests.loop.trained_project import SCRIPT, Recorder

from palate.cli.list_ import _experiments
from palate.cli.terminal.prompt import same_words
from palate.errors import InputError
from palate.forecast.answer import parse_forecast
from palate.ledger.records import SealedVerdict, question_body, question_of
from palate.loop.ask import Noticed, question_about
from palate.loop.confirm import winners
from palate.loop.judge import terms_of
from palate.loop.reference import past_questions
from palate.loop.score import score_forecast
from palate.loop.terms import ProjectNoise, Typed, in_logged_unit, read_margin, refuse_implausible
from palate.store.project import Project
from palate.verdict.words import size_words
from palate.vocabulary import name_metric

ACC = name_metric("val_acc", "max")
FROZEN = SCRIPT.replace("rng.gauss(0, 0.005)", "0.01 * step")
CONSTANT = SCRIPT.replace("rng.gauss(0, 0.005)", "0.0")


def ask(trained, *, margin=None, budget=6, person=None, gain=0.9, said=None, **options):
    question = question_about(
        trained.project, trained.target(), {"gain": gain}, metric="val_acc", margin=margin, budget=budget
    )
    return trained.run(question, person, said and parse_forecast(said), **options)


def test_where_nothing_is_known_the_noise_is_measured_before_the_question_is_sealed(trained):
    person = Recorder()
    report = ask(trained, person=person)
    first = [report.judgement.results["baseline"][seed].outcome.value for seed in range(3)]
    margin = float(f"{statistics.stdev(first):.1e}")
    assert person.started[:3] == [("baseline", 0), ("baseline", 1), ("baseline", 2)]
    assert report.question.margin == report.judgement.verdict.margin == margin
    assert report.document()["margin"]["from"] == "measured"
    assert "1 seed sd of 3 baseline runs, measured before the change ran" in str(report)
    assert any("No margin is known for val_acc" in event.words for event in person.of(Noticed))
    assert report.judgement.made == len(person.started)  # the three among them, used again
    assert len(set(person.started)) == len(person.started)


def test_the_question_is_sealed_before_a_treatment_runs(trained):
    person = Recorder()
    sealed = []
    person.inform = lambda question, _: sealed.append((question.margin, list(person.started)))
    ask(trained, person=person)
    assert sealed[0][0] is not None
    assert {arm for arm, _ in sealed[0][1]} == {"baseline"}


def test_asked_once_more_without_a_margin_it_is_the_same_question(trained):
    first, second = ask(trained), ask(trained)
    assert first.question.experiment == second.question.experiment
    assert second.judgement.made == 0
    assert len(trained.ledger.asked()) == 1


def test_past_runs_of_like_questions_give_the_margin_of_the_next(trained):
    first = ask(trained, gain=0.503)
    verdict = first.judgement.verdict
    assert verdict.n > 2
    person = Recorder()
    second = ask(trained, person=person, gain=0.8)
    assert second.question.margin_from == "history"
    assert second.question.margin == float(f"{verdict.seed_sd:.1e}")
    assert second.question.margin_runs == 2 * verdict.n
    assert not any("No margin" in event.words for event in person.of(Noticed))


def test_a_kept_margin_is_used_and_changing_it_changes_no_sealed_question(trained):
    trained.project.keep_margin("val_acc", 0.02)
    first = ask(trained)
    assert (first.question.margin, first.question.margin_from) == (0.02, "kept")
    trained.project.keep_margin("val_acc", 0.2)
    again = ask(trained)
    assert again.question.experiment == first.question.experiment
    assert again.question.margin == 0.02
    assert ask(trained, gain=0.8).question.margin == 0.2


def test_the_first_margin_that_is_typed_is_kept_once_its_question_is_sealed(trained):
    question_about(trained.project, trained.target(), {"gain": 0.8}, metric="val_acc", margin=0.03)
    assert not trained.project.margins
    ask(trained, margin=0.01)
    ask(trained, margin=0.02)
    assert trained.project.margins == {"val_acc": 0.01}
    assert ask(trained, gain=0.8).question.margin_from == "kept"


def test_a_person_is_asked_once_for_each_metric(trained):
    ask(trained)  # so that it is known to be a share
    asked = []

    def answer(question, noise, ends):
        asked.append((question.metric.name, noise, ends))
        return 0.003

    def build(gain):
        changes = {"gain": gain}
        return question_about(trained.project, trained.target(), changes, metric="val_acc", ask_margin=answer)

    assert [build(gain).margin for gain in (0.6, 0.7)] == [0.003, 0.003]
    assert len(asked) == 1
    assert same_words(build(0.6)) == "within 0.30 points"


def _keep(home, margin):
    return Project(Path(home)).keep_margin("val_acc", margin, only_first=True)


def test_of_two_processes_that_ask_at_once_the_first_answer_counts_for_both(tmp_path):
    with ProcessPoolExecutor(2) as pool:
        kept = list(pool.map(_keep, [str(tmp_path / ".palate")] * 8, [0.01 * (n + 1) for n in range(8)]))
    assert len(set(kept)) == 1
    assert Project(tmp_path / ".palate").margins == {"val_acc": kept[0]}


def test_a_seed_that_changes_nothing_leaves_the_smallest_step(trained):
    trained.write(FROZEN)
    person = Recorder()
    report = ask(trained, person=person)
    assert report.question.margin_from == "resolution"
    assert report.question.margin == 0.01
    assert any("The seed changes nothing" in event.words for event in person.of(Noticed))


def test_where_nothing_can_be_measured_the_margin_is_a_thousandth_of_the_value_and_that_is_said(trained):
    trained.write(CONSTANT)
    person = Recorder()
    report = ask(trained, person=person)
    assert (report.question.margin_from, report.judgement.verdict.reason) == ("share", "frozen_seeds")
    assert any("a thousandth of the value" in event.words for event in person.of(Noticed))
    assert ask(trained, margin=0.01).question.margin == 0.01


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(margin=st.integers(31, 470).map(lambda n: n / 10_000), gain=st.integers(510, 990).map(lambda n: n / 1000))
def test_prompt_record_verdict_score_and_document_have_one_margin(trained, margin, gain):
    assume(all(question.changes[0]["after"] != gain for question in trained.ledger.asked().values()))
    report = ask(trained, margin=margin, gain=gain, said="better:80")
    sealed = trained.ledger.read(report.question.experiment)
    scored = score_forecast(report.sealed, report.question, report.judgement)
    assert scored is not None
    everywhere = {
        report.question.margin,
        report.judgement.terms.margin,
        report.judgement.verdict.margin,
        report.document()["margin"]["value"],
        report.document()["verdict"]["margin"],
        sealed.asked.body["margin"],
        sealed.question.margin,
        sealed.verdict.verdict.margin,
        report.sealed.margin,
    }
    assert everywhere == {margin}
    assert same_words(report.question) == f"within {size_words(margin, report.question.shown, margin)}"
    assert size_words(margin, report.question.shown, margin) in str(report)


def test_what_is_sealed_of_terms_is_read_again(trained):
    question = ask(trained).question
    assert question_of(json.loads(json.dumps(question_body(question)))).margin_from == "measured"


def test_records_of_before_have_no_margin_and_are_judged_by_their_own_runs(trained):
    from datetime import UTC, datetime

    from palate.ledger import seal

    question = trained.question(margin=None)
    seal.seal_question(trained.project.chain, question, now=datetime.now(UTC))
    report = ask(trained)
    assert report.question.experiment == question.experiment
    assert report.question.margin is None
    verdict, pairs = report.judgement.verdict, report.judgement.pairs
    assert verdict.margin == max(verdict.seed_sd, pairs.step)
    assert "Margin" not in str(report)


def test_one_change_asked_with_seven_margins_is_one_and_never_its_own_history(trained):
    margins = [0.01, 0.012, 0.014, 0.016, 0.018, 0.02, 0.022]
    reports = [ask(trained, margin=margin) for margin in margins]
    first, ledger = reports[0].question.experiment, trained.ledger
    assert len(ledger.having(SealedVerdict.KIND)) == 7
    assert {report.judgement.verdict.noise for report in reports} == {"cold"}
    assert all(terms_of(ledger, report.question).effect_sd is None for report in reports)
    assert list(past_questions(ledger, reports[-1].question)) == []
    assert len(list(past_questions(ledger, trained.question(gain=0.7)))) == 1
    assert [question.experiment for question, _ in winners(ledger)] == [first]
    assert ledger.verdict_kinds() == ["better"]
    assert reports[3].again == f"asked again with another margin; first asked as {first}"
    assert not reports[0].again
    with trained.catalog() as catalog:
        rows, lines = _experiments(catalog, 50)
    assert [bool(row["again"]) for row in rows] == [False] + [True] * 6
    assert lines[-1].startswith("1 verdict;")


def test_where_the_first_is_void_the_next_counts(trained):
    from tests.loop.trained_project import ADA

    from palate.loop.run import void_question

    one, two = ask(trained, margin=0.01), ask(trained, margin=0.02)
    with trained.catalog() as catalog:
        void_question(catalog, one.question.experiment, "wrong", author=ADA)
    assert two.question.experiment not in trained.ledger.firsts()


def test_a_budget_that_is_raised_after_looks_is_a_question_with_spent_looks(trained):
    first = ask(trained, margin=0.01, budget=3, gain=0.503)
    raised = ask(trained, margin=0.01, budget=6, gain=0.503)
    more = ask(trained, margin=0.01, budget=8, gain=0.503)
    assert first.question.spent == ()
    assert raised.question.spent == raised.judgement.terms.spent == (3,)
    assert more.question.spent == (3, 6)
    assert raised.again.startswith("asked again with another budget")
    assert "looked at already, by a budget of 3: up to 3 pairs its boundary holds" in str(raised)
    assert trained.ledger.read(raised.question.experiment).question.spent == (3,)


def test_a_budget_that_is_raised_before_any_look_spends_nothing(trained):
    ask(trained, margin=0.01, budget=3, run=False)
    assert ask(trained, margin=0.01, budget=6).question.spent == ()


@pytest.mark.parametrize(
    ("typed", "logged"), [("0.003", 0.003), ("0.3pt", 0.003), ("0.3 points", 0.003), ("1%", 0.01), (".05", 0.05)]
)
def test_a_margin_is_typed_as_it_is_logged_or_with_the_unit_that_is_shown(typed, logged):
    assert in_logged_unit(ACC, read_margin(typed), (0.7, 0.9)) == pytest.approx(logged)


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "much", "", "pt"])
def test_what_is_no_margin_is_refused(text):
    with pytest.raises(InputError):
        read_margin(text)


def test_a_number_that_may_be_either_unit_is_asked_back():
    with pytest.raises(InputError, match=r"A margin of 0.3 is 30 points. Or is it 0.3 points\?") as refused:
        in_logged_unit(ACC, read_margin("0.3"), (0.7, 0.9))
    assert refused.value.todo == ("For 0.3 points: --margin 0.003   (or 0.3pt)", "For 30 points: --margin 30pt")
    assert in_logged_unit(ACC, read_margin("0.3"), (70.3, 90.1)) == 0.3  # logged in percent, and shown so
    assert isinstance(read_margin("0.3"), Typed)


@pytest.mark.parametrize("ends", [(), (70.3, 90.1)])
def test_points_of_a_metric_that_is_not_known_to_be_a_share_are_refused(ends):
    with pytest.raises(InputError, match="points of val_acc"):
        in_logged_unit(ACC, read_margin("0.3pt"), ends)


def test_a_margin_of_many_times_the_noise_is_asked_back_unless_it_is_kept(trained):
    noise = ProjectNoise(sd=0.002, runs=12)
    refuse_implausible(ACC, 0.04, noise)
    with pytest.raises(InputError, match="25 times what another seed alone does"):
        refuse_implausible(ACC, 0.05, noise)
    ask(trained, margin=0.01, gain=0.52)
    with pytest.raises(InputError, match=r"palate metric val_acc --margin 0\.9"):
        ask(trained, margin=0.9, gain=0.7)
    trained.project.keep_margin("val_acc", 0.9)
    assert ask(trained, margin=0.9, gain=0.7).question.margin == 0.9
