"""The detectors that look at weights, gradients and learning rates; pure. `symptoms.detect` calls them."""

import math
from collections.abc import Sequence
from itertools import zip_longest

import numpy as np

from palate.cooking.seen import Facts, Look, Symptom, Tensor

IDLE_LOOKS = 5
"""Looks in a row without a gradient after which a unit counts as idle."""

RIGHT_RATE = 0.5
"""Least share of the learning rate asked for that counts as in force."""


def full_looks(looks: Sequence[Look]) -> list[Look]:
    """Return the looks at which parameters were seen."""
    return [look for look in looks if look.tensors]


def not_finite(looks: Sequence[Look], facts: Facts) -> Symptom | None:  # noqa: ARG001
    """Find the first NaN or infinite loss, gradient or weight (SageMaker's ExplodingTensor; the Tuning Playbook)."""
    for look in looks:
        bad = [(name, value) for name, value in look.losses.items() if not math.isfinite(value)]
        if not bad and not look.not_finite:
            continue
        said = [f"{name} is {value}" for name, value in bad] + [f"{name} is not finite" for name in look.not_finite[:1]]
        more = f" ({len(look.not_finite)} tensors)" if len(look.not_finite) > 1 else ""
        words = f"at step {look.step} {', '.join(said)}{more}"
        evidence = {"losses": len(bad), "tensors": len(look.not_finite)}
        return Symptom(kind="not_finite", step=look.step, words=words, card=4, evidence=evidence)
    return None


def learning_rate(looks: Sequence[Look], facts: Facts) -> Symptom | None:
    """Find a learning rate that is 0, too small to change a weight, gone too soon, or not the one asked for."""
    return _never_steps(looks) or _not_in_force(looks, facts) or _gone(looks) or _too_small(looks, facts)


def _never_steps(looks: Sequence[Look]) -> Symptom | None:
    """Find an optimizer that never steps though 100 losses were logged: another one does, or none."""
    losses = sum(bool(look.losses) for look in looks)
    if losses < 100 or looks[-1].step > 0:
        return None
    words = f"the optimizer has not stepped once while {losses} losses were logged: another one may be stepping"
    return Symptom(kind="learning_rate", step=0, words=words, card=11, evidence={"losses": losses})


def _not_in_force(looks: Sequence[Look], facts: Facts) -> Symptom | None:
    """Find a learning rate above the one asked for, or never at half of it after 50 steps while it does not rise.

    A schedule that rises for longer than that is left alone while it does.
    """
    for group, asked in facts.asked.items():
        seen = [(look.step, look.rates[group]) for look in looks if group in look.rates]
        if not seen or asked <= 0:
            continue
        step, peak = max(seen, key=lambda pair: pair[1])
        over = peak > 1.05 * asked
        rises = len(seen) > 1 and seen[-1][1] > seen[-2][1] and looks[-1].step - seen[-1][0] < 2
        if over or (peak < RIGHT_RATE * asked and looks[-1].step >= 50 and not rises):
            words = f"learning rate {asked:.3g} was asked for group {group}; the highest in force is {peak:.3g}"
            evidence = {"asked": asked, "in_force": peak}
            return Symptom(kind="learning_rate", step=step, words=words, card=15, evidence=evidence)
    return None


def _gone(looks: Sequence[Look]) -> Symptom | None:
    """Find a learning rate below 1/10,000 of its peak for 30 % of the steps so far, and 20 at least (calibrated).

    A cosine to 0 is there for the last .6 % of its steps, a decay by 10 at each third never.
    """
    seen = [(look.step, max(look.rates.values())) for look in looks if look.rates]
    peak = max((rate for _, rate in seen), default=0.0)
    low = next((i for i in range(len(seen), 0, -1) if seen[i - 1][1] > 1e-4 * peak), 0)
    now = looks[-1].step if looks else 0
    if low == len(seen) or now - seen[low][0] < max(20, 0.3 * now):
        return None
    began = seen[low][0]
    words = f"the learning rate is {seen[-1][1]:.2g} since step {began}; its peak was {peak:.2g}"
    evidence = {"learning_rate": seen[-1][1], "peak": peak}
    return Symptom(kind="learning_rate", step=began, words=words, card=15, evidence=evidence)


