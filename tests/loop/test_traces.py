"""What was peeked at, refused, left or voided leaves the traces that it should, and no others."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest
from tests.loop.written_project import ADA, BOB

from palate.forecast.when import Event, When
from palate.ledger import seal
from palate.ledger.records import Evidence
from palate.ledger.verify import verify
from palate.ledger.words import score_card, words_of
from palate.loop.when import await_event, resolve_when, seal_when
from palate.question.question import build_question
from palate.question.target import find_target
from palate.store.catalog import Catalog


def test_a_change_that_was_begun_and_left_is_not_blind_when_it_is_asked_again(written):
    begun = written.ask(written.question())
    written.say(begun, "worse:90")
    again = replace(begun, data="one file more")
    assert written.evidence(again).kind == "blind"
    written.write_run(begun, "treatment", 0, 1.4, points=9, ended=False)
    assert written.evidence(again).kind == "asked before"


@pytest.mark.parametrize(("lr", "kind"), [(0.3000001, "asked before"), (0.31, "blind"), (3, "blind")])
def test_a_value_that_is_a_little_off_is_the_same_change(written, lr, kind):
    written.write_pairs(written.ask(written.question()), 1.0, 1.4)
    written.report(written.question())
    near = written.question(lr=lr)
    assert near.text != written.question().text
    assert written.evidence(near).kind == kind


OWN = """
import palate
given = palate.settings(lr={lr}, width=8)
for step in range(3):
    palate.log(step, val_loss=1.0 + step)
{end}
"""


@pytest.mark.parametrize(
    ("end", "exit_word"),
    [("", "ok"), ("raise ValueError('no more')", "crashed"), ("raise KeyboardInterrupt", "stopped")],
)
def test_a_script_that_is_run_by_hand_says_with_what_and_how_it_ended(written, end, exit_word):
    path = written.folder / "mine.py"
    path.write_text(OWN.format(lr=0.1, end=""))
    question = written.ask(_of(written, path, lr=0.4))
    assert written.evidence(question).kind == "blind"
    path.write_text(OWN.format(lr=0.4, end=end))
    subprocess.run(
        [sys.executable, str(path)], cwd=written.folder, env=dict(os.environ), capture_output=True, check=False
    )
    with Catalog.open(written.project) as catalog:
        catalog.refresh()
        [run] = catalog.runs()
    assert (run.exit, run.label, run.planned) == (exit_word, "mine", False)
    assert "no more" in run.detail or exit_word != "crashed"
    assert written.evidence(question).kind == "asked before"


def _of(written, path, **changes):
    return build_question(find_target(str(path)), changes, metric="val_loss", budget=4, margin=0.05)


def test_coverage_begins_with_ones_first_and_leaves_out_what_could_be_seen(written):
    first = written.ask(written.question(lr=0.2))
    assert written.ledger.asked_of("bob") == frozenset()
    second = written.ask(written.question(lr=0.5))
    written.say(second, "better:70", BOB)
    third = written.ask(written.question(lr=0.7))
    late = written.question(lr=0.9)
    seal.seal_question(written.chain, late, now=written.tick(), visible=True)
    never_run = written.ask(written.question(lr=0.6))
    everything = frozenset(one.experiment for one in (first, second, third, late))
    assert written.ledger.asked_of("bob", everything) == {second.experiment, third.experiment}
    written.say(first, "worse:70", BOB)
    written.say(never_run, "worse:70", BOB)
    for question in (first, second, third):
        written.write_pairs(question, 1.0, 1.4)
        written.report(question)
    assert written.ledger.asked_of("bob") == {first.experiment, second.experiment, third.experiment}
    void = written.ledger.read(third.experiment)
    seal.seal_void(written.chain, void, "mislabelled", author=ADA, evidence=Evidence(), now=written.tick())
    assert score_card(written.ledger, "bob").document()["coverage"] == 1.0


def test_what_was_never_run_and_what_was_seen_too_little_of_are_said(written):
    waiting, seen = (
        written.ask(written.question(lr=0.2, margin=None)),
        written.ask(written.question(lr=0.5, margin=None)),
    )
    for question in (waiting, seen):
        written.say(question, "better:70")
    for arm in ("baseline", "treatment"):
        written.write_run(seen, arm, 0, 1.0)
    [mine] = written.skill()
    assert (mine.waiting, mine.unscored + mine.provisional, mine.skill.n) == (1, 1, 0)
    assert "1 not run yet" in "\n".join(words_of(mine))


def test_who_voided_is_said_to_those_whose_forecasts_went_and_nothing_vanishes(written):
    question = written.ask(written.question())
    for author in (ADA, BOB):
        written.say(question, "worse:80", author)
    with Catalog.open(written.project) as catalog:
        awaited = await_event(catalog, question.experiment, Event(metric="val_loss", goal="min"), 60)
        seal_when(written.chain, awaited, When(tenth=9, confidence=80), author=BOB, now=written.tick())
        written.write_pairs(question, 1.0, 1.4)
        written.report(question)
        catalog.refresh()
        resolve_when(written.ledger, catalog, now=written.tick())
    experiment = written.ledger.read(question.experiment)
    evidence = written.evidence(question)
    seal.seal_void(written.chain, experiment, "I was wrong", author=ADA, evidence=evidence, now=written.tick())
    bob = [one for one in written.skill() if one.author == "bob"]
    assert [(one.kind, one.void, one.void_seen, one.skill.n) for one in bob] == [("blind", 1, 1, 0), ("when", 1, 1, 0)]
    assert all("1 voided by ada, 1 of them after something was seen" in "\n".join(words_of(one)) for one in bob)
    [when] = score_card(written.ledger, "bob").whens
    assert when.document()["void"]
    assert when.line().endswith("[void]")


def test_runs_that_a_verdict_rests_on_and_that_went_are_counted(written):
    question = written.ask(written.question())
    written.write_pairs(question, 1.0, 1.4)
    written.report(question)
    assert verify(written.project).gone == 0
    gone = next(written.project.runs.glob("*-s0"))
    (gone / "journal").unlink()
    assert verify(written.project).gone == 1
