"""The observer on live trainings: it changes nothing, and says nothing of what is meant to be as it is."""

import copy
import hashlib
import pickle

import pytest

from palate.cooking.looks import Observer

STEPS = 60


@pytest.fixture
def nn(torch):
    torch.set_num_threads(1)
    torch.manual_seed(0)
    return torch.nn


@pytest.fixture
def task(torch):
    rng = torch.Generator().manual_seed(7)
    x = torch.randn(400, 12, generator=rng)
    return x, (x @ torch.randn(12, 4, generator=rng)).argmax(1)


def network(nn):
    return nn.Sequential(
        nn.Linear(12, 24),
        nn.BatchNorm1d(24),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.Linear(24, 24),
        nn.ReLU(),
        nn.Linear(24, 4),
    )


def batches(task, size=32, steps=STEPS):
    x, y = task
    for step in range(steps):
        at = step * size % (len(x) - size)
        yield x[at : at + size], y[at : at + size]


def train(torch, net, optimizer, task, observer=None, steps=STEPS):
    for x, y in batches(task, steps=steps):
        loss = torch.nn.functional.cross_entropy(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if observer is not None:
            observer.log(loss=loss.item())


def digest(torch, net, optimizer):
    """Give a hash of weights, buffers, optimizer state, gradients and the random generator."""
    state = hashlib.sha256(torch.get_rng_state().numpy().tobytes())
    kept = [value for one in optimizer.state.values() for value in one.values() if torch.is_tensor(value)]
    for tensor in [*net.state_dict().values(), *kept, *(p.grad for p in net.parameters() if p.grad is not None)]:
        state.update(tensor.detach().numpy().tobytes())
    return state.hexdigest(), net.training, [p.requires_grad for p in net.parameters()]


OPTIMIZERS = {
    "SGD": {"lr": 0.1, "momentum": 0.9, "weight_decay": 1e-3},
    "Adam": {"lr": 1e-2},
    "AdamW": {"lr": 1e-2, "fused": True},
    "RMSprop": {"lr": 1e-3},
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_watched_training_is_the_same_to_the_last_bit(torch, nn, task, name):
    ends = []
    for watched in (False, True):
        torch.manual_seed(3)
        net = network(nn)
        optimizer = getattr(torch.optim, name)(net.parameters(), **OPTIMIZERS[name])
        observer = Observer(net, optimizer, classes=4, lr=0.1, validation=task[0][:50], every=3) if watched else None
        train(torch, net, optimizer, task, observer)
        ends.append(digest(torch, net, optimizer))
    assert ends[0] == ends[1]


def test_a_look_sees_norms_rates_and_ratios(torch, nn, task):
    net = nn.Sequential(nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 4))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    observer = Observer(net, optimizer, every=10)
    before = net[0].weight.detach().clone()
    train(torch, net, optimizer, task, observer, steps=1)
    look = next(look for look in observer.looks() if look.tensors)
    seen = look.tensors["0.weight"]
    assert next(look.rates for look in observer.looks() if look.rates) == {"0": 0.1}
    assert seen.weight == pytest.approx(float(net[0].weight.detach().norm()), rel=1e-5)
    assert seen.gradient == pytest.approx(float(net[0].weight.grad.norm()), rel=1e-5)
    change = 0.1 * net[0].weight.grad
    assert seen.ratio == pytest.approx(float(change.norm() / before.norm()), rel=1e-4)


def test_looks_are_taken_at_the_first_steps_and_then_now_and_then(torch, nn, task):
    net = network(nn)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    observer = Observer(net, optimizer, every=20)
    train(torch, net, optimizer, task, observer)
    assert [look.step for look in observer.looks() if look.tensors] == [1, 2, 5, 10, 20, 40, 60]
    observer.close()
    train(torch, net, optimizer, task)
    assert max(look.step for look in observer.looks()) == 60


def test_losses_may_be_tensors_which_are_read_at_looks(torch, nn, task):
    net = network(nn)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    observer = Observer(net, optimizer, every=1000)
    for x, y in batches(task, steps=20):
        loss = nn.functional.cross_entropy(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        observer.log(loss=loss)
    losses = [look.step for look in observer.looks() if look.losses]
    assert losses == list(range(1, 21))


def test_a_value_that_is_not_finite_is_named_at_once(torch, nn, task):
    net = network(nn)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    observer = Observer(net, optimizer, every=1000)
    train(torch, net, optimizer, task, observer, steps=20)
    with torch.no_grad():
        net[4].weight[0, 0] = float("nan")
    train(torch, net, optimizer, task, observer, steps=1)
    (symptom,) = [symptom for symptom in observer.symptoms() if symptom.kind == "not_finite"]
    assert symptom.words.startswith("at step 21 loss is nan")
    assert "gradient of 0.weight" in next(look.not_finite for look in observer.looks() if look.not_finite)


def kinds(observer):
    return [symptom.kind for symptom in observer.symptoms()]


def test_a_layer_that_the_optimizer_never_got_is_named(torch, nn, task):
    net = network(nn)
    optimizer = torch.optim.SGD([*net[:4].parameters(), *net[6].parameters()], lr=0.1)
    observer = Observer(net, optimizer, every=5)
    train(torch, net, optimizer, task, observer)
    assert [symptom.words for symptom in observer.symptoms()] == [
        "4.weight is in no optimizer (2 parameters are like it)"
    ]


def test_a_detached_encoder_is_named_and_a_frozen_one_is_not(torch, nn, task):
    for frozen in (False, True):
        net = network(nn)
        net[0].requires_grad_(not frozen)
        net[1].requires_grad_(not frozen)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        observer = Observer(net, optimizer, every=5)
        hook = net[1].register_forward_hook(lambda module, inputs, out: out.detach())
        train(torch, net, optimizer, task, observer)
        hook.remove()
        assert kinds(observer) == ([] if frozen else ["forgotten"])


def test_units_that_never_fire_are_counted_also_behind_a_functional_relu(torch, nn, task):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two = nn.Linear(12, 20), nn.Linear(20, 4)

        def forward(self, x):
            return self.two(nn.functional.relu(self.one(x)))

    net = Net()
    with torch.no_grad():
        net.one.bias[:12] = -100
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    observer = Observer(net, optimizer, every=5)
    train(torch, net, optimizer, task, observer, steps=100)
    assert "60% of the units of one.weight pass no gradient" in observer.symptoms()[0].words


def test_validation_examples_that_are_trained_on_are_counted(torch, nn, task):
    for validation, told in ((task[0][:100], ["leak"]), (task[0][:100] + 1, [])):
        net = network(nn)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        observer = Observer(net, optimizer, validation=[(validation, None)], training=task[0])
        train(torch, net, optimizer, task, observer)
        assert kinds(observer) == told


def test_token_sequences_are_not_taken_for_equal_by_their_sums(torch):
    from palate.cooking.rows import RowTable

    rng = torch.Generator().manual_seed(0)
    rows = torch.randint(0, 4, (3000, 12), generator=rng)
    distinct = {tuple(row) for row in rows.tolist() if len(set(row)) > 1}
    table = RowTable(rows[:1], rows)
    assert table.counts().training == len(distinct)


def test_an_average_of_the_weights_that_is_kept_beside_them_is_no_alarm(torch, nn, task):
    net = network(nn)
    average = copy.deepcopy(net)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-2)
    observer = Observer({"net": net, "average": average}, optimizer, classes=4, every=5)
    for x, y in batches(task):
        loss = nn.functional.cross_entropy(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        observer.log(loss=loss.item())
        with torch.no_grad():
            for mean, value in zip(average.parameters(), net.parameters(), strict=True):
                mean.lerp_(value, 0.1)
            average(x)
    assert kinds(observer) == []


def test_a_copy_of_a_watched_network_is_not_watched(torch, nn, task):
    net = network(nn)
    observer = Observer(net, torch.optim.SGD(net.parameters(), lr=0.1), validation=task[0][:9])
    copied = pickle.loads(pickle.dumps(copy.deepcopy(net)))
    copied(task[0])
    assert observer._called == set()
    net(task[0])
    assert len(observer._called) == 4


def test_a_teacher_without_gradients_is_no_alarm(torch, nn, task):
    teacher, net = network(nn).requires_grad_(False), network(nn)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    observer = Observer({"teacher": teacher, "net": net}, optimizer, every=5)
    for x, _ in batches(task):
        loss = nn.functional.mse_loss(net(x), teacher(x))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        observer.log(loss=loss.item())
    assert kinds(observer) == []


def test_a_gan_is_no_alarm(torch, nn, task):
    generator, critic = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 12)), nn.Linear(12, 1)
    adams = [torch.optim.Adam(net.parameters(), lr=1e-3, betas=(0.5, 0.9)) for net in (generator, critic)]
    observer = Observer({"generator": generator, "critic": critic}, adams, every=5)
    for number, (x, _) in enumerate(batches(task, steps=150)):
        fake = generator(torch.randn(len(x), 4))
        adams[1].zero_grad()
        critic_loss = (nn.functional.softplus(-critic(x)) + nn.functional.softplus(critic(fake.detach()))).mean()
        critic_loss.backward()
        adams[1].step()
        if number % 3 == 0:
            adams[0].zero_grad()
            nn.functional.softplus(-critic(fake)).mean().backward()
            adams[0].step()
        observer.log(critic=critic_loss.item())
    assert kinds(observer) == []
    last = [look for look in observer.looks() if look.tensors][-1]
    assert {name.split(".")[0] for name in last.tensors} == {"generator", "critic"}