def _too_small(looks: Sequence[Look], facts: Facts) -> Symptom | None:
    """Find steps that change no weight: for a quarter of the steps so far, no matrix by more than 3e-6 of itself.

    The ratio is calibrated: float32 resolves 6e-8, CS231n expects about 1e-3; SageMaker's WeightUpdateRatio warns below
    1e-8. At 3e-6 a weight moves by 1 % in 3,000 steps that all go the same way.
    """
    full = full_looks(looks)
    moving = next((i for i in range(len(full), 0, -1) if not _unmoved(full[i - 1], facts)), 0)
    if len(full) - moving < 3:
        return None
    began = full[moving].step if moving else 0
    now = looks[-1].step
    if now - began < max(20, 0.25 * now):
        return None
    rate = next((max(look.rates.values()) for look in reversed(looks) if look.rates), 0.0)
    words = f"no weight changes since step {began}: learning rate {rate:.3g} is too small"
    evidence = {"learning_rate": rate, "largest_ratio": max(_ratios(full[-1], facts))}
    return Symptom(kind="learning_rate", step=began, words=words, card=15, evidence=evidence)


def _unmoved(look: Look, facts: Facts) -> bool:
    """Return whether no matrix moved though there were gradients to move by."""
    ratios = _ratios(look, facts)
    return bool(ratios) and max(ratios) < 3e-6


def _ratios(look: Look, facts: Facts) -> list[float]:
    matrices = [tensor for name, tensor in look.tensors.items() if _is_matrix(name, facts)]
    return [tensor.ratio for tensor in matrices if tensor.ratio is not None]


def forgotten(looks: Sequence[Look], facts: Facts) -> Symptom | None:
    """Find parameters that should train and do not, over all full looks (three at least).

    Without an optimizer: it has a gradient, and its norm never changes. Cut off: it is in an optimizer and its module
    is used, yet it never has a gradient while others do. Stuck: it has an optimizer and a gradient of 1/10,000 of the
    largest (a bias before BatchNorm has rounding errors alone), and not one sampled value changes while those of others
    do (SageMaker's UnchangedTensor). What is not used, and what has requires_grad off, is left alone: unused heads,
    frozen teachers.
    """
    full = full_looks(looks)
    if len(full) < 3:
        return None
    moves = sum(not _unmoved(look, facts) for look in full) > len(full) / 2
    reasons = {
        "is in no optimizer": [name for name in facts.parameters if _without_optimizer(name, full, facts)],
        "is used and never has a gradient": [name for name in facts.parameters if _cut_off(name, full, facts)],
        "has gradients and never changes": [name for name in facts.parameters if moves and _stuck(name, full, facts)],
    }
    for reason, names in reasons.items():
        if names:
            more = f" ({len(names)} parameters are like it)" if len(names) > 1 else ""
            evidence = {"parameters": len(names), "values": sum(facts.parameters[name].size for name in names)}
            return Symptom(kind="forgotten", step=0, words=f"{names[0]} {reason}{more}", card=20, evidence=evidence)
    return None


def _history(name: str, full: Sequence[Look]) -> list[Tensor]:
    return [look.tensors[name] for look in full if name in look.tensors]


def _without_optimizer(name: str, full: Sequence[Look], facts: Facts) -> bool:
    parameter, seen = facts.parameters[name], _history(name, full)
    if not parameter.trains or parameter.group is not None or len(seen) < 3:
        return False
    with_gradient = all(tensor.gradient for tensor in seen)
    return with_gradient and len({tensor.weight for tensor in seen}) == 1


def _cut_off(name: str, full: Sequence[Look], facts: Facts) -> bool:
    parameter, seen = facts.parameters[name], _history(name, full)
    if not parameter.trains or parameter.group is None or len(seen) < 3:
        return False
    return all(tensor.gradient is None and tensor.called for tensor in seen)


def _stuck(name: str, full: Sequence[Look], facts: Facts) -> bool:
    parameter = facts.parameters[name]
    seen = [look.tensors[name] for look in full if name in look.tensors and _pulled(name, look)]
    ratios = [tensor.ratio for tensor in seen if tensor.ratio is not None]
    return parameter.trains and len(ratios) >= 3 and max(ratios) == 0 and len({t.weight for t in seen}) == 1


