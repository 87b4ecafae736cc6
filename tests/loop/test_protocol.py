"""Ways to fool oneself or others, each of which must not pay."""

import json
import subprocess
import sys
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from tests.loop.written_project import ADA, BOB, WrittenProject

from palate.errors import ChainBrokenError, InputError, OutcomeSeenError, RefusedError
from palate.forecast.answer import Forecast, parse_forecast
from palate.forecast.when import Event, When
from palate.ledger import seal
from palate.ledger.records import Evidence, Export
from palate.ledger.verify import verify
from palate.loop.ask import Nobody
from palate.loop.exchange import export_forecasts, read_export, take_in
from palate.loop.reference import case_words, reference_for
from palate.loop.run import report_now
from palate.loop.when import await_event, resolve_when, seal_when
from palate.store.catalog import Catalog
from palate.store.journal import Journal
from palate.training.outcome import begin_run, stop_run

ALL_AT_ONCE = """
import sys, time
from datetime import UTC, datetime
from pathlib import Path
sys.path.insert(0, {root!r})
from tests.loop.written_project import WrittenProject, ADA
from palate.errors import PalateError
from palate.ledger import seal
written = WrittenProject(Path({folder!r}), new=False)
question = written.question()
while time.time() < {start}:
    pass
try:
    {act}
except PalateError:
    pass
"""


def at_once(written, act, processes=6):
    """Let several processes do the same at the same moment."""
    code = ALL_AT_ONCE.format(
        root=str(Path(__file__).parents[2]), folder=str(written.folder), start=time.time() + 4, act=act
    )
    started = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(processes)]
    assert [one.wait(60) for one in started] == [0] * processes


@pytest.mark.slow
def test_what_several_processes_seal_at_once_is_sealed_once(written):
    at_once(written, "written.ask(question)")
    assert len(written.chain.records("question")) == 1
    at_once(written, "written.say(question, 'worse:80')")
    assert len(written.chain.records("forecast")) == 1
    at_once(written, "seal.seal_skip(written.chain, question.experiment, author=ADA, now=datetime.now(UTC))")
    assert not written.chain.records("skip")  # ada has a forecast
    written.write_pairs(written.question(), 1.0, 1.4)
    at_once(written, "written.report(question)")
    assert (len(written.chain.records("verdict")), len(written.chain.records("score"))) == (1, 1)


def test_a_question_that_was_sealed_twice_is_still_read(written):
    question = written.ask(written.question())
    written.chain.append("question", written.chain.records("question")[0].body, now=written.tick())
    assert written.ledger.read(question.experiment).question == question


def test_questions_that_share_all_their_runs_make_one_bet(written):
    """Whoever asks one change with fourteen margins has made one forecast, not fourteen."""
    for k in range(6):
        question = written.ask(written.question(margin=0.05 + k / 10_000))
        written.say(question, "worse:80")
    written.write_pairs(question, 1.0, 1.4)
    for record in written.chain.records("question"):
        report_now(written.project, record.body["experiment"], "ada")
    assert len(written.chain.records("score")) == 6
    [standing] = written.skill()
    assert standing.skill.n == 1
    assert standing.forecast == 6


def test_leaving_off_where_it_starts_badly_does_not_pay(written):
    good, bad = written.ask(written.question(lr=0.3)), written.ask(written.question(lr=0.4))
    for question in (good, bad):
        written.say(question, "better:80")
    written.write_pairs(good, 1.0, 0.6)
    written.report(good)
    written.write_pairs(bad, 1.0, 1.4, pairs=2)  # and no more: the question stays open
    [standing] = written.skill()
    assert (standing.skill.n, standing.open) == (2, 1)
    assert standing.skill.mean < 0
    assert len(written.chain.records("score")) == 1  # nothing is sealed by looking


def fail(written, question, arm, seed):
    key = question.plan.keys[arm]
    journal = written.project.journal(f"{question.target.name}-{key[:6]}-s{seed}")
    begin_run(journal, key=key, label=question.target.label, seed=seed, settings={})
    log = Journal.open(journal)
    log.log(0, {"val_loss": 1.0})
    log.event("ending", exit="crashed", status=1, elapsed_s=1.0, detail="out of luck")
    log.close()


