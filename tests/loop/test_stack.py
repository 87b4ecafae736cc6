"""Adopting, dropping and claiming: what the next question begins from, and what is refused."""

import json
import subprocess
import sys
import time
from datetime import UTC, datetime

import pytest
from tests.loop.trained_project import ADA, TrainedProject

from palate.errors import ChainBrokenError, NotFoundError, RefusedError, SettingError
from palate.ledger.records import Author, question_body
from palate.ledger.stack import SealedAdoption, claims_of, seal_adoption, stack_of
from palate.ledger.verify import verify
from palate.loop.adopting import adopt, drop
from palate.loop.incumbent import begin_from, line_of
from palate.loop.run import void_question
from palate.loop.stack import begin_claim, claim_question, stack_reports
from palate.loop.trust import vouched
from palate.question.incumbent import Incumbent
from palate.question.question import build_question
from palate.recipe.settings import Change
from palate.store.project import Project

BOB = Author(name="bob", agent=True)


def asked(trained, budget=2, on=True, **changes):
    """Ask a question on the incumbent, and run it."""
    target = trained.target()
    if on:
        target = begin_from(trained.project, target, None).target
    question = build_question(target, changes, metric="val_acc", budget=budget, margin=0.01)
    return question, trained.run(question)


def adopted(trained, question, author=ADA, **options):
    with trained.catalog() as catalog:
        return adopt(catalog, question.experiment, author=author, **options)


def stack(trained):
    return stack_of(trained.project.chain, "train.py")


def test_what_is_adopted_is_in_both_arms_of_the_next_question_and_its_runs_are_used_again(trained):
    first, report = asked(trained, gain=0.9)
    assert report.told.odds.advice == "keep"
    assert f"palate adopt {first.experiment}" in report.next_commands()
    done = adopted(trained, first)
    assert done.adoption.odds["helps"] > 0.5
    runs = len(trained.runs)
    second, report = asked(trained, width=16)
    assert second.plan.settings["baseline"]["gain"] == second.plan.settings["treatment"]["gain"] == 0.9
    assert second.plan.keys["baseline"] == first.plan.keys["treatment"]
    assert len(trained.runs) == runs + 2  # the treatment alone
    order = second.plan.order("baseline", 0, "x", trained.folder)
    assert order.constants["gain"] == 0.9
    assert second.target.incumbent.words == f"with gain=0.9, adopted {first.experiment}"
    read = trained.ledger.read(second.experiment).question
    assert read == second
    assert read.experiment == second.experiment


def test_a_question_without_an_incumbent_keeps_its_id(trained):
    plain = trained.question(gain=0.9)
    assert begin_from(trained.project, trained.target(), None).target == trained.target()
    assert "incumbent" not in question_body(plain)["target"]
    assert "first_seed" not in question_body(plain)


def test_a_change_of_an_adopted_setting_begins_from_the_adopted_value_and_takes_its_place(trained):
    first, _ = asked(trained, gain=0.9)
    adopted(trained, first)
    second, _ = asked(trained, gain=1.2)
    assert second.changes[0].before == 0.9
    done = adopted(trained, second)
    assert done.replaced == {"gain": first.experiment}
    assert begin_from(trained.project, trained.target(), None).target.settings["gain"] == 1.2
    with pytest.raises(SettingError, match="Nothing changes"):
        asked(trained, gain=1.2)


def test_a_question_is_not_adopted_twice_nor_on_another_baseline_than_it_was_measured_on(trained):
    first, _ = asked(trained, gain=0.9)
    second, _ = asked(trained, gain=1.2)
    adopted(trained, first)
    with pytest.raises(RefusedError, match="adopted already, by ada"):
        adopted(trained, first, BOB)
    with pytest.raises(RefusedError, match=f"the incumbent has moved since: ada adopted {first.experiment}"):
        adopted(trained, second, BOB)
    done = adopted(trained, second, BOB, moved=True)
    assert done.adoption.moved
    assert stack(trained).names == (first.experiment, second.experiment)
    drop(trained.project, second.experiment, author=ADA)  # that moves it too
    third, _ = asked(trained, on=False, gain=0.7)
    with pytest.raises(RefusedError, match=f"ada dropped {second.experiment}"):
        adopted(trained, third)


