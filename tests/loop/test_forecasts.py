"""Forecasts from the seal to the score: references that learn, evidence that is read, noise that is known or not."""

from datetime import timedelta

import pytest
from tests.loop.stage import ADA, BOB

from palate.errors import ChainBrokenError, OutcomeSeenError, RefusedError
from palate.forecast.answer import Spread, parse_forecast
from palate.loop import ledger
from palate.loop.forecaster import Evidence
from palate.loop.forecasting import skill_now, void_question
from palate.loop.judge import judge_now
from palate.loop.opening import treatment_is_touched
from palate.loop.references import case_words, reference_for, reference_seen
from palate.loop.resolve import score_sealed
from palate.loop.run import forecast_question
from palate.loop.seen import evidence_of
from palate.loop.story import read_story
from palate.loop.verify import walk
from palate.store.catalog import Catalog
from palate.store.chain import Record
from palate.store.journal import Journal


def settle(stage, lr, end, said="same:50"):
    question = stage.ask(stage.question(lr=lr))
    stage.say(question, said)
    stage.cook_pairs(question, 1.0, end)
    return judge_now(stage.project, question.experiment, "ada")


def test_the_reference_learns_from_what_was_settled_and_is_sealed_with_the_question(stage):
    for lr in (0.2, 0.3, 0.4):
        assert settle(stage, lr, 1.4).cooked.verdict.kind == "worse"
    question = stage.ask(stage.question(lr=0.5))
    story = read_story(stage.chain, question.experiment)
    assert story.reference.chances.worse > 0.6
    assert story.reference.outcomes == 3
    assert len(story.reference.nearest) == 3
    assert story.reference.unit > 1  # these effects are larger than usual
    assert "lr 0.1 -> " in case_words(stage.chain, story.reference.nearest)[0]
    settle(stage, 0.01, 0.6)
    assert reference_for(stage.chain, question).outcomes == 4  # and a forecast is held against that of its own moment
    (sealed,) = forecast_question(stage.project, question, parse_forecast("worse:80"), author=ADA)
    assert sealed.reference.outcomes == 4
    assert read_story(stage.chain, question.experiment).reference.outcomes == 3


def test_what_was_voided_teaches_nothing(stage):
    report = settle(stage, 0.2, 1.4)
    void_question(stage.project, report.question.experiment, "bad data", author=ADA)
    assert read_story(stage.chain, report.question.experiment).void["seen"]
    assert reference_for(stage.chain, stage.question(lr=0.3)).outcomes == 0


def test_evidence_is_read_from_the_journals(stage):
    question = stage.question()
    assert not treatment_is_touched(stage.project, question)
    with Catalog.open(stage.project) as catalog:
        assert evidence_of(stage.project, catalog, question) == Evidence()
        stage.cook(question, "baseline", 0, 1.0)
        run = stage.cook(question, "treatment", 0, 1.2, points=15, ended=False)
        assert treatment_is_touched(stage.project, question)
        found = evidence_of(stage.project, catalog, question)
        assert (found.points, found.samples, found.ended, found.kind) == (15, 0, 0, "25 %")
        assert found.share == pytest.approx(14 / 59)
        log = Journal.open(stage.project.journal(run))
        log.event("sample", name="grid", file="x.png")
        log.close()
        assert evidence_of(stage.project, catalog, question).samples == 1
        stage.cook(question, "treatment", 1, 1.2)
        assert evidence_of(stage.project, catalog, question).ended == 1


def test_the_reference_of_a_curve_that_is_part_seen_looks_at_it(stage):
    question = stage.ask(stage.question())
    for seed in range(8):
        stage.cook(question, "baseline", seed, 1.0 + 0.004 * seed)
    stage.cook(question, "treatment", 0, 1.4, points=30, ended=False)
    with Catalog.open(stage.project) as catalog:
        catalog.refresh()
        evidence = evidence_of(stage.project, catalog, question)
        told = reference_seen(stage.chain, catalog, question, evidence)
    assert told.chances.worse > 0.6 > read_story(stage.chain, question.experiment).reference.chances.worse
    assert sum(told.weights.values()) == pytest.approx(1)
    forecast_question(stage.project, question, parse_forecast("worse:90"), author=ADA)
    sealed = read_story(stage.chain, question.experiment).of("ada")
    assert sealed.evidence.kind == "50 %"
    assert sealed.reference.chances.worse == pytest.approx(told.chances.worse)


def test_early_gaps_of_past_questions_are_features(stage):
    for lr in (0.2, 0.3, 0.4):
        settle(stage, lr, 1.4)
    question = stage.ask(stage.question(lr=0.5))
    stage.cook(question, "treatment", 0, 1.4, points=30, ended=False)
    with Catalog.open(stage.project) as catalog:
        catalog.refresh()
        evidence = evidence_of(stage.project, catalog, question)
        told = reference_seen(stage.chain, catalog, question, evidence)
    assert told.members["like changes"].worse > 0.5
    assert told.chances.worse > 0.8