def _pulled(name: str, look: Look) -> bool:
    """Return whether a tensor has a gradient that is more than rounding errors."""
    largest = max((tensor.gradient or 0.0) for tensor in look.tensors.values())
    return (look.tensors[name].gradient or 0.0) > 1e-4 * largest


def dead_units(looks: Sequence[Look], facts: Facts) -> Symptom | None:  # noqa: ARG001
    """Find layers of which half the units pass no gradient, look after look: their ReLU never fires.

    Half of a layer is SageMaker's DeadRelu (threshold_layer). A unit counts as dead after five looks without any
    gradient, so that one which fires rarely does not; and the first of those looks must be 50 steps and a tenth of all
    ago, as the units of a network that has just started may all be on one side (calibrated).
    """
    full = full_looks(looks)
    idle = {name: t.idle for name, t in full[-1].tensors.items() if t.idle is not None} if full else {}
    name = max(idle, key=lambda key: idle[key], default="")
    if not name or idle[name] < 0.5:
        return None
    alive = next((i for i in range(len(full), 0, -1) if (_idle(name, full[i - 1]) or 0.0) < 0.5), 0)
    began, now = full[max(0, alive + 1 - IDLE_LOOKS)].step, full[-1].step
    if now - began < max(50, 0.1 * now):
        return None
    words = f"{idle[name]:.0%} of the units of {name} pass no gradient: they no longer fire"
    return Symptom(kind="dead_units", step=began, words=words, card=18, evidence={"share": idle[name]})


def _idle(name: str, look: Look) -> float | None:
    return look.tensors[name].idle if name in look.tensors else None


def gradients(looks: Sequence[Look], facts: Facts) -> Symptom | None:
    """Find layers whose gradients are next to nothing, or far too large, at most of the looks.

    Held against each other is gradient norm times weight norm: by how much the loss changes if the layer is scaled, so
    that neither size nor parametrisation of a layer counts. Vanishing: a thousandth of the largest layer's. Exploding:
    60 times the loss (both calibrated: healthy networks stay above 1/20 and below 30; SageMaker's VanishingGradient has
    an absolute 1e-7, which depends on the scale of the loss).
    """
    strengths = _strengths(looks, facts)
    if len(strengths) < 3:
        return None
    step = full_looks(looks)[-1].step
    return _vanishing(step, strengths) or (None if facts.adversarial else _exploding(step, strengths))


def _strengths(looks: Sequence[Look], facts: Facts) -> list[dict[str, float]]:
    """Return by look gradient norm times weight norm over the loss, of the matrices that have a gradient."""
    found, loss = [], math.nan
    for look, after in zip_longest(looks, looks[1:], fillvalue=Look(step=0)):
        loss = next((abs(value) for value in look.losses.values()), loss)
        if not look.tensors or look.not_finite:
            continue
        level = next((abs(value) for value in after.losses.values()), loss)
        strength = {
            name: tensor.gradient * tensor.weight / level
            for name, tensor in look.tensors.items()
            if tensor.gradient and tensor.weight and level > 0 and _is_matrix(name, facts) and tensor.idle != 1.0
        }
        if len(strength) > 1:
            found.append(strength)
    return found


def _is_matrix(name: str, facts: Facts) -> bool:
    return name in facts.parameters and facts.parameters[name].matrix


def _vanishing(step: int, strengths: Sequence[dict[str, float]]) -> Symptom | None:
    shares = {
        name: float(np.median([s[name] / max(s.values()) for s in strengths if name in s])) for name in strengths[-1]
    }
    name = min(shares, key=lambda key: shares[key])
    if shares[name] >= 1e-3:
        return None
    words = f"gradients vanish: scaling {name} changes the loss {shares[name]:.1g} times as much as the strongest layer"
    return Symptom(kind="gradients", step=step, words=words, card=17, evidence={"share": shares[name]})


def _exploding(step: int, strengths: Sequence[dict[str, float]]) -> Symptom | None:
    largest = {name: float(np.median([s[name] for s in strengths if name in s])) for name in strengths[-1]}
    name = max(largest, key=lambda key: largest[key])
    if largest[name] < 60:
        return None
    words = f"gradients explode: {name} scaled by 1 % would change the loss by {largest[name]:.0f} %"
    return Symptom(kind="gradients", step=step, words=words, card=6, evidence={"strength": largest[name]})
