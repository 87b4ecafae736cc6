"""Forecasts are scored by what the runs gave, each once, and those of open questions by what there is."""

import pytest
from tests.loop.written_project import ADA, BOB

from palate.loop.judge import judge_now
from palate.loop.score import score_forecast, seal_scores
from palate.store.catalog import Catalog


def judged(written, question):
    with Catalog.open(written.project) as catalog:
        return judge_now(written.ledger, catalog, question)


def test_a_score_names_its_forecast_its_class_its_pairs_and_its_runs(written):
    question = written.ask(written.question())
    sealed = written.say(question, "worse:80")
    assert score_forecast(sealed, question, judged(written, question)) is None  # nothing was run
    written.write_pairs(question, 1.0, 1.4)
    judgement = judged(written, question)
    scored = score_forecast(sealed, question, judgement)
    assert (scored.forecast, scored.author, scored.kind, scored.turn) == (sealed.hash, ADA, "blind", "forecast")
    assert (scored.settled, scored.pairs, scored.score.provisional) == ("worse", judgement.verdict.n, False)
    other = written.question(margin=0.06)  # the same runs, another question
    assert score_forecast(sealed, other, judgement).runs == scored.runs
    assert score_forecast(sealed, written.question(lr=0.9), judgement).runs != scored.runs


def test_scores_are_sealed_once_and_none_of_a_void_question(written):
    question = written.ask(written.question())
    for author in (ADA, BOB):
        written.say(question, "worse:80", author)
    written.write_pairs(question, 1.0, 1.4)
    judgement = judged(written, question)
    for _ in range(2):
        seal_scores(written.chain, written.ledger.read(question.experiment), judgement, now=written.tick())
    assert [record.body["author"] for record in written.chain.records("score")] == ["ada", "bob"]
    gone = written.ask(written.question(lr=0.9))
    written.say(gone, "worse:80")
    written.write_pairs(gone, 1.0, 1.4)
    written.void(gone, "wrong data")
    seal_scores(written.chain, written.ledger.read(gone.experiment), judged(written, gone), now=written.tick())
    assert len(written.chain.records("score")) == 2


def test_an_open_question_counts_by_its_pairs_and_seals_nothing(written):
    question = written.ask(written.question(budget=20, margin=0.001))
    written.say(question, "better:80")
    written.write_pairs(question, 1.0, 1.002, pairs=3)
    assert not judged(written, question).done
    [standing] = written.skill()
    assert (standing.open, standing.skill.n, standing.coverage) == (1, 1, 1.0)
    assert not written.chain.records("score")


@pytest.mark.parametrize(("text", "least"), [("same:90", 0.5), ("-0.01/0/0.01", 0.5)])
def test_a_difference_of_nothing_at_all_is_scored_on_the_scale_of_the_seeds(written, text, least):
    question = written.ask(written.question())
    sealed = written.say(question, text)
    for seed in range(3):
        for arm in ("baseline", "treatment"):
            written.write_run(question, arm, seed, 1.0 + seed / 100)
    judgement = judged(written, question)
    assert judgement.verdict.kind == "nothing"
    assert score_forecast(sealed, question, judgement).score.bits > least
