"""How a question opens: who forecasts, with what it is run, and whether anybody is asked at all."""

import os
from dataclasses import replace

import pytest
from tests.loop.trained_project import ADA, DEBUG, Recorder

from palate.errors import InputError, RefusedError
from palate.forecast.answer import parse_forecast
from palate.ledger.records import Author
from palate.loop.ask import nobody, opening, question_about, resources_of, treatment_is_touched
from palate.loop.author import author_of
from palate.store.config import read_config
from palate.store.project import Project
from palate.training.placing import count_cores
from palate.training.worker import IN_WORKER

BOB = Author(name="bob")


def config(folder, **environment):
    return read_config(folder, environment, folder / "none.toml")


def test_who_forecasts_is_given_else_configured_else_the_login_name(tmp_path, monkeypatch):
    monkeypatch.setenv("LOGNAME", "login")
    assert author_of(config(tmp_path)) == Author(name="login")
    configured = config(tmp_path, PALATE_AUTHOR="ada", PALATE_AGENT="1")
    assert author_of(configured) == Author(name="ada", agent=True)
    assert author_of(configured, "bob", False) == BOB
    with pytest.raises(InputError, match="name of a forecaster"):
        author_of(configured, "a\nb")


def test_resources_are_given_else_configured_else_the_machines_cores(tmp_path):
    plain = resources_of(Project(tmp_path), config(tmp_path))
    assert (plain.workers, plain.threads, plain.timeout_s) == (count_cores(), 1, None)
    configured = config(tmp_path, PALATE_WORKERS="3", PALATE_THREADS="2", PALATE_TIMEOUT_S="60")
    kept = resources_of(Project(tmp_path), configured)
    assert (kept.workers, kept.threads, kept.timeout_s) == (3, 2, 60.0)
    given = resources_of(Project(tmp_path), configured, workers=1, threads=4, timeout_s=5.0)
    assert (given.workers, given.threads, given.timeout_s) == (1, 4, 5.0)


def test_nobody_skips_stops_at_nothing_and_revises_nothing(trained):
    question = trained.question()
    assert nobody().ask(question) is None
    assert nobody().inform(question, None) is None
    assert nobody().revise(question, None) is None
    assert nobody().watch(None) is None


def test_a_question_is_asked_with_the_content_of_its_data(trained, monkeypatch):
    monkeypatch.chdir(trained.folder)
    trained.write("1", "x.csv")
    one = question_about(trained.project, trained.target(), {"gain": 0.9}, data=("x.csv",), metric="val_acc")
    trained.write("2", "x.csv")
    other = question_about(trained.project, trained.target(), {"gain": 0.9}, data=("x.csv",), metric="val_acc")
    assert one.experiment != other.experiment
    assert question_about(trained.project, trained.target(), {"gain": 0.9}, metric="val_acc").data == ""


def test_a_person_is_asked_only_while_there_is_something_to_forecast(trained):
    question = trained.question(budget=2)
    asked = Recorder(parse_forecast("better:80"))
    with trained.open(question, asked) as opened:
        assert (opened.said, opened.asked, opened.changed) == (parse_forecast("better:80"), True, ())
        assert opened.engines.started  # it warms up while they think
    given = Recorder()
    with trained.open(question, given, parse_forecast("worse:60")) as opened:
        assert (opened.said, opened.asked, given.asked) == (parse_forecast("worse:60"), False, [])
    trained.run(question, said=parse_forecast("better:80"), run=False)
    again = Recorder(parse_forecast("worse:60"))
    with trained.open(question, again) as opened:  # theirs is sealed already
        assert (opened.said, again.asked) == (None, [])
    with trained.open(question, again, author=BOB) as opened:
        assert (opened.said, len(again.asked)) == (parse_forecast("worse:60"), 1)
    trained.run(question, author=BOB, run=False)
    with trained.open(question, again, author=BOB) as opened:  # who skipped is not asked again
        assert (opened.said, len(again.asked)) == (None, 1)


def test_nobody_is_asked_and_no_worker_warms_up_where_the_outcome_can_be_seen(trained):
    question = trained.question(budget=2)
    assert not (trained.project.runs.exists() and treatment_is_touched(trained.project, question))
    trained.run(question)
    assert treatment_is_touched(trained.project, question)
    late = Recorder(parse_forecast("better:90"))
    with trained.open(replace(question, margin=0.02), late, author=BOB) as opened:
        assert (opened.said, opened.asked, opened.engines.started, late.asked) == (None, False, False, [])


def test_the_engine_is_stopped_when_the_question_closes(trained):
    question = trained.question()
    with trained.open(question) as opened:
        opened.engines.submit(question.target.task, question.plan.order("baseline", 0, "r", trained.folder))
    assert opened.engines.poll() == []


def test_threads_are_those_of_openmp_where_nothing_else_says_how_many(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert resources_of(Project(tmp_path), config(tmp_path), workers=1).threads == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "many")
    assert resources_of(Project(tmp_path), config(tmp_path), workers=1).threads == count_cores()


def test_a_run_that_asks_a_question_itself_is_refused(trained, monkeypatch):
    monkeypatch.setitem(os.environ, IN_WORKER, "1")
    asked = opening(trained.project, trained.question(), author=ADA, person=nobody(), resources=DEBUG)
    with pytest.raises(RefusedError, match="inside one of its own runs"):
        asked.__enter__()
