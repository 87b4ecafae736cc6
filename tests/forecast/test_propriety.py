"""The score is proper over the whole entry menu at any number of seeds; two tempting rules are not, and fail here."""

import pytest
from benchmarks.propriety import SEEDS, worst_regret


@pytest.mark.parametrize("seeds", SEEDS)
def test_nobody_expects_more_by_saying_something_else_than_they_believe(seeds):
    assert worst_regret("density", seeds) <= 1e-9


@pytest.mark.parametrize("seeds", SEEDS)
@pytest.mark.parametrize("rule", ["posterior", "point"])
def test_the_rejected_rules_pay_for_saying_something_else(rule, seeds):
    assert worst_regret(rule, seeds) > 0.01