def test_what_cannot_be_a_baseline_is_not_adopted(trained):
    two, _ = asked(trained, gain=0.9, width=16)
    with pytest.raises(RefusedError, match="more than one thing differs"):
        adopted(trained, two)
    nothing, _ = asked(trained, width=4)
    with pytest.raises(RefusedError, match="is equal"):
        adopted(trained, nothing)
    crashed, report = asked(trained, mode="crash")
    assert report.judgement.verdict.kind == "failed"
    assert report.told is None
    with pytest.raises(RefusedError, match="its runs failed"):
        adopted(trained, crashed)
    void, _ = asked(trained, gain=0.8)
    with trained.catalog() as catalog:
        void_question(catalog, void.experiment, "mislabelled", author=ADA)
    with pytest.raises(RefusedError, match="it is void: mislabelled"):
        adopted(trained, void)
    unrun = trained.question(gain=0.61)
    trained.run(unrun, run=False)
    with pytest.raises(RefusedError, match="no pair of its runs has finished"):
        adopted(trained, unrun)
    assert stack(trained).kept == ()


def test_dropping_says_what_rests_on_it_and_the_next_question_is_without(trained):
    first, _ = asked(trained, gain=0.9)
    adopted(trained, first)
    second, _ = asked(trained, width=16)
    adopted(trained, second)
    done = drop(trained.project, first.experiment, author=BOB, reason="unstable")
    assert done.drop.rests == (second.experiment,)
    assert any(second.experiment in line for line in done.lines())
    target = begin_from(trained.project, trained.target(), None).target
    assert (target.settings["gain"], target.settings["width"]) == (0.5, 16)
    with pytest.raises(NotFoundError, match="not adopted"):
        drop(trained.project, first.experiment, author=BOB)


def test_the_seal_holds_over_adoptions_and_one_that_is_changed_breaks_it(trained):
    first, _ = asked(trained, gain=0.9)
    adopted(trained, first)
    assert verify(trained.project).kinds["adoption"] == 1
    path = trained.project.chain.path
    path.write_text(path.read_text().replace('"advice": "keep"', '"advice": "drop"'))
    with pytest.raises(ChainBrokenError):
        verify(Project(trained.project.home), full=True)


def test_a_stack_says_its_odds_its_total_how_it_was_selected_and_how_odds_came_true(trained):
    for changes in ({"gain": 0.9}, {"gain": 0.3}):
        question, _ = asked(trained, budget=6, on=False, **changes)
        if changes["gain"] == 0.9:
            adopted(trained, question)
    with trained.catalog() as catalog:
        [report] = stack_reports(catalog)
    assert report.tried == 2
    total = report.totals["val_acc"]
    assert 0 < total.gain <= total.raw + 0.01
    assert total.low < total.gain < total.high
    text = "\n".join(report.lines())
    assert "1 change adopted of 2 tried" in text
    assert "picked for looking good" in text
    assert json.loads(json.dumps(report.document()))["tried"] == 2


def test_a_claim_is_one_question_of_the_whole_stack_at_seeds_that_nothing_used(trained):
    first, _ = asked(trained, budget=4, gain=0.9)
    adopted(trained, first)
    second, _ = asked(trained, budget=4, width=16)
    adopted(trained, second)
    with trained.catalog() as catalog:
        question, claim = claim_question(catalog, pairs=3, author=ADA)
    assert {change.path: (change.before, change.after) for change in question.changes} == {
        "gain": (0.5, 0.9),
        "width": (8, 16),
    }
    assert question.plan.seeds == range(8, 11)
    begin_claim(trained.project, claim)
    [vouch] = vouched(trained.project, [question], lambda _: True)
    report = trained.run(vouch)
    assert {one.seed for one in report.judgement.results["treatment"].values()} <= {8, 9, 10}
    assert report.judgement.verdict.kind == "better"
    assert report.claim.of == (first.experiment, second.experiment)
    assert report.claim.tried == 2
    assert report.told is None
    with trained.catalog() as catalog:
        again, _ = claim_question(catalog, author=ADA)
        with pytest.raises(RefusedError, match="claimed already"):
            claim_question(catalog, pairs=9, author=ADA)
    assert again.experiment == question.experiment
    assert len(claims_of(trained.project.chain, "train.py")) == 1
    with pytest.raises(RefusedError, match="is the claim of a stack"):
        adopted(trained, question)


