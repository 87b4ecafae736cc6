"""The twelve detectors on curves and tensors made by hand: where each begins to speak, and what it says."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palate.cooking.cards import CARDS, card_for
from palate.cooking.seen import Facts, Look, Parameter, Rows, Tensor
from palate.cooking.symptoms import DETECTORS, detect

FACTS = Facts(parameters={"first.weight": Parameter(size=100), "last.weight": Parameter(size=100)})
TEN = replace(FACTS, classes=10)


def curve(values, *, rate=0.1, validation=None, **more):
    """Looks at a training loss, a value a step, with a full look each tenth of the way."""
    looks = [Look(step=1, rates={"0": rate})]
    every = max(1, len(values) // 10)
    for step, value in enumerate(values, start=1):
        looks.append(Look(step=step, losses={"loss": float(value)}))
        if step % every == 0:
            looks.append(Look(step=step, tensors=tensors(**more)))
            if validation is not None:
                looks.append(Look(step=step, validation={"loss": float(validation[step // every - 1])}))
    return looks


def tensors(first=None, last=None):
    sound = Tensor(weight=1.0, gradient=0.1, ratio=1e-3)
    return {"first.weight": first or sound, "last.weight": last or sound}


def falling(n=400, start=2.3, end=0.3, noise=0.03, seed=0):
    rng = np.random.default_rng(seed)
    return end + (start - end) * np.exp(-np.arange(n) / (n / 5)) + noise * rng.standard_normal(n)


def kinds(looks, facts=TEN):
    return [symptom.kind for symptom in detect(looks, facts)]


def the(looks, facts=TEN):
    (symptom,) = detect(looks, facts)
    return symptom


def test_a_healthy_curve_has_no_symptom():
    assert kinds(curve(falling(), validation=np.linspace(2.0, 0.4, 10))) == []


def test_no_looks_no_symptoms():
    assert detect([], FACTS) == ()


def test_the_first_value_that_is_not_finite_is_named():
    looks = [
        *curve(falling(20)),
        Look(step=21, not_finite=("gradient of first.weight", "weight of last.weight")),
        Look(step=22, losses={"loss": math.nan}),
    ]
    symptom = the(looks)
    assert symptom.words == "at step 21 gradient of first.weight is not finite (2 tensors)"
    assert (symptom.kind, symptom.step) == ("not_finite", 21)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_any_of_several_losses_may_be_the_one_that_is_not_finite(value):
    symptom = the([Look(step=3, losses={"loss": 1.0, "adversarial": value})], FACTS)
    assert symptom.words == f"at step 3 adversarial is {value}"


def test_a_loss_that_rises_and_stays_has_diverged_and_one_that_rises_a_little_has_not():
    rises = np.concatenate([falling(300), 0.3 + np.linspace(0, 2.0, 50), np.full(50, 2.3)])
    symptom = the(curve(rises))
    assert symptom.kind == "diverged"
    assert symptom.words.startswith("the loss has risen since step 2")
    assert kinds(curve(np.concatenate([falling(300), np.full(100, 0.36)]))) == []


def test_a_loss_that_comes_back_has_not_diverged():
    bump = np.concatenate([falling(200), np.full(40, 1.8), np.full(160, 0.3)])
    assert "diverged" not in kinds(curve(bump))


def test_a_spike_is_told_with_its_step_and_the_level_before_it():
    values = falling(400)
    values[299] = 9.1
    symptom = the(curve(values))
    assert symptom.kind == "spikes"
    assert symptom.words == "spike at step 300: loss 9.1, the median of the 100 before it is 0.383"
    values[198] = 9.1
    assert the(curve(values)).words == (
        "spike at step 199: loss 9.1, the median of the 100 before it is 0.609, and 1 more since"
    )


def test_what_is_within_the_noise_of_heavy_tailed_losses_is_no_spike():
    rng = np.random.default_rng(1)
    assert kinds(curve(falling(600, noise=0) * rng.lognormal(0, 0.5, 600))) == []


def test_a_spike_that_has_not_come_back_is_not_told_yet():
    values = falling(400)
    values[399] = 9.1
    assert kinds(curve(values)) == []


def test_a_flat_loss_is_told_and_one_below_a_guess_is_not():
    rng = np.random.default_rng(2)
    flat = 2.31 + 0.02 * rng.standard_normal(300)
    symptom = the(curve(flat))
    assert symptom.kind == "not_learning"
    assert symptom.words == "the loss is flat from the start: 2.31 at first, 2.31 up to step 300, a guess has 2.3"
    assert kinds(curve(flat - 0.4)) == []


def test_a_flat_loss_of_fine_tuning_is_told_only_where_it_is_that_of_a_guess():
    flat = np.full(300, 0.5)
    assert kinds(curve(flat), FACTS) == ["not_learning"]
    assert kinds(curve(flat), replace(FACTS, fresh=False)) == []


def test_steps_of_a_warm_up_do_not_count_as_flat():
    flat = 2.31 + 0.02 * np.random.default_rng(0).standard_normal(290)
    warming = [Look(step=step, rates={"0": 1e-3 * step}) for step in range(1, 291)]
    looks = sorted([*warming, *curve(flat, rate=1e-3)], key=lambda look: look.step)
    assert "not_learning" not in kinds(looks)


def test_an_optimizer_that_never_steps_is_told():
    looks = [Look(step=0, losses={"loss": value}) for value in falling(100)]
    assert "has not stepped once while 100 losses" in the(looks, FACTS).words
    assert detect(looks[:99], FACTS) == ()


def test_a_learning_rate_that_is_not_the_one_asked_for_is_told():
    asked = replace(FACTS, asked={"0": 0.1})
    assert the(curve(falling(), rate=0.01), asked).words == (
        "learning rate 0.1 was asked for group 0; the highest in force is 0.01"
    )
    assert the(curve(falling(), rate=0.2), asked).kind == "learning_rate"
    assert kinds(curve(falling(), rate=0.1), asked) == kinds(curve(falling(), rate=0.05), asked) == []


def test_a_schedule_that_still_rises_is_in_force():
    rising = [Look(step=step, rates={"0": 1e-4 * step}, losses={"loss": 1.0}) for step in range(1, 90)]
    assert detect(rising, replace(FACTS, asked={"0": 0.1})) == ()


def test_a_learning_rate_that_is_gone_too_soon_is_told_and_the_end_of_a_cosine_is_not():
    soon = [Look(step=step, rates={"0": 0.5**step}, losses={"loss": 1.0}) for step in range(1, 60)]
    assert "since step 15; its peak was 0.5" in the(soon, FACTS).words
    cosine = [Look(step=s, rates={"0": 0.5 * (1 + math.cos(math.pi * s / 400))}) for s in range(1, 401)]
    assert detect(cosine, FACTS) == ()


def test_steps_that_change_nothing_are_told():
    still = Tensor(weight=1.0, gradient=0.1, ratio=2e-6)
    moving = Tensor(weight=1.0, gradient=0.1, ratio=4e-6)
    assert the(curve(falling(), first=still, last=still)).words == (
        "no weight changes since step 0: learning rate 0.1 is too small"
    )
    assert kinds(curve(falling(), first=still, last=moving)) == []


def test_a_parameter_without_an_optimizer_is_told_unless_something_else_changes_it():
    facts = replace(FACTS, parameters={**FACTS.parameters, "first.weight": Parameter(size=100, group=None)})
    looks = curve(falling(), first=Tensor(weight=1.0, gradient=0.1))
    assert the(looks, facts).words == "first.weight is in no optimizer"
    averaged = [
        replace(look, tensors=tensors(first=Tensor(weight=1.0 + look.step, gradient=0.1))) if look.tensors else look
        for look in looks
    ]
    assert kinds(averaged, facts) == []


def test_a_parameter_that_is_used_without_a_gradient_is_told_and_an_unused_head_is_not():
    cut = Tensor(weight=1.0, gradient=None)
    assert the(curve(falling(), first=cut)).words == "first.weight is used and never has a gradient"
    assert kinds(curve(falling(), first=replace(cut, called=False))) == []


def test_a_frozen_teacher_is_left_alone():
    facts = replace(FACTS, parameters={**FACTS.parameters, "first.weight": Parameter(size=100, trains=False)})
    assert kinds(curve(falling(), first=Tensor(weight=1.0, gradient=None)), facts) == []


def test_a_parameter_that_never_changes_is_told_and_one_with_rounding_errors_for_a_gradient_is_not():
    stuck = Tensor(weight=1.0, gradient=0.1, ratio=0.0)
    assert the(curve(falling(), first=stuck)).words == "first.weight has gradients and never changes"
    facts = replace(FACTS, parameters={**FACTS.parameters, "first.weight": Parameter(size=100, matrix=False)})
    assert kinds(curve(falling(), first=replace(stuck, gradient=1e-6)), facts) == []


@pytest.mark.parametrize(("share", "told"), [(0.49, []), (0.5, ["dead_units"])])
def test_half_of_a_layer_must_be_dead(share, told):
    assert kinds(curve(falling(), first=Tensor(weight=1.0, gradient=0.1, ratio=1e-3, idle=share))) == told


@pytest.mark.parametrize(("gradient", "told"), [(2e-4, []), (0.9e-4, ["gradients"])])
def test_gradients_vanish_at_a_thousandth_of_the_strongest_layer(gradient, told):
    assert kinds(curve(falling(), first=Tensor(weight=1.0, gradient=gradient, ratio=1e-3))) == told


def test_gradients_explode_where_the_loss_changes_60_times_as_fast_as_a_layers_scale():
    strong = Tensor(weight=2.0, gradient=30.5, ratio=1e-3)
    looks = curve(np.full(100, 1.0), first=strong, last=strong)
    assert "scaled by 1 % would change the loss by 61 %" in the(looks, replace(FACTS, fresh=False)).words
    less = replace(strong, gradient=29.5)
    assert kinds(curve(np.full(100, 1.0), first=less, last=less), FACTS) == []


def test_overfitting_needs_a_training_loss_that_falls_and_a_validation_loss_that_rises():
    rises = [1.5, 1.0, 0.8, 0.7, 0.72, 0.8, 0.9, 1.0, 1.1, 1.2]
    symptom = the(curve(falling(), validation=rises))
    assert symptom.kind == "overfit"
    assert symptom.words.startswith("validation loss rises since step 160: 1.1, at its best 0.72;")
    assert kinds(curve(falling(), validation=[1.5, 1.0, 0.8, 0.7, 0.72, 0.7, 0.74, 0.7, 0.75, 0.74])) == []
    assert "overfit" not in kinds(curve(np.full(400, 1.0), validation=rises), replace(FACTS, fresh=False))


def test_examples_on_both_sides_are_counted():
    looks = [Look(step=9, rows=Rows(training=1000, validation=500, both=10))]
    assert the(looks).words == "10 of 500 validation examples were seen in training"
    assert kinds([Look(step=9, rows=Rows(training=1000, validation=500, both=9))]) == []


def test_validation_far_below_training_is_told_unless_dropout_explains_it():
    low = 0.6 * falling(10, noise=0)
    train = np.repeat(falling(10, noise=0), 40)
    assert the(curve(train, validation=low)).kind == "leak"
    assert kinds(curve(train, validation=low), replace(TEN, same_mode=False)) == []
    assert kinds(curve(train, validation=low / 0.6 * 0.85)) == []


@pytest.mark.parametrize(("first", "told"), [(2.3, []), (3.1, []), (3.2, ["initial_loss"]), (1.4, ["initial_loss"])])
def test_the_first_loss_is_held_against_the_number_of_classes(first, told):
    looks = [Look(step=1, losses={"loss": first})]
    assert kinds(looks) == told
    assert kinds(looks, replace(TEN, fresh=False)) == kinds(looks, FACTS) == []


def jittering(excess=0.1, *, glances=20, fall=0.0, swing=0.5):
    """Looks at a loss of 0.5 that jitters, and at what glances found since its start."""
    level = 0.5 + np.linspace(fall, 0, 400)
    values = np.concatenate([falling(100), level + 0.05 * np.random.default_rng(0).standard_normal(400)])
    found = excess + swing * excess * np.resize([1, -1], glances)
    seen = [
        Look(step=int(step), excess=value) for step, value in zip(np.linspace(310, 499, glances), found, strict=True)
    ]
    return sorted([*curve(values), *seen], key=lambda look: look.step)


def test_a_noise_ball_is_told_by_how_far_the_loss_is_above_that_of_averaged_weights():
    symptom = the(jittering())
    assert symptom.kind == "noise_ball"
    assert symptom.words.endswith("with a learning rate that goes to 0 it could fall by about 20%")
    assert kinds(jittering(0.035)) == []
    assert kinds(jittering(glances=4)) == []


def test_a_loss_that_still_falls_by_itself_is_in_no_noise_ball():
    assert kinds(jittering(fall=0.2)) == ["noise_ball"]
    assert kinds(jittering(fall=0.4)) == []


def test_glances_that_contradict_each_other_tell_nothing():
    assert kinds(jittering(swing=3)) == ["noise_ball"]
    assert kinds(jittering(swing=6)) == []


def test_a_rate_that_was_lowered_leaves_no_noise_ball():
    looks = jittering()
    at = next(i for i, look in enumerate(looks) if look.step == 350)
    assert kinds([*looks[:at], Look(step=350, rates={"0": 0.01}), *looks[at:]]) == []


def test_losses_that_are_lowered_against_each_other_have_no_level():
    rises = np.concatenate([falling(300), np.full(100, 2.3)])
    assert kinds(curve(rises), replace(TEN, adversarial=True)) == []


def test_every_symptom_opens_a_card_that_is_about_it():
    told = {card.kind for card in CARDS if card.kind}
    assert told == {name for name in told if any(d.__name__ == name for d in DETECTORS)}
    assert len(told) == len(DETECTORS) == 12
    assert card_for(the([Look(step=1, losses={"loss": 9.0})])).number == 1


def test_the_cards_are_numbered_and_name_their_sources():
    assert [card.number for card in CARDS] == list(range(1, 45))
    assert all(card.sources and card.seasoning and card.expect for card in CARDS)
    assert [card.number for card in CARDS if card.conflict] == [16, 31, 39]


def test_one_class_is_refused():
    with pytest.raises(ValueError, match="two classes at least"):
        Facts(classes=1)


@given(st.floats(1e-3, 1e3), st.integers(0, 10**6))
def test_the_unit_of_the_loss_does_not_matter(unit, seed):
    rng = np.random.default_rng(seed)
    values = falling(200, noise=0.1, seed=seed)
    values[rng.integers(100, 190)] += rng.choice([0, 5])
    values[rng.integers(150, 199) :] += rng.choice([0, 1])
    strong = [Look(step=look.step, losses=look.losses) for look in curve(values)]
    scaled = [Look(step=look.step, losses={k: unit * v for k, v in look.losses.items()}) for look in strong]
    assert kinds(scaled, FACTS) == kinds(strong, FACTS)


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True, width=32), max_size=150))
def test_whatever_is_logged_is_judged_and_not_stumbled_over(values):
    looks = [Look(step=step, losses={"loss": v}, validation={"loss": v}) for step, v in enumerate(values)]
    found = kinds(looks)
    assert ("not_finite" in found) == any(not math.isfinite(value) for value in values)


@given(st.floats(0.01, 100), st.floats(1.1, 100), st.integers(150, 600))
def test_a_loss_that_falls_smoothly_has_no_symptom_of_its_shape(end, times, n):
    shapes = {"diverged", "spikes", "not_learning", "noise_ball"}
    assert not shapes & set(kinds(curve(falling(n, start=end * times, end=end, noise=0)), FACTS))


def test_units_that_were_idle_at_five_looks_are_dead_once_those_span_50_steps():
    looks = [Look(step=step, tensors=tensors(first=Tensor(weight=1.0, gradient=0.1, idle=0.0))) for step in (1, 2, 5)]
    dead = tensors(first=Tensor(weight=1.0, gradient=0.1, ratio=1e-3, idle=0.6))
    early = [*looks, Look(step=10, tensors=looks[0].tensors), Look(step=40, tensors=dead)]
    assert kinds(early) == []
    late = [*early[:-1], Look(step=60, tensors=dead)]
    assert [(found.kind, found.step) for found in detect(late, TEN)] == [("dead_units", 1)]


def test_a_loss_that_creeps_down_by_less_than_a_hundredth_is_flat():
    noise = 0.001 * np.random.default_rng(5).standard_normal(300)
    assert kinds(curve(2.31 - np.linspace(0, 0.02, 300) + noise)) == ["not_learning"]
    assert kinds(curve(2.31 - np.linspace(0, 0.12, 300) + noise)) == []
