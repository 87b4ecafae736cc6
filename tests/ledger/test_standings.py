"""Where forecasters stand, on chains with many scored forecasts, and the words for it."""

from datetime import UTC, datetime

import pytest
from tests.ledger.forecasters import REFERENCE, ledger_of, question_about

from palate.forecast.answer import parse_forecast
from palate.ledger import seal
from palate.ledger.records import TEAM, Author, Evidence
from palate.ledger.standings import standings
from palate.ledger.words import document_of, score_card, words_of

PART = Evidence(points=40, share=0.2)
NOBODY_BEGAN = frozenset()
ADA = Author(name="ada")
LATER = datetime(2026, 3, 1, tzinfo=UTC)


def only(some):
    (one,) = some
    return one


def test_the_skilled_are_ahead_the_lucky_are_not_and_kinds_are_not_mixed(tmp_path):
    ledger = ledger_of(tmp_path, {"ada": (0.9, Evidence()), "bob": (0.25, Evidence()), "eve": (0.95, PART)})
    by_name = {(standing.author, standing.kind): standing for standing in standings(ledger, (), NOBODY_BEGAN)}
    assert by_name[("ada", "blind")].skill.state == "ahead"
    assert by_name[("bob", "blind")].skill.state == "behind"
    assert ("eve", "25 %") in by_name and ("eve", "blind") not in by_name
    words = words_of(by_name[("bob", "blind")])
    assert words[0].startswith("bob: behind, ")
    assert "Too sure by" in words[2]
    assert any("o" in line and "|" in line for line in words[3:])
    assert words_of(by_name[("eve", "25 %")])[0].startswith("eve (up to 25 % of the curve seen): ahead")
    assert by_name[("ada", "blind")].coverage == pytest.approx(60 / 180)
    assert by_name[("ada", "blind")].crps < 1 < by_name[("bob", "blind")].crps
    assert len(document_of(by_name[("ada", "blind")])["bits"]) == 60


def test_the_mean_of_all_stands_at_the_end_and_loses_less_than_the_worst(tmp_path):
    ledger = ledger_of(tmp_path, {"ada": (0.9, Evidence()), "bob": (0.3, Evidence())}, together=True)
    everybody = standings(ledger, (), NOBODY_BEGAN)
    assert [standing.author for standing in everybody][-1] == TEAM
    ada, bob, team = (standing.skill.mean for standing in sorted(everybody, key=lambda one: one.author))
    assert bob < team < ada
    assert len(words_of(everybody[-1])) == 2


def test_losses_are_not_dropped_by_voiding_them(tmp_path):
    honest = ledger_of(tmp_path, {"ada": (0.25, Evidence())}, 40)
    before = only(standings(honest, (), NOBODY_BEGAN)).skill
    lost = [one for one in honest.experiments("score") if any(score.score.bits < 0 for score in one.scores.values())]
    for one in lost:
        seal.seal_void(honest.chain, one, "mislabelled", author=ADA, evidence=Evidence(points=9, ended=1), now=LATER)
    after = only(standings(honest, (), NOBODY_BEGAN))
    assert after.void_seen == len(lost) > 10
    assert after.skill.mean <= before.mean < 0
    assert after.skill.n == 40
    assert after.considered == pytest.approx(after.skill.mean)
    assert "counted at worst" in " ".join(words_of(after))
    assert score_card(honest, "ada").mean_bits == pytest.approx(after.skill.mean)


def test_a_void_before_anything_was_seen_counts_in_no_mean_and_one_by_somebody_else_drops_no_loss(tmp_path):
    ledger = ledger_of(tmp_path, {"ada": (0.5, Evidence())}, 20)
    before = only(standings(ledger, (), NOBODY_BEGAN)).skill
    bits = {one.id: score.score.bits for one in ledger.experiments("score") for score in one.scores.values()}
    for one in ledger.experiments("score"):
        seal.seal_void(ledger.chain, one, "broken", author=Author(name="x"), evidence=Evidence(ended=1), now=LATER)
    after = only(standings(ledger, (), NOBODY_BEGAN)).skill
    losses = [value for value in bits.values() if value < 0]
    assert after.n == len(losses)
    assert after.mean == pytest.approx(sum(losses) / len(losses)) and after.mean < before.mean
    early = ledger_of(tmp_path / "early", {"ada": (0.5, Evidence())}, 1)
    question = question_about("early")
    seal.seal_question(early.chain, question, now=LATER, reference=REFERENCE)
    seal.seal_forecast(
        early.chain, question, parse_forecast("better:80"), author=ADA, evidence=Evidence(), reference=REFERENCE,
        nonce="0" * 32, now=LATER,
    )  # fmt: skip
    seal.seal_void(early.chain, early.read(question.experiment), "typo", author=ADA, evidence=Evidence(), now=LATER)
    standing = only(standings(early, (), NOBODY_BEGAN))
    assert (standing.skill.n, standing.void, standing.void_seen) == (1, 1, 0)