def test_a_failed_seed_does_not_keep_a_question_open_for_ever(written):
    question = written.ask(written.question())
    written.say(question, "worse:60")
    for seed in range(3):
        written.write_run(question, "baseline", seed, 1.0 + 0.02 * seed)
        written.write_run(question, "treatment", seed, 1.03 - 0.02 * seed)
    written.write_run(question, "baseline", 3, 1.0)
    fail(written, question, "treatment", 3)
    report = written.report(question)
    assert (report.judgement.verdict.kind, report.judgement.verdict.reason) == ("unclear", "budget")
    assert written.chain.records("verdict")
    assert written.chain.records("score")


def test_a_baseline_that_fails_says_nothing_of_the_change(written):
    question = written.ask(written.question())
    written.say(question, "crash:80")
    for seed in range(4):
        fail(written, question, "baseline", seed)
        written.write_run(question, "treatment", seed, 1.0)
    report = written.report(question)
    assert report.judgement.verdict.kind == "failed"
    assert report.score is None
    assert "the baseline itself failed" in str(report)
    other = written.ask(written.question(lr=0.9))
    assert written.ledger.read(other.experiment).reference.outcomes == 0


def test_the_same_change_asked_again_with_other_data_is_not_blind(written):
    question = written.ask(written.question())
    written.write_pairs(question, 1.0, 1.4)
    written.report(question)
    again = written.ask(replace(question, data="one file more"))
    [sealed] = written.forecast(again, "worse:97")
    assert sealed.evidence.kind == "asked before"
    assert [standing.kind for standing in written.skill()] == ["asked before"]


def test_a_run_that_ends_while_a_person_thinks_of_a_revision_is_seen(written):
    question = written.ask(written.question())

    class Thinker(Nobody):
        def revise(self, _, __):
            written.write_run(question, "treatment", 0, 1.4)
            return Forecast(answer="worse", confidence=97)

    with pytest.raises(OutcomeSeenError):
        written.forecast(question, "better:60", person=Thinker())
    assert len(written.chain.records("forecast")) == 1
    assert not written.chain.records("revision")


def test_a_revision_that_says_that_it_saw_nothing_is_held_against_the_runs_clock(written):
    question = written.ask(written.question())
    written.say(question, "better:60")
    written.write_run(question, "treatment", 0, 1.4, points=9, ended=False)
    later = written.now + timedelta(hours=3)
    seal.seal_revision(
        written.chain, question, parse_forecast("worse:97"), author=ADA, evidence=Evidence(), nonce="", now=later
    )
    with pytest.raises(ChainBrokenError, match="says that nothing was seen"):
        verify(written.project)


@pytest.fixture
def colleagues(tmp_path):
    """Two projects of the same training in folders of their own; one question is asked in the first."""
    ada, bob = WrittenProject(tmp_path / "a"), WrittenProject(tmp_path / "b")
    return ada, bob, ada.ask(ada.question())


def exported(written, name, author, blind=False):
    export = export_forecasts(written.ledger.read(name), author, blind=blind)
    return json.loads(json.dumps(export.body()))


def take(written, document):
    with Catalog.open(written.project) as catalog:
        return take_in(catalog, Export.read(document), now=written.tick())


def test_of_several_promises_of_one_person_only_the_first_is_taken(colleagues):
    ada, bob, question = colleagues
    take(bob, exported(ada, question.experiment, ADA))
    bob.say(question, "worse:90", BOB)
    first = exported(bob, question.experiment, BOB, blind=True)
    take(ada, first)
    again = WrittenProject(bob.folder.parent / "c")
    take(again, exported(ada, question.experiment, ADA))
    again.say(question, "better:90", BOB)
    with pytest.raises(RefusedError, match="promised one"):
        take(ada, exported(again, question.experiment, BOB, blind=True))
    with pytest.raises(RefusedError, match="promised one"):
        take(ada, exported(again, question.experiment, BOB))
    ada.write_pairs(question, 1.0, 0.6)
    ada.report(question)
    assert ada.ledger.read(question.experiment).promised("forecast") == {"bob"}


def test_a_promise_that_is_not_opened_is_counted(colleagues):
    ada, bob, question = colleagues
    take(bob, exported(ada, question.experiment, ADA))
    bob.say(question, "better:90", BOB)
    take(ada, exported(bob, question.experiment, BOB, blind=True))
    other = ada.ask(ada.question(lr=0.9))
    ada.say(other, "worse:60", BOB)
    ada.write_pairs(question, 1.0, 1.4)
    ada.report(question)
    [standing] = ada.skill()
    assert standing.unopened == 1


