"""Many verdicts: discoveries equal to those of scipy, and badges from new runs."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palate.errors import InputError
from palate.verdict.flukes import expected_flukes
from palate.verdict.many import benjamini_hochberg, confirm_all
from palate.verdict.pairs import make_pairs


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_discoveries_are_those_of_scipys_adjusted_p_values(p):
    from scipy.stats import false_discovery_control

    wanted = false_discovery_control(p, method="bh")
    for chosen, adjusted in zip(benjamini_hochberg(p), wanted, strict=True):
        assert chosen == (adjusted <= 0.10) or adjusted == pytest.approx(0.10)


def test_values_that_are_not_p_values_are_refused():
    with pytest.raises(InputError):
        benjamini_hochberg([0.5, 1.5])
    assert benjamini_hochberg([]) == []


def test_new_runs_confirm_contradict_or_do_not_decide():
    from scipy.stats import ttest_rel

    rng = np.random.default_rng(0)
    base = rng.normal(0, 1, 20)
    noise = rng.normal(0, 0.5, 20)
    new = [make_pairs(base, base + shift + noise - noise.mean()) for shift in (1.0, -1.0, 0.01)]
    confirmations = confirm_all(new, [1, 1, 1])
    assert [one.badge for one in confirmations] == ["confirmed", "contradicted", "provisional"]
    assert confirmations[0].p == pytest.approx(ttest_rel(new[0].treatment, new[0].baseline).pvalue)
    assert confirm_all([make_pairs([1, 2.0], [1, 2.0])], [1])[0].badge == "provisional"


@pytest.mark.slow
def test_among_20_verdicts_the_false_discovery_rate_is_10_percent_at_most():
    """5 effects of 1.5 seed sds among 20 verdicts of "better", 20 new pairs each, arms with correlation .5."""
    rng, rates, true_discoveries = np.random.default_rng(3), [], 0
    for _ in range(400):
        effects = np.array([1.5] * 5 + [0.0] * 15)
        new = []
        for effect in effects:
            shared = rng.normal(0, 0.7, 20)
            new.append(make_pairs(shared + rng.normal(0, 0.7, 20), shared + effect + rng.normal(0, 0.7, 20)))
        chosen = np.array([one.badge != "provisional" for one in confirm_all(new, [1] * 20)])
        rates.append((chosen & (effects == 0)).sum() / max(chosen.sum(), 1))
        true_discoveries += chosen[:5].sum()
    assert np.mean(rates) <= 0.10
    assert true_discoveries / (400 * 5) >= 0.90


def test_expected_flukes_are_one_sided():
    assert expected_flukes(40) == pytest.approx(1.0)


def test_e_values_choose_fewer_and_only_what_p_values_choose_too():
    rng = np.random.default_rng(4)
    base = rng.normal(0, 1, (6, 20))
    new = [
        make_pairs(row, row + shift + rng.normal(0, 0.5, 20))
        for row, shift in zip(base, (2, 1, 0.3, 0, 0, 0), strict=True)
    ]
    strict, usual = (confirm_all(new, [1] * 6, strict=s) for s in (True, False))
    assert strict[0].badge == "confirmed"
    assert all(u.badge != "provisional" for s, u in zip(strict, usual, strict=True) if s.badge != "provisional")


def test_the_fixed_n_p_value_is_near_that_of_all_sign_flips():
    from scipy.stats import permutation_test

    rng = np.random.default_rng(5)
    pairs = make_pairs(np.zeros(12), rng.normal(0.5, 1, 12))
    flipped = permutation_test((pairs.differences,), np.mean, permutation_type="samples", n_resamples=np.inf).pvalue
    assert confirm_all([pairs], [1])[0].p == pytest.approx(flipped, abs=0.02)
