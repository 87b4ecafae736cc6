"""The noise floor of a baseline: what another seed alone does, and what a budget can confirm."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from palate.errors import RunsFailedError
from palate.loop.ask import Person
from palate.loop.runner import Runner
from palate.question.plan import Plan
from palate.question.target import Target
from palate.store.catalog import Catalog
from palate.training.launch import Resources
from palate.verdict.lazy import special
from palate.verdict.outlook import smallest_confirmable
from palate.verdict.pairs import FloatArray
from palate.verdict.words import size_words
from palate.vocabulary import BASELINE, Metric, Take


def noise_plan(target: Target, metric: Metric, *, take: Take, runs: int, data: str) -> Plan:
    """Plan a baseline alone, at so many seeds."""
    return Plan(target=target, arms={BASELINE: ()}, seeds=range(runs), metric=metric, take=take, data=data)


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseReport:
    """The noise floor.

    Attributes:
        plan: what was run.
        values: of the runs that finished.
        failed: how many did not.
        seed_sd: standard deviation of one run over seeds, with its 95 % interval.
        confirmable: effects that a budget of pairs confirms with 50 % and 95 % chance, pairing counted as nothing.
    """

    plan: Plan
    values: FloatArray
    failed: int
    mean: float
    seed_sd: float
    low: float
    high: float
    budget: int
    confirmable: tuple[float, float]
    made: int
    reused: int

    @property
    def metric(self) -> Metric:
        """What was measured, as its values are shown."""
        return self.plan.metric.shown_for(self.values)

    def document(self) -> dict[str, Any]:
        """Return the report as plain JSON data, schema `palate.noise/1`."""
        return {
            "schema": "palate.noise/1",
            "target": self.plan.target.label,
            "metric": asdict(self.metric),
            "values": self.values.tolist(),
            "failed": self.failed,
            "mean": self.mean,
            "seed_sd": self.seed_sd,
            "seed_sd_interval": [self.low, self.high],
            "budget": self.budget,
            "confirmable": {"half_chance": self.confirmable[0], "sure": self.confirmable[1]},
            "runs": {"made": self.made, "reused": self.reused},
        }

    def lines(self) -> list[str]:
        """Return the report as lines for people."""
        metric, width = self.metric, self.seed_sd
        sd, low, high = (size_words(x, metric, width) for x in (self.seed_sd, self.low, self.high))
        half, sure = (size_words(x, metric, width) for x in self.confirmable)
        n = len(self.values)
        if self.seed_sd == 0:
            return [f"The seed changes nothing: {n} runs gave the same {metric.name}. Is the seed wired in?"]
        return [
            f"Another seed alone moves {metric.name} by {sd} (between {low} and {high}), {n} runs.",
            f"One run each differs by up to {size_words(2.8 * self.seed_sd, metric, width)} without any change.",
            f"{self.budget} pairs confirm {half} with even chance, {sure} nearly always; less where pairing helps.",
        ]


def measure_noise(catalog: Catalog, plan: Plan, budget: int, resources: Resources, person: Person) -> NoiseReport:
    """Run a baseline at its seeds, those that are there re-used, and measure its noise.

    Args:
        catalog: where runs are kept.
        plan: as `noise_plan` makes it.
        budget: pairs to say what can be confirmed with.
        resources: what runs are carried out with.
        person: who watches.

    Raises:
        RunsFailedError: the training did not deliver.
    """
    with Runner(catalog, plan, resources=resources, person=person) as runner:
        for results in runner:
            ended = [results[BASELINE][seed].outcome for seed in plan.seeds if seed in results[BASELINE]]
            if len(ended) == len(plan.seeds):
                break
    if len(ended) < len(plan.seeds):
        raise RunsFailedError(
            f"Stopped after {len(ended)} of {len(plan.seeds)} runs, as was asked: nothing is said of the noise yet.",
            todo="The same command goes on: nothing that finished is lost.",
        )
    values = np.array([outcome.value for outcome in ended if outcome.value is not None], dtype=np.float64)
    df = max(len(values) - 1, 1)
    sd = float(values.std(ddof=1)) if len(set(values.tolist())) > 1 else 0.0
    return NoiseReport(
        plan=plan,
        values=values,
        failed=sum(outcome.failed for outcome in ended),
        mean=float(values.mean()) if len(values) else math.nan,
        seed_sd=sd,
        low=sd * math.sqrt(df / _chi2_quantile(0.975, df)),
        high=sd * math.sqrt(df / _chi2_quantile(0.025, df)),
        budget=budget,
        confirmable=smallest_confirmable(math.sqrt(2) * sd, budget),
        made=runner.made,
        reused=runner.reused,
    )


def _chi2_quantile(probability: float, df: int) -> float:
    return float(2 * special.gammaincinv(df / 2, probability))
