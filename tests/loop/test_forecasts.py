"""Forecasts from the seal to the score: references that learn, evidence that is read, noise that is known or not."""

import math
from datetime import timedelta

import pytest
from tests.loop.written_project import ADA, BOB

from palate.errors import ChainBrokenError, OutcomeSeenError, RefusedError
from palate.forecast.answer import Spread, parse_forecast
from palate.ledger import seal
from palate.ledger.records import Evidence
from palate.ledger.verify import verify
from palate.loop.ask import treatment_is_touched
from palate.loop.evidence import evidence_of
from palate.loop.reference import OwnScore, case_words, own_score, reference_for, reference_seen
from palate.loop.score import score_forecast
from palate.store.catalog import Catalog
from palate.store.chain import Record
from palate.store.journal import Journal


def settle(written, lr, end, said="same:50"):
    question = written.ask(written.question(lr=lr))
    written.say(question, said)
    written.write_pairs(question, 1.0, end)
    return written.report(question)


def test_the_reference_learns_from_what_was_settled_and_is_sealed_with_the_question(written):
    for lr in (0.2, 0.3, 0.4):
        assert settle(written, lr, 1.4).judgement.verdict.kind == "worse"
    question = written.ask(written.question(lr=0.5))
    experiment = written.ledger.read(question.experiment)
    assert experiment.reference.chances.worse > 0.6
    assert experiment.reference.outcomes == 3
    assert len(experiment.reference.nearest) == 3
    assert experiment.reference.unit > 1  # these effects are larger than usual
    assert "lr 0.1 -> " in case_words(written.ledger, experiment.reference.nearest)[0]
    settle(written, 0.01, 0.6)
    assert reference_for(written.ledger, question).outcomes == 4
    (sealed,) = written.forecast(question, "worse:80")
    assert sealed.reference.outcomes == 4  # a forecast is scored against the reference of its own moment
    assert written.ledger.read(question.experiment).reference.outcomes == 3


def test_what_was_voided_teaches_nothing(written):
    report = settle(written, 0.2, 1.4)
    written.void(report.question, "bad data")
    assert written.ledger.read(report.question.experiment).void.seen
    assert reference_for(written.ledger, written.question(lr=0.3)).outcomes == 0


def test_evidence_is_read_from_the_journals(written):
    question = written.question()
    assert not treatment_is_touched(written.project, question)
    with Catalog.open(written.project) as catalog:
        assert evidence_of(catalog, question) == Evidence()
        written.write_run(question, "baseline", 0, 1.0)
        run = written.write_run(question, "treatment", 0, 1.2, points=15, ended=False)
        assert treatment_is_touched(written.project, question)
        seen = evidence_of(catalog, question)
        assert (seen.points, seen.samples, seen.ended, seen.kind) == (15, 0, 0, "25 %")
        assert seen.share == pytest.approx(14 / 59)
        log = Journal.open(written.project.journal(run))
        log.event("sample", name="grid", file="x.png")
        log.close()
        assert evidence_of(catalog, question).samples == 1
        written.write_run(question, "treatment", 1, 1.2)
        assert evidence_of(catalog, question).ended == 1


def test_the_reference_of_a_curve_that_is_part_seen_looks_at_it(written):
    question = written.ask(written.question())
    for seed in range(8):
        written.write_run(question, "baseline", seed, 1.0 + 0.004 * seed)
    written.write_run(question, "treatment", 0, 1.4, points=30, ended=False)
    with Catalog.open(written.project) as catalog:
        catalog.refresh()
        evidence = evidence_of(catalog, question)
        reference = reference_seen(written.ledger, catalog, question, evidence)
    assert reference.chances.worse > 0.6 > written.ledger.read(question.experiment).reference.chances.worse
    assert sum(reference.weights.values()) == pytest.approx(1)
    written.forecast(question, "worse:90")
    sealed = written.ledger.read(question.experiment).of("ada")
    assert sealed.evidence.kind == "50 %"
    assert sealed.reference.chances.worse == pytest.approx(reference.chances.worse)


def test_early_gaps_of_past_questions_are_features(written):
    for lr in (0.2, 0.3, 0.4):
        settle(written, lr, 1.4)
    question = written.ask(written.question(lr=0.5))
    written.write_run(question, "treatment", 0, 1.4, points=30, ended=False)
    with Catalog.open(written.project) as catalog:
        catalog.refresh()
        evidence = evidence_of(catalog, question)
        reference = reference_seen(written.ledger, catalog, question, evidence)
    assert reference.members["like changes"].worse > 0.5
    assert reference.chances.worse > 0.8


def test_after_the_outcome_nobody_forecasts_and_nobody_revises(written):
    question = written.ask(written.question())
    written.say(question, "worse:80")
    written.write_run(question, "treatment", 0, 1.4)
    for act in (
        lambda: written.forecast(question, "worse:90", BOB),
        lambda: seal.seal_revision(
            written.chain, question, parse_forecast("worse:90"), author=ADA, evidence=Evidence(points=9, ended=1),
            nonce="", now=written.tick(),
        ),
    ):  # fmt: skip
        with pytest.raises(OutcomeSeenError, match="have ended"):
            act()


