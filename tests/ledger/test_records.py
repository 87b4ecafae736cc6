"""What is sealed can be read again, each kind of record."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.forecast.forecasts import PLAIN, SIZED, SPREADS
from tests.ledger.forecasters import REFERENCE, question_about, scored
from tests.question.files import FUNCTION, SCRIPT, write

from palate.errors import InputError
from palate.forecast.answer import Forecast
from palate.forecast.chances import Chances, Reference
from palate.forecast.when import Event, When, score_when
from palate.ledger.records import (
    Author,
    Evidence,
    Export,
    SealedConfirmation,
    SealedForecast,
    SealedPromise,
    SealedQuestion,
    SealedScore,
    SealedSkip,
    SealedVerdict,
    SealedVoid,
    SealedWhen,
    SealedWhenScore,
    Sent,
    Subject,
    question_body,
    question_of,
    reference_body,
    reference_of,
    said_body,
    said_of,
    target_body,
    target_of,
)
from palate.question.question import build_question
from palate.question.target import find_target
from palate.store.chain import Chain
from palate.verdict.many import confirm_all
from palate.verdict.pairs import make_pairs
from palate.verdict.rule import Terms, judge

ADA = Author(name="ada", agent=True)
SEEN = Evidence(points=12, samples=2, share=0.25, repeat=True)
SUBJECT = Subject(run="train-abc-s0", key="abc", seed=0, label="train", experiment="3f9c")
EVENT = Event(metric="val_loss", goal="min", reach=0.1)


def written_and_read(body):
    return json.loads(json.dumps(body))


@given(st.one_of(PLAIN, SIZED, SPREADS))
def test_a_sealed_answer_can_be_read_again(said):
    assert said_of(written_and_read(said_body(said))) == said


def test_a_sealed_reference_can_be_read_again():
    part = Chances(worse=0.5, same=0.2, better=0.2, crash=0.1)
    reference = replace(
        REFERENCE, members={"base rate": part}, weights={"base rate": 1.0}, nearest=("3f9c",), outcomes=9, unit=1.5
    )
    assert reference_of(written_and_read(reference_body(reference))) == reference
    assert isinstance(reference, Reference)


def test_a_target_survives_being_sealed(tmp_path):
    for target in (
        find_target(str(write(tmp_path, FUNCTION))),
        find_target(str(write(tmp_path, SCRIPT, "script.py")), ["--lr", "0.5", "--more"]),
        find_target(str(write(tmp_path, "echo", "train.sh"))),
    ):
        assert target_of(written_and_read(target_body(target))) == target


def test_a_question_survives_being_sealed_with_the_id_that_it_had(tmp_path):
    target = find_target(str(write(tmp_path, SCRIPT)))
    question = build_question(
        target, {"lr": 0.5, "width": 64}, metric="val_acc", take="best", margin=0.01, budget=7, data="d"
    )
    question = replace(question, confounders=("momentum",), chunks={"optimiser": ("a", "b")})
    again = question_of(written_and_read(question_body(question)))
    assert again == question
    assert again.experiment == question.experiment


NAME = question_about("lr").experiment
FORECAST = SealedForecast(
    experiment=NAME, said=Forecast("better", 80), reference=REFERENCE, author=ADA, evidence=SEEN, margin=0.1,
    seeds=(0, 20), nonce="0" * 32, commit="c0ffee",
)  # fmt: skip


def pairs():
    return make_pairs([0.91, 0.92, 0.93, 0.90], [0.95, 0.96, 0.97, 0.95])


RECORDS = {
    "question": lambda: SealedQuestion(
        question=question_about("lr"), reference=REFERENCE, commit="c0ffee", visible=True,
    ),
    "forecast": lambda: FORECAST,
    "revision": lambda: replace(FORECAST, turn="revision", revises="ab" * 32, commit=None),
    "skip": lambda: SealedSkip(experiment=NAME, author=ADA),
    "commitment": lambda: SealedPromise(
        experiment=NAME, hash="ab" * 32, author="ada", turn="forecast", evidence=SEEN, reference=REFERENCE,
    ),
    "verdict": lambda: SealedVerdict(
        experiment=NAME, verdict=judge(pairs(), Terms(budget=4)), runs={"baseline": ["a"], "treatment": ["b"]},
    ),
    "score": lambda: SealedScore(
        experiment=NAME, forecast="ab" * 32, author=ADA, turn="forecast", kind="25 %", settled=None, pairs=4, runs="r",
        score=scored(Forecast("better", 80), True),
    ),
    "void": lambda: SealedVoid(experiment=NAME, reason="wrong data", author="ada", evidence=SEEN, seen=True),
    "when": lambda: SealedWhen(
        subject=SUBJECT, event=EVENT, total=60.0, when=When(tenth=4, confidence=70), author=ADA, evidence=SEEN,
        reference=[0.1] * 10 + [0.0], nonce="n",
    ),
    "when_score": lambda: SealedWhenScore(
        forecast="ab" * 32, run="train-abc-s0", runs="r", author=ADA, kind="blind", happened=10,
        score=score_when(When(tenth=4, confidence=70), np.full(11, 1 / 11), 10),
    ),
    "confirmation": lambda: SealedConfirmation(experiment=NAME, confirmation=confirm_all([pairs()], [1])[0]),
}  # fmt: skip
"""By its kind, what makes a record: what is scored and judged needs imports that take long."""


@pytest.mark.parametrize("kind", list(RECORDS))
def test_each_kind_of_record_is_read_as_it_was_written(tmp_path, kind):
    sealed = RECORDS[kind]()
    chain = Chain(tmp_path / "chain.jsonl")
    record = chain.append(kind, sealed.body(), now=datetime(2026, 1, 1, tzinfo=UTC))
    read = type(sealed).read(Chain(chain.path).records()[0])
    place = {"hash": record.hash, "number": record.number, "at": record.at} if kind != "commitment" else {}
    assert read == replace(sealed, **{name: place[name] for name in place if hasattr(sealed, name)})
    assert read.body() == sealed.body()
    assert getattr(type(sealed), "KIND", kind) == kind


def test_a_colleagues_forecast_keeps_the_hash_and_the_time_that_it_had(tmp_path):
    chain = Chain(tmp_path / "chain.jsonl")
    at = datetime(2025, 12, 1, 3, 4, 5, 678, tzinfo=UTC)
    sealed = replace(FORECAST, commit=None, colleague=True, hash="ab" * 32, at=at)
    record = chain.append("forecast", sealed.body(), now=datetime(2026, 1, 1, tzinfo=UTC))
    assert SealedForecast.read(record) == replace(sealed, number=0)
    assert record.hash != sealed.hash


def test_what_is_sent_whole_shows_whether_it_was_changed_and_what_is_sent_blind_shows_nothing(tmp_path):
    chain = Chain(tmp_path / "chain.jsonl")
    record = chain.append("forecast", FORECAST.body(), now=datetime(2026, 1, 1, tzinfo=UTC))
    whole = Sent.of(record)
    export = Export(question=question_about("lr"), sent=(whole, whole.blind()))
    document = written_and_read(export.body())
    assert Export.read(document) == export
    assert set(document["forecasts"][1]) == {"hash", "author", "turn"}
    assert whole.holds and whole.experiment == NAME and whole.forecast.said == FORECAST.said
    document["forecasts"][0]["body"]["confidence"] = 90
    assert not Export.read(document).sent[0].holds
    assert not whole.blind().holds


def test_a_class_of_evidence_is_named_by_what_was_seen():
    assert Evidence().kind == "blind"
    assert Evidence(repeat=True).kind == "asked before"
    assert Evidence(points=1).kind == "part seen"
    assert Evidence(samples=1, share=0.1).kind == "10 %"
    assert Evidence(points=1, share=0.11, repeat=True).kind == "25 %"
    assert Evidence(points=1, share=1.0).kind == "100 %"


def test_a_forecaster_needs_a_name_that_can_be_told_apart():
    for name in ("", " ada", "a\nb", "mean of all", "x" * 200):
        with pytest.raises(InputError, match="name of a forecaster"):
            Author(name=name)
