"""Knobs: how they are typed, what they do in an optimizer's step, and what is really in force."""

import pytest

from palate.cooking.knobs import Declared, OptimizerKnobs, turned, turned_weight
from palate.cooking.mixing import Mixer
from palate.errors import InputError
from palate.question.branch import Amount, Branch, Fork, Trunk, parse_amount


@pytest.mark.parametrize(
    ("typed", "amount"),
    [
        ("x0.3", Amount("times", 0.3)),
        ("*2", Amount("times", 2.0)),
        (".05", Amount("to", 0.05)),
        ("=1e-4", Amount("pin", 1e-4)),
        (3, Amount("to", 3.0)),
    ],
)
def test_an_amount_is_a_factor_a_number_or_a_number_that_is_held(typed, amount):
    assert parse_amount("lr", typed) == amount
    assert parse_amount("lr", str(amount)) == amount


@pytest.mark.parametrize("typed", ["", "x", "fast", "x-1", "nan", "xinf", "=", True, None, "x1e9"])
def test_what_is_no_amount_is_refused_with_what_to_type(typed):
    with pytest.raises(InputError) as refused:
        parse_amount("lr", typed)
    assert "lr=x0.3" in refused.value.todo


def knobs_of(torch, optimizer, ramp=lambda: 1.0):
    steps = []
    knobs = OptimizerKnobs({"optimizer": optimizer}, ramp, steps.append)
    knobs.look()
    return knobs, steps


def one_step(torch, optimizer, parameter):
    optimizer.zero_grad()
    parameter.sum().backward()
    before = parameter.detach().clone()
    optimizer.step()
    return float((before - parameter.detach())[0])


def test_a_factor_is_in_force_in_the_step_and_gone_behind_it(torch):
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=0.1)
    knobs, steps = knobs_of(torch, optimizer)
    knobs.turn("lr", parse_amount("lr", "x0.5"))
    assert one_step(torch, optimizer, parameter) == pytest.approx(0.05)
    assert optimizer.param_groups[0]["lr"] == 0.1
    assert knobs.value("lr") == pytest.approx(0.05)
    assert steps == ["optimizer"]


@pytest.mark.parametrize("recursive", [True, False])
def test_no_scheduler_and_no_line_of_the_loop_undoes_a_factor(torch, recursive):
    seen = []
    for factor in (1.0, 0.5):
        parameter = torch.nn.Parameter(torch.zeros(1))
        optimizer = torch.optim.SGD([parameter], lr=0.1)
        knobs, _ = knobs_of(torch, optimizer)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10) if recursive else None
        knobs.turn("lr", Amount("times", factor))
        took = []
        for step in range(10):
            if schedule is None:
                optimizer.param_groups[0]["lr"] = 0.1 / (1 + step)
            took.append(one_step(torch, optimizer, parameter))
            if schedule is not None:
                schedule.step()
        seen.append(took)
    assert seen[1] == pytest.approx([0.5 * one for one in seen[0]])


def test_to_keeps_the_shape_of_a_schedule_and_pin_does_not(torch):
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=0.1)
    knobs, _ = knobs_of(torch, optimizer)
    knobs.turn("lr", parse_amount("lr", "0.02"))
    assert one_step(torch, optimizer, parameter) == pytest.approx(0.02)
    optimizer.param_groups[0]["lr"] = 0.05
    assert one_step(torch, optimizer, parameter) == pytest.approx(0.01)
    knobs.turn("lr", parse_amount("lr", "=0.02"))
    assert one_step(torch, optimizer, parameter) == pytest.approx(0.02)
    knobs.turn("lr", parse_amount("lr", "x0.5"))
    assert one_step(torch, optimizer, parameter) == pytest.approx(0.01)


def test_factors_of_one_knob_multiply_and_survive_a_capsule(torch):
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], lr=0.1, weight_decay=0.2)
    knobs, _ = knobs_of(torch, optimizer)
    knobs.turn("lr", Amount("times", 0.5))
    knobs.turn("lr", Amount("times", 0.5))
    knobs.turn("weight_decay", Amount("to", 0.1))
    assert knobs.now("lr") == pytest.approx(0.025)
    again, _ = knobs_of(torch, torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], lr=0.1, weight_decay=0.2))
    again.restore(knobs.state())
    assert (again.now("lr"), again.now("weight_decay")) == (pytest.approx(0.025), pytest.approx(0.1))


