"""Ways to fool oneself or others, each of which must not pay."""

import json
import subprocess
import sys
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from tests.loop.stage import ADA, BOB, Stage

from palate.errors import ChainBrokenError, InputError, OutcomeSeenError, RefusedError
from palate.forecast.answer import Forecast, parse_forecast
from palate.forecast.when import Event, When
from palate.loop import ledger
from palate.loop.entries import read_export
from palate.loop.forecaster import Author, Evidence
from palate.loop.forecasting import skill_now
from palate.loop.judge import judge_now
from palate.loop.references import case_words
from palate.loop.run import forecast_question
from palate.loop.share import export_story, take_in
from palate.loop.story import read_story
from palate.loop.verify import walk
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
from tests.loop.stage import Stage, ADA
from palate.errors import PalateError
from palate.loop import ledger
from palate.loop.judge import judge_now
stage = Stage(Path({folder!r}), fresh=False)
question = stage.question()
while time.time() < {start}:
    pass
try:
    {act}
except PalateError:
    pass
"""


def at_once(stage, act, processes=6):
    """Let several processes do the same at the same moment."""
    code = ALL_AT_ONCE.format(
        root=str(Path(__file__).parents[2]), folder=str(stage.folder), start=time.time() + 4, act=act
    )
    started = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(processes)]
    assert [one.wait(60) for one in started] == [0] * processes


@pytest.mark.slow
def test_what_several_processes_seal_at_once_is_sealed_once(stage):
    at_once(stage, "stage.ask(question)")
    assert len(stage.chain.records("question")) == 1
    at_once(stage, "stage.say(question, 'worse:80')")
    assert len(stage.chain.records("forecast")) == 1
    at_once(stage, "ledger.seal_skip(stage.chain, question, author=ADA, now=datetime.now(UTC))")
    assert not stage.chain.records("skip")  # ada has a forecast
    stage.cook_pairs(stage.question(), 1.0, 1.4)
    at_once(stage, "judge_now(stage.project, question.experiment, 'ada')")
    assert (len(stage.chain.records("verdict")), len(stage.chain.records("score"))) == (1, 1)


def test_a_question_that_was_sealed_twice_is_still_read(stage):
    question = stage.ask(stage.question())
    stage.chain.append("question", stage.chain.records("question")[0].body, now=stage.tick())
    assert read_story(stage.chain, question.experiment).question == question


def test_questions_that_share_all_their_runs_make_one_bet(stage):
    """Whoever asks one change with fourteen margins has made one forecast, not fourteen."""
    for k in range(6):
        question = stage.ask(stage.question(margin=0.05 + k / 10_000))
        stage.say(question, "worse:80")
    stage.cook_pairs(question, 1.0, 1.4)
    for record in stage.chain.records("question"):
        judge_now(stage.project, record.body["experiment"], "ada")
    assert len(stage.chain.records("score")) == 6
    [standing] = skill_now(stage.project)
    assert standing.skill.n == 1
    assert standing.forecast == 6


def test_leaving_off_where_it_starts_badly_does_not_pay(stage):
    good, bad = stage.ask(stage.question(lr=0.3)), stage.ask(stage.question(lr=0.4))
    for question in (good, bad):
        stage.say(question, "better:80")
    stage.cook_pairs(good, 1.0, 0.6)
    judge_now(stage.project, good.experiment, "ada")
    stage.cook_pairs(bad, 1.0, 1.4, pairs=2)  # and no more: the question stays open
    [standing] = skill_now(stage.project)
    assert (standing.skill.n, standing.open) == (2, 1)
    assert standing.skill.mean < 0
    assert len(stage.chain.records("score")) == 1  # nothing is sealed by looking


def fail(stage, question, arm, seed):
    key = question.run_key(arm)
    journal = stage.project.journal(f"{question.target.name}-{key[:6]}-s{seed}")
    begin_run(journal, key=key, label=question.target.label, seed=seed, settings={})
    log = Journal.open(journal)
    log.log(0, {"val_loss": 1.0})
    log.event("ending", exit="crashed", status=1, elapsed_s=1.0, detail="out of luck")
    log.close()


def test_a_failed_seed_does_not_keep_a_question_open_for_ever(stage):
    question = stage.ask(stage.question())
    stage.say(question, "worse:60")
    for seed in range(3):
        stage.cook(question, "baseline", seed, 1.0 + 0.02 * seed)
        stage.cook(question, "treatment", seed, 1.03 - 0.02 * seed)
    stage.cook(question, "baseline", 3, 1.0)
    fail(stage, question, "treatment", 3)
    report = judge_now(stage.project, question.experiment, "ada")
    assert (report.cooked.verdict.kind, report.cooked.verdict.reason) == ("unclear", "budget")
    assert stage.chain.records("verdict")
    assert stage.chain.records("score")


def test_a_baseline_that_fails_says_nothing_of_the_change(stage):
    question = stage.ask(stage.question())
    stage.say(question, "crash:80")
    for seed in range(4):
        fail(stage, question, "baseline", seed)
        stage.cook(question, "treatment", seed, 1.0)
    report = judge_now(stage.project, question.experiment, "ada")
    assert report.cooked.verdict.kind == "failed"
    assert report.score is None
    assert "the baseline itself failed" in str(report)
    other = stage.ask(stage.question(lr=0.9))
    assert read_story(stage.chain, other.experiment).reference.outcomes == 0


def test_the_same_change_asked_again_with_other_data_is_not_blind(stage):
    question = stage.ask(stage.question())
    stage.cook_pairs(question, 1.0, 1.4)
    judge_now(stage.project, question.experiment, "ada")
    again = stage.ask(replace(question, data="one file more"))
    [sealed] = forecast_question(stage.project, again, parse_forecast("worse:97"), author=ADA)
    assert sealed.evidence.kind == "asked before"
    assert [standing.kind for standing in skill_now(stage.project)] == ["asked before"]


def test_a_run_that_ends_while_a_person_thinks_of_a_revision_is_seen(stage):
    question = stage.ask(stage.question())

    def think(_, __):
        stage.cook(question, "treatment", 0, 1.4)
        return Forecast(answer="worse", confidence=97)

    with pytest.raises(OutcomeSeenError):
        forecast_question(stage.project, question, parse_forecast("better:60"), author=ADA, revise=think)
    assert not stage.chain.records("revision")


def test_a_revision_that_says_that_it_saw_nothing_is_held_against_the_runs_clock(stage):
    question = stage.ask(stage.question())
    stage.say(question, "better:60")
    stage.cook(question, "treatment", 0, 1.4, points=9, ended=False)
    later = stage.now + timedelta(hours=3)
    ledger.seal_revision(
        stage.chain, question, parse_forecast("worse:97"), author=ADA, evidence=Evidence(), nonce="", now=later
    )
    with pytest.raises(ChainBrokenError, match="says that nothing was seen"):
        walk(stage.project)


@pytest.fixture
def mates(tmp_path):
    """Two projects of the same training in folders of their own; one question is asked in the first."""
    ada, bob = Stage(tmp_path / "a"), Stage(tmp_path / "b")
    return ada, bob, ada.ask(ada.question())


def exported(stage, name, author, blind=False):
    story = read_story(stage.chain, name)
    return json.loads(json.dumps(export_story(stage.chain, story, author, blind=blind)))


def test_of_several_promises_of_one_person_only_the_first_is_taken(mates):
    ada, bob, question = mates
    take_in(bob.project, exported(ada, question.experiment, ADA), now=bob.tick())
    bob.say(question, "worse:90", BOB)
    first = exported(bob, question.experiment, BOB, blind=True)
    take_in(ada.project, first, now=ada.tick())
    again = Stage(bob.folder.parent / "c")
    take_in(again.project, exported(ada, question.experiment, ADA), now=again.tick())
    again.say(question, "better:90", BOB)
    with pytest.raises(RefusedError, match="promised one"):
        take_in(ada.project, exported(again, question.experiment, BOB, blind=True), now=ada.tick())
    with pytest.raises(RefusedError, match="promised one"):
        take_in(ada.project, exported(again, question.experiment, BOB), now=ada.tick())
    ada.cook_pairs(question, 1.0, 0.6)
    judge_now(ada.project, question.experiment, "ada")
    assert read_story(ada.chain, question.experiment).promised("forecast") == {"bob"}


def test_a_promise_that_is_not_opened_is_counted(mates):
    ada, bob, question = mates
    take_in(bob.project, exported(ada, question.experiment, ADA), now=bob.tick())
    bob.say(question, "better:90", BOB)
    take_in(ada.project, exported(bob, question.experiment, BOB, blind=True), now=ada.tick())
    other = ada.ask(ada.question(lr=0.9))
    ada.say(other, "worse:60", BOB)
    ada.cook_pairs(question, 1.0, 1.4)
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
    ada.cook_pairs(question, 1.0, 1.4)
    judge_now(ada.project, question.experiment, "ada")
    second = ada.ask(ada.question(lr=0.35))
    take_in(bob.project, exported(ada, second.experiment, ADA), now=bob.tick())
    [sealed] = forecast_question(bob.project, second, parse_forecast("worse:80"), author=BOB)
    assert sealed.reference.outcomes == 0


BEST = Event(metric="val_loss", goal="min")


def wait_for(stage, subject, event=BEST, steps=None):
    with Catalog.open(stage.project) as catalog:
        catalog.refresh()
        return await_event(stage.project, catalog, subject, event, steps)


def test_a_length_that_nobody_plans_gains_nothing(stage):
    """A run said to be a thousand times as long has its best in the first tenth, and the reference knows it."""
    question = stage.ask(stage.question())
    for seed in range(4):
        stage.cook(question, "baseline", seed, 1.0)
    assert wait_for(stage, question.experiment, steps=60_000).reference.argmax() == 0


def test_earlier_attempts_at_a_seed_and_other_metrics_are_evidence(stage):
    question = stage.ask(stage.question())
    stage.cook(question, "baseline", 0, 1.0)
    run = stage.cook(question, "treatment", 0, 1.2, points=58, ended=False)
    stop_run(stage.project.journal(run))
    assert wait_for(stage, question.experiment).evidence.kind == "100 %"
    blind_metric = wait_for(stage, question.experiment, Event(metric="val_acc", goal="max"), 59)
    assert blind_metric.evidence.kind == "100 %"


def test_an_attempt_that_crashed_before_does_not_resolve_what_comes(stage):
    question = stage.ask(stage.question())
    awaited = wait_for(stage, question.experiment, Event(metric="val_loss", goal="min", reach=1.21), 59)
    seal_when(stage.chain, awaited, When(tenth=9, confidence=60), author=ADA, now=stage.tick())
    fail(stage, question, "treatment", 7)  # another seed
    key = question.run_key("treatment")
    begun = stage.project.journal(f"{question.target.name}-{key[:6]}-s0-dead")
    begin_run(begun, key=key, label="train", seed=0, settings={})
    log = Journal.open(begun)
    log.event("ending", exit="crashed", status=1, elapsed_s=0.1, detail="")
    log.close()
    with Catalog.open(stage.project) as catalog:
        catalog.refresh()
        assert resolve_when(stage.project, catalog, now=stage.tick()) == 0


def test_when_forecasts_of_one_run_and_metric_make_one_bet(stage):
    question = stage.ask(stage.question())
    stage.cook(question, "baseline", 0, 1.0)
    for k in range(5):
        event = Event(metric="val_loss", goal="min", reach=1.3 + k / 1000)
        awaited = wait_for(stage, question.experiment, event)
        seal_when(stage.chain, awaited, When(tenth=7, confidence=50), author=ADA, now=stage.tick())
    stage.cook(question, "treatment", 0, 1.2)
    [standing] = skill_now(stage.project)
    assert standing.skill.n == 1


def test_a_forecaster_needs_a_name_that_can_be_told_apart():
    for name in ("", " ada", "a\nb", "mean of all", "x" * 200):
        with pytest.raises(InputError, match="name of a forecaster"):
            Author(name=name)


def test_a_line_that_is_being_written_is_not_a_broken_one(tmp_path):
    """Readers wait for writers: with large records a reader used to see half a line."""
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
