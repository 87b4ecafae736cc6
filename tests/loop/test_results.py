"""What ended runs gave, by arm and seed, and what else their journals say."""

import numpy as np
import pytest
from tests.loop.test_judge import results_of
from tests.loop.trained_project import DEBUG, SCRIPT, Recorder

from palate.loop.results import IDENTICAL_BITS, Examples, _bits, collect, complete_pairs, curves_identical
from palate.loop.runner import Runner
from palate.store.catalog import Catalog


def test_pairs_are_counted_from_the_first_seed_on_without_gaps():
    assert complete_pairs(results_of([], [])) == 0
    assert complete_pairs(results_of([1.0, 1.0, 1.0], [1.0, None, 1.0])) == 1
    assert complete_pairs(results_of([1.0, "nan", 1.0], [1.0, 1.0])) == 2


def test_runs_that_go_or_failed_before_their_first_point_are_no_results(written):
    question = written.ask(written.question())
    written.write_run(question, "baseline", 0, 1.0)
    written.write_run(question, "baseline", 1, 1.0, ended=False)
    written.write_run(question, "treatment", 2, 1.0, points=0)
    with Catalog.open(written.project) as catalog:
        results = collect(catalog, question.plan)
        assert {arm: sorted(by_seed) for arm, by_seed in results.items()} == {"baseline": [0], "treatment": []}
        [result] = results["baseline"].values()
        assert (result.points, result.elapsed_s, result.outcome.ending) == (60, 1.0, "finished")


def test_curves_are_identical_where_every_pair_logged_the_same_but_for_clocks(written):
    question = written.ask(written.question())
    for seed in range(2):
        for arm in ("baseline", "treatment"):
            written.write_run(question, arm, seed, 1.0 + seed)
    with Catalog.open(written.project) as catalog:
        results = collect(catalog, question.plan)
        assert curves_identical(catalog, results)
        assert not curves_identical(catalog, {arm: {} for arm in results})
        written.write_run(question, "treatment", 2, 1.5)
        written.write_run(question, "baseline", 2, 1.6)
        assert not curves_identical(catalog, collect(catalog, question.plan))


def test_equal_steps_of_a_coarse_metric_say_a_bit_each_and_a_fine_one_says_all():
    fine = np.array([0.31415926535, 0.27182818284])
    assert _bits(fine) == IDENTICAL_BITS
    assert _bits(np.array([0.5, 0.5, 0.5])) == 0  # nothing moved
    assert _bits(np.arange(10) / 16) == 9
    assert _bits(np.array([1 / 3, 2 / 3, 1.0], dtype=np.float32).astype(float)) == 2
    assert _bits(np.array([0.9812, 0.9813, 0.9815])) == 2
    assert _bits(np.array([fine[0], fine[0]])) == 0


def run_all(catalog, question):
    with Runner(catalog, question.plan, resources=DEBUG, person=Recorder()) as runner:
        return list(runner)[-1]


EXAMPLES = SCRIPT + "palate.training.run.current_run().examples([gain > 0.5 or i % 4 for i in range(20)])\n"


def test_what_both_arms_disagree_on_is_a_share_of_the_squared_count(trained):
    trained.write("import palate.training.run\n" + EXAMPLES)
    question = trained.question(budget=2)
    with trained.catalog() as catalog:
        results, examples = run_all(catalog, question), Examples(catalog)
        assert examples.disagreement(results, [0, 1]) == pytest.approx(5 / 20**2)
        assert examples.disagreement(results, []) == 0.0


def test_runs_that_kept_no_examples_tell_no_disagreement(trained):
    question = trained.question(budget=2)
    with trained.catalog() as catalog:
        assert Examples(catalog).disagreement(run_all(catalog, question), [0, 1]) == 0.0
