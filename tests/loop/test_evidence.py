"""What of a question's treatment exists is read from journals, whoever made them."""

import pytest
from tests.loop.trained_project import Recorder

from palate.forecast.answer import parse_forecast
from palate.ledger.records import Evidence
from palate.loop.evidence import evidence_of, same_changes, was_seen, was_tried
from palate.recipe.settings import Change
from palate.store.journal import Journal
from palate.training.outcome import begin_run


def change(path="lr", before=0.1, after=0.2):
    return Change(path=path, before=before, after=after)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (change(), change(after=0.2001), True),
        (change(), change(after=0.21), False),
        (change(after=2), change(after=2.0), True),
        (change(after=2), change(after=3), False),
        (change(after=True), change(after=1), False),
        (change(after="adam"), change(after="adam"), True),
        (change(), change("width"), False),
    ],
)
def test_changes_are_the_same_within_a_hundredth_whatever_their_order(one, other, same):
    assert same_changes([one], [other]) is same
    rest = change("depth", 2, 4)
    assert same_changes([one, rest], [rest, other]) is same
    assert not same_changes([one, rest], [one])


def test_nothing_is_there_before_the_first_run_and_all_of_it_after_the_last(trained):
    question = trained.question(budget=2)
    with trained.catalog() as catalog:
        assert evidence_of(catalog, question) == Evidence()
        trained.run(question)
        seen = evidence_of(catalog, question)
    assert (seen.points, seen.samples, seen.ended, seen.share, seen.kind) == (16, 0, 2, 1.0, "100 %")


def test_the_same_change_asked_with_another_margin_or_run_by_hand_is_not_blind(trained):
    asked = trained.question(budget=2)
    trained.run(asked)
    trained.write((trained.folder / "train.py").read_text() + "print('other code')\n")
    with trained.catalog() as catalog:
        again, other = trained.question(budget=2), trained.question(gain=0.1)
        assert was_seen(catalog, again) and not was_seen(catalog, other)
        assert evidence_of(catalog, again).kind == "asked before"
        assert not was_tried(catalog, other)
        journal = trained.project.journal("by-hand")
        begin_run(journal, key="", label="train", seed=0, settings=other.plan.settings["treatment"])
        log = Journal.open(journal)
        log.log(0, {"val_acc": 0.3})
        log.close()
        catalog.refresh()
        assert was_tried(catalog, other)
        assert evidence_of(catalog, other).kind == "asked before"
    report = trained.run(other, Recorder(parse_forecast("worse:90")))
    assert report.sealed.kind == "asked before"
