"""When-forecasts on runs: open while something can happen, scored when the run has ended, classes of their own."""

import pytest
from tests.loop.written_project import ADA

from palate.errors import InputError, OutcomeSeenError
from palate.forecast.when import Event, When
from palate.loop.when import await_event, seal_when
from palate.store.catalog import Catalog
from palate.store.journal import Journal

BEST = Event(metric="val_loss", goal="min")


def wait_for(written, subject, event=BEST, steps=None):
    with Catalog.open(written.project) as catalog:
        catalog.refresh()
        return await_event(catalog, subject, event, steps)


def test_the_best_checkpoint_of_a_run_that_has_not_begun(written):
    question = written.ask(written.question())
    with pytest.raises(InputError, match="how many steps"):
        wait_for(written, question.experiment)
    for seed in range(3):
        written.write_run(question, "baseline", seed, 1.0)
    awaited = wait_for(written, question.experiment)
    assert (awaited.total, awaited.subject.run, awaited.evidence.kind) == (59.0, "", "blind")
    assert awaited.reference.argmax() == 9  # these curves fall to their end
    seal_when(written.chain, awaited, When(tenth=9, confidence=90), author=ADA, now=written.tick())
    with pytest.raises(OutcomeSeenError, match="already"):
        seal_when(written.chain, awaited, When(tenth=8, confidence=50), author=ADA, now=written.tick())
    [waiting] = written.skill()
    assert (waiting.skill.n, waiting.forecast) == (0, 1)
    written.write_run(question, "treatment", 0, 1.2)
    [standing] = written.skill()
    assert (standing.kind, standing.skill.n) == ("when", 1)
    assert written.skill()[0].skill.n == 1  # scored once
    with pytest.raises(OutcomeSeenError, match="has ended"):
        wait_for(written, question.experiment)


def test_a_run_that_goes_and_a_value_to_be_reached(written):
    question = written.ask(written.question())
    run = written.write_run(question, "treatment", 0, 1.2, points=31, ended=False)
    reach = Event(metric="val_loss", goal="min", reach=1.21)
    awaited = wait_for(written, run, reach, 59)
    assert awaited.evidence.kind == "75 %"
    assert not awaited.reference[:5].any()
    seal_when(written.chain, awaited, When(tenth=9, confidence=60), author=ADA, now=written.tick())
    with pytest.raises(OutcomeSeenError, match="already, at step"):
        wait_for(written, run, Event(metric="val_loss", goal="min", reach=1.9), 59)
    log = Journal.open(written.project.journal(run))
    for step in range(31, 60):
        log.log(step, {"val_loss": 1.205 if step >= 58 else 1.3})
    log.event("ending", exit="ok", status=0, elapsed_s=1.0, detail="")
    log.close()
    [standing] = written.skill()
    assert standing.kind == "when, 75 %"
    assert standing.skill.mean > 0
    with pytest.raises(OutcomeSeenError, match="has ended"):
        wait_for(written, run, reach, 59)


def test_what_never_happens_is_an_answer(written):
    question = written.ask(written.question())
    awaited = wait_for(written, question.experiment, Event(metric="val_loss", goal="min", reach=0.1), 59)
    seal_when(written.chain, awaited, When(tenth=10, confidence=80), author=ADA, now=written.tick())
    written.write_run(question, "treatment", 0, 1.2)
    assert written.skill()[0].skill.mean > 1