def test_after_the_outcome_nobody_forecasts_and_nobody_revises(stage):
    question = stage.ask(stage.question())
    stage.say(question, "worse:80")
    stage.cook(question, "treatment", 0, 1.4)
    for act in (
        lambda: forecast_question(stage.project, question, parse_forecast("worse:90"), author=BOB),
        lambda: ledger.seal_revision(
            stage.chain, question, parse_forecast("worse:90"), author=ADA, evidence=Evidence(points=9, ended=1),
            nonce="", now=stage.tick(),
        ),
    ):  # fmt: skip
        with pytest.raises(OutcomeSeenError, match="have ended"):
            act()


def test_a_forecast_of_a_voided_question_is_refused(stage):
    question = stage.ask(stage.question())
    void_question(stage.project, question.experiment, "typo", author=ADA)
    assert not read_story(stage.chain, question.experiment).void["seen"]
    with pytest.raises(RefusedError, match="void: typo"):
        stage.say(question, "worse:80")


def test_scores_are_sealed_once_with_their_bounds_and_what_they_rest_on(stage):
    report = settle(stage, 0.3, 1.4, "worse:80")
    [body] = [record.body for record in stage.chain.records("score")]
    assert body["least"] <= body["bits"] <= body["most"]
    assert (body["settled"], body["kind"], body["turn"], body["provisional"]) == ("worse", "blind", "forecast", False)
    judge_now(stage.project, report.question.experiment, "bob")
    assert len(stage.chain.records("score")) == 1


def test_a_score_is_provisional_while_runs_go_and_where_one_pair_is_all_there_is(stage):
    question = stage.ask(stage.question())
    stage.say(question, "worse:80")
    stage.cook_pairs(question, 1.0, 1.4, pairs=1)
    report = judge_now(stage.project, question.experiment, "ada")
    assert "provisionally " in str(report)
    assert not stage.chain.records("score")
    story = read_story(stage.chain, question.experiment)
    found = score_sealed(story.of("ada"), story, report.cooked)
    assert found.provisional
    assert found.bits > 0


def test_quantiles_are_scored_in_the_metrics_own_sign(stage):
    question = stage.ask(stage.question())
    stage.say(question, "0.2/0.4/0.6")
    stage.say(question, "-0.6/-0.4/-0.2", BOB)
    stage.cook_pairs(question, 1.0, 1.4)
    report = judge_now(stage.project, question.experiment, "ada")
    bits = {one.author.name: report.scores[one.hash].bits for one in report.story.forecasts}
    assert bits["ada"] > 0 > bits["bob"]
    assert report.scores[report.sealed.hash].chances.worse > 0.8  # a higher loss is worse
    assert isinstance(report.sealed.said, Spread)


def test_a_change_that_does_nothing_is_scored_as_the_same(stage):
    question = stage.ask(stage.question())
    stage.say(question, "same:90")
    for seed in range(3):
        for arm in ("baseline", "treatment"):
            stage.cook(question, arm, seed, 1.0)
    report = judge_now(stage.project, question.experiment, "ada")
    assert report.cooked.verdict.kind == "nothing"
    assert report.score.bits > 1


def test_standings_know_coverage_skips_and_kinds(stage):
    settle(stage, 0.3, 1.4, "worse:80")
    question = stage.ask(stage.question(lr=0.4))
    ledger.seal_skip(stage.chain, question, author=ADA, now=stage.tick())
    ledger.seal_skip(stage.chain, question, author=ADA, now=stage.tick())
    assert len(stage.chain.records("skip")) == 1
    [standing] = skill_now(stage.project)
    assert standing.coverage == 1.0  # what was never run is in nobody's coverage
    stage.cook_pairs(question, 1.0, 1.4)
    judge_now(stage.project, question.experiment, "ada")
    [standing] = skill_now(stage.project)
    assert (standing.author, standing.kind, standing.coverage) == ("ada", "blind", 0.5)


def test_a_blind_forecast_that_is_younger_than_its_run_is_found_by_the_runs_clock(stage):
    question = stage.ask(stage.question())
    stage.cook(question, "treatment", 0, 1.4, points=10, ended=False)
    walk(stage.project)
    stage.now += timedelta(hours=2)
    stage.say(question, "worse:97")  # says that it saw nothing
    with pytest.raises(ChainBrokenError, match="says that nothing was seen"):
        walk(stage.project)


def test_a_hash_does_not_give_the_answer_away(stage):
    """Two forecasts that differ only in their nonce have different hashes: nobody can try all answers."""
    question = stage.ask(stage.question())
    sealed = stage.say(question, "worse:80")
    record: Record = stage.chain.records("forecast")[0]
    assert record.hash == sealed.hash
    assert len(record.body["nonce"]) == 32
    assert stage.say(stage.ask(stage.question(lr=0.9)), "worse:80").hash != sealed.hash
