"""Whatever is done while a run is looked at, it goes on as if nobody had looked."""

import random
import warnings

import numpy as np
import pytest

from palate.cooking.isolation import isolated


@pytest.fixture
def net(torch):
    made = torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.ReLU(), torch.nn.Dropout(0.2), torch.nn.Flatten(),
        torch.nn.Linear(4 * 36, 3),
    )  # fmt: skip
    made[1].register_buffer("nothing_yet", None)
    return made


def spoil(torch, net, generators):
    """Do all that a careless callable does."""
    net.eval()
    net(torch.randn(8, 1, 8, 8))
    net.train()
    net(torch.randn(8, 1, 8, 8))
    net[3].eval()
    random.random()
    np.random.rand(3)
    for one in generators:
        torch.randn(2, generator=one) if isinstance(one, torch.Generator) else one.random()
    torch.manual_seed(3)
    random.seed(3)
    np.random.seed(3)
    torch.set_grad_enabled(True)
    torch.set_default_dtype(torch.float64)
    torch.set_autocast_enabled("cpu", True)
    torch.set_autocast_dtype("cpu", torch.float16)
    torch.set_num_threads(1)
    torch.backends.cudnn.benchmark = True
    for one in net.parameters():
        one.requires_grad_(False)
        one.grad = None
    net[1].running_mean = torch.ones(4) * 9
    net[1].running_var.zero_()
    net[1].nothing_yet = torch.ones(2)


def train(torch, net, *, looks, generators=()):
    """Train a few steps; give the weights and what the random numbers came to."""
    torch.manual_seed(1)
    random.seed(1)
    np.random.seed(1)
    with torch.no_grad():
        for one in net.parameters():
            one.copy_(torch.randn_like(one) * 0.1)
    adam = torch.optim.Adam(net.parameters(), lr=0.01)
    for _ in range(6):
        x = torch.randn(16, 1, 8, 8) * random.random() + float(np.random.rand())
        y = torch.randint(3, (16,))
        loss = torch.nn.functional.cross_entropy(net(x), y)
        if looks:  # between forward and backward, where it is hardest
            with isolated([net], generators):
                spoil(torch, net, generators)
        adam.zero_grad()
        loss.backward()
        adam.step()
    drawn = [torch.rand(1).item(), random.random(), float(np.random.rand())]
    return {name: one.clone() for name, one in net.state_dict().items()}, drawn


def test_a_training_that_is_looked_at_is_bitwise_the_one_that_is_not(torch, net):
    generators = (
        torch.Generator().manual_seed(4), np.random.default_rng(4), np.random.RandomState(4), random.Random(4)
    )  # fmt: skip
    before = [one.get_state() if hasattr(one, "get_state") else None for one in generators]
    plain, drawn = train(torch, net, looks=False)
    net[1].reset_running_stats()
    plain_again, _ = train(torch, net, looks=False)
    net[1].reset_running_stats()
    looked_at, drawn_beside = train(torch, net, looks=True, generators=generators)
    assert drawn_beside == drawn
    assert plain.keys() == looked_at.keys()
    assert all(torch.equal(plain_again[name], looked_at[name]) for name in plain)
    assert torch.equal(generators[0].get_state(), before[0])
    assert generators[1].random() == np.random.default_rng(4).random()
    assert generators[2].rand() == np.random.RandomState(4).rand()
    assert generators[3].random() == random.Random(4).random()


def test_switches_of_the_process_are_as_before(torch, net):
    def switches():
        return (
            torch.is_grad_enabled(), torch.get_default_dtype(), torch.is_autocast_enabled("cpu"),
            torch.get_autocast_dtype("cpu"), torch.is_autocast_cache_enabled(), torch.get_num_threads(),
            torch.backends.cudnn.benchmark, torch.initial_seed(), torch.get_default_device(),
        )  # fmt: skip

    before = switches()
    with isolated([net]):
        spoil(torch, net, ())
        assert switches() != before
    assert switches() == before


