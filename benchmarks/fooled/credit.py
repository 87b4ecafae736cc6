"""Whose gain is it? Three real changes in all combinations, and the credit that each way of reading gives to each."""

from collections.abc import Iterator

import numpy as np

from benchmarks.fooled import STORED
from benchmarks.fooled.policies import BUDGET, FloatArray
from benchmarks.table import Row
from palate.verdict.design import Effect, make_design
from palate.verdict.rule import Terms
from palate.verdict.split import Cell, contrast_pairs, judge_effects

FACTORS = ("lr", "width", "smoothing")
USERS = 150
STEP = 1e-3


def load() -> dict[Cell, FloatArray]:
    """Read the cells' scores: numbers of the changed factors -> (seeds,)."""
    with np.load(STORED) as stored:
        found = {
            name.split("/")[1]: stored[name] for name in stored.files if name.startswith("split/") and "score" in name
        }
    return {
        tuple(FACTORS.index(factor) for factor in name.split("+") if factor): values.astype(np.float64)
        for name, values in found.items()
    }


def rows() -> Iterator[Row]:
    """Let users run the split, and let others credit all three changes with what the three did together."""
    scores, design, rng = load(), make_design(len(FACTORS)), np.random.default_rng(4)
    truth = {effect: contrast_pairs(design, effect, scores, STEP).mean for effect in design.effects}
    margin = float(scores[()].std(ddof=1))
    wrong = claims = right = real = 0
    for _ in range(USERS):
        seeds = rng.permutation(len(scores[()]))[:BUDGET]
        told = judge_effects(design, {c: v[seeds] for c, v in scores.items()}, Terms(margin=margin), STEP)
        for one in told:
            claimed = _claim(one.verdict.kind)
            wrong += claimed * truth[one.effect] < 0 or (
                one.verdict.kind == "same" and abs(truth[one.effect]) >= margin
            )
            claims += one.verdict.settled
            real += abs(truth[one.effect]) >= margin
            right += abs(truth[one.effect]) >= margin and claimed * truth[one.effect] > 0
    total = USERS * len(design.effects)
    yield Row(
        name=f"confounded set, split: effects misjudged, of {total}", measured=100 * wrong / total, unit="%", target=5
    )
    yield Row(name="confounded set, split: effects settled", measured=100 * claims / total, unit="%")
    if real:
        yield Row(name="confounded set, split: large effects credited rightly", measured=100 * right / real, unit="%")
    name = "confounded set, habit: credit to the smallest of three changes, times its own effect"
    yield Row(name=name, measured=_habit(scores, truth))


def _claim(kind: str) -> int:
    return 1 if kind.startswith("better") else -1 if kind.startswith("worse") else 0


def _habit(scores: dict[Cell, FloatArray], truth: dict[Effect, float]) -> float:
    """All three changed at once, the whole gain credited to each of them."""
    together = abs(float((scores[(0, 1, 2)] - scores[()]).mean()))
    return together / min(abs(truth[(i,)]) for i in range(len(FACTORS)))