def test_accumulated_gradients_are_no_alarm(torch, nn, task):
    net = network(nn)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    observer = Observer(net, optimizer, classes=4, lr=0.1, every=5)
    for number, (x, y) in enumerate(batches(task, steps=240)):
        loss = nn.functional.cross_entropy(net(x), y)
        (loss / 4).backward()
        observer.log(loss=loss.item())
        if number % 4 == 3:
            optimizer.step()
            optimizer.zero_grad()
    assert kinds(observer) == []
    assert max(look.step for look in observer.looks()) == 60


def test_a_scaler_that_skips_its_first_steps_is_no_alarm(torch, nn, task):
    for fused in (False, True):
        net = network(nn)
        optimizer = torch.optim.AdamW(net.parameters(), lr=1e-2, fused=fused)
        observer = Observer(net, optimizer, classes=4, every=5)
        scaler = torch.amp.GradScaler("cpu", init_scale=2.0**126)
        for x, y in batches(task):
            loss = nn.functional.cross_entropy(net(x), y)
            optimizer.zero_grad()
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
            observer.log(loss=loss.item())
        assert kinds(observer) == []
        gradients = [t.gradient for look in observer.looks() for t in look.tensors.values() if t.gradient]
        assert max(gradients) < 100


def test_tied_weights_unused_heads_and_weight_decay_on_some_groups_are_no_alarm(torch, nn, task):
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.body = nn.Linear(12, 24), nn.Linear(24, 24)
            self.again, self.head, self.unused = nn.Linear(24, 24), nn.Linear(24, 4), nn.Linear(24, 9)
            self.again.weight = self.body.weight

        def forward(self, x):
            return self.head(torch.relu(self.again(torch.relu(self.body(torch.relu(self.embed(x)))))))

    net = Tied()
    matrices = [p for p in net.parameters() if p.dim() > 1]
    vectors = [p for p in net.parameters() if p.dim() == 1]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0, "lr": 3e-3}]
    optimizer = torch.optim.AdamW(groups, lr=1e-2)
    observer = Observer(net, optimizer, classes=4, lr={"0": 1e-2, "1": 3e-3}, every=5)
    train(torch, net, optimizer, task, observer)
    assert kinds(observer) == []