def test_modes_flags_and_buffers_are_as_before_in_every_part(torch, net):
    net.train()
    net[3].eval()
    net[5].bias.requires_grad_(False)
    net[0].weight.grad = grad = torch.ones_like(net[0].weight)
    modes = [part.training for part in net.modules()]
    mean = net[1].running_mean
    values = mean.clone()
    with isolated([net]) as changed:
        spoil(torch, net, ())
    assert [part.training for part in net.modules()] == modes
    assert [one.requires_grad for one in net.parameters()] == [True, True, True, True, True, False]
    assert net[0].weight.grad is grad
    assert net[1].running_mean is mean
    assert torch.equal(mean, values)
    assert net[1].nothing_yet is None
    assert changed.names == []


def test_noise_is_the_same_at_each_look_and_there_is_no_gradient(torch, net):
    generator, seen = torch.Generator(), []
    for _ in range(2):
        with isolated([net], [generator]):
            z = [torch.randn(3), torch.randn(3, generator=generator), torch.tensor([random.random(), np.random.rand()])]
            seen.append(torch.cat(z))
            assert not net(torch.randn(2, 1, 8, 8)).requires_grad
        torch.randn(7)
    assert torch.equal(*seen)


def test_the_run_is_as_it_was_where_the_look_fails(torch, net):
    state = torch.get_rng_state()

    def fail():
        with isolated([net]):
            spoil(torch, net, ())
            raise RuntimeError("burnt")

    with pytest.raises(RuntimeError, match="burnt"):
        fail()
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.is_grad_enabled()
    assert all(one.requires_grad for one in net.parameters())


def test_weights_that_are_put_elsewhere_come_back_and_a_change_in_their_place_is_named(torch, net):
    weight = net[0].weight
    memory, values = weight.data_ptr(), weight.clone()
    net[5].weight.grad = torch.ones_like(net[5].weight)
    with isolated([net]) as changed:
        weight.data = torch.zeros_like(weight)  # as averages of weights are tried out
        net[0].bias.add_(1)
        net[5].weight.grad.zero_()
    assert weight.data_ptr() == memory
    assert torch.equal(weight, values)
    assert changed.names == ["0.bias", "the gradient of 5.weight"]


def test_buffers_beyond_the_bound_are_watched_and_named(torch):
    net = torch.nn.Module()
    net.register_buffer("small", torch.zeros(10))
    net.register_buffer("large", torch.zeros(10_000))
    with isolated([net], most_copied=1000) as changed:
        net.small.add_(1)
        net.large.add_(1)
    assert net.small.sum() == 0
    assert changed.names == ["the buffer large"]


def test_a_seed_that_waits_for_cuda_is_the_runs_own(torch):
    if torch.cuda.is_initialized():
        pytest.skip("CUDA is in use")
    torch.manual_seed(5)
    waiting = torch.cuda._lazy_seed_tracker.get_calls()
    with isolated():
        torch.manual_seed(6)
    assert torch.cuda._lazy_seed_tracker.get_calls() is waiting


def test_random_numbers_of_cuda_are_as_before_and_the_same_at_each_look(torch):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    torch.cuda.manual_seed_all(7)
    devices = range(torch.cuda.device_count())
    expected = [torch.rand(3, device=f"cuda:{place}").cpu() for place in devices]
    torch.cuda.manual_seed_all(7)
    seen = []
    for _ in range(2):
        with isolated():
            seen.append(torch.cat([torch.randn(5, device=f"cuda:{place}").cpu() for place in devices]))
    assert torch.equal(*seen)
    assert all(torch.equal(torch.rand(3, device=f"cuda:{place}").cpu(), expected[place]) for place in devices)


def test_a_look_inside_of_autocast_takes_no_gradient_away(torch):
    net = torch.nn.Linear(4, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        with isolated([net]):
            net(torch.randn(2, 4))
        net(torch.randn(2, 4)).float().sum().backward()
    assert net.weight.grad is not None


def test_a_module_whose_shapes_are_not_known_yet_can_be_looked_at(torch):
    with warnings.catch_warnings(action="ignore"):  # that they are new, once a process
        lazy = torch.nn.Sequential(torch.nn.LazyBatchNorm1d(), torch.nn.ReLU())
    with isolated([lazy]) as changed:
        torch.randn(2)
    assert changed.names == []
