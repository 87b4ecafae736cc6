"""The step is the step, however it is given."""

import sys
import threading

import pytest

from palate.errors import InputError, StoreError
from palate.store.reader import read_journal
from palate.training.run import Run, new_run_folder


@pytest.fixture
def run(tmp_path):
    run = Run(tmp_path / "run")
    yield run
    run.close()


def steps(run):
    return {name: curve.steps.tolist() for name, curve in read_journal(run.folder / "journal").curves.items()}


def test_a_step_by_its_name_is_the_step_and_no_metric(run):
    run.log(step=10, loss=0.3)
    run.log(20, loss=0.2)
    run.log(step=None, loss=0.1)
    run.log(loss=0.05)
    assert steps(run) == {"loss": [10, 20, 21, 22]}


def test_a_step_that_is_given_twice_is_refused_with_the_way_out(run):
    run.log(0, loss=1.0)
    with pytest.raises(InputError, match="gives the step twice") as refused:
        run.log(3, step=4, loss=0.3)
    assert "log(3, loss=...)" in refused.value.todo[0]
    with pytest.raises(InputError, match="cannot be kept"):
        run.log(step=3)
    assert steps(run) == {"loss": [0]}


def test_steps_that_are_left_out_are_one_more_than_the_last_from_several_threads_too(run):
    run.log(9, loss=1.0)

    def log_own(number):
        for _ in range(1000):
            run.log(**{f"m{number}": 0.5})

    every = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    threads = [threading.Thread(target=log_own, args=(number,)) for number in range(4)]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(every)
    assert sorted(step for some in steps(run).values() for step in some) == list(range(9, 4010))


def test_a_folder_that_cannot_be_made_is_said_in_words(tmp_path, monkeypatch):
    home = tmp_path / "home"
    monkeypatch.setenv("PALATE_HOME", str(home))
    home.mkdir()
    (home / "runs").write_text("no folder")
    with pytest.raises(StoreError):
        new_run_folder("run")


@pytest.mark.parametrize("label", ["cifar/resnet", "x" * 300, "a\0b", ".."])
def test_any_label_gives_a_folder(label, tmp_path, monkeypatch):
    monkeypatch.setenv("PALATE_HOME", str(tmp_path / "home"))
    assert new_run_folder(label).parent == tmp_path / "home" / "runs"
