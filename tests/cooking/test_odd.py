"""Odd parts, odd values and odd files leave a training alone, and come back from a capsule or are named."""

import collections
import json
import os
import threading

import numpy as np
import pytest
from tests.cooking.test_counts import LOADER, FakeRun

from palate.cooking import every
from palate.cooking.capsule import capsules_of, read_capsule
from palate.cooking.commands import Inbox, ask
from palate.cooking.holding import refuse_other
from palate.cooking.live import Live
from palate.cooking.parts import put_state, take_state
from palate.cooking.storable import restored, storable
from palate.errors import InputError, PalateError, RefusedError
from palate.question.branch import Amount, Branch, capsule_path, parse_amount


@pytest.mark.parametrize(
    "value",
    [
        2**4000,
        -(2**4000),
        {frozenset({1, 2}): 3},
        {"__palate_array__": "mine"},
        collections.defaultdict(list, a=[1]),
        collections.deque([1, 2], maxlen=5),
        {1, 2},
        np.zeros(3, dtype=[("a", "i4"), ("b", "f8")]),
    ],
    ids=str,
)
def test_odd_values_come_back_from_a_capsule_as_they_were(value, torch, tmp_path):
    path = tmp_path / "a.pt"
    torch.save({"a": storable(value, "", [])}, path)
    again = restored(torch.load(path, weights_only=True)["a"])
    assert type(again) is type(value)
    assert np.array_equal(again, value) if isinstance(value, np.ndarray) else again == value


def test_lists_queues_and_dictionaries_of_tensors_are_put_back_in_their_place(torch):
    recent = collections.deque([1, 2], maxlen=3)
    state = take_state(recent)
    recent.append(9)
    put_state(recent, state)
    assert list(recent) == [1, 2]
    assert recent.maxlen == 3
    picture = torch.zeros(3, requires_grad=True)
    held = {"img": picture}
    state = {"img": torch.ones(3), "n": 2}
    put_state(held, state)
    assert held["img"] is picture
    assert picture.tolist() == [1, 1, 1]
    assert picture.requires_grad


def test_a_part_whose_state_cannot_be_taken_costs_a_capsule_and_never_the_training(tmp_path, torch, capsys):
    class Part:
        def state_dict(self):
            raise RuntimeError("not now")

        def load_state_dict(self, _):
            pass

    live = Live(FakeRun(tmp_path), {"part": Part()}, keep=every(1))
    assert list(live.steps(LOADER)) == LOADER
    live.close()
    assert capsules_of(tmp_path) == {}
    assert "No capsule could be taken at step 0: RuntimeError: not now" in capsys.readouterr().err


def test_a_dictionary_with_something_that_cannot_be_kept_is_named(tmp_path, torch):
    live = Live(FakeRun(tmp_path), {"best": {"lock": threading.Lock(), "loss": 1.0}}, keep=every(1))
    list(live.steps(LOADER))
    live.close()
    assert read_capsule(capsule_path(tmp_path, 0))["parts"]["best"]["loss"] == 1.0
    assert any("parts.best.lock: a lock" in line for line in capsules_of(tmp_path)[0].left_out)


def test_a_loop_inside_of_the_loop_is_refused(tmp_path, torch):
    live = Live(FakeRun(tmp_path), {}, keep=every(10**9))
    outer = live.steps(LOADER)
    next(outer)
    with pytest.raises(InputError, match="inside of another"):
        next(live.steps(LOADER))
    outer.close()
    assert list(live.steps(LOADER)) == LOADER
    live.close()


def test_odd_files_among_the_commands_are_answered_or_left_and_nobody_waits(tmp_path):
    assert Inbox(tmp_path).look() == []
    (tmp_path / "commands").write_text("in the way")
    assert Inbox(tmp_path).look() == []
    (tmp_path / "commands").unlink()
    asked = ask(tmp_path, {"lr": Amount("times", 2.0)}, author="ada")
    os.mkfifo(tmp_path / "commands" / "1-a.asked.json")
    (tmp_path / "commands" / "2-b.asked.json").symlink_to("/dev/zero")
    (tmp_path / "commands" / "3-c.asked.json").write_text("{" * 1000)
    (tmp_path / "commands" / "4-d.asked.json").write_text(json.dumps({"amounts": {"lr": "fast"}}))
    found = Inbox(tmp_path).look()
    faults = {one[0]: one[1] for one in found if isinstance(one, tuple)}
    assert set(faults) == {"1-a", "2-b", "3-c", "4-d"}
    assert all(isinstance(fault, PalateError) for fault in faults.values())
    assert [one.id for one in found if not isinstance(one, tuple)] == [asked]


