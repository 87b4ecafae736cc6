"""What the jitter of weights costs: on bowls whose loss above the bottom is known."""

import pytest

from palate.cooking.excess import Excess


def bowl(torch, size, curvature):
    """A parameter and a function that gives its loss, and its gradient with some noise."""
    w = torch.nn.Parameter(torch.zeros(size))

    def loss(noise=0.0):
        value = (curvature * w.detach().square()).sum() / 2
        w.grad = curvature * w.detach() + noise * torch.randn(size)
        return float(value)

    return w, loss


def test_half_of_gradient_times_distance_is_the_loss_above_the_average(torch):
    w, loss = bowl(torch, 30, torch.linspace(0.1, 5, 30))
    excess = Excess()
    loss()
    assert excess.take([("w", w)]) == []
    with torch.no_grad():
        w += torch.randn(30)
    above = loss()
    (found,) = excess.take([("w", w)])
    assert float(found) == pytest.approx(above, rel=1e-5)


def test_sampled_values_stand_for_all_of_a_large_tensor(torch):
    w, loss = bowl(torch, 100_003, torch.tensor(2.0))
    excess = Excess()
    loss()
    excess.take([("w", w)])
    with torch.no_grad():
        w += 0.1
    above = loss()
    (found,) = excess.take([("w", w)])
    assert float(found) == pytest.approx(above, rel=1e-3)


def test_of_sgd_in_a_noise_ball_it_is_what_theory_says(torch):
    torch.manual_seed(0)
    rate, curvature, noise = 0.2, 1.5, 1.0
    w, loss = bowl(torch, 300, torch.tensor(curvature))
    excess, found, above = Excess(), [], []
    for step in range(1000):
        above.append(loss(noise))
        taken = excess.take([("w", w)])
        found += [float(one) for one in taken] if step > 300 else []
        with torch.no_grad():
            w -= rate * w.grad
    theory = 300 * rate * noise**2 / (2 - rate * curvature) / 2
    assert sum(above[300:]) / 700 == pytest.approx(theory, rel=0.05)
    assert sum(found) / len(found) == pytest.approx(theory, rel=0.1)


def test_weights_on_their_way_down_have_none(torch):
    w, loss = bowl(torch, 30, torch.tensor(1.0))
    with torch.no_grad():
        w += 1
    excess, found = Excess(), []
    for _ in range(50):
        loss()
        found += [float(one) for one in excess.take([("w", w)])]
        with torch.no_grad():
            w -= 0.05 * w.grad
    assert len(found) == 49
    assert max(found) < 0


def test_what_has_no_gradient_is_left_out(torch):
    excess = Excess()
    for _ in range(3):
        assert excess.take([("w", torch.nn.Parameter(torch.zeros(3)))]) == []
