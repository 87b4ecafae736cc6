"""Baseline runs that are there when a question is sealed stand beside its pairs, at every look, and never after."""

import pytest
from tests.loop.test_terms import ask
from tests.loop.trained_project import DEBUG, Recorder

from palate.loop.judge import judge_now
from palate.loop.noise import measure_noise, noise_plan
from palate.loop.terms import read_margin
from palate.verdict.bank import LEAST_RUNS


def noise(trained, runs):
    plan = noise_plan(trained.target(), trained.question().metric, take="last", runs=runs, data="")
    with trained.catalog() as catalog:
        return measure_noise(catalog, plan, 20, DEBUG, Recorder())


def test_baseline_runs_that_are_there_are_the_bank_of_a_question_and_are_sealed_with_it(trained):
    noise(trained, 12)
    person = Recorder()
    report = ask(trained, person=person, gain=0.52, budget=8)
    assert report.question.bank == tuple(range(12))
    verdict = report.judgement.verdict
    assert verdict.bank == 12 - verdict.n
    assert f"{verdict.n} pairs beside {verdict.bank} more baseline runs" in report.headline
    assert {arm for arm, _ in person.started} == {"treatment"}
    assert trained.ledger.read(report.question.experiment).question.bank == tuple(range(12))
    noise(trained, 14)  # what comes later has no say
    with trained.catalog() as catalog:
        again = judge_now(trained.ledger, catalog, trained.ledger.read(report.question.experiment).question)
    assert again.verdict == verdict


def test_the_noise_that_is_known_from_them_is_the_margin_and_nothing_is_run_for_it(trained):
    told = noise(trained, 12)
    report = ask(trained, gain=0.52, budget=8)
    assert report.question.margin_runs == 12
    assert report.question.margin == pytest.approx(told.seed_sd, rel=0.06)


def test_few_runs_are_no_bank_and_neither_are_those_of_a_question_that_was_looked_at(trained):
    noise(trained, LEAST_RUNS - 1)
    first = ask(trained, gain=0.52, budget=8)
    assert first.question.bank == ()
    noise(trained, 12)
    again = ask(trained, gain=0.52, budget=8, margin=read_margin("0.02"))
    assert (again.question.bank, again.judgement.verdict.bank) == ((), None)
    other = ask(trained, gain=0.51, budget=8)
    assert len(other.question.bank) >= 12
