"""Lanes train as torch does, and forks of them as palate's."""

import pytest
import torch
from benchmarks.fork_lanes import Kitchen, Source, forked, gone_on
from benchmarks.fork_tasks import Way, cancer_dish
from benchmarks.forks import clustered, knob_of, runs_needed

pytestmark = pytest.mark.slow


def kitchen(optimizer):
    return Kitchen(cancer_dish(), Way(optimizer=optimizer, lr=0.01, schedule="cosine", steps=40))


def trained_by_torch(kitchen, optimizer):
    dish, way = kitchen.dish, kitchen.way
    weights = {name: torch.nn.Parameter(one) for name, one in kitchen.named(kitchen.begin([3]).weights).items()}
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer(weights.values()), lambda step: way.scheduled(step) / way.lr)
    for step in range(way.steps):
        x, y, _, kept = kitchen.draw(Source(trunk=3).generator(step))
        outputs = dish.net.outputs(weights, x[None], lambda hidden, kept=kept: hidden * (kept >= 0.2) / 0.8)
        schedule.optimizer.zero_grad()
        dish.terms(outputs, y[None])[0].mean().backward()
        schedule.optimizer.step()
        schedule.step()
    return torch.cat([one.detach().flatten() for one in weights.values()])


@pytest.mark.parametrize(
    ("name", "optimizer"),
    [
        ("sgd", lambda weights: torch.optim.SGD(weights, 0.01, momentum=0.9, weight_decay=5e-4)),
        ("adamw", lambda weights: torch.optim.AdamW(weights, 0.01, weight_decay=0.1)),
    ],
)
def test_a_lane_among_others_is_what_torch_trains(name, optimizer):
    cook = kitchen(name)
    state = cook.begin([1, 2, 3])
    cook.train(state, cook.way.steps)
    torch.testing.assert_close(state.weights[2], trained_by_torch(cook, optimizer), rtol=1e-4, atol=1e-5)


def test_the_control_of_replicate_0_is_the_trunks_own_future_and_an_annealed_lane_ends_at_its_horizon():
    cook = kitchen("sgd")
    trunk = cook.begin([1, 2])
    cook.train(trunk, 20)
    forks = forked(trunk, [{}, {"lr": 3}], [0, 5], replicates=[0, 1])
    looks = dict(gone_on(cook, forks, [25, 40]))
    assert len(looks[25]) == 16 and len(looks[40]) == 8
    cook.train(trunk, 40)
    ends = [loss for lane, loss in looks[40].items() if lane.source.replicate == 0 and dict(lane.knobs)["lr"] == 1]
    assert ends == pytest.approx(cook.losses(trunk).tolist(), rel=1e-5)
    assert len(set(looks[40].values())) == 8


def test_arms_are_named_by_their_knobs_and_prices_grow_with_noise():
    assert [knob_of(arm) for arm in ("lr x0.3", "weight decay x10", "momentum")] == ["lr", "weight_decay", "momentum"]
    assert runs_needed(1, 4, pairs=True) > runs_needed(1, 1, pairs=True)
    assert clustered([1, 1, 0, 0], "aabb") > clustered([1, 1, 0, 0], "abcd")