def test_a_ramp_multiplies_every_lr_and_nothing_else(torch):
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=0.1)
    knobs_of(torch, optimizer, ramp=lambda: 0.25)
    assert one_step(torch, optimizer, parameter) == pytest.approx(0.025)


def test_one_optimizer_of_several_is_turned_alone(torch):
    optimizers = {name: torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1) for name in ("g", "d")}
    knobs = OptimizerKnobs(optimizers, lambda: 1.0, lambda _: None)
    assert {"lr", "g.lr", "d.lr"} <= set(knobs.names())
    knobs.turn("d.lr", Amount("times", 0.1))
    assert (knobs.now("g.lr"), knobs.now("d.lr")) == (pytest.approx(0.1), pytest.approx(0.01))
    knobs.turn("lr", Amount("times", 2.0))
    assert (knobs.now("g.lr"), knobs.now("d.lr")) == (pytest.approx(0.2), pytest.approx(0.02))


def test_values_below_zero_and_out_of_range_are_refused(torch):
    knobs, _ = knobs_of(torch, torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1))
    with pytest.raises(InputError, match="cannot be below 0"):
        knobs.turn("lr", Amount("to", -1.0))
    with pytest.raises(InputError, match="out of its range, 0 to 1"):
        turned(Declared(0.5, 0.0, 1.0), "noise", Amount("times", 3.0))
    with pytest.raises(InputError, match="cannot be below 0"):
        turned_weight(1.0, "adv", Amount("to", -0.1))


def test_terms_are_weighted_in_their_order_and_logged_as_they_are(torch):
    mixer = Mixer()
    mixer.weights["adv"] = 0.5
    l1, adv = torch.tensor(2.0), torch.tensor(3.0)
    assert mixer.mix({"l1": l1, "adv": lambda: adv}).item() == 3.5
    assert list(mixer.rows(7)) == [(7, {"l1": 2.0, "adv": 3.0})]
    assert list(mixer.rows(8)) == []


def test_a_term_at_weight_zero_is_not_called_but_a_value_is_still_logged(torch):
    mixer = Mixer()
    mixer.weights |= {"adv": 0.0, "flavour": 0.0}
    total = mixer.mix({"l1": torch.tensor(2.0), "adv": lambda: 1 / 0, "flavour": torch.tensor(9.0)})
    assert total.item() == 2.0
    assert list(mixer.rows(0)) == [(0, {"l1": 2.0, "flavour": 9.0})]


def test_a_loss_without_a_term_is_refused(torch):
    mixer = Mixer()
    with pytest.raises(InputError, match="Nothing is left of the loss"):
        mixer.mix({})
    mixer.weights["l1"] = 0.0
    with pytest.raises(InputError, match="l1 has weight 0"):
        mixer.mix({"l1": torch.tensor(2.0)})


def test_one_term_of_weight_one_is_the_term_itself(torch):
    term = torch.tensor(2.0, requires_grad=True)
    assert Mixer().mix({"ce": term}) is term


def test_a_branch_is_the_same_behind_an_environment_variable():
    branch = Branch(capsule="a.pt", at=9, replicate=2, turns={9: {"lr": Amount("times", 0.3)}}, stop=5, anneal=True)
    assert Branch.read(branch.text()) == branch
    with pytest.raises(InputError, match="without an end"):
        Branch(anneal=True)


def test_pairs_go_round_the_trunks_and_then_to_new_replicates(tmp_path):
    fork = Fork(trunks=(Trunk(run="a", seed=3, step=9, hash=""), Trunk(run="b", step=9, hash="")), at=9, horizon=5)
    branches = [fork.branch(pair, tmp_path, {}) for pair in range(4)]
    assert [one.capsule.split("/")[-3] for one in branches] == ["a", "b", "a", "b"]
    assert [one.replicate for one in branches] == [0, 0, 1, 1]
    assert [fork.seed(pair) for pair in range(4)] == [3, 1, 3, 3]
    assert Fork.read(fork.body()) == fork
