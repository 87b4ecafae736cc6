"""Forecasts from the seal to the score: references that learn, evidence that is read, noise that is known or not."""

from datetime import timedelta

import pytest
from tests.loop.written_project import ADA, BOB

from palate.errors import ChainBrokenError, OutcomeSeenError, RefusedError
from palate.forecast.answer import Spread, parse_forecast
from palate.ledger import seal as ledger
from palate.ledger.ledger import read_story
from palate.ledger.records import Evidence
from palate.ledger.verify import walk
from palate.loop.ask import treatment_is_touched
from palate.loop.evidence import evidence_of
from palate.loop.reference import case_words, reference_for, reference_seen
from palate.loop.run import forecast_question, judge_now, void_question
from palate.loop.score import score_sealed, skill_now
from palate.store.catalog import Catalog
from palate.store.chain import Record
from palate.store.journal import Journal


def settle(written, lr, end, said="same:50"):
    question = written.ask(written.question(lr=lr))
    written.say(question, said)
    written.write_pairs(question, 1.0, end)
    return judge_now(written.project, question.experiment, "ada")


def test_the_reference_learns_from_what_was_settled_and_is_sealed_with_the_question(written):
    for lr in (0.2, 0.3, 0.4):
        assert settle(written, lr, 1.4).cooked.verdict.kind == "worse"
    question = written.ask(written.question(lr=0.5))
    story = read_story(written.chain, question.experiment)
    assert story.reference.chances.worse > 0.6
    assert story.reference.outcomes == 3
    assert len(story.reference.nearest) == 3
    assert story.reference.unit > 1  # these effects are larger than usual
    assert "lr 0.1 -> " in case_words(written.chain, story.reference.nearest)[0]
    settle(written, 0.01, 0.6)
    assert reference_for(written.chain, question).outcomes == 4  # and a forecast is held against that of its own moment
    (sealed,) = forecast_question(written.project, question, parse_forecast("worse:80"), author=ADA)
    assert sealed.reference.outcomes == 4
    assert read_story(written.chain, question.experiment).reference.outcomes == 3


def test_what_was_voided_teaches_nothing(written):
    report = settle(written, 0.2, 1.4)
    void_question(written.project, report.question.experiment, "bad data", author=ADA)
    assert read_story(written.chain, report.question.experiment).void["seen"]
    assert reference_for(written.chain, written.question(lr=0.3)).outcomes == 0


def test_evidence_is_read_from_the_journals(written):
    question = written.question()
    assert not treatment_is_touched(written.project, question)
    with Catalog.open(written.project) as catalog:
        assert evidence_of(written.project, catalog, question) == Evidence()
        written.write_run(question, "baseline", 0, 1.0)
        run = written.write_run(question, "treatment", 0, 1.2, points=15, ended=False)
        assert treatment_is_touched(written.project, question)
        found = evidence_of(written.project, catalog, question)
        assert (found.points, found.samples, found.ended, found.kind) == (15, 0, 0, "25 %")
        assert found.share == pytest.approx(14 / 59)
        log = Journal.open(written.project.journal(run))
        log.event("sample", name="grid", file="x.png")
        log.close()
        assert evidence_of(written.project, catalog, question).samples == 1
        written.write_run(question, "treatment", 1, 1.2)
        assert evidence_of(written.project, catalog, question).ended == 1


def test_the_reference_of_a_curve_that_is_part_seen_looks_at_it(written):
    question = written.ask(written.question())
    for seed in range(8):
        written.write_run(question, "baseline", seed, 1.0 + 0.004 * seed)
    written.write_run(question, "treatment", 0, 1.4, points=30, ended=False)
    with Catalog.open(written.project) as catalog:
        catalog.refresh()
        evidence = evidence_of(written.project, catalog, question)
        told = reference_seen(written.chain, catalog, question, evidence)
    assert told.chances.worse > 0.6 > read_story(written.chain, question.experiment).reference.chances.worse
    assert sum(told.weights.values()) == pytest.approx(1)
    forecast_question(written.project, question, parse_forecast("worse:90"), author=ADA)
    sealed = read_story(written.chain, question.experiment).of("ada")
    assert sealed.evidence.kind == "50 %"
    assert sealed.reference.chances.worse == pytest.approx(told.chances.worse)


def test_early_gaps_of_past_questions_are_features(written):
    for lr in (0.2, 0.3, 0.4):
        settle(written, lr, 1.4)
    question = written.ask(written.question(lr=0.5))
    written.write_run(question, "treatment", 0, 1.4, points=30, ended=False)
    with Catalog.open(written.project) as catalog:
        catalog.refresh()
        evidence = evidence_of(written.project, catalog, question)
        told = reference_seen(written.chain, catalog, question, evidence)
    assert told.members["like changes"].worse > 0.5
    assert told.chances.worse > 0.8


