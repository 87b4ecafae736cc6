"""The reference forecast learns from the project's past, and is hardly worse than its best member."""

import math

import numpy as np
import pytest

from palate.forecast.chances import OUTCOMES, Chances
from palate.forecast.density import Scale
from palate.forecast.early import EARLY, Gap, gap_features, refer_early
from palate.forecast.features import family_of, features_of, fit_ridge
from palate.forecast.reference import BLIND, Case, base_rate, effect_unit, posteriors, refer, sure_of, weigh
from palate.recipe.settings import Change

NAMES = ("lr", "width", "dropout", "weight_decay", "batch_size", "norm_eps", "hidden", "smoothing")


def change(name="lr", before=1.0, after=2.0):
    return [Change(path=name, before=before, after=after)]


def case(outcome, name="lr", after=2.0, number=0):
    made = change(name, after=after)
    return Case(name=f"{name}{number}", family=family_of(made), features=features_of(made), likelihood=sure_of(outcome))


def test_a_family_is_a_setting_and_a_direction():
    assert family_of(change("optimizer.lr")) == "lr up"
    assert family_of([*change("lr", after=0.1), *change("act", "relu", "gelu")]) == "act + lr down"
    assert family_of(change("use_bias", True, False)) == "use_bias"


def test_features_are_setting_role_direction_and_size():
    features = features_of([*change("lr", 1e-3, 1e-2), *change("lr_min", 0, 1e-5)])
    assert features["optimiser"] == 1.0
    assert features["lr up"] == 1.0
    assert features["lr far"] == pytest.approx(math.log2(10) / 4, abs=1e-6)
    assert features["lr_min far"] == 1.0  # a change from 0 has the greatest size
    assert features["several"] == 1.0
    assert features_of(change("act", "relu", "gelu"))["act = gelu"] == 1.0


def test_the_base_rate_learns_from_the_projects_outcomes():
    assert base_rate([sure_of("better")] * 100).better > 0.9
    assert base_rate([]).better == pytest.approx(0.31)


def test_open_questions_count_by_their_likelihood():
    """With budgets too small to settle on "the same", leaving open questions out would bias the rate of "the same"."""
    sure = [sure_of("worse")] * 4 + [sure_of("better")] * 4
    open_ = [(0.2, 1.0, 0.2, 0.0)] * 30
    assert base_rate(sure).same < 0.1
    assert base_rate(sure + open_).same > 0.5
    chances = posteriors(open_[:1], base_rate(sure + open_))
    assert chances.sum() == pytest.approx(1)
    assert chances[0, 1] > 0.8


def test_a_family_that_was_always_worse_is_predicted_to_be_worse_and_another_is_not():
    past = [case("worse", number=k) for k in range(12)] + [case("better", "width", number=k) for k in range(12)]
    hurt, help_ = (refer(family_of(change(n)), features_of(change(n)), past) for n in ("lr", "width"))
    for member in BLIND:
        assert hurt.members[member].worse > 0.6
        assert help_.members[member].better > 0.6
    assert hurt.nearest[0].startswith("lr")
    assert hurt.outcomes == 24
    assert hurt.nearest[0] == "lr11"  # of those alike, the newest


def test_without_a_past_every_member_is_the_base_rate():
    reference = refer("lr up", features_of(change()), [])
    assert {str(reference.members[member]) for member in BLIND} == {str(base_rate([]))}
    assert reference.nearest == ()
    assert reference.unit == 1.0


def world(rng, n):
    """Changes whose outcome depends on their family, with chance."""
    truth = {name: rng.dirichlet([1, 1, 1]) for name in NAMES}
    for k in range(n):
        name, after = NAMES[rng.integers(len(NAMES))], float(2.0 ** rng.choice([-2, -1, 1, 2]))
        chances = truth[name] if after > 1 else truth[name][::-1]
        yield case(("worse", "same", "better")[rng.choice(3, p=chances)], name, after, k)


