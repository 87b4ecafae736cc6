"""Ways to fool oneself or others, each of which must not pay."""

import fcntl
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.loop.written_project import ADA, BOB, WrittenProject

from palate.errors import ChainBrokenError, InputError, OutcomeSeenError, RefusedError
from palate.forecast.answer import Forecast, parse_forecast
from palate.forecast.when import Event, When
from palate.ledger import seal as ledger
from palate.ledger.ledger import read_story
from palate.ledger.records import Author, Evidence
from palate.ledger.verify import walk
from palate.loop.exchange import export_story, read_export, take_in
from palate.loop.reference import case_words
from palate.loop.run import forecast_question, judge_now
from palate.loop.score import skill_now
from palate.loop.when import await_event, resolve_when, seal_when
from palate.store.catalog import Catalog
from palate.store.chain import Chain
from palate.store.journal import Journal
from palate.training.outcome import begin_run, stop_run

ALL_AT_ONCE = """
import sys, time
from datetime import UTC, datetime
from pathlib import Path
sys.path.insert(0, {root!r})
from tests.loop.written_project import WrittenProject, ADA
from palate.errors import PalateError
from palate.loop import ledger
from palate.loop.judge import judge_now
written = WrittenProject(Path({folder!r}), fresh=False)
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
    at_once(written, "ledger.seal_skip(written.chain, question, author=ADA, now=datetime.now(UTC))")
    assert not written.chain.records("skip")  # ada has a forecast
    written.write_pairs(written.question(), 1.0, 1.4)
    at_once(written, "judge_now(written.project, question.experiment, 'ada')")
    assert (len(written.chain.records("verdict")), len(written.chain.records("score"))) == (1, 1)


def test_a_question_that_was_sealed_twice_is_still_read(written):
    question = written.ask(written.question())
    written.chain.append("question", written.chain.records("question")[0].body, now=written.tick())
    assert read_story(written.chain, question.experiment).question == question


def test_questions_that_share_all_their_runs_make_one_bet(written):
    """Whoever asks one change with fourteen margins has made one forecast, not fourteen."""
    for k in range(6):
        question = written.ask(written.question(margin=0.05 + k / 10_000))
        written.say(question, "worse:80")
    written.write_pairs(question, 1.0, 1.4)
    for record in written.chain.records("question"):
        judge_now(written.project, record.body["experiment"], "ada")
    assert len(written.chain.records("score")) == 6
    [standing] = skill_now(written.project)
    assert standing.skill.n == 1
    assert standing.forecast == 6


def test_leaving_off_where_it_starts_badly_does_not_pay(written):
    good, bad = written.ask(written.question(lr=0.3)), written.ask(written.question(lr=0.4))
    for question in (good, bad):
        written.say(question, "better:80")
    written.write_pairs(good, 1.0, 0.6)
    judge_now(written.project, good.experiment, "ada")
    written.write_pairs(bad, 1.0, 1.4, pairs=2)  # and no more: the question stays open
    [standing] = skill_now(written.project)
    assert (standing.skill.n, standing.open) == (2, 1)
    assert standing.skill.mean < 0
    assert len(written.chain.records("score")) == 1  # nothing is sealed by looking


def fail(written, question, arm, seed):
    key = question.run_key(arm)
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
    report = judge_now(written.project, question.experiment, "ada")
    assert (report.cooked.verdict.kind, report.cooked.verdict.reason) == ("unclear", "budget")
    assert written.chain.records("verdict")
    assert written.chain.records("score")


def test_a_baseline_that_fails_says_nothing_of_the_change(written):
    question = written.ask(written.question())
    written.say(question, "crash:80")
    for seed in range(4):
        fail(written, question, "baseline", seed)
        written.write_run(question, "treatment", seed, 1.0)
    report = judge_now(written.project, question.experiment, "ada")
    assert report.cooked.verdict.kind == "failed"
    assert report.score is None
    assert "the baseline itself failed" in str(report)
    other = written.ask(written.question(lr=0.9))
    assert read_story(written.chain, other.experiment).reference.outcomes == 0


def test_the_same_change_asked_again_with_other_data_is_not_blind(written):
    question = written.ask(written.question())
    written.write_pairs(question, 1.0, 1.4)
    judge_now(written.project, question.experiment, "ada")
    again = written.ask(replace(question, data="one file more"))
    [sealed] = forecast_question(written.project, again, parse_forecast("worse:97"), author=ADA)
    assert sealed.evidence.kind == "asked before"
    assert [standing.kind for standing in skill_now(written.project)] == ["asked before"]


def test_a_run_that_ends_while_a_person_thinks_of_a_revision_is_seen(written):
    question = written.ask(written.question())

    def think(_, __):
        written.write_run(question, "treatment", 0, 1.4)
        return Forecast(answer="worse", confidence=97)

    with pytest.raises(OutcomeSeenError):
        forecast_question(written.project, question, parse_forecast("better:60"), author=ADA, revise=think)
    assert not written.chain.records("revision")


def test_a_revision_that_says_that_it_saw_nothing_is_held_against_the_runs_clock(written):
    question = written.ask(written.question())
    written.say(question, "better:60")
    written.write_run(question, "treatment", 0, 1.4, points=9, ended=False)
    later = written.now + timedelta(hours=3)
    ledger.seal_revision(
        written.chain, question, parse_forecast("worse:97"), author=ADA, evidence=Evidence(), nonce="", now=later
    )
    with pytest.raises(ChainBrokenError, match="says that nothing was seen"):
        walk(written.project)


@pytest.fixture
def mates(tmp_path):
    """Two projects of the same training in folders of their own; one question is asked in the first."""
    ada, bob = WrittenProject(tmp_path / "a"), WrittenProject(tmp_path / "b")
    return ada, bob, ada.ask(ada.question())


def exported(written, name, author, blind=False):
    story = read_story(written.chain, name)
    return json.loads(json.dumps(export_story(written.chain, story, author, blind=blind)))


def test_of_several_promises_of_one_person_only_the_first_is_taken(mates):
    ada, bob, question = mates
    take_in(bob.project, exported(ada, question.experiment, ADA), now=bob.tick())
    bob.say(question, "worse:90", BOB)
    first = exported(bob, question.experiment, BOB, blind=True)
    take_in(ada.project, first, now=ada.tick())
    again = WrittenProject(bob.folder.parent / "c")
    take_in(again.project, exported(ada, question.experiment, ADA), now=again.tick())
    again.say(question, "better:90", BOB)
    with pytest.raises(RefusedError, match="promised one"):
        take_in(ada.project, exported(again, question.experiment, BOB, blind=True), now=ada.tick())
    with pytest.raises(RefusedError, match="promised one"):
        take_in(ada.project, exported(again, question.experiment, BOB), now=ada.tick())
    ada.write_pairs(question, 1.0, 0.6)
    judge_now(ada.project, question.experiment, "ada")
    assert read_story(ada.chain, question.experiment).promised("forecast") == {"bob"}


def test_a_promise_that_is_not_opened_is_counted(mates):
    ada, bob, question = mates
    take_in(bob.project, exported(ada, question.experiment, ADA), now=bob.tick())
    bob.say(question, "better:90", BOB)
    take_in(ada.project, exported(bob, question.experiment, BOB, blind=True), now=ada.tick())
    other = ada.ask(ada.question(lr=0.9))
    ada.say(other, "worse:60", BOB)
    ada.write_pairs(question, 1.0, 1.4)
    judge_now(ada.project, question.experiment, "ada")
    [standing] = skill_now(ada.project)
    assert standing.unopened == 1


def test_a_question_from_elsewhere_is_written_anew_with_the_reference_of_this_project(mates):
    ada, bob, question = mates
    document = exported(ada, question.experiment, ADA)
    assert "reference" not in document["question"]  # whoever reads the file has not answered yet
    document["question"]["text"] = "nonsense?"
    chances = {"worse": 0.01, "same": 0.01, "better": 0.97, "crash": 0.01}
    document["question"]["reference"] = {"chances": chances}
    take_in(bob.project, document, now=bob.tick())
    [body] = [record.body for record in bob.chain.records("question")]
    assert body["text"] == question.text
    assert body["reference"]["chances"]["worse"] == pytest.approx(0.31)


def test_what_is_no_forecast_is_not_taken_in(mates, tmp_path):
    ada, bob, question = mates
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
            take_in(bob.project, read_export(path), now=bob.tick())
        assert not bob.chain.records()


def test_cases_of_another_project_are_not_shown_and_harm_nobody(mates):
    ada, bob, question = mates
    assert case_words(bob.chain, ("not here",)) == []
    ada.write_pairs(question, 1.0, 1.4)
    judge_now(ada.project, question.experiment, "ada")
    second = ada.ask(ada.question(lr=0.35))
    take_in(bob.project, exported(ada, second.experiment, ADA), now=bob.tick())
    [sealed] = forecast_question(bob.project, second, parse_forecast("worse:80"), author=BOB)
    assert sealed.reference.outcomes == 0


BEST = Event(metric="val_loss", goal="min")


def wait_for(written, subject, event=BEST, steps=None):
    with Catalog.open(written.project) as catalog:
        catalog.refresh()
        return await_event(written.project, catalog, subject, event, steps)


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
    key = question.run_key("treatment")
    begun = written.project.journal(f"{question.target.name}-{key[:6]}-s0-dead")
    begin_run(begun, key=key, label="train", seed=0, settings={})
    log = Journal.open(begun)
    log.event("ending", exit="crashed", status=1, elapsed_s=0.1, detail="")
    log.close()
    with Catalog.open(written.project) as catalog:
        catalog.refresh()
        assert resolve_when(written.project, catalog, now=written.tick()) == 0


def test_when_forecasts_of_one_run_and_metric_make_one_bet(written):
    question = written.ask(written.question())
    written.write_run(question, "baseline", 0, 1.0)
    for k in range(5):
        event = Event(metric="val_loss", goal="min", reach=1.3 + k / 1000)
        awaited = wait_for(written, question.experiment, event)
        seal_when(written.chain, awaited, When(tenth=7, confidence=50), author=ADA, now=written.tick())
    written.write_run(question, "treatment", 0, 1.2)
    [standing] = skill_now(written.project)
    assert standing.skill.n == 1


def test_a_forecaster_needs_a_name_that_can_be_told_apart():
    for name in ("", " ada", "a\nb", "mean of all", "x" * 200):
        with pytest.raises(InputError, match="name of a forecaster"):
            Author(name=name)


def test_a_reader_that_comes_while_half_a_line_stands_there_waits_for_the_other_half(tmp_path):
    """With large records a reader used to see half a line."""
    path = tmp_path / "chain.jsonl"
    for _ in range(2):
        Chain(path).append("x", {"t": "y"}, now=datetime.now(UTC))
    whole = path.read_bytes()
    with path.open("r+b", buffering=0) as writer, ThreadPoolExecutor(1) as beside:
        fcntl.flock(writer, fcntl.LOCK_EX)
        writer.truncate(len(whole) - 20)
        reading = beside.submit(Chain(path).records)
        with pytest.raises(TimeoutError):
            reading.result(0.2)
        writer.seek(0, os.SEEK_END)
        writer.write(whole[-20:])
        fcntl.flock(writer, fcntl.LOCK_UN)
        assert len(reading.result(10)) == 2


@pytest.mark.slow
def test_a_line_that_is_being_written_by_another_process_is_not_a_broken_one(tmp_path):
    path = tmp_path / "chain.jsonl"
    code = (
        "import sys; from datetime import UTC, datetime; from pathlib import Path\n"
        "from palate.store.chain import Chain\n"
        "for i in range(60): Chain(Path(sys.argv[1])).append('x', {'t': 'y' * 40000}, now=datetime.now(UTC))"
    )
    writer = subprocess.Popen([sys.executable, "-c", code, str(path)])
    while writer.poll() is None:
        Chain(path).records()
    assert writer.returncode == 0
    assert len(Chain(path).records()) == 60
