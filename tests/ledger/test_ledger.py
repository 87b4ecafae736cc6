"""The ledger replays the chain once, and then only what has grown."""

from collections import Counter

import pytest
from tests.ledger.forecasters import REFERENCE, START, chain_of, question_about
from tests.loop.written_project import ADA, BOB

from palate.errors import ChainBrokenError, NotFoundError
from palate.ledger.ledger import Ledger
from palate.ledger.records import Evidence, SealedQuestion
from palate.store.chain import Chain


class Counted(Chain):
    """A chain that counts how often each experiment is read, and from where on its questions are looked for."""

    def __init__(self, path):
        super().__init__(path)
        self.read = Counter()
        self.outlined = []

    def records(self, kind=None, *, experiment=None, start=0):
        self.read[experiment] += 1
        return super().records(kind, experiment=experiment, start=start)

    def numbers(self, kind, start=0):
        self.outlined.append(start)
        return super().numbers(kind, start)


def ask(chain, *names):
    for name in names:
        body = SealedQuestion(question=question_about(name), reference=REFERENCE).body()
        chain.append("question", body, now=START)
    return [question_about(name).experiment for name in names]


def test_a_chain_has_one_ledger_that_takes_in_only_what_has_grown(tmp_path):
    chain = Counted(tmp_path / "chain.jsonl")
    first, second = ask(chain, "lr", "width")
    ledger = Ledger.of(chain)
    assert Ledger.of(chain) is ledger
    assert [one.id for one in ledger.of_names({first, second})] == [first, second]
    assert [one.id for one in ledger.newest(9)] == [first, second]
    assert chain.outlined == [0]
    (third,) = ask(Chain(chain.path), "depth")  # sealed by another process
    assert Ledger.of(chain) is ledger
    assert [one.id for one in ledger.newest(9)] == [first, second, third]
    assert chain.outlined == [0, 2]
    assert ledger.number_of(third) == 2


def test_an_experiment_is_read_once_until_something_is_sealed_of_it(written):
    one, other = written.ask(written.question(lr=0.2)), written.ask(written.question(lr=0.5))
    chain = Counted(written.chain.path)
    ledger = Ledger.of(chain)
    kept = ledger.read(one.experiment), ledger.read(other.experiment)
    assert (ledger.read(one.experiment), ledger.read(other.experiment)) == kept
    assert chain.read == {one.experiment: 1, other.experiment: 1}
    written.say(other, "worse:80")
    assert Ledger.of(chain).read(one.experiment) is kept[0]
    assert [sealed.author for sealed in Ledger.of(chain).read(other.experiment).forecasts] == [ADA]
    assert chain.read == {one.experiment: 1, other.experiment: 2}
    assert kept[1].forecasts == ()  # what was read before stays as it was


def test_the_parts_of_an_experiment(written):
    question = written.ask(written.question())
    blank = written.ledger.read(question.experiment)
    assert blank.question == question
    assert blank.reference == written.ledger.read(question.experiment).sealed.reference
    assert (blank.verdict, blank.judged, blank.void, blank.badge) == (None, False, None, None)
    assert (blank.skipped, blank.forecasts, dict(blank.scores), dict(blank.promises)) == ((), (), {}, {})
    assert blank.is_missing("ada")
    sealed = written.say(question, "worse:80")
    open_ = written.ledger.read(question.experiment)
    assert open_.of("ada").hash == sealed.hash
    assert open_.of("ada", "revision") is None
    assert (open_.is_missing("ada"), open_.is_missing("bob")) == (False, True)
    assert (open_.visible("bob"), open_.hidden("bob"), open_.hidden("ada")) == ((), 1, 0)
    written.write_pairs(question, 1.0, 1.4)
    written.report(question)
    closed = written.ledger.read(question.experiment)
    assert closed.judged and closed.verdict.verdict.kind == "worse"
    assert closed.scores[sealed.hash].author == ADA
    assert closed.verdict.number == 2
    assert (closed.visible("bob"), closed.hidden("bob")) == (closed.forecasts, 0)
    assert not closed.is_missing("bob")


def test_an_experiment_is_named_by_its_start_or_as_the_last(tmp_path):
    chain = Chain(tmp_path / "chain.jsonl")
    with pytest.raises(NotFoundError, match="no experiment 'last'"):
        Ledger.of(chain).read("last")
    names = ask(chain, *(f"s{k}" for k in range(40)))
    ledger = Ledger.of(chain)
    assert ledger.read("last").id == names[-1]
    assert ledger.read(names[3]).id == ledger.read(names[3][:6]).id == names[3]
    shared = next(name[0] for name in names if sum(other[0] == name[0] for other in names) > 1)
    with pytest.raises(NotFoundError, match=f"'{shared}' is the start of several experiments"):
        ledger.read(shared)
    for nothing in ("", "zzz"):
        with pytest.raises(NotFoundError, match="no experiment"):
            ledger.read(nothing)
    assert ledger.find(names[3][:6]) is None  # by its whole id alone


def test_the_newest_and_those_with_a_kind_of_record_are_listed_in_the_order_in_which_they_were_asked(written):
    asked = [written.ask(written.question(lr=lr)) for lr in (0.2, 0.3, 0.4, 0.5)]
    for question in (asked[2], asked[0]):
        written.say(question, "worse:80")
    ledger = written.ledger
    assert [one.question for one in ledger.newest(2)] == asked[2:]
    assert ledger.newest(0) == [] or len(ledger.newest(0)) == 4
    assert [one.question for one in ledger.experiments("forecast", "skip")] == [asked[0], asked[2]]
    assert ledger.having("forecast") == {asked[0].experiment, asked[2].experiment}


def test_verdicts_are_counted_by_kind_in_the_order_in_which_they_were_sealed(written):
    for lr, end in ((0.2, 1.4), (0.3, 0.6)):
        question = written.ask(written.question(lr=lr))
        written.write_pairs(question, 1.0, end)
        written.report(question)
    assert written.ledger.verdict_kinds() == ["worse", "better"]


def test_of_a_chain_that_was_changed_by_hand_what_is_whole_is_read_and_nothing_is_sealed(tmp_path, capfd):
    chain = chain_of(tmp_path, {"ada": (0.9, Evidence())}, n=3)
    whole = Ledger.of(chain).answers()
    text = chain.path.read_text()
    chain.path.write_text(text.replace('"confidence": 80', '"confidence": 90', 1))
    for reading in (chain, Chain(chain.path)):
        assert len(Ledger.of(reading).experiments()) == 3
        assert Ledger.of(reading).answers() == whole[1:]  # what was changed is left out
        for seal in (reading.verify, lambda of=reading: of.append("skip", {}, now=START)):
            with pytest.raises(ChainBrokenError, match="record 1: its content was changed"):
                seal()
    assert capfd.readouterr().err.count("THE SEAL IS BROKEN") == 2  # once each
    chain.path.write_text(text)
    assert Ledger.of(chain).answers() == whole  # and it holds again where it is as it was
    chain.append("skip", {"author": "ada", "experiment": "e0"}, now=START)


def test_a_chain_that_was_cut_is_replayed_anew(written):
    asked = [written.ask(written.question(lr=lr)) for lr in (0.2, 0.3)]
    written.say(asked[0], "worse:80", BOB)
    before = written.ledger
    lines = written.chain.path.read_text().splitlines(keepends=True)
    written.chain.path.write_text(lines[0])
    assert written.ledger is before
    assert [one.question for one in written.ledger.experiments()] == asked[:1]
    assert written.ledger.read("last").forecasts == ()