@pytest.mark.parametrize("seed", [0, *(pytest.param(k, marks=pytest.mark.slow) for k in (1, 2))])
def test_r0_is_never_worse_than_its_best_member_by_more_than_two_hundredths_of_a_bit(seed):
    past, record, bits = [], [], dict.fromkeys((*BLIND, "R0"), 0.0)
    n = 120
    for one in world(np.random.default_rng(seed), n):
        outcome = OUTCOMES[one.likelihood.index(1.0)]
        reference = refer(one.family, one.features, past, record)
        for member in BLIND:
            bits[member] += math.log2(reference.members[member].of(outcome)) / n
        bits["R0"] += math.log2(reference.chances.of(outcome)) / n
        past.append(one)
        record.append((reference.members, one.likelihood))
    assert bits["R0"] >= max(bits[member] for member in BLIND) - 0.02


ONE = Chances(worse=0.8, same=0.1, better=0.05, crash=0.05)
OTHER = Chances(worse=0.1, same=0.8, better=0.05, crash=0.05)


def test_weights_are_the_mean_of_bayes_rule_and_stacking():
    record = [({"base rate": ONE, "features": OTHER}, sure_of(outcome)) for outcome in ["worse"] * 3 + ["same"] * 2]
    weight = weigh({"base rate": 0.5, "features": 0.5}, record)["base rate"]

    def fit(share):
        prior = math.log(share) + math.log(1 - share)  # worth two outcomes
        return prior + 3 * math.log(share * 0.8 + (1 - share) * 0.1) + 2 * math.log(share * 0.1 + (1 - share) * 0.8)

    best = max(np.linspace(0.001, 0.999, 999), key=fit)
    assert weight == pytest.approx((8 / 9 + best) / 2, abs=2e-3)


def test_members_with_different_information_both_have_weight():
    record = [({"base rate": ONE, "features": OTHER}, sure_of(outcome)) for outcome in ["worse"] * 60 + ["same"] * 50]
    weights = weigh({"base rate": 0.5, "features": 0.5}, record)
    assert weights["features"] > 0.2
    assert sum(weights.values()) == pytest.approx(1)


def test_an_outcome_that_a_member_did_not_predict_does_not_count_and_the_prior_stays():
    record = [({"features": base_rate([])}, sure_of("better"))]
    assert weigh({"base rate": 0.25, "features": 0.75}, record) == {"base rate": 0.25, "features": 0.75}


def test_the_width_of_effects_is_learnt():
    assert effect_unit([]) == 1.0
    assert effect_unit([(0.05, 0.1)] * 20) < 0.4
    assert effect_unit([(8.0, 0.3), (-6.0, 0.3), (5.0, 0.3), (-9.0, 0.3)]) > 2


def test_ridge_regression_ends_where_its_gradient_is_zero():
    rng = np.random.default_rng(3)
    rows = [{name: float(value) for name, value in zip("abc", rng.normal(size=3), strict=True)} for _ in range(80)]
    classes = np.array([int(row["a"] > 0.3) + int(row["b"] > 0.8) for row in rows])
    rates = np.array([0.5, 0.3, 0.2])
    fitted = fit_ridge(rows, np.eye(3)[classes], rates)
    table = np.array([[row[name] for name in fitted.names] for row in rows])
    chances = np.array([fitted.chances(row) for row in rows])
    slope = table.T @ (np.eye(3)[classes] - chances) - fitted.weights
    assert np.abs(slope).max() < 1e-3
    assert chances.sum(axis=1) == pytest.approx(1)
    assert fitted.chances({"never seen": 5.0}) == pytest.approx(rates)


def gaps(difference, error=0.5):
    return {member: Gap(difference=difference, error=error, weight=1 / 3) for member in EARLY}


def test_a_curve_that_is_ahead_makes_better_more_probable_the_more_of_it_is_observed():
    blind = refer("lr up", features_of(change()), [case("worse", number=k) for k in range(6)])
    scale = Scale(margin=1.0, seed_sd=1.0)
    little, much = (refer_early(blind, gaps(4.0), scale, share).chances.better for share in (0.1, 0.9))
    assert blind.chances.better < little < much
    assert refer_early(blind, gaps(-4.0), scale, 0.9).chances.worse > 0.8
    assert refer_early(blind, gaps(0.0, 0.1), scale, 0.9).chances.same > 0.5
    assert refer_early(blind, gaps(4.0), scale, 0.5).members["persistence"].crash < blind.chances.crash


def test_early_gaps_are_features_for_each_sign():
    assert gap_features(2.0) == {"ahead": 0.5, "behind": 0.0}
    assert gap_features(-9.0) == {"ahead": 0.0, "behind": 1.0}