def seasoned(tmp_path, torch, groups, **amounts):
    optimizer = torch.optim.SGD(groups, lr=0.1, momentum=0.9)
    live = Live(FakeRun(tmp_path), {"optimizer": optimizer}, keep=every(10**9))
    live.seasoning.turn({name: parse_amount(name, value) for name, value in amounts.items()}, 0)
    return live, optimizer


def test_weight_decay_of_one_group_never_becomes_that_of_all(tmp_path, torch):
    one, other = (torch.nn.Parameter(torch.ones(1)) for _ in range(2))
    groups = [{"params": [one], "weight_decay": 0.0}, {"params": [other], "weight_decay": 0.1}]
    live, optimizer = seasoned(tmp_path, torch, groups, weight_decay=".05")
    seen = []
    optimizer.register_step_pre_hook(lambda opt, *_: seen.append([group["weight_decay"] for group in opt.param_groups]))
    one.grad, other.grad = torch.zeros(1), torch.zeros(1)
    optimizer.step()
    assert seen == [[0.0, pytest.approx(0.05)]]
    assert live.seasoning.value_of("weight_decay") == pytest.approx(0.05)
    live.close()
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.0, 0.1]


@pytest.mark.parametrize("amounts", [{"lr": "1e308"}, {"momentum": "5"}, {"momentum": "x2"}, {"lr": "-1"}])
def test_values_that_would_end_a_training_are_refused(amounts, tmp_path, torch):
    with pytest.raises(InputError):
        seasoned(tmp_path, torch, [torch.nn.Parameter(torch.ones(1))], **amounts)


def test_a_season_is_undone_exactly(tmp_path, torch):
    live, _ = seasoned(tmp_path, torch, [torch.nn.Parameter(torch.ones(1))], lr="x0.3")
    before = live.seasoning.state()
    for amount in ("x0.7", "=0.01", ".02"):
        ask(tmp_path, {"lr": parse_amount("lr", amount)}, author="ada")
        ask(tmp_path, {}, author="ada", undo=True)
        live.seasoning.next_poll_s = 0.0
        live.seasoning.poll(1, 1.0)
        live.seasoning.carry_out(1, lambda: None)
        assert live.seasoning.state() == before
    live.close()


def test_a_capsule_of_another_optimizer_is_refused(torch):
    parameters = [torch.nn.Parameter(torch.ones(1))]
    adam, adamw = torch.optim.Adam(parameters), torch.optim.AdamW(parameters)
    body = {"parts": {"optimizer": adam.state_dict()}, "types": {"optimizer": "Adam"}}
    with pytest.raises(RefusedError, match="it is AdamW, and was Adam"):
        refuse_other({"optimizer": adamw}, body)


def test_a_branch_holds_a_knobs_name_whatever_it_ends_with():
    branch = Branch(turns={3: {"nz.train": Amount("to", 0.5)}})
    assert Branch.read(branch.text()) == branch


def test_undoing_a_season_leaves_what_a_stage_has_set_since(tmp_path, torch):
    live, _ = seasoned(tmp_path, torch, [torch.nn.Parameter(torch.ones(1))], lr="x0.5")
    live.seasoning.mixer.weights["adv"] = 0.5  # as a stage that begins sets it
    ask(tmp_path, {}, author="ada", undo=True)
    live.seasoning.poll(1, 1.0)
    live.seasoning.carry_out(1, lambda: None)
    assert live.seasoning.mixer.weights == {"adv": 0.5}
    assert live.seasoning.value_now("lr") == pytest.approx(0.1)
    live.close()


def test_parts_that_cannot_be_looked_at_are_trained_unwatched(tmp_path, torch):
    net = torch.nn.Sequential(torch.nn.LazyLinear(4), torch.nn.ReLU(), torch.nn.Linear(4, 1))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    live = Live(FakeRun(tmp_path), {"model": net, "optimizer": optimizer}, keep=every(10**9))
    for _ in live.steps(LOADER):
        optimizer.zero_grad()
        net(torch.ones(2, 3)).sum().backward()
        optimizer.step()
    live.close()
    assert live.step == 4


def test_a_look_that_fails_is_the_last_and_the_step_is_done(tmp_path, torch):
    from palate.cooking.looks import Observer

    net = torch.nn.Linear(2, 1)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    observer = Observer(net, optimizer)
    observer._held = None
    before = net.weight.detach().clone()
    net(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    assert isinstance(observer.fault, TypeError)
    assert not torch.equal(before, net.weight)
