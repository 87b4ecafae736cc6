"""The reference forecast learns from the project's past, and is hardly worse than its best member."""

import math

import numpy as np
import pytest

from palate.forecast.chances import OUTCOMES, Chances
from palate.forecast.density import Scale
from palate.forecast.early import EARLY, Gap, gap_features, refer_early
from palate.forecast.features import family_of, features_of, moves_of, speaks_of
from palate.forecast.reference import BLIND, Case, base_rate, effect_unit, posteriors, refer, sure_of
from palate.recipe.settings import Change

NAMES = ("lr", "width", "dropout", "weight_decay", "batch_size", "norm_eps", "hidden", "smoothing")


def change(name="lr", before=1.0, after=2.0):
    return [Change(path=name, before=before, after=after)]


def case(outcome, name="lr", after=2.0, number=0):
    made = change(name, after=after)
    return case_of(f"{name}{number}", made, sure_of(outcome))


def case_of(name, made, likelihood):
    return Case(
        name=name, family=family_of(made), features=features_of(made), moves=moves_of(made), likelihood=likelihood
    )


def refer_to(made, past, record=()):
    return refer(features_of(made), moves_of(made), past, record)


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
    assert base_rate([]).worse == pytest.approx(0.41)


def test_open_questions_count_by_their_likelihood():
    """With budgets too small to settle on "the same", leaving open questions out would bias the rate of "the same"."""
    sure = [sure_of("worse")] * 4 + [sure_of("better")] * 4
    open_ = [(0.2, 1.0, 0.2, 0.0)] * 30
    assert base_rate(sure).same < 0.12
    assert base_rate(sure + open_).same > 0.5
    chances = posteriors(open_[:1], base_rate(sure + open_))
    assert chances.sum() == pytest.approx(1)
    assert chances[0, 1] > 0.8


def test_a_family_that_was_always_worse_is_predicted_to_be_worse_and_another_is_not():
    past = [case("worse", number=k) for k in range(12)] + [case("better", "width", number=k) for k in range(12)]
    hurt, help_ = (refer_to(change(n), past) for n in ("lr", "width"))
    for member in ("settings", "like changes"):
        assert hurt.members[member].worse > 0.6
        assert help_.members[member].better > 0.6
    assert hurt.members["guess"].worse == pytest.approx((1 - hurt.members["base rate"].crash) / 3)
    assert hurt.nearest[0].startswith("lr")
    assert hurt.outcomes == 24
    assert hurt.nearest[0] == "lr11"  # of those alike, the newest


def test_without_a_past_the_reference_is_practice_and_a_guess():
    reference = refer_to(change("anything"), [])
    assert {str(reference.members[member]) for member in ("base rate", "like changes")} == {str(base_rate([]))}
    assert reference.chances.worse > reference.chances.same > reference.chances.better
    assert reference.nearest == ()
    assert reference.unit == 1.0
    assert sum(reference.weights.values()) == pytest.approx(1)


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
        reference = refer(one.features, one.moves, past, record)
        for member in BLIND:
            bits[member] += math.log2(reference.members[member].of(outcome)) / n
        bits["R0"] += math.log2(reference.chances.of(outcome)) / n
        past.append(one)
        record.append((reference.members, one.likelihood))
    assert bits["R0"] >= max(bits[member] for member in BLIND) - 0.02


def test_the_width_of_effects_is_learnt():
    assert effect_unit([]) == 1.0
    assert effect_unit([(0.05, 0.1)] * 20) < 0.4
    assert effect_unit([(8.0, 0.3), (-6.0, 0.3), (5.0, 0.3), (-9.0, 0.3)]) > 2


def gaps(difference, error=0.5):
    return {member: Gap(difference=difference, error=error, weight=1 / 2) for member in EARLY}


def test_a_curve_that_is_ahead_makes_better_more_probable_the_more_of_it_is_observed():
    blind = refer_to(change(), [case("worse", number=k) for k in range(6)])
    scale = Scale(margin=1.0, seed_sd=1.0)
    little, much = (refer_early(blind, gaps(4.0), scale, share).chances.better for share in (0.1, 0.9))
    assert blind.chances.better < little < much
    assert refer_early(blind, gaps(-4.0), scale, 0.9).chances.worse > 0.8
    assert refer_early(blind, gaps(0.0, 0.1), scale, 0.9).chances.same > 0.5
    assert refer_early(blind, gaps(4.0), scale, 0.5).members["persistence"].crash < blind.chances.crash


