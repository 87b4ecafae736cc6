"""Twelve detectors that watch a training while it goes on; pure: looks in, symptoms out.

Each has its rule and the source of its numbers in its docstring. "Calibrated" is a number that was chosen on the
development half of the runs of `benchmarks/symptoms.py`; how often each detector is wrong was measured on the other.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from palate.cooking.seen import Facts, Look, Symptom
from palate.cooking.tensors import dead_units, forgotten, gradients, learning_rate, not_finite

Floats = NDArray[np.float64]

SHORTEST = 60
"""Fewest losses whose shape is judged."""

WINDOW = 100
"""Losses that a spike is held against."""


def detect(looks: Sequence[Look], facts: Facts) -> tuple[Symptom, ...]:
    """Return the symptoms of a training, from what was seen of it so far; at most one of each kind."""
    found = [detector(looks, facts) for detector in DETECTORS]
    return tuple(symptom for symptom in found if symptom is not None)


def curve(looks: Sequence[Look]) -> tuple[Floats, Floats]:
    """Return steps and finite values of the training loss: the first name that was logged."""
    name = loss_name(looks)
    pairs = [(look.step, look.losses[name]) for look in looks if name in look.losses]
    steps, values = np.array(pairs, dtype=np.float64).reshape(-1, 2).T
    finite = np.isfinite(values)
    return steps[finite], values[finite]


def loss_name(looks: Sequence[Look]) -> str:
    """Return the name of the training loss; nothing if none was logged."""
    return next((name for look in looks for name in look.losses), "")


def blocks(values: Floats) -> tuple[Floats, int]:
    """Return means of blocks of equal length without their highest tenth, and that length: a tenth of the curve.

    Medians would hide a loss that is low for most batches and huge for the others.
    """
    width = int(np.clip(len(values) // 10, 10, 200))
    count = len(values) // width
    ordered = np.sort(values[len(values) - count * width :].reshape(count, width), axis=1)
    return ordered[:, : width - max(1, width // 10)].mean(axis=1), width


def spread(values: Floats) -> float:
    """Return a robust standard deviation of the noise: from the differences of neighbours, so that no trend counts."""
    return float(1.4826 * np.median(np.abs(np.diff(values))) / math.sqrt(2)) if len(values) > 1 else 0.0


def diverged(looks: Sequence[Look], facts: Facts) -> Symptom | None:
    """Find a loss that rises and stays up.

    The levels of the last two tenths are above the best by 30 % of all that was won, by 25 % of the best itself and by
    5 standard errors of the last (all calibrated; SageMaker's LossNotDecreasing compares two losses and has no
    word for it).
    """
    steps, values = curve(looks)
    if facts.adversarial or len(values) < SHORTEST:
        return None
    levels, width = blocks(values)
    start = float(np.median(values[:5]))
    at = int(np.argmin(levels[:-2]))
    best, now = float(min(levels[:-2].min(), start)), float(levels[-2:].min())
    rise = max(0.3 * (start - best), 0.25 * abs(best), 5 * spread(values[-2 * width :]) / math.sqrt(width))
    if now - best <= rise:
        return None
    offset = len(values) - len(levels) * width
    began = int(steps[min(offset + (at + 1) * width, len(steps) - 1)])
    words = f"the loss has risen since step {began} and stays up: {now:.3g}, its best level was {best:.3g}"
    return Symptom(kind="diverged", step=began, words=words, card=8, evidence={"level": now, "best": best})


def spikes(looks: Sequence[Look], facts: Facts) -> Symptom | None:
    """Find single losses far above those before them, that came back.

    A spike is above the median of the last 100 losses (50 at least) by 4 times what the highest of them is, and by 30 %
    of all that was won (calibrated); the losses after it come back half the way. An outlier that is no instability, a
    hard example in a small batch, is mostly within what its like have done before.
    """
    steps, values = curve(looks)
    if facts.adversarial or len(values) < SHORTEST:
        return None
    window = int(np.clip(len(values) // 3, 50, WINDOW))
    before = np.lib.stride_tricks.sliding_window_view(values, window)[:-1]
    median, high, late = np.median(before, axis=1), before.max(axis=1), values[window:]
    won = np.median(values[:5]) - np.minimum.accumulate(median)
    far = late - median > np.maximum(4 * (high - median), 0.3 * np.maximum(won, np.abs(median)))
    back = [bool(np.any(late[i + 1 : i + 1 + window] < (median[i] + late[i]) / 2)) for i in np.flatnonzero(far)]
    found = np.flatnonzero(far)[np.array(back, dtype=bool)]
    if len(found) == 0:
        return None
    i = int(found[0])
    more = f", and {len(found) - 1} more since" if len(found) > 1 else ""
    words = (
        f"spike at step {int(steps[window + i])}: loss {late[i]:.3g}, "
        f"the median of the {window} before it is {median[i]:.3g}{more}"
    )
    evidence = {"loss": float(late[i]), "median": float(median[i]), "highest": float(high[i]), "spikes": len(found)}
    return Symptom(kind="spikes", step=int(steps[window + i]), words=words, card=6, evidence=evidence)


def not_learning(looks: Sequence[Look], facts: Facts) -> Symptom | None:
    """Find a loss that is flat from the start.

    After 150 losses at half the peak of the learning rate or more, the last half is less than 3 % below the loss of a
    guess where that is known (7 % where only the number of classes is: they may not be equally frequent); where it is
    not, after 200 losses, less than 4 % below the first tenth. It is above that by a standard error, has not risen by
    a quarter, and but for the first fifth does not fall by a standard error and 1 % (all calibrated; Karpathy's
    recipe compares with a guess).
    """
    steps, values = curve(looks)
    values = values[steps >= _warmed_up(looks)]
    chance = guess(facts)
    if facts.adversarial or len(values) < (200 if chance is None else 150):
        return None
    fell, error = fall(values[len(values) // 5 :])
    start, level = float(values[: len(values) // 10].mean()), float(values[len(values) // 2 :].mean())
    if fell > max(error, 0.01 * abs(level)):
        return None
    limit = start - 0.04 * abs(start) if chance is None else (0.93 if facts.chance is None else 0.97) * chance
    if not limit <= level - error <= start + 0.25 * abs(start) or (chance is None and not facts.fresh):
        return None
    than = "" if chance is None else f", a guess has {chance:.3g}"
    words = f"the loss is flat from the start: {start:.3g} at first, {level:.3g} up to step {int(steps[-1])}{than}"
    evidence = {"start": start, "level": level} | ({} if chance is None else {"guess": chance})
    return Symptom(kind="not_learning", step=0, words=words, card=11, evidence=evidence)


def guess(facts: Facts) -> float | None:
    """Return the loss of a guess that does not look at its input; None where it is not known."""
    if facts.chance is not None:
        return facts.chance
    return None if facts.classes is None else math.log(facts.classes)


def _warmed_up(looks: Sequence[Look]) -> int:
    """Return the first step at which the learning rate was at half its peak so far."""
    rates = [(look.step, max(look.rates.values())) for look in looks if look.rates]
    peak = max((rate for _, rate in rates), default=0.0)
    return next((step for step, rate in rates if rate >= peak / 2), 0)


def overfit(looks: Sequence[Look], facts: Facts) -> Symptom | None:
    """Find a training loss that falls while that of validation rises.

    The median of the last three validations is above the best of such medians by 20 % and by 3 standard deviations of
    their noise, or by 10 % (as in SageMaker's Overfit) and by 10 of them (calibrated); the training loss has fallen
    since by 2 % of its own.
    """
    steps, train = curve(looks)
    at, values = validations(looks)
    if facts.adversarial or len(values) < 6 or len(train) < SHORTEST:
        return None
    smooth = np.median(np.lib.stride_tricks.sliding_window_view(values, 3), axis=1)
    best = int(np.argmin(smooth))
    rise = float(smooth[-1] - smooth[best])
    began = float(at[best + 1])
    width = max(10, len(train) // 10)
    then, now = _level_at(steps, train, began, width), float(np.median(train[-width:]))
    noise = spread(values)
    share = 0.1 if rise > 10 * noise else 0.2
    if rise <= max(share * abs(smooth[best]), 3 * noise) or now > then - 0.02 * abs(then):
        return None
    words = (
        f"validation loss rises since step {int(began)}: {smooth[-1]:.3g}, at its best {smooth[best]:.3g}; "
        f"the training loss fell from {then:.3g} to {now:.3g} meanwhile"
    )
    evidence = {"validation": float(smooth[-1]), "best": float(smooth[best]), "then": then, "now": now}
    return Symptom(kind="overfit", step=int(began), words=words, card=22, evidence=evidence)


def validations(looks: Sequence[Look]) -> tuple[Floats, Floats]:
    """Return steps and finite values of the validation loss that has the name of the training loss."""
    name = loss_name(looks)
    pairs = [(look.step, look.validation[name]) for look in looks if name in look.validation]
    steps, values = np.array(pairs, dtype=np.float64).reshape(-1, 2).T
    finite = np.isfinite(values)
    return steps[finite], values[finite]


def _level_at(steps: Floats, values: Floats, step: float, width: int) -> float:
    """Return the median of the losses around a step."""
    middle = int(np.searchsorted(steps, step))
    return float(np.median(values[max(0, middle - width // 2) : middle + width // 2 + 1]))


def leak(looks: Sequence[Look], facts: Facts) -> Symptom | None:
    """Find validation examples that are trained on, or a validation loss far below that of training.

    Examples: at least 5 and 2 % of those of validation were seen in training (calibrated). Losses: validation is below
    80 % of training at each of the last three evaluations and at two thirds of all, where both are measured in the same
    mode (calibrated).
    """
    rows = next((look.rows for look in reversed(looks) if look.rows), None)
    if rows is not None and rows.both >= max(5, 0.02 * rows.validation):
        words = f"{rows.both} of {rows.validation} validation examples were seen in training"
        evidence = {"both": rows.both, "validation": rows.validation}
        return Symptom(kind="leak", step=0, words=words, card=27, evidence=evidence)
    return None if facts.adversarial or not facts.same_mode else _better_than_training(looks)


def _better_than_training(looks: Sequence[Look]) -> Symptom | None:
    steps, train = curve(looks)
    at, values = validations(looks)
    if len(values) < 4 or len(train) < SHORTEST:
        return None
    levels = np.array([_level_at(steps, train, step, 30) for step in at])
    below = values < levels - 0.2 * np.abs(levels)
    if not below[-3:].all() or below.mean() < 2 / 3:
        return None
    words = f"validation loss {values[-1]:.3g} is far below training loss {levels[-1]:.3g}, both without dropout"
    evidence = {"validation": float(values[-1]), "training": float(levels[-1])}
    return Symptom(kind="leak", step=int(at[int(np.argmax(below))]), words=words, card=27, evidence=evidence)


def initial_loss(looks: Sequence[Look], facts: Facts) -> Symptom | None:
    """Find a first loss far from log(number of classes), which a network that knows nothing has.

    Off by more than 35 % and .15 (calibrated; the value is that of Karpathy's recipe, "verify loss at init").
    """
    steps, values = curve(looks)
    if facts.classes is None or not facts.fresh or facts.adversarial or len(values) == 0 or steps[0] > 2:
        return None
    first, expected = float(values[0]), math.log(facts.classes)
    if abs(first - expected) <= max(0.35 * expected, 0.15):
        return None
    words = f"the first loss is {first:.3g}; a network that knows nothing of {facts.classes} classes has {expected:.3g}"
    return Symptom(kind="initial_loss", step=0, words=words, card=1, evidence={"loss": first, "expected": expected})


def noise_ball(looks: Sequence[Look], facts: Facts) -> Symptom | None:
    """Find a loss that jitters around a level that a lower learning rate would lower.

    In the last 40 % of the steps, 200 losses having been seen, the learning rate stays above half its peak; the loss
    lies above that of the average of the weights by 8 % of its level and by a standard error, over 5 glances at least;
    and it falls by less than half of that (calibrated). A lower rate, like an average, leaves the weights nearer to the
    middle of the ball; of SGD with rate h and gradient noise of covariance C the excess is h/4 tr C (Mandt, Hoffman and
    Blei 2017). It is measured by half of gradient times distance to the average, which holds for every optimizer (see
    `excess`); gradient times update, the same in theory for SGD, was right in half of the cases.
    """
    steps, values = curve(looks)
    if facts.adversarial or len(values) < 200:
        return None
    since = steps[-1] * 0.6
    late = values[steps >= since]
    glances = [look.excess for look in looks if look.step >= since and look.excess is not None]
    found = np.array([excess for excess in glances if math.isfinite(excess)])
    if len(found) < 5 or not _rate_stays(looks, since):
        return None
    level, excess = float(np.mean(late)), float(found.mean())
    error = float(found.std(ddof=1)) / math.sqrt(len(found))
    fell, _ = fall(late)
    if level <= 0 or excess < max(0.08 * level, error, 2 * fell):
        return None
    words = (
        f"the loss jitters around {level:.3g} since step {int(since)} and no longer falls; "
        f"with a learning rate that goes to 0 it could fall by about {min(excess / level, 1):.0%}"
    )
    return Symptom(kind="noise_ball", step=int(since), words=words, card=14, evidence={"level": level, "gain": excess})


def _rate_stays(looks: Sequence[Look], since: float) -> bool:
    """Return whether the learning rate was above half its peak since a step."""
    seen = [(look.step, max(look.rates.values())) for look in looks if look.rates]
    peak = max((rate for _, rate in seen), default=0.0)
    before = [rate for step, rate in seen if step <= since][-1:]
    return all(rate >= peak / 2 for rate in [*before, *(rate for step, rate in seen if step > since)])


def fall(values: Floats) -> tuple[float, float]:
    """Return by how much the second half of losses is lower than the first, and the standard error of that."""
    half = len(values) // 2
    first, second = values[:half], values[half:]
    error = math.sqrt(first.var() / len(first) + second.var() / len(second))
    return float(first.mean() - second.mean()), error


DETECTORS: tuple[Callable[[Sequence[Look], Facts], Symptom | None], ...] = (
    not_finite,
    diverged,
    spikes,
    not_learning,
    learning_rate,
    forgotten,
    dead_units,
    gradients,
    overfit,
    leak,
    initial_loss,
    noise_ball,
)
