"""What came out of a question, as one document and as a few lines."""

import json
from dataclasses import replace

import pytest
from tests.loop.written_project import BOB

from palate.loop.judge import judge_now
from palate.loop.report import outlook_of, report_of
from palate.store.catalog import Catalog


def report(written, question, **options):
    with Catalog.open(written.project) as catalog:
        judgement = judge_now(written.ledger, catalog, question)
        return report_of(written.ledger, catalog, question, judgement, author="ada", **options)


def test_a_report_is_lines_for_people_and_a_document_for_programs(written):
    question = written.ask(written.question())
    written.say(question, "worse:80")
    written.write_pairs(question, 1.0, 1.4)
    written.report(question)
    seen = report(written, question, elapsed_s=3.0, changed=("x.csv changed",))
    lines = seen.lines()
    assert lines[0] == seen.headline and lines[0].startswith("Worse: ")
    assert "0 runs made, 8 re-used (data were not declared, so not checked: --data), 3 s." in lines
    assert not any("Earlier runs" in line for line in lines)  # none was made now, so it was said before
    made = replace(seen, judgement=replace(seen.judgement, made=2))
    assert "Earlier runs were not used again: x.csv changed since then." in made.lines()
    assert "1 forecast so far; 19 more until calibration can be shown." in lines[-1]
    document = json.loads(json.dumps(seen.document()))
    assert (document["schema"], document["experiment"]) == ("palate.report/1", question.experiment)
    assert (document["verdict"]["kind"], document["verdict"]["settled"]) == ("worse", True)
    assert [run["seed"] for run in document["runs"]["baseline"]] == [0, 1, 2, 3]
    assert document["score"]["bits"] == pytest.approx(seen.score.bits)
    assert document["next"] == [f"palate show {question.experiment}", "palate list", "palate verify"]
    assert seen.cost.pair_s == 2.0


def test_an_open_question_says_what_to_expect_and_its_scores_are_provisional(written):
    question = written.ask(written.question(budget=20, margin=0.02))
    written.say(question, "worse:60")
    written.write_pairs(question, 1.0, 1.02, pairs=3, spread=0.02)
    seen = report(written, question)
    assert not seen.judgement.settled
    assert outlook_of(seen.judgement) == seen.outlook is not None
    assert (seen.score, seen.final) == (None, frozenset())
    assert "provisionally" in seen.lines()[-1]
    assert f"palate verdict {question.experiment}" in seen.next_commands()


def test_others_forecasts_are_counted_and_not_shown_before_ones_own_is_sealed(written):
    question = written.ask(written.question())
    written.say(question, "worse:80", BOB)
    blind = report(written, question, asked_only=True)
    assert blind.document()["forecasts"] == []
    assert "1 forecast of others: hidden until yours is sealed or theirs is opened." in blind.lines()
    assert blind.lines()[-1] == "No forecast was sealed: exploratory, not scored."
    written.say(question, "better:60")
    assert [one["author"] for one in report(written, question).document()["forecasts"]] == ["bob", "ada"]


def test_arms_of_different_length_are_named(written):
    question = written.ask(written.question())
    for seed in range(4):
        written.write_run(question, "baseline", seed, 1.0 + seed / 100)
        written.write_run(question, "treatment", seed, 1.4 + seed / 99, points=50)
    assert any(
        "different numbers of points: 60 and, with the change, 50" in line for line in report(written, question).lines()
    )