def test_early_gaps_are_features_for_each_sign():
    assert gap_features(2.0) == {"ahead": 0.5, "behind": 0.0}
    assert gap_features(-9.0) == {"ahead": 0.0, "behind": 1.0}


def test_a_change_says_something_of_the_opposite_one_mirrored_and_less():
    narrower = [case_of("a", change("width", 64, 16), sure_of("better"))]
    wider = refer_to(change("width", 64, 256), narrower)
    undone = refer_to(change("width", 16, 64), narrower)
    again = refer_to(change("width", 64, 16), narrower)
    before = refer_to(change("width", 64, 256), [])
    assert wider.members["settings"].worse > before.members["settings"].worse
    assert undone.members["settings"].worse > wider.members["settings"].worse
    assert again.members["settings"].better > 0.5
    assert wider.nearest == ("a",)


def test_a_crash_of_the_opposite_change_says_nothing_of_a_crash():
    past = [case_of("a", change("plain", 1, 4), sure_of("crash"))]
    reference = refer_to(change("plain", 1, 0.25), past)
    assert reference.members["settings"].crash == pytest.approx(reference.members["base rate"].crash)
    assert reference.members["settings"].crash < 0.3


@pytest.mark.parametrize(
    ("one", "mine", "said"),
    [
        (("relu", "gelu"), ("relu", "gelu"), (1.0, 0.0)),
        (("gelu", "relu"), ("relu", "gelu"), (0.0, 1.0)),
        (("relu", "tanh"), ("relu", "gelu"), (0.25, 0.0)),
        (("tanh", "gelu"), ("relu", "gelu"), (0.5, 0.0)),
        ((0.0, 0.1), (0.0, 0.3), (1.0, 0.0)),
        ((0.1, 0.0), (0.1, 0.2), (0.0, 0.75)),
    ],
)
def test_how_much_one_change_says_of_another(one, mine, said):
    told = speaks_of(moves_of(change("x", *one)), moves_of(change("x", *mine)))
    assert told == pytest.approx(said)
    assert speaks_of(moves_of(change("y", *one)), moves_of(change("x", *mine))) == (0.0, 0.0)


def test_a_bundle_says_half_as_much_of_one_of_its_two_changes():
    bundle = moves_of([*change("lr"), *change("width")])
    assert speaks_of(bundle, moves_of(change("lr"))) == (0.5, 0.0)


def test_a_case_that_was_not_settled_is_among_those_like_it():
    """For dropout 0.1, "Like it" showed sigmoid, tanh and LayerNorm, and not the unsettled dropout 0.3."""
    past = [
        case_of("dropout", change("dropout", 0.0, 0.3), (0.5, 1.0, 0.4, 0.0)),
        case_of("sigmoid", change("act", "relu", "sigmoid"), sure_of("worse")),
        case_of("tanh", change("act", "relu", "tanh"), sure_of("worse")),
        case_of("norm", change("norm", "batch", "layer"), sure_of("worse")),
    ]
    assert refer_to(change("dropout", 0.0, 0.1), past).nearest[0] == "dropout"


OLD = {"base rate": base_rate([]), "like changes": base_rate([]), "features": base_rate([])}


def test_what_was_sealed_under_older_members_is_still_weighed():
    good, bad = Chances(worse=0.8, same=0.1, better=0.05, crash=0.05), Chances(
        worse=0.1, same=0.8, better=0.05, crash=0.05
    )  # fmt: skip
    past = [case("worse", number=k) for k in range(9)]
    record = [({**OLD, "base rate": bad, "like changes": good, "power law": bad}, sure_of("worse"))] * 9
    older, none = (refer_to(change(), past, told) for told in (record, [(OLD, sure_of("worse"))]))
    assert older.weights["like changes"] > 5 * none.weights["like changes"]
    assert none.weights["settings"] == pytest.approx(older.weights["settings"])  # it was not there
    misled = refer_to(change(), past, [({**OLD, "base rate": bad}, sure_of("worse"))] * 9)
    assert misled.weights["guess"] > 20 * misled.weights["base rate"]  # a guess needs no seal