def test_parameters_of_several_precisions_are_looked_at_together(torch, nn, task):
    net = nn.ModuleList([nn.Linear(12, 8).bfloat16(), nn.Linear(8, 8).double(), nn.Linear(8, 4)])
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    observer = Observer(net, optimizer, every=5)
    for x, y in batches(task):
        hidden = net[1](torch.relu(net[0](x.bfloat16())).double())
        loss = nn.functional.cross_entropy(net[2](torch.tanh(hidden).float()), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        observer.log(loss=loss)
    assert kinds(observer) == []
    steps = [look.step for look in observer.looks()]
    assert steps == sorted(steps)


def test_an_embedding_of_which_few_rows_are_used_is_no_alarm(torch, nn, task):
    net = nn.Sequential(nn.Embedding(5000, 8), nn.Flatten(), nn.ReLU(), nn.Linear(96, 4))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    observer = Observer(net, optimizer, every=5)
    train(torch, net, optimizer, ((task[0] > 0).long(), task[1]), observer)
    assert kinds(observer) == []


def test_an_optimizer_that_is_not_the_one_that_steps_is_told(torch, nn, task):
    net = network(nn)
    old = torch.optim.SGD(net.parameters(), lr=0.1)
    observer = Observer(net, torch.optim.SGD(net.parameters(), lr=0.01))
    train(torch, net, old, task, observer, steps=100)
    assert kinds(observer) == ["learning_rate"]


@pytest.mark.slow
def test_a_long_training_is_kept_in_bounded_memory(torch, nn, task):
    net = nn.Linear(12, 4)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    observer = Observer(net, optimizer)
    train(torch, net, optimizer, task, observer, steps=30_000)
    assert len(observer.looks()) <= 20_100
    assert kinds(observer) == []


@pytest.mark.parametrize(("rate", "told"), [(0.1, ["noise_ball"]), (0.005, [])])
def test_small_batches_at_a_high_rate_are_a_noise_ball_and_at_a_low_rate_none(torch, nn, rate, told):
    torch.manual_seed(0)
    net, truth = nn.Linear(8, 1), torch.randn(8, 1)
    optimizer = torch.optim.SGD(net.parameters(), lr=rate)
    observer = Observer(net, optimizer, every=5)
    for _ in range(800):
        x = torch.randn(2, 8)
        loss = (net(x) - x @ truth - torch.randn(2, 1)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        observer.log(loss=loss)
    assert [symptom.kind for symptom in observer.symptoms()] == told


def test_glances_of_several_optimizers_are_added_up_by_step(torch, nn, task):
    net = network(nn)
    halves = [torch.optim.SGD(part.parameters(), lr=0.1) for part in (net[:4], net[4:])]
    observer = Observer(net, halves, adversarial=False, every=10)
    for x, y in batches(task):
        loss = torch.nn.functional.cross_entropy(net(x), y)
        for optimizer in halves:
            optimizer.zero_grad()
        loss.backward()
        for optimizer in halves:
            optimizer.step()
        observer.log(loss=loss.item())
    assert [look.step for look in observer.looks() if look.excess is not None] == [20, 30, 40, 50, 60]