def test_a_question_from_elsewhere_is_written_anew_with_the_reference_of_this_project(colleagues):
    ada, bob, question = colleagues
    document = exported(ada, question.experiment, ADA)
    assert "reference" not in document["question"]  # whoever reads the file has not answered yet
    document["question"]["text"] = "nonsense?"
    chances = {"worse": 0.01, "same": 0.01, "better": 0.97, "crash": 0.01}
    document["question"]["reference"] = {"chances": chances}
    take(bob, document)
    [body] = [record.body for record in bob.chain.records("question")]
    assert body["text"] == question.text
    assert body["reference"]["chances"]["worse"] == pytest.approx(reference_for(bob.ledger, question).chances.worse)


def test_what_is_no_forecast_is_not_taken_in(colleagues, tmp_path):
    ada, bob, question = colleagues
    ada.say(question, "worse:80")
    whole = exported(ada, question.experiment, ADA)
    for spoil in (
        lambda entry: entry | {"kind": "score"},
        lambda entry: entry | {"body": entry["body"] | {"confidence": 100}},
        lambda entry: entry | {"body": {"experiment": question.experiment}},
        lambda entry: {"hash": "x"},
    ):
        path = tmp_path / "sent.json"
        path.write_text(json.dumps(whole | {"forecasts": [spoil(whole["forecasts"][0])]}))
        with pytest.raises((InputError, ChainBrokenError)):
            take(bob, read_export(path).body())
        assert not bob.chain.records()


def test_cases_of_another_project_are_not_shown_and_harm_nobody(colleagues):
    ada, bob, question = colleagues
    assert case_words(bob.ledger, ("not here",)) == []
    ada.write_pairs(question, 1.0, 1.4)
    ada.report(question)
    second = ada.ask(ada.question(lr=0.35))
    take(bob, exported(ada, second.experiment, ADA))
    [sealed] = bob.forecast(second, "worse:80", BOB)
    assert sealed.reference.outcomes == 0


BEST = Event(metric="val_loss", goal="min")


def wait_for(written, subject, event=BEST, steps=None):
    with Catalog.open(written.project) as catalog:
        catalog.refresh()
        return await_event(catalog, subject, event, steps)


def test_a_length_that_nobody_plans_gains_nothing(written):
    """A run said to be a thousand times as long has its best in the first tenth, and the reference knows it."""
    question = written.ask(written.question())
    for seed in range(4):
        written.write_run(question, "baseline", seed, 1.0)
    assert wait_for(written, question.experiment, steps=60_000).reference.argmax() == 0


def test_earlier_attempts_at_a_seed_and_other_metrics_are_evidence(written):
    question = written.ask(written.question())
    written.write_run(question, "baseline", 0, 1.0)
    run = written.write_run(question, "treatment", 0, 1.2, points=58, ended=False)
    stop_run(written.project.journal(run))
    assert wait_for(written, question.experiment).evidence.kind == "100 %"
    blind_metric = wait_for(written, question.experiment, Event(metric="val_acc", goal="max"), 59)
    assert blind_metric.evidence.kind == "100 %"


def test_an_attempt_that_crashed_before_does_not_resolve_what_comes(written):
    question = written.ask(written.question())
    awaited = wait_for(written, question.experiment, Event(metric="val_loss", goal="min", reach=1.21), 59)
    seal_when(written.chain, awaited, When(tenth=9, confidence=60), author=ADA, now=written.tick())
    fail(written, question, "treatment", 7)  # another seed
    key = question.plan.keys["treatment"]
    begun = written.project.journal(f"{question.target.name}-{key[:6]}-s0-dead")
    begin_run(begun, key=key, label="train", seed=0, settings={})
    log = Journal.open(begun)
    log.event("ending", exit="crashed", status=1, elapsed_s=0.1, detail="")
    log.close()
    with Catalog.open(written.project) as catalog:
        catalog.refresh()
        assert resolve_when(written.ledger, catalog, now=written.tick()) == 0


def test_when_forecasts_of_one_run_and_metric_make_one_bet(written):
    question = written.ask(written.question())
    written.write_run(question, "baseline", 0, 1.0)
    for k in range(5):
        event = Event(metric="val_loss", goal="min", reach=1.3 + k / 1000)
        awaited = wait_for(written, question.experiment, event)
        seal_when(written.chain, awaited, When(tenth=7, confidence=50), author=ADA, now=written.tick())
    written.write_run(question, "treatment", 0, 1.2)
    [standing] = written.skill()
    assert standing.skill.n == 1
