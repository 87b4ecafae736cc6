"""The noise floor of a baseline: what another seed alone does, and what a budget can confirm."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from palate.loop.results import Results
from palate.loop.runner import Served, Stove, Watcher
from palate.question.question import run_key_of
from palate.question.target import Target
from palate.recipe.settings import Change
from palate.store.catalog import Catalog
from palate.store.project import Project
from palate.training.launch import Kitchen
from palate.verdict.outlook import smallest_confirmable
from palate.verdict.pairs import FloatArray
from palate.verdict.special import gammaincinv
from palate.verdict.words import size_words
from palate.vocabulary import BASELINE, Arm, Metric, Take


@dataclass(frozen=True, slots=True, kw_only=True)
class NoisePlan:
    """A baseline at some seeds."""

    target: Target
    metric: Metric
    take: Take
    runs: int
    data: str = ""

    @property
    def arms(self) -> tuple[Arm, ...]:
        """The baseline alone."""
        return (BASELINE,)

    @property
    def seeds(self) -> range:
        """The seeds that are run."""
        return range(self.runs)

    def settings(self, _: Arm) -> dict[str, Any]:
        """Give the baseline's settings."""
        return dict(self.target.settings)

    def changes_of(self, _: Arm) -> tuple[Change, ...]:
        """Give no change."""
        return ()

    def run_key(self, arm: Arm) -> str:
        """Id of what decides a run but its seed."""
        return run_key_of(self.target, self.settings(arm), self.data)


@dataclass(frozen=True, slots=True, kw_only=True)
class Values:
    """The values of the runs that finished; settled once all have ended."""

    values: FloatArray
    ended: int
    wanted: int

    @property
    def settled(self) -> bool:
        """Whether all runs have ended."""
        return self.ended >= self.wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseReport:
    """The noise floor.

    Attributes:
        seed_sd: standard deviation of one run over seeds, with its 95 % interval.
        confirmable: effects that a budget of pairs confirms with 50 % and 95 % chance, pairing counted as nothing.
    """

    plan: NoisePlan
    served: Served[Values]
    mean: float
    seed_sd: float
    low: float
    high: float
    budget: int
    confirmable: tuple[float, float]

    def document(self) -> dict[str, Any]:
        """Give the report as plain JSON data, schema `palate.noise/1`."""
        return {
            "schema": "palate.noise/1",
            "target": self.plan.target.label,
            "metric": asdict(self.plan.metric),
            "values": self.served.look.values.tolist(),
            "failed": self.served.look.ended - len(self.served.look.values),
            "mean": self.mean,
            "seed_sd": self.seed_sd,
            "seed_sd_interval": [self.low, self.high],
            "budget": self.budget,
            "confirmable": {"half_chance": self.confirmable[0], "sure": self.confirmable[1]},
            "runs": {"made": self.served.fresh, "reused": self.served.reused},
        }

    def lines(self) -> list[str]:
        """Give the report as lines for people."""
        metric, width = self.plan.metric, self.seed_sd
        sd, low, high = (size_words(x, metric, width) for x in (self.seed_sd, self.low, self.high))
        half, sure = (size_words(x, metric, width) for x in self.confirmable)
        n = len(self.served.look.values)
        if self.seed_sd == 0:
            return [f"The seed changes nothing: {n} runs gave the same {metric.name}. Is the seed wired in?"]
        return [
            f"Another seed alone moves {metric.name} by {sd} (between {low} and {high}), {n} runs.",
            f"One run each differs by up to {size_words(2.8 * self.seed_sd, metric, width)} without any change.",
            f"{self.budget} pairs confirm {half} with even chance, {sure} nearly always; less where pairing helps.",
        ]


def measure_noise(project: Project, plan: NoisePlan, budget: int, kitchen: Kitchen, watcher: Watcher) -> NoiseReport:
    """Run a baseline at its seeds, those that are there re-used, and measure its noise.

    Raises:
        RunsFailedError: the training did not deliver.
    """
    project.make()

    def look(_: Catalog, results: Results) -> Values:
        found = results[BASELINE]
        ended = [found[seed] for seed in plan.seeds if seed in found]
        values = [result.outcome.value for result in ended if result.outcome.value is not None]
        return Values(values=np.array(values, dtype=np.float64), ended=len(ended), wanted=plan.runs)

    served = Stove(project, plan, kitchen, watcher, look).settle()
    values = served.look.values
    df = max(len(values) - 1, 1)
    sd = float(values.std(ddof=1)) if len(values) > 1 else 0.0
    return NoiseReport(
        plan=plan,
        served=served,
        mean=float(values.mean()) if len(values) else math.nan,
        seed_sd=sd,
        low=sd * math.sqrt(df / _chi2_quantile(0.975, df)),
        high=sd * math.sqrt(df / _chi2_quantile(0.025, df)),
        budget=budget,
        confirmable=smallest_confirmable(math.sqrt(2) * sd, budget),
    )


def _chi2_quantile(probability: float, df: int) -> float:
    return float(2 * gammaincinv(df / 2, probability))
