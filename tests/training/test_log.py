"""The step is the step, however it is given."""

import pytest

from palate.errors import InputError
from palate.store.reader import read_journal
from palate.training.run import Run


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