def test_an_adopted_setting_that_is_gone_from_the_file_is_named_with_what_to_type(trained):
    first, _ = asked(trained, gain=0.9)
    adopted(trained, first)
    text = (trained.folder / "train.py").read_text()
    trained.write(text.replace("gain = 0.5\n", "").replace("0.4 * gain", "0.2"))
    with pytest.raises(SettingError, match="does not fit train any more") as refused:
        begin_from(trained.project, trained.target(), None)
    assert f"palate drop {first.experiment}" in refused.value.todo


def test_a_setting_that_the_person_took_over_into_the_file_is_said_to_be_there(trained):
    first, _ = asked(trained, gain=0.9)
    adopted(trained, first)
    trained.write((trained.folder / "train.py").read_text().replace("gain = 0.5", "gain = 0.9"))
    begins = begin_from(trained.project, trained.target(), None)
    assert begins.words == ("Adopted, and in your files already: gain.",)
    assert begins.target.incumbent.changes == ()


ADOPT = """
import sys, time
from datetime import UTC, datetime
from pathlib import Path
from palate.errors import RefusedError
from palate.ledger.stack import SealedAdoption, seal_adoption
from palate.store.project import Project
home, name, until = sys.argv[1:]
adoption = SealedAdoption(experiment=name, target="train.py", author=name)
while time.time() < float(until):
    pass
try:
    seal_adoption(Project(Path(home)).chain, adoption, now=datetime.now(UTC))
    print("adopted")
except RefusedError as error:
    print(error.what)
"""


@pytest.mark.slow
def test_of_two_processes_that_adopt_at_once_the_second_sees_what_the_first_did(tmp_path):
    project = TrainedProject(tmp_path).project
    until = str(time.time() + 3)
    words = [sys.executable, "-c", ADOPT, str(project.home)]
    both = [
        subprocess.Popen([*words, name, until], stdout=subprocess.PIPE, text=True) for name in ("aaaa1111", "bbbb2222")
    ]
    said = [one.communicate(timeout=60)[0].strip() for one in both]
    assert said.count("adopted") == 1
    assert sum("the incumbent has moved since" in one for one in said) == 1
    assert len(stack_of(project.chain, "train.py").kept) == 1


def test_an_adoption_onto_another_stack_than_is_there_is_refused_under_the_lock(trained):
    chain, now = trained.project.chain, datetime.now(UTC)
    seal_adoption(chain, SealedAdoption(experiment="aaaa1111", target="train.py", author="ada"), now=now)
    late = SealedAdoption(experiment="bbbb2222", target="train.py", author="bob")
    with pytest.raises(RefusedError, match="ada adopted aaaa1111"):
        seal_adoption(chain, late, now=now)
    seal_adoption(chain, SealedAdoption(experiment="bbbb2222", target="other.py", author="bob"), now=now)
    assert line_of(trained.project, trained.target()) == "train.py"


def test_a_secret_that_both_arms_have_is_not_kept(trained):
    target = trained.target().on(
        Incumbent(changes=(Change(path="api_key", before="", after="sk-proj-abcdefghij0123456789ABCDEFGHIJ"),))
    )
    question = build_question(target, {"gain": 0.9}, metric="val_acc", budget=2)
    assert "abcdefghij0123456789" not in json.dumps(question_body(question))
