"""Questions and forecasts go to colleagues as files, and come back checked."""

import json
import os

import pytest
from tests.loop.written_project import ADA, BOB, WrittenProject

from palate.errors import ChainBrokenError, InputError, NotFoundError, OutcomeSeenError, RefusedError
from palate.ledger.records import Export
from palate.loop.exchange import Imported, export_forecasts, read_export, take_in
from palate.store.catalog import Catalog


@pytest.fixture
def colleagues(tmp_path):
    """Ada's project, in which a question is asked and forecast, and Bob's, which has heard of nothing."""
    ada, bob = WrittenProject(tmp_path / "ada"), WrittenProject(tmp_path / "bob")
    question = ada.ask(ada.question())
    ada.say(question, "worse:80")
    return ada, bob, question


@pytest.fixture(autouse=True)
def folders(tmp_path):
    """The folders that both work in."""
    for name in ("ada", "bob"):
        (tmp_path / name).mkdir()


def take(written, export):
    with Catalog.open(written.project) as catalog:
        return take_in(catalog, export, now=written.tick())


def export_of(written, question, author=ADA, blind=False):
    return export_forecasts(written.ledger.read(question.experiment), author, blind=blind)


def kinds(written):
    return [record.kind for record in written.chain.records()]


def test_a_file_holds_the_question_and_ones_own_forecasts_and_can_be_read_again(colleagues, tmp_path):
    ada, _, question = colleagues
    ada.say(question, "better:60", BOB)
    export = export_of(ada, question)
    assert [(one.author, one.turn) for one in export.sent] == [("ada", "forecast")]
    path = tmp_path / "sealed.json"
    path.write_text(json.dumps(export.body()))
    assert read_export(path) == export
    assert '"answer"' not in json.dumps(export_of(ada, question, blind=True).body())
    assert export_of(ada, question, BOB).sent[0].author == "bob"


def test_what_is_no_such_file_is_told_as_what_it_is(tmp_path):
    with pytest.raises(NotFoundError, match="no such file"):
        read_export(tmp_path / "none.json")
    path = tmp_path / "sealed.json"
    for text in ("", "[]", "{}", '{"schema": "palate.sealed/9"}', "\u2026"):
        path.write_text(text)
        with pytest.raises(InputError, match="is not a file of sealed forecasts"):
            read_export(path)
    with pytest.raises(InputError):
        read_export(tmp_path)  # a folder


def test_each_entry_is_sealed_once_however_often_it_comes(colleagues):
    ada, bob, question = colleagues
    name = question.experiment
    whole, blind = export_of(ada, question), export_of(ada, question, blind=True)
    assert take(bob, blind) == Imported(experiment=name, question=True, promised=1, opened=0, known=0)
    assert take(bob, blind) == Imported(experiment=name, question=False, promised=0, opened=0, known=1)
    assert bob.ledger.read(name).hidden("bob") == 1
    assert take(bob, whole) == Imported(experiment=name, question=False, promised=0, opened=1, known=0)
    assert take(bob, blind).known == take(bob, whole).known == 1
    assert kinds(bob) == ["question", "commitment", "forecast"]
    [forecast] = bob.ledger.read(name).forecasts
    mine = ada.ledger.read(name).of("ada")
    assert (forecast.hash, forecast.at, forecast.said, forecast.colleague) == (mine.hash, mine.at, mine.said, True)
    assert export_of(bob, question).sent == ()  # it is ada's to hand on


def test_a_promise_lets_a_forecast_count_that_is_opened_after_the_outcome(colleagues):
    ada, bob, question = colleagues
    take(bob, export_of(ada, question, blind=True))
    bob.write_pairs(question, 1.0, 1.4)
    report = bob.report(question, "bob")
    assert not report.experiment.forecasts
    take(bob, export_of(ada, question))
    assert bob.ledger.read(question.experiment).of("ada").kind == "blind"
    assert bob.report(question, "bob").score is None
    [score] = bob.ledger.read(question.experiment).scores.values()
    assert (score.author.name, score.score.bits > 0) == ("ada", True)


def test_what_comes_after_the_outcome_without_a_promise_is_refused(colleagues):
    ada, bob, question = colleagues
    bob.write_run(question, "treatment", 0, 1.4)
    for blind in (True, False):
        with pytest.raises(OutcomeSeenError, match="after results are visible"):
            take(bob, export_of(ada, question, blind=blind))
    assert kinds(bob) == []


def test_nothing_is_sealed_where_one_entry_is_refused(colleagues):
    ada, bob, question = colleagues
    document = json.loads(json.dumps(export_of(ada, question).body()))
    document["forecasts"][0]["body"]["confidence"] = 97
    with pytest.raises(ChainBrokenError, match="changed after it was sealed"):
        take(bob, Export.read(document))
    whole, blind = export_of(ada, question), export_of(ada, question, blind=True)
    twice = Export(question=question, sent=(*whole.sent, *whole.sent))
    with pytest.raises(RefusedError, match="one forecast"):
        take(bob, twice)
    assert kinds(bob) == []
    bob.ask(question)
    bob.say(question, "better:60")  # as ada
    for export in (whole, blind):
        with pytest.raises(RefusedError, match="another forecast"):
            take(bob, export)
    assert kinds(bob) == ["question", "forecast"]


@pytest.mark.skipif(os.getuid() == 0, reason="who is root reads everything")
def test_a_file_that_may_not_be_read_is_told(tmp_path):
    path = tmp_path / "sealed.json"
    path.write_text("{}")
    path.chmod(0)
    with pytest.raises(InputError, match="cannot be read"):
        read_export(path)
