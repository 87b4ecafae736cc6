"""The noise of a baseline over its seeds."""

import numpy as np
import pytest
from tests.loop.trained_project import DEBUG, SCRIPT, Recorder

from palate.loop.noise import measure_noise, noise_plan
from palate.question.question import metric_of


def measure(trained, runs=5, person=None):
    target = trained.target()
    plan = noise_plan(target, metric_of(target, "val_acc"), take="last", runs=runs, data="")
    with trained.catalog() as catalog:
        return measure_noise(catalog, plan, 20, DEBUG, person or Recorder())


def test_the_noise_is_the_spread_over_seeds_with_its_bounds(trained):
    person = Recorder()
    report = measure(trained, person=person)
    assert person.ended == [("baseline", seed) for seed in range(5)]
    assert (report.made, report.reused, report.failed, len(report.values)) == (5, 0, 0, 5)
    assert report.seed_sd == pytest.approx(np.std(report.values, ddof=1))
    assert report.low < report.seed_sd < report.high
    assert 0 < report.confirmable[0] < report.confirmable[1]
    assert report.mean == pytest.approx(np.mean(report.values))
    document = report.document()
    assert (document["schema"], document["runs"]) == ("palate.noise/1", {"made": 5, "reused": 0})
    assert report.lines()[0].startswith("Another seed alone moves val_acc by ")


def test_runs_that_are_there_are_used_again_by_noise_and_by_questions(trained):
    measure(trained, 3)
    assert (measure(trained, 5).made, measure(trained, 5).reused) == (2, 5)
    report = trained.run(trained.question(budget=4))
    assert report.judgement.made == report.judgement.verdict.n  # of the treatment alone


def test_a_seed_that_changes_nothing_is_said(trained):
    trained.write(SCRIPT.replace("random.Random(seed)", "random.Random(1)"))
    words = measure(trained, 3).lines()
    assert words == ["The seed changes nothing: 3 runs gave the same val_acc. Is the seed wired in?"]


def test_runs_that_failed_are_counted_and_left_out(trained):
    trained.write(SCRIPT.replace('mode == "crash" and step == 2', "seed == 1 and step == 2"))
    report = measure(trained, 4)
    assert (report.failed, len(report.values)) == (1, 3)
