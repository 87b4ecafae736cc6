"""`palate.compare`: a verdict from two lists of results."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from palate.errors import ListError
from palate.verdict.boundary import BUDGETS
from palate.verdict.outlook import Outlook, look_ahead
from palate.verdict.pairs import Pairs, make_pairs
from palate.verdict.rule import Terms, Verdict, judge
from palate.verdict.words import headline
from palate.vocabulary import Goal, Metric, name_metric

Values = Sequence[float] | Mapping[int, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A verdict on two lists; `print` shows it as a sentence.

    Attributes:
        verdict: what the pairs say.
        metric: what is judged, as it is shown.
        outlook: what to expect of more pairs, where the verdict is open.
        assumed: whether nobody said which way is better, and higher was taken.
    """

    verdict: Verdict
    metric: Metric
    outlook: Outlook | None
    assumed: bool = False

    def __str__(self) -> str:
        words = headline(self.verdict, self.metric, outlook=self.outlook)
        return f"{words} (Higher was taken as better.)" if self.assumed else words

    __repr__ = __str__


def compare(
    baseline: Values,
    treatment: Values,
    *,
    goal: Goal | None = None,
    margin: float | None = None,
    resolution: float | None = None,
    budget: int = 20,
    metric: str | None = None,
    points: bool | None = None,
) -> Comparison:
    """Judge two lists of results, one value a run, paired by position; or two mappings, paired by seed.

    Args:
        baseline: values of the runs without the change; or {seed: value}.
        treatment: values of the runs with it, the same seeds in the same order; or {seed: value}.
        goal: which way is better; told by the metric's name if None. Without either, higher is taken as better, and
            the sentence says so.
        margin: smallest difference that matters, in the values' unit; one seed standard deviation if None.
        resolution: smallest step the metric can take (1 / number of test examples); from the values if None.
        budget: how many pairs you would run at most; when you stop must not depend on the results.
        metric: the metric's name.
        points: show differences in hundredths; told by the metric's name if None. Only values from 0 to 1 are.

    Raises:
        ListError: lists that are empty, unequal, not finite, or mappings without a seed in common.
        InputError: a margin, goal or budget that cannot be used, or a metric of which nobody knows which way is better.

    >>> compared = compare([.912, .915, .910, .913, .911], [.921, .919, .924, .922, .920], points=True)
    >>> print(str(compared).partition(". You")[0])
    Better: +0.8 points (between +0.2 and +1.6; +0.9 as measured), 5 pairs
    """
    described = _describe(metric, goal, resolution, points)
    pairs = _pair_up(baseline, treatment, described)
    budget = max(budget, next((b for b in BUDGETS if b >= pairs.n), budget))
    verdict = judge(pairs, Terms(budget=budget, margin=margin))
    outlook = None
    if verdict.kind == "unclear" and not verdict.reason:
        outlook = look_ahead(pairs, verdict, rng=np.random.default_rng(pairs.n))
    shown = described.shown_for(described.sign * value for value in (*pairs.baseline, *pairs.treatment))
    return Comparison(verdict=verdict, metric=shown, outlook=outlook, assumed=metric is None and goal is None)


def _describe(name: str | None, goal: Goal | None, resolution: float | None, points: bool | None) -> Metric:
    if name is None:
        return Metric(name="value", goal=goal or "max", resolution=resolution, points=bool(points))
    described = name_metric(name, goal, resolution)
    return described if points is None else replace(described, points=points)


def _pair_up(baseline: Values, treatment: Values, metric: Metric) -> Pairs:
    if isinstance(baseline, Mapping) != isinstance(treatment, Mapping):
        raise ListError("One side has seeds and the other has none.", todo="Give two lists, or two {seed: value}.")
    if isinstance(baseline, Mapping) and isinstance(treatment, Mapping):
        seeds = [seed for seed in baseline if seed in treatment]
        if not seeds:
            raise ListError("The two sides have no seed in common.", todo="Run both arms at the same seeds.")
        baseline, treatment = [baseline[seed] for seed in seeds], [treatment[seed] for seed in seeds]
    return make_pairs(list(baseline), list(treatment), sign=metric.sign, resolution=metric.resolution)
