"""The runner yields what is there, makes what is missing, and stops where it has been enough."""

import pytest
from tests.loop.trained_project import DEBUG, SCRIPT, Recorder

from palate.errors import MetricNotLoggedError, SetupFailedError
from palate.loop.runner import Runner
from palate.training.debug import DebugLauncher, start_debug
from palate.training.launch import Resources


def carry_out(trained, question, person=None, enough=lambda _: False, resources=DEBUG):
    """Run a question's plan; return how many runs of each arm there were at each look, and the runner."""
    looks = []
    with trained.catalog() as catalog, _runner(catalog, question, person, resources) as runner:
        for results in runner:
            looks.append(tuple(len(by_seed) for by_seed in results.values()))
            if enough(results):
                break
    return looks, runner


def _runner(catalog, question, person, resources):
    return Runner(catalog, question.plan, resources=resources, person=person or Recorder())


def test_it_yields_what_is_there_and_then_after_each_run(trained):
    person = Recorder()
    looks, runner = carry_out(trained, trained.question(budget=3), person)
    assert looks == [(0, 0), (1, 0), (1, 1), (2, 1), (2, 2), (3, 2), (3, 3)]
    assert (runner.made, runner.reused) == (6, 0)
    assert person.started == person.ended == [(arm, seed) for seed in range(3) for arm in ("baseline", "treatment")]
    assert len(trained.runs) == 6


def test_what_was_made_before_is_used_again_by_whoever_needs_it(trained):
    carry_out(trained, trained.question(budget=2))
    looks, again = carry_out(trained, trained.question(budget=2))
    assert looks == [(2, 2)]
    assert (again.made, again.reused) == (0, 4)
    looks, other = carry_out(trained, trained.question(budget=2, gain=0.1))  # the same baseline, another change
    assert looks == [(2, 0), (2, 1), (2, 2)]
    assert (other.made, other.reused) == (2, 2)


def test_no_run_is_started_before_the_first_look_and_none_after_it_was_enough(trained):
    def never(*_):
        raise AssertionError("an engine was started")

    looks, runner = carry_out(trained, trained.question(), enough=lambda _: True, resources=Resources(start=never))
    assert (looks, runner.made, trained.runs) == ([(0, 0)], 0, [])
    looks, runner = carry_out(trained, trained.question(), enough=lambda results: results["treatment"])
    assert (looks, runner.made, len(trained.runs)) == ([(0, 0), (1, 0), (1, 1)], 2, 2)


class Both(DebugLauncher):
    """An engine that ends two runs between two looks."""

    def poll(self):
        return [ended for _ in range(2) for ended in super(Both, self).poll()]


def test_runs_that_go_when_it_is_enough_are_stopped_and_run_again_under_another_name(trained):
    question = trained.question(budget=2)
    wide = Resources(start=start_debug, workers=2)
    _, runner = carry_out(trained, question, enough=lambda results: results["baseline"], resources=wide)
    assert runner.made == 1
    with trained.catalog() as catalog:
        catalog.refresh()
        assert [run.exit for run in sorted(catalog.runs(), key=lambda run: run.started_unix_s)] == ["ok", "stopped"]
    looks, again = carry_out(trained, question)
    assert (looks[0], again.made, again.reused) == ((1, 0), 3, 1)
    stopped = question.plan.keys["treatment"][:6]
    assert {f"train-{stopped}-s0", f"train-{stopped}-s0-2"} <= set(trained.runs)


def test_a_run_that_ended_beside_the_one_that_was_enough_is_kept(trained):
    person, both = Recorder(), Resources(start=lambda task, _: Both(task), workers=2)
    looks, runner = carry_out(
        trained, trained.question(), person, enough=lambda results: results["baseline"], resources=both
    )
    assert (looks, runner.made) == ([(0, 0), (1, 0)], 2)
    assert person.ended == [("baseline", 0), ("treatment", 0)]
    assert carry_out(trained, trained.question(), enough=lambda _: True)[1].reused == 2


def test_a_baseline_that_fails_before_its_first_point_is_a_fault_with_what_it_printed(trained):
    trained.write(SCRIPT.replace('mode = "train"', 'mode = "early"'))
    with pytest.raises(SetupFailedError, match="failed before its first point") as caught:
        carry_out(trained, trained.question())
    assert "RuntimeError: nothing works" in str(caught.value)
    trained.write(SCRIPT)
    assert carry_out(trained, trained.question(budget=2))[1].made == 4  # what failed so is no outcome


def test_a_baseline_that_never_logs_the_metric_is_a_fault_that_names_what_it_logs(trained):
    trained.write(SCRIPT.replace('name = "val_acc"', 'name = "val_ac"'))
    with pytest.raises(MetricNotLoggedError, match="without logging val_acc") as caught:
        carry_out(trained, trained.question())
    assert "It logged: loss, val_ac" in str(caught.value)
    assert "did you mean val_ac?" in str(caught.value)


def test_a_treatment_that_fails_is_a_result(trained):
    person = Recorder()
    carry_out(trained, trained.question(budget=2, mode="crash"), person)
    _, crashed, *_ = [event.result for event in person.events if hasattr(event, "result")]
    assert (crashed.outcome.ending, crashed.points, crashed.seed) == ("crashed", 6, 0)
    assert "RuntimeError: out of luck" in crashed.outcome.detail
    with trained.catalog() as catalog:
        catalog.refresh()
        run = next(run for run in catalog.runs() if run.failed)
    assert "RuntimeError: out of luck" in run.detail
    assert trained.project.output(run.id).read_text().rstrip().endswith("RuntimeError: out of luck")


def test_a_treatment_that_fails_before_its_first_point_is_one_too_but_is_tried_again(trained):
    question = trained.question(budget=2, mode="early")
    looks, runner = carry_out(trained, question)
    assert (looks[-1], runner.made) == ((2, 2), 4)
    assert carry_out(trained, question)[1].made == 2
