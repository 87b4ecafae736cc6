"""What may be sealed, by whom and when."""

import pytest
from tests.loop.written_project import ADA, BOB

from palate.errors import InputError, OutcomeSeenError, RefusedError
from palate.forecast.answer import parse_forecast
from palate.ledger.records import Evidence
from palate.ledger.seal import refuse_seen, seal_revision, seal_skip, seal_void


def test_a_refusal_says_whether_runs_or_a_verdict_closed_the_question():
    with pytest.raises(OutcomeSeenError, match="runs of the treatment have ended \\(2\\)"):
        refuse_seen("3f9c", 2)
    with pytest.raises(OutcomeSeenError, match="its verdict is sealed"):
        refuse_seen("3f9c", 0, judged=True)
    refuse_seen("3f9c", 0)


def test_a_question_is_sealed_once_and_so_is_each_ones_first_answer(written):
    question = written.ask(written.question())
    written.ask(question)
    written.say(question, "worse:80")
    with pytest.raises(OutcomeSeenError, match="has a sealed forecast of ada already"):
        written.say(question, "better:80")
    written.say(question, "better:80", BOB)
    assert [record.kind for record in written.chain.records()] == ["question", "forecast", "forecast"]


def test_a_first_answer_is_revised_once_and_never_without_one(written):
    question = written.ask(written.question())

    def revise(text, author):
        return seal_revision(
            written.chain, question, parse_forecast(text), author=author, evidence=Evidence(), nonce="",
            now=written.tick(),
        )  # fmt: skip

    with pytest.raises(RefusedError, match="no forecast"):
        revise("worse:80", ADA)
    first = written.say(question, "better:60")
    second = revise("worse:80", ADA)
    assert (second.turn, second.revises, second.reference) == ("revision", first.hash, first.reference)
    with pytest.raises(RefusedError, match="revised the forecast"):
        revise("worse:90", ADA)


def test_who_has_a_forecast_cannot_skip_and_who_skipped_can_forecast(written):
    question = written.ask(written.question())
    assert seal_skip(written.chain, question.experiment, author=ADA, now=written.tick())
    assert written.ledger.read(question.experiment).skipped == ("ada",)
    written.say(question, "worse:80")
    assert written.ledger.read(question.experiment).skipped == ()
    assert not seal_skip(written.chain, question.experiment, author=ADA, now=written.tick())


def test_a_void_wants_a_reason_and_stands_with_its_first_one(written):
    question = written.ask(written.question())

    def void(reason):
        experiment = written.ledger.read(question.experiment)
        seal_void(written.chain, experiment, reason, author=ADA, evidence=Evidence(), now=written.tick())

    with pytest.raises(InputError, match="no reason"):
        void("  ")
    void("wrong  data")
    with pytest.raises(RefusedError, match="void already, by ada: wrong data"):
        void("again")
    sealed = written.ledger.read(question.experiment).void
    assert (sealed.reason, sealed.author, sealed.seen) == ("wrong data", "ada", False)
