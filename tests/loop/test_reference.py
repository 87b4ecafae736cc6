"""A run that still goes says how it will end, by the finished runs of the same training."""

import numpy as np
import pytest

from palate.loop.reference import foretell_run
from palate.store.catalog import Catalog
from palate.store.journal import Journal
from palate.store.project import Project
from palate.training.outcome import begin_run

STEPS = np.arange(60)


def write_run(project, name, rate, *, points=60, ended=True, last=None):
    rng = np.random.default_rng(len(name) * 1000 + int(rate * 100))
    journal = project.journal(name)
    begin_run(journal, key=f"k{rate}", label="train", seed=0, settings={"lr": rate})
    log = Journal.open(journal)
    for step in STEPS[:points]:
        value = float(1 + 2 * (step + 1) ** -rate + rng.normal(0, 0.005))
        log.log(int(step), {"val_loss": value if last is None or step < points - 1 else last})
    if ended:
        log.event("ending", exit="ok", status=0, elapsed_s=1.0, detail="")
    log.close()


@pytest.fixture
def project(tmp_path):
    made = Project(tmp_path / ".palate")
    made.make()
    return made


def foretold(project, name):
    with Catalog.open(project) as catalog:
        catalog.refresh()
        return foretell_run(catalog, catalog.find_run(name))


def test_a_running_run_says_where_it_will_end(project):
    for k in range(20):
        write_run(project, f"past-{k}", 0.3 + 0.03 * k)
    write_run(project, "now", 0.5, points=15, ended=False)
    ending = foretold(project, "now")["val_loss"]
    truth = 1 + 2 * 60**-0.5
    seen = 1 + 2 * 15**-0.5
    assert ending.low <= truth <= ending.high
    assert abs(ending.value - truth) < 0.3 * abs(seen - truth)


def test_an_ended_run_and_one_without_enough_past_say_nothing(project):
    write_run(project, "past-0", 0.5)
    write_run(project, "now", 0.5, points=15, ended=False)
    assert foretold(project, "past-0") == {}
    assert foretold(project, "now") == {}


def test_one_past_run_that_diverged_changes_nothing_and_a_run_that_diverges_is_told_no_end(project):
    for k in range(8):
        write_run(project, f"past-{k}", 0.3 + 0.03 * k)
    write_run(project, "now", 0.5, points=15, ended=False)
    before = foretold(project, "now")["val_loss"]
    write_run(project, "diverged", 0.5, last=1e26)
    assert foretold(project, "now")["val_loss"] == before
    write_run(project, "diverging", 0.5, points=15, ended=False, last=1e18)
    assert foretold(project, "diverging") == {}
