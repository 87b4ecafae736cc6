"""When a training is ended: what palate's default and the libraries' early stopping lose and save on real curves.

Regret is the best validation cross entropy of the whole run taken from the best at the stop, in nats. It is measured at
three spacings of evaluations, as patience in evaluations means another thing at each. palate's default was chosen on
mnist1d with other seeds, and on other draws of the simulated shapes, whose regret is that of the truth under the noise;
it was not fitted to the digits and the characters, though their figures were seen on the way.
"""

import math
import random
import timeit
from collections.abc import Callable, Iterator
from statistics import mean
from types import SimpleNamespace

import torch

from benchmarks.table import Row
from benchmarks.until_curves import STEPS, Curve, curves
from palate.cooking.until import Moment, plateau, steps

Rule = Callable[[Curve], int]
"""Gives the step at which a curve is ended; the last, where it is not."""

SPACINGS = (5, 25, 100)
USUAL = 25
UNSEEN = ("digits MLP", "character LM")

SIMULATED_STEPS, DRAWS = 10_000, 10
TRUTHS: dict[str, Callable[[int], float]] = {
    "flat": lambda step: 0.3,  # noqa: ARG005
    "falls for 2,000 steps": lambda step: 0.3 + 2 * math.exp(-step / 500),
    "falls to the end": lambda step: 0.3 + 2 * math.exp(-step / 2_000),
    "power law, to the end": lambda step: 2 * step**-0.3,
}
NOISES = (0.02, 0.1)


def rows() -> Iterator[Row]:
    """Measure all of it."""
    yield from cost_rows()
    yield from regret_rows()
    yield from simulated_rows()


def cost_rows() -> Iterator[Row]:
    """Time a step at which nothing was logged: the fastest of 15 rounds of 20,000 calls, their loop included."""
    watch = (plateau("val_loss") | steps(10**9)).watch()
    for step in range(1, 1001):
        watch.saw(Moment(step=step, metrics={"val_loss": 1 / step}))
    moment = Moment(step=1001)
    idle_s = min(timeit.repeat(lambda: watch.saw(moment), number=20_000, repeat=15)) / 20_000
    made_s = min(timeit.repeat(lambda: Moment(1001, 32_032, 4.5, 12.25), number=20_000, repeat=15)) / 20_000
    yield Row(name="plateau | steps, at a step without a metric", measured=idle_s * 1e6, unit="us", target=1)
    yield Row(name="making the moment of a step", measured=made_s * 1e6, unit="us")