def test_a_forecast_of_a_voided_question_is_refused(written):
    question = written.ask(written.question())
    written.void(question, "typo")
    assert not written.ledger.read(question.experiment).void.seen
    with pytest.raises(RefusedError, match="void: typo"):
        written.say(question, "worse:80")


def test_scores_are_sealed_once_with_their_bounds_and_what_they_rest_on(written):
    report = settle(written, 0.3, 1.4, "worse:80")
    [body] = [record.body for record in written.chain.records("score")]
    assert body["least"] <= body["bits"] <= body["most"]
    assert (body["settled"], body["kind"], body["turn"], body["provisional"]) == ("worse", "blind", "forecast", False)
    written.report(report.question, "bob")
    assert len(written.chain.records("score")) == 1


def test_a_score_is_provisional_while_runs_go_and_where_one_pair_is_all_there_is(written):
    question = written.ask(written.question())
    written.say(question, "worse:80")
    written.write_pairs(question, 1.0, 1.4, pairs=1)
    report = written.report(question)
    assert "provisionally " in str(report)
    assert not written.chain.records("score")
    experiment = written.ledger.read(question.experiment)
    scored = score_forecast(experiment.of("ada"), question, report.judgement).score
    assert scored.provisional
    assert scored.bits > 0


def test_quantiles_are_scored_in_the_metrics_own_sign(written):
    question = written.ask(written.question())
    written.say(question, "0.2/0.4/0.6")
    written.say(question, "-0.6/-0.4/-0.2", BOB)
    written.write_pairs(question, 1.0, 1.4)
    report = written.report(question)
    bits = {one.author.name: report.scores[one.hash].bits for one in report.experiment.forecasts}
    assert bits["ada"] > 0 > bits["bob"]
    assert report.scores[report.sealed.hash].chances.worse > 0.8  # a higher loss is worse
    assert isinstance(report.sealed.said, Spread)


def test_a_change_that_does_nothing_is_scored_as_the_same(written):
    question = written.ask(written.question())
    written.say(question, "same:90")
    for seed in range(3):
        for arm in ("baseline", "treatment"):
            written.write_run(question, arm, seed, 1.0)
    report = written.report(question)
    assert report.judgement.verdict.kind == "nothing"
    assert report.score.bits > 1


def test_standings_know_coverage_skips_and_kinds(written):
    settle(written, 0.3, 1.4, "worse:80")
    question = written.ask(written.question(lr=0.4))
    seal.seal_skip(written.chain, question.experiment, author=ADA, now=written.tick())
    seal.seal_skip(written.chain, question.experiment, author=ADA, now=written.tick())
    assert len(written.chain.records("skip")) == 1
    [standing] = written.skill()
    assert standing.coverage == 1.0  # what was never run is in nobody's coverage
    written.write_pairs(question, 1.0, 1.4)
    written.report(question)
    [standing] = written.skill()
    assert (standing.author, standing.kind, standing.coverage) == ("ada", "blind", 0.5)


def test_a_blind_forecast_that_is_younger_than_its_run_is_found_by_the_runs_clock(written):
    question = written.ask(written.question())
    written.write_run(question, "treatment", 0, 1.4, points=10, ended=False)
    verify(written.project)
    written.now += timedelta(hours=2)
    written.say(question, "worse:97")  # says that it saw nothing
    with pytest.raises(ChainBrokenError, match="says that nothing was seen"):
        verify(written.project)


def test_a_hash_does_not_give_the_answer_away(written):
    """Two forecasts that differ only in their nonce have different hashes: nobody can try all answers."""
    question = written.ask(written.question())
    sealed = written.say(question, "worse:80")
    record: Record = written.chain.records("forecast")[0]
    assert record.hash == sealed.hash
    assert len(record.body["nonce"]) == 32
    assert written.say(written.ask(written.question(lr=0.9)), "worse:80").hash != sealed.hash


def test_the_reference_is_scored_itself_as_it_was_sealed_against_a_guess(written):
    assert own_score(written.ledger) is None
    for lr in (0.2, 0.3, 0.4):
        settle(written, lr, 1.4)
    scored = own_score(written.ledger)
    sealed = [one.reference.chances for one in written.ledger.experiments()]
    assert scored.questions == 3
    assert scored.bits == pytest.approx(
        sum(math.log2(3 * chances.worse / (1 - chances.crash)) for chances in sealed) / 3
    )
    assert scored.bits > 0
    assert f"{scored.bits:+.2f} bits over a guess of 1/3 on 3 questions" in scored.words
    assert "a guess does as well" in OwnScore(-0.02, 1).words
