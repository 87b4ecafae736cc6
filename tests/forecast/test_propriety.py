"""The score is proper over all possible answers at any number of seeds; two simpler rules are not."""

import pytest
from benchmarks.propriety import SEEDS, worst_regret


@pytest.mark.parametrize("seeds", SEEDS)
def test_no_other_answer_has_a_higher_expected_score_than_the_believed_one(seeds):
    assert worst_regret("density", seeds) <= 1e-9


@pytest.mark.parametrize("seeds", SEEDS)
@pytest.mark.parametrize("rule", ["posterior", "point"])
def test_under_the_rejected_rules_another_answer_has_a_higher_expected_score(rule, seeds):
    assert worst_regret(rule, seeds) > 0.01