def regret_rows() -> Iterator[Row]:
    """Train 28 small models, and end each by every rule at every spacing."""
    trained = list(curves())
    for every in SPACINGS:
        seen = [curve.every(every) for curve in trained]
        for name, rule in (_rules() if every == USUAL else _few_rules()).items():
            ours = name.startswith("palate")
            yield from _rule_rows(f"every {every}: {name}", rule, seen, target=0.01 if ours else None)
    usual = [curve.every(USUAL) for curve in trained]
    unseen = [curve for curve in usual if curve.task in UNSEEN]
    early = [curve for curve in usual if _best_step(curve) <= STEPS // 2]
    for name, rule in _few_rules().items():
        yield from _rule_rows(f"two unseen tasks: {name}", rule, unseen, target=0.01 if name[0] == "p" else None)
        saved = mean(_saved(curve, rule) for curve in early)
        yield Row(name=f"{len(early)} curves with the best in the first half: {name}: saved", measured=saved)


def simulated_rows() -> Iterator[Row]:
    """End curves whose truth is known, evaluated every 25 steps, by palate's default and after 10 evaluations."""
    for shape, truth in TRUTHS.items():
        for noise in NOISES:
            rng = random.Random(f"{shape} {noise}")
            drawn = [_simulated(shape, truth, noise, rng) for _ in range(DRAWS)]
            for name, rule in {"palate, default": _palate, "patience 10": lambda curve: _waits(curve, 10)}.items():
                stops = [rule(curve) for curve in drawn]
                said = f"{shape}, noise {noise}: {name}"
                lost = mean(truth(stop) - truth(SIMULATED_STEPS) for stop in stops)
                yield Row(name=f"{said}: true regret", measured=lost, unit="nats")
                yield Row(name=f"{said}: steps saved", measured=1 - mean(stops) / SIMULATED_STEPS)


def _simulated(shape: str, truth: Callable[[int], float], noise: float, rng: random.Random) -> Curve:
    at = tuple(range(USUAL, SIMULATED_STEPS + 1, USUAL))
    return Curve(task=shape, way="simulated", steps=at, values=tuple(truth(step) + rng.gauss(0, noise) for step in at))


def _rule_rows(name: str, rule: Rule, seen: list[Curve], target: float | None) -> Iterator[Row]:
    regrets = [_regret(curve, rule) for curve in seen]
    yield Row(name=f"{name}: regret", measured=mean(regrets), unit="nats", target=target)
    yield Row(name=f"{name}: worst regret", measured=max(regrets), unit="nats")
    yield Row(name=f"{name}: steps saved", measured=mean(_saved(curve, rule) for curve in seen))


def _regret(curve: Curve, rule: Rule) -> float:
    stop = rule(curve)
    reached = [value for step, value in zip(curve.steps, curve.values, strict=True) if step <= stop]
    return min(reached) - min(curve.values)


def _saved(curve: Curve, rule: Rule) -> float:
    return 1 - rule(curve) / STEPS


def _best_step(curve: Curve) -> int:
    return curve.steps[curve.values.index(min(curve.values))]


def _rules() -> dict[str, Rule]:
    return {
        "palate, default": _palate,
        "lightning, default (3)": lambda curve: _lightning(curve, 3),
        "lightning, patience 10": lambda curve: _lightning(curve, 10),
        "transformers, default (1)": lambda curve: _transformers(curve, 1),
        "transformers, patience 10": lambda curve: _transformers(curve, 10),
        "Keras' documented rule, default (0)": lambda curve: _waits(curve, 0),
        "Keras' documented rule, patience 10": lambda curve: _waits(curve, 10),
        "fastai's documented rule, default (1)": lambda curve: _waits(curve, 1),
        "fastai's documented rule, patience 10": lambda curve: _waits(curve, 10),
    }


def _few_rules() -> dict[str, Rule]:
    few = ("palate, default", "lightning, default (3)", "lightning, patience 10")
    return {name: rule for name, rule in _rules().items() if name in few}


def _palate(curve: Curve) -> int:
    watch = plateau("val_loss").watch()
    for step, value in zip(curve.steps, curve.values, strict=True):
        if watch.saw(Moment(step=step, metrics={"val_loss": value})):
            return step
    return curve.steps[-1]


def _lightning(curve: Curve, patience: int) -> int:
    """End where lightning's own callback tells the trainer to."""
    from lightning.pytorch.callbacks import EarlyStopping
    from lightning.pytorch.trainer.states import TrainerFn

    callback = EarlyStopping("val_loss", patience=patience, check_on_train_epoch_end=False)
    trainer = SimpleNamespace(
        callback_metrics={},
        fast_dev_run=False,
        sanity_checking=False,
        should_stop=False,
        current_epoch=0,
        state=SimpleNamespace(fn=TrainerFn.FITTING),
        strategy=SimpleNamespace(reduce_boolean_decision=lambda decision, **_: decision),
    )
    for step, value in zip(curve.steps, curve.values, strict=True):
        trainer.callback_metrics["val_loss"] = torch.tensor(value, dtype=torch.float64)
        callback.on_validation_end(trainer, None)
        if trainer.should_stop:
            return step
    return curve.steps[-1]


def _transformers(curve: Curve, patience: int) -> int:
    """End where transformers' own callback tells the trainer to, which keeps the best value after each evaluation."""
    from transformers import EarlyStoppingCallback, TrainerControl, TrainerState

    callback, state, control = EarlyStoppingCallback(patience), TrainerState(), TrainerControl()
    arguments = SimpleNamespace(metric_for_best_model="eval_loss", greater_is_better=False)
    for step, value in zip(curve.steps, curve.values, strict=True):
        callback.on_evaluate(arguments, state, control, metrics={"eval_loss": value})
        state.best_metric = value if state.best_metric is None else min(value, state.best_metric)
        if control.should_training_stop:
            return step
    return curve.steps[-1]


def _waits(curve: Curve, patience: int) -> int:
    """End after so many evaluations in a row that were no better than the best; after one, where that is 0."""
    best, without = float("inf"), 0
    for step, value in zip(curve.steps, curve.values, strict=True):
        without = 0 if value < best else without + 1
        best = min(best, value)
        if without >= max(patience, 1):
            return step
    return curve.steps[-1]