def test_after_the_outcome_nobody_forecasts_and_nobody_revises(written):
    question = written.ask(written.question())
    written.say(question, "worse:80")
    written.write_run(question, "treatment", 0, 1.4)
    for act in (
        lambda: forecast_question(written.project, question, parse_forecast("worse:90"), author=BOB),
        lambda: ledger.seal_revision(
            written.chain, question, parse_forecast("worse:90"), author=ADA, evidence=Evidence(points=9, ended=1),
            nonce="", now=written.tick(),
        ),
    ):  # fmt: skip
        with pytest.raises(OutcomeSeenError, match="have ended"):
            act()


def test_a_forecast_of_a_voided_question_is_refused(written):
    question = written.ask(written.question())
    void_question(written.project, question.experiment, "typo", author=ADA)
    assert not read_story(written.chain, question.experiment).void["seen"]
    with pytest.raises(RefusedError, match="void: typo"):
        written.say(question, "worse:80")


def test_scores_are_sealed_once_with_their_bounds_and_what_they_rest_on(written):
    report = settle(written, 0.3, 1.4, "worse:80")
    [body] = [record.body for record in written.chain.records("score")]
    assert body["least"] <= body["bits"] <= body["most"]
    assert (body["settled"], body["kind"], body["turn"], body["provisional"]) == ("worse", "blind", "forecast", False)
    judge_now(written.project, report.question.experiment, "bob")
    assert len(written.chain.records("score")) == 1


def test_a_score_is_provisional_while_runs_go_and_where_one_pair_is_all_there_is(written):
    question = written.ask(written.question())
    written.say(question, "worse:80")
    written.write_pairs(question, 1.0, 1.4, pairs=1)
    report = judge_now(written.project, question.experiment, "ada")
    assert "provisionally " in str(report)
    assert not written.chain.records("score")
    story = read_story(written.chain, question.experiment)
    found = score_sealed(story.of("ada"), story, report.cooked)
    assert found.provisional
    assert found.bits > 0


def test_quantiles_are_scored_in_the_metrics_own_sign(written):
    question = written.ask(written.question())
    written.say(question, "0.2/0.4/0.6")
    written.say(question, "-0.6/-0.4/-0.2", BOB)
    written.write_pairs(question, 1.0, 1.4)
    report = judge_now(written.project, question.experiment, "ada")
    bits = {one.author.name: report.scores[one.hash].bits for one in report.story.forecasts}
    assert bits["ada"] > 0 > bits["bob"]
    assert report.scores[report.sealed.hash].chances.worse > 0.8  # a higher loss is worse
    assert isinstance(report.sealed.said, Spread)


def test_a_change_that_does_nothing_is_scored_as_the_same(written):
    question = written.ask(written.question())
    written.say(question, "same:90")
    for seed in range(3):
        for arm in ("baseline", "treatment"):
            written.write_run(question, arm, seed, 1.0)
    report = judge_now(written.project, question.experiment, "ada")
    assert report.cooked.verdict.kind == "nothing"
    assert report.score.bits > 1


def test_standings_know_coverage_skips_and_kinds(written):
    settle(written, 0.3, 1.4, "worse:80")
    question = written.ask(written.question(lr=0.4))
    ledger.seal_skip(written.chain, question, author=ADA, now=written.tick())
    ledger.seal_skip(written.chain, question, author=ADA, now=written.tick())
    assert len(written.chain.records("skip")) == 1
    [standing] = skill_now(written.project)
    assert standing.coverage == 1.0  # what was never run is in nobody's coverage
    written.write_pairs(question, 1.0, 1.4)
    judge_now(written.project, question.experiment, "ada")
    [standing] = skill_now(written.project)
    assert (standing.author, standing.kind, standing.coverage) == ("ada", "blind", 0.5)


def test_a_blind_forecast_that_is_younger_than_its_run_is_found_by_the_runs_clock(written):
    question = written.ask(written.question())
    written.write_run(question, "treatment", 0, 1.4, points=10, ended=False)
    walk(written.project)
    written.now += timedelta(hours=2)
    written.say(question, "worse:97")  # says that it saw nothing
    with pytest.raises(ChainBrokenError, match="says that nothing was seen"):
        walk(written.project)


def test_a_hash_does_not_give_the_answer_away(written):
    """Two forecasts that differ only in their nonce have different hashes: nobody can try all answers."""
    question = written.ask(written.question())
    sealed = written.say(question, "worse:80")
    record: Record = written.chain.records("forecast")[0]
    assert record.hash == sealed.hash
    assert len(record.body["nonce"]) == 32
    assert written.say(written.ask(written.question(lr=0.9)), "worse:80").hash != sealed.hash
