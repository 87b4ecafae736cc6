"""Runs are judged look by look, in the order of their seeds, on the terms of the moment at which they were asked."""

import math
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from palate.ledger import seal
from palate.loop.judge import Judge, judge_now, opposed_words, terms_of
from palate.loop.results import RunResult, collect
from palate.store.catalog import Catalog
from palate.store.journal import Journal
from palate.training.outcome import begin_run
from palate.verdict.words import headline
from palate.vocabulary import Outcome


def results_of(*arms):
    """Make results of lists of values; None is a run that has not ended, "nan" one that failed."""
    return {
        name: {seed: result_of(name, seed, value) for seed, value in enumerate(values) if value is not None}
        for name, values in zip(("baseline", "treatment"), arms, strict=True)
    }


def result_of(name, seed, value):
    outcome = Outcome(ending="nan") if value == "nan" else Outcome(ending="finished", value=value)
    return RunResult(id=f"{name}-{seed}", seed=seed, elapsed_s=1.0, points=10, outcome=outcome)


@pytest.fixture
def judged(written):
    """Judge results of a question with a margin of 0.05 and a budget of 4, whose journals hold nothing."""
    question = written.ask(written.question())
    for arm in ("baseline", "treatment"):
        for seed in range(4):
            journal = written.project.journal(f"{arm}-{seed}")
            begin_run(journal, key=question.plan.keys[arm], label="train", seed=seed, settings={})
    with Catalog.open(written.project) as catalog:
        yield Judge(written.ledger, catalog, question).judge


WORSE = [1.40, 1.43, 1.37, 1.45]
BASE = [1.00, 1.08, 0.92, 1.05]
SOON = [1.30, 1.38, 1.22, 1.35]


def test_the_first_look_that_settles_it_counts_whatever_comes_after_it(judged):
    settled = judged(results_of(BASE, SOON))
    assert (settled.verdict.kind, settled.done) == ("worse", True)
    n = settled.verdict.n
    assert n < 4
    changed = [*SOON[:n], *[0.1] * (4 - n)]  # later pairs that say the opposite
    assert judged(results_of(BASE, changed)).verdict == settled.verdict
    assert judged(results_of(BASE[:n], SOON[:n])).verdict == settled.verdict


def test_a_pair_that_is_missing_ends_the_looking_however_quick_later_runs_were(judged):
    gap = judged(results_of(BASE, [WORSE[0], None, *WORSE[2:]]))
    assert (gap.verdict.n, gap.settled, gap.done) == (1, False, False)
    assert judged(results_of([], [])).verdict.n == 0
    assert judged(results_of([], [])).pairs is None


def test_a_failed_half_leaves_a_pair_out_and_the_budget_is_spent_all_the_same(judged):
    judgement = judged(results_of([1.0, 1.02, 0.98, "nan"], [1.03, 0.97, 1.02, 1.0]))
    assert (judgement.verdict.kind, judgement.verdict.reason, judgement.done) == ("unclear", "budget", True)
    assert (judgement.verdict.failures.baseline, judgement.verdict.failures.baseline_runs) == (1, 4)
    assert judgement.pairs.n == 3


def test_equal_values_did_nothing_only_where_the_curves_are_equal_bit_for_bit(written):
    question = written.ask(written.question())
    for seed in range(3):
        for arm in ("baseline", "treatment"):
            written.write_run(question, arm, seed, 1.0 + seed / 10)
    with Catalog.open(written.project) as catalog:
        assert judge_now(written.ledger, catalog, question).verdict.kind == "nothing"
    other = written.ask(written.question(lr=0.7))
    for seed in range(3):
        write_last(written, other, "baseline", seed, [2.0, 1.0 + seed / 10])
        write_last(written, other, "treatment", seed, [3.0, 1.0 + seed / 10])
    with Catalog.open(written.project) as catalog:
        assert judge_now(written.ledger, catalog, other).verdict.kind != "nothing"


def test_equal_values_of_a_coarse_metric_settle_nothing_and_say_what_is_known(written):
    """Steps of 1/16: the first pairs tie though the curves differ, or agree in so few steps that it may be chance."""
    question = written.ask(written.question(budget=4))
    for seed in range(2):
        write_last(written, question, "baseline", seed, [1.5, 1.0 + seed / 16])
        write_last(written, question, "treatment", seed, [1.25, 1.0 + seed / 16])
    other = written.ask(written.question(lr=0.7, budget=4))
    for seed in range(2):
        for arm in ("baseline", "treatment"):
            write_last(written, other, arm, seed, [1.5, 1.0 + seed / 16])
    with Catalog.open(written.project) as catalog:
        differ, alike = (judge_now(written.ledger, catalog, one) for one in (question, other))
    assert (differ.verdict.kind, differ.verdict.reason, differ.done) == ("unclear", "ties_differ", False)
    assert "all 2 pairs have the same val_loss; the curves differ" in headline(differ.verdict, question.metric)
    assert (alike.verdict.kind, alike.verdict.reason) == ("unclear", "ties_alike")
    said = headline(alike.verdict, other.metric)
    assert "the curves are equal too; that is all that was logged" in said
    assert "bigger budget" not in said


