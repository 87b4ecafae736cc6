"""A training that palate only hears of: what it is told is logged and counted, and ends where a condition holds."""

import copy
import pickle

import numpy as np
import pytest
from tests.cooking.test_counts import FakeRun

from palate.cooking.heard import Heard, refuse_until
from palate.cooking.until import cycles_without_improvement, epochs, gate, plateau, samples, steps, target, tasted
from palate.engines.ear import Ear
from palate.errors import InputError, RefusedError
from palate.question.branch import Branch


@pytest.fixture
def heard(tmp_path):
    run = FakeRun(tmp_path)
    made = Heard(run, "Keras")
    plain = run.log

    def log(step=None, /, **metrics):  # as a run does
        plain(step, **metrics)
        made.saw(metrics)

    run.log = log
    return made


def said(heard):
    return [event["words"] for event in heard.run.events if event["kind"] == "said"]


def fit(heard, until, *, epochs=3, batches=7, loss=lambda step: 1.0, of_epoch=lambda epoch: {}):
    """Tell of a fit as an engine does; return the step at which it ended."""
    heard.begin(until)
    for epoch in range(epochs):
        for _ in range(batches):
            heard.stepped(1, 10)
            heard.log({"loss": loss(heard.step)})
            if heard.look():
                break
        heard.epoch += 1
        heard.log(of_epoch(epoch))
        if heard.look():
            break
    heard.end()
    return heard.step


@pytest.mark.parametrize(
    ("until", "ends"),
    [
        (None, 21),
        (steps(9), 9),
        (epochs(2), 14),
        (samples(50), 5),
        (target("val_loss", 0.5), 14),
        (gate("loss < 0.1"), 11),
        (target("val_loss", 0.5) & steps(16), 16),
        (target("val_loss", 0.5) | steps(16), 14),
    ],
    ids=str,
)
def test_a_fit_ends_at_the_step_where_its_condition_holds(until, ends, heard):
    of_epoch = {0: {"val_loss": 0.9}, 1: {"val_loss": 0.5}, 2: {"val_loss": 0.4}}
    assert fit(heard, until, loss=lambda step: 1.0 if step < 11 else 0.0, of_epoch=of_epoch.get) == ends
    told = [event for event in heard.run.events if event["kind"] == "until"]
    assert [event["step"] for event in told] == ([] if until is None else [ends])


def test_what_is_told_is_logged_at_the_number_of_steps_that_were_done(heard):
    fit(heard, None, epochs=1, batches=2, of_epoch=lambda _: {"loss": 1.0, "val_loss": 0.9})
    assert heard.run.rows == [(1, {"loss": 1.0}), (2, {"loss": 1.0}), (2, {"val_loss": 0.9})]  # nothing twice


def test_a_second_fit_goes_on_in_its_steps_and_its_condition_counts_anew(heard):
    assert fit(heard, steps(5)) == 5
    assert fit(heard, steps(5)) == 10


def test_what_the_training_itself_logs_counts_for_a_condition(heard):
    heard.begin(target("val_fid", 10, goal="min"))
    heard.stepped(1)
    heard.run.log(1, val_fid=9.0)
    assert heard.look()


@pytest.mark.parametrize(
    "value", ["0.5", b"1", [1.0], {"a": 1}, np.ones(3), 1j, object()], ids=lambda one: type(one).__name__
)
def test_a_metric_that_is_no_number_is_left_out_and_that_is_said_once(value, heard, capsys):
    for _ in range(2):
        heard.stepped(1)
        heard.log({"f1": value, "loss": 0.5})
    assert [row for _, row in heard.run.rows] == [{"loss": 0.5}, {"loss": 0.5}]
    (words,) = said(heard)
    assert words.startswith("f1 is left out: it is no number but")
    assert capsys.readouterr().err == f"palate: {words}\n"


def test_numbers_of_every_kind_are_logged_and_what_was_not_measured_is_not_spoken_of(heard, torch):
    heard.stepped(1)
    heard.log({"a": torch.tensor([2.0]), "b": np.float32(1), "c": True, "d": float("nan"), "e": None})
    ((_, row),) = heard.run.rows
    assert (row["a"], row["b"], row["c"], row["d"] != row["d"]) == (2.0, 1.0, 1.0, True)
    assert "e" not in row
    assert not said(heard)


def test_a_metric_of_the_name_step_is_left_out_and_that_is_said(heard):
    heard.stepped(1)
    heard.log({"step": 3.0, "loss": 1.0})
    assert heard.run.rows == [(1, {"loss": 1.0})]
    assert "metric named" in said(heard)[0]


def test_a_condition_whose_metric_was_never_logged_is_told_at_the_end_of_the_fit_with_what_was(heard):
    fit(heard, plateau("val_los", goal="min"))
    (words,) = said(heard)
    assert words.startswith("val_los was not logged in 21 steps")
    assert words.endswith("Logged were: loss.")


def test_in_a_long_fit_that_is_told_before_its_end_and_once(heard):
    fit(heard, plateau("val_los", goal="min"), epochs=1, batches=1200)
    (words,) = said(heard)
    assert words.startswith("val_los was not logged in 1,000 steps")


@pytest.mark.parametrize(
    ("until", "words"),
    [
        ("plateau('val_loss')", "is no condition"),
        (600, "is no condition"),
        (cycles_without_improvement(2, "val_loss"), "in no cycle"),
        (gate("loss < 1") & gate("loss > 2"), "on both sides"),
        (steps(5) | tasted("done"), "not tasted"),
        (steps(5) | samples(100), "how many samples"),
    ],
    ids=str,
)
def test_an_until_that_can_never_hold_is_refused(until, words):
    with pytest.raises(InputError) as refused:
        refuse_until("Keras", until, knows_samples=False)
    assert words in str(refused.value)
    assert refused.value.todo


def test_a_process_that_was_asked_to_depart_from_a_plain_run_is_refused(tmp_path):
    run = FakeRun(tmp_path)
    with pytest.raises(RefusedError, match="Keras trains") as refused:
        Heard(run, "Keras", Branch(stop=10))
    assert "exactly" in str(refused.value)
    assert not run.events


def test_how_many_steps_there_were_is_told_when_the_run_ends_and_once(heard):
    fit(heard, None)
    heard.close()
    heard.close()
    assert [event for event in heard.run.events if event["kind"] == "steps"] == [
        {"kind": "steps", "steps": 21, "samples": 210, "epoch": 3}
    ]


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))], ids=["copy", "pickle"])
def test_a_copy_of_what_hears_a_training_hears_of_none_yet(copied, heard):
    ear = Ear("Keras", "t", 3, steps(5), knows_samples=False)
    ear._heard, ear._run = heard, lambda: None  # which no pickle takes
    other = copied(ear)
    assert ear.ended is other.ended is False
    with pytest.raises(InputError, match="no run yet"):
        other.run  # noqa: B018


def test_a_training_of_several_processes_is_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(RefusedError, match="Keras trains with 2 processes"):
        Ear("Keras", "", None, None, knows_samples=False).begin()


def test_a_number_that_is_told_twice_at_a_step_is_logged_once_and_so_is_one_that_is_none(heard):
    heard.begin(None)
    heard.stepped(1, 10)
    for told in ({"loss": float("nan")}, {"loss": float("nan")}, {"loss": 1.0}, {"loss": 1.0}):
        heard.log(told)
    assert [repr(row["loss"]) for _, row in heard.run.rows] == ["nan", "1.0"]