def write_last(written, question, arm, seed, values, **others):
    journal = written.project.journal(f"{arm}-{question.experiment}-{seed}")
    begin_run(journal, key=question.plan.keys[arm], label=question.target.label, seed=seed, settings={})
    log = Journal.open(journal)
    for step, value in enumerate(values):
        log.log(step, {"val_loss": value, **others})
    log.event("ending", exit="ok", status=0, elapsed_s=1.0, detail="")
    log.close()


def test_looking_seals_nothing_and_counts_what_was_there(written):
    question = written.ask(written.question())
    written.write_pairs(question, 1.0, 1.4)
    with Catalog.open(written.project) as catalog:
        judgement = judge_now(written.ledger, catalog, question)
    assert (judgement.made, judgement.reused) == (0, 8)
    assert judgement.settled
    assert [record.kind for record in written.chain.records()] == ["question"]


def test_terms_are_what_the_project_knew_when_the_question_was_sealed(written):
    early = written.ask(written.question(lr=0.9))
    for k in range(6):
        question = written.ask(written.question(lr=0.2 + k / 100))
        written.write_pairs(question, 1.0, 1.2 + k / 50)
        written.report(question)
    late = written.ask(written.question(lr=0.8))
    before, after = terms_of(written.ledger, early), terms_of(written.ledger, late)
    assert (before.noise, before.effect_sd) == (None, None)
    assert after.noise is not None and after.effect_sd > 0
    assert (after.margin, after.budget) == (0.05, 4)
    assert terms_of(written.ledger, written.question(lr=0.7)) == after  # not sealed yet: all that is known by now


def test_the_noise_of_a_run_is_told_by_the_changes_of_its_family_where_they_are_enough(written):
    for k in range(5):
        question = written.ask(written.question(lr=0.2 + k / 10))
        written.write_pairs(question, 1.0, 1.2 + k / 50)
        written.report(question)
    up, down = (terms_of(written.ledger, written.question(lr=lr)).noise for lr in (0.95, 1e-6))
    assert (up.family, up.comparisons) == ("lr up", 5)
    assert (down.family, down.share, down.comparisons) == ("", 1.0, 5)
    assert up.run_variance == down.run_variance > 0


def test_a_verdict_that_is_sealed_stands_whatever_rule_came_after_it(written):
    question = written.ask(written.question(budget=4))
    written.write_pairs(question, 1.0, 1.4)
    with Catalog.open(written.project) as catalog:
        fresh = judge_now(written.ledger, catalog, question).verdict
        older = replace(fresh, low=fresh.raw - 0.3, high=fresh.raw + 0.3, effect=fresh.raw / 2)
        seal.seal_verdict(written.chain, question, older, {}, now=datetime.now(UTC))
        assert judge_now(written.ledger, catalog, question).verdict == older != fresh
        other = {arm: dict(runs) for arm, runs in collect(catalog, question.plan).items()}
        for seed in other["treatment"]:
            other["treatment"][seed] = result_of("treatment", seed, 0.2)  # not the runs that it was told of
        assert Judge(written.ledger, catalog, question).judge(other).verdict.kind == "better"


def test_another_metric_that_says_the_opposite_is_named(written):
    question = written.ask(written.question(budget=4))
    for seed in range(4):
        write_last(written, question, "baseline", seed, [1.0 + seed / 100], val_acc=0.5 + seed / 1000, size=1.0)
        write_last(written, question, "treatment", seed, [1.4 + seed / 99], val_acc=0.9 + seed / 999, size=9.0)
    with Catalog.open(written.project) as catalog:
        judgement = judge_now(written.ledger, catalog, question)
        assert judgement.verdict.kind == "worse"
        [words] = opposed_words(catalog, question, judgement)
        assert words.startswith("But val_acc is better: +")
        assert set(collect(catalog, question.plan)["baseline"]) == {0, 1, 2, 3}


def test_of_more_runs_than_the_budget_only_its_seeds_are_judged(judged):
    """A larger budget may have been asked for before."""
    judgement = judged(results_of([1.0, 1.1, 0.9, 1.2, 1.0, 1.1], [1.1, 1.0, 1.2, 0.9, 1.1, 1.0]))
    assert judgement.verdict.n == 4
    assert judgement.done
    assert math.isfinite(judgement.verdict.low)
